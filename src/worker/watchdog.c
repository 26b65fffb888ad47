/* The watchdog's thread: a count of its own ticks, not of the clock's, so that
 * the time in which the whole process was stopped or suspended is one tick and
 * workers get their chance to cut after it. */
#include "worker/watchdog.h"

#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/thread.h"

#define TICK_MS     100
#define TICKS_GIVEN 10

/* Nothing may hold this up: one line if stderr takes it at once, and the end. */
static _Noreturn void end_process(unsigned worker)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	char line[160];
	int length = snprintf(line, sizeof(line),
			      "pgsplice: worker %u has not cut its sessions %d ms after their "
			      "time: ending the process, which aborts them\n",
			      worker, TICK_MS * TICKS_GIVEN);

	if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT))
		(void)!write(STDERR_FILENO, line, (size_t)length);
	_exit(WATCHDOG_EXIT_STATUS);
}

static void *run_watchdog(void *arg)
{
	struct watchdog *d = arg;
	unsigned overdue_ticks[DROP_BARRIER_MAX_WORKERS] = {0};

	while (!atomic_load_explicit(&d->stopping, memory_order_relaxed)) {
		struct timespec tick = {.tv_nsec = TICK_MS * NS_PER_MS};

		nanosleep(&tick, NULL);
		int64_t now_ms = clock_boot_ms();
		for (unsigned i = 0; i < d->count; i++) {
			if (!worker_is_overdue(&d->workers[i], now_ms))
				overdue_ticks[i] = 0;
			else if (++overdue_ticks[i] > TICKS_GIVEN)
				end_process(i);
		}
	}
	return NULL;
}

int watchdog_start(struct watchdog *watchdog, struct worker *workers, unsigned count)
{
	watchdog->workers = workers;
	watchdog->count = count;
	atomic_init(&watchdog->stopping, false);
	return thread_start(&watchdog->thread, "watchdog", run_watchdog, watchdog);
}

void watchdog_stop(struct watchdog *watchdog)
{
	atomic_store_explicit(&watchdog->stopping, true, memory_order_relaxed);
	pthread_join(watchdog->thread, NULL);
}
