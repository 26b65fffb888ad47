/* The other end of bench_load: echoes, swallows or sends, as each connection asks.
 *
 *	bench_server PORT...
 *
 * One thread. One read or write of a connection a turn, so that a stream leaves
 * room for the small messages beside it. Prints "ready"; runs until it is
 * killed or its stdin ends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

#define MAX_FDS 65536

struct conn {
	uint8_t ask;      /* 0: not known yet */
	uint8_t head;     /* bytes of the size that have come */
	bool writing;     /* waits to be writable, not readable */
	uint32_t size;    /* of an echo */
	uint32_t got;     /* of the message that is coming */
	uint32_t to_send; /* of the answer that is going */
};

static int epoll;
static bool is_listener[MAX_FDS];
static struct conn conns[MAX_FDS];
static uint8_t buffer[NET_CHUNK];

static void watch(int fd, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(epoll, operation, fd, &event) < 0)
		die("epoll_ctl");
}

static void set_writing(int fd, bool writing)
{
	if (conns[fd].writing == writing)
		return;
	conns[fd].writing = writing;
	watch(fd, EPOLL_CTL_MOD, writing ? EPOLLOUT : EPOLLIN);
}

static void accept_all(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		if (fd >= MAX_FDS)
			die("too many descriptors");
		net_prepare(fd);
		conns[fd] = (struct conn){0};
		watch(fd, EPOLL_CTL_ADD, EPOLLIN);
	}
}

/* Sends what is owed; false when the connection is broken. */
static bool answer(int fd)
{
	struct conn *c = &conns[fd];

	while (c->to_send > 0) {
		size_t size = c->to_send < sizeof(buffer) ? c->to_send : sizeof(buffer);
		ssize_t n = net_send(fd, buffer, size);
		if (n < 0)
			return false;
		if (n == 0)
			break;
		c->to_send -= (uint32_t)n;
	}
	set_writing(fd, c->to_send > 0);
	return true;
}

static bool count_echo(int fd, size_t n)
{
	struct conn *c = &conns[fd];

	c->got += (uint32_t)n;
	while (c->got >= c->size) {
		c->got -= c->size;
		c->to_send += c->size;
	}
	return c->to_send == 0 || answer(fd);
}

/* The first bytes; returns how many belong to the question, -1 for none such. */
static ssize_t read_question(int fd, const uint8_t *data, size_t n)
{
	struct conn *c = &conns[fd];
	size_t used = 0;

	if (c->ask == 0) {
		c->ask = data[used++];
		if (strchr("neks", c->ask) == NULL || net_send(fd, &c->ask, 1) != 1)
			return -1;
	}
	for (; c->ask == ASK_ECHO && c->head < ASK_SIZE - 1 && used < n; c->head++)
		c->size |= (uint32_t)data[used++] << (8 * c->head);
	if (c->ask == ASK_ECHO && c->head == ASK_SIZE - 1 && c->size == 0)
		return -1;
	if (c->ask == ASK_SOURCE)
		set_writing(fd, true);
	return (ssize_t)used;
}

static bool on_readable(int fd)
{
	struct conn *c = &conns[fd];
	ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
	ssize_t used = 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	if (c->ask == 0 || (c->ask == ASK_ECHO && c->head < ASK_SIZE - 1)) {
		used = read_question(fd, buffer, (size_t)n);
		if (used < 0)
			return false;
	}
	return c->ask != ASK_ECHO || used == n || count_echo(fd, (size_t)(n - used));
}

static bool on_writable(int fd)
{
	if (conns[fd].ask == ASK_SOURCE)
		return net_send(fd, buffer, sizeof(buffer)) >= 0;
	return answer(fd);
}

static void on_event(const struct epoll_event *event)
{
	int fd = event->data.fd;

	if (is_listener[fd]) {
		accept_all(fd);
		return;
	}
	if (fd == STDIN_FILENO) {
		if (read(fd, buffer, sizeof(buffer)) == 0)
			exit(EXIT_SUCCESS);
		return;
	}
	/* Errors and hang-ups show in the read or the write. */
	if (!(conns[fd].writing ? on_writable(fd) : on_readable(fd)))
		close(fd);
}

int main(int argc, char **argv)
{
	struct epoll_event events[256];

	if (argc < 2) {
		fprintf(stderr, "usage: bench_server PORT...\n");
		return 2;
	}
	net_raise_limit();
	epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 1; i < argc; i++) {
		int fd = net_listen((int)net_number(argv[i], 1, 65535), false);
		is_listener[fd] = true;
		watch(fd, EPOLL_CTL_ADD, EPOLLIN);
	}
	/* Not possible for a file; then it runs until it is killed. */
	struct epoll_event on_stdin = {.events = EPOLLIN, .data.fd = STDIN_FILENO};
	(void)epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &on_stdin);
	memset(buffer, 'x', sizeof(buffer));
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(epoll, events, 256, -1);
		for (int i = 0; i < count; i++)
			on_event(&events[i]);
	}
}
