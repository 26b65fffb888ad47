/* base/log_line: the three formats, quoting, and lines that do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/log_line.h"

#define LINE_SIZE 4000
#define END                                                                                        \
	{                                                                                          \
		LOG_FIELD_END, NULL, NULL, 0                                                       \
	}

/* 2026-11-24 07:08:09.012 UTC */
#define WALL                                                                                       \
	{                                                                                          \
		1795504089, 12345678                                                               \
	}

static const char *format(enum log_format kind, bool color, enum log_level level,
			  const char *message, const struct log_field *fields)
{
	static char line[LINE_SIZE + 1];
	struct log_event event = {level, "../src/worker/worker.c", 42, message, fields, WALL};
	size_t length = log_line_format(&event, kind, color, line, LINE_SIZE);

	line[length] = '\0';
	assert_int_equal(strlen(line), length);
	return line;
}

static void test_logfmt(void **state)
{
	const struct log_field fields[] = {
		log_text("a", "plain-1:2/3"), log_text("b", "two words"),  log_text("c", ""),
		log_text("absent", NULL),     log_number("n", -5),         log_text("d", "x=y"),
		log_stolon("other words"),    log_text("e", "say \"hi\""), END,
	};

	assert_string_equal(
		format(LOG_FORMAT_LOGFMT, false, LOG_LEVEL_INFO, "session 7: closed", fields),
		"time=2026-11-24T07:08:09.012Z level=info msg=\"session 7: closed\" "
		"a=plain-1:2/3 b=\"two words\" c=\"\" n=-5 d=\"x=y\" "
		"e=\"say \\\"hi\\\"\"\n");
}

static void test_json(void **state)
{
	const struct log_field fields[] = {
		log_stolon("other words"), log_text("a", "b\\c\t\n\x01\x7f"),
		log_number("n", INT64_MIN), log_text("absent", NULL), END};

	assert_string_equal(format(LOG_FORMAT_JSON, false, LOG_LEVEL_WARN, "m", fields),
			    "{\"time\":\"2026-11-24T07:08:09.012Z\",\"level\":\"warn\","
			    "\"msg\":\"m\",\"a\":\"b\\\\c\\t\\n\\u0001\\u007f\","
			    "\"n\":-9223372036854775808}\n");
}

static void test_stolon(void **state)
{
	const struct log_field fields[] = {log_stolon("proxying to master address"),
					   log_text("address", "10.0.0.1:5432"),
					   log_number("generation", 7), END};
	const struct log_field none[] = {log_stolon(NULL), log_text("absent", NULL), END};

	assert_string_equal(format(LOG_FORMAT_STOLON, false, LOG_LEVEL_INFO, "ours", fields),
			    "2026-11-24T07:08:09.012Z\tINFO\tworker.c:42\t"
			    "proxying to master address\t"
			    "{\"address\":\"10.0.0.1:5432\",\"generation\":7}\n");
	assert_string_equal(format(LOG_FORMAT_STOLON, true, LOG_LEVEL_ERROR, "ours", none),
			    "2026-11-24T07:08:09.012Z\t\033[31mERROR\033[0m\tworker.c:42\tours\n");
}

static void test_every_level_has_its_names(void **state)
{
	static const char *const names[][2] = {
		{"level=error ", "\tERROR\t"},
		{"level=warn ", "\tWARN\t"},
		{"level=info ", "\tINFO\t"},
		{"level=debug ", "\tDEBUG\t"},
	};
	const struct log_field none[] = {END};

	for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		const char *line =
			format(LOG_FORMAT_LOGFMT, false, (enum log_level)level, "", none);
		assert_non_null(strstr(line, names[level][0]));
		line = format(LOG_FORMAT_STOLON, false, (enum log_level)level, "", none);
		assert_non_null(strstr(line, names[level][1]));
	}
}

/* Every line is one line, and its JSON part is an object. */
static json_t *json_of(enum log_format kind, const char *line, size_t length)
{
	json_error_t error;
	const char *begin = line;

	assert_true(length > 0 && line[length - 1] == '\n');
	assert_ptr_equal(memchr(line, '\n', length), line + length - 1);
	if (kind == LOG_FORMAT_STOLON) {
		for (int i = 0; i < 4 && begin != NULL; i++) {
			begin = memchr(begin, '\t', length - (size_t)(begin - line));
			begin = begin == NULL ? NULL : begin + 1;
		}
		if (begin == NULL)
			return NULL; /* no fields */
	}
	json_t *json =
		json_loadb(begin, length - (size_t)(begin - line), JSON_REJECT_DUPLICATES, &error);
	if (json == NULL)
		fail_msg("%s: %.*s", error.text, (int)length, line);
	assert_true(json_is_object(json));
	return json;
}

/* All formats into every size from the smallest allowed: in a block of just
 * that size, so that a sanitizer sees an overrun. */
static void check_all_sizes(const char *message, const struct log_field *fields)
{
	struct log_event event = {LOG_LEVEL_INFO, "src/base/log_line.c", 7, message, fields, WALL};

	for (size_t size = LOG_LINE_MIN; size < 1200; size++) {
		AUTO_FREE char *line = malloc(size);
		assert_non_null(line);
		for (int kind = LOG_FORMAT_LOGFMT; kind <= LOG_FORMAT_STOLON; kind++) {
			size_t length =
				log_line_format(&event, (enum log_format)kind, true, line, size);
			assert_true(length <= size);
			if (kind == LOG_FORMAT_LOGFMT)
				assert_ptr_equal(memchr(line, '\n', length), line + length - 1);
			else
				json_decref(json_of((enum log_format)kind, line, length));
		}
	}
}

static void fill(char *text, size_t size, const char *pattern)
{
	size_t length = strlen(pattern);

	for (size_t i = 0; i + 1 < size; i++)
		text[i] = pattern[i % length];
	text[size - 1] = '\0';
}

static void test_cut_lines_are_valid(void **state)
{
	static const char *const patterns[] = {
		"x",    "\"",       "\\",           "\n",
		"\x01", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x98",
		"\xff", "a\"\x02"};
	char longest[900];

	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		fill(longest, sizeof(longest), patterns[i]);
		const struct log_field one[] = {log_text("key", longest), END};
		const struct log_field many[] = {
			log_text("a", "b"),          log_text("first", longest),
			log_text("second", longest), log_number("n", 1234567),
			log_text("third", longest),  END};
		check_all_sizes("short", one);
		check_all_sizes("short", many);
		/* A message is a constant: of control characters it has none. */
		if (strpbrk(longest, "\n\x01\x02") == NULL)
			check_all_sizes(longest, many);
	}
}

static void test_fields_are_lost_whole_and_from_the_end(void **state)
{
	char value[200];
	char line[LOG_LINE_MIN];
	fill(value, sizeof(value), "v");
	const struct log_field fields[] = {log_text("a", value), log_text("b", value),
					   log_text("c", value), log_text("d", "w"), END};
	struct log_event event = {LOG_LEVEL_INFO, "f.c", 1, "m", fields, WALL};

	size_t length = log_line_format(&event, LOG_FORMAT_JSON, false, line, sizeof(line));
	json_t *json = json_of(LOG_FORMAT_JSON, line, length);
	assert_string_equal(json_string_value(json_object_get(json, "a")), value);
	assert_string_equal(json_string_value(json_object_get(json, "b")), value);
	assert_null(json_object_get(json, "c"));
	assert_null(json_object_get(json, "d")); /* no gaps */
	json_decref(json);
}

static void test_a_long_value_is_cut_rather_than_lost(void **state)
{
	char value[2000];
	char line[1000];
	fill(value, sizeof(value), "0123456789");
	const struct log_field fields[] = {log_text("error", value), log_number("count", 3), END};
	struct log_event event = {LOG_LEVEL_INFO, "f.c", 1, "m", fields, WALL};

	size_t length = log_line_format(&event, LOG_FORMAT_JSON, false, line, sizeof(line));
	json_t *json = json_of(LOG_FORMAT_JSON, line, length);
	assert_int_equal(json_integer_value(json_object_get(json, "count")), 3);
	const char *kept = json_string_value(json_object_get(json, "error"));
	assert_true(strlen(kept) >= 400);
	assert_memory_equal(kept, value, strlen(kept));
	json_decref(json);
}

static void test_bytes_that_are_no_text_are_replaced(void **state)
{
	static const struct {
		const char *bytes;
		const char *text;
	} cases[] = {
		{"caf\xc3\xa9", "caf\xc3\xa9"},
		{"\xf0\x9f\x90\x98", "\xf0\x9f\x90\x98"},
		{"\xff", "\xef\xbf\xbd"},
		{"a\xc3", "a\xef\xbf\xbd"},
		{"\xc3(", "\xef\xbf\xbd("},
		{"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
		{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
		{"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct log_field fields[] = {log_text("k", cases[i].bytes), END};
		const char *line = format(LOG_FORMAT_JSON, false, LOG_LEVEL_INFO, "m", fields);
		json_t *json = json_of(LOG_FORMAT_JSON, line, strlen(line));
		assert_string_equal(json_string_value(json_object_get(json, "k")), cases[i].text);
		json_decref(json);
		line = format(LOG_FORMAT_LOGFMT, false, LOG_LEVEL_INFO, "m", fields);
		assert_non_null(strstr(line, " k=\""));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logfmt),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_stolon),
		cmocka_unit_test(test_every_level_has_its_names),
		cmocka_unit_test(test_cut_lines_are_valid),
		cmocka_unit_test(test_fields_are_lost_whole_and_from_the_end),
		cmocka_unit_test(test_a_long_value_is_cut_rather_than_lost),
		cmocka_unit_test(test_bytes_that_are_no_text_are_replaced),
	};

	return cmocka_run_group_tests_name("log_line", tests, NULL, NULL);
}
