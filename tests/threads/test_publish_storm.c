/* Snapshots in random storms over several workers with real sessions.
 *
 * Time is counted in phases. In each, one leader is opened, at an address of
 * its own, and withdrawn again; the phase ends once the barrier says that all
 * workers have carried that out. Clients send the number of the phase as they
 * see it just before the send: a server that hears a later number than its own
 * was sent a byte that its client wrote after the barrier. And send() is this
 * program's: it is slow at times, and knows whose phase is over. */
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
#define LEADERS 0x7f010000 /* 127.1.0.0 + phase */

static atomic_uint phase;
static atomic_bool over;
static atomic_uint sessions_served;
static atomic_uint late_bytes;
static atomic_uint late_sends;
static struct addr front;
static uint16_t leader_port;

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

/* A delay where a byte has its permission but is not sent yet. */
static void check_send(int fd)
{
	static _Thread_local unsigned seed;
	struct addr peer = {0};
	socklen_t size = sizeof(peer);

	if (getpeername(fd, &peer.sa, &size) < 0 || peer.sa.sa_family != AF_INET ||
	    addr_port(&peer) != leader_port)
		return;
	if (seed == 0)
		seed = (unsigned)fd + (unsigned)time(NULL);
	if (rand_r(&seed) % 64 == 0)
		nanosleep(&(struct timespec){.tv_nsec = rand_r(&seed) % 1000000}, NULL);
	if (atomic_load(&phase) > ntohl(peer.in.sin_addr.s_addr) - LEADERS)
		atomic_fetch_add(&late_sends, 1);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	check_send(fd);
	return syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
}

/* The servers of all phases: one socket on every address */

struct connection {
	int fd;
	uint32_t phase;
	uint32_t tag; /* being put together */
	unsigned tag_bytes;
};

static void hear(struct connection *c, const uint8_t *data, ssize_t size)
{
	for (ssize_t i = 0; i < size; i++) {
		c->tag |= (uint32_t)data[i] << (8 * c->tag_bytes);
		if (++c->tag_bytes < 4)
			continue;
		if (c->tag > c->phase)
			atomic_fetch_add(&late_bytes, 1);
		c->tag = 0;
		c->tag_bytes = 0;
	}
}

/* Reads, echoes, and ends as its client does; false when it is over. */
static bool serve(struct connection *c)
{
	uint8_t data[4096];
	ssize_t n = recv(c->fd, data, sizeof(data), 0);

	if (n > 0) {
		hear(c, data, n);
		(void)!send(c->fd, data, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	if (n > 0 || (n < 0 && errno == EAGAIN))
		return true;
	close(c->fd);
	free(c);
	return false;
}

static void take_connection(int listener, int epoll)
{
	struct addr local;
	socklen_t size = sizeof(local);
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	struct connection *c = calloc(1, sizeof(*c));
	getsockname(fd, &local.sa, &size);
	c->fd = fd;
	c->phase = ntohl(local.in.sin_addr.s_addr) - LEADERS;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	atomic_fetch_add(&sessions_served, 1);
}

static void *run_servers(void *arg)
{
	int listener = *(int *)arg;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	int open_connections = 0;

	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	while (!atomic_load(&over) || open_connections > 0) {
		struct epoll_event events[64];
		int n = epoll_wait(epoll, events, 64, 50);

		for (int i = 0; i < n; i++) {
			unsigned before = atomic_load(&sessions_served);
			if (events[i].data.ptr == NULL)
				take_connection(listener, epoll);
			else if (!serve(events[i].data.ptr))
				open_connections--;
			open_connections += (int)(atomic_load(&sessions_served) - before);
		}
	}
	close(epoll);
	return NULL;
}

/* Clients */

static void end_at_random(int fd, unsigned *seed)
{
	struct linger abort = {1, 0};

	switch (rand_r(seed) % 3) {
	case 0:
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
		break;
	case 1:
		shutdown(fd, SHUT_WR);
		break;
	default:
		break;
	}
	close(fd);
}

static void *run_client(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	while (!atomic_load(&over)) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int tags = rand_r(&seed) % 400;
		uint8_t echo[4096];

		if (connect(fd, &front.sa, addr_size(&front)) < 0) {
			close(fd);
			sched_yield();
			continue;
		}
		for (int i = 0; i < tags && !atomic_load(&over); i++) {
			uint32_t tag = htole32(atomic_load(&phase));
			if (send(fd, &tag, sizeof(tag), MSG_NOSIGNAL) < 0)
				break;
			while (recv(fd, echo, sizeof(echo), MSG_DONTWAIT) > 0)
				;
			if (rand_r(&seed) % 8 == 0)
				sched_yield();
		}
		end_at_random(fd, &seed);
	}
	return NULL;
}

/* Control */

struct storm {
	struct worker_pool *pool;
	struct wakeup control;
	struct listen_set *listen;
	uint64_t drop_generation;
	unsigned seed;
};

static void publish(struct storm *s, uint64_t term, int64_t valid_until_ms, struct target *target,
		    bool listens)
{
	struct snapshot *snapshot =
		snapshot_new(++s->drop_generation, (int64_t)term, term, valid_until_ms, target,
			     listens ? s->listen : NULL);

	assert_non_null(snapshot);
	worker_pool_publish(s->pool, snapshot);
	snapshot_unref(&snapshot);
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

static void let_sessions_run(struct storm *s)
{
	struct timespec some = {.tv_nsec = rand_r(&s->seed) % 2000000};

	nanosleep(&some, NULL);
}

static void run_phase(struct storm *s, unsigned number)
{
	struct addr leader = {.in = {.sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(LEADERS + number),
				     .sin_port = htons(leader_port)}};
	struct target *target = target_new("db", "leader", "5432", &leader, 1);
	int renewals = rand_r(&s->seed) % 6;

	publish(s, number + 1, clock_boot_ms() + 60000, target, true);
	for (int i = 0; i < renewals; i++) {
		bool short_lived = rand_r(&s->seed) % 6 == 0;
		publish(s, number + 1, clock_boot_ms() + (short_lived ? 2 : 60000), target,
			rand_r(&s->seed) % 3 > 0);
		let_sessions_run(s);
	}
	publish(s, number + 1, clock_boot_ms() + 60000, NULL, rand_r(&s->seed) % 4 > 0);
	wait_for_barrier(s);
	target_unref(&target);
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

static void test_no_byte_reaches_a_leader_after_the_barrier(void **state)
{
	struct worker_pool_settings settings = {.workers = WORKERS,
						.session = {.connect_timeout_ms = 1000}};
	struct storm s = {.seed = (unsigned)time(NULL)};
	struct loop loop;
	struct addr leaders;
	struct listen_address address = {0};
	size_t failed;
	pthread_t threads[1 + CLIENTS];
	size_t descriptors = count_descriptors();

	print_message("seed %u\n", s.seed);
	int server = listen_on(INADDR_ANY, &leaders);
	int reserved = listen_on(INADDR_LOOPBACK, &front);
	leader_port = addr_port(&leaders);
	close(reserved);
	address.addr = front;
	assert_int_equal(listen_set_open(&address, 1, WORKERS, &(struct keepalive_settings){0},
					 &s.listen, &failed),
			 0);
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(wakeup_init(&s.control, &loop, NULL, NULL), 0);
	assert_int_equal(worker_pool_start(&settings, &s.control, &s.pool), 0);
	pthread_create(&threads[0], NULL, run_servers, &server);
	for (uintptr_t i = 1; i <= CLIENTS; i++)
		pthread_create(&threads[i], NULL, run_client, (void *)(s.seed + i));

	int64_t until_ms = clock_boot_ms() + storm_ms();
	unsigned number = 0;
	while (clock_boot_ms() < until_ms && number < 65000) {
		run_phase(&s, number++);
		atomic_store(&phase, number);
	}
	publish(&s, number + 1, 0, NULL, false);
	wait_for_barrier(&s);
	atomic_store(&over, true);
	for (int i = 0; i <= CLIENTS; i++)
		pthread_join(threads[i], NULL);
	assert_true(worker_pool_stop(&s.pool, 5000));
	print_message("%u phases, %u sessions\n", number, atomic_load(&sessions_served));
	assert_int_equal(atomic_load(&late_bytes), 0);
	assert_int_equal(atomic_load(&late_sends), 0);
	assert_true(atomic_load(&sessions_served) > number / 4);

	wakeup_deinit(&s.control);
	loop_deinit(&loop);
	listen_set_unref(&s.listen);
	close(server);
	assert_int_equal(count_descriptors(), descriptors);
}

#if defined(__SANITIZE_THREAD__)
/* A cut closes all server sockets first and tells libevent afterwards; meanwhile
 * another thread may get the number. For epoll it is then a file that it does
 * not know, and the removal does nothing. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race_top:epoll_ctl\n";
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_byte_reaches_a_leader_after_the_barrier),
	};
	struct log_settings quiet = {.level = LOG_LEVEL_ERROR, .format = LOG_FORMAT_LOGFMT};

	if (log_start(&quiet) < 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	log_stop(60000);
	return failed;
}
