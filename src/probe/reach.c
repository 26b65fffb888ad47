/* One connection for one answer. Either event, or the timer, ends it. */
#include "probe/reach.h"

#include <errno.h>

#include "base/clock.h"
#include "base/err.h"
#include "net/sock.h"

/* GSSENCRequest: its length and the code 1234.5680. */
static const uint8_t request[] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30};

struct reach {
	struct event event; /* writable: the connect ended; readable: the answer */
	struct loop_timer timer;
	struct loop *loop;
	struct addr addr;
	int fd;
	int error; /* of a connect that failed at once */
	int64_t began_us;
	reach_cb *cb;
	void *arg;
};

void reach_cancel(struct reach **reach)
{
	struct reach *r = TAKE_PTR(*reach);

	if (r == NULL)
		return;
	event_del(&r->event);
	loop_timer_stop(&r->timer);
	close_fd(&r->fd);
	free(r);
}

static void finish(struct reach *r, int error)
{
	int64_t took_us = clock_boot_us() - r->began_us;
	reach_cb *cb = r->cb;
	void *arg = r->arg;

	reach_cancel(&r);
	cb(error, took_us, arg);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	finish(arg, -ETIMEDOUT);
}

static int read_answer(int fd)
{
	char answer;
	ssize_t size = recv(fd, &answer, 1, 0);

	if (size < 0)
		return -errno;
	if (size == 0)
		return -ECONNRESET;
	/* 'E': refused, or a server of before GSS. It answers, that is enough. */
	return answer == 'G' || answer == 'N' || answer == 'E' ? 0 : ERR_SYNTAX;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct reach *r = arg;
	int error = read_answer(r->fd);

	if (error == -EAGAIN || error == -EINTR)
		return;
	finish(r, error);
}

static int connect_result(const struct reach *r)
{
	int error = sock_connect_result(r->fd);
	struct addr local = sock_local_addr(r->fd);

	/* A dead port of this host may be connected to itself. */
	if (error == 0 && addr_equal(&local, &r->addr))
		return -ECONNREFUSED;
	return error;
}

static int send_request(int fd)
{
	ssize_t size = send(fd, request, sizeof(request), MSG_NOSIGNAL);

	if (size < 0)
		return -errno;
	return size == sizeof(request) ? 0 : -ENOBUFS;
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct reach *r = arg;
	int error = r->fd < 0 ? r->error : connect_result(r);

	if (error == 0)
		error = send_request(r->fd);
	if (error == 0) {
		event_assign(&r->event, r->loop->base, r->fd, EV_READ | EV_PERSIST, on_readable, r);
		error = event_add(&r->event, NULL) == 0 ? 0 : -ENOMEM;
	}
	if (error < 0)
		finish(r, error);
}

static int start_connect(struct reach *r)
{
	r->began_us = clock_boot_us();
	r->error = sock_connect_abortive(&r->addr, &r->fd);
	if (err_is_exhaustion(r->error))
		return r->error;
	event_assign(&r->event, r->loop->base, r->fd, EV_WRITE, on_connected, r);
	if (r->error < 0) {
		event_active(&r->event, EV_WRITE, 0);
		return 0;
	}
	/* PostgreSQL logs connections that are reset. There are no bytes here whose
	 * delivery anybody has to prevent. */
	sock_allow_graceful_close(r->fd);
	return event_add(&r->event, NULL) == 0 ? 0 : -ENOMEM;
}

int reach_start(struct loop *loop, const struct addr *addr, int64_t timeout_ms, reach_cb *cb,
		void *arg, struct reach **ret_reach)
{
	struct reach *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->loop = loop;
	r->addr = *addr;
	r->fd = -1;
	r->cb = cb;
	r->arg = arg;
	event_assign(&r->event, loop->base, -1, 0, on_connected, r);
	loop_timer_init(&r->timer, loop, on_timeout, r);
	int error = start_connect(r);
	if (error < 0) {
		reach_cancel(&r);
		return error;
	}
	loop_timer_start(&r->timer, timeout_ms);
	*ret_reach = r;
	return 0;
}
