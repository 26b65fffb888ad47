/* routing/nearness: the median, and who takes the place of the nearest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "routing/nearness.h"

#define FAR NEARNESS_UNREACHABLE

static struct nearness of(const int64_t *samples, size_t count)
{
	struct nearness n = {0};

	for (size_t i = 0; i < count; i++)
		nearness_note(&n, samples[i]);
	return n;
}

static struct nearness always(int64_t took_us)
{
	return of((const int64_t[]){took_us, took_us, took_us}, 3);
}

static void test_the_median_of_the_last_three_counts(void **state)
{
	static const struct {
		size_t count;
		int64_t samples[6];
		int64_t wanted;
	} cases[] = {
		{0, {0}, FAR},
		{1, {500}, 500},
		{1, {FAR}, FAR},
		{2, {500, 300}, 500},
		{2, {300, 500}, 500},
		{2, {300, FAR}, FAR},
		{3, {1, 2, 3}, 2},
		{3, {1, 3, 2}, 2},
		{3, {2, 1, 3}, 2},
		{3, {2, 3, 1}, 2},
		{3, {3, 1, 2}, 2},
		{3, {3, 2, 1}, 2},
		{3, {0, 0, 0}, 0},
		{3, {1, FAR, 2}, 2},
		{3, {FAR, 1, FAR}, FAR},
		{4, {9, 1, 2, 3}, 2},         /* the first one is forgotten */
		{5, {9, 9, 1, 2, 3}, 2},      /* and the second */
		{6, {9, 9, 9, 1, 2, 3}, 2},   /* and the third */
		{4, {100, 100, 100, 9}, 100}, /* a lucky one changes nothing */
		{6, {5, 5, FAR, 5, 5, FAR}, 5},
		{5, {5, 5, 5, FAR, FAR}, FAR}, /* it does not answer any more */
		{5, {FAR, FAR, FAR, 5, 6}, 6}, /* it answers again */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct nearness n = of(cases[i].samples, cases[i].count);
		if (nearness_us(&n) != cases[i].wanted)
			fail_msg("case %zu: %lld", i, (long long)nearness_us(&n));
	}
}

static void test_a_single_spike_changes_nothing(void **state)
{
	struct nearness here = always(1000);
	struct nearness there = always(1300);

	nearness_note(&here, 1000000);
	assert_int_equal(nearness_us(&here), 1000);
	assert_false(nearness_is_clearly_less(&there, &here));
	nearness_note(&here, FAR);
	assert_true(nearness_is_clearly_less(&there, &here));
}

static void test_nearer_takes_a_quarter_and_200_microseconds(void **state)
{
	static const struct {
		int64_t a_us;
		int64_t b_us;
		bool wanted;
	} cases[] = {
		{1000, 1000, false},   {1000, 500, false},
		{7500, 10000, false},  {7499, 10000, true},
		{10000, 13333, false}, {10000, 13334, true}, /* the other way about: hysteresis */
		{10000, 7500, false},  {100, 300, false},    /* far apart, and nobody cares */
		{100, 301, true},      {0, 200, false},
		{0, 201, true},        {1000, FAR, true},
		{FAR, 1000, false},    {FAR, FAR, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct nearness a = always(cases[i].a_us);
		struct nearness b = always(cases[i].b_us);
		if (nearness_is_clearly_less(&a, &b) != cases[i].wanted)
			fail_msg("case %zu", i);
	}
}

static void test_who_is_unknown_is_far(void **state)
{
	struct nearness unknown = {0};
	struct nearness known = always(1000000);

	assert_false(nearness_is_clearly_less(&unknown, &known));
	assert_false(nearness_is_clearly_less(&unknown, &unknown));
	assert_true(nearness_is_clearly_less(&known, &unknown));
}

/* Two servers and where sessions go, over many samples */

struct race {
	struct nearness servers[2];
	int current;
	unsigned changes;
	uint32_t random;
};

/* Within percent of the base, up or down, each value as likely as the other. */
static int64_t noisy(struct race *race, int64_t base_us, int64_t percent)
{
	race->random = race->random * 1664525 + 1013904223;
	int64_t spread = base_us * percent / 100;
	return base_us - spread + (int64_t)(race->random >> 8) * 2 * spread / (1 << 24);
}

static void step(struct race *race, int64_t first_us, int64_t second_us)
{
	nearness_note(&race->servers[0], first_us);
	nearness_note(&race->servers[1], second_us);
	if (nearness_is_clearly_less(&race->servers[!race->current],
				     &race->servers[race->current])) {
		race->current = !race->current;
		race->changes++;
	}
}

static void test_noise_alone_moves_nobody(void **state)
{
	static const int64_t bases_us[] = {100, 300, 1000, 3000, 30000, 300000};

	for (size_t i = 0; i < ARRAY_LEN(bases_us); i++) {
		for (uint32_t seed = 1; seed <= 5; seed++) {
			struct race race = {.random = seed};
			for (int n = 0; n < 10000; n++)
				step(&race, noisy(&race, bases_us[i], 15),
				     noisy(&race, bases_us[i], 15));
			assert_int_equal(race.changes, 0);
		}
	}
}

/* Between them lies about the margin: once over, there is no way back. */
static void test_noise_at_the_margin_moves_once(void **state)
{
	for (uint32_t seed = 1; seed <= 5; seed++) {
		struct race race = {.random = seed};
		for (int n = 0; n < 10000; n++)
			step(&race, noisy(&race, 4000, 15), noisy(&race, 3000, 15));
		assert_int_equal(race.changes, 1);
		assert_int_equal(race.current, 1);
	}
}

static void test_a_server_that_slows_down_is_left_at_the_second_sample(void **state)
{
	struct race race = {.random = 1};

	for (int n = 0; n < 100; n++)
		step(&race, noisy(&race, 1000, 15), noisy(&race, 1000, 15));
	step(&race, noisy(&race, 20000, 15), noisy(&race, 1000, 15));
	assert_int_equal(race.current, 0);
	step(&race, noisy(&race, 20000, 15), noisy(&race, 1000, 15));
	assert_int_equal(race.current, 1);
	/* And back, when the other one does not answer at all. */
	for (int n = 0; n < 100; n++)
		step(&race, noisy(&race, 1000, 15), noisy(&race, 1000, 15));
	assert_int_equal(race.changes, 1);
	step(&race, noisy(&race, 1000, 15), FAR);
	step(&race, noisy(&race, 1000, 15), FAR);
	assert_int_equal(race.current, 0);
	assert_int_equal(race.changes, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_median_of_the_last_three_counts),
		cmocka_unit_test(test_a_single_spike_changes_nothing),
		cmocka_unit_test(test_nearer_takes_a_quarter_and_200_microseconds),
		cmocka_unit_test(test_who_is_unknown_is_far),
		cmocka_unit_test(test_noise_alone_moves_nobody),
		cmocka_unit_test(test_noise_at_the_margin_moves_once),
		cmocka_unit_test(test_a_server_that_slows_down_is_left_at_the_second_sample),
	};

	return cmocka_run_group_tests_name("nearness", tests, NULL, NULL);
}
