/* What every worker has carried out: the proof before an acknowledgement.
 *
 * A worker marks a drop generation once no server socket that its snapshot
 * forbids is open any more. Marks of one worker only rise. */
#ifndef PGSPLICE_WORKER_DROP_BARRIER_H
#define PGSPLICE_WORKER_DROP_BARRIER_H

#include <stdatomic.h>
#include <stdint.h>

#include "net/wakeup.h"

#define DROP_BARRIER_MAX_WORKERS 64

struct drop_barrier {
	unsigned workers;
	struct wakeup *control; /* rung after each mark */
	/* Each written by its worker with release, after the closes; read by the
	 * control thread with acquire: who sees the mark comes after the closes. */
	_Atomic uint64_t marks[DROP_BARRIER_MAX_WORKERS];
};

void drop_barrier_init(struct drop_barrier *barrier, unsigned workers, struct wakeup *control);

/* Worker thread. */
void drop_barrier_mark(struct drop_barrier *barrier, unsigned worker, uint64_t drop_generation);

/* Any thread: the newest generation that all workers have carried out. */
uint64_t drop_barrier_drained(const struct drop_barrier *barrier);

#endif
