/* routing/lag: where the leader was, when, and how far behind that a member is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "cluster/view_decode.h"
#include "routing/lag.h"

#define SPEC "{\"formatVersion\":1,\"cluster\":{\"spec\":{\"initMode\":\"new\"}},"

static void note_json(struct lag_history *h, const char *json, int64_t now_ms)
{
	char error[VIEW_ERROR_SIZE] = "";
	struct view *view = NULL;

	if (view_decode(json, strlen(json), &view, error) < 0)
		fail_msg("%s: %s", json, error);
	lag_note(h, view, now_ms);
	view_unref(&view);
}

/* A view in which the leader is at position. */
static void note(struct lag_history *h, uint64_t position, int64_t now_ms)
{
	char json[400];

	snprintf(json, sizeof(json),
		 SPEC "\"proxy\":{\"generation\":1,\"spec\":{\"masterDbUid\":\"db1\"}},\"dbs\":{"
		      "\"db1\":{\"uid\":\"db1\",\"status\":{\"xLogPos\":%llu}},"
		      "\"db2\":{\"uid\":\"db2\",\"status\":{\"xLogPos\":1}}}}",
		 (unsigned long long)position);
	note_json(h, json, now_ms);
}

static void assert_lag(const struct lag_history *h, uint64_t position, int64_t now_ms,
		       uint64_t bytes, int64_t ms)
{
	struct lag lag = lag_of(h, position, now_ms);

	if (lag.bytes != bytes || lag.ms != ms)
		fail_msg("at %llu: %llu bytes, %lld ms", (unsigned long long)position,
			 (unsigned long long)lag.bytes, (long long)lag.ms);
}

static void test_lag_is_since_the_leader_went_past(void **state)
{
	struct lag_history h = {0};

	note(&h, 1000, 10000);
	note(&h, 1500, 15000);
	note(&h, 1500, 20000); /* stands still: the position was reached before */
	note(&h, 4000, 30000);
	assert_lag(&h, 4000, 31000, 0, 0);
	assert_lag(&h, 5000, 31000, 0, 0); /* reported later than the leader */
	assert_lag(&h, 3999, 31000, 1, 1000);
	assert_lag(&h, 1500, 31000, 2500, 1000);
	assert_lag(&h, 1499, 31000, 2501, 16000);
	assert_lag(&h, 1000, 31000, 3000, 16000);
	assert_lag(&h, 999, 31000, 3001, 21000);
	assert_lag(&h, 0, 31000, 4000, 21000);
}

static void test_nothing_is_known_without_a_leader(void **state)
{
	static const char *const views[] = {
		"null",
		"{\"formatVersion\":2}",
		SPEC "\"proxy\":null,\"dbs\":{\"db1\":{\"uid\":\"db1\",\"status\":"
		     "{\"xLogPos\":9000}}}}",
		SPEC "\"proxy\":{\"generation\":1,\"spec\":{\"masterDbUid\":\"db9\"}},\"dbs\":{"
		     "\"db1\":{\"uid\":\"db1\",\"status\":{\"xLogPos\":9000}}}}",
	};
	struct lag_history h = {0};

	assert_lag(&h, 0, 5000, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(views); i++) {
		note_json(&h, views[i], 1000);
		assert_int_equal(h.count, 0);
	}
	note(&h, 5000, 10000);
	for (size_t i = 0; i < ARRAY_LEN(views); i++)
		note_json(&h, views[i], 20000);
	assert_lag(&h, 4000, 21000, 1000, 11000); /* and nothing is forgotten by it */
}

static void test_a_leader_further_back_begins_anew(void **state)
{
	struct lag_history h = {0};

	note(&h, 1000, 10000);
	note(&h, 9000, 20000);
	note(&h, 8000, 30000);
	assert_lag(&h, 8000, 31000, 0, 0);
	assert_lag(&h, 8500, 31000, 0, 0);
	assert_lag(&h, 500, 31000, 7500, 1000);
}

/* With a view every 100 ms points that are close become one; a lag is never told
 * shorter than it is, and never longer by more than a second. */
static void test_a_dense_history_reaches_back(void **state)
{
	struct lag_history h = {0};

	for (int64_t t = 0; t <= 60000; t += 100)
		note(&h, 1000 + (uint64_t)t, t);
	for (int64_t behind = 100; behind <= 60000; behind += 100) {
		struct lag lag = lag_of(&h, 1000 + (uint64_t)(60000 - behind), 60000);

		assert_int_equal(lag.bytes, behind);
		assert_in_range(lag.ms, behind - 100, behind + 1000);
	}
}

/* The limit may be an hour: the history must reach back as far as the leader did. */
static void test_a_member_that_stands_still_lags_ever_more(void **state)
{
	struct lag_history h = {0};

	for (int64_t t = 0; t <= 4000000; t += 500) {
		note(&h, 1000 + (uint64_t)t, t);
		struct lag lag = lag_of(&h, 1000, t);
		assert_true(h.count <= LAG_HISTORY);
		if (t > 0)
			assert_in_range(lag.ms, t - 500, t);
	}
	/* And one that is near is not taken for one that is far. */
	struct lag near = lag_of(&h, 1000 + 3990000, 4000000);
	assert_in_range(near.ms, 9500, 14000);
}

static void test_limits(void **state)
{
	static const struct {
		struct lag lag;
		struct lag_limit limit;
		bool is_within;
	} cases[] = {
		{{0, 0}, {0, 0}, true},
		{{UINT64_MAX, INT64_MAX}, {0, 0}, true},
		{{1000, INT64_MAX}, {1000, 0}, true},
		{{1001, 0}, {1000, 0}, false},
		{{UINT64_MAX, 1000}, {0, 1000}, true},
		{{0, 1001}, {0, 1000}, false},
		{{1000, 1000}, {1000, 1000}, true},
		{{1001, 1000}, {1000, 1000}, false},
		{{1000, 1001}, {1000, 1000}, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(lag_is_within(&cases[i].lag, &cases[i].limit), cases[i].is_within);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lag_is_since_the_leader_went_past),
		cmocka_unit_test(test_nothing_is_known_without_a_leader),
		cmocka_unit_test(test_a_leader_further_back_begins_anew),
		cmocka_unit_test(test_a_dense_history_reaches_back),
		cmocka_unit_test(test_a_member_that_stands_still_lags_ever_more),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests_name("lag", tests, NULL, NULL);
}
