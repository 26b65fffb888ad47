/* All workers, their barrier, their capacity and their watchdog. Control thread. */
#ifndef PGSPLICE_WORKER_WORKER_POOL_H
#define PGSPLICE_WORKER_WORKER_POOL_H

#include "worker/watchdog.h"

struct worker_pool_settings {
	unsigned workers;     /* 1 to DROP_BARRIER_MAX_WORKERS */
	int kept_descriptors; /* that others will open and sessions must leave */
	struct session_settings session;
};

struct worker_pool;

/* control is rung whenever a worker has carried out a snapshot. settings must
 * outlive the pool. */
MUST_CHECK int worker_pool_start(const struct worker_pool_settings *settings,
				 struct wakeup *control, struct worker_pool **ret_pool);

void worker_pool_publish(struct worker_pool *pool, struct snapshot *snapshot);
/* From now on sessions are cut because the process ends: call it before the
 * snapshot that closes everything is published. */
void worker_pool_say_goodbye(struct worker_pool *pool);
/* The newest drop generation that all workers have carried out. */
uint64_t worker_pool_drained(const struct worker_pool *pool);

/* Ends the threads, which have nothing left to do after a closed snapshot
 * without listeners. Returns false, and frees nothing, if a worker hangs. */
MUST_CHECK bool worker_pool_stop(struct worker_pool **pool, int timeout_ms);

#endif
