/* base/strbuf: growth, termination, bytes that are no text, and what is left
 * after a failure. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"

static void test_it_is_always_terminated(void **state)
{
	struct strbuf b;
	char expected[1001];

	strbuf_init(&b);
	assert_null(b.data);
	for (size_t i = 0; i < 1000; i++) {
		expected[i] = (char)('a' + i % 26);
		expected[i + 1] = '\0';
		assert_int_equal(strbuf_append(&b, &expected[i], 1), 0);
		assert_int_equal(b.size, i + 1);
		assert_true(b.capacity > b.size);
		assert_string_equal(b.data, expected);
	}
	strbuf_clear(&b);
	assert_int_equal(b.size, 0);
	assert_string_equal(b.data, "");
	strbuf_deinit(&b);
	assert_null(b.data);
}

static void test_any_bytes_are_kept(void **state)
{
	struct strbuf b;
	uint8_t bytes[256];

	strbuf_init(&b);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(strbuf_append(&b, bytes, sizeof(bytes)), 0);
	assert_int_equal(strbuf_append(&b, bytes, 0), 0);
	assert_int_equal(strbuf_append(&b, bytes, sizeof(bytes)), 0);
	assert_int_equal(b.size, 512);
	assert_memory_equal(b.data, bytes, sizeof(bytes));
	assert_memory_equal(b.data + 256, bytes, sizeof(bytes));
	strbuf_deinit(&b);
}

static void test_printf_appends_at_every_length(void **state)
{
	for (int length = 0; length < 300; length++) {
		struct strbuf b;

		strbuf_init(&b);
		assert_int_equal(strbuf_printf(&b, "%s", "<"), 0);
		assert_int_equal(strbuf_printf(&b, "%0*d", length, 0), 0);
		size_t digits = length > 0 ? (size_t)length : 1;
		assert_int_equal(b.size, 1 + digits);
		assert_int_equal(strlen(b.data), b.size);
		assert_int_equal(strspn(b.data + 1, "0"), digits);
		strbuf_deinit(&b);
	}
}

static void test_too_much_is_refused_and_changes_nothing(void **state)
{
	struct strbuf b;

	strbuf_init(&b);
	assert_int_equal(strbuf_append(&b, "kept", 4), 0);
	assert_int_equal(strbuf_reserve(&b, SIZE_MAX), -ENOMEM);
	assert_int_equal(strbuf_reserve(&b, SIZE_MAX / 2), -ENOMEM);
	assert_string_equal(b.data, "kept");
	assert_int_equal(b.size, 4);
	strbuf_deinit(&b);
}

static void test_reserved_room_can_be_written_to(void **state)
{
	struct strbuf b;

	strbuf_init(&b);
	assert_int_equal(strbuf_reserve(&b, 1000), 0);
	memset(b.data, 'x', 1000);
	b.size = 1000;
	assert_int_equal(strbuf_append(&b, "y", 2), 0);
	assert_int_equal(strlen(b.data), 1001);
	strbuf_deinit(&b);
}

static void test_taken_bytes_belong_to_the_taker(void **state)
{
	struct strbuf b;

	strbuf_init(&b);
	assert_null(strbuf_take(&b));
	assert_int_equal(strbuf_append(&b, "mine", 4), 0);
	AUTO_FREE char *taken = strbuf_take(&b);
	assert_null(b.data);
	assert_int_equal(b.size, 0);
	assert_int_equal(strbuf_append(&b, "new", 3), 0);
	assert_string_equal(taken, "mine");
	strbuf_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_is_always_terminated),
		cmocka_unit_test(test_any_bytes_are_kept),
		cmocka_unit_test(test_printf_appends_at_every_length),
		cmocka_unit_test(test_too_much_is_refused_and_changes_nothing),
		cmocka_unit_test(test_reserved_room_can_be_written_to),
		cmocka_unit_test(test_taken_bytes_belong_to_the_taker),
	};

	return cmocka_run_group_tests_name("strbuf", tests, NULL, NULL);
}
