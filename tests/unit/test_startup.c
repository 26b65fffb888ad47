/* wire/startup: every beginning of every first packet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "wire/startup.h"

#define CANCEL 80877102
#define SSL    80877103
#define GSSENC 80877104

static void put_u32(uint8_t *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* From memory of exactly that size: a sanitizer sees a read beyond it. */
static enum startup_kind classify(const uint8_t *bytes, size_t size, size_t *ret_size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	memcpy(copy, bytes, size);
	enum startup_kind kind = startup_classify(copy, size, ret_size);
	free(copy);
	return kind;
}

static void check(const uint8_t *bytes, size_t size, enum startup_kind wanted, size_t wanted_size)
{
	size_t told = 12345;
	enum startup_kind kind = classify(bytes, size, &told);

	if (kind != wanted || told != wanted_size)
		fail_msg("%zu bytes: %d and %zu, wanted %d and %zu", size, kind, told, wanted,
			 wanted_size);
}

static void check_short(const uint8_t *bytes, size_t sizes, size_t needed)
{
	for (size_t size = 0; size < sizes; size++)
		check(bytes, size, STARTUP_SHORT, size < 8 ? 8 : needed);
}

static void test_requests_for_encryption(void **state)
{
	static const uint32_t codes[] = {SSL, GSSENC};
	uint8_t bytes[20] = {0};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		put_u32(bytes, 8);
		put_u32(bytes + 4, codes[i]);
		check_short(bytes, 8, 0);
		check(bytes, 8, STARTUP_NEGOTIATION, 12345);
		check(bytes, sizeof(bytes), STARTUP_NEGOTIATION, 12345); /* more behind it */
		for (uint32_t length = 0; length < 20; length++) {
			put_u32(bytes, length);
			check(bytes, sizeof(bytes),
			      length == 8 ? STARTUP_NEGOTIATION : STARTUP_OTHER, 12345);
		}
	}
}

static void test_cancels_of_all_keys(void **state)
{
	uint8_t bytes[STARTUP_MAX_CANCEL + 10];

	for (uint32_t length = 0; length < sizeof(bytes); length++) {
		bool is_cancel = length >= 16 && length <= 268;

		memset(bytes, 0xff, sizeof(bytes));
		put_u32(bytes, length);
		put_u32(bytes + 4, CANCEL);
		if (!is_cancel) {
			check_short(bytes, 8, 0);
			check(bytes, 8, STARTUP_OTHER, 12345);
			check(bytes, sizeof(bytes), STARTUP_OTHER, 12345);
			continue;
		}
		check_short(bytes, length, length);
		check(bytes, length, STARTUP_CANCEL, length);
		check(bytes, sizeof(bytes), STARTUP_CANCEL, length); /* more behind it */
	}
	assert_int_equal(STARTUP_MAX_CANCEL, 268);
}

static void test_lengths_that_are_none(void **state)
{
	static const uint32_t lengths[] = {0x00010010, 0x00ffffff, 0x01000010, 0xffffffff,
					   0x80000010};
	uint8_t bytes[16] = {0};

	put_u32(bytes + 4, CANCEL);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		put_u32(bytes, lengths[i]);
		check(bytes, 8, STARTUP_OTHER, 12345);
		check(bytes, 16, STARTUP_OTHER, 12345);
	}
}

static void test_starts_of_sessions(void **state)
{
	static const uint32_t versions[] = {0x00020000, 0x00030000, 0x00030002,
					    0,          CANCEL - 1, GSSENC + 1};
	uint8_t bytes[40] = {0};

	memcpy(bytes + 8, "user\0me\0database\0test\0", 22);
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		put_u32(bytes, 31);
		put_u32(bytes + 4, versions[i]);
		check_short(bytes, 8, 0);
		for (size_t size = 8; size <= 31; size++)
			check(bytes, size, STARTUP_OTHER, 12345);
	}
}

static void test_what_cannot_begin_a_packet(void **state)
{
	static const uint8_t hello[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
	uint8_t bytes[20] = {0};

	for (size_t size = 1; size <= sizeof(hello); size++)
		check(hello, size, STARTUP_OTHER, 12345);
	for (unsigned first = 1; first < 256; first++) {
		bytes[0] = (uint8_t)first;
		put_u32(bytes + 4, CANCEL);
		check(bytes, 1, STARTUP_OTHER, 12345);
		check(bytes, sizeof(bytes), STARTUP_OTHER, 12345);
	}
	memset(bytes, 0, sizeof(bytes));
	check(bytes, sizeof(bytes), STARTUP_OTHER, 12345);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_for_encryption),
		cmocka_unit_test(test_cancels_of_all_keys),
		cmocka_unit_test(test_lengths_that_are_none),
		cmocka_unit_test(test_starts_of_sessions),
		cmocka_unit_test(test_what_cannot_begin_a_packet),
	};

	return cmocka_run_group_tests_name("startup", tests, NULL, NULL);
}
