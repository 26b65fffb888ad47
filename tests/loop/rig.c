/* The rig of tests/loop. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"

#define LIMIT_MS 5000

static bool has_news(void *arg)
{
	return ((struct rig *)arg)->news != NULL;
}

static void adopt(void *arg)
{
	(void)!rig_adopt(arg);
}

static void on_ended(void *arg)
{
	((struct rig *)arg)->ended++;
}

static bool takes_one_more(void *arg)
{
	struct rig *r = arg;

	r->asked_for += !r->is_full;
	return !r->is_full;
}

static void on_member_failed(void *arg)
{
	((struct rig *)arg)->members_failed++;
}

int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->settings = (struct session_settings){.connect_timeout_ms = 2000};
	r->host = (struct session_host){.has_news = has_news,
					.adopt = adopt,
					.takes_one_more = takes_one_more,
					.ended = on_ended,
					.member_failed = on_member_failed,
					.arg = r};
	assert_int_equal(loop_init(&r->loop), 0);
	assert_int_equal(session_list_init(&r->list, &r->loop, &r->settings, &r->host, 1, 1), 0);
	r->listener = listen_on_loopback(128, &r->server);
	r->target = target_of(&r->server, 1);
	r->valid_until_ms = clock_boot_ms() + 60000;
	r->term = 1;
	rig_publish(r, r->target);
	assert_int_equal(rig_adopt(r), 0);
	*state = r;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *r = *state;

	rig_publish(r, NULL);
	(void)!rig_adopt(r);
	session_list_deinit(&r->list);
	loop_deinit(&r->loop);
	target_unref(&r->target);
	close_fd(&r->listener);
	free(r);
	return 0;
}

/* Running */

struct run {
	struct rig *rig;
	rig_condition *condition;
	void *arg;
	int64_t until_ms;
	bool met;
};

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct run *run = arg;

	run->met = run->condition != NULL && run->condition(run->arg);
	if (run->met || clock_boot_ms() >= run->until_ms)
		loop_stop(&run->rig->loop);
}

static bool run(struct rig *rig, rig_condition *condition, void *arg, int64_t ms)
{
	struct run run = {rig, condition, arg, clock_boot_ms() + ms, false};
	struct timeval often = {.tv_usec = 500};
	struct event *look = event_new(rig->loop.base, -1, EV_PERSIST, on_look, &run);

	event_add(look, &often);
	rig->loop.stopping = false;
	assert_int_equal(loop_run(&rig->loop), 0);
	event_free(look);
	return run.met;
}

void rig_run_until(struct rig *rig, rig_condition *condition, void *arg)
{
	assert_true(run(rig, condition, arg, LIMIT_MS));
}

void rig_run_for(struct rig *rig, int64_t ms)
{
	(void)run(rig, NULL, NULL, ms);
}

struct wanted_end {
	struct rig *rig;
	unsigned sessions;
};

static bool have_ended(void *arg)
{
	struct wanted_end *w = arg;

	return w->rig->ended >= w->sessions;
}

void rig_run_until_ended(struct rig *rig, unsigned sessions)
{
	rig_run_until(rig, have_ended, &(struct wanted_end){rig, sessions});
	assert_int_equal(rig->ended, sessions);
}

/* Snapshots */

void rig_publish(struct rig *rig, struct target *target)
{
	snapshot_unref(&rig->news);
	rig->news = snapshot_new(++rig->drop_generation, 1, rig->term, rig->valid_until_ms, target,
				 NULL);
	assert_non_null(rig->news);
	snapshot_set_direct(rig->news, rig->members, NULL);
}

unsigned rig_adopt(struct rig *rig)
{
	struct list cut;
	struct snapshot *next = TAKE_PTR(rig->news);

	unsigned count = session_list_adopt(&rig->list, next, &cut);
	session_list_finish_cut(&rig->list, &cut);
	snapshot_unref(&next);
	return count;
}

/* Sessions */

static void set_nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int listen_on_loopback(int backlog, struct addr *ret_addr)
{
	struct addr addr = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)}};
	socklen_t size = sizeof(addr.in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &addr.sa, size), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, &addr.sa, &size), 0);
	*ret_addr = addr;
	return fd;
}

size_t fill_queue(const struct addr *addr, int fds[static 8])
{
	size_t count = 0;

	while (count < 8) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		fds[count++] = fd;
		(void)connect(fd, &addr->sa, addr_size(addr));
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		if (poll(&p, 1, 50) == 0)
			return count; /* this one hangs already */
	}
	fail_msg("the queue of a listener does not fill");
	return count;
}

struct addr refusing_addr(void)
{
	struct addr addr;
	int fd = listen_on_loopback(1, &addr);

	close(fd);
	return addr;
}

struct target *target_of(const struct addr *addrs, size_t count)
{
	struct target *t = target_new("db1", "leader", "5432", addrs, count);

	assert_non_null(t);
	return t;
}

int connect_client(int *ret_accepted, struct addr *ret_peer)
{
	struct addr front;
	struct addr peer = {0};
	socklen_t size = sizeof(peer);
	int listener = listen_on_loopback(1, &front);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(client, &front.sa, addr_size(&front)), 0);
	int accepted = accept4(listener, &peer.sa, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(accepted >= 0);
	close(listener);
	set_nonblocking(client);
	*ret_accepted = accepted;
	*ret_peer = peer;
	return client;
}

int rig_client(struct rig *rig)
{
	struct addr peer;
	int accepted;
	int client = connect_client(&accepted, &peer);

	session_start(&rig->list, accepted, &peer);
	return client;
}

static bool is_acceptable(void *arg)
{
	struct pollfd p = {.fd = *(int *)arg, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

int rig_accept(struct rig *rig)
{
	rig_run_until(rig, is_acceptable, &rig->listener);
	int fd = accept4(rig->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static bool all_connected(void *arg)
{
	return rig_count(arg, SESSION_CONNECTING) == 0;
}

void rig_open(struct rig *rig, int *ret_client, int *ret_server)
{
	*ret_client = rig_client(rig);
	*ret_server = rig_accept(rig);
	rig_run_until(rig, all_connected, rig);
}

size_t rig_count(struct rig *rig, enum session_state state)
{
	size_t count = 0;

	list_for_each (node, &rig->list.by_state[state])
		count++;
	return count;
}

unsigned rig_closed(struct rig *rig, enum close_reason reason)
{
	return (unsigned)atomic_load(&rig->list.stats.closed[reason]);
}

/* Peers */

uint8_t pattern_at(size_t position)
{
	return (uint8_t)(position * 31 + (position >> 8) * 7 + (position >> 16));
}

void peer_send(struct peer *peer, size_t limit)
{
	uint8_t block[8192];

	while (peer->sent < limit) {
		size_t size =
			limit - peer->sent < sizeof(block) ? limit - peer->sent : sizeof(block);
		for (size_t i = 0; i < size; i++)
			block[i] = pattern_at(peer->sent + i);
		ssize_t n = send(peer->fd, block, size, MSG_NOSIGNAL);
		if (n < 0)
			return;
		peer->sent += (size_t)n;
	}
}

void peer_receive(struct peer *peer, size_t size)
{
	uint8_t block[8192];

	while (size > 0 && peer->end == PEER_OPEN) {
		ssize_t n = recv(peer->fd, block, size < sizeof(block) ? size : sizeof(block), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			peer->end = n == 0 ? PEER_FIN : PEER_RESET;
			return;
		}
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(block[i], pattern_at(peer->received++));
		size -= (size_t)n;
	}
}

void set_small_buffers(int fd)
{
	int size = 4096;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

void abort_socket(int *fd)
{
	sock_abort_on_close(*fd);
	close_fd(fd);
}
