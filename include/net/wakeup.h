/* Lets other threads run a callback in a loop: rings between two turns are
 * heard as one. */
#ifndef PGSPLICE_NET_WAKEUP_H
#define PGSPLICE_NET_WAKEUP_H

#include "net/loop.h"

struct wakeup {
	int fd;
	struct event event;
	void (*cb)(void *arg);
	void *arg;
};

/* Loop thread. cb runs before the other events of its turn. */
MUST_CHECK int wakeup_init(struct wakeup *wakeup, struct loop *loop, void (*cb)(void *arg),
			   void *arg);
/* Loop thread; nobody may ring any more. Accepts one that is zeroed with fd -1. */
void wakeup_deinit(struct wakeup *wakeup);

/* Any thread, never blocks. What was written before is seen by the callback. */
void wakeup_ring(struct wakeup *wakeup);

#endif
