/* A growing byte string, always terminated by a NUL that size leaves out. */
#ifndef PGSPLICE_BASE_STRBUF_H
#define PGSPLICE_BASE_STRBUF_H

#include <stddef.h>

#include "base/cleanup.h"

struct strbuf {
	char *data; /* NULL while empty */
	size_t size;
	size_t capacity;
};

void strbuf_init(struct strbuf *b);
void strbuf_deinit(struct strbuf *b);
void strbuf_clear(struct strbuf *b);

/* Each returns 0 or -ENOMEM and then leaves the string as it was. */
MUST_CHECK int strbuf_append(struct strbuf *b, const void *data, size_t size);
MUST_CHECK int strbuf_printf(struct strbuf *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* Makes room for size more bytes behind b->data + b->size. */
MUST_CHECK int strbuf_reserve(struct strbuf *b, size_t size);

/* Hands the bytes to the caller, who frees them; the string is empty then. */
char *strbuf_take(struct strbuf *b);

#endif
