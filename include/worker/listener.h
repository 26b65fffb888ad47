/* Accepts on one listening socket, a bounded batch a turn. Worker thread. */
#ifndef PGSPLICE_WORKER_LISTENER_H
#define PGSPLICE_WORKER_LISTENER_H

#include "net/addr.h"
#include "net/loop.h"

struct listener_ops {
	/* Whether one more may be accepted; each true is followed by accepted()
	 * or unused(). */
	bool (*may_accept)(void *arg);
	void (*unused)(int error, void *arg); /* -EAGAIN: nobody is waiting */
	void (*accepted)(int fd, const struct addr *addr, void *arg);
	/* Out of descriptors or memory, or may_accept() said no: the listener
	 * has paused until listener_resume(). error is 0 for the latter. */
	void (*paused)(int error, void *arg);
};

struct listener {
	int fd; /* borrowed */
	struct event event;
	bool is_sifting;
	const struct listener_ops *ops;
	void *arg;
};

MUST_CHECK int listener_start(struct listener *listener, struct loop *loop, int fd,
			      const struct listener_ops *ops, void *arg);
void listener_stop(struct listener *listener);
/* Those who wait now have waited for long: who has given up is closed and not accepted,
 * until nobody waits. Each would cost the server a process that serves nobody. */
void listener_sift(struct listener *listener);
void listener_pause(struct listener *listener);
MUST_CHECK int listener_resume(struct listener *listener);
/* Whether a client waits in the kernel's queue. */
bool listener_has_client(const struct listener *listener);

#endif
