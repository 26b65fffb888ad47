/* Clients over several workers: no worker has many more than another, with long
 * sessions, and with long ones mixed with short ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/worker.h"

#define WORKERS 4
#define CLIENTS 200
#define LIMIT_S 20

struct rig {
	struct loop loop; /* only for the wakeup that workers ring */
	struct wakeup control;
	struct drop_barrier barrier;
	struct capacity capacity;
	struct session_settings settings;
	struct worker workers[WORKERS];
	struct listen_set *listen;
	uint16_t port;
	int leader;
	int clients[CLIENTS];
};

static void ignore(void *arg)
{
}

static int listen_on_loopback(uint16_t *ret_port)
{
	struct addr addr = {
		.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(addr.in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, &addr.sa, size), 0);
	assert_int_equal(listen(fd, 1000), 0);
	assert_int_equal(getsockname(fd, &addr.sa, &size), 0);
	*ret_port = addr_port(&addr);
	return fd;
}

static void open_route(struct rig *r, uint16_t leader_port)
{
	struct listen_address address = {0};
	struct addr leader;
	size_t failed;
	uint16_t port;
	int probe = listen_on_loopback(&port);

	close(probe);
	assert_int_equal(addr_parse_ip("127.0.0.1", port, &address.addr), 0);
	assert_int_equal(listen_set_open(&address, 1, WORKERS, &r->settings.server_keepalive,
					 &r->listen, &failed),
			 0);
	assert_int_equal(addr_parse_ip("127.0.0.1", leader_port, &leader), 0);
	struct target *target = target_new("db", "127.0.0.1", "1", &leader, 1);
	struct snapshot *snapshot =
		snapshot_new(1, 1, 1, clock_boot_ms() + 3600000, target, r->listen);
	for (unsigned i = 0; i < WORKERS; i++)
		worker_publish(&r->workers[i], snapshot);
	snapshot_unref(&snapshot);
	target_unref(&target);
	r->port = port;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	uint16_t leader_port;

	assert_int_equal(loop_init(&r->loop), 0);
	assert_int_equal(wakeup_init(&r->control, &r->loop, ignore, NULL), 0);
	drop_barrier_init(&r->barrier, WORKERS, &r->control);
	assert_int_equal(capacity_init(&r->capacity, WORKERS, 0), 0);
	r->settings.connect_timeout_ms = 10000;
	r->leader = listen_on_loopback(&leader_port);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(worker_start(r->workers, i, WORKERS, &r->settings, &r->barrier,
					      &r->capacity),
				 0);
	open_route(r, leader_port);
	for (size_t i = 0; i < CLIENTS; i++)
		r->clients[i] = -1;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	struct snapshot *closed = snapshot_new(2, 2, 2, 0, NULL, NULL);

	for (unsigned i = 0; i < WORKERS; i++)
		worker_publish(&r->workers[i], closed);
	snapshot_unref(&closed);
	for (unsigned i = 0; i < WORKERS; i++) {
		worker_stop(&r->workers[i]);
		assert_true(worker_join(&r->workers[i], LIMIT_S * 1000));
	}
	for (size_t i = 0; i < CLIENTS; i++)
		close_fd(&r->clients[i]);
	listen_set_unref(&r->listen);
	close(r->leader);
	wakeup_deinit(&r->control);
	loop_deinit(&r->loop);
	free(r);
	return 0;
}

static int sessions_of(const struct worker *w)
{
	return atomic_load(&w->sessions.servers);
}

static int sessions_of_all(const struct rig *r)
{
	int sum = 0;

	for (unsigned i = 0; i < WORKERS; i++)
		sum += sessions_of(&r->workers[i]);
	return sum;
}

static void wait_for_sessions(const struct rig *r, int wanted)
{
	int64_t until_ms = clock_boot_ms() + LIMIT_S * 1000;

	while (sessions_of_all(r) != wanted) {
		if (clock_boot_ms() > until_ms)
			fail_msg("%d sessions instead of %d", sessions_of_all(r), wanted);
		nanosleep(&(struct timespec){.tv_nsec = NS_PER_MS}, NULL);
	}
}

static void assert_spread(const struct rig *r, int most_apart)
{
	int least = sessions_of(&r->workers[0]);
	int most = least;

	for (unsigned i = 1; i < WORKERS; i++) {
		int n = sessions_of(&r->workers[i]);
		least = n < least ? n : least;
		most = n > most ? n : most;
	}
	if (most - least > most_apart)
		fail_msg("from %d to %d sessions a worker", least, most);
}

static int connect_client(const struct rig *r)
{
	struct addr addr;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(addr_parse_ip("127.0.0.1", r->port, &addr), 0);
	assert_int_equal(connect(fd, &addr.sa, addr_size(&addr)), 0);
	return fd;
}

static void test_long_sessions_are_spread_evenly(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < CLIENTS; i++) {
		r->clients[i] = connect_client(r);
		wait_for_sessions(r, i + 1);
	}
	/* An eighth of what a worker has, and the one that is passed on then. */
	assert_spread(r, CLIENTS / WORKERS / 8 + 2);
}

static void test_short_sessions_do_not_tilt_the_long_ones(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < CLIENTS; i++) {
		r->clients[i] = connect_client(r);
		wait_for_sessions(r, i % 2 == 0 ? i / 2 + 1 : i / 2 + 2);
		if (i % 2 == 1) {
			/* Reset: both its ends are gone at once. */
			struct linger abort = {.l_onoff = 1};
			setsockopt(r->clients[i], SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
			close_fd(&r->clients[i]);
			wait_for_sessions(r, i / 2 + 1);
		}
	}
	assert_spread(r, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_long_sessions_are_spread_evenly, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_short_sessions_do_not_tilt_the_long_ones,
						setup, teardown),
	};

	return cmocka_run_group_tests_name("spread", tests, NULL, NULL);
}
