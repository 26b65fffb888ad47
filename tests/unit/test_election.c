/* routing/election: a table for each of its rules. interval 1 s, timeout 2 s, fall 3,
 * so what was said holds for 7 s. */
#include "election_script.h"

static void test_one_system(void **state)
{
	static const struct script scripts[] = {
		{"the system of the first leader stays ours",
		 {"1000 =ab a=w1 b=t : a", "2000 a=w1 b=r1/8 : a b?other-system",
		  "3000 a=x a=x b=w9/8 : other-system b?other-system",
		  "4000 a=s b=w9/8 : other-system", "5000 a=w1 b=w9/8 : a b?other-system"}},
		{"also if all others are of another",
		 {"1000 =abc a=w1 b=r1 c=r1 : a",
		  "2000 a=w1 b=w2/8 c=r2/8 : no-majority a?writable",
		  "3000 a=x a=x : other-system"}},
		{"at first that of most members",
		 {"1000 =abc a=w5/8 b=r1 c=r1 : other-system a?other-system",
		  "2000 b=w2 a=w5/8 : b a?other-system"}},
		{"without most, that of the writable one",
		 {"1000 =ab a=w1 b=r3/8 : a b?other-system"}},
		{"two writable of two systems",
		 {"1000 =ab a=w1 b=w2/8 : systems-differ", "2000 a=w1 b=x b=x : a",
		  "3000 b=w2/8 : a"}},
		{"even if one of them is on a timeline of before",
		 {"1000 =ab a=w1 b=w5/8 : systems-differ", "1100 b=w4/8 : systems-differ b?stale",
		  "1200 b=r5/8 : a b?other-system"}},
		{"who does not tell is taken for ours",
		 {"1000 =ab a=w1 b=r1/0 : a b?standby", "2000 a=x a=x b=w2/0 : b"}},
		{"the leader's own answer confirms it later",
		 {"1000 =ab a=w1/0 b=t : a", "2000 a=w1/7 : a", "3000 b=r1/8 : a b?other-system"}},
		{"the leader's address leads to another system",
		 {"1000 =a a=w1 : a", "2000 a=w1/8 : other-system"}},
		{"even when it left",
		 {"1000 =ab a=w9/8 b=t : a", "2000 =b b=r1 : other-system b?other-system"}},
		{"... nor those of one that was refused before there was ours",
		 {"1000 =abc a=w9/8 b=r1 c=r1 : other-system", "1100 b=w2 : b"}},
		{"another system is no witness",
		 {"1000 =abc a=w1 b=r1 c=t : a", "2000 b=r1/8 c=r1/8 : no-majority"}},
	};

	scripts_run(scripts, ARRAY_LEN(scripts));
}

static void test_highest_timeline(void **state)
{
	static const struct script scripts[] = {
		{"the higher one of two at the start",
		 {"1000 =ab a=w1 : asking", "1010 b=w2 : b a?stale"}},
		{"... in either order", {"1000 =ab b=w2 : asking", "1010 a=w1 : b a?stale"}},
		{"a lower one later is ignored",
		 {"1000 =ab a=w2 b=t : a #1", "2000 b=w1 : a b?stale #1", "3000 b=w1 a=w2 : a #1"}},
		{"a lower one is not taken for want of a better one",
		 {"1000 =ab a=w2 b=r2 : a", "2000 a=x a=x b=w1 : stale-timeline b?stale",
		  "90000 b=w1 : stale-timeline"}},
		{"timelines do not go back when their server left",
		 {"1000 =ab a=w2 b=r1 : a", "2000 =b b=w1 : stale-timeline",
		  "3000 =bc c=w2 : c b?stale"}},
		{"nor when it was never routed to",
		 {"1000 =abc a=w3 b=t c=t : no-majority", "2000 a=x a=x b=w2 c=r2 : stale-timeline",
		  "3000 b=w3 : b"}},
		{"the leader itself on a lower one",
		 {"1000 =a a=w2 : a", "2000 a=w1 : stale-timeline"}},
		{"the leader itself on a higher one", {"1000 =a a=w2 : a #1", "2000 a=w3 : a #1"}},
	};

	scripts_run(scripts, ARRAY_LEN(scripts));
}

static void test_succession(void **state)
{
	static const struct script scripts[] = {
		{"promoted after the leader was last seen",
		 {"1000 =ab a=w1 b=r1 : a #1", "2000 b=w2 : b a?stale #2",
		  "2500 a=w1 : b a?stale #2 <9000"}},
		{"not heard before", {"1000 =ab a=w1 b=t : a", "2000 b=w2 : b"}},
		{"new among the members", {"1000 =a a=w1 : a", "2000 =ab b=w2 : b"}},
		{"asked before the leader was last seen, answered later",
		 {"1000 =ab a=w1 b=r1 : a", "2000 a=w1 : a", "2100 b=w2@1990 : contested",
		  "3000 a=w1 b=w2 : contested", "4000 a=x b=w2 : contested", "4010 a=x : b"}},
		{"asked at the same moment",
		 {"1000 =ab a=w1 b=r1 : a", "2000 a=w1 b=w2 : contested", "2100 a=r2 : b"}},
		{"contested until the other is not vouched for any more",
		 {"1000 =ab a=w1 b=r1 : a", "2000 a=w1 b=w2 : contested",
		  "8900 a=t@3000 b=w2 : contested", "9000 : b"}},
		{"contested until the other is no member any more",
		 {"1000 =ab a=w1 b=r1 : a", "2000 a=w1 b=w2 : contested", "3000 =b b=w2 : b"}},
		{"a third one, seen to follow, settles it",
		 {"1000 =abc a=w1 b=r1 c=r1 : a", "2000 a=w1 b=w2 : contested",
		  "3000 c=w3 : c a?stale b?stale"}},
		{"writable all the time: not seen promoted",
		 {"1000 =ab a=w2 b=t : a", "2000 b=w1 : a b?stale", "3000 b=w3 : contested",
		  "3500 a=w2 : contested", "4000 a=o : b"}},
		{"the same, but silent in between",
		 {"1000 =ab a=w2 b=t : a", "2000 b=w1 : a b?stale", "8000 a=w2 : a",
		  "9000 b=w3 : b"}},
	};

	scripts_run(scripts, ARRAY_LEN(scripts));
}

static void test_two_writable(void **state)
{
	static const struct script scripts[] = {
		{"on one timeline",
		 {"1000 =ab a=w1 b=r1 : a", "2000 b=w1 : two-writable a?writable b?writable hurry",
		  "3000 a=w1 b=w1 : two-writable", "4000 b=x : two-writable", "4010 b=x : a #2"}},
		{"on one timeline, at the start", {"1000 =ab a=w1 b=w1 : two-writable"}},
		{"a timeline is not known",
		 {"1000 =ab a=w5 b=r5 : a", "2000 b=w : two-writable", "3000 a=x a=x : b",
		  "4000 a=w5 : two-writable"}},
		{"no timeline is known",
		 {"1000 =ab a=w b=r : a b?standby", "2000 b=w : two-writable", "3000 a=r : b"}},
		{"an unknown one alone",
		 {"1000 =ab a=w b=t : a", "2000 a=w b=w1 : two-writable", "3000 a=x a=x : b",
		  "4000 b=x b=x a=w : a"}},
		{"the other of three is stale",
		 {"1000 =abc a=w2 b=w2 c=w1 : two-writable c?stale", "2000 b=r2 c=w1 : a"}},
	};

	scripts_run(scripts, ARRAY_LEN(scripts));
}

static void test_silence(void **state)
{
	static const struct script scripts[] = {
		{"the third silence in a row drops",
		 {"1000 =ab a=w1 b=r1 : a calm <8000", "3500 a=t@1500 : a hurry <8000",
		  "4000 a=t@2000 b=r1 : a", "4500 a=t@2500 : no-writable a?down",
		  "5000 a=t@3000 : no-writable", "5100 a=w1 : a #2 <12100"}},
		{"... in a row",
		 {"1000 =a a=w1 : a", "2000 a=t a=t : a", "3000 a=w1 : a", "4000 a=t a=t : a #1"}},
		{"the deadline holds without any answer",
		 {"1000 =a a=w1 : a <8000", "7999 : a", "8000 : no-answers a?unknown"}},
		{"... counted from when it was asked",
		 {"1000 =a : no-answers", "3000 a=w1@1200 : a <8200"}},
		{"one that cannot be asked keeps its seat until then",
		 {"1000 =ab a=w1 b=r1 : a", "2000 a=e a=e a=e a=e : a hurry b?standby",
		  "8000 a=e b=r1 : no-writable a?unaskable"}},
		{"the second refusal in a row drops",
		 {"1000 =ab a=w1 b=r1 : a", "2000 a=x : a hurry a!",
		  "2001 a=x : no-writable a?down"}},
		{"the first does not",
		 {"1000 =a a=w1 : a", "2000 a=x : a a!", "2001 a=w1 : a", "3000 a=x : a",
		  "3001 a=w1 : a #1 <10001 calm"}},
		{"a failure keeps from the seat, not in it",
		 {"1000 =abc a=w1 b=r1 c=r1 : a", "2000 b=x b=x c=x c=x : no-majority",
		  "2100 a=t : no-majority", "2200 b=r1 : uncertain", "2300 a=w1 : a"}},
	};

	scripts_run(scripts, ARRAY_LEN(scripts));
}

static void test_says_that_it_is_none(void **state)
{
	static const struct script scripts[] = {
		{"in recovery", {"1000 =ab a=w1 b=r1 : a", "2000 a=r1 : no-writable a?standby"}},
		{"read-only", {"1000 =ab a=w1 b=r1 : a", "2000 a=o1 : no-writable a?read-only"}},
		{"57P03",
		 {"1000 =ab a=w1 b=r1 : a", "2000 a=s : no-writable a?starting",
		  "3000 a=w1 : a #2"}},
		{"from the start", {"1000 =abc a=o1 b=s c=e : no-writable c?unaskable"}},
		{"cannot be asked from the start",
		 {"1000 =ab a=e b=e : no-answers a?unaskable", "2000 a=w1 : a"}},
	};

	scripts_run(scripts, ARRAY_LEN(scripts));
}

static void test_majority(void **state)
{
	static const struct script scripts[] = {
		{"one is enough of two", {"1000 =ab a=w1 b=t : a", "9000 a=w1 b=t : a"}},
		{"two of three",
		 {"1000 =abc a=w1 b=t c=t : no-majority", "2000 b=r1 : a",
		  "3000 b=x b=x : no-majority", "4000 c=r1 : a #2"}},
		{"three of four", {"1000 =abcd a=w1 b=r1 c=t d=t : no-majority", "2000 c=r1 : a"}},
		{"three of five",
		 {"1000 =abcde a=w1 b=r1 c=t d=t e=t : no-majority", "2000 e=r1 : a"}},
		{"57P03 and read-only answer, too",
		 {"1000 =abc a=w1 b=s c=t : a", "2000 =abc b=o1 c=t : a"}},
		{"who cannot be asked does not",
		 {"1000 =abc a=w1 b=e c=e : no-majority", "2000 c=r1 : a"}},
		{"who has no address does not",
		 {"1000 =aBC a=w1 : no-majority", "2000 =abC b=r1 : a"}},
		{"an address that comes twice is one member", {"1000 =aaa a=w1 : a"}},
		{"the answers of the others are a deadline, too",
		 {"1000 =abc a=w1 b=r1 c=r1 : a <8000", "2000 a=w1 : a <8000",
		  "3000 b=r1 : a <9000", "4000 c=r1 : a <9000", "5000 a=w1 : a <11000"}},
		{"... which is kept",
		 {"1000 =abc a=w1 b=r1 c=t : a", "7000 a=w1 : a <8000", "8000 : no-majority",
		  "8100 b=t c=r1 : a"}},
		{"two more members come",
		 {"1000 =a a=w1 : a", "2000 =abc : no-majority", "2100 b=r1 c=t : a #2"}},
	};

	scripts_run(scripts, ARRAY_LEN(scripts));
}

static void test_everybody_is_heard_first(void **state)
{
	static const struct script scripts[] = {
		{"all have answered", {"1000 =abc a=w1 b=r1 : asking", "1010 c=r1 : a"}},
		{"... or failed, or cannot be asked",
		 {"1000 =abc a=w1 b=t : no-majority", "1010 c=r1 : a"}},
		{"or one timeout has passed",
		 {"1000 =ab a=w1 : asking hurry", "2999 a=w1 : asking", "3000 : a"}},
		{"from when somebody could lead",
		 {"1000 =ab a=r1 : no-writable", "9000 a=w1 : asking", "10999 : asking",
		  "11000 : a"}},
		{"after a suspend, again",
		 {"1000 =ab a=w1 b=r1 : a", "90000 : no-answers", "90010 a=w1 : asking",
		  "90020 b=w2@90015 : b a?stale"}},
		{"answers of before a suspend vouch for nothing",
		 {"1000 =a a=w1 : a", "90000 a=w1@80000 : no-answers", "90001 a=w1 : a"}},
		{"a new member does not unseat, nor delay a promotion",
		 {"1000 =ab a=w1 b=r1 : a", "2000 =abc : a #1 b?standby", "3000 b=w2 : b"}},
		{"each time anew",
		 {"1000 =ab a=w : asking", "3000 : a", "4000 =abc c=w : two-writable",
		  "4100 a=r : asking", "6100 : c"}},
		{"but delays another on the same timeline",
		 {"1000 =ab a=w1 b=r1 : a", "2000 =bcd c=w1 : asking", "2100 d=r1 : c"}},
		{"or on an unknown one",
		 {"1000 =a a=w : a", "2000 =bc b=w : asking", "2100 c=r : b"}},
	};

	scripts_run(scripts, ARRAY_LEN(scripts));
}

static void test_members_change(void **state)
{
	static const struct script scripts[] = {
		{"the seat goes with the address",
		 {"1000 =ab a=w1 b=r1 : a #1", "2000 =ba : a #1 b?standby", "3000 =a : a #1",
		  "4000 =b : no-answers b?unknown", "5000 =ab : no-answers"}},
		{"who comes back is new",
		 {"1000 =ab a=w1 b=r1 : a", "2000 =b : no-writable",
		  "3000 =ab a=w1@2500 : no-writable", "3100 a=w1 : a #2"}},
		{"nobody", {"1000 =ab a=w1 b=r1 : a", "2000 = : no-members calm <0"}},
		{"answers of strangers", {"1000 =a a=w1 : a", "2000 b=w2 : a"}},
	};

	scripts_run(scripts, ARRAY_LEN(scripts));
}

static void test_order_of_answers(void **state)
{
	static const struct script scripts[] = {
		{"older than one that was taken",
		 {"1000 =ab a=w1 b=r1 : a", "3000 a=r1@2900 : no-writable",
		  "3100 a=w1@2500 : no-writable", "3200 a=w1@2900 : a"}},
		{"an old failure",
		 {"1000 =a a=w1 : a", "3000 a=w1@2900 : a", "3100 a=x@2000 a=x@2000 : a calm"}},
		{"of the future", {"1000 =a a=w1@1500 : no-answers", "1500 a=w1 : a"}},
		{"time does not go back",
		 {"1000 =a a=w1 : a", "9000 : no-answers", "2000 : no-answers",
		  "2001 a=w1@8990 : a <15990"}},
	};

	scripts_run(scripts, ARRAY_LEN(scripts));
}

static void test_roles_for_reads(void **state)
{
	static const struct script scripts[] = {
		{"a standby follows the leader's timeline or an older one",
		 {"1000 =abcd a=w2 b=r2 c=r1 d=r3 : a b?standby c?standby d?ahead hurry",
		  "2000 d=r : a d?standby"}},
		{"for as long as it was seen",
		 {"1000 =ab a=w1 b=r1 : a b?standby", "7999 a=w1 : a b?standby",
		  "8000 : a b?unknown", "9000 b=r1 : a b?standby", "9001 b=x : a b?standby",
		  "9002 b=x : a b?down"}},
		{"with nobody leading, too",
		 {"1000 =ab a=w2 b=r2 : a", "2000 a=x a=x : no-writable b?standby",
		  "3000 b=r3 : no-writable b?ahead", "4000 b=w3 : b"}},
	};

	scripts_run(scripts, ARRAY_LEN(scripts));
}

static void test_hurry_ends(void **state)
{
	static const struct script scripts[] = {
		{"without a leader",
		 {"1000 =a a=x a=x : no-answers hurry", "300999 : no-answers hurry",
		  "301000 a=x : no-answers calm", "400000 a=s : no-writable hurry",
		  "400100 a=w1 : a calm"}},
	};

	scripts_run(scripts, ARRAY_LEN(scripts));
}

static void test_hurry_begins_with_the_first_failure_after_a_long_time(void **state)
{
	struct election *e = election_new(&script_settings);
	int64_t now_ms = 1000;

	script_set_members(e, "a", now_ms);
	for (; now_ms < 2 * ELECTION_HURRY_MS; now_ms += 5000) {
		script_answer(e, "a=w1", now_ms);
		assert_false(election_decision(e)->hurry);
	}
	script_answer(e, "a=t", now_ms);
	assert_true(election_decision(e)->hurry && script_member(e, 'a')->hurry);
	election_free(&e);
}

static void test_an_address_may_change_its_name(void **state)
{
	struct election *e = election_new(&script_settings);
	const struct election_place renamed = {"other", "a:1"};

	script_set_members(e, "ab", 1000);
	script_answer(e, "b=r1", 1000);
	script_answer(e, "a=w1", 1000);
	assert_int_equal(election_set_members(e, &renamed, 1, 2000), 0);
	assert_string_equal(election_decision(e)->leader->name, "other");
	assert_int_equal(election_decision(e)->term, 1);
	election_free(&e);
}

static void test_lag_is_behind_the_leader(void **state)
{
	struct election *e = election_new(&script_settings);
	struct election_answer leader = {
		.address = "a:1", .outcome = ELECTION_WRITABLE, .sent_ms = 1000, .position = 5000};
	struct election_answer standby = {.address = "b:1",
					  .outcome = ELECTION_IN_RECOVERY,
					  .sent_ms = 1000,
					  .position = 4200};

	script_set_members(e, "ab", 1000);
	election_take_answer(e, &standby, 1000);
	assert_int_equal(script_member(e, 'b')->lag_bytes, -1);
	election_take_answer(e, &leader, 1000);
	assert_int_equal(script_member(e, 'b')->lag_bytes, 800);
	assert_int_equal(script_member(e, 'a')->lag_bytes, -1);
	leader.outcome = ELECTION_STARTING; /* its last word still counts */
	leader.position = 0;
	election_take_answer(e, &leader, 1000);
	assert_int_equal(script_member(e, 'b')->lag_bytes, 800);
	standby.position = 5100;
	election_take_answer(e, &standby, 1000);
	assert_int_equal(script_member(e, 'b')->lag_bytes, 0);
	standby.position = 0;
	election_take_answer(e, &standby, 1000);
	assert_int_equal(script_member(e, 'b')->lag_bytes, -1);
	election_free(&e);
}

static void test_time_alone_changes_things_when_told(void **state)
{
	struct election *e = election_new(&script_settings);

	assert_true(election_decision(e)->look_again_ms == INT64_MAX);
	script_set_members(e, "ab", 1000);
	assert_true(election_decision(e)->look_again_ms == INT64_MAX);
	script_answer(e, "a=w1", 1000);
	assert_int_equal(election_decision(e)->look_again_ms, 3000); /* the wait */
	election_tick(e, 3000);
	assert_int_equal(election_decision(e)->look_again_ms, 8000); /* its word */
	script_answer(e, "a=w1", 4000);
	script_answer(e, "b=r1", 5000);
	assert_int_equal(election_decision(e)->look_again_ms, 11000);
	election_tick(e, 11000);
	assert_int_equal(election_decision(e)->look_again_ms, 12000);
	election_free(&e);
}

static void test_a_deadline_that_passed_unseen_ends_the_term(void **state)
{
	struct election *e = election_new(&script_settings);

	script_set_members(e, "a", 1000);
	script_answer(e, "a=w1", 1000);
	assert_int_equal(election_decision(e)->term, 1);
	script_answer(e, "a=w1", 7999);
	assert_int_equal(election_decision(e)->term, 1);
	script_answer(e, "a=w1", 14999);
	assert_int_equal(election_decision(e)->term, 2);
	script_set_members(e, "ab", 21999);
	assert_null(election_decision(e)->leader);
	election_free(&e);
}

static void test_a_suspend_is_no_time_to_answer_in(void **state)
{
	struct election *e = election_new(&script_settings);

	script_set_members(e, "ab", 1000);
	script_answer(e, "a=w1", 1000);
	script_answer(e, "a=w1", 90000);
	assert_int_equal(election_decision(e)->reason, ELECTION_ASKING);
	election_tick(e, 92000);
	assert_int_equal(election_decision(e)->reason, ELECTION_ROUTED);
	election_free(&e);
}

static void check_text(struct election *e, const char *expected)
{
	char text[200];

	election_describe(e, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void test_what_is_wrong_is_named(void **state)
{
	struct election *e = election_new(&script_settings);

	script_set_members(e, "abc", 1000);
	script_answer(e, "a=w2", 1000);
	check_text(e, "no-majority: a (a:1, timeline 2), 1 of 3 members answer");
	script_answer(e, "b=w2", 1000);
	check_text(e, "two-writable: a (a:1, timeline 2) and b (b:1, timeline 2)");
	script_answer(e, "b=r2", 1000);
	script_answer(e, "c=w3/8", 1000);
	check_text(e, "routed: a (a:1, timeline 2)");
	assert_string_equal(election_role_name(ELECTION_ROLE_OTHER_SYSTEM), "other-system");
	assert_true(election_role_is_alarming(script_member(e, 'c')->role));
	script_answer(e, "a=s", 1001);
	check_text(e, "other-system: c (c:1, timeline 3, system 8), ours is 7");
	script_answer(e, "a=w1", 1002);
	check_text(e, "stale-timeline: a (a:1, timeline 1), timeline 2 was writable before");
	assert_true(election_reason_is_alarming(ELECTION_STALE_TIMELINE));
	char small[8];
	election_describe(e, small, sizeof(small));
	assert_string_equal(small, "stale-t");
	election_free(&e);
}

static void test_more_systems_than_are_remembered(void **state)
{
	struct election *e = election_new(&script_settings);
	char event[40];
	script_set_members(e, "ac", 1000);
	script_answer(e, "c=r1", 1000);
	for (int i = 1; i <= 20; i++) {
		snprintf(event, sizeof(event), "b=w%d/%d", i, i + 100);
		script_set_members(e, "abc", 1000);
		script_answer(e, "a=r1", 1000);
		script_answer(e, event, 1000);
		assert_int_equal(election_decision(e)->reason, ELECTION_OTHER_SYSTEM);
		script_set_members(e, "ac", 1000);
	}
	script_answer(e, "a=w1", 1000);
	assert_int_equal(election_decision(e)->reason, ELECTION_STALE_TIMELINE);
	election_free(&e);
	election_free(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_system),
		cmocka_unit_test(test_highest_timeline),
		cmocka_unit_test(test_succession),
		cmocka_unit_test(test_two_writable),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_says_that_it_is_none),
		cmocka_unit_test(test_majority),
		cmocka_unit_test(test_everybody_is_heard_first),
		cmocka_unit_test(test_members_change),
		cmocka_unit_test(test_order_of_answers),
		cmocka_unit_test(test_roles_for_reads),
		cmocka_unit_test(test_hurry_ends),
		cmocka_unit_test(test_hurry_begins_with_the_first_failure_after_a_long_time),
		cmocka_unit_test(test_an_address_may_change_its_name),
		cmocka_unit_test(test_lag_is_behind_the_leader),
		cmocka_unit_test(test_time_alone_changes_things_when_told),
		cmocka_unit_test(test_a_deadline_that_passed_unseen_ends_the_term),
		cmocka_unit_test(test_a_suspend_is_no_time_to_answer_in),
		cmocka_unit_test(test_what_is_wrong_is_named),
		cmocka_unit_test(test_more_systems_than_are_remembered),
	};

	return cmocka_run_group_tests_name("election", tests, NULL, NULL);
}
