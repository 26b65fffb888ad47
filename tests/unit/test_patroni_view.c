/* cluster/patroni_decode: keys as Patroni writes and wrote them, and as nobody
 * should. Records of members are in test_patroni_member.c, the recorded clusters
 * in test_patroni_traces.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "patroni_keys.h"

#define CONN "\"conn_url\":\"postgres://10.0.0.1:5432/postgres\""

static struct patroni_view *clean_view(const char *keys)
{
	struct patroni_view *view = keys_view(keys);

	if (patroni_view_problem_count(view) > 0)
		fail_msg("%s: %s", keys, problems_of(view));
	return view;
}

static void test_a_running_cluster(void **state)
{
	struct patroni_view *view = clean_view(
		"leader@8 pg2\n"
		"members/pg2@2:45 {" CONN ",\"api_url\":\"http://10.0.0.1:8008/patroni\","
		"\"state\":\"running\",\"role\":\"primary\",\"version\":\"4.1.5\","
		"\"xlog_location\":83914000,\"timeline\":2}\n"
		"members/pg1@2:47 {\"conn_url\":\"postgres://[fd00::7]:6432/postgres\","
		"\"api_url\":\"http://[fd00::7]:8008/patroni\",\"state\":\"running\","
		"\"role\":\"replica\",\"version\":\"4.1.5\",\"xlog_location\":83912544,"
		"\"replay_lsn\":83912540,\"receive_lsn\":83912544,\"pause\":true,"
		"\"replication_state\":\"streaming\",\"timeline\":2,"
		"\"checkpoint_after_promote\":false,\"tags\":{\"nofailover\":true}}\n"
		"config {\"ttl\":20,\"loop_wait\":5,\"retry_timeout\":3,\"pause\":true,"
		"\"maximum_lag_on_failover\":33554432,\"synchronous_mode\":true,"
		"\"failsafe_mode\":true}\n"
		"status {\"optime\":83914000,\"slots\":{\"pg1\":83912544},\"retain_slots\":[]}\n"
		"sync {\"leader\":\"pg2\",\"quorum\":1,\"sync_standby\":\"PG1,pg3\"}\n"
		"failover@28:40 {\"leader\":\"pg2\",\"member\":\"pg1\"}\n"
		"history [[1,83913080,\"no recovery target specified\","
		"\"2026-11-24T18:40:42.096579+00:00\",\"pg2\"],[5,1,\"x\"]]\n"
		"initialize 7711809618043375582\n"
		"failsafe {\"pg1\":\"http://x\",\"pg2\":\"http://y\"}\n");
	const struct patroni_leader *leader = patroni_view_leader(view);
	const struct patroni_config *config = patroni_view_config(view);
	const struct patroni_cluster *cluster = patroni_view_cluster(view);
	const struct patroni_member *m = patroni_view_member_at(view, 0);

	assert_false(patroni_view_is_empty(view));
	assert_string_equal(leader->name, "pg2");
	assert_true(leader->is_held);
	assert_int_equal(leader->create_revision, 8);
	assert_int_equal(patroni_view_member_count(view), 2);
	assert_string_equal(m->name, "pg1");
	assert_int_equal(m->mod_revision, 47);
	assert_int_equal(m->role, PATRONI_ROLE_REPLICA);
	assert_int_equal(m->state, PATRONI_STATE_RUNNING);
	assert_int_equal(m->replication, PATRONI_REPLICATION_STREAMING);
	assert_string_equal(m->address.hosts[0].host, "fd00::7");
	assert_int_equal(m->address.hosts[0].port, 6432);
	assert_string_equal(m->address.text, "[fd00::7]:6432");
	assert_string_equal(m->api_url, "http://[fd00::7]:8008/patroni");
	assert_int_equal(m->wal_position, 83912544);
	assert_int_equal(m->replay_lsn, 83912540);
	assert_int_equal(m->receive_lsn, 83912544);
	assert_int_equal(m->timeline, 2);
	assert_true(m->is_paused && m->checkpoint_pending && !m->no_load_balance);
	m = patroni_view_find_member(view, "pg2");
	assert_int_equal(m->role, PATRONI_ROLE_PRIMARY);
	assert_int_equal(m->version_number, 40105);
	assert_int_equal(m->replication, PATRONI_REPLICATION_NONE);
	assert_true(!m->is_paused && !m->checkpoint_pending);
	assert_true(config->is_present && config->pause && config->failsafe_mode);
	assert_true(config->synchronous_mode && !config->standby_cluster);
	assert_int_equal(config->ttl_s, 20);
	assert_int_equal(config->loop_wait_s, 5);
	assert_int_equal(config->retry_timeout_s, 3);
	assert_int_equal(config->maximum_lag_on_failover, 33554432);
	assert_int_equal(cluster->optime, 83914000);
	assert_int_equal(cluster->last_ended_timeline, 5);
	assert_int_equal(cluster->init, PATRONI_INIT_DONE);
	assert_int_equal(cluster->system_id, 7711809618043375582);
	assert_int_equal(cluster->failsafe_count, 2);
	assert_string_equal(patroni_view_failover(view)->leader, "pg2");
	assert_string_equal(patroni_view_failover(view)->candidate, "pg1");
	assert_int_equal(patroni_view_failover(view)->mod_revision, 40);
	assert_int_equal(patroni_view_sync(view)->quorum, 1);
	assert_true(patroni_view_is_sync_standby(view, "pg1"));
	assert_true(patroni_view_is_sync_standby(view, "pg3"));
	assert_false(patroni_view_is_sync_standby(view, "pg2"));
	patroni_view_unref(&view);
}

static void test_no_keys_are_defaults(void **state)
{
	struct patroni_view *view = clean_view("");
	struct patroni_view *another = patroni_view_ref(view);
	const struct patroni_config *config = patroni_view_config(view);

	patroni_view_unref(&another);
	assert_null(another);
	assert_true(patroni_view_is_empty(view));
	assert_int_equal(patroni_view_group(view), PATRONI_NO_GROUP);
	assert_string_equal(patroni_view_leader(view)->name, "");
	assert_int_equal(patroni_view_member_count(view), 0);
	assert_null(patroni_view_find_member(view, "pg1"));
	assert_int_equal(config->ttl_s, 30);
	assert_int_equal(config->loop_wait_s, 10);
	assert_int_equal(config->retry_timeout_s, 10);
	assert_int_equal(config->maximum_lag_on_failover, 1048576);
	assert_true(!config->is_present && !config->pause && !config->standby_cluster);
	assert_string_equal(patroni_view_failover(view)->leader, "");
	assert_int_equal(patroni_view_sync(view)->standby_count, 0);
	assert_int_equal(patroni_view_cluster(view)->init, PATRONI_INIT_ABSENT);
	patroni_view_unref(&view);
}

static void test_what_cannot_be_understood_costs_itself_only(void **state)
{
	static const struct {
		const char *key;
		const char *problem;
	} cases[] = {
		{"members/pg1 {\"state\":", "|members/pg1: unexpected end of JSON input"},
		{"members/pg1", "|members/pg1: unexpected end of JSON input"},
		{"members/pg1 []", "|members/pg1: list, but an object is wanted"},
		{"members/pg1 {\"timeline\":\"x\"}",
		 "|members/pg1: timeline: string, but a number is wanted"},
		{"members/pg1 {\"timeline\":4294967296}", "|members/pg1: timeline: out of range"},
		{"members/pg1 {\"role\":1}", "|members/pg1: role: number, but a string is wanted"},
		{"members/pg1 {\"xlog_location\":-1}", "|members/pg1: xlog_location: out of range"},
		{"members/pg1 {\"pause\":\"maybe\"}",
		 "|members/pg1: pause: string, but a boolean is wanted"},
		{"members/p\xc3\xa4 {}", "|members/p??: not the name of a member"},
		{"members/ {}", "|members/: not the name of a member"},
		{"config {\"ttl\":30", "|config: "},
		{"config 1", "|config: number, but an object is wanted"},
		{"config {\"ttl\":0}", "|config: ttl: out of range"},
		{"config {\"pause\":[]}", "|config: pause: list, but a boolean is wanted"},
		{"status {\"optime\":\"1\"}", "|status: no position of the leader"},
		{"status x", "|status: invalid JSON at byte"},
		{"sync 1", "|sync: number, but an object is wanted"},
		{"failover {", "|failover: "},
		{"history {}", "|history: no timeline in the last line"},
		{"history [[1,2,3],[]]", "|history: no timeline in the last line"},
		{"history [[-1]]", "|history: no timeline in the last line"},
		{"initialize 12x", "|initialize: not a system identifier"},
		{"initialize 18446744073709551616", "|initialize: not a system identifier"},
		{"failsafe []", "|failsafe: list, but an object is wanted"},
		{"leader \x01", "|leader: not the name of a member"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char keys[600];
		snprintf(keys, sizeof(keys),
			 "%s\nmembers/pg9 {" CONN ",\"state\":\"running\"}\nzzz 1\n", cases[i].key);
		struct patroni_view *view = keys_view(keys);
		const struct patroni_member *m = patroni_view_find_member(view, "pg9");
		if (strncmp(problems_of(view), cases[i].problem, strlen(cases[i].problem)) != 0 ||
		    patroni_view_problem_count(view) != 1)
			fail_msg("%s: %s", cases[i].key, problems_of(view));
		assert_non_null(m);
		assert_true(m->is_decodable && m->address.count == 1);
		assert_int_equal(patroni_view_config(view)->ttl_s, 30);
		m = patroni_view_find_member(view, "pg1");
		if (m != NULL)
			assert_int_equal(m->is_decodable,
					 strchr(cases[i].problem + 13, ':') != NULL);
		patroni_view_unref(&view);
	}
}

static void test_configurations(void **state)
{
	static const struct {
		const char *config;
		bool pause;
		bool synchronous;
		bool standby;
		int64_t ttl_s;
	} cases[] = {
		{"{}", false, false, false, 30},
		{"{\"pause\":true}", true, false, false, 30},
		{"{\"pause\":\"On\",\"ttl\":\"40\"}", true, false, false, 40},
		{"{\"pause\":1}", true, false, false, 30},
		{"{\"pause\":\"off\"}", false, false, false, 30},
		{"{\"pause\":null,\"ttl\":null}", false, false, false, 30},
		{"{\"synchronous_mode\":\"quorum\"}", false, true, false, 30},
		{"{\"synchronous_mode\":\"on\"}", false, true, false, 30},
		{"{\"standby_cluster\":{\"host\":\"a\"}}", false, false, true, 30},
		{"{\"standby_cluster\":{\"port\":5432}}", false, false, true, 30},
		{"{\"standby_cluster\":{\"restore_command\":\"cp\"}}", false, false, true, 30},
		{"{\"standby_cluster\":{\"host\":\"\"}}", false, false, false, 30},
		{"{\"standby_cluster\":{\"create_replica_methods\":[\"x\"]}}", false, false, false,
		 30},
		{"{\"standby_cluster\":{}}", false, false, false, 30},
		{"{\"standby_cluster\":null}", false, false, false, 30},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char keys[200];
		snprintf(keys, sizeof(keys), "config %s", cases[i].config);
		struct patroni_view *view = clean_view(keys);
		const struct patroni_config *c = patroni_view_config(view);
		if (c->pause != cases[i].pause || c->synchronous_mode != cases[i].synchronous ||
		    c->standby_cluster != cases[i].standby || c->ttl_s != cases[i].ttl_s)
			fail_msg("%s", cases[i].config);
		patroni_view_unref(&view);
	}
}

static void test_a_requested_switchover(void **state)
{
	static const struct {
		const char *value;
		const char *leader;
		const char *candidate;
		bool is_scheduled;
	} cases[] = {
		{"{\"leader\":\"pg1\",\"member\":\"pg2\"}", "pg1", "pg2", false},
		{"{\"leader\":\"pg1\",\"member\":null}", "pg1", "", false},
		{"{\"member\":\"pg2\"}", "", "pg2", false},
		{"{\"leader\":\"pg1\",\"scheduled_at\":\"2026-11-25T10:00:00+00:00\"}", "pg1", "",
		 true},
		{"{}", "", "", false},
		{"", "", "", false},
		{"pg1:pg2", "pg1", "pg2", false},
		{"pg1:", "pg1", "", false},
		{":pg2", "", "pg2", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char keys[200];
		snprintf(keys, sizeof(keys), "failover %s", cases[i].value);
		struct patroni_view *view = clean_view(keys);
		const struct patroni_failover *f = patroni_view_failover(view);
		assert_string_equal(f->leader, cases[i].leader);
		assert_string_equal(f->candidate, cases[i].candidate);
		assert_int_equal(f->is_scheduled, cases[i].is_scheduled);
		patroni_view_unref(&view);
	}
}

static void test_the_leaders_position(void **state)
{
	static const struct {
		const char *keys;
		uint64_t optime;
	} cases[] = {
		{"status {\"optime\":5}\noptime/leader 4", 5},
		{"optime/leader 4\nstatus {\"optime\":5}", 5},
		{"optime/leader 4", 4},
		{"status 6", 6},
		{"status {\"optime\":null}\noptime/leader 4", 4},
		{"status", 0},
		{"status {}", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct patroni_view *view = clean_view(cases[i].keys);
		assert_int_equal(patroni_view_cluster(view)->optime, cases[i].optime);
		patroni_view_unref(&view);
	}
}

static void test_bootstrap_and_sync_that_is_off(void **state)
{
	struct patroni_view *view = clean_view("initialize \n"
					       "sync {\"leader\":\"pg2\",\"sync_standby\":null}\n"
					       "history []\nleader! pg1\n/members//pg1 {}\n");

	assert_int_equal(patroni_view_cluster(view)->init, PATRONI_INIT_BOOTSTRAPPING);
	assert_int_equal(patroni_view_cluster(view)->system_id, 0);
	assert_int_equal(patroni_view_cluster(view)->last_ended_timeline, 0);
	assert_string_equal(patroni_view_sync(view)->leader, "pg2");
	assert_int_equal(patroni_view_sync(view)->standby_count, 0);
	assert_string_equal(patroni_view_leader(view)->name, "pg1");
	assert_false(patroni_view_leader(view)->is_held);
	assert_int_equal(patroni_view_member_count(view), 0);
	patroni_view_unref(&view);
}

static void test_sync_standbys(void **state)
{
	static const struct {
		const char *list;
		size_t count;
		const char *last;
	} cases[] = {
		{"pg1", 1, "pg1"},     {"pg1,pg2", 2, "pg2"},      {"", 0, NULL},
		{" pg1 , ", 1, "pg1"}, {",,pg1,,b c ,", 2, "b c"}, {"a b c d", 1, "a b c d"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char keys[100];
		snprintf(keys, sizeof(keys), "sync {\"sync_standby\":\"%s\"}", cases[i].list);
		struct patroni_view *view = clean_view(keys);
		const struct patroni_sync *sync = patroni_view_sync(view);
		assert_int_equal(sync->standby_count, cases[i].count);
		if (cases[i].last != NULL)
			assert_string_equal(sync->standbys[sync->standby_count - 1], cases[i].last);
		patroni_view_unref(&view);
	}
}

static void test_citus_groups(void **state)
{
	static const char grouped[] = "0/leader c1\n0/members/c1 {}\n1/leader w1\n"
				      "1/members/w1 {}\n12/leader w2\n01/leader no\n";
	static const char worker_only[] = "1/leader w1\n\n";
	static const char mixed[] = "leader pg1\n0/leader c1\n";
	static const struct {
		const char *keys;
		int64_t asked;
		int64_t group;
		const char *leader;
		size_t members;
	} cases[] = {
		{grouped, 0, 0, "c1", 1},
		{grouped, 1, 1, "w1", 1},
		{grouped, 12, 12, "w2", 0},
		{grouped, 5, 5, "", 0},
		{worker_only, PATRONI_NO_GROUP, 0, "", 0},
		{mixed, PATRONI_NO_GROUP, PATRONI_NO_GROUP, "pg1", 0},
		{mixed, 0, 0, "c1", 0},
		{"leader pg1\n", 0, 0, "", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct patroni_view *view =
			keys_decode(cases[i].keys, strlen(cases[i].keys), cases[i].asked);
		assert_int_equal(patroni_view_group(view), cases[i].group);
		assert_string_equal(patroni_view_leader(view)->name, cases[i].leader);
		assert_int_equal(patroni_view_member_count(view), cases[i].members);
		patroni_view_unref(&view);
	}
	/* "01/" is no group, and so a key like any other. */
	struct patroni_view *view = keys_view("0/leader c1\n1/leader w1\n");
	assert_int_equal(patroni_view_group(view), 0);
	assert_string_equal(patroni_view_leader(view)->name, "c1");
	patroni_view_unref(&view);
}

static void test_the_later_of_equal_keys_counts(void **state)
{
	struct patroni_view *view = clean_view("leader@1 pg1\nmembers/pg1 {\"role\":\"replica\"}\n"
					       "leader@2 pg2\nmembers/pg1 {\"role\":\"master\"}");

	assert_string_equal(patroni_view_leader(view)->name, "pg2");
	assert_int_equal(patroni_view_member_count(view), 1);
	assert_int_equal(patroni_view_member_at(view, 0)->role, PATRONI_ROLE_PRIMARY);
	patroni_view_unref(&view);
}

static void test_bounds(void **state)
{
	size_t size = 0;
	char *keys = malloc(100000);
	struct patroni_key large = {.name = "members/pg1", .size = PATRONI_MAX_VALUE + 1};
	struct patroni_view *view;

	for (int i = 0; i < PATRONI_MAX_MEMBERS + 5; i++)
		size += (size_t)sprintf(keys + size, "members/pg%04d {}\n", i);
	view = keys_view(keys);
	assert_int_equal(patroni_view_member_count(view), PATRONI_MAX_MEMBERS);
	assert_int_equal(patroni_view_problem_count(view), 5);
	assert_string_equal(patroni_view_problem_at(view, 0),
			    "members/pg1000: more than 1000 members");
	assert_string_equal(patroni_view_member_at(view, 7)->name, "pg0007");
	patroni_view_unref(&view);
	size = 0;
	for (int i = 0; i < 40; i++)
		size += (size_t)sprintf(keys + size, "members/pg%04d x\n", i);
	view = keys_view(keys);
	assert_int_equal(patroni_view_problem_count(view), PATRONI_MAX_PROBLEMS);
	assert_string_equal(patroni_view_problem_at(view, PATRONI_MAX_PROBLEMS - 1), "and 25 more");
	assert_int_equal(patroni_view_member_count(view), 40);
	patroni_view_unref(&view);
	free(keys);
	char *value = calloc(1, large.size);
	memcpy(value, "postgres://secret@db", 20);
	large.data = value;
	assert_int_equal(patroni_decode(&large, 1, PATRONI_NO_GROUP, &view), 0);
	assert_string_equal(problems_of(view),
			    "|members/pg1: 524289 bytes are more than is looked into");
	assert_false(patroni_view_find_member(view, "pg1")->is_decodable);
	patroni_view_unref(&view);
	free(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_running_cluster),
		cmocka_unit_test(test_no_keys_are_defaults),
		cmocka_unit_test(test_what_cannot_be_understood_costs_itself_only),
		cmocka_unit_test(test_configurations),
		cmocka_unit_test(test_a_requested_switchover),
		cmocka_unit_test(test_the_leaders_position),
		cmocka_unit_test(test_bootstrap_and_sync_that_is_off),
		cmocka_unit_test(test_sync_standbys),
		cmocka_unit_test(test_citus_groups),
		cmocka_unit_test(test_the_later_of_equal_keys_counts),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests_name("patroni_view", tests, NULL, NULL);
}
