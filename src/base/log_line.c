/* Log lines as text: logfmt, JSON and stolon's. Called by whichever thread
 * logs, so it allocates nothing. */
#include "base/log_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A writer that stops at its end and remembers that it did. */
struct out {
	char *data;
	size_t size;
	size_t capacity;
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

/* A quoted string that holds no control character: valid in JSON and logfmt. */
static void put_quoted(struct out *o, const char *text)
{
	put(o, "\"", 1);
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			put_format(o, "\\%c", *p);
		else if (*p == '\n')
			put(o, "\\n", 2);
		else if (*p == '\t')
			put(o, "\\t", 2);
		else if (*p < 0x20 || *p == 0x7f)
			put_format(o, "\\u%04x", *p);
		else
			put(o, (const char *)p, 1);
	}
	put(o, "\"", 1);
}

/* logfmt leaves the quotes out where nothing needs them. */
static void put_value(struct out *o, const char *text)
{
	bool plain = *text != '\0';

	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if (*p <= ' ' || *p == '"' || *p == '=' || *p == '\\' || *p == 0x7f)
			plain = false;
	}
	if (plain)
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
	put_text(o, message);
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
	struct out o = {out, 0, size - 2, false}; /* room kept for "}" and "\n" */

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
