/* Starting, reaching and ending all workers. */
#include "worker/worker_pool.h"

#include <errno.h>

#include "base/clock.h"

struct worker_pool {
	struct drop_barrier barrier;
	struct capacity capacity;
	struct watchdog watchdog;
	unsigned size;
	struct worker workers[];
};

static bool stop_workers(struct worker_pool *pool, unsigned count, int timeout_ms)
{
	bool all = true;

	for (unsigned i = 0; i < count; i++)
		worker_stop(&pool->workers[i]);
	/* One limit for all of them together. */
	int64_t until_ms = clock_boot_ms() + timeout_ms;
	for (unsigned i = 0; i < count; i++) {
		int64_t left_ms = until_ms - clock_boot_ms();
		all = worker_join(&pool->workers[i], left_ms > 0 ? (int)left_ms : 0) && all;
	}
	return all;
}

int worker_pool_start(const struct worker_pool_settings *settings, struct wakeup *control,
		      struct worker_pool **ret_pool)
{
	unsigned count = settings->workers;
	unsigned started = 0;
	struct worker_pool *pool = calloc(1, sizeof(*pool) + count * sizeof(pool->workers[0]));

	if (pool == NULL)
		return -ENOMEM;
	pool->size = count;
	drop_barrier_init(&pool->barrier, count, control);
	int r = capacity_init(&pool->capacity, count, settings->kept_descriptors);
	while (r == 0 && started < count) {
		r = worker_start(pool->workers, started, count, &settings->session, &pool->barrier,
				 &pool->capacity);
		if (r == 0)
			started++;
	}
	if (r == 0)
		r = watchdog_start(&pool->watchdog, pool->workers, count);
	if (r < 0) {
		if (stop_workers(pool, started, 1000))
			free(pool);
		return r;
	}
	*ret_pool = pool;
	return 0;
}

void worker_pool_publish(struct worker_pool *pool, struct snapshot *snapshot)
{
	for (unsigned i = 0; i < pool->size; i++)
		worker_publish(&pool->workers[i], snapshot);
}

void worker_pool_say_goodbye(struct worker_pool *pool)
{
	for (unsigned i = 0; i < pool->size; i++)
		atomic_store(&pool->workers[i].ending, true);
}

uint64_t worker_pool_drained(const struct worker_pool *pool)
{
	return drop_barrier_drained(&pool->barrier);
}

bool worker_pool_stop(struct worker_pool **pool, int timeout_ms)
{
	struct worker_pool *p = *pool;

	if (p == NULL)
		return true;
	watchdog_stop(&p->watchdog);
	if (!stop_workers(p, p->size, timeout_ms))
		return false;
	*pool = NULL;
	free(p);
	return true;
}
