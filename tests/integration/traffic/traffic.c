/* Many sessions through a proxy, every byte checked: this program is both the
 * clients and the server.
 *
 * Each session has a plan of its own (sizes, who ends first, who resets when).
 * Its number goes ahead of the client's bytes, so that the server knows which
 * one it is. The bytes of each direction are a function of number and position.
 * Ends with one line of counts; exit status 1 if a byte or an end was wrong.
 *
 * With SECONDS it is a soak: it starts sessions for that time, some of them with
 * slow or pausing readers. Now and then it writes the line "cut": whoever started
 * it then cuts all sessions and answers with a byte when clients are served
 * again. Only sessions of that time may be cut.
 *
 * Usage: traffic PROXY-PORT SERVER-PORT SESSIONS CONCURRENCY MAX-BYTES SEED [SECONDS] */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "plan.h"
#include "traffic.h"

#define STALL_MS       20000
#define PAUSE_CHECK_MS 5

static unsigned proxy_port;
static unsigned server_port;
struct session *sessions;
static int epoll;
static uint64_t wrong;
static uint64_t bytes_checked;
static uint64_t active;
static uint64_t server_sides;
static uint64_t resets;
static uint64_t cuts; /* sessions that were cut */
uint64_t started;
int soak_s;

static void complain(const struct session *s, const char *what, uint64_t have, uint64_t want)
{
	wrong++;
	if (wrong < 20)
		fprintf(stderr, "session %llu (plan %d): %s: %llu, not %llu\n",
			(unsigned long long)s->number, s->end, what, (unsigned long long)have,
			(unsigned long long)want);
}

static bool resets_now(const struct side *side)
{
	const struct session *s = side->session;

	return s != NULL && s->end == (side->is_client ? CLIENT_RESETS : SERVER_RESETS) &&
	       side->sent >= s->reset_after;
}

/* All is sent, but the other is to end first. */
static bool holds_back(const struct side *side)
{
	return side->is_client && side->session->end == SERVER_ENDS_FIRST && !side->heard_end &&
	       side->sent == side->total;
}

void watch(struct side *side)
{
	const struct session *s = side->session;
	bool waits =
		s != NULL && !side->is_client && s->end == CLIENT_ENDS_FIRST && !side->heard_end;
	bool writes = s != NULL && !side->ended && !waits && !holds_back(side);
	bool reads = !side->heard_end && side->paused_until_ms == 0;
	struct epoll_event event = {.events = (reads ? EPOLLIN : 0) | (writes ? EPOLLOUT : 0),
				    .data.ptr = side};

	epoll_ctl(epoll, EPOLL_CTL_MOD, side->fd, &event);
}

static void add(struct side *side)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = side};

	epoll_ctl(epoll, EPOLL_CTL_ADD, side->fd, &event);
}

/* A side of a session that was cut: its end is a reset, never one that could be
 * taken for complete. */
static void check_cut_side(const struct session *s, const struct side *side, uint64_t total)
{
	if (side->received > total || (side->heard_end && !side->broken && side->received != total))
		complain(s,
			 side->is_client ? "cut, bytes at the client" : "cut, bytes at the server",
			 side->received, total);
}

static void check_session(const struct session *s)
{
	if (s->end == CLIENT_RESETS || s->end == SERVER_RESETS) {
		resets++;
		return; /* prefixes were checked byte by byte */
	}
	if (s->may_be_cut && (s->server == NULL || s->client.broken || s->server->broken)) {
		cuts++;
		if (s->server != NULL) {
			check_cut_side(s, &s->client, s->server->total);
			check_cut_side(s, s->server, s->client.total);
		}
		return;
	}
	if (s->server == NULL) {
		complain(s, "server sides", 0, 1);
		return;
	}
	if (s->client.received != s->server->total)
		complain(s, "bytes at the client", s->client.received, s->server->total);
	if (s->server->received != s->client.total)
		complain(s, "bytes at the server", s->server->received, s->client.total);
	if (s->client.broken || s->server->broken)
		complain(s, "sides that saw a reset", s->client.broken + s->server->broken * 2u, 0);
}

static void session_may_be_over(struct session *s)
{
	if (s->client.fd >= 0 || (s->server != NULL && !s->server_done))
		return;
	/* A client that resets early may never have had a server. */
	if (s->server == NULL && s->end != CLIENT_RESETS && !s->may_be_cut)
		complain(s, "server sides", 0, 1);
	else
		check_session(s);
	free(s->server);
	s->server = NULL;
	s->end = PLAN_ENDS;
	active--;
}

static void finish(struct side *side, bool reset)
{
	struct session *s = side->session;
	struct linger abort = {1, 0};

	if (reset)
		setsockopt(side->fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
	soak_unpause(side);
	close(side->fd);
	side->fd = -1;
	if (!side->is_client)
		server_sides--;
	if (s == NULL || s->end == PLAN_ENDS) {
		free(side); /* a server's side whose session is unknown or over */
		return;
	}
	if (!side->is_client)
		s->server_done = true;
	session_may_be_over(s);
}

static void take_header(struct side *side, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size && side->received + i < HEADER; i++)
		side->header[side->received + i] = data[i];
	if (side->received + size < HEADER)
		return;
	uint64_t number = 0;
	for (int i = 0; i < HEADER; i++)
		number |= (uint64_t)side->header[i] << (8 * i);
	struct session *s = &sessions[number];
	if (number >= started) {
		fprintf(stderr, "a server got the bytes of no session\n");
		wrong++;
		return;
	}
	if (s->end == PLAN_ENDS)
		return; /* its client has given up long ago */
	side->session = s;
	side->total = s->slow ? random_below(SLOW_BYTES) : random_size();
	s->server = side;
	soak_make_slow(side, s->slow && random_below(2) == 0);
	if (s->end == SERVER_RESETS)
		s->reset_after = random_below(side->total + 1);
}

static void check_bytes(struct side *side, const uint8_t *data, size_t size)
{
	if (side->session == NULL)
		take_header(side, data, size);
	const struct session *s = side->session;
	if (s != NULL) {
		static uint8_t expected[65536];
		plan_bytes(s->number, !side->is_client, side->received, expected, size);
		if (memcmp(data, expected, size) != 0)
			complain(s, "altered bytes at", side->received, 0);
	}
	side->received += size;
	bytes_checked += size;
}

/* False when the side is gone. */
static bool receive(struct side *side)
{
	static uint8_t data[65536];
	ssize_t n = recv(side->fd, data, 1 + random_below(sizeof(data)), 0);

	if (n > 0) {
		check_bytes(side, data, (size_t)n);
		soak_pause(side);
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	side->heard_end = true;
	side->broken = n < 0;
	if (!side->broken && side->session != NULL && !side->ended)
		return true;
	finish(side, false);
	return false;
}

static bool transmit(struct side *side)
{
	static uint8_t data[65536];
	const struct session *s = side->session;
	uint64_t size = 1 + random_below(sizeof(data));
	uint64_t left = side->total - side->sent;

	if (size > left)
		size = left;
	plan_bytes(s->number, side->is_client, side->sent, data, size);
	ssize_t n = size == 0 ? 0 : send(side->fd, data, size, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		side->broken = true;
		finish(side, false);
		return false;
	}
	if (n > 0)
		side->sent += (uint64_t)n;
	if (resets_now(side)) {
		side->broken = true;
		finish(side, true);
		return false;
	}
	if (side->sent == side->total && !holds_back(side)) {
		side->ended = true;
		if (side->heard_end) {
			finish(side, false);
			return false;
		}
		shutdown(side->fd, SHUT_WR);
	}
	return true;
}

static void serve(struct side *side, uint32_t events)
{
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !receive(side))
		return;
	if ((events & EPOLLOUT) && !side->ended && !transmit(side))
		return;
	watch(side);
}

static int new_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int small = 8192;

	if (fd < 0) {
		perror("socket");
		exit(2);
	}
	if (random_below(8) == 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	return fd;
}

static void start_client(uint64_t number)
{
	struct session *s = &sessions[number];
	/* Other addresses for more ports. */
	struct sockaddr_in proxy = {.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)proxy_port),
				    .sin_addr.s_addr =
					    htonl(0x7f000001 + (uint32_t)random_below(200))};

	s->number = number;
	s->end = (enum plan_end)random_below(PLAN_ENDS);
	s->client = (struct side){.fd = new_socket(), .is_client = true, .session = s};
	s->slow = soak_s > 0 && random_below(8) == 0;
	s->may_be_cut = soak_is_cutting();
	s->client.total = HEADER + (s->slow ? random_below(SLOW_BYTES) : random_size());
	soak_make_slow(&s->client, s->slow && random_below(2) == 0);
	s->reset_after = random_below(s->client.total + 1);
	(void)connect(s->client.fd, (struct sockaddr *)&proxy, sizeof(proxy));
	add(&s->client);
	watch(&s->client);
	active++;
}

static void accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct side *side = calloc(1, sizeof(*side));
		side->fd = fd;
		server_sides++;
		add(side);
	}
}

static int listen_here(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons((uint16_t)server_port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 4096) < 0) {
		perror("listen");
		exit(2);
	}
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	return fd;
}

static bool may_start(uint64_t count, uint64_t concurrency, int64_t end_ms)
{
	if (started == count || active >= concurrency)
		return false;
	if (soak_s > 0 && now_ms() >= end_ms)
		return false;
	return soak_may_start();
}

static void handle(void *of, uint32_t events, int listener)
{
	if (of == NULL)
		accept_all(listener);
	else if (of == &soak_answer)
		soak_hear_answer();
	else
		serve(of, events);
}

static void run(int listener, uint64_t count, uint64_t concurrency)
{
	struct epoll_event events[128];
	int64_t end_ms = now_ms() + soak_s * 1000;
	int64_t moved_ms = now_ms();
	bool more = true;

	while (more || active > 0 || server_sides > 0 || soak_is_cutting()) {
		while (may_start(count, concurrency, end_ms))
			start_client(started++);
		more = started < count && (soak_s == 0 || now_ms() < end_ms);
		if (soak_s > 0 && more)
			soak_maybe_cut();
		int n = epoll_wait(epoll, events, 128, soak_waits() ? PAUSE_CHECK_MS : 1000);
		if (n > 0)
			moved_ms = now_ms();
		for (int i = 0; i < n; i++)
			handle(events[i].data.ptr, events[i].events, listener);
		soak_end_pauses();
		if (now_ms() - moved_ms > STALL_MS) {
			fprintf(stderr, "%llu sessions hang\n", (unsigned long long)active);
			wrong++;
			break;
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit files;

	if (argc != 7 && argc != 8)
		return 2;
	proxy_port = (unsigned)atoi(argv[1]);
	server_port = (unsigned)atoi(argv[2]);
	uint64_t count = strtoull(argv[3], NULL, 10);
	plan_seed(strtoull(argv[6], NULL, 10), strtoull(argv[5], NULL, 10));
	soak_s = argc == 8 ? atoi(argv[7]) : 0;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	sessions = calloc(count, sizeof(*sessions));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	int listener = listen_here();
	if (soak_s > 0) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &soak_answer};
		epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
		soak_plan_next_cut();
	}
	run(listener, count, strtoull(argv[4], NULL, 10));
	printf("sessions=%llu resets=%llu cut=%llu bytes=%llu wrong=%llu\n",
	       (unsigned long long)started, (unsigned long long)resets, (unsigned long long)cuts,
	       (unsigned long long)bytes_checked, (unsigned long long)wrong);
	return wrong > 0;
}
