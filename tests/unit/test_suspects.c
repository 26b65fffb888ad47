/* routing/suspects: where a name must not lead to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "routing/suspects.h"

static struct addr at(uint16_t port)
{
	struct addr addr;

	assert_int_equal(addr_parse_ip("10.0.0.1", port, &addr), 0);
	return addr;
}

static void note(struct suspects *s, uint16_t port, enum standing standing)
{
	struct addr addr = at(port);

	suspects_note(s, &addr, standing, false);
}

static bool have(const struct suspects *s, uint16_t port)
{
	struct addr addr = at(port);

	return suspects_have(s, &addr);
}

static void test_from_leader_until_known_as_a_standby(void **state)
{
	static const enum standing leaders[] = {STANDING_LEADER, STANDING_PROMOTED};
	struct suspects s = {0};

	for (size_t i = 0; i < ARRAY_LEN(leaders); i++) {
		assert_false(have(&s, 1));
		note(&s, 1, STANDING_UNKNOWN);
		note(&s, 1, STANDING_STANDBY);
		assert_false(have(&s, 1));
		note(&s, 1, leaders[i]);
		note(&s, 2, leaders[i]);
		note(&s, 1, leaders[i]); /* once is enough */
		assert_int_equal(s.count, 2);
		note(&s, 1, STANDING_UNKNOWN); /* deposed; then removed, then cloned anew */
		assert_true(have(&s, 1) && have(&s, 2) && !have(&s, 3));
		note(&s, 1, STANDING_STANDBY);
		assert_true(!have(&s, 1) && have(&s, 2));
		note(&s, 2, STANDING_STANDBY);
	}
}

/* To lead, but never named as the leader. */
static void test_one_that_was_passed_over(void **state)
{
	struct suspects s = {0};
	struct addr addr = at(1);

	suspects_note(&s, &addr, STANDING_STANDBY, false);
	assert_false(suspects_have(&s, &addr));
	suspects_note(&s, &addr, STANDING_UNKNOWN, true);
	assert_true(suspects_have(&s, &addr));
	suspects_note(&s, &addr, STANDING_UNKNOWN, false);
	assert_true(suspects_have(&s, &addr));
	suspects_note(&s, &addr, STANDING_STANDBY, false);
	assert_false(suspects_have(&s, &addr));
}

static void test_the_oldest_is_forgotten(void **state)
{
	struct suspects s = {0};

	for (uint16_t port = 1; port <= SUSPECTS_MOST + 10; port++)
		note(&s, port, STANDING_LEADER);
	assert_int_equal(s.count, SUSPECTS_MOST);
	for (uint16_t port = 1; port <= SUSPECTS_MOST + 10; port++)
		assert_int_equal(have(&s, port), port > 10);
	note(&s, 40, STANDING_STANDBY);
	for (uint16_t port = 11; port <= SUSPECTS_MOST + 10; port++)
		assert_int_equal(have(&s, port), port != 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from_leader_until_known_as_a_standby),
		cmocka_unit_test(test_one_that_was_passed_over),
		cmocka_unit_test(test_the_oldest_is_forgotten),
	};

	return cmocka_run_group_tests_name("suspects", tests, NULL, NULL);
}
