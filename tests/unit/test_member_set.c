/* routing/member_set: shared values, and when two sets are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "routing/member_set.h"

static struct member *make_member(const char *ip)
{
	struct addr addr;

	assert_int_equal(addr_parse_ip(ip, 5433, &addr), 0);
	struct target *t = target_new("db1", ip, "5433", &addr, 1);
	assert_non_null(t);
	struct member *m = member_new(t);
	assert_non_null(m);
	target_unref(&t); /* the member has a reference of its own */
	return m;
}

static struct member_set *make_set(const struct member_entry *entries, size_t count)
{
	struct member_set *s = member_set_new(MEMBER_LEAST, entries, count);

	assert_non_null(s);
	return s;
}

static void test_a_member_holds_its_target(void **state)
{
	struct member *m = make_member("10.0.0.1");
	struct member *other = member_ref(m);

	member_unref(&m);
	assert_null(m);
	assert_string_equal(other->target->published, "10.0.0.1:5433");
	assert_int_equal(atomic_load(&other->sessions), 0);
	assert_false(atomic_load(&other->failed));
	member_unref(&other);
	member_unref(&other); /* accepts none */
	assert_null(member_ref(NULL));
}

static void test_a_set_holds_its_members(void **state)
{
	struct member *m = make_member("10.0.0.1");
	struct member_entry entries[] = {{m, MEMBER_FENCED, 3, true}};
	struct member_set *s = member_set_new(MEMBER_FIRST, entries, 1);
	struct member_set *other = member_set_ref(s);

	assert_non_null(s);
	member_unref(&m);
	entries[0] = (struct member_entry){0}; /* it was copied */
	member_set_unref(&s);
	assert_null(s);
	assert_int_equal(other->balance, MEMBER_FIRST);
	assert_int_equal(other->count, 1);
	assert_int_equal(other->entries[0].rule, MEMBER_FENCED);
	assert_int_equal(other->entries[0].rank, 3);
	assert_true(other->entries[0].takes_new);
	assert_string_equal(other->entries[0].member->target->member, "db1");
	member_set_unref(&other);
	member_set_unref(&other); /* accepts none */
	assert_null(member_set_ref(NULL));
}

static void test_counters_live_on_from_set_to_set(void **state)
{
	struct member *m = make_member("10.0.0.1");
	struct member_set *first = make_set(&(struct member_entry){m, MEMBER_STANDBY, 0, true}, 1);

	atomic_fetch_add(&first->entries[0].member->sessions, 7);
	struct member_set *second = make_set(&(struct member_entry){m, MEMBER_HELD, 0, false}, 1);
	member_set_unref(&first);
	assert_int_equal(atomic_load(&second->entries[0].member->sessions), 7);
	member_set_unref(&second);
	member_unref(&m);
}

static void test_a_member_is_found_by_identity(void **state)
{
	struct member *a = make_member("10.0.0.1");
	struct member *b = make_member("10.0.0.2");
	struct member *same_place = make_member("10.0.0.1");
	struct member_entry entries[] = {{a, MEMBER_STANDBY, 0, true}, {b, MEMBER_FENCED, 1, true}};
	struct member_set *s = make_set(entries, 2);

	assert_ptr_equal(member_set_find(s, a), &s->entries[0]);
	assert_ptr_equal(member_set_find(s, b), &s->entries[1]);
	assert_null(member_set_find(s, same_place));
	assert_null(member_set_find(NULL, a));
	member_set_unref(&s);
	member_unref(&a);
	member_unref(&b);
	member_unref(&same_place);
}

static void check_equal(const struct member_set *a, struct member_set *b, bool equal)
{
	assert_int_equal(member_sets_are_equal(a, b), equal);
	assert_int_equal(member_sets_are_equal(b, a), equal);
	member_set_unref(&b);
}

static void test_equal_sets_agree_in_everything(void **state)
{
	struct member *a = make_member("10.0.0.1");
	struct member *b = make_member("10.0.0.2");
	const struct member_entry same[] = {{a, MEMBER_STANDBY, 0, true},
					    {b, MEMBER_STANDBY, 1, true}};
	const struct member_entry others[][2] = {
		{{b, MEMBER_STANDBY, 0, true}, {a, MEMBER_STANDBY, 1, true}},
		{{a, MEMBER_FENCED, 0, true}, {b, MEMBER_STANDBY, 1, true}},
		{{a, MEMBER_STANDBY, 0, true}, {b, MEMBER_STANDBY, 0, true}},
		{{a, MEMBER_STANDBY, 0, true}, {b, MEMBER_STANDBY, 1, false}},
	};
	struct member_set *s = make_set(same, 2);

	check_equal(s, make_set(same, 2), true);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		check_equal(s, make_set(others[i], 2), false);
	check_equal(s, make_set(same, 1), false);
	check_equal(s, member_set_new(MEMBER_RANDOM, same, 2), false);
	check_equal(s, NULL, false);
	check_equal(NULL, make_set(NULL, 0), false);
	check_equal(NULL, NULL, true);
	member_set_unref(&s);
	member_unref(&a);
	member_unref(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_member_holds_its_target),
		cmocka_unit_test(test_a_set_holds_its_members),
		cmocka_unit_test(test_counters_live_on_from_set_to_set),
		cmocka_unit_test(test_a_member_is_found_by_identity),
		cmocka_unit_test(test_equal_sets_agree_in_everything),
	};

	return cmocka_run_group_tests_name("member_set", tests, NULL, NULL);
}
