/* What check servers say of a role. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/cleanup.h"
#include "role_body.h"

static void test_the_word_of_fly(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum probe_outcome outcome;
		const char *text;
	} cases[] = {
		{200, "leader", PROBE_WRITABLE, ""},
		{200, "primary\n", PROBE_WRITABLE, ""},
		{200, "\"leader\"\n", PROBE_WRITABLE, ""},
		{200, "replica", PROBE_IN_RECOVERY, ""},
		{200, "\"replica\"", PROBE_IN_RECOVERY, ""},
		{200, " standby ", PROBE_IN_RECOVERY, ""},
		{200, "readonly", PROBE_READ_ONLY, ""},
		{200, "leaders", PROBE_PROTOCOL, "HTTP 200: leaders"},
		{200, "not the leader", PROBE_PROTOCOL, "HTTP 200: not the leader"},
		{200, "Leader", PROBE_PROTOCOL, "HTTP 200: Leader"},
		{200, "", PROBE_PROTOCOL, "HTTP 200: "},
		{200, "\"", PROBE_PROTOCOL, "HTTP 200: \""},
		{500, "leader", PROBE_ERROR, "HTTP 500: leader"},
		{500, "failed to connect to local node: no\nmore", PROBE_ERROR,
		 "HTTP 500: failed to connect to local node: no"},
		{404, "404 page not found\n", PROBE_ERROR, "HTTP 404: 404 page not found"},
	};
	struct probe_result r;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		probe_result_init(&r);
		role_body_decode_fly(cases[i].status, cases[i].body, strlen(cases[i].body), &r);
		assert_int_equal(r.outcome, cases[i].outcome);
		assert_string_equal(r.text, cases[i].text);
	}
}

static void decode_patroni(int status, const char *body, struct probe_result *r)
{
	probe_result_init(r);
	role_body_decode_patroni(status, body, strlen(body), r);
}

static void test_the_role_of_patroni(void **state)
{
	static const struct {
		const char *body;
		enum probe_outcome outcome;
		const char *text;
	} cases[] = {
		{"{\"state\":\"running\",\"role\":\"primary\"}", PROBE_WRITABLE, ""},
		{"{\"state\":\"running\",\"role\":\"master\"}", PROBE_WRITABLE, ""},
		{"{\"state\":\"running\",\"role\":\"replica\"}", PROBE_IN_RECOVERY, ""},
		{"{\"state\":\"running\",\"role\":\"standby_leader\"}", PROBE_IN_RECOVERY, ""},
		{"{\"state\":\"running\",\"role\":\"promoted\"}", PROBE_STARTING,
		 "state running, role promoted"},
		{"{\"state\":\"starting\",\"role\":\"primary\"}", PROBE_STARTING,
		 "state starting, role primary"},
		{"{\"state\":\"stopped\",\"role\":\"primary\"}", PROBE_STARTING,
		 "state stopped, role primary"},
		{"{\"state\":\"running\",\"role\":\"sync_standby?\"}", PROBE_PROTOCOL,
		 "state running, role sync_standby?"},
		{"{\"role\":\"primary\"}", PROBE_PROTOCOL, "state missing, role primary"},
		{"{\"state\":\"running\"}", PROBE_PROTOCOL, "state running, role missing"},
		{"{\"state\":1,\"role\":[]}", PROBE_PROTOCOL, "state missing, role missing"},
		{"[]", PROBE_PROTOCOL, "HTTP 200: []"},
		{"", PROBE_PROTOCOL, "HTTP 200: "},
		{"{\"state\":\"running\",\"role\":\"primary\"} x", PROBE_PROTOCOL,
		 "HTTP 200: {\"state\":\"running\",\"role\":\"primary\"} x"},
	};
	struct probe_result r;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		decode_patroni(200, cases[i].body, &r);
		assert_int_equal(r.outcome, cases[i].outcome);
		assert_string_equal(r.text, cases[i].text);
	}
	/* The body is read only where the status says that there is one. */
	decode_patroni(503, cases[0].body, &r);
	assert_int_equal(r.outcome, PROBE_ERROR);
}

static void test_the_details_of_patroni(void **state)
{
	struct probe_result r;

	decode_patroni(200,
		       "{\"state\":\"running\",\"role\":\"master\",\"server_version\":150004,"
		       "\"xlog\":{\"location\":67395656},\"timeline\":3,"
		       "\"database_system_identifier\":\"7258354403232071732\"}",
		       &r);
	assert_int_equal(r.timeline, 3);
	assert_true(r.timeline_is_exact);
	assert_int_equal(r.system_id, 7258354403232071732);
	assert_int_equal(r.server_version, 150004);
	assert_int_equal(r.current_lsn, 67395656);
	assert_int_equal(r.replay_delay_ms, -1);
	decode_patroni(200,
		       "{\"state\":\"running\",\"role\":\"replica\",\"timeline\":-1,"
		       "\"xlog\":{\"received_location\":20,\"replayed_location\":10,"
		       "\"replayed_timestamp\":null,\"paused\":false},"
		       "\"replication_state\":\"streaming\",\"server_version\":1e9,"
		       "\"database_system_identifier\":\"x\"}",
		       &r);
	assert_int_equal(r.outcome, PROBE_IN_RECOVERY);
	assert_int_equal(r.timeline, 0);
	assert_int_equal(r.system_id, 0);
	assert_int_equal(r.server_version, 0);
	assert_int_equal(r.received_lsn, 20);
	assert_int_equal(r.replayed_lsn, 10);
	assert_true(r.has_receiver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_word_of_fly),
		cmocka_unit_test(test_the_role_of_patroni),
		cmocka_unit_test(test_the_details_of_patroni),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
