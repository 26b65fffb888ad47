/* Puts one event into text, in each of the formats. Pure and bounded. */
#ifndef PGSPLICE_BASE_LOG_LINE_H
#define PGSPLICE_BASE_LOG_LINE_H

#include <time.h>

#include "base/log.h"

struct log_event {
	enum log_level level;
	const char *file;
	int line;
	const char *message;
	const struct log_field *fields; /* ends with LOG_FIELD_END */
	struct timespec wall;           /* UTC */
};

/* The smallest buffer in which every format has room for its fixed parts. */
#define LOG_LINE_MIN 512

/* Writes the line with its newline into out, of at least LOG_LINE_MIN bytes, and
 * returns its length. A message or value that would take more than half of the
 * line is cut; a line that still does not fit loses whole fields from the end,
 * never half of one. Bytes that are no UTF-8 become U+FFFD. No terminating NUL. */
size_t log_line_format(const struct log_event *event, enum log_format format, bool color, char *out,
		       size_t size);

#endif
