/* net/dns_message: answers with addresses, aliases, texts, and bytes that are none;
 * net/dns_hosts: lines of a hosts file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>

#include "base/err.h"
#include "net/dns_hosts.h"

#define TYPE_CNAME 5
#define TYPE_SOA   6

static uint8_t message[16384];
static size_t size;
static struct dns_records records;

static void put(const void *data, size_t length)
{
	assert_true(size + length <= sizeof(message));
	memcpy(message + size, data, length);
	size += length;
}

static void put_u16(unsigned value)
{
	uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};

	put(bytes, 2);
}

static void put_name(const char *name)
{
	while (*name != '\0') {
		size_t length = strcspn(name, ".");
		uint8_t byte = (uint8_t)length;
		put(&byte, 1);
		put(name, length);
		name += length + (name[length] == '.');
	}
	put("", 1);
}

/* A question for a name, and how many records follow it. */
static void begin(const char *name, unsigned flags, unsigned answers, unsigned authorities)
{
	size = 0;
	put_u16(7);
	put_u16(flags);
	put_u16(1);
	put_u16(answers);
	put_u16(authorities);
	put_u16(0);
	put_name(name);
	put_u16(DNS_TYPE_A);
	put_u16(1);
}

static void put_record(const char *name, unsigned type, uint32_t ttl, const void *data,
		       size_t length)
{
	put_name(name);
	put_u16(type);
	put_u16(1);
	put_u16(ttl >> 16);
	put_u16(ttl & 0xffff);
	put_u16((unsigned)length);
	put(data, length);
}

static void put_a(const char *name, uint32_t ttl, const char *address)
{
	struct in_addr in;

	inet_pton(AF_INET, address, &in);
	put_record(name, DNS_TYPE_A, ttl, &in, sizeof(in));
}

static void put_alias(const char *name, uint32_t ttl, const char *target)
{
	put_record(name, TYPE_CNAME, ttl, "", 0);
	size_t begin_of_data = size;
	put_name(target);
	message[begin_of_data - 1] = (uint8_t)(size - begin_of_data);
}

static int read_as(enum dns_type type)
{
	dns_records_deinit(&records);
	/* A block of exactly its size, so that sanitizers see overruns. */
	uint8_t *copy = malloc(size);
	memcpy(copy, message, size);
	int r = dns_message_read(copy, size, type, &records);
	free(copy);
	return r;
}

static void assert_addr(size_t index, const char *expected)
{
	char text[ADDR_TEXT_SIZE];

	assert_true(index < records.count);
	assert_string_equal(addr_format(&records.addrs[index], text), expected);
}

static void test_addresses_keep_their_order_and_the_lowest_ttl(void **state)
{
	begin("db.test", 0x8180, 4, 0);
	put_a("db.test", 30, "10.0.0.3");
	put_a("DB.Test", 5, "10.0.0.1");
	put_a("other.test", 1, "10.0.0.9");
	put_a("db.test", 60, "10.0.0.2");
	assert_int_equal(read_as(DNS_TYPE_A), 0);
	assert_int_equal(records.count, 3);
	assert_addr(0, "10.0.0.3:0");
	assert_addr(1, "10.0.0.1:0");
	assert_addr(2, "10.0.0.2:0");
	assert_int_equal(records.ttl_s, 5);
}

static void test_only_the_type_asked_for_is_taken(void **state)
{
	struct in6_addr in6 = IN6ADDR_LOOPBACK_INIT;

	begin("db.test", 0x8180, 2, 0);
	put_a("db.test", 30, "10.0.0.3");
	put_record("db.test", DNS_TYPE_AAAA, 9, &in6, sizeof(in6));
	assert_int_equal(read_as(DNS_TYPE_AAAA), 0);
	assert_int_equal(records.count, 1);
	assert_addr(0, "[::1]:0");
	assert_int_equal(records.ttl_s, 9);
}

static void test_aliases_are_followed_in_any_order(void **state)
{
	begin("a.test", 0x8180, 3, 0);
	put_a("c.test", 30, "10.0.0.3");
	put_alias("b.test", 7, "C.test");
	put_alias("a.test", 20, "b.test");
	assert_int_equal(read_as(DNS_TYPE_A), 0);
	assert_int_equal(records.count, 1);
	assert_int_equal(records.ttl_s, 7);
	assert_string_equal(records.alias, "");
}

static void test_alias_that_leads_away_is_told(void **state)
{
	begin("a.test", 0x8180, 1, 0);
	put_alias("a.test", 20, "far.example");
	assert_int_equal(read_as(DNS_TYPE_A), 0);
	assert_int_equal(records.count, 0);
	assert_string_equal(records.alias, "far.example.");
	assert_int_equal(records.ttl_s, 20);
	/* With the zone's word for it that there is no more. */
	begin("a.test", 0x8180, 1, 1);
	put_alias("a.test", 20, "far.example");
	put_record("example", TYPE_SOA, 20, "x", 1);
	assert_int_equal(read_as(DNS_TYPE_A), ERR_NO_NAME);
}

static void test_alias_loop_ends(void **state)
{
	begin("a.test", 0x8180, 2, 0);
	put_alias("a.test", 20, "b.test");
	put_alias("b.test", 20, "a.test");
	assert_int_equal(read_as(DNS_TYPE_A), -ELOOP);
	begin("a.test", 0x8180, 1, 0);
	put_alias("a.test", 20, "a.test");
	assert_int_equal(read_as(DNS_TYPE_A), -ELOOP);
}

static void test_result_codes_are_told_apart(void **state)
{
	begin("db.test", 0x8183, 0, 0);
	assert_int_equal(read_as(DNS_TYPE_A), ERR_NO_NAME);
	begin("db.test", 0x8180, 0, 0);
	assert_int_equal(read_as(DNS_TYPE_A), ERR_NO_NAME);
	begin("db.test", 0x8182, 0, 0);
	assert_int_equal(read_as(DNS_TYPE_A), ERR_DNS);
	begin("db.test", 0x8185, 0, 0);
	assert_int_equal(read_as(DNS_TYPE_A), ERR_DNS);
	begin("db.test", 0x0100, 0, 0); /* a question */
	assert_int_equal(read_as(DNS_TYPE_A), ERR_SYNTAX);
}

static void test_more_addresses_than_fit_are_left_out(void **state)
{
	begin("db.test", 0x8180, DNS_MAX_ADDRESSES + 9, 0);
	for (unsigned i = 0; i < DNS_MAX_ADDRESSES + 9; i++)
		put_a("db.test", 30, "10.0.0.3");
	assert_int_equal(read_as(DNS_TYPE_A), 0);
	assert_int_equal(records.count, DNS_MAX_ADDRESSES);
}

static void test_cut_anywhere_it_is_refused(void **state)
{
	begin("a.test", 0x8180, 2, 0);
	put_alias("a.test", 7, "b.test");
	put_a("b.test", 30, "10.0.0.3");
	for (size_t whole = size; size > 0;) {
		size--;
		assert_int_equal(read_as(DNS_TYPE_A), ERR_SYNTAX);
		assert_true(size < whole);
	}
}

static void test_name_that_points_to_itself_is_refused(void **state)
{
	begin("db.test", 0x8180, 1, 0);
	size_t here = size;
	put_u16(0xc000 | (unsigned)here);
	put("\0\1\0\1\0\0\0\1\0\4\1\2\3\4", 14);
	assert_int_equal(read_as(DNS_TYPE_A), ERR_SYNTAX);
}

static void test_address_of_another_length_is_refused(void **state)
{
	begin("db.test", 0x8180, 1, 0);
	put_record("db.test", DNS_TYPE_A, 30, "12345", 5);
	assert_int_equal(read_as(DNS_TYPE_A), ERR_SYNTAX);
}

static void test_ttl_with_the_top_bit_counts_as_0(void **state)
{
	begin("db.test", 0x8180, 1, 0);
	put_a("db.test", 0x80000001, "10.0.0.3");
	assert_int_equal(read_as(DNS_TYPE_A), 0);
	assert_int_equal(records.ttl_s, 0);
}

static void test_strings_of_a_text_are_joined(void **state)
{
	char text[600];
	uint8_t data[sizeof(text) + 3];
	size_t used = 0;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	for (size_t at = 0; at < sizeof(text); at += 255) {
		size_t length = sizeof(text) - at < 255 ? sizeof(text) - at : 255;
		data[used++] = (uint8_t)length;
		memcpy(data + used, text + at, length);
		used += length;
	}
	begin("vms.db.internal", 0x8180, 2, 0);
	put_record("vms.db.internal", DNS_TYPE_TXT, 5, data, used);
	put_record("vms.db.internal", DNS_TYPE_TXT, 5, "\3xyz", 4);
	assert_int_equal(read_as(DNS_TYPE_TXT), 0);
	assert_int_equal(records.text.size, sizeof(text) + 4);
	assert_memory_equal(records.text.data, text, sizeof(text));
	assert_string_equal(records.text.data + sizeof(text), ",xyz");
	begin("vms.db.internal", 0x8180, 1, 0);
	put_record("vms.db.internal", DNS_TYPE_TXT, 5, "\4xyz", 4);
	assert_int_equal(read_as(DNS_TYPE_TXT), ERR_SYNTAX);
}

static void assert_items(const char *text, const char *expected)
{
	size_t left = strlen(text);
	struct dns_item item;
	char seen[200] = "";

	while (dns_item_next(&text, &left, &item)) {
		size_t at = strlen(seen);
		snprintf(seen + at, sizeof(seen) - at, "[%.*s|%.*s]", (int)item.name_length,
			 item.name, (int)item.value_length, item.value);
	}
	assert_string_equal(seen, expected);
}

static void test_lists_are_taken_apart(void **state)
{
	assert_items("683d iad,9185 ord", "[683d|iad][9185|ord]");
	assert_items("iad,ord", "[iad|][ord|]");
	assert_items(" a  b c ,, ,\td\te\n", "[a|b c][d|e]");
	assert_items("", "");
	assert_items(",", "");
}

static void assert_hosts(const char *text, const char *name, int family, const char *expected)
{
	struct dns_records found = {0};
	char address[ADDR_TEXT_SIZE];
	char seen[200] = "";

	dns_hosts_find(text, strlen(text), name, family, &found);
	for (size_t i = 0; i < found.count; i++) {
		size_t at = strlen(seen);
		snprintf(seen + at, sizeof(seen) - at, "%s ",
			 addr_format(&found.addrs[i], address));
	}
	assert_string_equal(seen, expected);
}

static void test_hosts_file_is_read_as_it_is_written(void **state)
{
	static const char text[] = "# 10.9.9.9 db\n"
				   "127.0.0.1\tlocalhost other # db\n"
				   "\n"
				   "  10.0.0.1 a.test DB\r\n"
				   "10.0.0.2 dba xdb\n"
				   "rubbish db\n"
				   "10.0.0.3 x db.\n"
				   "10.0.0.1 db\n"
				   "fdaa::3 fly-local-6pn db";

	assert_hosts(text, "db", AF_INET, "10.0.0.1:0 10.0.0.3:0 ");
	assert_hosts(text, "db.", AF_INET6, "[fdaa::3]:0 ");
	assert_hosts(text, "fly-local-6pn", AF_INET6, "[fdaa::3]:0 ");
	assert_hosts(text, "fly-local-6pn", AF_INET, "");
	assert_hosts(text, "localhost", AF_INET, "127.0.0.1:0 ");
	assert_hosts(text, "rubbish", AF_INET, "");
	assert_hosts("", "db", AF_INET, "");
}

static int teardown(void **state)
{
	dns_records_deinit(&records);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_keep_their_order_and_the_lowest_ttl),
		cmocka_unit_test(test_only_the_type_asked_for_is_taken),
		cmocka_unit_test(test_aliases_are_followed_in_any_order),
		cmocka_unit_test(test_alias_that_leads_away_is_told),
		cmocka_unit_test(test_alias_loop_ends),
		cmocka_unit_test(test_result_codes_are_told_apart),
		cmocka_unit_test(test_more_addresses_than_fit_are_left_out),
		cmocka_unit_test(test_cut_anywhere_it_is_refused),
		cmocka_unit_test(test_name_that_points_to_itself_is_refused),
		cmocka_unit_test(test_address_of_another_length_is_refused),
		cmocka_unit_test(test_ttl_with_the_top_bit_counts_as_0),
		cmocka_unit_test(test_strings_of_a_text_are_joined),
		cmocka_unit_test(test_lists_are_taken_apart),
		cmocka_unit_test(test_hosts_file_is_read_as_it_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
