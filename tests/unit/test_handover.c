/* routing/handover: sequences of events and the orders that must follow, as
 * transcripts. test_handover_model.c feeds it random ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "routing/handover.h"

#define SECOND_NS INT64_C(1000000000)
#define START_MS  100000

/* What the state machine ordered since the last look, such as
 * "close 2; write 7 15s; good". */
struct fixture {
	struct handover h;
	struct strbuf said;
	struct target *a;      /* leader a at its address */
	struct target *a_both; /* its name now has a second one */
	struct target *b;
};

static void say(struct fixture *f, const char *text)
{
	const char *separator = f->said.size > 0 ? "; " : "";

	assert_int_equal(strbuf_printf(&f->said, "%s%s", separator, text), 0);
}

static void on_publish(const struct handover_route *route, void *arg)
{
	char text[120];

	if (route->target == NULL)
		snprintf(text, sizeof(text), "close %llu",
			 (unsigned long long)route->drop_generation);
	else
		snprintf(text, sizeof(text), "open %llu %s/%zu term %llu gen %lld until %lld",
			 (unsigned long long)route->drop_generation, route->target->member,
			 route->target->count, (unsigned long long)route->term,
			 (long long)route->store_generation,
			 (long long)(route->valid_until_ms - START_MS));
	say(arg, text);
}

static void on_acknowledge(int64_t generation, int64_t proxy_timeout_ns, void *arg)
{
	char text[60];

	snprintf(text, sizeof(text), "write %lld %llds", (long long)generation,
		 (long long)(proxy_timeout_ns / SECOND_NS));
	say(arg, text);
}

static void on_finished(bool good, void *arg)
{
	say(arg, good ? "good" : "bad");
}

static const struct handover_ops ops = {on_publish, on_acknowledge, on_finished};

static struct target *make_target(const char *member, const char *host, size_t addresses)
{
	struct addr addrs[2];

	assert_int_equal(addr_parse_ip("10.0.0.1", 5432, &addrs[0]), 0);
	assert_int_equal(addr_parse_ip("10.0.0.2", 5432, &addrs[1]), 0);
	struct target *t = target_new(member, host, "5432", addrs, addresses);
	assert_non_null(t);
	return t;
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){
		.a = make_target("a", "one.example", 1),
		.a_both = make_target("a", "one.example", 2),
		.b = make_target("b", "two.example", 1),
	};
	handover_init(&f.h, &ops, &f, START_MS);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	handover_deinit(&f->h);
	strbuf_deinit(&f->said);
	target_unref(&f->a);
	target_unref(&f->a_both);
	target_unref(&f->b);
	return 0;
}

/* Times are milliseconds since the start. */
static void decide(struct fixture *f, enum situation situation, int64_t generation,
		   struct target *target, int64_t read_sent_ms, int64_t now_ms)
{
	handover_decide(
		&f->h,
		&(struct handover_input){situation, generation, 5 * SECOND_NS, 15 * SECOND_NS,
					 read_sent_ms ? START_MS + read_sent_ms : 0, target, false},
		START_MS + now_ms);
}

static void drained(struct fixture *f, uint64_t drop_generation, int64_t now_ms)
{
	handover_drained(&f->h, drop_generation, START_MS + now_ms);
}

static void written(struct fixture *f, bool success, int64_t now_ms)
{
	handover_acknowledged(&f->h, success, START_MS + now_ms);
}

/* What was ordered since the last call. */
#define assert_said(f, expected)                                                                   \
	do {                                                                                       \
		assert_string_equal((f)->said.data ? (f)->said.data : "", expected);               \
		strbuf_clear(&(f)->said);                                                          \
	} while (0)

/* Leader a is routed with generation 3, from a read at 1000 ms. */
static void route_a(struct fixture *f)
{
	decide(f, SITUATION_ROUTED, 3, f->a, 1000, 1001);
	written(f, true, 1002);
	drained(f, 1, 1003);
	assert_said(f, "write 3 15s; open 1 a/1 term 1 gen 3 until 16000; good");
}

static void test_the_first_leader_opens_only_once_its_generation_is_written(void **state)
{
	struct fixture *f = *state;

	decide(f, SITUATION_ROUTED, 3, f->a, 1000, 1001);
	assert_said(f, "write 3 15s");
	assert_false(handover_is_open(&f->h));
	written(f, true, 1002);
	assert_said(f, "open 1 a/1 term 1 gen 3 until 16000; good");
	assert_true(handover_is_open(&f->h));
}

static void test_a_change_with_nobody_in_between_cuts_writes_and_opens(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_NO_LEADER, 4, NULL, 2000, 2001);
	assert_said(f, "close 2");
	drained(f, 1, 2002);
	assert_said(f, "");
	drained(f, 2, 2003);
	assert_said(f, "write 4 15s");
	written(f, true, 2004);
	assert_said(f, "good");
	decide(f, SITUATION_ROUTED, 5, f->b, 3000, 3001);
	assert_said(f, "write 5 15s");
	written(f, true, 3002);
	assert_said(f, "open 3 b/1 term 2 gen 5 until 18000; good");
}

static void test_a_change_straight_to_another_leader_has_all_three_steps(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_ROUTED, 4, f->b, 2000, 2001);
	assert_said(f, "close 2");
	drained(f, 2, 2002);
	assert_said(f, "write 4 15s");
	written(f, true, 2003);
	assert_said(f, "open 3 b/1 term 2 gen 4 until 17000; good");
}

static void test_a_new_generation_for_the_same_leader_cuts_nobody(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_ROUTED, 4, f->a, 2000, 2001);
	assert_said(f, "write 4 15s");
	written(f, true, 2002);
	assert_said(f, "open 2 a/1 term 1 gen 4 until 17000; good");
}

static void test_disabled_and_enabled_again_is_a_new_term(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_NOT_ENABLED, 3, NULL, 2000, 2001);
	drained(f, 2, 2002);
	written(f, true, 2003);
	assert_said(f, "close 2; write 3 15s; good");
	decide(f, SITUATION_ROUTED, 3, f->a, 3000, 3001);
	written(f, true, 3002);
	assert_said(f, "write 3 15s; open 3 a/1 term 2 gen 3 until 18000; good");
}

static void test_a_failed_write_leaves_the_leader_until_the_deadline(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_ROUTED, 4, f->a, 2000, 2001);
	written(f, false, 2002);
	assert_said(f, "write 4 15s; bad");
	handover_expire(&f->h, START_MS + 15999);
	assert_said(f, "");
	handover_expire(&f->h, START_MS + 16000);
	assert_said(f, "close 2");
	handover_expire(&f->h, START_MS + 17000);
	assert_said(f, "");
}

static void test_a_failed_write_opens_nobody(void **state)
{
	struct fixture *f = *state;

	decide(f, SITUATION_ROUTED, 3, f->a, 1000, 1001);
	written(f, false, 1002);
	assert_said(f, "write 3 15s; bad");
}

static void test_a_failed_write_counts_as_good_where_nobody_is_routed(void **state)
{
	struct fixture *f = *state;

	decide(f, SITUATION_NO_LEADER, 3, NULL, 1000, 1001);
	written(f, false, 1002);
	assert_said(f, "write 3 15s; good");
	assert_int_equal(f->h.valid_until_ms, START_MS + 16000);
	decide(f, SITUATION_NOT_ENABLED, 3, NULL, 2000, 2001);
	written(f, false, 2002);
	assert_said(f, "write 3 15s; bad");
	assert_int_equal(f->h.valid_until_ms, START_MS + 16000);
}

static void test_what_the_watch_brings_acts_but_gives_no_time(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_ROUTED, 4, f->a, 0, 9000);
	written(f, true, 9001);
	assert_said(f, "write 4 15s; open 2 a/1 term 1 gen 4 until 16000; good");
	decide(f, SITUATION_NO_LEADER, 5, NULL, 0, 9002);
	assert_said(f, "close 3");
}

static void test_a_read_during_the_write_needs_a_write_of_its_own(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_ROUTED, 4, f->a, 0, 9000);
	decide(f, SITUATION_ROUTED, 4, f->a, 9100, 9200);
	written(f, true, 9300);
	assert_said(f, "write 4 15s; open 2 a/1 term 1 gen 4 until 16000");
	drained(f, 2, 9310);
	written(f, true, 9320);
	assert_said(f, "write 4 15s; open 3 a/1 term 1 gen 4 until 24100; good");
}

static void test_an_earlier_deadline_during_the_write_comes_into_force(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_ROUTED, 4, f->a, 9000, 9100);
	decide(f, SITUATION_ROUTED, 4, f->a, 3000, 9200);
	written(f, true, 9300);
	assert_said(f, "write 4 15s; open 2 a/1 term 1 gen 4 until 24000");
	drained(f, 2, 9310);
	written(f, true, 9320);
	assert_said(f, "write 4 15s; open 3 a/1 term 1 gen 4 until 18000; good");
}

static void decide_with_news(struct fixture *f, enum situation situation, int64_t generation,
			     struct target *target, int64_t now_ms)
{
	struct handover_input input = {.situation = situation,
				       .generation = generation,
				       .check_interval_ns = 5 * SECOND_NS,
				       .proxy_timeout_ns = 15 * SECOND_NS,
				       .target = target,
				       .has_news = true};

	handover_decide(&f->h, &input, START_MS + now_ms);
}

static void test_news_are_published_once_with_what_is_decided(void **state)
{
	struct fixture *f = *state;

	decide_with_news(f, SITUATION_NO_LEADER, 2, NULL, 500);
	assert_said(f, "close 1");
	drained(f, 1, 501);
	written(f, true, 502);
	assert_said(f, "write 2 15s; good");
	decide(f, SITUATION_ROUTED, 3, f->a, 1000, 1001);
	written(f, true, 1002);
	assert_said(f, "write 3 15s; open 2 a/1 term 1 gen 3 until 16000; good");
	drained(f, 2, 1003);
	/* Not acknowledged before the workers have them. */
	decide_with_news(f, SITUATION_ROUTED, 4, f->a, 2001);
	assert_said(f, "open 3 a/1 term 1 gen 4 until 16000");
	drained(f, 3, 2002);
	written(f, true, 2003);
	assert_said(f, "write 4 15s; open 4 a/1 term 1 gen 4 until 16000; good");
	drained(f, 4, 2004);
	decide_with_news(f, SITUATION_ROUTED, 5, f->b, 3001);
	assert_said(f, "close 5");
}

static void test_a_withdrawal_during_the_write_is_not_opened_over(void **state)
{
	struct fixture *f = *state;

	decide(f, SITUATION_ROUTED, 3, f->a, 1000, 1001);
	decide(f, SITUATION_NO_LEADER, 4, NULL, 0, 1002);
	assert_said(f, "write 3 15s");
	written(f, true, 1003);
	assert_said(f, "write 4 15s");
	written(f, true, 1004);
	assert_said(f, "good");
	assert_false(handover_is_open(&f->h));
}

static void test_another_leader_during_the_write_needs_its_own(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_ROUTED, 4, f->a, 2000, 2001);
	decide(f, SITUATION_ROUTED, 5, f->b, 0, 2002);
	assert_said(f, "write 4 15s; close 2");
	written(f, true, 2003);
	assert_said(f, "");
	drained(f, 2, 2004);
	assert_said(f, "write 5 15s");
	written(f, true, 2005);
	assert_said(f, "open 3 b/1 term 2 gen 5 until 17000; good");
}

static void test_a_change_while_draining_is_what_gets_written(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_NO_LEADER, 4, NULL, 0, 2001);
	decide(f, SITUATION_NO_LEADER, 5, NULL, 0, 2002);
	assert_said(f, "close 2");
	drained(f, 2, 2003);
	assert_said(f, "write 5 15s");
}

static void test_a_name_that_resolves_anew_is_followed_at_once(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_ROUTED, 3, f->a_both, 2000, 2001);
	assert_said(f, "open 2 a/2 term 1 gen 3 until 16000");
	drained(f, 2, 2002);
	written(f, true, 2003);
	assert_said(f, "write 3 15s; open 3 a/2 term 1 gen 3 until 17000; good");
}

static void test_what_is_not_acknowledged_is_finished_at_once(void **state)
{
	static const struct {
		enum situation situation;
		const char *said;
		int64_t until_ms;
	} cases[] = {
		{SITUATION_BAD_CLUSTER_DATA, "close 2; bad", 16000},
		{SITUATION_NO_CLUSTER_DATA, "close 2; good", 17000},
		{SITUATION_UNRESOLVED, "close 2; good", 17000},
		{SITUATION_RESOLVING, "close 2", 16000},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(setup(state), 0);
		struct fixture *f = *state;
		route_a(f);
		decide(f, cases[i].situation, 4, NULL, 2000, 2001);
		assert_said(f, cases[i].said);
		assert_int_equal(f->h.valid_until_ms - START_MS, cases[i].until_ms);
		drained(f, 2, 2002);
		assert_said(f, "");
		assert_int_equal(teardown(state), 0);
	}
}

static void decide_timeout(struct fixture *f, int64_t seconds, int64_t read_sent_ms)
{
	handover_decide(&f->h,
			&(struct handover_input){SITUATION_ROUTED, 3, SECOND_NS,
						 seconds * SECOND_NS, START_MS + read_sent_ms, f->a,
						 false},
			START_MS + read_sent_ms);
}

static void test_timings_are_in_force_once_they_were_announced(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide_timeout(f, 3, 2000);
	assert_said(f, "write 3 15s"); /* never less than what is in force */
	assert_int_equal(f->h.check_interval_ns, 5 * SECOND_NS);
	written(f, true, 2001);
	assert_said(f, "open 2 a/1 term 1 gen 3 until 5000; good");
	assert_int_equal(f->h.check_interval_ns, SECOND_NS);
	drained(f, 2, 2002);
	decide_timeout(f, 60, 3000);
	written(f, false, 3001);
	assert_said(f, "write 3 60s; bad");
	assert_int_equal(f->h.proxy_timeout_ns, 3 * SECOND_NS);
	decide_timeout(f, 60, 4000);
	written(f, true, 4001);
	assert_said(f, "write 3 60s; open 3 a/1 term 1 gen 3 until 64000; good");
}

static void test_a_write_that_ends_after_its_time_opens_nobody(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_ROUTED, 4, f->a, 2000, 2001);
	assert_said(f, "write 4 15s");
	written(f, true, 17000);
	assert_said(f, "close 2; good");
}

static void test_expiry_while_draining_puts_the_write_off(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_ROUTED, 3, f->a_both, 0, 2001);
	assert_said(f, "open 2 a/2 term 1 gen 3 until 16000");
	drained(f, 2, 16000);
	assert_said(f, "close 3");
	drained(f, 3, 16001);
	assert_said(f, "write 3 15s");
}

static void test_shut_closes_and_writes_no_more(void **state)
{
	struct fixture *f = *state;

	route_a(f);
	decide(f, SITUATION_ROUTED, 4, f->b, 2000, 2001);
	assert_said(f, "close 2");
	handover_shut(&f->h, START_MS + 2002);
	assert_said(f, "close 3");
	drained(f, 3, 2003);
	assert_said(f, "");
}

static void test_shut_awaits_a_write_and_opens_nobody(void **state)
{
	struct fixture *f = *state;

	decide(f, SITUATION_ROUTED, 3, f->a, 1000, 1001);
	handover_shut(&f->h, START_MS + 1002);
	assert_said(f, "write 3 15s; close 1");
	written(f, true, 1003);
	assert_said(f, "good");
	assert_int_equal(f->h.step, HANDOVER_IDLE);
	assert_false(handover_is_open(&f->h));
}

#define handover_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		handover_test(test_the_first_leader_opens_only_once_its_generation_is_written),
		handover_test(test_a_change_with_nobody_in_between_cuts_writes_and_opens),
		handover_test(test_a_change_straight_to_another_leader_has_all_three_steps),
		handover_test(test_a_new_generation_for_the_same_leader_cuts_nobody),
		handover_test(test_disabled_and_enabled_again_is_a_new_term),
		handover_test(test_a_failed_write_leaves_the_leader_until_the_deadline),
		handover_test(test_a_failed_write_opens_nobody),
		handover_test(test_a_failed_write_counts_as_good_where_nobody_is_routed),
		handover_test(test_what_the_watch_brings_acts_but_gives_no_time),
		handover_test(test_a_read_during_the_write_needs_a_write_of_its_own),
		handover_test(test_an_earlier_deadline_during_the_write_comes_into_force),
		handover_test(test_news_are_published_once_with_what_is_decided),
		handover_test(test_a_withdrawal_during_the_write_is_not_opened_over),
		handover_test(test_another_leader_during_the_write_needs_its_own),
		handover_test(test_a_change_while_draining_is_what_gets_written),
		handover_test(test_a_name_that_resolves_anew_is_followed_at_once),
		cmocka_unit_test(test_what_is_not_acknowledged_is_finished_at_once),
		handover_test(test_timings_are_in_force_once_they_were_announced),
		handover_test(test_a_write_that_ends_after_its_time_opens_nobody),
		handover_test(test_expiry_while_draining_puts_the_write_off),
		handover_test(test_shut_closes_and_writes_no_more),
		handover_test(test_shut_awaits_a_write_and_opens_nobody),
	};

	return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
