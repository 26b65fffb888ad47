/* cluster/patroni_decode: one member's record, field by field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "patroni_keys.h"

static struct patroni_view *member_view(const char *value, const struct patroni_member **ret)
{
	static char keys[3000];

	snprintf(keys, sizeof(keys), "members/pg1@3:8 %s", value);
	struct patroni_view *view = keys_view(keys);
	*ret = patroni_view_find_member(view, "pg1");
	assert_non_null(*ret);
	return view;
}

static void test_addresses(void **state)
{
	static const struct {
		const char *url;
		const char *text;
	} cases[] = {
		{"postgres://10.0.0.1:5433/postgres", "10.0.0.1:5433"},
		{"postgresql://db.example:5433/x?sslmode=require", "db.example:5433"},
		{"POSTGRES://db-1_a.example", "db-1_a.example:5432"},
		{"postgres://db/", "db:5432"},
		{"postgres://db:/postgres", "db:5432"},
		{"postgres://[::1]:5433/postgres", "[::1]:5433"},
		{"postgres://[fe80::1%25eth0]/postgres", "[fe80::1%eth0]:5432"},
		{"postgres://[fe80::1%eth0]/postgres", "[fe80::1%eth0]:5432"},
		{"postgres://a,b:5433/x", "a:5432,b:5433"},
		{"postgres://a:1,[::2]:65535", "a:1,[::2]:65535"},
		{"postgres://user:se%40cret@db:5433/x", "db:5433"},
		{"postgres://user:se@cret@db:5433/x", "db:5433"},
		{"postgres://user@a,b", "a:5432,b:5432"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char value[300];
		const struct patroni_member *m;
		snprintf(value, sizeof(value), "{\"conn_url\":\"%s\",\"proxy_url\":\"%s\"}",
			 cases[i].url, cases[i].url);
		struct patroni_view *view = member_view(value, &m);
		if (strcmp(m->address.text, cases[i].text) != 0)
			fail_msg("%s: \"%s\" %s", cases[i].url, m->address.text, problems_of(view));
		assert_string_equal(m->proxy.text, cases[i].text);
		assert_int_equal(patroni_view_problem_count(view), 0);
		patroni_view_unref(&view);
	}
}

static void test_bad_addresses_cost_the_address_only(void **state)
{
	static const struct {
		const char *url;
		const char *problem;
	} cases[] = {
		{"mysql://db:3306", "no postgres:// URL"},
		{"db:5432", "no postgres:// URL"},
		{"postgres://", "no usable host"},
		{"postgres://:5432/x", "no usable host"},
		{"postgres://secret@:5432/x", "no usable host"},
		{"postgres://secret@db:0/x", "no usable port"},
		{"postgres://secret@db:65536/x", "no usable port"},
		{"postgres://secret@db:5432x/x", "no usable port"},
		{"postgres://secret@db:54325432543254325432/x", "no usable port"},
		{"postgres://user:secret/x@db:5432/x", "an @ behind the address"},
		{"postgres://user:secret?x@db:5432/x", "an @ behind the address"},
		{"postgres://secret@::1:5432/x", "no usable host"},
		{"postgres://secret@[::1:5432/x", "no bracket"},
		{"postgres://secret@[::1]5432/x", "no usable port"},
		{"postgres://secret@a,,b/x", "no usable host"},
		{"postgres://secret@a b/x", "no usable host"},
		{"postgres://secret@%2Fvar%2Frun/x", "no usable host"},
		{"postgres://secret@a%00b/x", "no usable host"},
		{"postgres://a,b,c,d,e,f,g,h,secret/x", "too many hosts"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char value[300];
		const struct patroni_member *m;
		snprintf(value, sizeof(value), "{\"conn_url\":\"%s\",\"state\":\"running\"}",
			 cases[i].url);
		struct patroni_view *view = member_view(value, &m);
		const char *problems = problems_of(view);
		if (m->address.count != 0 || strstr(problems, cases[i].problem) == NULL ||
		    strncmp(problems, "|members/pg1: conn_url: ", 24) != 0 ||
		    strstr(problems, "secret") != NULL)
			fail_msg("%s: \"%s\" %s", cases[i].url, m->address.text, problems);
		assert_string_equal(m->address.text, "");
		assert_true(m->is_decodable);
		assert_int_equal(m->state, PATRONI_STATE_RUNNING);
		patroni_view_unref(&view);
	}
}

static void test_a_host_as_long_as_it_may_be(void **state)
{
	char host[257];
	char value[400];
	const struct patroni_member *m;

	memset(host, 'a', sizeof(host));
	for (int length = 255; length <= 256; length++) {
		host[length] = '\0';
		snprintf(value, sizeof(value), "{\"conn_url\":\"postgres://%s\"}", host);
		struct patroni_view *view = member_view(value, &m);
		assert_int_equal(m->address.count, length == 255 ? 1 : 0);
		patroni_view_unref(&view);
		host[length] = 'a';
	}
}

static void test_the_form_of_the_first_releases(void **state)
{
	const struct patroni_member *m;
	struct patroni_view *view = member_view("postgres://replicator:rep-pass@127.0.0.1:5433/"
						"postgres?x=1&application_name=http://"
						"127.0.0.1:8009/patroni",
						&m);

	assert_int_equal(patroni_view_problem_count(view), 0);
	assert_true(m->is_decodable);
	assert_string_equal(m->address.text, "127.0.0.1:5433");
	assert_string_equal(m->api_url, "http://127.0.0.1:8009/patroni");
	assert_int_equal(m->role, PATRONI_ROLE_UNKNOWN);
	assert_int_equal(m->state, PATRONI_STATE_UNKNOWN);
	patroni_view_unref(&view);
	view = member_view("postgres://db?application_name=http%3A%2F%2Fdb%3A8008%2Fpatroni&y=2",
			   &m);
	assert_string_equal(m->address.text, "db:5432");
	assert_string_equal(m->api_url, "http://db:8008/patroni");
	patroni_view_unref(&view);
	view = member_view("postgres://secret@", &m);
	assert_string_equal(problems_of(view), "|members/pg1: conn_url: no usable host");
	patroni_view_unref(&view);
}

static void test_an_api_url_loses_its_account(void **state)
{
	const struct patroni_member *m;
	struct patroni_view *view =
		member_view("{\"api_url\":\"https://u:p@db:8008/patroni\"}", &m);

	assert_string_equal(m->api_url, "https://db:8008/patroni");
	patroni_view_unref(&view);
	view = member_view("{\"api_url\":\"https://u:p/@db:8008/patroni\"}", &m);
	assert_string_equal(m->api_url, "");
	patroni_view_unref(&view);
}

static void test_roles_and_states(void **state)
{
	static const struct {
		const char *role;
		enum patroni_role wanted;
	} roles[] = {
		{"\"master\"", PATRONI_ROLE_PRIMARY},
		{"\"primary\"", PATRONI_ROLE_PRIMARY},
		{"\"promoted\"", PATRONI_ROLE_PROMOTED},
		{"\"standby_leader\"", PATRONI_ROLE_STANDBY_LEADER},
		{"\"replica\"", PATRONI_ROLE_REPLICA},
		{"\"demoted\"", PATRONI_ROLE_DEMOTED},
		{"\"uninitialized\"", PATRONI_ROLE_UNINITIALIZED},
		{"\"Primary\"", PATRONI_ROLE_UNKNOWN},
		{"\"\"", PATRONI_ROLE_UNKNOWN},
		{"null", PATRONI_ROLE_UNKNOWN},
	};
	static const char *const states[] = {
		"unknown",
		"running",
		"starting",
		"stopping",
		"stopped",
		"crashed",
		"restarting",
		"creating replica",
		"initializing new cluster",
		"start failed",
		"restart failed",
		"stop failed",
		"initdb failed",
		"running custom bootstrap script",
		"custom bootstrap failed",
		"starting after custom bootstrap",
	};
	char value[300];
	const struct patroni_member *m;

	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		snprintf(value, sizeof(value), "{\"role\":%s,\"state\":\"x\"}", roles[i].role);
		struct patroni_view *view = member_view(value, &m);
		assert_int_equal(m->role, roles[i].wanted);
		assert_int_equal(m->state, PATRONI_STATE_UNKNOWN);
		assert_int_equal(patroni_view_problem_count(view), 0);
		patroni_view_unref(&view);
	}
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		snprintf(value, sizeof(value), "{\"state\":\"%s\"}", states[i]);
		struct patroni_view *view = member_view(value, &m);
		assert_int_equal(m->state, i);
		assert_string_equal(patroni_state_name(m->state), states[i]);
		patroni_view_unref(&view);
	}
	assert_string_equal(patroni_role_name(PATRONI_ROLE_PRIMARY), "primary");
	assert_string_equal(patroni_role_name(PATRONI_ROLE_UNKNOWN), "unknown");
}

static void test_noloadbalance_is_what_python_takes_for_true(void **state)
{
	static const struct {
		const char *tags;
		bool wanted;
	} cases[] = {
		{"{\"noloadbalance\":true}", true},
		{"{\"noloadbalance\":false}", false},
		{"{\"noloadbalance\":1}", true},
		{"{\"noloadbalance\":0}", false},
		{"{\"noloadbalance\":0.0}", false},
		{"{\"noloadbalance\":0.5}", true},
		{"{\"noloadbalance\":\"\"}", false},
		{"{\"noloadbalance\":\"false\"}", true},
		{"{\"noloadbalance\":null}", false},
		{"{\"noloadbalance\":[]}", false},
		{"{\"noloadbalance\":[0]}", true},
		{"{\"noloadbalance\":{}}", false},
		{"{\"nofailover\":true}", false},
		{"{}", false},
		{"null", false},
		{"\"noloadbalance\"", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char value[100];
		const struct patroni_member *m;
		snprintf(value, sizeof(value), "{\"tags\":%s}", cases[i].tags);
		struct patroni_view *view = member_view(value, &m);
		if (m->no_load_balance != cases[i].wanted)
			fail_msg("%s", cases[i].tags);
		patroni_view_unref(&view);
	}
}

static void test_versions(void **state)
{
	static const struct {
		const char *version;
		uint32_t number;
	} cases[] = {
		{"4.1.5", 40105},
		{"3.0", 30000},
		{"2.1.4.post1", 20104},
		{"10.200.3", 109903},
		{"", 0},
		{"v4", 0},
		{"4", 40000},
		{"4.1rc1", 40100},
		{".1", 0},
		{"99999999999", 990000},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char value[100];
		const struct patroni_member *m;
		snprintf(value, sizeof(value), "{\"version\":\"%s\"}", cases[i].version);
		struct patroni_view *view = member_view(value, &m);
		if (m->version_number != cases[i].number)
			fail_msg("%s: %u", cases[i].version, m->version_number);
		patroni_view_unref(&view);
	}
}

static void test_a_bad_value_is_not_quoted(void **state)
{
	const struct patroni_member *m;
	struct patroni_view *view =
		member_view("{\"conn_url\":\"postgres://u:secret@db\" secret", &m);

	assert_false(m->is_decodable);
	assert_null(strstr(problems_of(view), "secret"));
	assert_non_null(strstr(problems_of(view), "|members/pg1: invalid JSON at byte"));
	patroni_view_unref(&view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_bad_addresses_cost_the_address_only),
		cmocka_unit_test(test_a_host_as_long_as_it_may_be),
		cmocka_unit_test(test_the_form_of_the_first_releases),
		cmocka_unit_test(test_an_api_url_loses_its_account),
		cmocka_unit_test(test_roles_and_states),
		cmocka_unit_test(test_noloadbalance_is_what_python_takes_for_true),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_a_bad_value_is_not_quoted),
	};

	return cmocka_run_group_tests_name("patroni_member", tests, NULL, NULL);
}
