/* The log: one line an event on stderr, written by a thread of its own.
 *
 * log_write() formats into a slot of a bounded ring and returns: no thread
 * that serves sessions or the store ever waits for stderr. When the ring is
 * full the line is dropped and counted, and the count is logged once there is
 * room. Any thread, at any time, also before log_start() and after log_stop():
 * lines are then written directly. */
#ifndef PGSPLICE_BASE_LOG_H
#define PGSPLICE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

enum log_format {
	LOG_FORMAT_LOGFMT, /* time=… level=info msg="…" key=value … */
	LOG_FORMAT_JSON,   /* {"time":"…","level":"info","msg":"…","key":"value",…} */
	LOG_FORMAT_STOLON, /* TIME \t LEVEL \t file:line \t message \t {json}, stolon's texts */
};

struct log_settings {
	int level;  /* enum log_level: the least important one written */
	int format; /* enum log_format */
	bool color; /* of the level, in the stolon format */
};

enum log_field_type {
	LOG_FIELD_END,
	LOG_FIELD_TEXT,
	LOG_FIELD_NUMBER,
	LOG_FIELD_STOLON, /* no field: the message of this event in stolon's words */
};

struct log_field {
	enum log_field_type type;
	const char *key;
	const char *text; /* NULL: the field is left out */
	int64_t number;
};

static inline struct log_field log_text(const char *key, const char *text)
{
	return (struct log_field){LOG_FIELD_TEXT, key, text, 0};
}

static inline struct log_field log_number(const char *key, int64_t number)
{
	return (struct log_field){LOG_FIELD_NUMBER, key, NULL, number};
}

/* What operators of stolon-proxy search for; used in the stolon format only. */
static inline struct log_field log_stolon(const char *message)
{
	return (struct log_field){LOG_FIELD_STOLON, NULL, message, 0};
}

/* Starts the writer thread. Returns 0 or a negative error. */
MUST_CHECK int log_start(const struct log_settings *settings);

/* Writes what the ring holds, for at most limit_ms (stderr may be stuck), and
 * ends the writer. */
void log_stop(int limit_ms);

bool log_enabled(enum log_level level);

/* fields ends with a LOG_FIELD_END. Use the macros below. */
void log_write(enum log_level level, const char *file, int line, const char *message,
	       const struct log_field *fields);

#define LOG_AT(level, message, ...)                                                                \
	log_write(level, __FILE__, __LINE__, message,                                              \
		  (const struct log_field[]){                                                      \
			  __VA_ARGS__ __VA_OPT__(, ){LOG_FIELD_END, NULL, NULL, 0}})
#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
