/* Cross-thread rings over an eventfd. */
#include "net/wakeup.h"

#include <errno.h>
#include <sys/eventfd.h>

static void on_ring(evutil_socket_t fd, short what, void *arg)
{
	struct wakeup *w = arg;
	uint64_t rings;

	(void)!read(w->fd, &rings, sizeof(rings));
	w->cb(w->arg);
}

int wakeup_init(struct wakeup *wakeup, struct loop *loop, void (*cb)(void *arg), void *arg)
{
	wakeup->cb = cb;
	wakeup->arg = arg;
	wakeup->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wakeup->fd < 0)
		return -errno;
	if (event_assign(&wakeup->event, loop->base, wakeup->fd, EV_READ | EV_PERSIST, on_ring,
			 wakeup) < 0 ||
	    event_priority_set(&wakeup->event, LOOP_URGENT) < 0 ||
	    event_add(&wakeup->event, NULL) < 0) {
		close_fd(&wakeup->fd);
		return -ENOMEM;
	}
	return 0;
}

void wakeup_deinit(struct wakeup *wakeup)
{
	if (wakeup->fd < 0)
		return;
	event_del(&wakeup->event);
	close_fd(&wakeup->fd);
}

void wakeup_ring(struct wakeup *wakeup)
{
	/* EAGAIN means 2^64 rings are waiting: one more adds nothing. */
	(void)!write(wakeup->fd, &(uint64_t){1}, sizeof(uint64_t));
}
