/* routing/damping: who comes and goes is not offered again and again, and is never
 * lost by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "routing/damping.h"

#define MINUTE_MS INT64_C(60000)

/* A letter for what a member is: good, near its limit, lags, unhealthy, failed; '-': not
 * looked at. */
static struct damping_look look_of(char is)
{
	switch (is) {
	case 'g':
		return (struct damping_look){.fault = DAMPING_GOOD};
	case 'n':
		return (struct damping_look){.fault = DAMPING_GOOD, .is_near_limit = true};
	case 'l':
		return (struct damping_look){.fault = DAMPING_LAGS};
	case 'u':
		return (struct damping_look){.fault = DAMPING_UNHEALTHY};
	case 'f':
		return (struct damping_look){.fault = DAMPING_FAILED};
	default:
		fail_msg("no member is %c", is);
		return (struct damping_look){0};
	}
}

static bool is_good(char is)
{
	return is == 'g' || is == 'n';
}

/* And what becomes of it: Offered, Damped, or neither. */
static char step(struct damping *d, const char *name, char is, int64_t now_ms,
		 struct damping_verdict *verdict)
{
	*verdict = (struct damping_verdict){0};
	damping_begin(d);
	if (is != '-') {
		struct damping_look look = look_of(is);
		*verdict = damping_take(d, name, &look, now_ms);
	}
	damping_end(d, now_ms);
	if (!is_good(is))
		return '.';
	return verdict->is_damped ? 'D' : 'O';
}

struct moment {
	int64_t at_s;
	char is;
	char becomes;
	int64_t left_out_s; /* as it is told */
};

static void play(int64_t longest_ms, const struct moment *moments)
{
	static struct damping d;

	d = (struct damping){.longest_ms = longest_ms};
	for (const struct moment *m = moments; m->is != '\0'; m++) {
		struct damping_verdict v;
		char becomes = step(&d, "db1", m->is, 1 + m->at_s * 1000, &v);
		if (becomes != m->becomes || v.left_out_ms != m->left_out_s * 1000)
			fail_msg("moment %td, at %lld s: %c makes %c, left out for %lld ms",
				 m - moments, (long long)m->at_s, m->is, becomes,
				 (long long)v.left_out_ms);
	}
}

static void test_the_first_time_costs_nothing(void **state)
{
	play(MINUTE_MS, (const struct moment[]){
				{0, 'g', 'O', 0},
				{5, 'u', '.', 0},
				{5, 'g', 'O', 0},
				{500, 'f', '.', 0}, /* a restart, a failover: back at once */
				{501, 'g', 'O', 0},
				{561, '-', '.', 0}, /* and after each calm minute */
				{561, 'g', 'O', 0},
				{0, '\0', 0, 0},
			});
}

static void test_one_that_goes_again_soon_is_left_out_twice_as_long_each_time(void **state)
{
	play(MINUTE_MS,
	     (const struct moment[]){
		     {0, 'g', 'O', 0},         {1, 'u', '.', 0},   {1, 'g', 'O', 0},
		     {1, 'f', '.', 0},         {1, 'g', 'D', 1},   {2, 'g', 'O', 0},
		     {3, '-', '.', 0},         {4, 'g', 'D', 1},   {5, 'g', 'O', 0},
		     {6, 'u', '.', 0},         {6, 'g', 'D', 4}, /* told once: */
		     {7, 'u', '.', 0},         {8, 'g', 'D', 0},   {9, 'g', 'D', 0},
		     {10, 'g', 'O', 0},        {10, 'u', '.', 0},  {10, 'g', 'D', 8},
		     {17, 'g', 'D', 0},        {18, 'g', 'O', 0},  {18, 'u', '.', 0},
		     {19, 'g', 'D', 15},       {34, 'g', 'O', 0},  {34, 'u', '.', 0},
		     {65, 'g', 'D', 1},        {66, 'g', 'O', 0},  {67, 'u', '.', 0},
		     {126, 'g', 'D', 1},       {127, 'g', 'O', 0}, {127, 'u', '.', 0},
		     {127, 'g', 'D', 60},      {187, 'g', 'O', 0}, {246, 'u', '.', 0},
		     {246, 'g', 'D', 60},      {306, 'g', 'O', 0}, {306 + 420, 'u', '.', 0},
		     {306 + 420, 'g', 'O', 0}, {0, '\0', 0, 0},
	     });
}

static void test_calm_minutes_take_doublings_back(void **state)
{
	static const struct moment four_doublings[] = {
		{0, 'g', 'O', 0}, {1, 'u', '.', 0}, {1, 'g', 'O', 0},  {1, 'u', '.', 0},
		{2, 'g', 'O', 0}, {2, 'u', '.', 0}, {4, 'g', 'O', 0},  {4, 'u', '.', 0},
		{8, 'g', 'O', 0}, {8, 'u', '.', 0}, {16, 'g', 'O', 0},
	};
	/* Calm while it is offered, while it is away, or both. */
	static const struct moment then[][6] = {
		{{16 + 119, 'u', '.', 0}, {16 + 119, 'g', 'D', 4}},
		{{16 + 120, 'u', '.', 0}, {16 + 120, 'g', 'D', 2}},
		{{16 + 240, 'u', '.', 0}, {16 + 240, 'g', 'O', 0}},
		{{17, 'u', '.', 0},
		 {33 + 120, 'g', 'O', 0},
		 {33 + 121, 'u', '.', 0},
		 {33 + 121, 'g', 'D', 8}},
		{{17, '-', '.', 0},
		 {33 + 600, 'g', 'O', 0},
		 {33 + 601, 'u', '.', 0},
		 {33 + 601, 'g', 'D', 1}},
		{{17, '-', '.', 0},
		 {33 + 359, '-', '.', 0},
		 {33 + 360, '-', '.', 0},
		 {33 + 361, 'g', 'O', 0},
		 {33 + 361, 'u', '.', 0}},
	};

	for (size_t i = 0; i < ARRAY_LEN(then); i++) {
		struct moment all[ARRAY_LEN(four_doublings) + ARRAY_LEN(then[0]) + 1] = {0};
		memcpy(all, four_doublings, sizeof(four_doublings));
		memcpy(all + ARRAY_LEN(four_doublings), then[i], sizeof(then[i]));
		play(MINUTE_MS, all);
	}
}

static void test_one_that_lagged_comes_back_well_within_the_limit_or_after_a_while(void **state)
{
	play(MINUTE_MS,
	     (const struct moment[]){
		     {0, 'n', 'O', 0},   {10, 'n', 'O', 0},  {90, 'l', '.', 0},  {91, 'n', 'D', 0},
		     {92, 'g', 'O', 0},  {200, 'l', '.', 0}, {201, 'n', 'D', 0}, {210, 'n', 'D', 0},
		     {211, 'n', 'O', 0}, {300, 'l', '.', 0}, {301, 'n', 'D', 0}, {302, 'l', '.', 0},
		     {303, 'n', 'D', 0}, {311, 'n', 'D', 0}, {312, 'u', '.', 0}, {313, 'n', 'D', 0},
		     {322, 'n', 'D', 0}, {323, 'n', 'O', 0}, {400, 'u', '.', 0}, {401, 'n', 'O', 0},
		     {0, '\0', 0, 0},
	     });
	/* Away for something else, it comes back lagging. */
	play(MINUTE_MS, (const struct moment[]){
				{0, 'g', 'O', 0},
				{90, 'u', '.', 0},
				{95, 'l', '.', 0},
				{96, 'n', 'D', 0},
				{105, 'n', 'D', 0},
				{106, 'n', 'O', 0},
				{0, '\0', 0, 0},
			});
}

static void test_longest_is_the_longest_and_none_is_none(void **state)
{
	play(3000, (const struct moment[]){
			   {0, 'g', 'O', 0},
			   {0, 'u', '.', 0},
			   {0, 'g', 'O', 0},
			   {0, 'u', '.', 0},
			   {0, 'g', 'D', 1},
			   {1, 'g', 'O', 0},
			   {1, 'u', '.', 0},
			   {1, 'g', 'D', 2},
			   {3, 'g', 'O', 0},
			   {3, 'u', '.', 0},
			   {3, 'g', 'D', 3},
			   {6, 'g', 'O', 0},
			   {6, 'l', '.', 0},
			   {9, 'n', 'D', 0},
			   {11, 'n', 'D', 0},
			   {12, 'n', 'O', 0},
			   {0, '\0', 0, 0},
		   });
	play(0, (const struct moment[]){
			{0, 'g', 'O', 0},
			{0, 'u', '.', 0},
			{0, 'g', 'O', 0},
			{0, 'l', '.', 0},
			{0, 'n', 'O', 0},
			{0, 'f', '.', 0},
			{0, 'g', 'O', 0},
			{0, '-', '.', 0},
			{0, 'g', 'O', 0},
			{0, '\0', 0, 0},
		});
}

/* For the log. */
static void test_why_it_is_left_out(void **state)
{
	static struct damping d;
	struct damping_verdict v;

	d = (struct damping){.longest_ms = MINUTE_MS};
	step(&d, "db1", 'g', 1, &v);
	step(&d, "db1", 'u', 2, &v);
	step(&d, "db1", 'g', 3, &v);
	step(&d, "db1", 'f', 4, &v);
	step(&d, "db1", 'u', 5, &v);
	assert_int_equal(step(&d, "db1", 'g', 6, &v), 'D');
	assert_int_equal(v.left_out_ms, 998);
	assert_string_equal(damping_fault_name(v.was), "cannot-connect");
}

/* So that a member that fails stays where it is among the others, of whom it is the last
 * anyway: workers need not be told. */
static void test_rank_changes_only_when_it_is_good(void **state)
{
	static const char is[] = "gfgfgfgf-g";
	static const char damped[] = "0000111111";
	static struct damping d;
	struct damping_verdict v;

	d = (struct damping){.longest_ms = MINUTE_MS};
	for (int64_t i = 0; is[i] != '\0'; i++) {
		step(&d, "db1", is[i], 1 + i, &v);
		if (is[i] != '-')
			assert_int_equal(v.is_damped, damped[i] == '1');
	}
}

static void test_each_for_itself(void **state)
{
	static struct damping d;
	const struct damping_look good = look_of('g');
	const struct damping_look bad = look_of('u');
	char name[DAMPING_NAME_SIZE];

	d = (struct damping){.longest_ms = MINUTE_MS};
	for (int64_t pass = 0; pass < 10; pass++) {
		damping_begin(&d);
		for (int i = 0; i < DAMPING_MOST + 1; i++) {
			bool flaps = i % 2 == 1;
			snprintf(name, sizeof(name), "db%d", i);
			struct damping_verdict v = damping_take(
				&d, name, flaps && pass % 2 == 1 ? &bad : &good, 1 + pass);
			/* The one for whom there is no room is even. */
			assert_int_equal(v.is_damped, flaps && pass >= 4);
		}
		damping_end(&d, 1 + pass);
	}
	assert_int_equal(d.count, DAMPING_MOST);
	/* Room is made by who is gone for long enough. */
	damping_begin(&d);
	damping_end(&d, 100);
	damping_begin(&d);
	damping_end(&d, 100 + 10 * MINUTE_MS);
	assert_int_equal(d.count, 0);
}

static void test_the_next_pass_is_when_somebody_may_be_offered(void **state)
{
	static struct damping d;
	struct damping_verdict v;

	d = (struct damping){.longest_ms = MINUTE_MS};
	assert_int_equal(damping_next_ms(&d), INT64_MAX);
	assert_int_equal(step(&d, "db1", 'g', 1000, &v), 'O');
	assert_int_equal(step(&d, "db1", 'u', 2000, &v), '.');
	assert_int_equal(step(&d, "db1", 'g', 3000, &v), 'O');
	assert_int_equal(step(&d, "db1", 'u', 4000, &v), '.');
	assert_int_equal(damping_next_ms(&d), INT64_MAX); /* it is not good */
	assert_int_equal(step(&d, "db1", 'g', 4500, &v), 'D');
	assert_int_equal(damping_next_ms(&d), 5000);
	assert_int_equal(step(&d, "db1", 'g', 5000, &v), 'O');
	assert_int_equal(damping_next_ms(&d), INT64_MAX);
	assert_int_equal(step(&d, "db1", 'l', 5500, &v), '.');
	assert_int_equal(step(&d, "db1", 'n', 6000, &v), 'D');
	assert_int_equal(damping_next_ms(&d), 16000);
}

/* Anything at all, often at the moments that matter most. The bound holds in every
 * minute; who stays good is offered in the end, at the moment that was promised; and a
 * member that is good is offered or damped, never neither. */
#define ROUNDS 2000
#define STEPS  400
#define OFFERS 4096

struct history {
	int64_t offers_ms[OFFERS];
	size_t count;
};

static void note_offer(struct history *h, int64_t now_ms, unsigned seed)
{
	size_t before = h->count -
			(h->count < DAMPING_OFFERS_A_MINUTE ? h->count : DAMPING_OFFERS_A_MINUTE);

	if (h->count - before == DAMPING_OFFERS_A_MINUTE &&
	    now_ms - h->offers_ms[before] < MINUTE_MS)
		fail_msg("seed %u: more than %d offers in the minute before %lld", seed,
			 DAMPING_OFFERS_A_MINUTE, (long long)now_ms);
	assert_true(h->count < OFFERS);
	h->offers_ms[h->count++] = now_ms;
}

static int64_t next_moment(const struct damping *d, int64_t now_ms)
{
	static const int64_t steps_ms[] = {0, 1, 100, 1000, 5000, 59999, 60000, 60001, 200000};
	int64_t next_ms = damping_next_ms(d);

	if (next_ms != INT64_MAX && rand() % 2 == 0)
		return next_ms > now_ms ? next_ms - rand() % 2 : now_ms;
	return now_ms + steps_ms[(size_t)rand() % (rand() % 4 == 0 ? ARRAY_LEN(steps_ms) : 5)];
}

static void check_end(struct damping *d, int64_t now_ms, unsigned seed)
{
	struct damping_verdict v;
	char becomes = step(d, "db1", 'n', now_ms, &v);

	for (int i = 0; i < 3 && becomes == 'D'; i++) {
		int64_t next_ms = damping_next_ms(d);
		if (next_ms == INT64_MAX || next_ms - now_ms > MINUTE_MS)
			fail_msg("seed %u: lost at %lld", seed, (long long)now_ms);
		becomes = step(d, "db1", 'n', next_ms, &v);
	}
	if (becomes != 'O')
		fail_msg("seed %u: never offered after %lld", seed, (long long)now_ms);
}

static void test_bound_whatever_happens(void **state)
{
	static struct damping d;
	static struct history h;
	struct damping_verdict v;
	size_t most = 0;

	for (unsigned seed = 1; seed <= ROUNDS; seed++) {
		const char *likely = seed % 3 == 0 ? "gu" : seed % 3 == 1 ? "gnlluf-" : "nl";
		bool was_offered = false;
		int64_t now_ms = 1;

		srand(seed);
		d = (struct damping){.longest_ms = MINUTE_MS};
		h.count = 0;
		for (int i = 0; i < STEPS; i++) {
			char is = likely[(size_t)rand() % strlen(likely)];
			bool offered = step(&d, "db1", is, now_ms, &v) == 'O';
			if (offered && !was_offered)
				note_offer(&h, now_ms, seed);
			was_offered = offered;
			now_ms = next_moment(&d, now_ms);
		}
		most = h.count > most ? h.count : most;
		check_end(&d, now_ms, seed);
	}
	assert_true(most > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_first_time_costs_nothing),
		cmocka_unit_test(test_one_that_goes_again_soon_is_left_out_twice_as_long_each_time),
		cmocka_unit_test(test_calm_minutes_take_doublings_back),
		cmocka_unit_test(
			test_one_that_lagged_comes_back_well_within_the_limit_or_after_a_while),
		cmocka_unit_test(test_longest_is_the_longest_and_none_is_none),
		cmocka_unit_test(test_why_it_is_left_out),
		cmocka_unit_test(test_rank_changes_only_when_it_is_good),
		cmocka_unit_test(test_each_for_itself),
		cmocka_unit_test(test_the_next_pass_is_when_somebody_may_be_offered),
		cmocka_unit_test(test_bound_whatever_happens),
	};

	return cmocka_run_group_tests_name("damping", tests, NULL, NULL);
}
