/* A storm: clients that come, talk and end at random through a pool of workers, and
 * servers that echo, on threads of their own; the test itself is control. */
#include "storm.h"
#include "../descriptors.h"

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "base/log.h"

#define WORKERS 4

atomic_bool storm_over;
atomic_uint storm_sessions;
uint16_t storm_server_port;

int64_t storm_until_ms(void)
{
	const char *text = getenv("PGSPLICE_STORM_MS");

	return clock_boot_ms() + (text != NULL ? (int64_t)strtoul(text, NULL, 10) : 4000);
}

void storm_dawdle(void)
{
	static _Thread_local unsigned seed;

	if (seed == 0)
		seed = (unsigned)(uintptr_t)&seed + (unsigned)time(NULL);
	if (rand_r(&seed) % 64 == 0)
		nanosleep(&(struct timespec){.tv_nsec = rand_r(&seed) % 1000000}, NULL);
}

ssize_t storm_send(int fd, const void *data, size_t size, int flags)
{
	return syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
}

/* The servers: one socket on every address */

/* Reads, echoes, and ends as its client does; false when it is over. */
static bool serve(const struct storm *s, struct storm_connection *c)
{
	uint8_t data[4096];
	ssize_t n = recv(c->fd, data, sizeof(data), 0);

	if (n > 0) {
		if (s->hear != NULL)
			s->hear(c, data, n);
		(void)!send(c->fd, data, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	if (n > 0 || (n < 0 && errno == EAGAIN))
		return true;
	close(c->fd);
	free(c);
	return false;
}

static int take_connection(int listener, int epoll)
{
	struct addr local;
	socklen_t size = sizeof(local);
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return 0;
	struct storm_connection *c = calloc(1, sizeof(*c));
	getsockname(fd, &local.sa, &size);
	c->fd = fd;
	c->ip = ntohl(local.in.sin_addr.s_addr);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	atomic_fetch_add(&storm_sessions, 1);
	return 1;
}

static void *run_servers(void *arg)
{
	struct storm *s = arg;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	int open_connections = 0;

	epoll_ctl(epoll, EPOLL_CTL_ADD, s->server, &event);
	while (!atomic_load(&storm_over) || open_connections > 0) {
		struct epoll_event events[64];
		int n = epoll_wait(epoll, events, 64, 50);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				open_connections += take_connection(s->server, epoll);
			else if (!serve(s, events[i].data.ptr))
				open_connections--;
		}
	}
	close(epoll);
	return NULL;
}

/* Clients */

struct client {
	struct storm *storm;
	unsigned seed;
};

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
	struct client c = *(struct client *)arg;
	const struct addr *front = &c.storm->front;

	free(arg);
	while (!atomic_load(&storm_over)) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, &front->sa, addr_size(front)) < 0) {
			close(fd);
			sched_yield();
			continue;
		}
		c.storm->talk(fd, &c.seed);
		end_at_random(fd, &c.seed);
	}
	return NULL;
}

static void start_client(struct storm *s, unsigned number)
{
	struct client *c = malloc(sizeof(*c));

	*c = (struct client){s, s->seed + number};
	assert_int_equal(pthread_create(&s->threads[number], NULL, run_client, c), 0);
}

/* The stage */

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

void storm_init(struct storm *s, storm_talk *talk, storm_hear *hear)
{
	struct worker_pool_settings settings = {.workers = WORKERS,
						.session = {.connect_timeout_ms = 1000}};
	struct listen_address address = {0};
	struct addr servers;
	size_t failed;

	*s = (struct storm){.seed = (unsigned)time(NULL),
			    .talk = talk,
			    .hear = hear,
			    .descriptors = count_descriptors()};
	print_message("seed %u\n", s->seed);
	s->server = listen_on(INADDR_ANY, &servers);
	storm_server_port = addr_port(&servers);
	int reserved = listen_on(INADDR_LOOPBACK, &s->front);
	close(reserved);
	address.addr = s->front;
	assert_int_equal(listen_set_open(&address, 1, WORKERS, &(struct keepalive_settings){0},
					 &s->listen, &failed),
			 0);
	assert_int_equal(loop_init(&s->loop), 0);
	assert_int_equal(wakeup_init(&s->control, &s->loop, NULL, NULL), 0);
	assert_int_equal(worker_pool_start(&settings, &s->control, &s->pool), 0);
	pthread_create(&s->threads[0], NULL, run_servers, s);
	for (unsigned i = 1; i <= STORM_CLIENTS; i++)
		start_client(s, i);
}

void storm_stop_clients(struct storm *s)
{
	atomic_store(&storm_over, true);
	for (int i = 0; i <= STORM_CLIENTS; i++)
		pthread_join(s->threads[i], NULL);
}

void storm_stop_workers(struct storm *s)
{
	assert_true(worker_pool_stop(&s->pool, 5000));
}

void storm_deinit(struct storm *s)
{
	wakeup_deinit(&s->control);
	loop_deinit(&s->loop);
	listen_set_unref(&s->listen);
	close(s->server);
	assert_int_equal(count_descriptors(), s->descriptors);
}

void storm_publish(struct storm *s, struct snapshot *snapshot)
{
	worker_pool_publish(s->pool, snapshot);
	snapshot_unref(&snapshot);
}

void storm_wait_for_barrier(struct storm *s)
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

int storm_main(const struct CMUnitTest *test)
{
	struct log_settings quiet = {.level = LOG_LEVEL_ERROR, .format = LOG_FORMAT_LOGFMT};
	const struct CMUnitTest tests[] = {*test};

	if (log_start(&quiet) < 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	log_stop(60000);
	return failed;
}
