/* routing/patroni_policy: a table of events for each of the rules by which a route
 * opens. Those by which it stays are in test_patroni_keeping.c, the recorded
 * clusters in test_patroni_traces.c, random events in test_patroni_model.c. */
#include "patroni_steps.h"

static void test_1_without_a_holder_there_is_nobody(void **state)
{
	static const struct sequence sequences[] = {
		{"nothing read", ALWAYS, 0, {{1000, TICK, NULL, PATRONI_NO_VIEW, NULL}}},
		{"no keys", ALWAYS, 0, {{1000, READ, "", PATRONI_NO_CLUSTER, NULL}}},
		{"keys but no leader",
		 ALWAYS,
		 0,
		 {{1000, READ, "", PATRONI_NO_CLUSTER, NULL},
		  {1000, READ, NO_LOCK, PATRONI_NO_LEADER, NULL},
		  {1000, SAYS, "pg1 writable 2", PATRONI_NO_LEADER, NULL}}},
		{"empty leader",
		 ALWAYS,
		 0,
		 {{1000, READ, "leader \n" BOTH, PATRONI_NO_LEADER, NULL}}},
		{"a key without a session",
		 ALWAYS,
		 0,
		 {{1000, READ, "leader@8! pg1\n" BOTH, PATRONI_LEADER_NOT_HELD, NULL},
		  {1100, READ, LED, PATRONI_UNCONFIRMED, NULL},
		  {1200, SAYS, "pg1 writable 2", PATRONI_ROUTED, "pg1"},
		  {1300, WATCH, "leader@8! pg1\n" BOTH, PATRONI_LEADER_NOT_HELD, NULL}}},
		{"the scope is removed",
		 ALWAYS,
		 0,
		 {OPENS, {1200, WATCH, "", PATRONI_NO_CLUSTER, NULL}}},
		{"only a watch",
		 ALWAYS,
		 0,
		 {{1000, WATCH, LED, PATRONI_STORE_STALE, NULL},
		  {1100, SAYS, "pg1 writable 2", PATRONI_STORE_STALE, NULL},
		  {1200, READ, LED, PATRONI_ROUTED, "pg1"}}},
	};

	check_sequences(sequences, ARRAY_LEN(sequences));
}

static void test_2_a_standby_cluster_has_nobody_writable(void **state)
{
#define STANDBY "config {\"standby_cluster\":{\"host\":\"a\"}}\n"
#define LEADING MEMBER("pg1", "20", "standby_leader", "2")
	static const struct sequence sequences[] = {
		{"by its configuration",
		 ALWAYS,
		 0,
		 {{1000, READ, LED STANDBY, PATRONI_STANDBY_CLUSTER, NULL},
		  {1100, SAYS, "pg1 writable 2", PATRONI_STANDBY_CLUSTER, NULL}}},
		{"which ends (f)",
		 ALWAYS,
		 0,
		 {{1000, READ, "leader@8 pg1\n" LEADING STANDBY, PATRONI_STANDBY_CLUSTER, NULL},
		  {1100, SAYS, "pg1 read-only", PATRONI_STANDBY_CLUSTER, NULL},
		  {1200, WATCH, "leader@8 pg1\nconfig {}\n" LEADING, PATRONI_STANDBY_CLUSTER, NULL},
		  {1300, SAYS, "pg1 read-only", PATRONI_STANDBY_CLUSTER, NULL},
		  {1400, SAYS, "pg1 writable 3", PATRONI_ROUTED, "pg1"}}},
		{"which begins",
		 ALWAYS,
		 0,
		 {OPENS, {1200, WATCH, LED STANDBY, PATRONI_STANDBY_CLUSTER, NULL}}},
		{"by a role, without a configuration",
		 ALWAYS,
		 0,
		 {{1000, READ, "leader@8 pg1\n" LEADING, PATRONI_STANDBY_CLUSTER, NULL},
		  {1100, SAYS, "pg1 writable 2", PATRONI_STANDBY_CLUSTER, NULL},
		  {1200, READ, "leader@8 pg1\nconfig {\n" LEADING, PATRONI_STANDBY_CLUSTER, NULL}}},
		{"by a role, unasked",
		 NEVER,
		 0,
		 {{1000, READ, "leader@8 pg1\nconfig {}\n" LEADING, PATRONI_STANDBY_CLUSTER,
		   NULL}}},
	};

	check_sequences(sequences, ARRAY_LEN(sequences));
}

static void test_3_a_holder_needs_a_record(void **state)
{
	static const struct sequence sequences[] = {
		{"which comes later",
		 ALWAYS,
		 0,
		 {{1000, READ, "leader pg1\n", PATRONI_NO_MEMBER, NULL},
		  {1100, READ, "leader pg1\nmembers/pg1 {\n", PATRONI_BAD_MEMBER, NULL},
		  {1200, READ, "leader pg1\nmembers/pg1 {}\n", PATRONI_NO_ADDRESS, NULL},
		  {1300, WATCH, "leader pg1\n" PG1, PATRONI_UNCONFIRMED, NULL},
		  {1400, SAYS, "pg1 writable 2", PATRONI_ROUTED, "pg1"}}},
		{"and keeps its address if that goes (Consul)",
		 ALWAYS,
		 0,
		 {OPENS,
		  {1200, WATCH, "leader@8 pg1\n" GONE, PATRONI_ROUTED, "pg1"},
		  {1300, SAYS, "pg1 writable 2", PATRONI_ROUTED, "pg1"},
		  {1400, WATCH, "leader@8 pg1\nmembers/pg1 x\n" GONE, PATRONI_ROUTED, "pg1"},
		  {1500, WATCH, LED, PATRONI_ROUTED, "pg1"}}},
		{"is cut if it moves",
		 ALWAYS,
		 0,
		 {OPENS,
		  {1200, WATCH,
		   "leader@8 pg1\n" RECORD("pg1", "pg1.db:6432", "22", "running", "primary", "2"),
		   PATRONI_UNCONFIRMED, NULL},
		  {1300, SAYS, "pg1 writable 2", PATRONI_UNCONFIRMED, NULL},
		  {1400, WATCH, LED, PATRONI_UNCONFIRMED, NULL},
		  {1500, SAYS, "pg1 writable 2", PATRONI_ROUTED, "pg1"}}},
	};

	check_sequences(sequences, ARRAY_LEN(sequences));
}

static void test_4_a_holder_is_confirmed_first(void **state)
{
	static const struct sequence sequences[] = {
		{"by what it says, not by its record",
		 ALWAYS,
		 0,
		 {{1000, READ, LED, PATRONI_UNCONFIRMED, NULL},
		  {1100, SAYS, "pg1 none", PATRONI_UNCONFIRMED, NULL},
		  {1200, SAYS, "pg1 unreachable", PATRONI_UNREACHABLE, NULL},
		  {1300, SAYS, "pg1 refused", PATRONI_REFUSING, NULL},
		  {1400, SAYS, "pg1 read-only", PATRONI_READ_ONLY, NULL},
		  {1500, SAYS, "pg2 writable 2", PATRONI_READ_ONLY, NULL},
		  {9000, TICK, NULL, PATRONI_READ_ONLY, NULL},
		  {9100, SAYS, "pg1 writable 2", PATRONI_ROUTED, "pg1"}}},
		{"asked after it was seen to hold the lock",
		 ALWAYS,
		 0,
		 {{1000, READ, LED, PATRONI_UNCONFIRMED, NULL},
		  {1100, SAYS, "pg1 writable 2 101", PATRONI_UNCONFIRMED, NULL},
		  {1101, SAYS, "pg1 writable 2 101", PATRONI_ROUTED, "pg1"}}},
		{"not long ago",
		 ALWAYS,
		 0,
		 {{1000, READ, LED, PATRONI_UNCONFIRMED, NULL},
		  {7000, SAYS, "pg1 writable 2 5000", PATRONI_UNCONFIRMED, NULL},
		  {7100, SAYS, "pg1 writable 2 4999", PATRONI_ROUTED, "pg1"}}},
		{"by the newest answer",
		 ALWAYS,
		 0,
		 {{1000, READ, LED, PATRONI_UNCONFIRMED, NULL},
		  {1100, SAYS, "pg1 read-only", PATRONI_READ_ONLY, NULL},
		  {1200, SAYS, "pg1 writable 2 150", PATRONI_READ_ONLY, NULL},
		  {1300, SAYS, "pg1 writable 2", PATRONI_ROUTED, "pg1"},
		  {1400, SAYS, "pg1 read-only 0 150", PATRONI_ROUTED, "pg1"},
		  {1500, SAYS, "pg1 read-only", PATRONI_READ_ONLY, NULL}}},
	};

	check_sequences(sequences, ARRAY_LEN(sequences));
}

static void test_4_its_record_may_do_where_it_cannot_be_asked(void **state)
{
#define HELD(record) "leader@8 pg1\n" ID "history [[2,1,\"x\"]]\n" record
	static const struct sequence sequences[] = {
		{"never asked", NEVER, 0, {{1000, READ, LED, PATRONI_ROUTED_BY_STORE, "pg1"}}},
		{"not running",
		 NEVER,
		 0,
		 {{1000, READ, HELD(RECORD("pg1", "pg1.db", "20", "starting", "primary", "3")),
		   PATRONI_UNCONFIRMED, NULL}}},
		{"promoted",
		 NEVER,
		 0,
		 {{1000, READ, HELD(MEMBER("pg1", "20", "promoted", "3")), PATRONI_UNCONFIRMED,
		   NULL},
		  {1100, WATCH, HELD(MEMBER("pg1", "21", "primary", "3")), PATRONI_ROUTED_BY_STORE,
		   "pg1"}}},
		{"a replica",
		 NEVER,
		 0,
		 {{1000, READ, HELD(MEMBER("pg1", "20", "replica", "3")), PATRONI_READ_ONLY,
		   NULL}}},
		{"on an ended timeline",
		 NEVER,
		 0,
		 {{1000, READ, HELD(MEMBER("pg1", "20", "primary", "2")), PATRONI_UNCONFIRMED,
		   NULL}}},
		{"without a timeline",
		 NEVER,
		 0,
		 {{1000, READ, "leader pg1\n" MEMBER("pg1", "20", "primary", "0"),
		   PATRONI_UNCONFIRMED, NULL}}},
		{"written before the lock was taken",
		 NEVER,
		 0,
		 {{1000, READ, HELD(MEMBER("pg1", "8", "primary", "3")), PATRONI_UNCONFIRMED, NULL},
		  {1100, WATCH, HELD(MEMBER("pg1", "9", "primary", "3")), PATRONI_ROUTED_BY_STORE,
		   "pg1"}}},
		{"or left alone for a whole lease since",
		 NEVER,
		 0,
		 {{1000, READ, HELD(MEMBER("pg1", "8", "primary", "3")), PATRONI_UNCONFIRMED, NULL},
		  {31999, READ, HELD(MEMBER("pg1", "8", "primary", "3")), PATRONI_UNCONFIRMED,
		   NULL},
		  {32000, READ, HELD(MEMBER("pg1", "8", "primary", "3")), PATRONI_ROUTED_BY_STORE,
		   "pg1"}}},
		{"it says otherwise later",
		 NEVER,
		 0,
		 {{1000, READ, LED, PATRONI_ROUTED_BY_STORE, "pg1"},
		  {1100, WATCH,
		   "leader@8 pg1\n" RECORD("pg1", "pg1.db", "22", "crashed", "primary", "2"),
		   PATRONI_ROUTED_BY_STORE, "pg1"},
		  {1200, WATCH, "leader@8 pg1\n" MEMBER("pg1", "23", "demoted", "2"),
		   PATRONI_READ_ONLY, NULL}}},
		{"unreachable",
		 AUTO,
		 0,
		 {{1000, READ, LED, PATRONI_UNCONFIRMED, NULL},
		  {1100, SAYS, "pg1 unreachable", PATRONI_ROUTED_BY_STORE, "pg1"},
		  {1200, SAYS, "pg1 unreachable", PATRONI_ROUTED_BY_STORE, "pg1"},
		  {1300, SAYS, "pg1 writable 2", PATRONI_ROUTED, "pg1"}}},
		{"no answer at all",
		 AUTO,
		 0,
		 {{1000, READ, LED, PATRONI_UNCONFIRMED, NULL},
		  {2999, TICK, NULL, PATRONI_UNCONFIRMED, NULL},
		  {3000, TICK, NULL, PATRONI_ROUTED_BY_STORE, "pg1"},
		  {3100, SAYS, "pg1 none", PATRONI_ROUTED_BY_STORE, "pg1"},
		  {3200, SAYS, "pg1 read-only", PATRONI_READ_ONLY, NULL}}},
		{"another answer",
		 AUTO,
		 0,
		 {{1000, READ, LED, PATRONI_UNCONFIRMED, NULL},
		  {1100, SAYS, "pg1 refused", PATRONI_REFUSING, NULL},
		  {9000, READ, LED, PATRONI_REFUSING, NULL}}},
	};

	check_sequences(sequences, ARRAY_LEN(sequences));
}

static void test_5_timelines_do_not_go_back(void **state)
{
#define THIRD ID MEMBER("pg3", "33", "primary", "3")
	static const struct sequence sequences[] = {
		{"below the one routed to before",
		 ALWAYS,
		 0,
		 {{1000, READ, LED, PATRONI_UNCONFIRMED, NULL},
		  {1100, SAYS, "pg1 writable 4", PATRONI_ROUTED, "pg1"},
		  {1200, READ, OTHER, PATRONI_UNCONFIRMED, NULL},
		  {1300, SAYS, "pg2 writable 3", PATRONI_STALE_TIMELINE, NULL},
		  {1400, SAYS, "pg2 writable 4", PATRONI_ROUTED, "pg2"},
		  {1500, SAYS, "pg2 writable 3", PATRONI_STALE_TIMELINE, NULL}}},
		{"an ended one",
		 ALWAYS,
		 0,
		 {{1000, READ, LED "history [[1,1,\"x\"],[4,2,\"x\"]]\n", PATRONI_UNCONFIRMED,
		   NULL},
		  {1100, SAYS, "pg1 writable 4", PATRONI_STALE_TIMELINE, NULL},
		  {1200, SAYS, "pg1 writable 5", PATRONI_ROUTED, "pg1"}}},
		{"not known",
		 ALWAYS,
		 0,
		 {OPENS,
		  {1200, READ, OTHER, PATRONI_UNCONFIRMED, NULL},
		  {1300, SAYS, "pg2 writable", PATRONI_ROUTED, "pg2"}}},
		{"in records",
		 NEVER,
		 0,
		 {{1000, READ, "leader@30 pg3\n" THIRD, PATRONI_ROUTED_BY_STORE, "pg3"},
		  {1100, WATCH, LED, PATRONI_UNCONFIRMED, NULL}}},
		{"but another system counts anew",
		 ALWAYS,
		 0,
		 {{1000, READ, LED, PATRONI_UNCONFIRMED, NULL},
		  {1100, SAYS, "pg1 writable 4 0 77", PATRONI_ROUTED, "pg1"},
		  {1200, WATCH, "initialize 88\nleader@8 pg1\n" PG1, PATRONI_UNCONFIRMED, NULL},
		  {1300, SAYS, "pg1 writable 1 0 77", PATRONI_OTHER_SYSTEM, NULL},
		  {1400, SAYS, "pg1 writable 1 0 88", PATRONI_ROUTED, "pg1"},
		  {1500, WATCH, "initialize \nleader@8 pg1\n" PG1, PATRONI_ROUTED, "pg1"},
		  {1600, SAYS, "pg1 writable 1 0 99", PATRONI_OTHER_SYSTEM, NULL}}},
	};

	check_sequences(sequences, ARRAY_LEN(sequences));
}

static void test_6_another_holder_cuts_at_once(void **state)
{
	static const struct sequence sequences[] = {
		{"and is confirmed in turn",
		 ALWAYS,
		 0,
		 {OPENS,
		  {1200, WATCH, OTHER, PATRONI_UNCONFIRMED, NULL},
		  {1300, SAYS, "pg1 writable 2", PATRONI_UNCONFIRMED, NULL},
		  {1400, SAYS, "pg2 read-only", PATRONI_READ_ONLY, NULL},
		  {1500, SAYS, "pg2 writable 3", PATRONI_ROUTED, "pg2"}}},
		{"even while the store is said to be out",
		 ALWAYS,
		 0,
		 {OPENS,
		  {1200, LOST, NULL, PATRONI_KEPT_STORE_OUT, "pg1"},
		  {1300, WATCH, OTHER, PATRONI_STORE_OUT, NULL}}},
		{"even in a pause and with a debounce",
		 ALWAYS,
		 2000,
		 {{1000, READ, LED PAUSE, PATRONI_UNCONFIRMED, NULL},
		  {1100, SAYS, "pg1 writable 2", PATRONI_ROUTED, "pg1"},
		  {1200, WATCH, OTHER PAUSE, PATRONI_UNCONFIRMED, NULL}}},
		{"even if the key was not made anew",
		 NEVER,
		 0,
		 {{1000, READ, LED, PATRONI_ROUTED_BY_STORE, "pg1"},
		  {1100, WATCH, "leader@8:30 pg2\n" ID MEMBER("pg2", "30", "primary", "3"),
		   PATRONI_UNCONFIRMED, NULL},
		  {1100, TICK, NULL, PATRONI_UNCONFIRMED, NULL},
		  {1200, WATCH, "leader@8:30 pg2\n" ID MEMBER("pg2", "31", "primary", "3"),
		   PATRONI_ROUTED_BY_STORE, "pg2"}}},
		{"and opens with the next event only",
		 NEVER,
		 0,
		 {{1000, READ, LED, PATRONI_ROUTED_BY_STORE, "pg1"},
		  {1100, READ, "leader@30 pg2\n" ID MEMBER("pg2", "31", "primary", "3"),
		   PATRONI_UNCONFIRMED, NULL},
		  {1100, TICK, NULL, PATRONI_ROUTED_BY_STORE, "pg2"}}},
	};

	check_sequences(sequences, ARRAY_LEN(sequences));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_1_without_a_holder_there_is_nobody),
		cmocka_unit_test(test_2_a_standby_cluster_has_nobody_writable),
		cmocka_unit_test(test_3_a_holder_needs_a_record),
		cmocka_unit_test(test_4_a_holder_is_confirmed_first),
		cmocka_unit_test(test_4_its_record_may_do_where_it_cannot_be_asked),
		cmocka_unit_test(test_5_timelines_do_not_go_back),
		cmocka_unit_test(test_6_another_holder_cuts_at_once),
	};

	return cmocka_run_group_tests_name("patroni_policy", tests, NULL, NULL);
}
