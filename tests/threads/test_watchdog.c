/* The watchdog and the direct port: sessions on known standbys outlive the time of the
 * snapshot, and are no reason to end the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/worker_pool.h"

struct fixture {
	struct worker_pool_settings settings;
	struct loop loop;
	struct wakeup control;
	struct worker_pool *pool;
	struct listen_set *listen;
	struct addr front;
	struct addr server_addr;
	int server;
	uint64_t drop_generation;
};

static int listen_on_loopback(struct addr *ret_addr)
{
	struct addr addr = {
		.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(addr.in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, &addr.sa, size), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, &addr.sa, &size), 0);
	*ret_addr = addr;
	return fd;
}

static int setup(void **state)
{
	static struct fixture f;
	struct listen_address address = {0};
	size_t failed;

	f = (struct fixture){.settings = {.workers = 1, .session = {.connect_timeout_ms = 1000}}};
	f.server = listen_on_loopback(&f.server_addr);
	close(listen_on_loopback(&f.front));
	address.addr = f.front;
	assert_int_equal(listen_set_open(&address, 1, 1, &(struct keepalive_settings){0}, &f.listen,
					 &failed),
			 0);
	assert_int_equal(loop_init(&f.loop), 0);
	assert_int_equal(wakeup_init(&f.control, &f.loop, NULL, NULL), 0);
	assert_int_equal(worker_pool_start(&f.settings, &f.control, &f.pool), 0);
	*state = &f;
	return 0;
}

static void publish(struct fixture *f, struct member_set *set, int64_t valid_until_ms)
{
	int64_t until_ms = clock_boot_ms() + 5000;
	struct snapshot *s = snapshot_new(++f->drop_generation, 1, 1, valid_until_ms, NULL, NULL);
	uint64_t rings;

	snapshot_set_direct(s, set, set == NULL ? NULL : f->listen);
	worker_pool_publish(f->pool, s);
	snapshot_unref(&s);
	while (worker_pool_drained(f->pool) < f->drop_generation) {
		struct pollfd p = {.fd = f->control.fd, .events = POLLIN};
		assert_true(clock_boot_ms() < until_ms);
		(void)poll(&p, 1, 100);
		(void)!read(f->control.fd, &rings, sizeof(rings));
	}
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	publish(f, NULL, 0);
	assert_true(worker_pool_stop(&f->pool, 5000));
	wakeup_deinit(&f->control);
	loop_deinit(&f->loop);
	listen_set_unref(&f->listen);
	close(f->server);
	return 0;
}

static void test_standbys_do_not_make_a_worker_overdue(void **state)
{
	struct fixture *f = *state;
	struct target *target = target_new("db", "standby", "5432", &f->server_addr, 1);
	struct member *member = member_new(target);
	struct member_entry entry = {member, MEMBER_STANDBY, 0, true};
	struct member_set *set = member_set_new(MEMBER_LEAST, &entry, 1);
	char byte = 0;

	publish(f, set, clock_boot_ms() - 1);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, &f->front.sa, addr_size(&f->front)), 0);
	struct pollfd p = {.fd = f->server, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 5000), 1);
	int server = accept4(f->server, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	/* It would end the process after ten ticks of 100 ms. */
	nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 500000000}, NULL);
	assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(server, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
	close(client);
	close(server);
	member_set_unref(&set);
	member_unref(&member);
	target_unref(&target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_standbys_do_not_make_a_worker_overdue, setup,
						teardown),
	};
	struct log_settings quiet = {.level = LOG_LEVEL_ERROR, .format = LOG_FORMAT_LOGFMT};

	if (log_start(&quiet) < 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	log_stop(60000);
	return failed;
}
