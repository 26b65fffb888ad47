/* Accepted clients on their way to another worker.
 *
 * The kernel spreads connections over the workers' sockets by a hash, which
 * leaves some with far more sessions than others; a worker that has too many
 * passes new clients on. A stack without locks: any worker pushes, one takes. */
#ifndef PGSPLICE_WORKER_HANDOFF_H
#define PGSPLICE_WORKER_HANDOFF_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "net/addr.h"

struct handed {
	struct handed *next;
	int fd;
	unsigned port; /* at which it came; the workers' to name */
	struct addr addr;
};

struct handoff {
	/* Pushed with release, taken whole with acquire: protects the nodes. */
	_Atomic(struct handed *) newest;
};

/* Any worker. The receiver owns fd from now on; 0 or -ENOMEM. */
MUST_CHECK int handoff_push(struct handoff *handoff, int fd, unsigned port,
			    const struct addr *addr);

/* Any worker: the receiver has taken what was pushed before. */
bool handoff_is_empty(const struct handoff *handoff);

/* The receiver: everything pushed so far, oldest first; the nodes are the
 * caller's to free. NULL if there is nothing. */
struct handed *handoff_take(struct handoff *handoff);

#endif
