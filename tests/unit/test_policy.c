/* routing/policy: stolon-proxy's table of situations, from documents to what
 * the check does with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "cluster/view_decode.h"
#include "routing/policy.h"

#define SPEC "\"formatVersion\":1,\"cluster\":{\"spec\":{\"initMode\":\"new\"}},"
#define PROXY(spec)                                                                                \
	"\"proxy\":{\"generation\":7,\"spec\":{\"enabledProxies\":[\"aaaaaaaa\","                  \
	"\"0badcafe\"]" spec "}}"
#define LEADER ",\"masterDbUid\":\"db1\""
#define DBS(status)                                                                                \
	",\"dbs\":{\"db1\":{\"uid\":\"db1\",\"status\":{" status "}},\"db2\":{\"uid\":\"db2\"}}"
#define ADDRESS "\"listenAddress\":\"10.0.0.1\",\"port\":\"5432\""

#define SECOND_NS INT64_C(1000000000)

static struct view *decode(const char *json)
{
	char error[VIEW_ERROR_SIZE] = "";
	struct view *view = NULL;

	if (view_decode(json, strlen(json), &view, error) < 0)
		fail_msg("%s: %s", json, error);
	return view;
}

static void test_a_view_is_one_situation(void **state)
{
	static const struct {
		const char *json;
		enum situation situation;
		int64_t generation;
		const char *leader;
	} cases[] = {
		{"null", SITUATION_NO_CLUSTER_DATA, 0, NULL},
		{"{}", SITUATION_BAD_CLUSTER_DATA, 0, NULL},
		{"{\"formatVersion\":2}", SITUATION_BAD_CLUSTER_DATA, 0, NULL},
		{"{\"formatVersion\":1,\"cluster\":null}", SITUATION_BAD_CLUSTER_DATA, 0, NULL},
		{"{\"formatVersion\":1,\"cluster\":{\"spec\":{\"initMode\":\"new\","
		 "\"proxyTimeout\":\"-1s\"}}," PROXY(LEADER) DBS(ADDRESS) "}",
		 SITUATION_BAD_CLUSTER_DATA, 0, NULL},
		{"{" SPEC "\"proxy\":null" DBS(ADDRESS) "}", SITUATION_NO_PROXY_OBJECT, 0, NULL},
		{"{" SPEC "\"dbs\":null}", SITUATION_NO_PROXY_OBJECT, 0, NULL},
		{"{" SPEC "\"proxy\":{\"generation\":3,\"spec\":null}}", SITUATION_NO_LEADER, 3,
		 NULL},
		{"{" SPEC PROXY("") DBS(ADDRESS) "}", SITUATION_NO_LEADER, 7, NULL},
		{"{" SPEC PROXY(",\"masterDbUid\":\"\"") DBS(ADDRESS) "}", SITUATION_NO_LEADER, 7,
		 NULL},
		{"{" SPEC PROXY(",\"masterDbUid\":\"gone\"") DBS(ADDRESS) "}", SITUATION_NO_LEADER,
		 7, NULL},
		{"{" SPEC PROXY(LEADER) ",\"dbs\":{\"db1\":null}}", SITUATION_NO_LEADER, 7, NULL},
		{"{" SPEC PROXY(LEADER) DBS("") "}", SITUATION_NO_ADDRESS, 7, "db1"},
		{"{" SPEC PROXY(LEADER) DBS("\"port\":\"5432\"") "}", SITUATION_NO_ADDRESS, 7,
		 "db1"},
		{"{" SPEC PROXY(LEADER) DBS("\"listenAddress\":\"10.0.0.1\"") "}",
		 SITUATION_NO_ADDRESS, 7, "db1"},
		{"{" SPEC PROXY(LEADER) DBS(ADDRESS) "}", SITUATION_ROUTED, 7, "db1"},
		{"{" SPEC PROXY(LEADER ",\"enabledProxies\":[\"aaaaaaaa\"]") DBS(ADDRESS) "}",
		 SITUATION_NOT_ENABLED, 7, "db1"},
		{"{" SPEC PROXY(LEADER ",\"enabledProxies\":[\"0BADCAFE\"]") DBS(ADDRESS) "}",
		 SITUATION_NOT_ENABLED, 7, "db1"},
		{"{" SPEC PROXY(LEADER ",\"enabledProxies\":null") DBS(ADDRESS) "}",
		 SITUATION_NOT_ENABLED, 7, "db1"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct view *view = decode(cases[i].json);
		struct decision d = policy_decide(view, "0badcafe");

		if (d.situation != cases[i].situation || d.generation != cases[i].generation)
			fail_msg("%s: %s, generation %lld", cases[i].json,
				 situation_name(d.situation), (long long)d.generation);
		if (cases[i].leader == NULL)
			assert_null(d.leader);
		else
			assert_string_equal(d.leader->uid, cases[i].leader);
		view_unref(&view);
	}
}

static void test_no_key_is_no_cluster_data(void **state)
{
	struct view *view = view_absent();
	struct decision d = policy_decide(view, "0badcafe");

	assert_int_equal(d.situation, SITUATION_NO_CLUSTER_DATA);
	assert_int_equal(d.proxy_timeout_ns, 0);
	view_unref(&view);
}

static void test_health_and_role_do_not_count(void **state)
{
	struct view *view = decode(
		"{" SPEC PROXY(LEADER) ",\"dbs\":{\"db1\":{\"uid\":\"db1\","
				       "\"spec\":{\"role\":\"standby\"},\"status\":{" ADDRESS ","
				       "\"healthy\":false}}}}");

	assert_int_equal(policy_decide(view, "0badcafe").situation, SITUATION_ROUTED);
	view_unref(&view);
}

static void test_timings_come_from_the_spec(void **state)
{
	struct view *view =
		decode("{\"formatVersion\":1,\"cluster\":{\"spec\":{\"initMode\":"
		       "\"new\",\"proxyCheckInterval\":\"2s\",\"proxyTimeout\":\"7s\"}}}");
	struct view *defaults = decode("{" SPEC "\"proxy\":null}");
	struct decision d = policy_decide(view, "0badcafe");
	struct decision by_default = policy_decide(defaults, "0badcafe");

	assert_int_equal(d.check_interval_ns, 2 * SECOND_NS);
	assert_int_equal(d.proxy_timeout_ns, 7 * SECOND_NS);
	assert_int_equal(by_default.check_interval_ns, 5 * SECOND_NS);
	assert_int_equal(by_default.proxy_timeout_ns, 15 * SECOND_NS);
	view_unref(&view);
	view_unref(&defaults);
}

static void test_each_situation_enters_the_check_as_in_stolon(void **state)
{
	static const struct {
		enum situation situation;
		const char *name;
		bool acknowledges;
		bool good_if_written;
		bool good_if_not;
	} rows[SITUATION_COUNT] = {
		{SITUATION_NO_CLUSTER_DATA, "no-cluster-data", false, true, true},
		{SITUATION_BAD_CLUSTER_DATA, "bad-cluster-data", false, false, false},
		{SITUATION_NO_PROXY_OBJECT, "no-proxy-object", true, true, true},
		{SITUATION_NO_LEADER, "no-leader", true, true, true},
		{SITUATION_NO_ADDRESS, "no-address", true, true, true},
		{SITUATION_UNRESOLVED, "unresolved", false, true, true},
		{SITUATION_RESOLVING, "resolving", false, false, false},
		{SITUATION_LOOP, "loop", true, true, true},
		{SITUATION_NOT_ENABLED, "not-enabled", true, true, false},
		{SITUATION_ROUTED, "routed", true, true, false},
	};

	for (size_t i = 0; i < SITUATION_COUNT; i++) {
		const struct situation_rules *rules = situation_rules(rows[i].situation);

		assert_int_equal(rows[i].situation, i);
		assert_string_equal(situation_name(rows[i].situation), rows[i].name);
		assert_int_equal(rules->acknowledges, rows[i].acknowledges);
		assert_int_equal(rules->counts, rows[i].good_if_written);
		assert_int_equal(rules->counts_unacknowledged, rows[i].good_if_not);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_view_is_one_situation),
		cmocka_unit_test(test_no_key_is_no_cluster_data),
		cmocka_unit_test(test_health_and_role_do_not_count),
		cmocka_unit_test(test_timings_come_from_the_spec),
		cmocka_unit_test(test_each_situation_enters_the_check_as_in_stolon),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
