/* Accepting. A listener that cannot accept pauses instead of being woken again
 * and again; the clients meanwhile wait in the kernel's queue. */
#include "worker/listener.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "wire/startup.h"

#define BATCH 32

/* A client that has closed without a wish that still counts: one to cancel does. */
static bool is_gone(int fd)
{
	uint8_t first[STARTUP_MAX_CANCEL];
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};
	size_t size;

	if (poll(&p, 1, 0) != 1)
		return false;
	ssize_t n = recv(fd, first, sizeof(first), MSG_PEEK | MSG_DONTWAIT);
	return n <= 0 || startup_classify(first, (size_t)n, &size) != STARTUP_CANCEL;
}

/* True while more may wait. */
static bool accept_one(struct listener *l)
{
	struct addr addr = {0};
	socklen_t size = sizeof(addr);

	if (!l->ops->may_accept(l->arg)) {
		listener_pause(l);
		l->ops->paused(0, l->arg);
		return false;
	}
	int fd = accept4(l->fd, &addr.sa, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0 && l->is_sifting && is_gone(fd)) {
		close(fd);
		l->ops->unused(-ECONNABORTED, l->arg);
		return true;
	}
	if (fd >= 0) {
		l->ops->accepted(fd, &addr, l->arg);
		return true;
	}
	int error = -errno;
	if (error == -EAGAIN)
		l->is_sifting = false;
	l->ops->unused(error, l->arg);
	if (err_is_exhaustion(error)) {
		listener_pause(l);
		l->ops->paused(error, l->arg);
	}
	/* Any other error is that of the connection that was to be accepted. */
	return error == -ECONNABORTED || error == -EINTR;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	for (int i = 0; i < BATCH && l->fd >= 0; i++) {
		if (!accept_one(l))
			return;
	}
}

int listener_start(struct listener *listener, struct loop *loop, int fd,
		   const struct listener_ops *ops, void *arg)
{
	*listener = (struct listener){.fd = fd, .ops = ops, .arg = arg};
	event_assign(&listener->event, loop->base, fd, EV_READ | EV_PERSIST, on_readable, listener);
	return listener_resume(listener);
}

void listener_stop(struct listener *listener)
{
	event_del(&listener->event);
	listener->fd = -1;
}

void listener_sift(struct listener *listener)
{
	listener->is_sifting = true;
}

void listener_pause(struct listener *listener)
{
	event_del(&listener->event);
}

int listener_resume(struct listener *listener)
{
	return event_add(&listener->event, NULL) < 0 ? -ENOMEM : 0;
}

bool listener_has_client(const struct listener *listener)
{
	struct pollfd p = {.fd = listener->fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}
