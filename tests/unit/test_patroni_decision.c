/* routing/patroni_policy: what a decision says besides who is routed; and who
 * serves reads. */
#include "patroni_steps.h"

static struct patroni_decision after(const char *keys, int64_t now_ms)
{
	show(keys, now_ms, now_ms);
	return patroni_policy_decide(&policy, now_ms);
}

static void start(enum patroni_confirm confirm)
{
	const struct patroni_policy_settings settings = {.confirm = confirm};

	patroni_policy_init(&policy, &settings);
}

static void test_a_requested_switchover_holds_new_clients(void **state)
{
	static const struct {
		const char *failover;
		bool holds;
		const char *asked; /* fast, besides the holder */
	} cases[] = {
		{"", false, NULL},
		{"failover@40 {}\n", false, NULL},
		{"failover@40 {\"leader\":\"pg1\",\"member\":\"pg2\"}\n", true, "pg2"},
		{"failover@40 {\"leader\":\"pg1\"}\n", true, NULL},
		{"failover@40 {\"member\":\"pg2\"}\n", true, "pg2"},
		{"failover@40 {\"member\":\"pg7\"}\n", true, NULL},
		{"failover@40 {\"leader\":\"pg2\",\"member\":\"pg1\"}\n", false, NULL},
		{"failover@40 {\"member\":\"pg1\"}\n", false, NULL},
		{"failover@40 {\"leader\":\"pg1\",\"member\":\"pg2\",\"scheduled_at\":\"x\"}\n",
		 false, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char keys[1000];
		snprintf(keys, sizeof(keys), LED "%s", cases[i].failover);
		start(PATRONI_CONFIRM_ALWAYS);
		after(LED, 1000);
		say("pg1 writable 2", 1000);
		struct patroni_decision d = after(keys, 2000);
		assert_string_equal(d.member, "pg1");
		assert_int_equal(d.hold_new_clients, cases[i].holds);
		assert_int_equal(d.wish_count, cases[i].asked != NULL ? 2 : 1);
		assert_string_equal(d.wishes[0].member, "pg1");
		assert_string_equal(d.wishes[0].address, "pg1.db:5432");
		assert_int_equal(d.wishes[0].is_fast, cases[i].holds);
		if (cases[i].asked != NULL)
			assert_string_equal(d.wishes[1].member, cases[i].asked);
		/* Not for ever: what Patroni does not do in a loop it does not do. */
		assert_int_equal(d.look_again_ms, cases[i].holds ? 12000 : 32000);
		d = after(keys, 11999);
		assert_int_equal(d.hold_new_clients, cases[i].holds);
		d = after(keys, 12000);
		assert_false(d.hold_new_clients);
		patroni_policy_deinit(&policy);
	}
}

static void test_a_change_under_way_is_asked_after_fast(void **state)
{
	start(PATRONI_CONFIRM_ALWAYS);
	struct patroni_decision d = after(LED, 1000);
	assert_true(d.wish_count == 1 && d.wishes[0].is_fast);
	say("pg1 writable 2", 1100);
	d = patroni_policy_decide(&policy, 1100);
	assert_true(d.wish_count == 1 && !d.wishes[0].is_fast);
	assert_int_equal(d.valid_until_ms, 31100);
	say("pg1 refused", 1200);
	d = patroni_policy_decide(&policy, 1200);
	assert_true(d.wishes[0].is_fast && d.hold_new_clients);
	d = after(NO_LOCK, 1300);
	assert_int_equal(d.wish_count, 0);
	assert_int_equal(d.look_again_ms, 1300); /* nothing opens in the event that cuts */
	patroni_policy_tick(&policy, 1300);
	d = patroni_policy_decide(&policy, 1300);
	assert_int_equal(d.look_again_ms, 11300);
	d = after("leader pg1\nconfig {\"standby_cluster\":{\"port\":1}}\n" PG1, 1400);
	assert_true(d.wish_count == 1 && !d.wishes[0].is_fast);
	patroni_policy_deinit(&policy);
	start(PATRONI_CONFIRM_AUTO);
	d = after(LED, 1000);
	assert_int_equal(d.look_again_ms, 3000);
	patroni_policy_deinit(&policy);
}

static void test_a_paused_leader_is_heard_before_its_word_runs_out(void **state)
{
	static const struct {
		int64_t at_ms;
		const char *says; /* NULL: nothing */
		bool is_fast;
		int64_t look_again_ms;
	} steps[] = {
		{1300, NULL, false, 3600},
		{3599, NULL, false, 3600},
		{3600, NULL, true, 6100},
		{3700, "pg1 unreachable", true, 6100},
		{3800, "pg1 writable 2", false, 6300},
		{6299, NULL, false, 6300},
		{6300, NULL, true, 8800},
	};

	start(PATRONI_CONFIRM_ALWAYS);
	after(LED PAUSE, 1000);
	say("pg1 writable 2", 1100);
	struct patroni_decision d = after(GONE PAUSE, 1200);
	assert_int_equal(d.reason, PATRONI_KEPT_PAUSED);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (steps[i].says != NULL)
			say(steps[i].says, steps[i].at_ms);
		else
			patroni_policy_tick(&policy, steps[i].at_ms);
		d = patroni_policy_decide(&policy, steps[i].at_ms);
		assert_string_equal(d.member, "pg1");
		assert_int_equal(d.wish_count, 1);
		assert_int_equal(d.wishes[0].is_fast, steps[i].is_fast);
		assert_int_equal(d.look_again_ms, steps[i].look_again_ms);
	}
	patroni_policy_deinit(&policy);
}

static void test_new_clients_wait_for_the_next_leader_but_not_for_ever(void **state)
{
	start(PATRONI_CONFIRM_ALWAYS);
	struct patroni_decision d = after(LED, 1000);
	assert_false(d.hold_new_clients); /* for whom? */
	say("pg1 writable 2", 1000);
	d = after(NO_LOCK, 2000);
	assert_true(d.member == NULL && d.hold_new_clients);
	d = after(OTHER, 2100);
	assert_true(d.hold_new_clients && d.look_again_ms <= 12000);
	say("pg2 read-only", 2200);
	d = patroni_policy_decide(&policy, 2200);
	assert_true(d.hold_new_clients && d.wishes[0].is_fast);
	assert_int_equal(d.look_again_ms, 12000);
	say("pg2 writable 3", 2300);
	d = patroni_policy_decide(&policy, 2300);
	assert_true(d.member != NULL && !d.hold_new_clients);
	d = after(NO_LOCK, 3000);
	d = after(NO_LOCK, 12999);
	assert_true(d.hold_new_clients);
	d = after(NO_LOCK, 13000);
	assert_true(d.member == NULL && !d.hold_new_clients);
	assert_int_equal(d.look_again_ms, INT64_MAX);
	patroni_policy_deinit(&policy);
}

static void test_nobody_waits_for_a_leader_that_a_human_has_to_see_to(void **state)
{
	static const char *const keys[] = {
		"",
		LED "config {\"standby_cluster\":{\"host\":\"a\"}}\n",
		"leader@8! pg1\n" BOTH,
		"leader@8 pg1\nmembers/pg1 {\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		start(PATRONI_CONFIRM_ALWAYS);
		after(LED, 1000);
		say("pg1 writable 2", 1000);
		after(NO_LOCK, 1500);
		struct patroni_decision d = after(keys[i], 2000);
		assert_true(d.member == NULL && !d.hold_new_clients);
		patroni_policy_deinit(&policy);
	}
}

static void test_terms_tell_routes_apart(void **state)
{
	start(PATRONI_CONFIRM_ALWAYS);
	after(LED, 1000);
	assert_int_equal(patroni_policy_decide(&policy, 1000).term, 0);
	say("pg1 writable 2", 1000);
	assert_int_equal(patroni_policy_decide(&policy, 1000).term, 1);
	say("pg1 refused", 1100);
	say("pg1 writable 2", 1200);
	assert_int_equal(patroni_policy_decide(&policy, 1200).term, 1);
	say("pg1 read-only", 1300);
	say("pg1 writable 2", 1400);
	struct patroni_decision d = patroni_policy_decide(&policy, 1400);
	assert_int_equal(d.term, 2);
	assert_int_equal(d.epoch, 8);
	assert_string_equal(d.address, "pg1.db:5432");
	/* The deadline holds even if nobody tells the policy that it has passed. */
	d = patroni_policy_decide(&policy, d.valid_until_ms);
	assert_null(d.member);
	assert_int_equal(d.reason, PATRONI_STORE_STALE);
	patroni_policy_deinit(&policy);
}

static void test_every_reason_has_its_own_name(void **state)
{
	for (int i = 0; i < PATRONI_REASON_COUNT; i++) {
		assert_non_null(patroni_reason_name((enum patroni_reason)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(patroni_reason_name((enum patroni_reason)i),
						patroni_reason_name((enum patroni_reason)j));
	}
}

#define REPLICA(more)                                                                              \
	"{\"conn_url\":\"postgres://r.db/x\",\"state\":\"running\",\"role\":\"replica\","          \
	"\"version\":\"4.1.5\"" more "}\n"
#define STREAMS     ",\"replication_state\":\"streaming\""
#define AT(tl, lsn) ",\"timeline\":" tl ",\"xlog_location\":9999,\"replay_lsn\":" lsn

static bool serves_reads(const char *record, int64_t max_lag, bool is_change)
{
	char keys[1000];

	snprintf(keys, sizeof(keys), LED "status {\"optime\":1000}\nmembers/r %s", record);
	struct patroni_view *view = keys_view(keys);
	bool serves = patroni_member_serves_reads(view, patroni_view_find_member(view, "r"),
						  max_lag, is_change);
	patroni_view_unref(&view);
	return serves;
}

static void test_members_that_serve_reads(void **state)
{
	static const struct {
		const char *record;
		int64_t max_lag;
		bool serves;

	} cases[] = {
		{REPLICA(STREAMS AT("2", "900")), 100, true},
		{REPLICA(STREAMS AT("2", "900")), 99, false},
		{REPLICA(STREAMS AT("2", "900")), -1, true},
		{REPLICA(STREAMS AT("2", "1200")), 0, true}, /* newer than status */
		{REPLICA(STREAMS ",\"timeline\":2,\"xlog_location\":950"), 50, true},
		{REPLICA(STREAMS ",\"timeline\":2,\"xlog_location\":950"), 49, false},
		{REPLICA(STREAMS ",\"timeline\":2"), 100, false}, /* no position at all */
		{REPLICA(AT("2", "1000")), 100, false},
		{REPLICA(AT("2", "1000") ",\"replication_state\":\"in archive recovery\""), 100,
		 false},
		{REPLICA(AT("2", "1000") ",\"replication_state\":\"x\""), 100, false},
		{REPLICA(AT("2", "1000") ",\"version\":\"3.0.4\""), 100, true},
		{REPLICA(AT("2", "1000") ",\"version\":\"3.1.0\""), 100, false},
		{REPLICA(STREAMS AT("1", "1000")), 100, false},
		{REPLICA(STREAMS AT("0", "1000")), 100, true},
		{REPLICA(STREAMS AT("2", "1000") ",\"tags\":{\"noloadbalance\":true}"), 100, false},
		{REPLICA(STREAMS AT("2", "1000") ",\"tags\":{\"nofailover\":true}"), 100, true},
		{REPLICA(STREAMS AT("2", "1000") ",\"state\":\"starting\""), 100, false},
		{REPLICA(STREAMS AT("2", "1000") ",\"role\":\"primary\""), 100, false},
		{REPLICA(STREAMS AT("2", "1000") ",\"role\":\"standby_leader\""), 100, false},
		{REPLICA(STREAMS AT("2", "1000") ",\"conn_url\":\"x\""), 100, false},
		{REPLICA(""), 100, false}, /* rejoining (d) */
		{"{\n", 100, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (serves_reads(cases[i].record, cases[i].max_lag, false) != cases[i].serves)
			fail_msg("case %zu: %s", i, cases[i].record);
	}
	struct patroni_view *view =
		keys_view("leader r\nmembers/r " REPLICA(STREAMS AT("2", "1000")));
	assert_false(patroni_member_serves_reads(view, patroni_view_member_at(view, 0), -1, true));
	patroni_view_unref(&view);
	view = keys_view("members/r " REPLICA(STREAMS AT("2", "1000")));
	assert_true(patroni_member_serves_reads(view, patroni_view_member_at(view, 0), 0, false));
	patroni_view_unref(&view);
}

static void test_standbys_serve_reads_while_there_is_nobody_to_stream_from(void **state)
{
	static const struct {
		const char *record;
		bool serves;
	} cases[] = {
		{REPLICA(AT("2", "1000")), true},
		{REPLICA(AT("2", "1000") ",\"version\":\"3.1.0\""), true},
		{REPLICA(STREAMS AT("1", "1000")), true}, /* the new leader's is 2 */
		{REPLICA(""), false},                     /* rejoining (d) */
		{REPLICA(AT("2", "1000") ",\"replication_state\":\"in archive recovery\""), false},
		{REPLICA(AT("2", "1000") ",\"tags\":{\"noloadbalance\":true}"), false},
		{REPLICA(AT("2", "1000") ",\"state\":\"starting\""), false},
		{REPLICA(AT("2", "1000") ",\"role\":\"primary\""), false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_false(serves_reads(cases[i].record, 100, false));
		if (serves_reads(cases[i].record, 100, true) != cases[i].serves)
			fail_msg("case %zu: %s", i, cases[i].record);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_requested_switchover_holds_new_clients),
		cmocka_unit_test(test_a_change_under_way_is_asked_after_fast),
		cmocka_unit_test(test_a_paused_leader_is_heard_before_its_word_runs_out),
		cmocka_unit_test(test_new_clients_wait_for_the_next_leader_but_not_for_ever),
		cmocka_unit_test(test_nobody_waits_for_a_leader_that_a_human_has_to_see_to),
		cmocka_unit_test(test_terms_tell_routes_apart),
		cmocka_unit_test(test_every_reason_has_its_own_name),
		cmocka_unit_test(test_members_that_serve_reads),
		cmocka_unit_test(test_standbys_serve_reads_while_there_is_nobody_to_stream_from),
	};

	return cmocka_run_group_tests_name("patroni_decision", tests, NULL, NULL);
}
