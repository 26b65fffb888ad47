/* cluster/view_decode: what stolon's proxy would read, we read; what it refuses,
 * we refuse. The recorded documents are in test_view_traces.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "cluster/go_json.h"
#include "cluster/view_decode.h"

/* A document that is accepted, with more members of the object appended. */
#define GOOD(more) "{\"formatVersion\":1,\"cluster\":{\"spec\":{\"initMode\":\"new\"}}" more "}"

/* The view of a document that must decode. */
static struct view *decode(const char *json)
{
	char error[VIEW_ERROR_SIZE] = "";
	struct view *view = NULL;

	if (view_decode(json, strlen(json), &view, error) < 0)
		fail_msg("%s: %s", json, error);
	return view;
}

struct bad_case {
	const char *json;
	int code;
	const char *error;
};

static void check_refused(const struct bad_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char error[VIEW_ERROR_SIZE] = "";
		struct view *untouched = (struct view *)(void *)error;
		struct view *view = untouched;
		int r = view_decode(cases[i].json, strlen(cases[i].json), &view, error);

		if (r != cases[i].code || strstr(error, cases[i].error) == NULL)
			fail_msg("%s: %d, \"%s\"", cases[i].json, r, error);
		assert_ptr_equal(view, untouched); /* failures leave it alone */
	}
}

static void test_what_is_no_json_document_is_an_error(void **state)
{
	static const struct bad_case cases[] = {
		{"", ERR_SYNTAX, "unexpected end of JSON input"},
		{"  \n", ERR_SYNTAX, "unexpected end of JSON input"},
		{"{", ERR_SYNTAX, "unexpected end of JSON input"},
		{"{\"formatVersion\":1", ERR_SYNTAX, "unexpected end of JSON input"},
		{"{\"formatVersion\":1,\"cluster\":{\"uid\":\"x", ERR_SYNTAX,
		 "unexpected end of JSON input"},
		{GOOD("") "x", ERR_SYNTAX, "invalid JSON at byte"},
		{GOOD("") GOOD(""), ERR_SYNTAX, "invalid JSON at byte"},
		{GOOD(",") "", ERR_SYNTAX, "invalid JSON at byte"},
		{GOOD(",\"x\":\"\xff\""), ERR_SYNTAX, "invalid JSON at byte"},
		{GOOD(",\"x\":\"\\u0000\""), ERR_SYNTAX, "invalid JSON at byte"},
		{GOOD(",\"x\":01"), ERR_SYNTAX, "invalid JSON at byte"},
		{"\xef\xbb\xbf" GOOD(""), ERR_SYNTAX, "invalid JSON at byte"},
		{"[]", ERR_TYPE, "list, but an object is wanted"},
		{"1", ERR_TYPE, "number, but an object is wanted"},
		{"\"x\"", ERR_TYPE, "string, but an object is wanted"},
		{"true", ERR_TYPE, "boolean, but an object is wanted"},
	};

	check_refused(cases, ARRAY_LEN(cases));
}

static void test_a_known_field_of_another_type_fails_the_document(void **state)
{
	static const struct bad_case cases[] = {
		{GOOD(",\"dbs\":{\"ab12\":{\"status\":{\"port\":5432}}}"), ERR_TYPE,
		 "dbs.ab12.status.port: number, but a string is wanted"},
		{GOOD(",\"dbs\":[]"), ERR_TYPE, "dbs: list, but an object is wanted"},
		{GOOD(",\"dbs\":{\"a\":1}"), ERR_TYPE, "dbs.a: number, but an object is wanted"},
		{GOOD(",\"proxy\":[]"), ERR_TYPE, "proxy: list, but an object is wanted"},
		{GOOD(",\"proxy\":{\"generation\":\"1\"}"), ERR_TYPE,
		 "proxy.generation: string, but an integer is wanted"},
		{GOOD(",\"proxy\":{\"generation\":1.0}"), ERR_TYPE,
		 "proxy.generation: 1 is not written as an integer"},
		{GOOD(",\"proxy\":{\"generation\":1e3}"), ERR_TYPE, "proxy.generation: "},
		{GOOD(",\"proxy\":{\"spec\":{\"enabledProxies\":\"a\"}}"), ERR_TYPE,
		 "proxy.spec.enabledProxies: string, but a list is wanted"},
		{GOOD(",\"proxy\":{\"spec\":{\"enabledProxies\":[\"a\",2]}}"), ERR_TYPE,
		 "proxy.spec.enabledProxies[1]: number, but a string is wanted"},
		{GOOD(",\"formatVersion\":\"1\""), ERR_TYPE,
		 "formatVersion: string, but an integer is wanted"},
		{GOOD(",\"formatversion\":-1"), ERR_RANGE, "formatVersion: -1 is not within 0 to"},
		{GOOD(",\"PROXY\":{\"GENERATION\":false}"), ERR_TYPE,
		 "proxy.generation: boolean, but an integer is wanted"},
		/* Nobody uses these, and stolon still refuses them. */
		{GOOD(",\"keepers\":{\"k\":{\"status\":{\"forceFail\":1}}}"), ERR_TYPE,
		 "keepers.k.status.forceFail: number, but a boolean is wanted"},
		{GOOD(",\"keepers\":{\"k\":{\"spec\":1}}"), ERR_TYPE,
		 "keepers.k.spec: number, but an object is wanted"},
		{GOOD(",\"keepers\":{\"k\":{\"status\":{\"postgresBinaryVersion\":"
		      "{\"maj\":\"15\"}}}}"),
		 ERR_TYPE,
		 "keepers.k.status.postgresBinaryVersion.Maj: string, but an integer is wanted"},
		{GOOD(",\"dbs\":{\"a\":{\"spec\":{\"maxStandbys\":65536}}}"), ERR_RANGE,
		 "dbs.a.spec.maxStandbys: 65536 is not within 0 to 65535"},
		{GOOD(",\"dbs\":{\"a\":{\"status\":{\"timelinesHistory\":"
		      "[null,{\"reason\":0}]}}}"),
		 ERR_TYPE,
		 "dbs.a.status.timelinesHistory[1].reason: number, but a string is wanted"},
		{GOOD(",\"dbs\":{\"a\":{\"status\":{\"pgParameters\":{\"p\":1}}}}"), ERR_TYPE,
		 "dbs.a.status.pgParameters.p: number, but a string is wanted"},
		{GOOD(",\"dbs\":{\"a\":{\"spec\":{\"pgParameters\":[]}}}"), ERR_TYPE,
		 "dbs.a.spec.pgParameters: list, but an object is wanted"},
		{GOOD(",\"proxy\":{\"status\":\"ok\"}"), ERR_TYPE,
		 "proxy.status: string, but an object is wanted"},
		{GOOD(",\"changeTime\":1"), ERR_TYPE, "changeTime: number, but a time is wanted"},
		{GOOD(",\"changeTime\":\"yesterday\""), ERR_SYNTAX,
		 "changeTime: \"yesterday\" is not an RFC 3339 time"},
		{"{\"formatVersion\":1,\"cluster\":{\"spec\":{\"maxStandbyLag\":4294967296}}}",
		 ERR_RANGE, "cluster.spec.maxStandbyLag: 4294967296 is not within"},
		/* A format we would refuse anyway is decoded first. */
		{"{\"formatVersion\":2,\"proxy\":1}", ERR_TYPE,
		 "proxy: number, but an object is wanted"},
	};

	check_refused(cases, ARRAY_LEN(cases));
}

#define TIMEOUT(value) "{\"cluster\":{\"spec\":{\"proxyTimeout\":" value "}}}"

static void test_durations_are_strings_with_a_unit_or_zero(void **state)
{
	static const struct bad_case cases[] = {
		{TIMEOUT("2000000000"), ERR_UNIT,
		 "cluster.spec.proxyTimeout: missing unit in duration \"2000000000\""},
		{TIMEOUT("-5"), ERR_UNIT, "missing unit in duration \"-5\""},
		{TIMEOUT("0.0"), ERR_UNIT, "missing unit in duration \"0\""},
		{TIMEOUT("\"5\""), ERR_UNIT, "missing unit in duration \"5\""},
		{TIMEOUT("\"\""), ERR_SYNTAX, "invalid duration \"\""},
		{TIMEOUT("\"soon\""), ERR_SYNTAX, "invalid duration \"soon\""},
		{TIMEOUT("\"9999999h\""), ERR_RANGE, "invalid duration \"9999999h\""},
		{TIMEOUT("true"), ERR_TYPE, "boolean, but a duration is wanted"},
		{TIMEOUT("{}"), ERR_TYPE, "object, but a duration is wanted"},
		/* No pointer in stolon, so its null reaches the parser of durations. */
		{GOOD(",\"dbs\":{\"a\":{\"spec\":{\"requestTimeout\":null}}}"), ERR_TYPE,
		 "dbs.a.spec.requestTimeout: null, but a duration is wanted"},
	};
	struct view *view;

	check_refused(cases, ARRAY_LEN(cases));
	view = decode("{\"formatVersion\":1,\"cluster\":{\"spec\":{\"initMode\":\"new\","
		      "\"proxyCheckInterval\":0,\"proxyTimeout\":\"1m30s\"}}}");
	assert_int_equal(view_status(view), VIEW_OK);
	assert_int_equal(view_check_interval_ns(view), 0);
	assert_int_equal(view_proxy_timeout_ns(view), 90000000000);
	view_unref(&view);
}

static void test_times_are_checked_as_in_go(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{"0001-01-01T00:00:00Z", true},
		{"2026-11-24T18:38:36.196830228Z", true},
		{"2026-11-24T18:38:36+01:00", true},
		{"2026-11-24T18:38:36.5-23:59", true},
		{"2024-02-29T00:00:00Z", true},
		{"2026-11-24T8:38:36Z", true},    /* looser than the RFC, as Go is */
		{"2026-11-24T18:38:36,5Z", true}, /* so is this */
		{"2026-11-24T18:38:36+24:60", true},
		{"2023-02-29T00:00:00Z", false},
		{"1900-02-29T00:00:00Z", false},
		{"2026-13-01T00:00:00Z", false},
		{"2026-00-01T00:00:00Z", false},
		{"2026-11-31T00:00:00Z", false},
		{"2026-11-24T24:00:00Z", false},
		{"2026-11-24T18:60:36Z", false},
		{"2026-11-24T18:38:60Z", false},
		{"2026-11-24T18:38:36.Z", false},
		{"2026-11-24T18:38:36", false},
		{"2026-11-24T18:38:36+25:00", false},
		{"2026-11-24T18:38:36+01", false},
		{"2026-11-24t18:38:36Z", false},
		{"2026-11-24T18:38:36z", false},
		{"2026-11-24 18:38:36Z", false},
		{"2026-11-24T18:38:36Z ", false},
		{"26-11-24T18:38:36Z", false},
		{"2026-11-24", false},
		{"", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (go_time_is_valid(cases[i].text) != cases[i].valid)
			fail_msg("\"%s\"", cases[i].text);
	}
}

static void test_only_null_means_that_there_is_no_cluster(void **state)
{
	struct view *view = decode(" null\n");

	assert_int_equal(view_status(view), VIEW_ABSENT);
	assert_string_equal(view_problem(view), "");
	view_unref(&view);
	view = view_absent();
	assert_int_equal(view_status(view), VIEW_ABSENT);
	view_unref(&view);
	assert_null(view);
	view_unref(&view);
}

static void test_format_is_judged_before_the_spec(void **state)
{
	static const struct {
		const char *json;
		enum view_status status;
		const char *problem;
	} cases[] = {
		{"{}", VIEW_BAD_FORMAT, "unsupported clusterdata format version: 0"},
		{"{\"formatVersion\":null}", VIEW_BAD_FORMAT,
		 "unsupported clusterdata format version: 0"},
		{"{\"formatVersion\":2,\"cluster\":null}", VIEW_BAD_FORMAT,
		 "unsupported clusterdata format version: 2"},
		{"{\"formatVersion\":2,\"cluster\":{\"spec\":{}}}", VIEW_BAD_FORMAT,
		 "unsupported clusterdata format version: 2"},
		{"{\"formatVersion\":1}", VIEW_BAD_SPEC, "cluster undefined"},
		{"{\"formatVersion\":1,\"cluster\":null}", VIEW_BAD_SPEC, "cluster undefined"},
		{"{\"formatVersion\":1,\"cluster\":{}}", VIEW_BAD_SPEC, "cluster.spec undefined"},
		{"{\"formatVersion\":1,\"cluster\":{\"spec\":null}}", VIEW_BAD_SPEC,
		 "cluster.spec undefined"},
		{"{\"formatVersion\":1,\"cluster\":{\"spec\":{}}}", VIEW_BAD_SPEC,
		 "initMode undefined"},
		{GOOD(""), VIEW_OK, ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct view *view = decode(cases[i].json);
		if (view_status(view) != cases[i].status ||
		    strcmp(view_problem(view), cases[i].problem) != 0)
			fail_msg("%s: %d, \"%s\"", cases[i].json, view_status(view),
				 view_problem(view));
		view_unref(&view);
	}
}

static void test_what_is_absent_or_null_is_empty(void **state)
{
	static const char *const documents[] = {
		GOOD(""),
		GOOD(",\"proxy\":null,\"dbs\":null,\"keepers\":null,\"changeTime\":null"),
		GOOD(",\"proxy\":{\"generation\":3},\"proxY\":null"),
	};
	struct view *view;

	for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
		view = decode(documents[i]);
		assert_int_equal(view_status(view), VIEW_OK);
		assert_false(view_has_proxy(view));
		assert_int_equal(view_generation(view), 0);
		assert_string_equal(view_leader_uid(view), "");
		assert_false(view_enables(view, ""));
		assert_int_equal(view_member_count(view), 0);
		assert_null(view_find_member(view, ""));
		assert_int_equal(view_check_interval_ns(view), 5000000000);
		assert_int_equal(view_proxy_timeout_ns(view), 15000000000);
		view_unref(&view);
	}
	view = decode(GOOD(",\"proxy\":{\"generation\":null,\"spec\":null},\"dbs\":{\"a\":{"
			   "\"spec\":null,\"status\":null},\"b\":null}"));
	assert_true(view_has_proxy(view));
	assert_int_equal(view_generation(view), 0);
	assert_string_equal(view_leader_uid(view), "");
	assert_int_equal(view_member_count(view), 1);
	assert_null(view_find_member(view, "b"));
	const struct view_member *a = view_find_member(view, "a");
	assert_non_null(a);
	assert_string_equal(a->keeper_uid, "");
	assert_string_equal(a->role, "");
	assert_string_equal(a->followed_uid, "");
	assert_string_equal(a->listen_address, "");
	assert_string_equal(a->port, "");
	assert_false(a->healthy);
	view_unref(&view);
}

static void test_members_carry_what_routing_needs(void **state)
{
	struct view *view = decode(
		GOOD(",\"proxy\":{\"generation\":9,\"spec\":{\"masterDbUid\":\"db1\","
		     "\"enabledProxies\":[\"p1\",\"p2\"]}},\"dbs\":{"
		     "\"db2\":{\"uid\":\"other\",\"generation\":4,\"spec\":{\"keeperUID\":\"k2\","
		     "\"role\":\"standby\",\"followConfig\":{\"type\":\"internal\","
		     "\"dbuid\":\"db1\"}},\"status\":{\"healthy\":true,"
		     "\"currentGeneration\":3,\"listenAddress\":\"::1\",\"port\":\"pg\","
		     "\"timelineID\":7,\"xLogPos\":9223372036854775807}},"
		     "\"db1\":{\"spec\":{\"role\":\"standby\",\"followConfig\":{"
		     "\"type\":\"external\",\"dbuid\":\"x\"}}}}"));
	const struct view_member *member = view_find_member(view, "db2");

	assert_int_equal(view_generation(view), 9);
	assert_string_equal(view_leader_uid(view), "db1");
	assert_true(view_enables(view, "p1"));
	assert_true(view_enables(view, "p2"));
	assert_false(view_enables(view, "p"));
	assert_int_equal(view_member_count(view), 2);
	assert_ptr_equal(view_member_at(view, 1), member);
	assert_string_equal(view_member_at(view, 0)->uid, "db1");
	assert_string_equal(view_member_at(view, 0)->followed_uid, "");
	assert_string_equal(member->uid, "db2"); /* the key, not what the entry says */
	assert_string_equal(member->keeper_uid, "k2");
	assert_string_equal(member->role, "standby");
	assert_string_equal(member->followed_uid, "db1");
	assert_string_equal(member->listen_address, "::1");
	assert_string_equal(member->port, "pg");
	assert_true(member->healthy);
	assert_int_equal(member->generation, 4);
	assert_int_equal(member->current_generation, 3);
	assert_int_equal(member->timeline, 7);
	assert_int_equal(member->wal_position, INT64_MAX);
	assert_null(view_find_member(view, "other"));
	view_unref(&view);
}

static void test_keys_match_in_any_case_but_uids_do_not(void **state)
{
	struct view *view = decode(
		"{\"FORMATVERSION\":1,\"Cluster\":{\"\xc5\xbfPEC\":{\"INITmode\":\"new\"}},"
		"\"DBS\":{\"a\":{\"STATUS\":{\"PORT\":\"1\"}},\"A\":{\"status\":{\"port\":\"2\"}}},"
		"\"proxy_\":1,\"prox\":1,\"\":1,\"proxy\":{\"specs\":[],\"spec\":"
		"{\"masterdbuid\":\"a\"}}}");

	assert_int_equal(view_status(view), VIEW_OK);
	assert_string_equal(view_leader_uid(view), "a");
	assert_int_equal(view_member_count(view), 2);
	assert_string_equal(view_find_member(view, "a")->port, "1");
	assert_string_equal(view_find_member(view, "A")->port, "2");
	view_unref(&view);
	view = decode("{\"formatVersion\":1,\"cluster\":{\"spec\":{\"initMode\":\"new\"}},"
		      "\"\xe2\x84\xaa"
		      "eepers\":{}}");
	assert_int_equal(view_status(view), VIEW_OK);
	view_unref(&view);
}

static void test_later_keys_of_a_field_win_and_objects_merge(void **state)
{
	struct view *view = decode(
		GOOD(",\"proxy\":{\"generation\":7,\"spec\":{\"masterDbUid\":\"a\","
		     "\"enabledProxies\":[\"p\",\"q\"]}},"
		     "\"Proxy\":{\"Generation\":99,\"spec\":{\"enabledProxies\":[\"r\"]}},"
		     "\"dbs\":{\"b\":{\"generation\":1,\"spec\":{\"role\":\"x\"}},"
		     "\"a\":{\"generation\":2},\"n\":{}},"
		     "\"Dbs\":{\"c\":{\"generation\":3},\"b\":{\"generation\":4},\"n\":null}"));

	assert_int_equal(view_generation(view), 99);
	assert_string_equal(view_leader_uid(view), "a"); /* merged */
	assert_true(view_enables(view, "r"));
	assert_false(view_enables(view, "p")); /* lists are replaced */
	assert_int_equal(view_member_count(view), 3);
	assert_int_equal(view_find_member(view, "a")->generation, 2);
	assert_int_equal(view_find_member(view, "b")->generation, 4);
	assert_string_equal(view_find_member(view, "b")->role, ""); /* entries are replaced */
	assert_int_equal(view_find_member(view, "c")->generation, 3);
	assert_null(view_find_member(view, "n"));
	view_unref(&view);

	view = decode(GOOD(",\"proxy\":{\"spec\":{\"enabledProxies\":[\"p\",\"q\"],"
			   "\"EnabledProxies\":[null]}}"));
	assert_true(view_enables(view, "p")); /* Go's, odd as it is */
	assert_false(view_enables(view, "q"));
	assert_false(view_enables(view, ""));
	view_unref(&view);

	/* null clears a pointer, what follows starts anew; it leaves values alone. */
	view = decode(GOOD(",\"proxy\":{\"generation\":7},\"PROXY\":null,"
			   "\"Proxy\":{\"spec\":{\"masterDbUid\":\"a\",\"MASTERDBUID\":null}},"
			   "\"dbs\":{\"a\":{}},\"DBS\":null,\"Dbs\":{\"b\":{}}"));
	assert_int_equal(view_generation(view), 0);
	assert_string_equal(view_leader_uid(view), "a");
	assert_int_equal(view_member_count(view), 1);
	assert_non_null(view_find_member(view, "b"));
	view_unref(&view);
}

static void test_nesting_is_bounded_wherever_it_is(void **state)
{
	static const size_t depths[] = {GO_JSON_MAX_DEPTH, GO_JSON_MAX_DEPTH + 1, 100000};

	for (size_t i = 0; i < ARRAY_LEN(depths); i++) {
		static char json[2 * 100000 + 200];
		char error[VIEW_ERROR_SIZE] = "";
		struct view *view = NULL;
		size_t inner = depths[i] - 1;
		size_t used = (size_t)snprintf(json, sizeof(json), "{\"x\":\"[\\\"[\",\"y\":");

		memset(json + used, '[', inner);
		memset(json + used + inner, ']', inner);
		json[used + 2 * inner] = '}';
		int r = view_decode(json, used + 2 * inner + 1, &view, error);
		assert_int_equal(r, depths[i] > GO_JSON_MAX_DEPTH ? ERR_TOO_LARGE : 0);
		if (r < 0)
			assert_string_equal(error, "nested deeper than 64 levels");
		view_unref(&view);
	}
}

static void test_errors_stay_whole_and_printable(void **state)
{
	char json[1200];
	char uid[1000];
	char error[VIEW_ERROR_SIZE];
	struct view *view = NULL;

	memset(uid, 'u', sizeof(uid));
	snprintf(json, sizeof(json), "{\"dbs\":{\"\xc3\xa9\\n%.*s\":{\"status\":{\"port\":1}}}}",
		 (int)sizeof(uid), uid);
	assert_int_equal(view_decode(json, strlen(json), &view, error), ERR_TYPE);
	assert_non_null(strstr(error, "dbs.???uuu"));
	assert_non_null(strstr(error, "uuu.status.port: number, but a string is wanted"));
}

static void test_a_view_lives_as_long_as_its_last_reference(void **state)
{
	struct view *view = decode(GOOD(",\"proxy\":{\"spec\":{\"masterDbUid\":\"a\"}}"));
	struct view *second = view_ref(view);

	view_unref(&view);
	assert_null(view);
	assert_string_equal(view_leader_uid(second), "a");
	view_unref(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_no_json_document_is_an_error),
		cmocka_unit_test(test_a_known_field_of_another_type_fails_the_document),
		cmocka_unit_test(test_durations_are_strings_with_a_unit_or_zero),
		cmocka_unit_test(test_times_are_checked_as_in_go),
		cmocka_unit_test(test_only_null_means_that_there_is_no_cluster),
		cmocka_unit_test(test_format_is_judged_before_the_spec),
		cmocka_unit_test(test_what_is_absent_or_null_is_empty),
		cmocka_unit_test(test_members_carry_what_routing_needs),
		cmocka_unit_test(test_keys_match_in_any_case_but_uids_do_not),
		cmocka_unit_test(test_later_keys_of_a_field_win_and_objects_merge),
		cmocka_unit_test(test_nesting_is_bounded_wherever_it_is),
		cmocka_unit_test(test_errors_stay_whole_and_printable),
		cmocka_unit_test(test_a_view_lives_as_long_as_its_last_reference),
	};

	return cmocka_run_group_tests_name("view_decode", tests, NULL, NULL);
}
