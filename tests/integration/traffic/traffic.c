/* Many sessions through a proxy, every byte checked: this program is both the
 * clients and the server.
 *
 * Each session has a plan of its own (sizes, who ends first, who resets when).
 * Its number goes ahead of the client's bytes, so that the server knows which
 * one it is. The bytes of each direction are a function of number and position.
 * Ends with one line of counts; exit status 1 if a byte or an end was wrong.
 *
 * Usage: traffic PROXY-PORT SERVER-PORT SESSIONS CONCURRENCY MAX-BYTES SEED */
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

#define HEADER  8
#define STALL_S 20

enum plan_end {
	CLIENT_ENDS_FIRST, /* and the server answers after that end only */
	SERVER_ENDS_FIRST,
	BOTH_AT_WILL,
	CLIENT_RESETS,
	SERVER_RESETS,
	PLAN_ENDS,
};

struct session;

struct side {
	int fd; /* -1: not yet, or closed */
	bool is_client;
	bool ended;     /* our end of stream was sent */
	bool heard_end; /* the other's was seen */
	bool broken;    /* reset, by us or as seen */
	uint64_t total; /* to send, the header included */
	uint64_t sent;
	uint64_t received;
	struct session *session; /* of a server's side: NULL before the header */
	uint8_t header[HEADER];
};

struct session {
	uint64_t number;
	enum plan_end end;
	uint64_t reset_after; /* bytes sent by whoever resets */
	struct side client;
	struct side *server; /* NULL: not seen yet */
	bool server_done;
};

static unsigned proxy_port;
static unsigned server_port;
static uint64_t max_bytes;
static uint64_t random_state;
static struct session *sessions;
static int epoll;
static uint64_t wrong;
static uint64_t bytes_checked;
static uint64_t active;
static uint64_t server_sides;
static uint64_t resets;

static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint64_t random_below(uint64_t limit)
{
	return limit == 0 ? 0 : random_number() % limit;
}

/* Small ones are as likely as large ones. */
static uint64_t random_size(void)
{
	uint64_t limit = max_bytes >> random_below(16);

	return random_below(limit + 1);
}

static uint8_t byte_at(const struct session *s, bool from_client, uint64_t at)
{
	uint64_t x = (s->number * 2 + from_client) * 0x9e3779b97f4a7c15u + at * 0xbf58476d1ce4e5b9u;

	return from_client && at < HEADER ? (uint8_t)(s->number >> (8 * at)) : (uint8_t)(x >> 56);
}

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

static void watch(struct side *side)
{
	const struct session *s = side->session;
	bool waits =
		s != NULL && !side->is_client && s->end == CLIENT_ENDS_FIRST && !side->heard_end;
	bool writes = s != NULL && !side->ended && !waits && !holds_back(side);
	struct epoll_event event = {.events = (side->heard_end ? 0 : EPOLLIN) |
					      (writes ? EPOLLOUT : 0),
				    .data.ptr = side};

	epoll_ctl(epoll, EPOLL_CTL_MOD, side->fd, &event);
}

static void add(struct side *side)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = side};

	epoll_ctl(epoll, EPOLL_CTL_ADD, side->fd, &event);
}

static void check_session(const struct session *s)
{
	if (s->end == CLIENT_RESETS || s->end == SERVER_RESETS) {
		resets++;
		return; /* prefixes were checked byte by byte */
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
	if (s->server == NULL && s->end != CLIENT_RESETS)
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
	if (s->end == PLAN_ENDS)
		return; /* its client has given up long ago */
	side->session = s;
	side->total = random_size();
	s->server = side;
	if (s->end == SERVER_RESETS)
		s->reset_after = random_below(side->total + 1);
}

static void check_bytes(struct side *side, const uint8_t *data, size_t size)
{
	if (side->session == NULL)
		take_header(side, data, size);
	for (size_t i = 0; i < size && side->session != NULL; i++) {
		if (data[i] != byte_at(side->session, !side->is_client, side->received + i)) {
			complain(side->session, "first altered byte", side->received + i, 0);
			break;
		}
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
	for (uint64_t i = 0; i < size; i++)
		data[i] = byte_at(s, side->is_client, side->sent + i);
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
	s->client.total = HEADER + random_size();
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

int main(int argc, char **argv)
{
	struct epoll_event events[128];
	struct rlimit files;

	if (argc != 7)
		return 2;
	proxy_port = (unsigned)atoi(argv[1]);
	server_port = (unsigned)atoi(argv[2]);
	uint64_t count = strtoull(argv[3], NULL, 10);
	uint64_t concurrency = strtoull(argv[4], NULL, 10);
	max_bytes = strtoull(argv[5], NULL, 10);
	random_state = strtoull(argv[6], NULL, 10) * 2 + 1;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	sessions = calloc(count, sizeof(*sessions));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	int listener = listen_here();
	uint64_t started = 0;

	while (started < count || active > 0 || server_sides > 0) {
		while (started < count && active < concurrency)
			start_client(started++);
		int n = epoll_wait(epoll, events, 128, STALL_S * 1000);
		if (n == 0) {
			fprintf(stderr, "%llu sessions hang\n", (unsigned long long)active);
			wrong++;
			break;
		}
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				accept_all(listener);
			else
				serve(events[i].data.ptr, events[i].events);
		}
	}
	printf("sessions=%llu resets=%llu bytes=%llu wrong=%llu\n", (unsigned long long)started,
	       (unsigned long long)resets, (unsigned long long)bytes_checked,
	       (unsigned long long)wrong);
	return wrong > 0;
}
