/* routing/balancer: who may be picked at all, and how the picks spread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "routing/balancer.h"

#define MANY 128

/* Rules under which sessions begin while the leader is routed, and after the deadline. */
#define AS_OPEN   (1u << MEMBER_STANDBY | 1u << MEMBER_TIMED | 1u << MEMBER_FENCED)
#define AS_CLOSED (1u << MEMBER_STANDBY)

/* A set whose entries may be changed as a test goes on. */
struct fixture {
	struct member_set *set;
	uint64_t random;
	size_t picks[MANY];
};

static struct member *make_member(void)
{
	struct addr addr;

	assert_int_equal(addr_parse_ip("10.0.0.1", 5433, &addr), 0);
	struct target *t = target_new("db", "db", "5433", &addr, 1);
	assert_non_null(t);
	struct member *m = member_new(t);
	assert_non_null(m);
	target_unref(&t);
	return m;
}

static struct fixture setup(enum member_balance balance, size_t count)
{
	struct member_entry entries[MANY] = {0};
	struct fixture f = {.random = 1};

	for (size_t i = 0; i < count; i++)
		entries[i] = (struct member_entry){make_member(), MEMBER_STANDBY, 0, true};
	f.set = member_set_new(balance, entries, count);
	assert_non_null(f.set);
	for (size_t i = 0; i < count; i++)
		member_unref(&entries[i].member);
	return f;
}

static void teardown(struct fixture *f)
{
	member_set_unref(&f->set);
}

/* Picks and notes who it was; a session stays there if it is to be counted. */
static void pick(struct fixture *f, uint64_t *random, bool counted)
{
	const struct member_entry *entry = balancer_pick(f->set, AS_OPEN, random);

	assert_non_null(entry);
	f->picks[entry - f->set->entries]++;
	if (counted)
		atomic_fetch_add(&entry->member->sessions, 1);
}

static void pick_often(struct fixture *f, size_t times)
{
	memset(f->picks, 0, sizeof(f->picks));
	for (size_t i = 0; i < times; i++)
		pick(f, &f->random, false);
}

static void check_even(const struct fixture *f, size_t picks)
{
	size_t even = picks / f->set->count;

	for (size_t i = 0; i < f->set->count; i++)
		assert_in_range(f->picks[i], even - even / 10, even + even / 10);
}

/* Who may be picked */

struct member_case {
	enum member_rule rule;
	unsigned rank;
	bool takes_new;
	bool failed;
};

struct pick_case {
	const char *what;
	struct member_case members[4];
	size_t count;
	unsigned rules;
	unsigned wanted; /* a bit for each that has to be picked now and then; no others */
};

#define STANDBY(rank, failed)                                                                      \
	{                                                                                          \
		MEMBER_STANDBY, rank, true, failed                                                 \
	}
#define FENCED(rank, failed)                                                                       \
	{                                                                                          \
		MEMBER_FENCED, rank, true, failed                                                  \
	}
#define TIMED(rank, failed)                                                                        \
	{                                                                                          \
		MEMBER_TIMED, rank, true, failed                                                   \
	}
#define HELD(rank)                                                                                 \
	{                                                                                          \
		MEMBER_HELD, rank, true, false                                                     \
	}
#define CLOSED(rule, rank)                                                                         \
	{                                                                                          \
		rule, rank, false, false                                                           \
	}

static const struct pick_case pick_cases[] = {
	{"nobody", {{0}}, 0, AS_OPEN, 0},
	{"the only one", {STANDBY(0, false)}, 1, AS_CLOSED, 1},
	{"the only one, failed", {STANDBY(0, true)}, 1, AS_CLOSED, 1},
	{"all of one rank",
	 {STANDBY(5, false), STANDBY(5, false), STANDBY(5, false)},
	 3,
	 AS_CLOSED,
	 7},
	{"the lowest rank",
	 {STANDBY(2, false), STANDBY(1, false), STANDBY(2, false)},
	 3,
	 AS_CLOSED,
	 2},
	{"a failed one is skipped", {STANDBY(0, true), STANDBY(0, false)}, 2, AS_CLOSED, 2},
	{"a rank that failed is left",
	 {STANDBY(0, true), STANDBY(1, false), STANDBY(0, true), STANDBY(2, false)},
	 4,
	 AS_CLOSED,
	 2},
	{"all failed", {STANDBY(0, true), STANDBY(0, true)}, 2, AS_CLOSED, 3},
	{"all failed, ranks count", {STANDBY(1, true), STANDBY(0, true)}, 2, AS_CLOSED, 2},
	{"fenced only if they may", {FENCED(0, false), STANDBY(1, false)}, 2, AS_CLOSED, 2},
	{"fenced as they may", {FENCED(0, false), STANDBY(1, false)}, 2, AS_OPEN, 1},
	{"fenced and standby alike", {FENCED(0, false), STANDBY(0, false)}, 2, AS_OPEN, 3},
	{"nobody but fenced", {FENCED(0, false), FENCED(1, false)}, 2, AS_CLOSED, 0},
	{"rather failed than fenced", {STANDBY(0, true), FENCED(1, false)}, 2, AS_CLOSED, 1},
	{"timed only in time", {TIMED(0, false), STANDBY(1, false)}, 2, AS_CLOSED, 2},
	{"timed as in time", {TIMED(0, false), STANDBY(1, false)}, 2, AS_OPEN, 1},
	{"held never", {HELD(0), STANDBY(1, true)}, 2, AS_OPEN, 2},
	{"nobody but held", {HELD(0), HELD(0)}, 2, AS_OPEN, 0},
	{"closed to new ones never",
	 {CLOSED(MEMBER_STANDBY, 0), CLOSED(MEMBER_FENCED, 0), STANDBY(1, true)},
	 3,
	 AS_OPEN,
	 4},
	{"nobody but closed", {CLOSED(MEMBER_STANDBY, 0), CLOSED(MEMBER_FENCED, 0)}, 2, AS_OPEN, 0},
};

static void set_up_members(struct member_set *set, const struct pick_case *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct member_entry *entry = &set->entries[i];
		entry->rule = c->members[i].rule;
		entry->rank = c->members[i].rank;
		entry->takes_new = c->members[i].takes_new;
		atomic_store(&entry->member->failed, c->members[i].failed);
	}
}

static void check_pick_case(const struct pick_case *c, enum member_balance balance)
{
	struct fixture f = setup(balance, c->count);
	unsigned picked = 0;
	unsigned wanted = c->wanted;

	if (balance == MEMBER_FIRST)
		wanted &= -wanted; /* the lowest bit */
	set_up_members(f.set, c);
	for (size_t i = 0; i < 200; i++) {
		const struct member_entry *e = balancer_pick(f.set, c->rules, &f.random);
		if (e != NULL)
			picked |= 1u << (e - f.set->entries);
		else if (wanted != 0)
			fail_msg("%s, balance %d: nobody was picked", c->what, balance);
	}
	if (picked != wanted)
		fail_msg("%s, balance %d: 0x%x picked, not 0x%x", c->what, balance, picked, wanted);
	teardown(&f);
}

static void test_only_those_that_may_are_picked(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(pick_cases); i++) {
		check_pick_case(&pick_cases[i], MEMBER_LEAST);
		check_pick_case(&pick_cases[i], MEMBER_RANDOM);
		check_pick_case(&pick_cases[i], MEMBER_FIRST);
	}
}

static void test_no_set_has_nobody(void **state)
{
	uint64_t random = 1;

	assert_null(balancer_pick(NULL, AS_OPEN, &random));
}

/* How it spreads */

static void check_least_spreads(size_t members, uint64_t one, uint64_t other)
{
	struct fixture f = setup(MEMBER_LEAST, members);
	uint64_t random[] = {one, other};

	for (size_t i = 0; i < 10000; i++)
		pick(&f, &random[i % 2], true);
	check_even(&f, 10000);
	teardown(&f);
}

static void test_least_spreads_sessions_evenly(void **state)
{
	for (size_t members = 3; members <= 7; members += 4) {
		check_least_spreads(members, 1, 2);
		check_least_spreads(members, 1, 1); /* workers that begin alike */
		check_least_spreads(members, UINT32_MAX, 0x8000000000000000);
	}
}

/* Sessions that are over before the next one comes leave nothing to compare. */
static void test_least_spreads_short_sessions_evenly(void **state)
{
	for (size_t members = 2; members <= 7; members++) {
		struct fixture f = setup(MEMBER_LEAST, members);
		pick_often(&f, 30000);
		check_even(&f, 30000);
		teardown(&f);
	}
}

static void test_least_draws_each_pair_alike(void **state)
{
	/* With 0, 1, 2 and 3 sessions the first wins each of its three pairs, the
	 * second two, the third one. */
	struct fixture f = setup(MEMBER_LEAST, 4);

	for (int i = 0; i < 4; i++)
		atomic_store(&f.set->entries[i].member->sessions, i);
	pick_often(&f, 30000);
	assert_in_range(f.picks[0], 14250, 15750);
	assert_in_range(f.picks[1], 9500, 10500);
	assert_in_range(f.picks[2], 4500, 5500);
	assert_int_equal(f.picks[3], 0);
	teardown(&f);
}

static void test_least_avoids_who_has_many(void **state)
{
	for (size_t members = 2; members <= 5; members++) {
		struct fixture f = setup(MEMBER_LEAST, members);
		atomic_store(&f.set->entries[1].member->sessions, 1000);
		for (size_t i = 0; i < 100; i++)
			pick(&f, &f.random, true);
		assert_int_equal(f.picks[1], 0);
		teardown(&f);
	}
}

static void test_random_spreads_evenly_whatever_they_have(void **state)
{
	for (size_t members = 2; members <= 7; members++) {
		struct fixture f = setup(MEMBER_RANDOM, members);
		atomic_store(&f.set->entries[1].member->sessions, 1000);
		pick_often(&f, 30000);
		check_even(&f, 30000);
		teardown(&f);
	}
}

static void test_a_large_set_is_used_as_a_whole(void **state)
{
	struct fixture f = setup(MEMBER_LEAST, MANY);

	for (size_t i = 0; i < (size_t)MANY * 1000; i++)
		pick(&f, &f.random, true);
	check_even(&f, (size_t)MANY * 1000);
	teardown(&f);
}

static void test_any_state_will_do_to_begin_with(void **state)
{
	static const uint64_t states[] = {0, 1, 2, 3, UINT32_MAX, 0x8000000000000000};
	struct fixture f = setup(MEMBER_RANDOM, 4);

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		f.random = states[i];
		pick_often(&f, 30000);
		check_even(&f, 30000);
	}
	teardown(&f);
}

/* After failures each other one comes once, those that have not failed and the lower
 * ranks first; then there is nobody. */
static void test_others_are_those_not_tried(void **state)
{
	static const enum member_balance balances[] = {MEMBER_LEAST, MEMBER_RANDOM, MEMBER_FIRST};

	for (size_t b = 0; b < ARRAY_LEN(balances); b++) {
		struct fixture f = setup(balances[b], 6);
		uint32_t tried = 0;

		f.set->entries[1].takes_new = false;
		f.set->entries[2].rank = 1;
		f.set->entries[3].rule = MEMBER_HELD;
		atomic_store(&f.set->entries[0].member->failed, true);
		atomic_store(&f.set->entries[4].member->failed, true);
		static const uint64_t wanted[] = {1 << 5, 1 << 2, 1 << 0 | 1 << 4, 1 << 0 | 1 << 4};
		for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
			const struct member_entry *e =
				balancer_pick_other(f.set, AS_OPEN, tried, &f.random);
			assert_non_null(e);
			uint64_t bit = UINT64_C(1) << (e - f.set->entries);
			assert_true((bit & wanted[i]) && !(bit & tried));
			tried |= bit;
		}
		assert_null(balancer_pick_other(f.set, AS_OPEN, tried, &f.random));
		assert_null(balancer_pick_other(f.set, AS_OPEN, UINT32_MAX, &f.random));
		assert_null(balancer_pick_other(NULL, AS_OPEN, 0, &f.random));
		teardown(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_those_that_may_are_picked),
		cmocka_unit_test(test_no_set_has_nobody),
		cmocka_unit_test(test_least_spreads_sessions_evenly),
		cmocka_unit_test(test_least_spreads_short_sessions_evenly),
		cmocka_unit_test(test_least_draws_each_pair_alike),
		cmocka_unit_test(test_least_avoids_who_has_many),
		cmocka_unit_test(test_random_spreads_evenly_whatever_they_have),
		cmocka_unit_test(test_a_large_set_is_used_as_a_whole),
		cmocka_unit_test(test_any_state_will_do_to_begin_with),
		cmocka_unit_test(test_others_are_those_not_tried),
	};

	return cmocka_run_group_tests_name("balancer", tests, NULL, NULL);
}
