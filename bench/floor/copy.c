/* The floor under bench/run: the least that passing bytes on by copying costs.
 *
 *	floor_copy LISTEN_PORT SERVER_PORT [THREADS [BUFFER_BYTES]]
 *
 * One thread: a level-triggered epoll, one buffer for all, one read and one
 * write a message. Each end of a session keeps what its peer would not take,
 * and is not read until that is gone. Ends of stream are passed on. */
#include "floor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
	int fd;
	struct end *peer;
	uint8_t *held; /* read here, for the peer */
	uint32_t held_size;
	uint32_t held_sent;
	bool ended;  /* its stream is over */
	bool closed; /* the session is over: freed after this turn */
};

struct thread {
	int epoll;
	int listener;
	struct end **garbage;
	size_t garbage_count;
	uint8_t *buffer;
};

static size_t buffer_size = 65536;

static void watch(struct thread *t, struct end *e, int operation)
{
	struct epoll_event event = {.data.ptr = e};

	event.events = (!e->ended && e->held == NULL ? (uint32_t)EPOLLIN : 0U) |
		       (e->peer->held != NULL ? (uint32_t)EPOLLOUT : 0U);
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
		free(pair[i].held);
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

static void move(struct thread *t, struct end *e)
{
	ssize_t n = recv(e->fd, t->buffer, buffer_size, 0);
	ssize_t sent;

	if (n == 0) {
		end_stream(t, e);
		return;
	}
	if (n < 0) {
		if (errno != EAGAIN)
			close_session(t, e);
		return;
	}
	sent = net_send(e->peer->fd, t->buffer, (size_t)n);
	if (sent < 0) {
		close_session(t, e);
		return;
	}
	if (sent == n)
		return;
	e->held_size = (uint32_t)(n - sent);
	e->held_sent = 0;
	e->held = malloc(e->held_size);
	if (e->held == NULL)
		die("malloc");
	memcpy(e->held, t->buffer + sent, e->held_size);
	watch(t, e, EPOLL_CTL_MOD);
	watch(t, e->peer, EPOLL_CTL_MOD);
}

static void send_held(struct thread *t, struct end *e)
{
	ssize_t sent = net_send(e->peer->fd, e->held + e->held_sent, e->held_size - e->held_sent);

	if (sent < 0) {
		close_session(t, e);
		return;
	}
	e->held_sent += (uint32_t)sent;
	if (e->held_sent < e->held_size)
		return;
	free(e->held);
	e->held = NULL;
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
	if (!e->closed && (event->events & EPOLLOUT) && e->peer->held != NULL)
		send_held(t, e->peer);
	if (e->closed)
		return;
	if ((event->events & ~(uint32_t)EPOLLOUT) && !e->ended && e->held == NULL)
		move(t, e);
	else if (event->events & EPOLLERR)
		close_session(t, e);
}

static void *run(void *arg)
{
	struct thread t = {.listener = floor_listen(), .epoll = epoll_create1(EPOLL_CLOEXEC)};
	struct epoll_event events[FLOOR_EVENTS] = {{.events = EPOLLIN}};

	t.buffer = malloc(buffer_size);
	t.garbage = calloc(FLOOR_EVENTS, sizeof(*t.garbage));
	if (t.buffer == NULL || t.garbage == NULL ||
	    epoll_ctl(t.epoll, EPOLL_CTL_ADD, t.listener, &events[0]) < 0)
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
		buffer_size = (size_t)net_number(argv[4], 512, 1 << 24);
	return floor_main(argc, argv, run);
}
