/* cluster/spec_check: each of stolon's rules for a cluster's spec. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/spec_check.h"
#include "cluster/view_decode.h"

#define SECONDS INT64_C(1000000000)

/* Through the decoder, as the rules meet specs in real life. Returns "" for a
 * spec that passes. */
static const char *judge(const char *spec)
{
	static char problem[SPEC_PROBLEM_SIZE];
	char json[2000];
	char error[VIEW_ERROR_SIZE];
	struct view *view = NULL;

	int length = snprintf(json, sizeof(json), "{\"formatVersion\":1,\"cluster\":{\"spec\":%s}}",
			      spec);
	if (view_decode(json, (size_t)length, &view, error) < 0)
		fail_msg("%s: %s", spec, error);
	snprintf(problem, sizeof(problem), "%s", view_problem(view));
	assert_int_equal(view_status(view), *problem == '\0' ? VIEW_OK : VIEW_BAD_SPEC);
	view_unref(&view);
	return problem;
}

struct spec_case {
	const char *spec;
	const char *problem; /* "" if it passes */
};

static void check_all(const struct spec_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *problem = judge(cases[i].spec);
		if (strcmp(problem, cases[i].problem) != 0)
			fail_msg("%s: \"%s\", wanted \"%s\"", cases[i].spec, problem,
				 cases[i].problem);
	}
}

static void test_times_must_not_be_negative_and_the_check_fits_the_timeout(void **state)
{
	static const struct spec_case cases[] = {
		{"{\"initMode\":\"new\",\"sleepInterval\":\"-1s\"}",
		 "sleepInterval must not be negative"},
		{"{\"initMode\":\"new\",\"requestTimeout\":\"-1s\"}",
		 "requestTimeout must not be negative"},
		{"{\"initMode\":\"new\",\"convergenceTimeout\":\"-1s\"}",
		 "convergenceTimeout must not be negative"},
		{"{\"initMode\":\"new\",\"initTimeout\":\"-1s\"}",
		 "initTimeout must not be negative"},
		{"{\"initMode\":\"new\",\"syncTimeout\":\"-1s\"}",
		 "syncTimeout must not be negative"},
		{"{\"initMode\":\"new\",\"dbWaitReadyTimeout\":\"-1s\"}",
		 "dbWaitReadyTimeout must not be negative"},
		{"{\"initMode\":\"new\",\"failInterval\":\"-1s\"}",
		 "failInterval must not be negative"},
		{"{\"initMode\":\"new\",\"deadKeeperRemovalInterval\":\"-1ns\"}",
		 "deadKeeperRemovalInterval must not be negative"},
		{"{\"initMode\":\"new\",\"proxyCheckInterval\":\"-1s\"}",
		 "proxyCheckInterval must not be negative"},
		{"{\"initMode\":\"new\",\"proxyTimeout\":\"-1s\"}",
		 "proxyTimeout must not be negative"},
		{"{\"initMode\":\"new\",\"proxyCheckInterval\":\"3s\",\"proxyTimeout\":\"2s\"}",
		 "proxyCheckInterval should be less than proxyTimeout"},
		{"{\"initMode\":\"new\",\"proxyCheckInterval\":\"2s\",\"proxyTimeout\":\"2s\"}",
		 "proxyCheckInterval should be less than proxyTimeout"},
		{"{\"initMode\":\"new\",\"proxyCheckInterval\":\"15s\"}", /* the default timeout */
		 "proxyCheckInterval should be less than proxyTimeout"},
		{"{\"initMode\":\"new\",\"proxyTimeout\":\"5s\"}", /* the default interval */
		 "proxyCheckInterval should be less than proxyTimeout"},
		{"{\"initMode\":\"new\",\"proxyTimeout\":0}",
		 "proxyCheckInterval should be less than proxyTimeout"},
		{"{\"initMode\":\"new\",\"proxyCheckInterval\":0}", ""},
		{"{\"initMode\":\"new\",\"sleepInterval\":0,\"syncTimeout\":\"0\"}", ""},
	};

	check_all(cases, ARRAY_LEN(cases));
}

static void test_counts_of_standbys_are_at_least_one(void **state)
{
	static const struct spec_case cases[] = {
		{"{\"initMode\":\"new\",\"maxStandbys\":0}", "maxStandbys must be at least 1"},
		{"{\"initMode\":\"new\",\"maxStandbysPerSender\":0}",
		 "maxStandbysPerSender must be at least 1"},
		{"{\"initMode\":\"new\",\"minSynchronousStandbys\":0}",
		 "minSynchronousStandbys must be at least 1"},
		{"{\"initMode\":\"new\",\"maxSynchronousStandbys\":0}",
		 "maxSynchronousStandbys must be at least 1"},
		{"{\"initMode\":\"new\",\"minSynchronousStandbys\":2}", /* the default is 1 */
		 "maxSynchronousStandbys must not be below minSynchronousStandbys"},
		{"{\"initMode\":\"new\",\"minSynchronousStandbys\":2,"
		 "\"maxSynchronousStandbys\":2}",
		 ""},
		{"{\"initMode\":\"new\",\"maxStandbys\":1,\"maxStandbysPerSender\":1}", ""},
		{"{\"initMode\":\"new\",\"maxStandbys\":null}", ""},
	};

	check_all(cases, ARRAY_LEN(cases));
}

static void test_modes_are_known_and_have_what_they_need(void **state)
{
	static const struct spec_case cases[] = {
		{"{}", "initMode undefined"},
		{"{\"initMode\":null}", "initMode undefined"},
		{"{\"initMode\":\"\"}", "unknown initMode \"\""},
		{"{\"initMode\":\"New\"}", "unknown initMode \"New\""},
		{"{\"initMode\":\"new\\n\"}", "unknown initMode \"new?\""},
		{"{\"initMode\":\"new\",\"role\":\"standby\",\"standbyConfig\":{}}",
		 "role standby does not go with initMode \"new\""},
		{"{\"initMode\":\"existing\"}", "existingConfig undefined with initMode "
						"\"existing\""},
		{"{\"initMode\":\"existing\",\"existingConfig\":{}}",
		 "existingConfig.keeperUID undefined"},
		{"{\"initMode\":\"existing\",\"existingConfig\":{\"keeperUID\":\"k\"}}", ""},
		{"{\"initMode\":\"pitr\"}", "pitrConfig undefined with initMode \"pitr\""},
		{"{\"initMode\":\"pitr\",\"pitrConfig\":{}}",
		 "pitrConfig.dataRestoreCommand undefined"},
		{"{\"initMode\":\"pitr\",\"pitrConfig\":{\"dataRestoreCommand\":\"x\","
		 "\"recoveryTargetSettings\":{}}}",
		 ""},
		{"{\"initMode\":\"pitr\",\"pitrConfig\":{\"dataRestoreCommand\":\"x\","
		 "\"recoveryTargetSettings\":{}},\"role\":\"standby\",\"standbyConfig\":{}}",
		 "pitrConfig.recoveryTargetSettings does not go with role standby"},
		{"{\"initMode\":\"pitr\",\"pitrConfig\":{\"dataRestoreCommand\":\"x\"},"
		 "\"role\":\"standby\"}",
		 "standbyConfig undefined with role standby"},
		{"{\"initMode\":\"pitr\",\"pitrConfig\":{\"dataRestoreCommand\":\"x\"},"
		 "\"role\":\"standby\",\"standbyConfig\":{}}",
		 ""},
		{"{\"initMode\":\"new\",\"role\":\"leader\"}", "unknown role \"leader\""},
		{"{\"initMode\":\"new\",\"role\":\"master\"}", ""},
		{"{\"initMode\":\"new\",\"defaultSUReplAccessMode\":\"none\"}",
		 "unknown defaultSUReplAccessMode \"none\""},
		{"{\"initMode\":\"new\",\"defaultSUReplAccessMode\":\"strict\"}", ""},
		{"{\"initMode\":\"new\",\"defaultSUReplAccessMode\":\"all\"}", ""},
	};

	check_all(cases, ARRAY_LEN(cases));
}

static void test_slots_and_hba_lines_are_well_formed(void **state)
{
	static const struct spec_case cases[] = {
		{"{\"initMode\":\"new\",\"additionalMasterReplicationSlots\":[\"a_1\",\"_\"]}", ""},
		{"{\"initMode\":\"new\",\"additionalMasterReplicationSlots\":[\"ok\",\"A\"]}",
		 "invalid replication slot name \"A\""},
		{"{\"initMode\":\"new\",\"additionalMasterReplicationSlots\":[\"\"]}",
		 "invalid replication slot name \"\""},
		{"{\"initMode\":\"new\",\"additionalMasterReplicationSlots\":[null]}",
		 "invalid replication slot name \"\""},
		{"{\"initMode\":\"new\",\"additionalMasterReplicationSlots\":[\"a-b\"]}",
		 "invalid replication slot name \"a-b\""},
		{"{\"initMode\":\"new\",\"additionalMasterReplicationSlots\":[\"stolon_x\"]}",
		 "reserved replication slot name \"stolon_x\""},
		{"{\"initMode\":\"new\",\"additionalMasterReplicationSlots\":[\"stolon\"]}", ""},
		{"{\"initMode\":\"new\",\"pgHBA\":[\"host all all all md5\"]}", ""},
		{"{\"initMode\":\"new\",\"pgHBA\":[\"a\",\"b\\nc\"]}",
		 "newline in an entry of pgHBA"},
		{"{\"initMode\":\"new\",\"pgHBA\":[\"a\\n\"]}", "newline in an entry of pgHBA"},
		{"{\"initMode\":\"new\",\"pgHBA\":null}", ""},
	};

	check_all(cases, ARRAY_LEN(cases));
}

static void test_the_first_rule_broken_in_stolons_order_is_named(void **state)
{
	static const struct spec_case cases[] = {
		{"{\"proxyTimeout\":\"1s\",\"sleepInterval\":\"-1s\"}",
		 "sleepInterval must not be negative"},
		{"{\"maxStandbys\":0,\"proxyTimeout\":\"1s\"}",
		 "proxyCheckInterval should be less than proxyTimeout"},
		{"{\"maxStandbys\":0}", "maxStandbys must be at least 1"},
		{"{\"pgHBA\":[\"\\n\"]}", "initMode undefined"},
		{"{\"initMode\":\"x\",\"pgHBA\":[\"\\n\"],"
		 "\"additionalMasterReplicationSlots\":[\"-\"]}",
		 "invalid replication slot name \"-\""},
		{"{\"initMode\":\"x\",\"pgHBA\":[\"\\n\"]}", "newline in an entry of pgHBA"},
		{"{\"initMode\":\"x\",\"role\":\"y\",\"defaultSUReplAccessMode\":\"z\"}",
		 "unknown initMode \"x\""},
		{"{\"initMode\":\"new\",\"role\":\"y\",\"defaultSUReplAccessMode\":\"z\"}",
		 "unknown defaultSUReplAccessMode \"z\""},
	};

	check_all(cases, ARRAY_LEN(cases));
}

static void test_absent_values_get_stolons_defaults(void **state)
{
	struct cluster_spec spec = {.init_mode = NULL};

	spec_fill_defaults(&spec);
	assert_int_equal(*spec.sleep_interval_ns, 5 * SECONDS);
	assert_int_equal(*spec.request_timeout_ns, 10 * SECONDS);
	assert_int_equal(*spec.convergence_timeout_ns, 30 * SECONDS);
	assert_int_equal(*spec.init_timeout_ns, 300 * SECONDS);
	assert_int_equal(*spec.sync_timeout_ns, 0);
	assert_int_equal(*spec.db_wait_ready_timeout_ns, 60 * SECONDS);
	assert_int_equal(*spec.fail_interval_ns, 20 * SECONDS);
	assert_int_equal(*spec.dead_keeper_removal_interval_ns, 172800 * SECONDS);
	assert_int_equal(*spec.proxy_check_interval_ns, 5 * SECONDS);
	assert_int_equal(*spec.proxy_timeout_ns, 15 * SECONDS);
	assert_int_equal(*spec.max_standbys, 20);
	assert_int_equal(*spec.max_standbys_per_sender, 3);
	assert_int_equal(*spec.min_synchronous_standbys, 1);
	assert_int_equal(*spec.max_synchronous_standbys, 1);
	assert_string_equal(*spec.role, "master");
	assert_string_equal(*spec.su_repl_access_mode, "all");
	assert_null(spec.init_mode);
}

static void test_given_values_are_kept(void **state)
{
	int64_t given = 7;
	struct cluster_spec spec = {.proxy_timeout_ns = &given, .max_standbys = &given};

	spec_fill_defaults(&spec);
	assert_ptr_equal(spec.proxy_timeout_ns, &given);
	assert_ptr_equal(spec.max_standbys, &given);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times_must_not_be_negative_and_the_check_fits_the_timeout),
		cmocka_unit_test(test_counts_of_standbys_are_at_least_one),
		cmocka_unit_test(test_modes_are_known_and_have_what_they_need),
		cmocka_unit_test(test_slots_and_hba_lines_are_well_formed),
		cmocka_unit_test(test_the_first_rule_broken_in_stolons_order_is_named),
		cmocka_unit_test(test_absent_values_get_stolons_defaults),
		cmocka_unit_test(test_given_values_are_kept),
	};

	return cmocka_run_group_tests_name("spec_check", tests, NULL, NULL);
}
