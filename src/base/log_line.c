/* Log lines as text: logfmt, JSON and stolon's. Called by whichever thread
 * logs, so it allocates nothing. */
#include "base/log_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

/* A writer that stops at its end and remembers that it did. */
struct out {
	char *data;
	size_t size;
	size_t capacity;
	size_t longest; /* of a single message or value */
	bool full;
};

static void put(struct out *o, const char *text, size_t length)
{
	size_t room = o->capacity - o->size;

	if (length > room) {
		length = room;
		o->full = true;
	}
	memcpy(o->data + o->size, text, length);
	o->size += length;
}

static void put_text(struct out *o, const char *text)
{
	put(o, text, strlen(text));
}

static void PRINTF_LIKE(2, 3) put_format(struct out *o, const char *format, ...)
{
	char buffer[128];
	va_list args;

	va_start(args, format);
	int length = vsnprintf(buffer, sizeof(buffer), format, args);
	va_end(args);
	if (length >= (int)sizeof(buffer))
		length = sizeof(buffer) - 1;
	if (length > 0)
		put(o, buffer, (size_t)length);
}

/* How many bytes of well-formed UTF-8 the character at p has, 0 if it is none. */
static size_t utf8_length(const unsigned char *p)
{
	/* The second byte excludes overlong forms, surrogates and what is past
	 * U+10FFFF; a NUL is no continuation, so this never reads past the end. */
	unsigned char least = *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : 0x80;
	unsigned char most = *p == 0xed ? 0x9f : *p == 0xf4 ? 0x8f : 0xbf;
	size_t length = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;

	if (length <= 1 || *p > 0xf4)
		return *p > 0xf4 ? 0 : length;
	if (p[1] < least || p[1] > most)
		return 0;
	for (size_t i = 2; i < length; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

#define PIECE_SIZE 8

/* Writes the next character as it stands in quotes and returns how many bytes
 * of text it took. */
static size_t quote_one(const unsigned char *p, char piece[static PIECE_SIZE], size_t *ret_length)
{
	size_t length = utf8_length(p);
	int written = (int)length;

	if (length == 0)
		written = snprintf(piece, PIECE_SIZE, "\xef\xbf\xbd");
	else if (*p == '"' || *p == '\\')
		written = snprintf(piece, PIECE_SIZE, "\\%c", *p);
	else if (*p == '\n' || *p == '\t')
		written = snprintf(piece, PIECE_SIZE, "\\%c", *p == '\n' ? 'n' : 't');
	else if (*p < 0x20 || *p == 0x7f)
		written = snprintf(piece, PIECE_SIZE, "\\u%04x", *p);
	else
		memcpy(piece, p, length);
	*ret_length = (size_t)written;
	return length == 0 ? 1 : length;
}

/* A quoted string that holds no control character: valid in JSON and logfmt. */
static void put_quoted(struct out *o, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t begin = o->size;
	char piece[PIECE_SIZE];
	size_t length;

	put(o, "\"", 1);
	while (*p != '\0') {
		p += quote_one(p, piece, &length);
		if (o->size - begin + length > o->longest)
			break;
		put(o, piece, length);
	}
	put(o, "\"", 1);
}

/* logfmt leaves the quotes out where nothing needs them. */
static void put_value(struct out *o, const char *text)
{
	bool plain = *text != '\0';

	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if (*p <= ' ' || *p == '"' || *p == '=' || *p == '\\' || *p >= 0x7f)
			plain = false;
	}
	if (plain && strlen(text) <= o->longest)
		put_text(o, text);
	else
		put_quoted(o, text);
}

static void put_time(struct out *o, const struct timespec *wall)
{
	struct tm utc;

	gmtime_r(&wall->tv_sec, &utc);
	put_format(o, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
		   utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
		   (int)(wall->tv_nsec / 1000000));
}

static bool field_is_shown(const struct log_field *f)
{
	return f->type == LOG_FIELD_NUMBER || (f->type == LOG_FIELD_TEXT && f->text != NULL);
}

static void put_json_fields(struct out *o, const struct log_field *f, bool first)
{
	for (; f->type != LOG_FIELD_END; f++) {
		size_t before = o->size;

		if (!field_is_shown(f))
			continue;
		if (!first)
			put(o, ",", 1);
		put_quoted(o, f->key);
		put(o, ":", 1);
		if (f->type == LOG_FIELD_NUMBER)
			put_format(o, "%lld", (long long)f->number);
		else
			put_quoted(o, f->text);
		if (o->full) {
			o->size = before;
			return;
		}
		first = false;
	}
}

static void put_logfmt_fields(struct out *o, const struct log_field *f)
{
	for (; f->type != LOG_FIELD_END; f++) {
		size_t before = o->size;

		if (!field_is_shown(f))
			continue;
		put(o, " ", 1);
		put_text(o, f->key);
		put(o, "=", 1);
		if (f->type == LOG_FIELD_NUMBER)
			put_format(o, "%lld", (long long)f->number);
		else
			put_value(o, f->text);
		if (o->full) {
			o->size = before;
			return;
		}
	}
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARN:
		return "warn";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "?";
}

static const char *stolon_level(enum log_level level, bool color)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return color ? "\033[31mERROR\033[0m" : "ERROR";
	case LOG_LEVEL_WARN:
		return color ? "\033[33mWARN\033[0m" : "WARN";
	case LOG_LEVEL_INFO:
		return color ? "\033[34mINFO\033[0m" : "INFO";
	case LOG_LEVEL_DEBUG:
		return color ? "\033[35mDEBUG\033[0m" : "DEBUG";
	}
	return "?";
}

static void put_stolon(struct out *o, const struct log_event *e, bool color)
{
	const char *message = e->message;
	const char *slash = strrchr(e->file, '/');
	bool fields = false;

	for (const struct log_field *f = e->fields; f->type != LOG_FIELD_END; f++) {
		if (f->type == LOG_FIELD_STOLON && f->text != NULL)
			message = f->text;
		fields = fields || field_is_shown(f);
	}
	put_time(o, &e->wall);
	put_format(o, "\t%s\t%s:%d\t", stolon_level(e->level, color), slash ? slash + 1 : e->file,
		   e->line);
	/* stolon does not quote it; ours are constants. */
	put(o, message, strnlen(message, o->longest));
	if (!fields)
		return;
	put(o, "\t{", 2);
	put_json_fields(o, e->fields, true);
	o->capacity += 1;
	put(o, "}", 1);
}

static void put_json(struct out *o, const struct log_event *e)
{
	put_text(o, "{\"time\":\"");
	put_time(o, &e->wall);
	put_format(o, "\",\"level\":\"%s\",\"msg\":", level_name(e->level));
	put_quoted(o, e->message);
	put_json_fields(o, e->fields, false);
	o->capacity += 1;
	put(o, "}", 1);
}

static void put_logfmt(struct out *o, const struct log_event *e)
{
	put_text(o, "time=");
	put_time(o, &e->wall);
	put_format(o, " level=%s msg=", level_name(e->level));
	put_quoted(o, e->message);
	put_logfmt_fields(o, e->fields);
}

size_t log_line_format(const struct log_event *event, enum log_format format, bool color, char *out,
		       size_t size)
{
	/* Room is kept for "}" and "\n". */
	struct out o = {.data = out, .capacity = size - 2, .longest = size / 2};

	CHECK(size >= LOG_LINE_MIN);
	switch (format) {
	case LOG_FORMAT_LOGFMT:
		put_logfmt(&o, event);
		break;
	case LOG_FORMAT_JSON:
		put_json(&o, event);
		break;
	case LOG_FORMAT_STOLON:
		put_stolon(&o, event, color);
		break;
	}
	o.capacity = size;
	put(&o, "\n", 1);
	return o.size;
}
