/* probe/reach against servers that the test plays by hand. */
#include "../descriptors.h"
#include "rig.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/err.h"
#include "probe/reach.h"

#define LONG_MS 3000

struct outcome {
	struct rig *rig;
	struct reach *reach;
	struct outcome *cancels; /* from its callback */
	bool again;              /* starts another one from its callback */
	unsigned done;
	int error;
	int64_t took_us;
};

static void start(struct outcome *o, struct rig *rig, const struct addr *addr, int64_t timeout_ms);

static void on_done(int error, int64_t took_us, void *arg)
{
	struct outcome *o = arg;

	o->reach = NULL;
	o->done++;
	o->error = error;
	o->took_us = took_us;
	if (o->cancels != NULL)
		reach_cancel(&o->cancels->reach);
	if (o->again) {
		o->again = false;
		start(o, o->rig, &o->rig->server, LONG_MS);
	}
}

static void start(struct outcome *o, struct rig *rig, const struct addr *addr, int64_t timeout_ms)
{
	unsigned done = o->done;

	o->rig = rig;
	assert_int_equal(reach_start(&rig->loop, addr, timeout_ms, on_done, o, &o->reach), 0);
	assert_non_null(o->reach);
	assert_int_equal(o->done, done); /* never inside the call */
}

static bool is_done(void *arg)
{
	return ((struct outcome *)arg)->done > 0;
}

static void run_until_done(struct outcome *o)
{
	rig_run_until(o->rig, is_done, o);
	assert_int_equal(o->done, 1);
	assert_null(o->reach);
}

/* The server's side */

struct reading {
	int fd;
	char *into;
	size_t wanted;
	size_t size;
	int error; /* of the end; 0 for a FIN */
	bool ended;
};

static bool has_read(void *arg)
{
	struct reading *r = arg;

	while (!r->ended && r->size < r->wanted) {
		ssize_t n = recv(r->fd, r->into + r->size, r->wanted - r->size, 0);
		if (n < 0 && errno == EAGAIN)
			return false;
		r->ended = n <= 0;
		r->error = n < 0 ? errno : 0;
		r->size += n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* Accepts, and checks that the request came. */
static int accept_request(struct rig *rig)
{
	static const char wanted[] = {0, 0, 0, 8, 0x04, (char)0xd2, 0x16, 0x30};
	char got[8];
	int fd = rig_accept(rig);
	struct reading r = {.fd = fd, .into = got, .wanted = sizeof(got)};

	rig_run_until(rig, has_read, &r);
	assert_int_equal(r.size, sizeof(wanted));
	assert_memory_equal(got, wanted, sizeof(wanted));
	return fd;
}

/* The connection ended without a reset and without another byte. */
static void check_closed(struct rig *rig, int *fd)
{
	char byte;
	struct reading r = {.fd = *fd, .into = &byte, .wanted = 1};

	rig_run_until(rig, has_read, &r);
	assert_int_equal(r.size, 0);
	assert_int_equal(r.error, 0);
	close_fd(fd);
}

/* Descriptors: a sanitizer counts memory only */

static size_t before;

static int setup(void **state)
{
	before = count_descriptors();
	return rig_setup(state);
}

static int teardown(void **state)
{
	rig_teardown(state);
	return count_descriptors() == before ? 0 : -1;
}

/* Tests */

static void test_the_first_byte_decides(void **state)
{
	static const struct {
		const char *answer;
		size_t size;
		int error;
	} cases[] = {
		{"G", 1, 0},
		{"N", 1, 0},
		{"E", 1, 0},
		{"E\0\0\0\x08SFATAL", 11, 0},
		{"S", 1, ERR_SYNTAX},
		{"n", 1, ERR_SYNTAX},
		{"\0", 1, ERR_SYNTAX},
		{"\xff", 1, ERR_SYNTAX},
		{"HTTP/1.0 400 Bad Request\r\n\r\n", 28, ERR_SYNTAX},
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct outcome o = {0};
		start(&o, rig, &rig->server, LONG_MS);
		int fd = accept_request(rig);
		assert_int_equal(send(fd, cases[i].answer, cases[i].size, 0), cases[i].size);
		run_until_done(&o);
		if (o.error != cases[i].error)
			fail_msg("case %zu: %d", i, o.error);
		assert_in_range(o.took_us, 1, LONG_MS * 1000);
		close(fd);
	}
}

static void test_the_answer_may_come_in_pieces(void **state)
{
	struct rig *rig = *state;
	struct outcome o = {0};

	start(&o, rig, &rig->server, LONG_MS);
	int fd = accept_request(rig);
	assert_int_equal(send(fd, "E", 1, 0), 1);
	run_until_done(&o);
	assert_int_equal(o.error, 0);
	/* What follows finds nobody, and harms nobody. */
	(void)!send(fd, "\0\0\0\x08", 4, MSG_NOSIGNAL);
	rig_run_for(rig, 10);
	close(fd);
}

static void test_the_time_is_that_of_the_answer(void **state)
{
	struct rig *rig = *state;
	struct outcome o = {0};

	start(&o, rig, &rig->server, LONG_MS);
	int fd = accept_request(rig);
	rig_run_for(rig, 60);
	assert_int_equal(o.done, 0);
	(void)!send(fd, "N", 1, 0);
	run_until_done(&o);
	assert_in_range(o.took_us, 60000, 1000000);
	check_closed(rig, &fd);
}

static void test_a_fast_answer_is_measured_below_a_millisecond(void **state)
{
	struct rig *rig = *state;
	int64_t least_us = INT64_MAX;

	/* Answered before it was asked: the shortest of some has no delay of ours. */
	for (int i = 0; i < 200; i++) {
		struct outcome o = {0};
		start(&o, rig, &rig->server, LONG_MS);
		int fd = accept(rig->listener, NULL, NULL);
		assert_true(fd >= 0);
		(void)!send(fd, "N", 1, 0);
		run_until_done(&o);
		if (o.took_us < least_us)
			least_us = o.took_us;
		close(fd);
	}
	assert_in_range(least_us, 1, 999);
}

static void test_the_end_is_no_reset_that_postgres_would_log(void **state)
{
	struct rig *rig = *state;
	struct outcome o = {0};

	start(&o, rig, &rig->server, LONG_MS);
	int fd = accept_request(rig);
	(void)!send(fd, "G", 1, 0);
	run_until_done(&o);
	check_closed(rig, &fd);
}

static void test_silence_ends_at_the_timeout(void **state)
{
	struct rig *rig = *state;
	struct outcome o = {0};

	start(&o, rig, &rig->server, 100);
	int fd = accept_request(rig);
	run_until_done(&o);
	assert_int_equal(o.error, -ETIMEDOUT);
	assert_in_range(o.took_us, 90000, 1000000); /* the loop's clock is coarse */
	check_closed(rig, &fd);
}

static void test_a_connect_that_hangs_ends_at_the_timeout(void **state)
{
	struct rig *rig = *state;
	struct outcome o = {0};
	struct addr addr;
	int fds[8];
	int full = listen_on_loopback(0, &addr);
	size_t count = fill_queue(&addr, fds);

	start(&o, rig, &addr, 100);
	run_until_done(&o);
	assert_int_equal(o.error, -ETIMEDOUT);
	assert_in_range(o.took_us, 90000, 1000000); /* the loop's clock is coarse */
	while (count > 0)
		close(fds[--count]);
	close(full);
}

static void test_a_refusal_is_reported_from_the_loop(void **state)
{
	struct rig *rig = *state;
	struct outcome o = {0};
	struct addr addr = refusing_addr();

	start(&o, rig, &addr, LONG_MS);
	run_until_done(&o);
	assert_int_equal(o.error, -ECONNREFUSED);
}

static void test_a_refusal_that_takes_its_time(void **state)
{
	struct rig *rig = *state;
	struct outcome o = {0};
	struct addr addr;
	int fds[8];
	int full = listen_on_loopback(0, &addr);
	size_t count = fill_queue(&addr, fds);

	start(&o, rig, &addr, LONG_MS);
	close(full); /* the next try, after a second, is refused */
	run_until_done(&o);
	assert_int_equal(o.error, -ECONNREFUSED);
	while (count > 0)
		close(fds[--count]);
}

static void test_what_cannot_be_connected_to_is_reported_from_the_loop(void **state)
{
	struct rig *rig = *state;
	struct outcome o = {0};
	struct addr nothing = {0};

	start(&o, rig, &nothing, LONG_MS);
	run_until_done(&o);
	assert_true(o.error < 0 && o.error != -ETIMEDOUT);
}

static void test_a_server_that_hangs_up(void **state)
{
	struct rig *rig = *state;

	for (int asked = 0; asked < 2; asked++) {
		for (int reset = 0; reset < 2; reset++) {
			struct outcome o = {0};
			start(&o, rig, &rig->server, LONG_MS);
			int fd = asked ? accept_request(rig) : accept(rig->listener, NULL, NULL);
			assert_true(fd >= 0);
			if (reset)
				abort_socket(&fd);
			close_fd(&fd);
			run_until_done(&o);
			assert_true(o.error == -ECONNRESET || (!asked && o.error == -EPIPE));
		}
	}
}

static void test_a_lack_of_descriptors_is_no_news_of_the_server(void **state)
{
	struct rig *rig = *state;
	struct rlimit old;
	struct outcome o = {0};
	struct reach *untouched = (struct reach *)(void *)&o;
	struct reach *reach = untouched;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	struct rlimit none = {.rlim_cur = 0, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int r = reach_start(&rig->loop, &rig->server, LONG_MS, on_done, &o, &reach);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_ptr_equal(reach, untouched);
	rig_run_for(rig, 20);
	assert_int_equal(o.done, 0);
}

/* Cancels */

static void cancel(struct outcome *o)
{
	reach_cancel(&o->reach);
	assert_null(o->reach);
	reach_cancel(&o->reach); /* accepts none */
	rig_run_for(o->rig, 20);
	assert_int_equal(o->done, 0);
}

static void test_cancelled_before_the_loop_saw_it(void **state)
{
	struct rig *rig = *state;
	struct addr nothing = {0};
	struct addr addrs[] = {rig->server, refusing_addr(), nothing};

	for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
		struct outcome o = {0};
		start(&o, rig, &addrs[i], 10);
		cancel(&o);
	}
}

static void test_cancelled_while_it_waits(void **state)
{
	struct rig *rig = *state;
	struct outcome o = {0};

	start(&o, rig, &rig->server, LONG_MS);
	int fd = accept_request(rig);
	cancel(&o);
	check_closed(rig, &fd);
}

static void test_cancelled_with_the_answer_there(void **state)
{
	struct rig *rig = *state;
	struct outcome o = {0};

	start(&o, rig, &rig->server, LONG_MS);
	int fd = accept_request(rig);
	(void)!send(fd, "N", 1, 0);
	cancel(&o);
	close(fd);
}

static void test_cancelled_by_the_callback_of_the_same_turn(void **state)
{
	struct rig *rig = *state;
	struct outcome one = {0};
	struct outcome other = {0};

	one.cancels = &other;
	other.cancels = &one;
	start(&one, rig, &rig->server, LONG_MS);
	int fd = accept_request(rig);
	start(&other, rig, &rig->server, LONG_MS);
	int other_fd = accept_request(rig);
	(void)!send(fd, "N", 1, 0);
	(void)!send(other_fd, "N", 1, 0);
	rig_run_for(rig, 20);
	assert_int_equal(one.done + other.done, 1);
	close(fd);
	close(other_fd);
}

static void test_the_callback_may_start_the_next_one(void **state)
{
	struct rig *rig = *state;
	struct outcome o = {.again = true};

	start(&o, rig, &rig->server, LONG_MS);
	int fd = accept_request(rig);
	(void)!send(fd, "N", 1, 0);
	int next_fd = accept_request(rig);
	assert_int_equal(o.done, 1);
	o.done = 0;
	(void)!send(next_fd, "x", 1, 0);
	run_until_done(&o);
	assert_int_equal(o.error, ERR_SYNTAX);
	close(fd);
	close(next_fd);
}

int main(void)
{
#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_RIG(test_the_first_byte_decides),
		WITH_RIG(test_the_answer_may_come_in_pieces),
		WITH_RIG(test_the_time_is_that_of_the_answer),
		WITH_RIG(test_a_fast_answer_is_measured_below_a_millisecond),
		WITH_RIG(test_the_end_is_no_reset_that_postgres_would_log),
		WITH_RIG(test_silence_ends_at_the_timeout),
		WITH_RIG(test_a_connect_that_hangs_ends_at_the_timeout),
		WITH_RIG(test_a_refusal_is_reported_from_the_loop),
		WITH_RIG(test_a_refusal_that_takes_its_time),
		WITH_RIG(test_what_cannot_be_connected_to_is_reported_from_the_loop),
		WITH_RIG(test_a_server_that_hangs_up),
		WITH_RIG(test_a_lack_of_descriptors_is_no_news_of_the_server),
		WITH_RIG(test_cancelled_before_the_loop_saw_it),
		WITH_RIG(test_cancelled_while_it_waits),
		WITH_RIG(test_cancelled_with_the_answer_there),
		WITH_RIG(test_cancelled_by_the_callback_of_the_same_turn),
		WITH_RIG(test_the_callback_may_start_the_next_one),
	};

	return cmocka_run_group_tests_name("reach", tests, NULL, NULL);
}
