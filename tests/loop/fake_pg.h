/* A PostgreSQL server as bytes: what its side of a connection says, put together by
 * a test. */
#ifndef PGSPLICE_TESTS_LOOP_FAKE_PG_H
#define PGSPLICE_TESTS_LOOP_FAKE_PG_H

#include <arpa/inet.h>
#include <string.h>

#include "base/strbuf.h"
#include "rig.h"

static inline void fake_put(struct strbuf *b, const void *data, size_t size)
{
	assert_int_equal(strbuf_append(b, data, size), 0);
}

static inline void fake_put_int(struct strbuf *b, size_t bytes, uint32_t value)
{
	uint32_t big = htonl(value);

	fake_put(b, (const char *)&big + 4 - bytes, bytes);
}

/* A message of this type, announcing this length of a body. */
static inline void fake_begin(struct strbuf *b, char type, size_t size)
{
	fake_put(b, &type, 1);
	fake_put_int(b, 4, (uint32_t)size + 4);
}

static inline void fake_message(struct strbuf *b, char type, const void *body, size_t size)
{
	fake_begin(b, type, size);
	fake_put(b, body, size);
}

#define FAKE_OK "\0\0\0\0" /* an authentication that is over */

/* The session begins. */
static inline void fake_welcome(struct strbuf *b)
{
	static const char version[] = "server_version\0"
				      "15.4";

	fake_message(b, 'R', FAKE_OK, 4);
	fake_message(b, 'S', version, sizeof(version));
	fake_message(b, 'K', "\0\0\0\1\0\0\0\2", 8);
	fake_message(b, 'Z', "I", 1);
}

static inline void fake_error(struct strbuf *b, const char *sqlstate, const char *text)
{
	struct strbuf body = {0};

	assert_int_equal(
		strbuf_printf(&body, "SFATAL%cVFATAL%cC%s%cM%s%c%c", 0, 0, sqlstate, 0, text, 0, 0),
		0);
	fake_message(b, 'E', body.data, body.size);
	strbuf_deinit(&body);
}

static inline void fake_columns(struct strbuf *b, size_t count)
{
	struct strbuf body = {0};

	fake_put_int(&body, 2, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		fake_put(&body, "c", 2);
		fake_put_int(&body, 4, 0);
		fake_put_int(&body, 2, 0);
		fake_put_int(&body, 4, 25);
		fake_put_int(&body, 2, 0xffff);
		fake_put_int(&body, 4, 0xffffffff);
		fake_put_int(&body, 2, 0);
	}
	fake_message(b, 'T', body.data, body.size);
	strbuf_deinit(&body);
}

/* NULL is null. */
static inline void fake_row(struct strbuf *b, const char *const values[], size_t count)
{
	struct strbuf body = {0};

	fake_put_int(&body, 2, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		fake_put_int(&body, 4,
			     values[i] != NULL ? (uint32_t)strlen(values[i]) : 0xffffffff);
		if (values[i] != NULL)
			fake_put(&body, values[i], strlen(values[i]));
	}
	fake_message(b, 'D', body.data, body.size);
	strbuf_deinit(&body);
}

static inline void fake_end(struct strbuf *b)
{
	fake_message(b, 'C', "SELECT 1", 9);
	fake_message(b, 'Z', "I", 1);
}

#define FAKE_COLUMNS 12

/* The answer of a leader. */
static inline void fake_leader(struct strbuf *b)
{
	static const char *const values[FAKE_COLUMNS] = {
		"f",  "off", NULL, "000000030000000000000007", "0/7000060", NULL, NULL, NULL, "f",
		NULL, "2",   "77",
	};

	fake_columns(b, FAKE_COLUMNS);
	fake_row(b, values, FAKE_COLUMNS);
	fake_end(b);
}

#endif
