/* How many sessions the descriptors allow, shared by all workers. */
#ifndef PGSPLICE_WORKER_CAPACITY_H
#define PGSPLICE_WORKER_CAPACITY_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/cleanup.h"

struct capacity {
	int limit;
	/* Sessions that may still begin: every worker; relaxed, a mere count. */
	atomic_int free;
	/* Workers that do not accept at present: relaxed, for the log only. */
	atomic_int paused;
};

/* Raises RLIMIT_NOFILE to its hard limit and works out from it how many
 * sessions fit, with two descriptors each; logs both. kept: descriptors that the rest of
 * the program will open, beside a few for the store and for names. */
MUST_CHECK int capacity_init(struct capacity *capacity, unsigned workers, int kept);

/* Any worker thread. */
bool capacity_take(struct capacity *capacity);
void capacity_give_back(struct capacity *capacity);

/* A worker stops or starts accepting for want of descriptors or memory: logged
 * when the first stops and when the last one goes on. */
void capacity_paused(struct capacity *capacity, int error);
void capacity_resumed(struct capacity *capacity);

#endif
