/* The floor under bench/run: the least that passing bytes on by splice() costs.
 *
 *	floor_splice LISTEN_PORT SERVER_PORT [THREADS [PIPE_BYTES]]
 *
 * As floor_copy, with a pipe for each direction in place of the buffer: what
 * the peer does not take stays in the pipe. */
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
	int fd;
	int pipe[2]; /* read here, for the peer */
	struct end *peer;
	size_t held; /* in the pipe, after the peer took no more */
	bool ended;  /* its stream is over */
	bool closed; /* the session is over: freed after this turn */
};

struct thread {
	int epoll;
	int listener;
	struct end **garbage;
	size_t garbage_count;
};

static size_t pipe_size = 65536;

static void watch(struct thread *t, struct end *e, int operation)
{
	struct epoll_event event = {.data.ptr = e};

	event.events = (!e->ended && e->held == 0 ? (uint32_t)EPOLLIN : 0U) |
		       (e->peer->held > 0 ? (uint32_t)EPOLLOUT : 0U);
	if (epoll_ctl(t->epoll, operation, e->fd, &event) < 0)
		die("epoll_ctl");
}

static void close_session(struct thread *t, struct end *e)
{
	struct end *pair = e < e->peer ? e : e->peer; /* allocated together */

	if (e->closed)
		return;
	for (int i = 0; i < 2; i++) {
		pair[i].closed = true;
		close(pair[i].fd);
		close(pair[i].pipe[0]);
		close(pair[i].pipe[1]);
	}
	if (t->garbage_count == FLOOR_EVENTS)
		die("garbage");
	t->garbage[t->garbage_count++] = pair;
}

static void end_stream(struct thread *t, struct end *e)
{
	e->ended = true;
	if (e->peer->ended) { /* what ended holds nothing */
		close_session(t, e);
		return;
	}
	shutdown(e->peer->fd, SHUT_WR);
	watch(t, e, EPOLL_CTL_MOD);
}

/* From the pipe on to the peer; false when the session is over. */
static bool push(struct thread *t, struct end *e, size_t *held)
{
	while (*held > 0) {
		ssize_t n = splice(e->pipe[0], NULL, e->peer->fd, NULL, *held,
				   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0) {
			close_session(t, e);
			return false;
		}
		*held -= (size_t)n;
	}
	return true;
}

static void move(struct thread *t, struct end *e)
{
	ssize_t n =
		splice(e->fd, NULL, e->pipe[1], NULL, pipe_size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

	if (n == 0) {
		end_stream(t, e);
		return;
	}
	if (n < 0) {
		if (errno != EAGAIN)
			close_session(t, e);
		return;
	}
	size_t held = (size_t)n;
	if (!push(t, e, &held) || held == 0)
		return;
	e->held = held;
	watch(t, e, EPOLL_CTL_MOD);
	watch(t, e->peer, EPOLL_CTL_MOD);
}

static void send_held(struct thread *t, struct end *e)
{
	if (!push(t, e, &e->held) || e->held > 0)
		return;
	watch(t, e, EPOLL_CTL_MOD);
	watch(t, e->peer, EPOLL_CTL_MOD);
}

static void accept_one(struct thread *t)
{
	int client = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (client < 0)
		return;
	struct end *pair = calloc(2, sizeof(*pair));
	if (pair == NULL)
		die("calloc");
	pair[0] = (struct end){.fd = client, .peer = &pair[1]};
	pair[1] = (struct end){.fd = floor_connect(client), .peer = &pair[0]};
	for (int i = 0; i < 2; i++) {
		if (pipe2(pair[i].pipe, O_CLOEXEC | O_NONBLOCK) < 0)
			die("pipe2");
		if (pipe_size != 65536 && fcntl(pair[i].pipe[1], F_SETPIPE_SZ, (int)pipe_size) < 0)
			die("F_SETPIPE_SZ");
	}
	watch(t, &pair[0], EPOLL_CTL_ADD);
	watch(t, &pair[1], EPOLL_CTL_ADD);
}

static void on_event(struct thread *t, const struct epoll_event *event)
{
	struct end *e = event->data.ptr;

	if (e == NULL) {
		accept_one(t);
		return;
	}
	if (!e->closed && (event->events & EPOLLOUT) && e->peer->held > 0)
		send_held(t, e->peer);
	if (e->closed)
		return;
	if ((event->events & ~(uint32_t)EPOLLOUT) && !e->ended && e->held == 0)
		move(t, e);
	else if (event->events & EPOLLERR)
		close_session(t, e);
}

static void *run(void *arg)
{
	struct thread t = {.listener = floor_listen(), .epoll = epoll_create1(EPOLL_CLOEXEC)};
	struct epoll_event events[FLOOR_EVENTS] = {{.events = EPOLLIN}};

	t.garbage = calloc(FLOOR_EVENTS, sizeof(*t.garbage));
	if (t.garbage == NULL || epoll_ctl(t.epoll, EPOLL_CTL_ADD, t.listener, &events[0]) < 0)
		die("epoll");
	for (;;) {
		int count = epoll_wait(t.epoll, events, FLOOR_EVENTS, -1);
		for (int i = 0; i < count; i++)
			on_event(&t, &events[i]);
		while (t.garbage_count > 0)
			free(t.garbage[--t.garbage_count]);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc == 5)
		pipe_size = (size_t)net_number(argv[4], 4096, 1 << 24);
	return floor_main(argc, argv, run);
}
