/* probe/pg_probe against servers that hang, refuse, lie and flood. */
#include "pg_stand.h"

/* Time */

static void expect_timeout(struct stand *s, const char *phase)
{
	int64_t before_ms = clock_boot_ms();

	expect(s, PROBE_TIMEOUT, phase);
	assert_true(clock_boot_ms() - before_ms < 1000);
	assert_false(pg_probe_is_connected(s->probe));
}

static void test_each_phase_has_the_limit_and_says_which(void **state)
{
	struct stand *s = *state;

	for (int phase = 0; phase < 5; phase++) {
		make_probe(s, PLAIN, 60, 60000);
		ask(s);
		int fd = phase < 3 ? rig_accept(s->rig) : open_session(s);
		if (phase > 0 && phase < 3)
			take(s, fd, STARTUP);
		if (phase == 2)
			fake_message(&s->says, 'R', FAKE_OK, 4);
		if (phase == 4)
			fake_columns(&s->says, FAKE_COLUMNS);
		if (s->says.size > 0)
			say(s, fd);
		expect_timeout(s, phase < 3 ? "no session begins" : "no answer to the query");
		close(fd);
	}
}

static void test_a_connect_that_hangs_has_the_limit(void **state)
{
	struct stand *s = *state;
	struct addr full;
	int queue[8];
	int listener = listen_on_loopback(0, &full);
	size_t count = fill_queue(&full, queue);

	make_probe(s, PLAIN, 60, 60000);
	assert_int_equal(pg_probe_set_address(s->probe, &full, NULL), 0);
	ask(s);
	expect_timeout(s, "connecting");
	for (size_t i = 0; i < count; i++)
		close(queue[i]);
	close(listener);
}

static void test_a_tls_handshake_that_hangs_has_the_limit(void **state)
{
	struct stand *s = *state;

	for (int phase = 0; phase < 2; phase++) {
		make_probe(s, "user=u sslmode=require", 60, 60000);
		ask(s);
		int fd = rig_accept(s->rig);
		take(s, fd, STARTUP); /* the request for TLS */
		if (phase == 1) {
			fake_put(&s->says, "S", 1);
			say(s, fd);
		}
		expect_timeout(s, "no session begins");
		close(fd);
	}
}

/* Without TLS */

static void test_where_tls_is_refused_it_goes_on_in_the_clear_or_not_at_all(void **state)
{
	struct stand *s = *state;

	make_probe(s, "user=u sslmode=prefer", 2000, 60000);
	ask(s);
	int fd = rig_accept(s->rig);
	take(s, fd, STARTUP);
	assert_int_equal(write(fd, "N", 1), 1);
	take(s, fd, STARTUP);
	fake_welcome(&s->says);
	say(s, fd);
	take(s, fd, 'Q');
	answer(s, fd);
	close(fd);
	make_probe(s, "user=u sslmode=require", 2000, 60000);
	ask(s);
	fd = rig_accept(s->rig);
	take(s, fd, STARTUP);
	assert_int_equal(write(fd, "N", 1), 1);
	expect(s, PROBE_ERROR, "does not support SSL");
	close(fd);
}

/* libpq makes a second socket, most likely with the number of the first. */
static void test_a_second_try_without_tls_is_followed_to_its_new_socket(void **state)
{
	struct stand *s = *state;

	make_probe(s, "user=u sslmode=allow", 2000, 60000);
	ask(s);
	int fd = rig_accept(s->rig);
	take(s, fd, STARTUP);
	fake_error(&s->says, "28000", "no pg_hba.conf entry, no encryption");
	say(s, fd);
	int next = rig_accept(s->rig);
	take(s, next, STARTUP);
	assert_int_equal(write(next, "N", 1), 1);
	take(s, next, STARTUP);
	fake_welcome(&s->says);
	say(s, next);
	take(s, next, 'Q');
	answer(s, next);
	close(fd);
	close(next);
}

/* Errors and lies */

static void test_errors_at_the_start_have_their_outcome(void **state)
{
	static const struct {
		const char *sqlstate;
		enum probe_outcome outcome;
	} cases[] = {
		{"57P03", PROBE_STARTING}, {"28P01", PROBE_AUTH},     {"28000", PROBE_AUTH},
		{"53300", PROBE_ERROR},    {"57P01", PROBE_LOST},     {"XX000", PROBE_ERROR},
		{"3D000", PROBE_ERROR},    {"bogus", PROBE_PROTOCOL},
	};
	struct stand *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ask(s);
		int fd = rig_accept(s->rig);
		take(s, fd, STARTUP);
		fake_error(&s->says, cases[i].sqlstate, "it says why");
		say(s, fd);
		close(fd);
		expect(s, cases[i].outcome, "it says why");
		if (cases[i].outcome != PROBE_PROTOCOL)
			assert_string_equal(s->result.sqlstate, cases[i].sqlstate);
	}
}

static void test_a_password_that_is_said_back_is_masked(void **state)
{
	struct stand *s = *state;

	ask(s);
	int fd = rig_accept(s->rig);
	take(s, fd, STARTUP);
	fake_message(&s->says, 'R', "\0\0\0\3", 4); /* wants it in the clear */
	say(s, fd);
	take(s, fd, 'p');
	fake_error(&s->says, "28P01", "wrong: " PASSWORD " (" PASSWORD ")");
	say(s, fd);
	expect(s, PROBE_AUTH, "wrong: *** (***)");
	close(fd);
	/* The same in answer to the query. */
	ask(s);
	fd = open_session(s);
	for (int query = 0; query < 3; query++) {
		fake_error(&s->says, "XX000", PASSWORD);
		fake_message(&s->says, 'Z', "I", 1);
		say(s, fd);
		if (query < 2)
			take(s, fd, 'Q');
	}
	expect(s, PROBE_ERROR, "***");
	close(fd);
}

static void test_other_servers_are_no_postgres(void **state)
{
	static const char *const greetings[] = {
		"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
		"SSH-2.0-OpenSSH_9.2\r\n",
		"-ERR unknown command\r\n",
		"\x15\x03\x03\x00\x02\x02\x0a_and_more",
	};
	struct stand *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(greetings); i++) {
		ask(s);
		int fd = rig_accept(s->rig);
		take(s, fd, STARTUP);
		fake_put(&s->says, greetings[i], strlen(greetings[i]));
		say(s, fd);
		expect(s, PROBE_PROTOCOL, "");
		close(fd);
	}
}

static void put_odd_answer(struct strbuf *says, int which)
{
	static const char *const values[FAKE_COLUMNS] = {"maybe", "off"};

	switch (which) {
	case 0: /* too few columns */
		fake_columns(says, 2);
		fake_row(says, values, 2);
		break;
	case 1: /* no row */
		fake_columns(says, FAKE_COLUMNS);
		break;
	case 2: /* no sense */
		fake_columns(says, FAKE_COLUMNS);
		fake_row(says, values, FAKE_COLUMNS);
		break;
	case 3: /* a copy: libpq would have more and more of it */
		fake_message(says, 'G', "\0\0\0", 3);
		break;
	case 4:
		fake_message(says, 'H', "\0\0\0", 3);
		break;
	case 5:
		fake_message(says, 'I', "", 0);
		break;
	default: /* twice */
		fake_leader(says);
		says->size -= 6; /* not over yet */
		fake_leader(says);
		break;
	}
	fake_end(says);
}

static void test_answers_that_make_no_sense_are_refused(void **state)
{
	struct stand *s = *state;

	for (int which = 0; which < 7; which++) {
		ask(s);
		int fd = open_session(s);
		put_odd_answer(&s->says, which);
		say(s, fd);
		expect(s, PROBE_PROTOCOL, "makes no sense");
		assert_false(pg_probe_is_connected(s->probe));
		close(fd);
	}
}

struct flood {
	struct stand *stand;
	int fd;
	const struct strbuf *block;
	size_t offset;
	size_t written;
};

/* Writes what the socket takes at the moment. */
static bool flood_until_answered(void *arg)
{
	struct flood *f = arg;

	for (;;) {
		ssize_t n = send(f->fd, f->block->data + f->offset, f->block->size - f->offset,
				 MSG_NOSIGNAL);
		if (n <= 0)
			return f->stand->answered > 0;
		f->written += (size_t)n;
		f->offset = (f->offset + (size_t)n) % f->block->size;
	}
}

static void expect_flood_ends(struct stand *s, int fd, const struct strbuf *block)
{
	struct flood flood = {s, fd, block, 0, 0};

	rig_run_until(s->rig, flood_until_answered, &flood);
	expect(s, PROBE_PROTOCOL, "it sends more than");
	close(fd);
}

static void test_a_server_that_never_ends_is_cut_off(void **state)
{
	static const char notice[] = "SNOTICE\0C00000\0Mwords words words\0";
	struct stand *s = *state;
	struct strbuf notices = {0};
	struct strbuf settings = {0};
	struct strbuf zeros = {0};
	char block[16384] = {0};

	make_probe(s, PLAIN, 30000, 60000); /* not time is to end them */
	fake_put(&zeros, block, sizeof(block));
	for (int i = 0; i < 50; i++) {
		char text[40];
		int length = snprintf(text, sizeof(text), "name%d", i);
		fake_message(&notices, 'N', notice, sizeof(notice));
		fake_begin(&settings, 'S', (size_t)length + 3);
		fake_put(&settings, text, (size_t)length + 1);
		fake_put(&settings, "v", 2);
	}
	for (int what = 0; what < 4; what++) {
		ask(s);
		int fd = what < 2 ? rig_accept(s->rig) : open_session(s);
		if (what < 2) {
			take(s, fd, STARTUP);
			fake_message(&s->says, 'R', FAKE_OK, 4);
			say(s, fd);
		}
		if (what == 3) { /* one row that is said to have a gigabyte */
			fake_columns(&s->says, FAKE_COLUMNS);
			fake_begin(&s->says, 'D', 1 << 30);
			say(s, fd);
		}
		expect_flood_ends(s, fd, what == 3 ? &zeros : what == 1 ? &settings : &notices);
	}
	strbuf_deinit(&notices);
	strbuf_deinit(&settings);
	strbuf_deinit(&zeros);
}

static void test_who_cannot_be_reached_is_told_from_the_loop(void **state)
{
	struct stand *s = *state;
	struct addr addr = refusing_addr();

	assert_int_equal(pg_probe_set_address(s->probe, &addr, NULL), 0);
	ask(s);
	expect(s, PROBE_REFUSED, "Connection refused");
	assert_int_equal(addr_parse_ip("255.255.255.255", 5432, &addr), 0);
	assert_int_equal(pg_probe_set_address(s->probe, &addr, NULL), 0);
	ask(s);
	expect(s, PROBE_UNREACHABLE, "");
	assert_true(strlen(s->result.text) > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_each_phase_has_the_limit_and_says_which),
		TEST(test_a_connect_that_hangs_has_the_limit),
		TEST(test_a_tls_handshake_that_hangs_has_the_limit),
		TEST(test_where_tls_is_refused_it_goes_on_in_the_clear_or_not_at_all),
		TEST(test_a_second_try_without_tls_is_followed_to_its_new_socket),
		TEST(test_errors_at_the_start_have_their_outcome),
		TEST(test_a_password_that_is_said_back_is_masked),
		TEST(test_other_servers_are_no_postgres),
		TEST(test_answers_that_make_no_sense_are_refused),
		TEST(test_a_server_that_never_ends_is_cut_off),
		TEST(test_who_cannot_be_reached_is_told_from_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
