/* probe/probe: when servers are asked. The servers are played by the test; a crowd
 * of them is one listener with several entries. */
#include "rig.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake_pg.h"
#include "probe/probe.h"

#define SERVERS 12

struct crowd_member {
	struct probe_server *server;
	unsigned results;
	unsigned answers;
	enum probe_outcome outcome;
	unsigned failures;
	bool is_down;
	bool removes; /* itself, in the callback */
};

struct stand {
	struct rig *rig;
	struct pg_conninfo *conninfo;
	struct probe_settings settings;
	struct probe *probe;
	struct crowd_member members[SERVERS];
	int fds[2 * SERVERS]; /* of sessions that are served */
	size_t fd_count;
	unsigned accepted;
	bool hangs; /* accepts, says nothing */
	struct strbuf welcome;
	struct strbuf answer;
};

static void on_news(const struct probe_news *news, void *arg)
{
	struct crowd_member *m = arg;

	m->results++;
	m->answers += probe_outcome_verdict(news->result->outcome) == PROBE_ANSWERED;
	m->outcome = news->result->outcome;
	m->failures = news->failures;
	m->is_down = news->is_down;
	if (m->removes)
		probe_remove(&m->server);
}

static int setup(void **state)
{
	char problem[PG_CONNINFO_TEXT_SIZE];
	struct stand *s = calloc(1, sizeof(*s));

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(rig_setup((void **)&s->rig), 0);
	assert_int_equal(pg_conninfo_new("user=u sslmode=disable", &s->conninfo, problem), 0);
	s->settings = (struct probe_settings){
		.method = PROBE_BY_SQL,
		.conninfo = s->conninfo,
		.max_age_ms = 60000,
		.interval_ms = 60000,
		.hurry_ms = 20,
		.timeout_ms = 2000,
		.fall = 2,
		.max_connects = 4,
	};
	fake_welcome(&s->welcome);
	fake_leader(&s->answer);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stand *s = *state;

	probe_free(&s->probe);
	pg_conninfo_free(&s->conninfo);
	for (size_t i = 0; i < s->fd_count; i++)
		close(s->fds[i]);
	strbuf_deinit(&s->welcome);
	strbuf_deinit(&s->answer);
	rig_teardown((void **)&s->rig);
	free(s);
	return 0;
}

/* Adds members from the first up to before the end. */
static void add(struct stand *s, size_t first, size_t end, const struct addr *addr)
{
	const struct probe_place place = {.addr = *addr};

	if (s->probe == NULL)
		assert_int_equal(probe_new(&s->rig->loop, &s->settings, on_news, &s->probe), 0);
	for (size_t i = first; i < end; i++)
		assert_int_equal(probe_add(s->probe, &place, &s->members[i], &s->members[i].server),
				 0);
}

static void start(struct stand *s, size_t count, const struct addr *addr)
{
	add(s, 0, count, addr);
}

/* The server's side of everything: sessions begin, queries are answered. */
static void serve(struct stand *s)
{
	struct pollfd p = {.fd = s->rig->listener, .events = POLLIN};
	char text[4000];

	while (p.fd >= 0 && poll(&p, 1, 0) == 1) {
		assert_true(s->fd_count < ARRAY_LEN(s->fds));
		s->fds[s->fd_count++] =
			accept4(s->rig->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		s->accepted++;
	}
	for (size_t i = 0; i < s->fd_count && !s->hangs; i++) {
		ssize_t got = read(s->fds[i], text, sizeof(text));
		const struct strbuf *says = got > 0 && text[0] == 'Q' ? &s->answer : &s->welcome;
		if (got > 0)
			(void)!write(s->fds[i], says->data, says->size);
	}
}

struct wanted {
	struct stand *stand;
	size_t count;
	unsigned results; /* of each */
};

static bool have_results(void *arg)
{
	struct wanted *w = arg;
	size_t have = 0;

	serve(w->stand);
	for (size_t i = 0; i < w->count; i++)
		have += w->stand->members[i].results >= w->results;
	return have == w->count;
}

static void run_until_results(struct stand *s, size_t count, unsigned results)
{
	rig_run_until(s->rig, have_results, &(struct wanted){s, count, results});
}

static bool passes(void *arg)
{
	struct wanted *w = arg;

	serve(w->stand);
	return clock_boot_ms() >= (int64_t)w->count;
}

static void run_for(struct stand *s, int64_t ms)
{
	rig_run_until(s->rig, passes, &(struct wanted){s, (size_t)(clock_boot_ms() + ms), 0});
}

static void test_all_are_asked_soon_over_connections_that_are_kept(void **state)
{
	struct stand *s = *state;

	s->settings.interval_ms = 30;
	start(s, SERVERS, &s->rig->server);
	run_until_results(s, SERVERS, 4);
	assert_int_equal(s->accepted, SERVERS);
	for (size_t i = 0; i < SERVERS; i++) {
		assert_int_equal(s->members[i].answers, s->members[i].results);
		assert_int_equal(s->members[i].failures, 0);
		assert_false(s->members[i].is_down);
	}
}

static void test_the_interval_is_kept(void **state)
{
	struct stand *s = *state;

	s->settings.interval_ms = 100;
	start(s, 1, &s->rig->server);
	run_for(s, 1020);
	/* 10 % early each time, at most. */
	assert_in_range(s->members[0].results, 3, 13);
}

static void test_hurry_asks_now_and_often(void **state)
{
	struct stand *s = *state;

	start(s, 3, &s->rig->server);
	run_until_results(s, 3, 1);
	run_for(s, 60);
	assert_int_equal(s->members[0].results, 1);
	probe_hurry(s->probe, true);
	run_until_results(s, 3, 5);
	probe_hurry(s->probe, false);
	run_for(s, 50);
	unsigned results = s->members[0].results;
	run_for(s, 60);
	assert_int_equal(s->members[0].results, results);
	/* One alone. */
	results = s->members[1].results;
	probe_ask(s->members[1].server);
	run_for(s, 60);
	assert_int_equal(s->members[1].results, results + 1);
}

static void test_a_refusal_is_confirmed_at_once_and_then_down(void **state)
{
	struct stand *s = *state;
	struct addr addr = refusing_addr();

	start(s, 1, &addr);
	run_until_results(s, 1, 2);
	assert_int_equal(s->members[0].outcome, PROBE_REFUSED);
	assert_int_equal(s->members[0].failures, 2);
	assert_true(s->members[0].is_down);
	run_for(s, 60);
	assert_int_equal(s->members[0].results, 2); /* and no more until the interval ends */
}

static void test_the_end_of_a_kept_connection_is_looked_into_at_once(void **state)
{
	struct stand *s = *state;

	start(s, 1, &s->rig->server);
	run_until_results(s, 1, 1);
	assert_int_equal(s->members[0].outcome, PROBE_WRITABLE);
	close_fd(&s->rig->listener);
	close(s->fds[--s->fd_count]);
	run_until_results(s, 1, 3);
	assert_int_equal(s->members[0].outcome, PROBE_REFUSED);
	assert_true(s->members[0].is_down);
}

static void test_who_answers_again_is_up_at_once(void **state)
{
	struct stand *s = *state;
	struct addr addr = refusing_addr();
	struct probe_place place = {.addr = s->rig->server};

	start(s, 1, &addr);
	run_until_results(s, 1, 2);
	assert_int_equal(probe_move(s->members[0].server, &place), 0);
	probe_ask(s->members[0].server);
	run_until_results(s, 1, 3);
	assert_int_equal(s->members[0].outcome, PROBE_WRITABLE);
	assert_int_equal(s->members[0].failures, 0);
	assert_false(s->members[0].is_down);
}

static void test_an_unsure_result_neither_adds_nor_ends_failures(void **state)
{
	struct stand *s = *state;
	struct addr addr = refusing_addr();
	struct probe_place place = {.addr = s->rig->server};

	start(s, 1, &addr);
	run_until_results(s, 1, 2);
	strbuf_clear(&s->welcome);
	fake_error(&s->welcome, "53300", "too many clients already");
	assert_int_equal(probe_move(s->members[0].server, &place), 0);
	probe_ask(s->members[0].server);
	run_until_results(s, 1, 3);
	assert_int_equal(s->members[0].outcome, PROBE_ERROR);
	assert_int_equal(s->members[0].failures, 2);
	assert_true(s->members[0].is_down);
}

static void test_only_so_many_connects_are_under_way(void **state)
{
	struct stand *s = *state;

	s->hangs = true;
	add(s, 0, 3, &s->rig->server);
	run_for(s, 60);
	assert_int_equal(s->accepted, 3);
	/* The fourth is for those that have answered once. */
	add(s, 3, SERVERS, &s->rig->server);
	run_for(s, 60);
	assert_int_equal(s->accepted, 3);
	/* Those that go make room. */
	for (size_t i = 0; i < 3; i++) {
		probe_remove(&s->members[i].server);
		s->members[i].results++;
	}
	s->hangs = false;
	run_until_results(s, SERVERS, 1);
	assert_int_equal(s->accepted, SERVERS);
}

/* Servers that hang take every connect there may be, again and again. */
static void test_those_that_hang_do_not_hold_up_those_that_answer(void **state)
{
	struct stand *s = *state;
	struct addr silent;
	int listener = listen_on_loopback(64, &silent);

	s->settings.interval_ms = 20;
	s->settings.timeout_ms = 400;
	start(s, 2, &s->rig->server);
	run_until_results(s, 2, 1);
	add(s, 2, SERVERS, &silent);
	run_for(s, 50);
	unsigned before = s->members[0].results;
	run_for(s, 300);
	assert_true(s->members[0].results >= before + 3);
	assert_int_equal(s->members[SERVERS - 1].answers, 0);
	/* Nor those whose connection ends. */
	unsigned accepted = s->accepted;
	before = s->members[0].answers + s->members[1].answers;
	for (size_t i = 0; i < accepted; i++) {
		close(s->fds[i]);
		s->fds[i] = -1;
	}
	run_for(s, 100);
	assert_int_equal(s->accepted, accepted + 2);
	assert_true(s->members[0].answers + s->members[1].answers >= before + 2);
	/* Each of them comes to its turn. */
	run_until_results(s, SERVERS, 1);
	assert_int_equal(s->members[SERVERS - 1].outcome, PROBE_TIMEOUT);
	close(listener);
}

static void test_a_server_may_be_removed_in_its_callback(void **state)
{
	struct stand *s = *state;

	s->settings.interval_ms = 20;
	for (size_t i = 0; i < SERVERS; i += 2)
		s->members[i].removes = true;
	start(s, SERVERS, &s->rig->server);
	run_until_results(s, SERVERS, 1);
	run_for(s, 60);
	for (size_t i = 0; i < SERVERS; i++) {
		assert_true((s->members[i].server == NULL) == (i % 2 == 0));
		assert_true((s->members[i].results == 1) == (i % 2 == 0));
	}
}

static void test_check_servers_follow_the_same_schedule(void **state)
{
	struct stand *s = *state;
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nleader";
	const struct probe_place place = {.host = "127.0.0.1", .port = addr_port(&s->rig->server)};

	s->settings.method = PROBE_BY_FLY;
	s->settings.interval_ms = 20;
	strbuf_clear(&s->welcome);
	fake_put(&s->welcome, answer, strlen(answer));
	assert_int_equal(probe_new(&s->rig->loop, &s->settings, on_news, &s->probe), 0);
	for (size_t i = 0; i < SERVERS; i++)
		assert_int_equal(probe_add(s->probe, &place, &s->members[i], &s->members[i].server),
				 0);
	run_until_results(s, SERVERS, 3);
	assert_int_equal(s->accepted, SERVERS);
	assert_int_equal(s->members[0].outcome, PROBE_WRITABLE);
	close_fd(&s->rig->listener);
	for (; s->fd_count > 0; s->fd_count--)
		close(s->fds[s->fd_count - 1]);
	run_until_results(s, SERVERS, s->members[0].results + 4);
	assert_true(s->members[0].is_down);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_all_are_asked_soon_over_connections_that_are_kept),
		TEST(test_the_interval_is_kept),
		TEST(test_hurry_asks_now_and_often),
		TEST(test_a_refusal_is_confirmed_at_once_and_then_down),
		TEST(test_the_end_of_a_kept_connection_is_looked_into_at_once),
		TEST(test_who_answers_again_is_up_at_once),
		TEST(test_an_unsure_result_neither_adds_nor_ends_failures),
		TEST(test_only_so_many_connects_are_under_way),
		TEST(test_those_that_hang_do_not_hold_up_those_that_answer),
		TEST(test_a_server_may_be_removed_in_its_callback),
		TEST(test_check_servers_follow_the_same_schedule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
