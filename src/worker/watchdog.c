/* The watchdog's thread: a count of its own ticks, not of the clock's, so that
 * the time in which the whole process was stopped or suspended is one tick and
 * workers get their chance to cut after it. */
#include "worker/watchdog.h"

#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/thread.h"

#define TICK_MS 100
/* To cut, once the time of the snapshot is over. */
#define TICKS_TO_CUT 10
/* To take a snapshot at all: without it nothing can be acknowledged any more. */
#define TICKS_TO_ADOPT 100

/* Nothing may hold this up: one line if stderr takes it at once, and the end. */
static _Noreturn void end_process(unsigned worker, const char *why)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	char line[160];
	int length = snprintf(line, sizeof(line),
			      "pgsplice: worker %u %s: ending the process, which aborts its "
			      "sessions\n",
			      worker, why);

	if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT))
		(void)!write(STDERR_FILENO, line, (size_t)length);
	_exit(WATCHDOG_EXIT_STATUS);
}

struct ticks {
	int64_t deadline_ms; /* that is missed; 0: none */
	unsigned overdue;
	unsigned behind;
};

static void look_at(const struct worker *worker, struct ticks *ticks)
{
	int64_t deadline_ms = worker_missed_deadline(worker, clock_boot_ms());

	/* Each deadline by itself: a process that is stopped again and again may never be
	 * looked at in between. */
	if (deadline_ms == 0 || deadline_ms != ticks->deadline_ms)
		ticks->overdue = 0;
	ticks->overdue += deadline_ms != 0;
	ticks->deadline_ms = deadline_ms;
	ticks->behind = worker_is_behind(worker) ? ticks->behind + 1 : 0;
	if (ticks->overdue >= TICKS_TO_CUT)
		end_process(worker->index, "has not cut its sessions in time");
	if (ticks->behind >= TICKS_TO_ADOPT)
		end_process(worker->index, "does not take snapshots any more");
}

static void *run_watchdog(void *arg)
{
	struct watchdog *d = arg;
	struct ticks ticks[DROP_BARRIER_MAX_WORKERS] = {0};

	while (!atomic_load_explicit(&d->stopping, memory_order_relaxed)) {
		struct timespec tick = {.tv_nsec = TICK_MS * NS_PER_MS};

		nanosleep(&tick, NULL);
		for (unsigned i = 0; i < d->count; i++)
			look_at(&d->workers[i], &ticks[i]);
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
