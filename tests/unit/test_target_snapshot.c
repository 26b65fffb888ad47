/* routing/target and routing/snapshot: shared values, and what they permit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "routing/snapshot.h"

static struct addr at(const char *ip, uint16_t port)
{
	struct addr addr;

	assert_int_equal(addr_parse_ip(ip, port, &addr), 0);
	return addr;
}

static struct target *make_target(const char *member, const char *host, const char *port,
				  size_t addresses)
{
	struct addr addrs[] = {at("10.0.0.1", 5432), at("10.0.0.2", 5432), at("::1", 5432)};
	struct target *t = target_new(member, host, port, addrs, addresses);

	assert_non_null(t);
	return t;
}

static void test_a_target_keeps_copies(void **state)
{
	char member[] = "db1";
	char host[] = "::1";
	struct addr addr = at("::1", 5432);
	struct target *t = target_new(member, host, "5432", &addr, 1);

	memset(member, 'x', 3);
	memset(host, 'x', 3);
	addr_set_port(&addr, 1);
	assert_string_equal(t->member, "db1");
	assert_string_equal(t->published, "[::1]:5432");
	assert_int_equal(addr_port(&t->addrs[0]), 5432);
	target_unref(&t);
	assert_null(t);
	target_unref(&t); /* accepts none */
	assert_null(target_ref(NULL));
}

static void test_targets_are_shared(void **state)
{
	struct target *t = make_target("db1", "one", "5432", 1);
	struct target *other = target_ref(t);

	assert_ptr_equal(t, other);
	target_unref(&t);
	assert_string_equal(other->published, "one:5432");
	target_unref(&other);
}

static void test_the_same_place_is_member_and_published_address(void **state)
{
	static const struct {
		const char *member;
		const char *host;
		const char *port;
		size_t addresses;
		bool same_place;
		bool same_addrs;
	} cases[] = {
		{"db1", "one", "5432", 2, true, true},  {"db1", "one", "5432", 1, true, false},
		{"db1", "one", "5432", 3, true, false}, {"db2", "one", "5432", 2, false, true},
		{"db1", "two", "5432", 2, false, true}, {"db1", "one", "5433", 2, false, true},
	};
	struct target *a = make_target("db1", "one", "5432", 2);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct target *b = make_target(cases[i].member, cases[i].host, cases[i].port,
					       cases[i].addresses);
		assert_int_equal(target_is_same_place(a, b), cases[i].same_place);
		assert_int_equal(target_has_same_addrs(a, b), cases[i].same_addrs);
		target_unref(&b);
	}
	target_unref(&a);
}

static void test_permission_is_term_address_and_time(void **state)
{
	static const struct {
		bool routed;
		uint64_t term;
		const char *ip;
		uint16_t port;
		int64_t now_ms;
		bool open;
		bool permitted;
	} cases[] = {
		{true, 4, "10.0.0.1", 5432, 999, true, true},
		{true, 4, "10.0.0.2", 5432, 0, true, true},
		{true, 4, "::ffff:10.0.0.2", 5432, 0, true, true},
		{true, 4, "10.0.0.3", 5432, 0, true, false},
		{true, 4, "10.0.0.1", 5433, 0, true, false},
		{true, 3, "10.0.0.1", 5432, 0, true, false},
		{true, 5, "10.0.0.1", 5432, 0, true, false},
		{true, 4, "10.0.0.1", 5432, 1000, false, false},
		{true, 4, "10.0.0.1", 5432, INT64_MAX, false, false},
		{false, 4, "10.0.0.1", 5432, 0, false, false},
	};
	struct target *t = make_target("db1", "one", "5432", 2);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr addr = at(cases[i].ip, cases[i].port);
		struct snapshot *s = snapshot_new(9, 7, 4, 1000, cases[i].routed ? t : NULL, NULL);

		assert_int_equal(snapshot_is_open(s, cases[i].now_ms), cases[i].open);
		assert_int_equal(snapshot_permits(s, cases[i].term, &addr, cases[i].now_ms),
				 cases[i].permitted);
		snapshot_unref(&s);
	}
	target_unref(&t);
}

static void test_a_snapshot_holds_its_target(void **state)
{
	struct target *t = make_target("db1", "one", "5432", 1);
	struct snapshot *s = snapshot_new(9, 7, 4, 1000, t, NULL);
	struct snapshot *other = snapshot_ref(s);

	target_unref(&t);
	snapshot_unref(&s);
	assert_null(s);
	assert_int_equal(other->drop_generation, 9);
	assert_int_equal(other->store_generation, 7);
	assert_string_equal(other->target->member, "db1");
	snapshot_unref(&other);
	snapshot_unref(&other); /* accepts none */
	assert_null(snapshot_ref(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_target_keeps_copies),
		cmocka_unit_test(test_targets_are_shared),
		cmocka_unit_test(test_the_same_place_is_member_and_published_address),
		cmocka_unit_test(test_permission_is_term_address_and_time),
		cmocka_unit_test(test_a_snapshot_holds_its_target),
	};

	return cmocka_run_group_tests_name("target_snapshot", tests, NULL, NULL);
}
