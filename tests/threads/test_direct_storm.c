/* The direct port in random storms: control publishes sets as fast as it can while
 * sessions of all rules begin, talk and end on several workers.
 *
 * Each member has an address of its own, and there are ever new ones. Once the barrier
 * says that all workers have carried out the newest set, nobody may connect or send to
 * a member that it forbids: connect() and send() are this program's, and know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/worker_pool.h"

#define WORKERS 4
#define CLIENTS 6
#define SLOTS   4
#define MEMBERS 0x7f020000 /* 127.2.0.0 + number */
#define MANY    65536

static atomic_bool forbidden[MANY];
static atomic_bool over;
static atomic_uint sessions_served;
static atomic_uint late_calls;
static struct addr front;
static uint16_t member_port;

static unsigned storm_ms(void)
{
	const char *text = getenv("PGSPLICE_STORM_MS");

	return text != NULL ? (unsigned)strtoul(text, NULL, 10) : 4000;
}

static int listen_on(uint32_t ip, struct addr *ret_addr)
{
	struct addr addr = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ip)}};
	socklen_t size = sizeof(addr.in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, &addr.sa, size), 0);
	assert_int_equal(listen(fd, 1000), 0);
	assert_int_equal(getsockname(fd, &addr.sa, &size), 0);
	*ret_addr = addr;
	return fd;
}

/* A delay between the permission and the act, at times. */
static void check_peer(const struct addr *peer)
{
	static _Thread_local unsigned seed;

	if (peer->sa.sa_family != AF_INET || addr_port(peer) != member_port)
		return;
	if (seed == 0)
		seed = (unsigned)(uintptr_t)&seed + (unsigned)time(NULL);
	if (rand_r(&seed) % 64 == 0)
		nanosleep(&(struct timespec){.tv_nsec = rand_r(&seed) % 1000000}, NULL);
	uint32_t number = ntohl(peer->in.sin_addr.s_addr) - MEMBERS;
	if (number < MANY && atomic_load(&forbidden[number]))
		atomic_fetch_add(&late_calls, 1);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	struct addr peer = {0};
	socklen_t peer_size = sizeof(peer);

	if (getpeername(fd, &peer.sa, &peer_size) == 0)
		check_peer(&peer);
	return syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
}

int connect(int fd, const struct sockaddr *addr, socklen_t size)
{
	struct addr peer = {0};

	memcpy(&peer, addr, size < sizeof(peer) ? size : sizeof(peer));
	check_peer(&peer);
	return (int)syscall(SYS_connect, fd, addr, size);
}

/* The servers: one socket on every address, which echoes */

static bool serve(int fd)
{
	uint8_t data[4096];
	ssize_t n = recv(fd, data, sizeof(data), 0);

	if (n > 0)
		(void)!send(fd, data, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0 || (n < 0 && errno == EAGAIN))
		return true;
	close(fd);
	return false;
}

static int take_connection(int listener, int epoll)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return 0;
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	atomic_fetch_add(&sessions_served, 1);
	return 1;
}

static void *run_servers(void *arg)
{
	int listener = *(int *)arg;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
	int open_connections = 0;

	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	while (!atomic_load(&over) || open_connections > 0) {
		struct epoll_event events[64];
		int n = epoll_wait(epoll, events, 64, 50);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				open_connections += take_connection(listener, epoll);
			else if (!serve(events[i].data.fd))
				open_connections--;
		}
	}
	close(epoll);
	return NULL;
}

/* Clients */

static int connect_to_front(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, &front.sa, addr_size(&front)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void end_at_random(int fd, unsigned *seed)
{
	struct linger abort = {1, 0};

	if (rand_r(seed) % 3 == 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
	else if (rand_r(seed) % 2 == 0)
		shutdown(fd, SHUT_WR);
	close(fd);
}

static void *run_client(void *arg)
{
	static const uint8_t cancel[16] = {0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e};
	unsigned seed = (unsigned)(uintptr_t)arg;

	while (!atomic_load(&over)) {
		int fd = connect_to_front();
		int messages = rand_r(&seed) % 400;
		uint8_t data[200] = {1};

		if (fd < 0) {
			sched_yield();
			continue;
		}
		if (rand_r(&seed) % 8 == 0)
			(void)!send(fd, cancel, sizeof(cancel), MSG_NOSIGNAL);
		for (int i = 0; i < messages && !atomic_load(&over); i++) {
			if (send(fd, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
			    errno != EAGAIN)
				break;
			while (recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
				;
			if (rand_r(&seed) % 8 == 0)
				sched_yield();
		}
		end_at_random(fd, &seed);
	}
	return NULL;
}

/* Control */

struct slot {
	struct member *member; /* NULL: not in the set */
	uint32_t number;
	enum member_rule rule;
};

struct storm {
	struct worker_pool *pool;
	struct wakeup control;
	struct loop loop;
	struct listen_set *listen;
	uint64_t drop_generation;
	uint64_t term;
	uint32_t numbers; /* of members so far */
	int routed;       /* a slot; -1: nobody */
	int64_t valid_until_ms;
	struct slot slots[SLOTS];
	unsigned seed;
};

static unsigned draw(struct storm *s, unsigned limit)
{
	return (unsigned)rand_r(&s->seed) % limit;
}

static struct member *make_member(uint32_t number)
{
	struct addr addr = {.in = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(MEMBERS + number),
				   .sin_port = htons(member_port)}};
	struct target *target = target_new("db", "member", "5432", &addr, 1);
	struct member *member = member_new(target);

	target_unref(&target);
	assert_non_null(member);
	return member;
}

static bool is_permitted(const struct storm *s, const struct slot *slot, int64_t now_ms)
{
	switch (slot->rule) {
	case MEMBER_STANDBY:
		return true;
	case MEMBER_TIMED:
		return now_ms < s->valid_until_ms;
	case MEMBER_FENCED:
		return s->routed >= 0 && now_ms < s->valid_until_ms;
	case MEMBER_HELD:
		break;
	}
	return false;
}

static void publish(struct storm *s, bool listens)
{
	struct member_entry entries[SLOTS];
	size_t count = 0;

	for (size_t i = 0; i < SLOTS; i++) {
		const struct slot *slot = &s->slots[i];
		if (slot->member == NULL)
			continue;
		/* Whoever may be permitted by this. */
		atomic_store(&forbidden[slot->number], false);
		entries[count++] =
			(struct member_entry){slot->member, slot->rule, 0, draw(s, 4) > 0};
	}
	struct member_set *set =
		member_set_new((enum member_balance)draw(s, MEMBER_FIRST + 1), entries, count);
	struct snapshot *snapshot =
		snapshot_new(++s->drop_generation, 1, s->term, s->valid_until_ms,
			     s->routed < 0 ? NULL : s->slots[s->routed].member->target, NULL);
	assert_non_null(snapshot);
	snapshot_set_direct(snapshot, set, listens ? s->listen : NULL);
	worker_pool_publish(s->pool, snapshot);
	snapshot_unref(&snapshot);
	member_set_unref(&set);
}

static void wait_for_barrier(struct storm *s)
{
	int64_t until_ms = clock_boot_ms() + 10000;
	uint64_t rings;

	while (worker_pool_drained(s->pool) < s->drop_generation) {
		struct pollfd p = {.fd = s->control.fd, .events = POLLIN};
		assert_true(clock_boot_ms() < until_ms);
		(void)poll(&p, 1, 100);
		(void)!read(s->control.fd, &rings, sizeof(rings));
	}
}

/* Another one in its place, nobody, or the same by another rule. */
static void change_slot(struct storm *s, struct slot *slot, struct member **ret_left)
{
	unsigned what = draw(s, 8);

	if (what < 2 || slot->member == NULL) {
		if (*ret_left == NULL)
			*ret_left = TAKE_PTR(slot->member); /* else it was made in this burst */
		member_unref(&slot->member);
		if (what > 0 && s->numbers < MANY - 1) {
			slot->number = s->numbers++;
			slot->member = make_member(slot->number);
		}
	}
	slot->rule = (enum member_rule)draw(s, MEMBER_HELD + 1);
}

static void change_route(struct storm *s)
{
	int routed = (int)draw(s, SLOTS + 2) - 2;

	s->routed = routed >= 0 && s->slots[routed].member != NULL ? routed : -1;
	s->term++;
	s->valid_until_ms = clock_boot_ms() + (draw(s, 6) == 0 ? -1 : 60000);
}

static void run_burst(struct storm *s)
{
	struct member *left[SLOTS] = {NULL};
	uint32_t numbers[SLOTS];
	bool was_there[SLOTS];

	for (size_t i = 0; i < SLOTS; i++) {
		numbers[i] = s->slots[i].number;
		was_there[i] = s->slots[i].member != NULL;
	}
	for (unsigned i = draw(s, 5); i < 6; i++) {
		size_t slot = draw(s, SLOTS);
		if (!was_there[slot] || s->slots[slot].number != numbers[slot])
			continue; /* one change to another member a burst */
		change_slot(s, &s->slots[slot], &left[slot]);
		change_route(s);
		publish(s, draw(s, 8) > 0);
	}
	for (size_t i = 0; i < SLOTS; i++) {
		if (s->slots[i].member == NULL)
			change_slot(s, &s->slots[i], &left[i]);
	}
	change_route(s);
	publish(s, true);
	wait_for_barrier(s);
	for (size_t i = 0; i < SLOTS; i++) {
		const struct slot *slot = &s->slots[i];
		if (left[i] != NULL) {
			assert_false(member_is_in_use(left[i]));
			atomic_store(&forbidden[numbers[i]], true);
			member_unref(&left[i]);
		}
		if (slot->member != NULL && !is_permitted(s, slot, clock_boot_ms()))
			atomic_store(&forbidden[slot->number], true);
	}
	nanosleep(&(struct timespec){.tv_nsec = (long)draw(s, 3000000)}, NULL);
}

static size_t count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	size_t count = 0;

	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

static void storm_start(struct storm *s, const struct worker_pool_settings *settings)
{
	struct listen_address address = {0};
	size_t failed;

	*s = (struct storm){.seed = (unsigned)time(NULL), .routed = -1};
	int reserved = listen_on(INADDR_LOOPBACK, &front);
	close(reserved);
	address.addr = front;
	assert_int_equal(listen_set_open(&address, 1, settings->workers,
					 &(struct keepalive_settings){0}, &s->listen, &failed),
			 0);
	assert_int_equal(loop_init(&s->loop), 0);
	assert_int_equal(wakeup_init(&s->control, &s->loop, NULL, NULL), 0);
	assert_int_equal(worker_pool_start(settings, &s->control, &s->pool), 0);
}

static void storm_stop(struct storm *s)
{
	for (size_t i = 0; i < SLOTS; i++) {
		if (s->slots[i].member != NULL)
			atomic_store(&forbidden[s->slots[i].number], true);
	}
	assert_true(worker_pool_stop(&s->pool, 5000));
	for (size_t i = 0; i < SLOTS; i++) {
		if (s->slots[i].member != NULL)
			assert_false(member_is_in_use(s->slots[i].member));
		member_unref(&s->slots[i].member);
	}
	wakeup_deinit(&s->control);
	loop_deinit(&s->loop);
	listen_set_unref(&s->listen);
}

/* A snapshot in which there is nobody. */
static void close_all(struct storm *s)
{
	struct snapshot *snapshot = snapshot_new(++s->drop_generation, 1, ++s->term, 0, NULL, NULL);

	worker_pool_publish(s->pool, snapshot);
	snapshot_unref(&snapshot);
	wait_for_barrier(s);
}

static void test_no_call_reaches_a_forbidden_member_after_the_barrier(void **state)
{
	struct worker_pool_settings settings = {.workers = WORKERS,
						.session = {.connect_timeout_ms = 1000}};
	struct storm s;
	struct addr members;
	pthread_t threads[1 + CLIENTS];
	size_t descriptors = count_descriptors();
	unsigned bursts = 0;

	int server = listen_on(INADDR_ANY, &members);
	member_port = addr_port(&members);
	storm_start(&s, &settings);
	print_message("seed %u\n", s.seed);
	pthread_create(&threads[0], NULL, run_servers, &server);
	for (uintptr_t i = 1; i <= CLIENTS; i++)
		pthread_create(&threads[i], NULL, run_client, (void *)(s.seed + i));
	int64_t until_ms = clock_boot_ms() + storm_ms();
	for (; clock_boot_ms() < until_ms && s.numbers < MANY - SLOTS; bursts++)
		run_burst(&s);
	close_all(&s);
	atomic_store(&over, true);
	for (int i = 0; i <= CLIENTS; i++)
		pthread_join(threads[i], NULL);
	print_message("%u bursts, %u snapshots, %u members, %u sessions\n", bursts,
		      (unsigned)s.drop_generation, s.numbers, atomic_load(&sessions_served));
	storm_stop(&s);
	assert_int_equal(atomic_load(&late_calls), 0);
	assert_true(atomic_load(&sessions_served) > bursts / 4);
	close(server);
	assert_int_equal(count_descriptors(), descriptors);
}

#if defined(__SANITIZE_THREAD__)
/* As in test_publish_storm.c: a number that is another thread's file by then. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race_top:epoll_ctl\n";
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_call_reaches_a_forbidden_member_after_the_barrier),
	};
	struct log_settings quiet = {.level = LOG_LEVEL_ERROR, .format = LOG_FORMAT_LOGFMT};

	if (log_start(&quiet) < 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	log_stop(60000);
	return failed;
}
