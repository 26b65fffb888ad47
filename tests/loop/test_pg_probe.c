/* probe/pg_probe: connections kept, renewed and replaced, ends in each phase. */
#include "pg_stand.h"

/* Answers */

static void test_an_answer_is_told_and_its_connection_kept(void **state)
{
	struct stand *s = *state;

	ask(s);
	assert_false(pg_probe_is_connected(s->probe));
	int fd = open_session(s);
	assert_true(pg_probe_is_asking(s->probe));
	answer(s, fd);
	assert_int_equal(s->result.timeline, 3);
	assert_true(s->result.timeline_is_exact);
	assert_int_equal(s->result.system_id, 77);
	assert_int_equal(s->result.current_lsn, 0x7000060);
	assert_int_equal(s->result.server_version, 150004);
	assert_false(pg_probe_is_asking(s->probe));
	for (int i = 0; i < 3; i++) {
		assert_true(pg_probe_is_connected(s->probe));
		int64_t before_ms = clock_boot_ms();
		ask(s);
		take(s, fd, 'Q');
		answer(s, fd);
		assert_true(s->result.sent_ms >= before_ms);
	}
	assert_true(has_no_connect(s));
	close(fd);
}

static void test_a_connection_is_renewed_when_it_is_old(void **state)
{
	struct stand *s = *state;

	make_probe(s, PLAIN, 2000, 50);
	ask(s);
	int fd = open_session(s);
	answer(s, fd);
	rig_run_for(s->rig, 60);
	assert_false(pg_probe_is_connected(s->probe));
	ask(s);
	int next = open_session(s);
	answer(s, next);
	char byte;
	rig_run_until(s->rig, is_readable, &fd);
	assert_true(read(fd, &byte, 1) <= 0);
	close(fd);
	close(next);
}

static void test_less_is_asked_of_who_refuses_to_tell_and_that_is_kept(void **state)
{
	struct stand *s = *state;

	ask(s);
	int fd = open_session(s);
	for (int refused = 0; refused < 2; refused++) {
		fake_error(&s->says, "42501", "permission denied for function x");
		fake_message(&s->says, 'Z', "I", 1);
		say(s, fd);
		take(s, fd, 'Q');
	}
	answer(s, fd);
	assert_string_equal(s->result.sqlstate, "");
	ask(s);
	take(s, fd, 'Q');
	fake_error(&s->says, "57014", "canceling statement due to statement timeout");
	fake_message(&s->says, 'Z', "I", 1);
	say(s, fd);
	/* The last one it was: nothing smaller is left. */
	expect(s, PROBE_ERROR, "canceling statement");
	assert_string_equal(s->result.sqlstate, "57014");
	close(fd);
}

static void test_asking_again_and_freeing_in_the_callback_are_fine(void **state)
{
	struct stand *s = *state;

	s->asks = true;
	ask(s);
	int fd = open_session(s);
	answer(s, fd);
	s->answered = 0;
	take(s, fd, 'Q');
	s->frees = true;
	answer(s, fd);
	assert_null(s->probe);
	close(fd);
	/* After a failure as well, and of an idle connection. */
	make_probe(s, PLAIN, 2000, 60000);
	ask(s);
	fd = rig_accept(s->rig);
	close(fd);
	expect(s, PROBE_LOST, "");
	assert_null(s->probe);
	s->frees = false;
	make_probe(s, PLAIN, 2000, 60000);
	ask(s);
	fd = open_session(s);
	answer(s, fd);
	s->frees = true;
	close(fd);
	rig_run_until(s->rig, is_lost, s);
	assert_null(s->probe);
}

static void test_a_probe_that_is_freed_calls_nobody(void **state)
{
	struct stand *s = *state;

	for (int phase = 0; phase < 4; phase++) {
		int fd = -1;
		make_probe(s, PLAIN, 20, 60000);
		ask(s);
		if (phase == 1 || phase == 2)
			fd = rig_accept(s->rig);
		if (phase == 2)
			take(s, fd, STARTUP);
		if (phase == 3)
			fd = open_session(s);
		s->answered = 0;
		pg_probe_free(&s->probe);
		rig_run_for(s->rig, 40);
		assert_int_equal(s->answered, 0);
		close_fd(&fd);
	}
}

static void test_another_address_begins_anew(void **state)
{
	struct stand *s = *state;
	struct addr other;

	ask(s);
	int old = open_session(s);
	int listener = listen_on_loopback(8, &other);
	assert_int_equal(pg_probe_set_address(s->probe, &other, NULL), 0);
	assert_int_equal(pg_probe_set_address(s->probe, &other, NULL), 0);
	close_fd(&s->rig->listener);
	s->rig->listener = listener;
	int fd = open_session(s);
	answer(s, fd);
	/* And an idle one is given up. */
	assert_int_equal(pg_probe_set_address(s->probe, &s->rig->server, NULL), 0);
	assert_false(pg_probe_is_connected(s->probe));
	ask(s);
	expect(s, PROBE_REFUSED, "refused");
	assert_int_equal(s->lost, 0);
	close(fd);
	close(old);
}

/* Ends */

static void test_the_end_of_an_idle_connection_is_told(void **state)
{
	struct stand *s = *state;

	for (int how = 0; how < 3; how++) {
		s->lost = 0;
		ask(s);
		int fd = open_session(s);
		answer(s, fd);
		if (how == 0) {
			fake_error(&s->says, "57P01", "terminating connection");
			say(s, fd);
		}
		if (how < 2)
			close(fd);
		else
			abort_socket(&fd);
		rig_run_until(s->rig, is_lost, s);
		assert_int_equal(s->lost, 1);
		assert_false(pg_probe_is_connected(s->probe));
	}
}

static void test_a_kept_connection_that_died_is_replaced_once(void **state)
{
	struct stand *s = *state;

	for (int how = 0; how < 2; how++) {
		ask(s);
		int fd = open_session(s);
		answer(s, fd);
		ask(s);
		take(s, fd, 'Q');
		if (how == 0) {
			fake_error(&s->says, "57P01", "terminating connection");
			say(s, fd);
			close(fd);
		} else {
			abort_socket(&fd);
		}
		fd = open_session(s);
		answer(s, fd);
		assert_string_equal(s->result.sqlstate, "");
		ask(s);
		take(s, fd, 'Q');
		close(fd);
		fd = open_session(s);
		close(fd);
		expect(s, PROBE_LOST, "");
		assert_true(has_no_connect(s));
	}
	assert_int_equal(s->lost, 0);
}

static void test_noise_on_an_idle_connection_is_borne_or_ends_it(void **state)
{
	static const char setting[] = "TimeZone\0"
				      "UTC";
	static const char notification[] = "\0\0\0\1name\0text";
	struct stand *s = *state;

	ask(s);
	int fd = open_session(s);
	answer(s, fd);
	fake_message(&s->says, 'S', setting, sizeof(setting));
	say(s, fd);
	rig_run_for(s->rig, 10);
	ask(s);
	take(s, fd, 'Q');
	answer(s, fd);
	fake_message(&s->says, 'A', notification, sizeof(notification));
	say(s, fd);
	rig_run_until(s->rig, is_lost, s);
	close(fd);
}

static void test_an_end_in_each_phase_is_a_loss(void **state)
{
	struct stand *s = *state;

	for (int phase = 0; phase < 5; phase++) {
		ask(s);
		int fd = phase < 4 ? rig_accept(s->rig) : open_session(s);
		if (phase > 0 && phase < 4)
			take(s, fd, STARTUP);
		if (phase == 2)
			fake_message(&s->says, 'R', FAKE_OK, 4);
		if (phase == 3)
			fake_begin(&s->says, 'R', 4);
		if (phase == 4)
			fake_columns(&s->says, FAKE_COLUMNS);
		if (phase > 1)
			say(s, fd);
		close(fd);
		expect(s, PROBE_LOST, "");
		assert_true(has_no_connect(s));
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_an_answer_is_told_and_its_connection_kept),
		TEST(test_a_connection_is_renewed_when_it_is_old),
		TEST(test_less_is_asked_of_who_refuses_to_tell_and_that_is_kept),
		TEST(test_asking_again_and_freeing_in_the_callback_are_fine),
		TEST(test_a_probe_that_is_freed_calls_nobody),
		TEST(test_another_address_begins_anew),
		TEST(test_the_end_of_an_idle_connection_is_told),
		TEST(test_a_kept_connection_that_died_is_replaced_once),
		TEST(test_noise_on_an_idle_connection_is_borne_or_ends_it),
		TEST(test_an_end_in_each_phase_is_a_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
