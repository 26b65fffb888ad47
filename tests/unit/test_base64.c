/* base/base64: RFC 4648's own examples, every length, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/err.h"

static const struct {
	const char *bytes;
	size_t size;
	const char *text;
} pairs[] = {
	{"", 0, ""},
	{"f", 1, "Zg=="},
	{"fo", 2, "Zm8="},
	{"foo", 3, "Zm9v"},
	{"foob", 4, "Zm9vYg=="},
	{"fooba", 5, "Zm9vYmE="},
	{"foobar", 6, "Zm9vYmFy"},
	{"/service/demo/leader", 20, "L3NlcnZpY2UvZGVtby9sZWFkZXI="},
	{"\xfb\xff\xfe", 3, "+//+"}, /* not the alphabet of URLs */
	{"\0\0\0", 3, "AAAA"},
	{"\0", 1, "AA=="},
};

static void test_known_pairs_in_both_directions(void **state)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct strbuf text = {0};
		struct strbuf bytes = {0};

		assert_int_equal(base64_encode(&text, pairs[i].bytes, pairs[i].size), 0);
		assert_string_equal(text.data, pairs[i].text);
		assert_int_equal(text.size, strlen(pairs[i].text));
		assert_int_equal(base64_decode(&bytes, text.data, text.size), 0);
		assert_int_equal(bytes.size, pairs[i].size);
		assert_memory_equal(bytes.data, pairs[i].bytes, pairs[i].size);
		strbuf_deinit(&text);
		strbuf_deinit(&bytes);
	}
}

static void test_any_bytes_of_any_length_come_back(void **state)
{
	uint8_t data[513];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t size = 0; size <= sizeof(data); size++) {
		struct strbuf text = {0};
		struct strbuf bytes = {0};

		assert_int_equal(strbuf_append(&text, "<", 1), 0); /* both append */
		assert_int_equal(base64_encode(&text, data, size), 0);
		assert_int_equal(text.size, 1 + (size + 2) / 3 * 4);
		assert_int_equal(strbuf_append(&bytes, "<", 1), 0);
		assert_int_equal(base64_decode(&bytes, text.data + 1, text.size - 1), 0);
		assert_int_equal(bytes.size, 1 + size);
		assert_memory_equal(bytes.data + 1, data, size);
		assert_int_equal(bytes.data[bytes.size], '\0');
		strbuf_deinit(&text);
		strbuf_deinit(&bytes);
	}
}

static void test_what_is_not_base64_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[] = {
		"Z",        "Zg",       "Zg=",  "Zm9vY",    "====",     "Z===",
		"=Zg=",     "Zg==Zg==", "Zm9-", "Zm_v",     "Zm 9",     "Zm9v\n",
		"Zm9vYg=a", "Zm9\xff",  "Z=g=", "Zm9v====", "\n\n\n\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct strbuf bytes = {0};

		assert_int_equal(strbuf_append(&bytes, "kept", 4), 0);
		if (base64_decode(&bytes, bad[i], strlen(bad[i])) != ERR_SYNTAX)
			fail_msg("%s", bad[i]);
		assert_int_equal(bytes.size, 4);
		strbuf_deinit(&bytes);
	}
	struct strbuf bytes = {0};
	assert_int_equal(base64_decode(&bytes, "Zm\0v", 4), ERR_SYNTAX);
	strbuf_deinit(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_pairs_in_both_directions),
		cmocka_unit_test(test_any_bytes_of_any_length_come_back),
		cmocka_unit_test(test_what_is_not_base64_is_refused_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
