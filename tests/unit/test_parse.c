/* base/parse: numbers, booleans and durations as Go reads them, sizes as PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/parse.h"

static void test_durations_read_as_in_go(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t ns;
	} cases[] = {
		{"5s", 0, 5000000000},
		{"1m30s", 0, 90000000000},
		{"500ms", 0, 500000000},
		{"1.5h", 0, 5400000000000},
		{".5s", 0, 500000000},
		{"1.s", 0, 1000000000},
		{"0", 0, 0},
		{"-0", 0, 0},
		{"-2s", 0, -2000000000},
		{"+2s", 0, 2000000000},
		{"1h2m3s4ms5us6ns", 0, 3723004005006},
		{"3\xc2\xb5s", 0, 3000},
		{"3\xce\xbcs", 0, 3000},
		{"0.3333333333333333333h", 0, 1200000000000},
		{"9223372036854775807ns", 0, INT64_MAX},
		{"5", ERR_UNIT, 0},
		{"1m5", ERR_UNIT, 0},
		{"", ERR_SYNTAX, 0},
		{"-", ERR_SYNTAX, 0},
		{"s", ERR_SYNTAX, 0},
		{".s", ERR_SYNTAX, 0},
		{"5x", ERR_SYNTAX, 0},
		{"5 s", ERR_SYNTAX, 0},
		{" 5s", ERR_SYNTAX, 0},
		{"9223372036854775808ns", ERR_RANGE, 0},
		{"3000000h", ERR_RANGE, 0},
		{"99999999999999999999s", ERR_RANGE, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ns = 0;
		int r = parse_duration(cases[i].text, &ns);
		if (r != cases[i].result || ns != cases[i].ns)
			fail_msg("\"%s\": %d, %lld ns", cases[i].text, r, (long long)ns);
	}
}

static void test_integers_are_whole_and_in_range(void **state)
{
	int64_t value = 0;

	assert_int_equal(parse_int("42", 0, 100, &value), 0);
	assert_int_equal(value, 42);
	assert_int_equal(parse_int("-1", -5, 5, &value), 0);
	assert_int_equal(value, -1);
	assert_int_equal(parse_int("101", 0, 100, &value), ERR_RANGE);
	assert_int_equal(parse_int("99999999999999999999", 0, INT64_MAX, &value), ERR_RANGE);
	assert_int_equal(parse_int("4x", 0, 100, &value), ERR_SYNTAX);
	assert_int_equal(parse_int("", 0, 100, &value), ERR_SYNTAX);
	assert_int_equal(parse_int(" 4", 0, 100, &value), ERR_SYNTAX);
	assert_int_equal(value, -1); /* failures leave it alone */
}

static void test_booleans_read_as_in_go(void **state)
{
	bool value = false;

	assert_int_equal(parse_bool("true", &value), 0);
	assert_true(value);
	assert_int_equal(parse_bool("F", &value), 0);
	assert_false(value);
	assert_int_equal(parse_bool("yes", &value), ERR_SYNTAX);
	assert_int_equal(parse_bool("", &value), ERR_SYNTAX);
}

static void test_sizes_read_as_in_postgresql(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t bytes;
	} cases[] = {
		{"16MB", 0, 16777216},
		{"16mb", 0, 16777216},
		{"16 MB", 0, 16777216},
		{"1kB", 0, 1024},
		{"1KB", 0, 1024},
		{"512B", 0, 512},
		{"512b", 0, 512},
		{"0B", 0, 0},
		{"2GB", 0, 2147483648},
		{"3TB", 0, 3298534883328},
		{"1.5GB", 0, 1610612736},
		{".5kB", 0, 512},
		{"0.9B", 0, 0},
		{"9223372036854775807B", 0, INT64_MAX},
		{"9223372036854775808B", ERR_RANGE, 0},
		{"18446744073709551616B", ERR_RANGE, 0},
		{"8388608TB", ERR_RANGE, 0},
		{"99999999999TB", ERR_RANGE, 0},
		{"16777215.99999999999999999999TB", ERR_RANGE, 0},
		{"16", ERR_UNIT, 0},
		{"16 ", ERR_UNIT, 0},
		{"0", ERR_UNIT, 0},
		{"", ERR_SYNTAX, 0},
		{"MB", ERR_SYNTAX, 0},
		{".MB", ERR_SYNTAX, 0},
		{"16M", ERR_SYNTAX, 0},
		{"16MiB", ERR_SYNTAX, 0},
		{"16MB ", ERR_SYNTAX, 0},
		{"16MB1kB", ERR_SYNTAX, 0},
		{" 16MB", ERR_SYNTAX, 0},
		{"-16MB", ERR_SYNTAX, 0},
		{"+16MB", ERR_SYNTAX, 0},
		{"0x10MB", ERR_SYNTAX, 0},
		{"10s", ERR_SYNTAX, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t bytes = 0;
		int r = parse_bytes(cases[i].text, &bytes);
		if (r != cases[i].result || bytes != cases[i].bytes)
			fail_msg("\"%s\": %d, %llu bytes", cases[i].text, r,
				 (unsigned long long)bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations_read_as_in_go),
		cmocka_unit_test(test_integers_are_whole_and_in_range),
		cmocka_unit_test(test_booleans_read_as_in_go),
		cmocka_unit_test(test_sizes_read_as_in_postgresql),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
