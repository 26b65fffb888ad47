/* The response parser: lines are gathered in one fixed buffer, bodies are passed
 * on where they lie. */
#include "net/http_parser.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"

#define MAX_LENGTH (UINT64_C(1) << 62)

void http_parser_init(struct http_parser *parser, const struct http_parser_ops *ops, void *arg)
{
	parser->ops = ops;
	parser->arg = arg;
	parser->state = HTTP_STATUS_LINE;
	parser->status = 0;
	parser->keep_alive = true;
	parser->chunked = false;
	parser->has_length = false;
	parser->length = 0;
	parser->lines = 0;
	parser->line_size = 0;
}

/* "HTTP/1.1 200 OK" */
static int parse_status_line(struct http_parser *p)
{
	const char *l = p->line;

	if (strncmp(l, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)l[7]) || l[8] != ' ')
		return -EPROTO;
	for (int i = 9; i < 12; i++) {
		if (!isdigit((unsigned char)l[i]))
			return -EPROTO;
	}
	if (l[12] != ' ' && l[12] != '\0')
		return -EPROTO;
	p->status = (l[9] - '0') * 100 + (l[10] - '0') * 10 + (l[11] - '0');
	p->keep_alive = l[7] != '0';
	p->state = HTTP_HEADERS;
	return p->status < 100 ? -EPROTO : 0;
}

static int parse_content_length(struct http_parser *p, const char *value)
{
	uint64_t length = 0;

	if (*value == '\0')
		return -EPROTO;
	for (; *value != '\0'; value++) {
		if (!isdigit((unsigned char)*value) || length > MAX_LENGTH / 10)
			return -EPROTO;
		length = length * 10 + (uint64_t)(*value - '0');
	}
	if (p->has_length && p->length != length)
		return -EPROTO; /* two different ones */
	p->has_length = true;
	p->length = length;
	return 0;
}

/* Whether a comma list holds a word, in any case. */
static bool list_has(const char *list, const char *word)
{
	size_t length = strlen(word);

	while (*list != '\0') {
		size_t part = strcspn(list, ", \t");
		if (part == length && strncasecmp(list, word, length) == 0)
			return true;
		list += part;
		list += strspn(list, ", \t");
	}
	return false;
}

static int take_header(struct http_parser *p, const char *name, const char *value)
{
	if (p->state == HTTP_TRAILERS)
		return 0; /* they frame nothing */
	if (strcasecmp(name, "content-length") == 0)
		return parse_content_length(p, value);
	if (strcasecmp(name, "transfer-encoding") == 0) {
		if (strcasecmp(value, "chunked") != 0)
			return -EPROTO;
		p->chunked = true;
	} else if (strcasecmp(name, "connection") == 0) {
		if (list_has(value, "close"))
			p->keep_alive = false;
		else if (list_has(value, "keep-alive"))
			p->keep_alive = true;
	}
	return 0;
}

static int parse_header_line(struct http_parser *p)
{
	char *value = strchr(p->line, ':');

	if (value == NULL || value == p->line ||
	    strcspn(p->line, " \t") < (size_t)(value - p->line))
		return -EPROTO;
	*value++ = '\0';
	value += strspn(value, " \t");
	for (char *end = value + strlen(value); end > value && (end[-1] == ' ' || end[-1] == '\t');
	     end--)
		end[-1] = '\0';
	int r = take_header(p, p->line, value);
	if (r == 0 && p->ops->header != NULL)
		p->ops->header(p->line, value, p->arg);
	return r;
}

/* The empty line behind the headers: what comes now depends on them. */
static int end_headers(struct http_parser *p)
{
	bool no_body = p->status == 204 || p->status == 304;

	if (p->status < 200) { /* 100 Continue and its like: the answer follows */
		if (p->status == 101)
			return -EPROTO;
		http_parser_init(p, p->ops, p->arg);
		return 0;
	}
	if (p->chunked && p->has_length)
		return -EPROTO; /* two framings: one of them lies */
	if (p->ops->headers_done != NULL)
		p->ops->headers_done(p->status, p->arg);
	if (no_body || (p->has_length && p->length == 0)) {
		p->state = HTTP_COMPLETE;
	} else if (p->chunked) {
		p->state = HTTP_CHUNK_SIZE;
	} else if (p->has_length) {
		p->state = HTTP_BODY_SIZED;
	} else {
		p->state = HTTP_BODY_UNTIL_END;
		p->keep_alive = false;
	}
	return 0;
}

static int parse_chunk_size(struct http_parser *p)
{
	char *l = p->line;
	uint64_t size = 0;

	if (!isxdigit((unsigned char)*l))
		return -EPROTO;
	for (; isxdigit((unsigned char)*l); l++) {
		if (size > MAX_LENGTH / 16)
			return -EPROTO;
		int digit = isdigit((unsigned char)*l) ? *l - '0'
						       : tolower((unsigned char)*l) - 'a' + 10;
		size = size * 16 + (uint64_t)digit;
	}
	l += strspn(l, " \t");
	if (*l != '\0' && *l != ';') /* extensions are allowed, and mean nothing here */
		return -EPROTO;
	p->length = size;
	p->lines = 0; /* trailers have their own count */
	p->state = size > 0 ? HTTP_CHUNK_DATA : HTTP_TRAILERS;
	return 0;
}

static int take_line(struct http_parser *p)
{
	bool is_empty = p->line[0] == '\0';

	switch (p->state) {
	case HTTP_STATUS_LINE:
		return parse_status_line(p);
	case HTTP_HEADERS:
	case HTTP_TRAILERS:
		if (is_empty && p->state == HTTP_TRAILERS) {
			p->state = HTTP_COMPLETE;
			return 0;
		}
		if (is_empty)
			return end_headers(p);
		return ++p->lines > HTTP_HEADER_LINES ? ERR_TOO_LARGE : parse_header_line(p);
	case HTTP_CHUNK_SIZE:
		return parse_chunk_size(p);
	case HTTP_CHUNK_END:
		p->state = HTTP_CHUNK_SIZE;
		return is_empty ? 0 : -EPROTO;
	case HTTP_BODY_SIZED:
	case HTTP_BODY_UNTIL_END:
	case HTTP_CHUNK_DATA:
	case HTTP_COMPLETE:
		break;
	}
	return -EPROTO;
}

/* Gathers bytes up to a newline, then acts on the line. */
static int feed_line(struct http_parser *p, const char *data, size_t size, size_t *ret_used)
{
	const char *end = memchr(data, '\n', size);
	size_t used = end != NULL ? (size_t)(end - data) + 1 : size;
	size_t text = end != NULL ? used - 1 : used;

	*ret_used = used;
	if (p->line_size + text > HTTP_LINE_SIZE)
		return ERR_TOO_LARGE;
	memcpy(p->line + p->line_size, data, text);
	p->line_size += text;
	if (end == NULL)
		return 0;
	if (p->line_size > 0 && p->line[p->line_size - 1] == '\r')
		p->line_size--;
	p->line[p->line_size] = '\0';
	if (strcspn(p->line, "\r") != p->line_size)
		return -EPROTO; /* a NUL or a carriage return within: others may see two lines */
	p->line_size = 0;
	return take_line(p);
}

static int feed_body(struct http_parser *p, const char *data, size_t size, size_t *ret_used)
{
	if (p->state != HTTP_BODY_UNTIL_END && size > p->length)
		size = (size_t)p->length;
	*ret_used = size;
	if (p->state != HTTP_BODY_UNTIL_END) {
		p->length -= size;
		if (p->length == 0)
			p->state = p->state == HTTP_CHUNK_DATA ? HTTP_CHUNK_END : HTTP_COMPLETE;
	}
	return p->ops->body(data, size, p->arg);
}

int http_parser_feed(struct http_parser *parser, const char *data, size_t size, size_t *ret_used)
{
	size_t total = 0;
	int r = 0;

	while (r == 0 && total < size && parser->state != HTTP_COMPLETE) {
		bool in_body = parser->state == HTTP_BODY_SIZED ||
			       parser->state == HTTP_BODY_UNTIL_END ||
			       parser->state == HTTP_CHUNK_DATA;
		size_t used = 0;
		r = in_body ? feed_body(parser, data + total, size - total, &used)
			    : feed_line(parser, data + total, size - total, &used);
		total += used;
	}
	*ret_used = total;
	return r;
}

int http_parser_finish(struct http_parser *parser)
{
	if (parser->state == HTTP_BODY_UNTIL_END)
		parser->state = HTTP_COMPLETE;
	return parser->state == HTTP_COMPLETE ? 0 : -ECONNRESET;
}
