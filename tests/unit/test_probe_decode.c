/* What servers say of themselves, decoded: rows of PostgreSQL, failures of libpq,
 * texts for the log; and what a user may say of how to ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "pg_private.h"
#include "pg_row.h"

/* Rows */

/* In the order of enum pg_row_column, "-" for null. */
static int decode(const char *const row[PG_ROW_COLUMNS], struct probe_result *result)
{
	const char *values[PG_ROW_COLUMNS];

	for (int i = 0; i < PG_ROW_COLUMNS; i++)
		values[i] = strcmp(row[i], "-") == 0 ? NULL : row[i];
	probe_result_init(result);
	return pg_row_decode(values, result);
}

#define LEADER                                                                                     \
	"f", "off", "-", "0000000A0000000100000002", "1/2A", "-", "-", "-", "f", "-", "9", "7"
#define ONLY(r, t) r, t, "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"

static void test_the_row_of_a_leader(void **state)
{
	const char *const row[] = {LEADER};
	struct probe_result r;

	assert_int_equal(decode(row, &r), 0);
	assert_int_equal(r.outcome, PROBE_WRITABLE);
	assert_int_equal(r.timeline, 10); /* not the control file's */
	assert_true(r.timeline_is_exact);
	assert_int_equal(r.current_lsn, 0x10000002a);
	assert_int_equal(r.system_id, 7);
	assert_int_equal(r.replay_delay_ms, -1);
}

static void test_the_role_of_a_row(void **state)
{
	static const struct {
		const char *in_recovery;
		const char *read_only;
		const char *source;
		enum probe_outcome outcome;
	} cases[] = {
		{"f", "off", "-", PROBE_WRITABLE},
		{"t", "on", "-", PROBE_IN_RECOVERY},
		{"t", "off", "-", PROBE_IN_RECOVERY},
		{"f", "on", "configuration file", PROBE_READ_ONLY},
		{"f", "on", "command line", PROBE_READ_ONLY},
		{"f", "on", "database", PROBE_READ_ONLY},
		{"f", "on", "global", PROBE_READ_ONLY},
		{"f", "on", "-", PROBE_READ_ONLY},
		{"f", "on", "user", PROBE_WRITABLE},
		{"f", "on", "database user", PROBE_WRITABLE},
		{"f", "on", "client", PROBE_WRITABLE},
	};
	const char *row[PG_ROW_COLUMNS] = {ONLY("f", "off")};
	struct probe_result r;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		row[PG_ROW_IN_RECOVERY] = cases[i].in_recovery;
		row[PG_ROW_READ_ONLY] = cases[i].read_only;
		row[PG_ROW_READ_ONLY_SOURCE] = cases[i].source;
		assert_int_equal(decode(row, &r), 0);
		assert_int_equal(r.outcome, cases[i].outcome);
		assert_int_equal(r.timeline, 0);
		assert_false(r.timeline_is_exact);
	}
}

static void test_how_far_a_standby_is(void **state)
{
	static const struct {
		const char *received;
		const char *replayed;
		const char *delay;
		const char *has_receiver;
		int64_t delay_ms;
	} cases[] = {
		{"0/20", "0/20", "5000", "t", 0},    {"0/20", "0/10", "5000", "t", 5000},
		{"0/20", "0/20", "5000", "f", 5000}, {"0/20", "0/20", "-", "t", 0},
		{"0/20", "0/10", "-", "t", -1},      {"-", "0/10", "70", "f", 70},
		{"0/10", "0/20", "70", "t", 0},      {"0/20", "0/10", "-5", "t", 0},
	};
	const char *row[PG_ROW_COLUMNS] = {ONLY("t", "on")};
	struct probe_result r;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		row[PG_ROW_RECEIVED_LSN] = cases[i].received;
		row[PG_ROW_REPLAYED_LSN] = cases[i].replayed;
		row[PG_ROW_REPLAY_DELAY_MS] = cases[i].delay;
		row[PG_ROW_HAS_RECEIVER] = cases[i].has_receiver;
		assert_int_equal(decode(row, &r), 0);
		assert_int_equal(r.replay_delay_ms, cases[i].delay_ms);
	}
}

static void test_the_timeline_of_a_standby(void **state)
{
	const char *row[PG_ROW_COLUMNS] = {ONLY("t", "on")};
	struct probe_result r;

	row[PG_ROW_CONTROL_TIMELINE] = "4";
	assert_int_equal(decode(row, &r), 0);
	assert_int_equal(r.timeline, 4);
	assert_false(r.timeline_is_exact);
	row[PG_ROW_RECEIVED_TIMELINE] = "5";
	assert_int_equal(decode(row, &r), 0);
	assert_int_equal(r.timeline, 5);
	assert_true(r.timeline_is_exact);
	row[PG_ROW_RECEIVED_TIMELINE] = "0"; /* of a receiver that waits to begin */
	assert_int_equal(decode(row, &r), 0);
	assert_int_equal(r.timeline, 4);
	assert_false(r.timeline_is_exact);
}

static void test_rows_that_make_no_sense_change_nothing(void **state)
{
	static const struct {
		enum pg_row_column column;
		const char *value;
	} cases[] = {
		{PG_ROW_IN_RECOVERY, "-"},        {PG_ROW_IN_RECOVERY, "true"},
		{PG_ROW_IN_RECOVERY, ""},         {PG_ROW_READ_ONLY, "-"},
		{PG_ROW_READ_ONLY, "t"},          {PG_ROW_WAL_FILE, "0000000"},
		{PG_ROW_WAL_FILE, "x"},           {PG_ROW_CURRENT_LSN, "1"},
		{PG_ROW_CURRENT_LSN, "1/"},       {PG_ROW_CURRENT_LSN, "/1"},
		{PG_ROW_CURRENT_LSN, "1/1 "},     {PG_ROW_CURRENT_LSN, "123456789/1"},
		{PG_ROW_RECEIVED_LSN, "0/x"},     {PG_ROW_REPLAYED_LSN, ""},
		{PG_ROW_REPLAY_DELAY_MS, "1.5"},  {PG_ROW_HAS_RECEIVER, "1"},
		{PG_ROW_RECEIVED_TIMELINE, "-1"}, {PG_ROW_CONTROL_TIMELINE, "99999999999"},
		{PG_ROW_SYSTEM_ID, "x"},          {PG_ROW_SYSTEM_ID, "99999999999999999999"},
	};
	struct probe_result before;
	struct probe_result r;

	probe_result_init(&before);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *row[] = {LEADER};
		row[cases[i].column] = cases[i].value;
		assert_int_equal(decode(row, &r), ERR_SYNTAX);
		assert_memory_equal(&r, &before, sizeof(r));
	}
}

/* Failures */

#define TO "connection to server at \"127.0.0.1\", port 5432 failed: "

static void test_what_libpq_tells_of_a_failure(void **state)
{
	static const struct {
		const char *message;
		bool was_connected;
		bool needs_password;
		enum probe_outcome outcome;
		const char *sqlstate;
		const char *text;
	} cases[] = {
		{TO "Connection refused\n\tIs the server running on that host?\n", false, false,
		 PROBE_REFUSED, "", "Connection refused"},
		{TO "No route to host\n", false, false, PROBE_UNREACHABLE, "", "No route to host"},
		{"invalid sslmode value: \"no\"\n", false, false, PROBE_ERROR, "",
		 "invalid sslmode value: \"no\""},
		{TO "FATAL:  57P03: the database system is starting up\nLOCATION:  x\n", true,
		 false, PROBE_STARTING, "57P03", "the database system is starting up"},
		{TO "FATAL:  28P01: Connection refused\n", true, false, PROBE_AUTH, "28P01",
		 "Connection refused"},
		/* The first one is the cause: the second try was without TLS. */
		{TO "FATAL:  28P01: wrong\nLOCATION:  x\n" TO "FATAL:  XX000: other\n", true, false,
		 PROBE_AUTH, "28P01", "wrong"},
		{TO "fe_sendauth: no password supplied\n", true, true, PROBE_AUTH, "",
		 "fe_sendauth: no password supplied"},
		{TO "server closed the connection unexpectedly\n\tThis probably\n", true, false,
		 PROBE_LOST, "", "server closed the connection unexpectedly"},
		{TO "SSL error: certificate verify failed\n", true, false, PROBE_ERROR, "",
		 "SSL error: certificate verify failed"},
		{TO "received invalid response to SSL negotiation: H\n", true, false,
		 PROBE_PROTOCOL, "", "received invalid response to SSL negotiation: H"},
		{TO "expected authentication request from server, but received H\n", true, false,
		 PROBE_PROTOCOL, "", "expected authentication request from server, but received H"},
		{"", true, false, PROBE_PROTOCOL, "", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct pg_failure failure = {cases[i].message, "", cases[i].was_connected,
						   cases[i].needs_password};
		struct probe_result r;
		probe_result_init(&r);
		pg_failure_read(&failure, &r);
		assert_string_equal(r.text, cases[i].text);
		assert_string_equal(r.sqlstate, cases[i].sqlstate);
		assert_int_equal(r.outcome, cases[i].outcome);
	}
}

/* Texts */

static void test_texts_are_one_printable_line_without_secrets(void **state)
{
	static const struct {
		const char *from;
		const char *secret;
		const char *to;
	} cases[] = {
		{"plain", NULL, "plain"},
		{"first\nsecond", NULL, "first"},
		{"\t a\t\t b\r\n", NULL, "a b "},
		{"\x1b[31mred\x7f", NULL, "[31mred?"},
		{"gr\xc3\xbc\xc3\x9f \xe2\x9c\x93 \xf0\x9f\x90\x98", NULL,
		 "gr\xc3\xbc\xc3\x9f \xe2\x9c\x93 \xf0\x9f\x90\x98"},
		{"\xff\xc3", NULL, "??"},
		{"\xc2\x9b"
		 "31m",
		 NULL, "?31m"},
		{"is pw and pw.", "pw", "is *** and ***."},
		{"pwpw", "pw", "******"},
		{"p w", "", "p w"},
		{"a\nb", "a\nb", "***"},
	};
	struct probe_result r;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		probe_result_init(&r);
		probe_result_set_text(&r, cases[i].from, strlen(cases[i].from), cases[i].secret);
		assert_string_equal(r.text, cases[i].to);
	}
}

static void test_long_texts_are_cut_at_a_character(void **state)
{
	char text[3 * PROBE_TEXT_SIZE];
	struct probe_result r;

	probe_result_init(&r);
	for (size_t i = 0; i + 3 <= sizeof(text); i += 3)
		memcpy(text + i, "\xe2\x9c\x93", 3);
	probe_result_set_text(&r, text, sizeof(text), NULL);
	assert_int_equal(strlen(r.text), (PROBE_TEXT_SIZE - 1) / 3 * 3);
	/* The secret goes before the cut, never half of it. */
	memset(text, 'x', PROBE_TEXT_SIZE - 3);
	memcpy(text + PROBE_TEXT_SIZE - 3, "secret", 6);
	probe_result_set_text(&r, text, PROBE_TEXT_SIZE + 3, "secret");
	assert_null(strstr(r.text, "s"));
}

static void test_outcomes_have_their_name_and_verdict(void **state)
{
	assert_string_equal(probe_outcome_name(PROBE_IN_RECOVERY), "in-recovery");
	assert_int_equal(probe_outcome_verdict(PROBE_READ_ONLY), PROBE_ANSWERED);
	assert_int_equal(probe_outcome_verdict(PROBE_LOST), PROBE_DOWN);
	assert_int_equal(probe_outcome_verdict(PROBE_AUTH), PROBE_UNSURE);
	assert_int_equal(probe_outcome_verdict(PROBE_ERROR), PROBE_UNSURE);
}

/* Settings */

static void test_a_conninfo_names_a_user_and_no_server(void **state)
{
	static const struct {
		const char *text;
		const char *problem; /* NULL: fine */
	} cases[] = {
		{"user=u", NULL},
		{"user=u password='a b' passfile=/x sslmode=verify-full dbname=d", NULL},
		{"postgresql:///d?user=u", NULL},
		{"", "names no user"},
		{"user=u host=secr3t", "host may not be set"},
		{"user=u hostaddr=::1", "hostaddr may not be set"},
		{"user=u port=5432", "port may not be set"},
		{"user=u service=s", "service may not be set"},
		{"user=u replication=true", "replication may not be set"},
		{"user=u target_session_attrs=any", "target_session_attrs may not be set"},
		{"postgresql://u@secr3t/d", "host may not be set"},
		{"user=u password=secr3t and", "without \"=\""},
		{"user=u password='secr3t", "quote"},
		{"user=u secr3t=1", "does not know"},
		{"postgresql:///d?secr3t=1", "does not know"},
		{"postgresql://[secr3t", "does not parse"},
	};
	char problem[PG_CONNINFO_TEXT_SIZE];

	unsetenv("PGUSER");
	setenv("PGHOST", "db.invalid", 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pg_conninfo *conninfo = NULL;
		int r = pg_conninfo_new(cases[i].text, &conninfo, problem);
		assert_int_equal(r, cases[i].problem != NULL ? ERR_SYNTAX : 0);
		if (r < 0 && strstr(problem, cases[i].problem) == NULL)
			fail_msg("%s: %s", cases[i].text, problem);
		assert_null(strstr(problem, "secr3t"));
		pg_conninfo_free(&conninfo);
		assert_null(conninfo);
	}
	assert_null(getenv("PGHOST"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_row_of_a_leader),
		cmocka_unit_test(test_the_role_of_a_row),
		cmocka_unit_test(test_how_far_a_standby_is),
		cmocka_unit_test(test_the_timeline_of_a_standby),
		cmocka_unit_test(test_rows_that_make_no_sense_change_nothing),
		cmocka_unit_test(test_what_libpq_tells_of_a_failure),
		cmocka_unit_test(test_texts_are_one_printable_line_without_secrets),
		cmocka_unit_test(test_long_texts_are_cut_at_a_character),
		cmocka_unit_test(test_outcomes_have_their_name_and_verdict),
		cmocka_unit_test(test_a_conninfo_names_a_user_and_no_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
