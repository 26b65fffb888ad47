/* net/addr: literals, ports, texts and comparisons. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/addr.h"

static struct addr parse(const char *text, uint16_t port)
{
	struct addr addr;

	if (addr_parse_ip(text, port, &addr) < 0)
		fail_msg("%s", text);
	return addr;
}

static void test_literals_print_as_what_they_are(void **state)
{
	static const struct {
		const char *literal;
		const char *text;
	} cases[] = {
		{"10.0.0.1", "10.0.0.1:5432"},
		{"0.0.0.0", "0.0.0.0:5432"},
		{"::", "[::]:5432"},
		{"::1", "[::1]:5432"},
		{"[::1]", "[::1]:5432"},
		{"2001:DB8:0:0:0:0:0:1", "[2001:db8::1]:5432"},
		{"fe80::1%lo", "[fe80::1%lo]:5432"},
		{"[fe80::1%1]", "[fe80::1%lo]:5432"},
		{"fe80::1%4000000", "[fe80::1%4000000]:5432"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:5432"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[ADDR_TEXT_SIZE];
		struct addr addr = parse(cases[i].literal, 5432);

		assert_string_equal(addr_format(&addr, text), cases[i].text);
		assert_int_equal(addr_port(&addr), 5432);
		addr_set_port(&addr, 65535);
		assert_int_equal(addr_port(&addr), 65535);
	}
}

static void test_what_is_no_literal_may_be_a_name(void **state)
{
	static const char *const cases[] = {
		"",
		"localhost",
		"10.0.0",
		"10.0.0.256",
		"10.0.0.1.2",
		"010.0.0.1",
		"[::1",
		"::1]",
		"[]",
		"1::2::3",
		":",
		"[10.0.0.1]x",
		"fe80::1%",
		"fe80::1%0",
		"fe80::1%-1",
		"10.0.0.1%lo",
		"fe80::1%no-such-zone",
		"fe80::1%lo%lo",
		"10.0.0.1 ",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff:0000",
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr addr;
		int r = addr_parse_ip(cases[i], 1, &addr);

		if (r != ERR_SYNTAX)
			fail_msg("%s: %d", cases[i], r);
	}
}

static void test_other_families_print_as_words(void **state)
{
	char text[ADDR_TEXT_SIZE];
	struct addr addr = {0};

	assert_string_equal(addr_format(&addr, text), "-");
	assert_int_equal(addr_port(&addr), 0);
	addr.sa.sa_family = AF_UNIX;
	assert_string_equal(addr_format(&addr, text), "unix");
	assert_int_equal(addr_port(&addr), 0);
}

static void test_ports_are_numbers_or_services(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint16_t port;
	} cases[] = {
		{"1", 0, 1},
		{"5432", 0, 5432},
		{"65535", 0, 65535},
		{"0", ERR_RANGE, 0},
		{"65536", ERR_RANGE, 0},
		{"70000", ERR_RANGE, 0},
		{"-1", ERR_RANGE, 0},
		{"99999999999999999999", ERR_RANGE, 0},
		{"", ERR_SYNTAX, 0},
		{"no-such-service", ERR_NO_NAME, 0},
		{"5432 ", ERR_NO_NAME, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint16_t port = 0;
		int r = addr_parse_port(cases[i].text, &port);

		if (r != cases[i].result || port != cases[i].port)
			fail_msg("\"%s\": %d, %u", cases[i].text, r, port);
	}
}

static void test_equal_means_the_same_peer(void **state)
{
	static const struct {
		const char *a;
		uint16_t a_port;
		const char *b;
		uint16_t b_port;
		bool equal;
	} cases[] = {
		{"10.0.0.1", 1, "10.0.0.1", 1, true},
		{"10.0.0.1", 1, "10.0.0.1", 2, false},
		{"10.0.0.1", 1, "10.0.0.2", 1, false},
		{"::1", 1, "::1", 1, true},
		{"::1", 1, "::2", 1, false},
		{"::1", 1, "::1", 2, false},
		{"::ffff:10.0.0.1", 1, "10.0.0.1", 1, true},
		{"10.0.0.1", 1, "::ffff:10.0.0.1", 1, true},
		{"::ffff:10.0.0.1", 1, "::ffff:10.0.0.2", 1, false},
		{"::ffff:10.0.0.1", 1, "10.0.0.1", 2, false},
		{"::10.0.0.1", 1, "10.0.0.1", 1, false},
		{"0.0.0.0", 1, "::", 1, false},
		{"fe80::1%1", 1, "fe80::1%1", 1, true},
		{"fe80::1%1", 1, "fe80::1%2", 1, false},
		{"fe80::1%1", 1, "fe80::1", 1, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr a = parse(cases[i].a, cases[i].a_port);
		struct addr b = parse(cases[i].b, cases[i].b_port);

		if (addr_equal(&a, &b) != cases[i].equal)
			fail_msg("%s %u, %s %u", cases[i].a, cases[i].a_port, cases[i].b,
				 cases[i].b_port);
	}
	struct addr none = {0};
	assert_false(addr_equal(&none, &none));
}

static void test_any_and_local(void **state)
{
	static const struct {
		const char *text;
		bool any;
		bool local;
	} cases[] = {
		{"0.0.0.0", true, true},
		{"::ffff:0.0.0.0", true, true},
		{"127.0.0.1", false, true},
		{"127.9.8.7", false, true},
		{"::ffff:127.0.0.1", false, true},
		{"192.0.2.1", false, false}, /* for documentation only */
		{"2001:db8::1", false, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr addr = parse(cases[i].text, 5432);

		if (addr_is_any(&addr) != cases[i].any || addr_is_local(&addr) != cases[i].local)
			fail_msg("%s", cases[i].text);
		assert_int_equal(addr_port(&addr), 5432);
	}
	struct addr any6 = parse("::", 1);
	assert_true(addr_is_any(&any6));
}

/* In a network of this test's own; as the last test, since it stays there. */
static void test_further_addresses_of_a_subnet_are_local(void **state)
{
	if (unshare(CLONE_NEWNET) < 0 ||
	    system("ip link set lo up && ip addr add 10.9.0.1/24 dev lo && "
		   "ip addr add 10.9.0.2/24 dev lo") != 0)
		skip();
	const struct addr first = parse("10.9.0.1", 5432);
	const struct addr second = parse("10.9.0.2", 5432);
	const struct addr other = parse("10.9.0.3", 5432);
	assert_true(addr_is_local(&first));
	assert_true(addr_is_local(&second));
	assert_false(addr_is_local(&other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_literals_print_as_what_they_are),
		cmocka_unit_test(test_what_is_no_literal_may_be_a_name),
		cmocka_unit_test(test_other_families_print_as_words),
		cmocka_unit_test(test_ports_are_numbers_or_services),
		cmocka_unit_test(test_equal_means_the_same_peer),
		cmocka_unit_test(test_any_and_local),
		cmocka_unit_test(test_further_addresses_of_a_subnet_are_local),
	};

	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
