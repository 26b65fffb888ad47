/* net/dns against a name server that the test plays: what is asked, when, and what
 * is told meanwhile. */
#include "dns_stand.h"

#include <errno.h>

#include "base/clock.h"
#include "base/err.h"

static void on_told(int error, const struct dns_answer *answer, void *arg)
{
	struct told *t = arg;

	t->count++;
	t->error = error;
	t->answer = *answer;
	if (error == 0 && answer->text != NULL)
		snprintf(t->text, sizeof(t->text), "%.*s", (int)answer->text_size, answer->text);
	if (t->cancels)
		dns_cancel(&t->lookup);
}

static void look_up_as(struct stand *s, struct told *t, struct dns_request request)
{
	t->count = 0;
	if (request.timeout_ms == 0)
		request.timeout_ms = 5000;
	assert_int_equal(dns_lookup(s->dns, &request, on_told, t, &t->lookup), 0);
	assert_int_equal(t->count, 0);
}

static bool is_told(void *arg)
{
	return ((struct told *)arg)->count > 0;
}

static void look_up(struct stand *s, const char *name)
{
	look_up_as(s, &s->told, (struct dns_request){.name = name});
	rig_run_until(s->rig, is_told, &s->told);
}

static void follow(struct stand *s, const char *name)
{
	struct dns_request request = {.name = name, .timeout_ms = 5000};

	assert_int_equal(dns_follow(s->dns, &request, on_told, &s->told, &s->told.lookup), 0);
	rig_run_until(s->rig, is_told, &s->told);
}

static void assert_told(const struct told *t, const char *expected)
{
	char text[ADDR_TEXT_SIZE];
	char seen[300] = "";

	assert_int_equal(t->error, 0);
	for (size_t i = 0; i < t->answer.count; i++) {
		strcat(seen, addr_format(&t->answer.addrs[i], text));
		strcat(seen, " ");
	}
	assert_string_equal(seen, expected);
}

static void test_valid_answer_is_told_at_once_and_nobody_is_asked(void **state)
{
	struct stand *s = *state;

	s->entries[0] = (struct entry){"db.test.", DNS_TYPE_A, 30, "10.0.0.1"};
	look_up(s, "db.test");
	assert_told(&s->told, "10.0.0.1:0 ");
	assert_int_equal(s->asked, 2);
	s->silent = true;
	for (int i = 0; i < 100; i++) {
		look_up_as(s, &s->told, (struct dns_request){.name = "DB.test"});
		event_base_loop(s->rig->loop.base, EVLOOP_ONCE);
		assert_int_equal(s->told.count, 1);
	}
	assert_told(&s->told, "10.0.0.1:0 ");
	assert_int_equal(s->asked, 2);
}

static void test_many_who_wait_for_a_name_ask_once(void **state)
{
	struct stand *s = *state;
	struct told told[20] = {0};

	s->entries[0] = (struct entry){"db.test.", DNS_TYPE_A, 30, "10.0.0.1"};
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		look_up_as(s, &told[i], (struct dns_request){.name = "db.test"});
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		rig_run_until(s->rig, is_told, &told[i]);
		assert_told(&told[i], "10.0.0.1:0 ");
	}
	assert_int_equal(s->asked, 2);
}

static void test_family_alone_is_asked_alone(void **state)
{
	struct stand *s = *state;

	s->entries[0] = (struct entry){"db.test.", DNS_TYPE_A, 30, "10.0.0.1"};
	s->entries[1] = (struct entry){"db.test.", DNS_TYPE_AAAA, 30, "fd::1"};
	look_up_as(s, &s->told, (struct dns_request){.name = "db.test", .prefer = DNS_ONLY_IPV6});
	rig_run_until(s->rig, is_told, &s->told);
	assert_told(&s->told, "[fd::1]:0 ");
	assert_int_equal(s->asked, 1);
	assert_int_equal(s->asked_types[0], DNS_TYPE_AAAA);
	look_up_as(s, &s->told, (struct dns_request){.name = "db.test", .prefer = DNS_PREFER_IPV6});
	rig_run_until(s->rig, is_told, &s->told);
	assert_told(&s->told, "[fd::1]:0 10.0.0.1:0 ");
	look_up(s, "db.test");
	assert_told(&s->told, "10.0.0.1:0 [fd::1]:0 ");
}

static bool is_told_new(void *arg)
{
	struct told *t = arg;

	return t->error == 0 && t->answer.addrs[0].in.sin_addr.s_addr == htonl(0x0a000002);
}

static void test_followed_name_is_asked_again_before_it_expires(void **state)
{
	struct stand *s = *state;

	s->entries[0] = (struct entry){"db.test.", DNS_TYPE_A, 1, "10.0.0.1"};
	follow(s, "db.test");
	int64_t began_ms = clock_boot_ms();
	s->entries[0].value = "10.0.0.2";
	rig_run_until(s->rig, is_told_new, &s->told);
	assert_in_range(clock_boot_ms() - began_ms, 500, 1500);
	dns_cancel(&s->told.lookup);
}

static void test_name_out_of_use_is_left_alone(void **state)
{
	struct stand *s = *state;

	s->entries[0] = (struct entry){"db.test.", DNS_TYPE_A, 1, "10.0.0.1"};
	look_up(s, "db.test");
	rig_run_for(s->rig, 1500);
	assert_int_equal(s->asked, 2);
	s->entries[0].value = "10.0.0.2";
	look_up(s, "db.test");
	assert_told(&s->told, "10.0.0.2:0 ");
}

static void expect_after_expiry(struct stand *s, bool keeps_gone, int error)
{
	s->entries[0] = (struct entry){"db.test.", DNS_TYPE_A, 1, "10.0.0.1"};
	unsigned rcode = s->rcode;
	s->rcode = 0;
	look_up(s, "db.test");
	s->rcode = rcode;
	rig_run_for(s->rig, 1100);
	look_up_as(s, &s->told, (struct dns_request){.name = "db.test", .keeps_gone = keeps_gone});
	rig_run_until(s->rig, is_told, &s->told);
	assert_int_equal(s->told.error, error);
	if (error == 0)
		assert_told(&s->told, "10.0.0.1:0 ");
}

static void test_last_answer_stays_while_the_server_fails(void **state)
{
	struct stand *s = *state;

	s->rcode = SERVFAIL;
	expect_after_expiry(s, false, 0);
}

static void test_name_that_is_gone_is_gone_at_once(void **state)
{
	struct stand *s = *state;

	s->rcode = NXDOMAIN;
	expect_after_expiry(s, false, ERR_NO_NAME);
}

static void test_name_that_is_gone_stays_for_who_keeps_it(void **state)
{
	struct stand *s = *state;

	s->rcode = NXDOMAIN;
	expect_after_expiry(s, true, 0);
}

static void test_what_is_not_there_is_not_asked_for_again_at_once(void **state)
{
	struct stand *s = *state;

	s->rcode = NXDOMAIN;
	look_up(s, "nobody.test");
	assert_int_equal(s->told.error, ERR_NO_NAME);
	unsigned asked = s->asked;
	look_up(s, "nobody.test");
	assert_int_equal(s->told.error, ERR_NO_NAME);
	assert_int_equal(s->asked, asked);
}

static void test_silent_server_costs_the_time_out(void **state)
{
	struct stand *s = *state;
	int64_t began_ms = clock_boot_ms();

	s->silent = true;
	look_up_as(s, &s->told, (struct dns_request){.name = "db.test", .timeout_ms = 300});
	rig_run_until(s->rig, is_told, &s->told);
	assert_int_equal(s->told.error, ERR_DNS);
	assert_in_range(clock_boot_ms() - began_ms, 250, 900);
}

static void test_family_that_is_not_answered_does_not_cost_the_other(void **state)
{
	struct stand *s = *state;
	int64_t began_ms = clock_boot_ms();

	s->entries[0] = (struct entry){"db.test.", DNS_TYPE_A, 30, "10.0.0.1"};
	s->silent_type = DNS_TYPE_AAAA;
	look_up(s, "db.test");
	assert_told(&s->told, "10.0.0.1:0 ");
	assert_in_range(clock_boot_ms() - began_ms, 0, 900);
}

static void test_alias_is_asked_for_where_it_leads(void **state)
{
	struct stand *s = *state;

	s->entries[0] = (struct entry){"a.test.", TYPE_CNAME, 30, "b.test."};
	s->entries[1] = (struct entry){"b.test.", TYPE_CNAME, 30, "c.example."};
	s->entries[2] = (struct entry){"c.example.", DNS_TYPE_A, 30, "10.0.0.3"};
	look_up(s, "a.test");
	assert_told(&s->told, "10.0.0.3:0 ");
}

static void test_aliases_in_a_circle_end(void **state)
{
	struct stand *s = *state;

	s->entries[0] = (struct entry){"a.test.", TYPE_CNAME, 30, "b.test."};
	s->entries[1] = (struct entry){"b.test.", TYPE_CNAME, 30, "a.test."};
	look_up(s, "a.test");
	assert_int_equal(s->told.error, ERR_DNS);
	assert_in_range(s->asked, 2, 40);
}

static void test_text_is_read(void **state)
{
	struct stand *s = *state;

	s->entries[0] = (struct entry){"vms.app.internal.", DNS_TYPE_TXT, 5, "683d iad,918 ord"};
	look_up_as(s, &s->told, (struct dns_request){.name = "vms.app.internal", .is_text = true});
	rig_run_until(s->rig, is_told, &s->told);
	assert_int_equal(s->told.error, 0);
	assert_string_equal(s->told.text, "683d iad,918 ord");
	look_up(s, "vms.app.internal"); /* its addresses are another matter */
	assert_int_equal(s->told.error, ERR_NO_NAME);
}

static void test_hosts_file_comes_first_and_its_changes_count(void **state)
{
	struct stand *s = *state;

	write_hosts(s, "fdaa::5 fly-local-6pn\n10.0.0.1 db.test\n");
	look_up(s, "fly-local-6pn");
	assert_told(&s->told, "[fdaa::5]:0 ");
	s->told.count = 0;
	follow(s, "db.test");
	assert_told(&s->told, "10.0.0.1:0 ");
	int64_t began_ms = clock_boot_ms();
	write_hosts(s, "10.0.0.2 db.test\n");
	rig_run_until(s->rig, is_told_new, &s->told);
	assert_in_range(clock_boot_ms() - began_ms, 0, 900);
	assert_int_equal(s->asked, 0);
	dns_cancel(&s->told.lookup);
}

static bool is_told_old(void *arg)
{
	struct told *t = arg;

	return t->error == 0 && t->answer.addrs[0].in.sin_addr.s_addr == htonl(0x0a000001);
}

static void test_hosts_file_that_is_replaced_goes_on_counting(void **state)
{
	struct stand *s = *state;
	char next[80];

	snprintf(next, sizeof(next), "%s.new", s->hosts);
	write_hosts(s, "10.0.0.1 db.test\n");
	follow(s, "db.test");
	for (int i = 0; i < 2; i++) {
		/* Written in place, where the folder's watch sees nothing; the watch on
		 * the file has to be on the new one. */
		write_hosts(s, "10.0.0.2 db.test\n");
		rig_run_until(s->rig, is_told_new, &s->told);
		write_file(next, "10.0.0.1 db.test\n");
		assert_int_equal(rename(next, s->hosts), 0);
		rig_run_until(s->rig, is_told_old, &s->told);
	}
	dns_cancel(&s->told.lookup);
}

static void test_lookups_end_in_their_callback_and_with_everything(void **state)
{
	struct stand *s = *state;

	s->entries[0] = (struct entry){"db.test.", DNS_TYPE_A, 1, "10.0.0.1"};
	s->told.cancels = true;
	follow(s, "db.test");
	assert_null(s->told.lookup);
	s->silent = true;
	look_up_as(s, &s->told, (struct dns_request){.name = "other.test"});
	look_up_as(s, &s->other, (struct dns_request){.name = "other.test"});
	dns_cancel(&s->other.lookup);
	rig_run_for(s->rig, 50);
	assert_int_equal(s->told.count, 0);
	dns_close(&s->dns); /* what is asked for is forgotten */
	assert_int_equal(dns_open(&s->rig->loop, &s->settings, &s->dns), 0);
}

static void test_peek_shows_what_is_valid(void **state)
{
	struct stand *s = *state;
	struct dns_request request = {.name = "db.test", .timeout_ms = 5000};
	struct dns_answer answer;

	s->entries[0] = (struct entry){"db.test.", DNS_TYPE_A, 30, "10.0.0.1"};
	assert_int_equal(dns_follow(s->dns, &request, on_told, &s->told, &s->told.lookup), 0);
	assert_int_equal(dns_peek(s->told.lookup, &answer), -EINPROGRESS);
	rig_run_until(s->rig, is_told, &s->told);
	assert_int_equal(dns_follow(s->dns, &request, on_told, &s->other, &s->other.lookup), 0);
	assert_int_equal(dns_peek(s->other.lookup, &answer), 0);
	assert_int_equal(answer.count, 1);
	dns_cancel(&s->told.lookup);
	dns_cancel(&s->other.lookup);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_valid_answer_is_told_at_once_and_nobody_is_asked),
		TEST(test_many_who_wait_for_a_name_ask_once),
		TEST(test_family_alone_is_asked_alone),
		TEST(test_followed_name_is_asked_again_before_it_expires),
		TEST(test_name_out_of_use_is_left_alone),
		TEST(test_last_answer_stays_while_the_server_fails),
		TEST(test_name_that_is_gone_is_gone_at_once),
		TEST(test_name_that_is_gone_stays_for_who_keeps_it),
		TEST(test_what_is_not_there_is_not_asked_for_again_at_once),
		TEST(test_silent_server_costs_the_time_out),
		TEST(test_family_that_is_not_answered_does_not_cost_the_other),
		TEST(test_alias_is_asked_for_where_it_leads),
		TEST(test_aliases_in_a_circle_end),
		TEST(test_text_is_read),
		TEST(test_hosts_file_comes_first_and_its_changes_count),
		TEST(test_hosts_file_that_is_replaced_goes_on_counting),
		TEST(test_lookups_end_in_their_callback_and_with_everything),
		TEST(test_peek_shows_what_is_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
