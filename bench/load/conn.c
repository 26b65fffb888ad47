/* A broken connection ends the program: the bench is about what works. */
#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void watch(struct load *load, struct conn *c, int operation)
{
	struct epoll_event event = {.events = c->writing ? EPOLLOUT : EPOLLIN, .data.ptr = c};

	if (epoll_ctl(load->epoll, operation, c->fd, &event) < 0)
		die("epoll_ctl");
}

static void set_writing(struct load *load, struct conn *c, bool writing)
{
	if (c->writing == writing)
		return;
	c->writing = writing;
	watch(load, c, EPOLL_CTL_MOD);
}

static enum ask ask_of(enum role role)
{
	switch (role) {
	case ROLE_PING:
		return ASK_ECHO;
	case ROLE_PULL:
		return ASK_SOURCE;
	case ROLE_PUSH:
		return ASK_SINK;
	case ROLE_OPEN:
	case ROLE_HOLD:
		return ASK_NOTHING;
	}
	return ASK_NOTHING;
}

void conn_open(struct load *load, struct conn *conn, enum role role)
{
	uint8_t ask[ASK_SIZE] = {(uint8_t)ask_of(role)};
	size_t size = role == ROLE_PING ? ASK_SIZE : 1;
	uint8_t answer;

	*conn = (struct conn){.role = role, .fd = -1};
	if (role == ROLE_OPEN)
		return;
	for (int i = 0; i < 4; i++)
		ask[1 + i] = (uint8_t)(load->size >> (8 * i));
	conn->fd = net_connect(load->port);
	if (conn->fd < 0)
		die("connect");
	if (net_send(conn->fd, ask, size) != (ssize_t)size || recv(conn->fd, &answer, 1, 0) != 1 ||
	    answer != ask[0])
		die("no answer from the server");
	net_prepare(conn->fd);
	conn->writing = role == ROLE_PUSH;
	if (role != ROLE_HOLD)
		watch(load, conn, EPOLL_CTL_ADD);
}

static void count_turn(struct load *load, struct conn *c, int64_t now_ns)
{
	load->turns++;
	if (load->measuring)
		histogram_add(&load->latency, (uint64_t)(now_ns - c->began_ns));
}

static void send_message(struct load *load, struct conn *c)
{
	ssize_t n = net_send(c->fd, load->data + c->sent, load->size - c->sent);

	if (n < 0)
		die("send");
	c->sent += (uint32_t)n;
	set_writing(load, c, c->sent < load->size);
}

static void read_message(struct load *load, struct conn *c)
{
	ssize_t n = recv(c->fd, load->data, load->size - c->got, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die("recv");
	c->got += (uint32_t)n;
	if (c->got < load->size)
		return;
	int64_t now_ns = net_now_ns();
	count_turn(load, c, now_ns);
	c->began_ns = now_ns;
	c->sent = 0;
	c->got = 0;
	send_message(load, c);
}

static void pull(struct load *load, struct conn *c)
{
	ssize_t n = recv(c->fd, load->data, NET_CHUNK, 0);

	if (n <= 0 && errno != EAGAIN)
		die("recv");
	if (n > 0)
		load->bytes += (uint64_t)n;
}

static void push(struct load *load, struct conn *c)
{
	ssize_t n = net_send(c->fd, load->data, NET_CHUNK);

	if (n < 0)
		die("send");
	load->bytes += (uint64_t)n;
}

/* On loopback the handshake is often over when connect() returns. */
static void begin_setup(struct load *load, struct conn *c)
{
	uint8_t ask = ASK_NOTHING;

	c->began_ns = net_now_ns();
	c->fd = net_connect_begin(load->port);
	if (c->fd < 0)
		die("connect");
	c->asked = send(c->fd, &ask, 1, MSG_NOSIGNAL) == 1;
	if (!c->asked && errno != EAGAIN)
		die("connect");
	c->writing = !c->asked;
	watch(load, c, EPOLL_CTL_ADD);
}

static void run_setup(struct load *load, struct conn *c)
{
	uint8_t byte = ASK_NOTHING;

	if (!c->asked) {
		if (send(c->fd, &byte, 1, MSG_NOSIGNAL) != 1)
			die("send");
		c->asked = true;
		set_writing(load, c, false);
		return;
	}
	if (recv(c->fd, &byte, 1, 0) != 1)
		die("recv");
	close(c->fd);
	count_turn(load, c, net_now_ns());
	begin_setup(load, c);
}

void conn_begin(struct load *load, struct conn *conn)
{
	if (conn->role == ROLE_OPEN)
		begin_setup(load, conn);
	if (conn->role == ROLE_PING) {
		conn->began_ns = net_now_ns();
		send_message(load, conn);
	}
}

void conn_run(struct load *load, struct conn *conn)
{
	switch (conn->role) {
	case ROLE_PING:
		if (conn->writing)
			send_message(load, conn);
		else
			read_message(load, conn);
		break;
	case ROLE_PULL:
		pull(load, conn);
		break;
	case ROLE_PUSH:
		push(load, conn);
		break;
	case ROLE_OPEN:
		run_setup(load, conn);
		break;
	case ROLE_HOLD:
		break;
	}
}
