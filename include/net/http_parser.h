/* Reads one HTTP/1.1 response, fed in pieces of any size. Pure; every length is
 * bounded, so that a server can neither fill memory nor hold a line open for
 * ever. */
#ifndef PGSPLICE_NET_HTTP_PARSER_H
#define PGSPLICE_NET_HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define HTTP_LINE_SIZE    8192 /* of the status line, a header or a trailer */
#define HTTP_HEADER_LINES 200  /* headers and trailers together */

struct http_parser_ops {
	/* A header; also trailers. Names are as sent. May be NULL. */
	void (*header)(const char *name, const char *value, void *arg);
	/* The status and all headers are known. May be NULL. */
	void (*headers_done)(int status, void *arg);
	/* A piece of the body. Returns 0 or a negative error, which ends the parse. */
	int (*body)(const char *data, size_t size, void *arg);
};

enum http_parser_state {
	HTTP_STATUS_LINE,
	HTTP_HEADERS,
	HTTP_BODY_SIZED,
	HTTP_BODY_UNTIL_END,
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK_DATA,
	HTTP_CHUNK_END,
	HTTP_TRAILERS,
	HTTP_COMPLETE,
};

struct http_parser {
	const struct http_parser_ops *ops;
	void *arg;
	enum http_parser_state state;
	int status;
	bool keep_alive; /* the connection can carry another request */
	bool chunked;
	bool has_length;
	uint64_t length; /* of the body, or what is left of it or of a chunk */
	unsigned lines;
	size_t line_size;
	char line[HTTP_LINE_SIZE + 1];
};

void http_parser_init(struct http_parser *parser, const struct http_parser_ops *ops, void *arg);

/* Takes all bytes up to the end of the response: *ret_used tells how many.
 * Returns 0 or a negative error: -EPROTO for what is no HTTP, ERR_TOO_LARGE, or
 * that of the body callback. */
MUST_CHECK int http_parser_feed(struct http_parser *parser, const char *data, size_t size,
				size_t *ret_used);

/* The connection has ended: 0 if that completes the response, -ECONNRESET if
 * it cuts it off. */
MUST_CHECK int http_parser_finish(struct http_parser *parser);

static inline bool http_parser_is_complete(const struct http_parser *parser)
{
	return parser->state == HTTP_COMPLETE;
}

#endif
