/* Ends the process if a worker does not cut in time.
 *
 * The sentinels count on it that a proxy which has not confirmed its leader for
 * proxyTimeout holds no session any more. Workers see to that themselves; should
 * one hang, the end of the process does, since the kernel then aborts every
 * server socket. */
#ifndef PGSPLICE_WORKER_WATCHDOG_H
#define PGSPLICE_WORKER_WATCHDOG_H

#include <pthread.h>
#include <stdatomic.h>

#include "worker/worker.h"

#define WATCHDOG_EXIT_STATUS 70

struct watchdog {
	pthread_t thread;
	struct worker *workers;
	unsigned count;
	atomic_bool stopping; /* set by control, read by the watchdog; relaxed */
};

MUST_CHECK int watchdog_start(struct watchdog *watchdog, struct worker *workers, unsigned count);
/* Waits for the thread, a tick at most. */
void watchdog_stop(struct watchdog *watchdog);

#endif
