/* net/dns_cache: how long an answer holds, what outlives it, what comes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "base/err.h"
#include "net/dns_cache.h"

#define MAX_TTL_MS 30000

static struct dns_cached cached;
static struct dns_answer answer;
static int64_t now_ms;

static int setup(void **state)
{
	memset(&cached, 0, sizeof(cached));
	dns_cached_init(&cached, DNS_PREFER_IPV4);
	now_ms = 1000000;
	return 0;
}

static int teardown(void **state)
{
	dns_cached_deinit(&cached);
	return 0;
}

/* The answer of one family: an error, or one address with a TTL. */
static void take(size_t part, int error, const char *address, int64_t ttl_s)
{
	struct dns_records records = {.ttl_s = ttl_s};

	if (address != NULL) {
		assert_int_equal(addr_parse_ip(address, 0, &records.addrs[0]), 0);
		records.count = 1;
	}
	dns_part_take(&cached.parts[part], error, &records, now_ms, MAX_TTL_MS);
	dns_records_deinit(&records);
}

static void assert_told(enum dns_prefer prefer, int64_t stale_ms, int error, const char *expected)
{
	char text[ADDR_TEXT_SIZE];
	char seen[200] = "";

	assert_int_equal(dns_cached_read(&cached, prefer, stale_ms, now_ms, &answer), error);
	for (size_t i = 0; error == 0 && i < answer.count; i++) {
		strcat(seen, addr_format(&answer.addrs[i], text));
		strcat(seen, " ");
	}
	assert_string_equal(seen, expected);
}

static void test_ttl_is_kept_within_its_bounds(void **state)
{
	assert_int_equal(dns_ttl_ms(0, MAX_TTL_MS), 1000);
	assert_int_equal(dns_ttl_ms(1, MAX_TTL_MS), 1000);
	assert_int_equal(dns_ttl_ms(5, MAX_TTL_MS), 5000);
	assert_int_equal(dns_ttl_ms(29, MAX_TTL_MS), 29000);
	assert_int_equal(dns_ttl_ms(30, MAX_TTL_MS), 30000);
	assert_int_equal(dns_ttl_ms(86400, MAX_TTL_MS), 30000);
	assert_int_equal(dns_ttl_ms(INT32_MAX, MAX_TTL_MS), 30000);
	assert_int_equal(dns_ttl_ms(2, 1500), 1500);
	assert_int_equal(dns_ttl_ms(2, 10), 1000);
}

static void test_preferred_family_comes_first(void **state)
{
	take(0, 0, "10.0.0.1", 5);
	take(1, 0, "fd::1", 5);
	assert_told(DNS_PREFER_UNSET, -1, 0, "10.0.0.1:0 [fd::1]:0 ");
	assert_told(DNS_PREFER_IPV4, -1, 0, "10.0.0.1:0 [fd::1]:0 ");
	assert_told(DNS_PREFER_IPV6, -1, 0, "[fd::1]:0 10.0.0.1:0 ");
}

static void test_one_family_alone_has_one_part(void **state)
{
	dns_cached_init(&cached, DNS_ONLY_IPV6);
	assert_int_equal(cached.count, 1);
	assert_int_equal(cached.parts[0].type, DNS_TYPE_AAAA);
	dns_cached_init(&cached, DNS_ONLY_IPV4);
	assert_int_equal(cached.count, 1);
	assert_int_equal(cached.parts[0].type, DNS_TYPE_A);
}

static void test_nothing_is_known_before_both_have_answered(void **state)
{
	assert_told(DNS_PREFER_IPV4, -1, -EINPROGRESS, "");
	take(0, ERR_NO_NAME, NULL, 0);
	assert_told(DNS_PREFER_IPV4, -1, -EINPROGRESS, "");
	assert_false(dns_cached_is_complete(&cached));
	take(1, ERR_NO_NAME, NULL, 0);
	assert_told(DNS_PREFER_IPV4, -1, ERR_NO_NAME, "");
	assert_true(dns_cached_is_complete(&cached));
}

static void test_name_is_gone_only_if_both_families_say_so(void **state)
{
	take(0, ERR_NO_NAME, NULL, 0);
	take(1, ERR_DNS, NULL, 0);
	assert_told(DNS_PREFER_IPV4, -1, ERR_DNS, "");
}

static void test_failing_servers_leave_the_last_answer(void **state)
{
	take(0, 0, "10.0.0.1", 5);
	take(1, 0, "fd::1", 5);
	now_ms += 3600000;
	take(0, ERR_DNS, NULL, 0);
	take(1, ERR_DNS, NULL, 0);
	assert_told(DNS_PREFER_IPV4, -1, 0, "10.0.0.1:0 [fd::1]:0 ");
	/* One family alone fails: the other one's news is taken all the same. */
	take(0, 0, "10.0.0.2", 5);
	assert_told(DNS_PREFER_IPV4, -1, 0, "10.0.0.2:0 [fd::1]:0 ");
}

static void test_name_that_is_gone_is_kept_only_for_who_wants_it(void **state)
{
	take(0, 0, "10.0.0.1", 5);
	take(1, ERR_NO_NAME, NULL, 0);
	now_ms += 5000;
	take(0, ERR_NO_NAME, NULL, 0);
	assert_told(DNS_PREFER_IPV4, -1, ERR_NO_NAME, "");
	assert_told(DNS_PREFER_IPV4, 0, ERR_NO_NAME, "");
	assert_told(DNS_PREFER_IPV4, 60000, 0, "10.0.0.1:0 ");
	now_ms += 55000;
	assert_told(DNS_PREFER_IPV4, 60000, ERR_NO_NAME, "");
	take(0, 0, "10.0.0.2", 5);
	assert_told(DNS_PREFER_IPV4, -1, 0, "10.0.0.2:0 ");
}

static void test_family_that_is_gone_is_not_kept_beside_the_other(void **state)
{
	take(0, 0, "10.0.0.1", 5);
	take(1, 0, "fd::1", 5);
	take(0, ERR_NO_NAME, NULL, 0);
	assert_told(DNS_PREFER_IPV4, 60000, 0, "[fd::1]:0 ");
}

static void test_next_round_begins_before_the_answer_expires(void **state)
{
	take(0, 0, "10.0.0.1", 5);
	take(1, 0, "fd::1", 10);
	assert_int_equal(dns_cached_expires_ms(&cached), now_ms + 5000);
	assert_int_equal(dns_cached_refresh_ms(&cached, now_ms), now_ms + 4000);
}

static void test_missing_family_does_not_hasten_the_other(void **state)
{
	take(0, 0, "10.0.0.1", 20);
	take(1, ERR_NO_NAME, NULL, 0);
	assert_int_equal(dns_cached_expires_ms(&cached), now_ms + 20000);
	take(1, ERR_DNS, NULL, 0);
	assert_int_equal(dns_cached_expires_ms(&cached), now_ms + 20000);
}

static void test_failure_is_tried_again_soon(void **state)
{
	take(0, 0, "10.0.0.1", 20);
	take(1, 0, "fd::1", 20);
	take(1, ERR_DNS, NULL, 0);
	assert_int_equal(dns_cached_expires_ms(&cached), now_ms + DNS_RETRY_MS);
	take(0, ERR_NO_NAME, NULL, 0);
	take(1, ERR_NO_NAME, NULL, 0);
	assert_int_equal(dns_cached_expires_ms(&cached), now_ms + DNS_NEGATIVE_TTL_MS);
}

static void test_text_is_kept_as_addresses_are(void **state)
{
	struct dns_records records = {.ttl_s = 5, .count = 1};

	dns_cached_deinit(&cached);
	memset(&cached, 0, sizeof(cached));
	dns_cached_init_text(&cached);
	assert_int_equal(strbuf_append(&records.text, "iad,ord", 7), 0);
	dns_part_take(&cached.parts[0], 0, &records, now_ms, MAX_TTL_MS);
	dns_records_deinit(&records);
	dns_part_take(&cached.parts[0], ERR_DNS, NULL, now_ms, MAX_TTL_MS);
	assert_int_equal(dns_cached_read(&cached, DNS_PREFER_UNSET, -1, now_ms, &answer), 0);
	assert_int_equal(answer.text_size, 7);
	assert_memory_equal(answer.text, "iad,ord", 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ttl_is_kept_within_its_bounds),
		TEST(test_preferred_family_comes_first),
		TEST(test_one_family_alone_has_one_part),
		TEST(test_nothing_is_known_before_both_have_answered),
		TEST(test_name_is_gone_only_if_both_families_say_so),
		TEST(test_failing_servers_leave_the_last_answer),
		TEST(test_name_that_is_gone_is_kept_only_for_who_wants_it),
		TEST(test_family_that_is_gone_is_not_kept_beside_the_other),
		TEST(test_next_round_begins_before_the_answer_expires),
		TEST(test_missing_family_does_not_hasten_the_other),
		TEST(test_failure_is_tried_again_soon),
		TEST(test_text_is_kept_as_addresses_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
