/* The minimum over the workers' marks. */
#include "worker/drop_barrier.h"

#include "base/check.h"

void drop_barrier_init(struct drop_barrier *barrier, unsigned workers, struct wakeup *control)
{
	CHECK(workers > 0 && workers <= DROP_BARRIER_MAX_WORKERS);
	barrier->workers = workers;
	barrier->control = control;
	for (unsigned i = 0; i < workers; i++)
		atomic_init(&barrier->marks[i], 0);
}

void drop_barrier_mark(struct drop_barrier *barrier, unsigned worker, uint64_t drop_generation)
{
	CHECK(drop_generation >=
	      atomic_load_explicit(&barrier->marks[worker], memory_order_relaxed));
	atomic_store_explicit(&barrier->marks[worker], drop_generation, memory_order_release);
	wakeup_ring(barrier->control);
}

uint64_t drop_barrier_drained(const struct drop_barrier *barrier)
{
	uint64_t drained = UINT64_MAX;

	for (unsigned i = 0; i < barrier->workers; i++) {
		uint64_t mark = atomic_load_explicit(&barrier->marks[i], memory_order_acquire);
		if (mark < drained)
			drained = mark;
	}
	return drained;
}
