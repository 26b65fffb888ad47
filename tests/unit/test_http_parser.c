/* net/http_parser: every answer gives the same whole, byte by byte and cut in
 * two at every place; what is no honest HTTP is refused; nothing is unbounded. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "net/http_parser.h"

/* What a parse told. */
struct story {
	struct http_parser parser;
	struct strbuf body;
	struct strbuf headers; /* "name=value;" */
	unsigned headers_done;
	int body_error; /* returned by the body callback */
	int error;
	int finish;
	size_t used;
};

static void on_header(const char *name, const char *value, void *arg)
{
	struct story *s = arg;

	assert_int_equal(strbuf_printf(&s->headers, "%s=%s;", name, value), 0);
}

static void on_headers_done(int status, void *arg)
{
	struct story *s = arg;

	assert_int_equal(status, s->parser.status);
	s->headers_done++;
}

static int on_body(const char *data, size_t size, void *arg)
{
	struct story *s = arg;

	assert_true(size > 0);
	if (s->body_error != 0)
		return s->body_error;
	return strbuf_append(&s->body, data, size);
}

static const struct http_parser_ops ops = {on_header, on_headers_done, on_body};

static void story_deinit(struct story *s)
{
	strbuf_deinit(&s->body);
	strbuf_deinit(&s->headers);
}

/* Feeds in pieces: up to `first` bytes, then `step` at a time. */
static struct story *tell(const char *text, size_t size, size_t first, size_t step)
{
	static struct story s;

	story_deinit(&s);
	memset(&s, 0, sizeof(s));
	http_parser_init(&s.parser, &ops, &s);
	while (s.error == 0 && s.used < size && !http_parser_is_complete(&s.parser)) {
		size_t piece = s.used == 0 && first > 0 ? first : step;
		size_t used = 0;

		if (piece > size - s.used)
			piece = size - s.used;
		s.error = http_parser_feed(&s.parser, text + s.used, piece, &used);
		assert_true(used <= piece);
		if (s.error == 0 && !http_parser_is_complete(&s.parser))
			assert_int_equal(used, piece);
		s.used += used;
	}
	s.finish = http_parser_finish(&s.parser);
	return &s;
}

#define OK_LINE "HTTP/1.1 200 OK\r\n"

struct good_case {
	const char *text;
	int status;
	const char *body;
	const char *headers;
	bool keep_alive;
	bool needs_end;   /* complete only when the connection ends */
	const char *rest; /* what is not part of the answer */
};

/* What etcd 3.4 sends after an error, verbatim. */
#define ETCD_34_ERROR                                                                              \
	"{\"error\":\"etcdserver: requested lease not found\",\"message\":\"etcdserver: "          \
	"requested "                                                                               \
	"lease not found\",\"code\":5}"
#define ETCD_34_ANSWER                                                                             \
	"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nTrailer: "                    \
	"Grpc-Trailer-Content-Type\r\nTransfer-Encoding: chunked\r\n\r\n6c\r\n" ETCD_34_ERROR      \
	"\r\n0\r\nGrpc-Trailer-Content-Type: application/grpc\r\n\r\n"

static const struct good_case good[] = {
	{OK_LINE "Content-Length: 5\r\n\r\nhello", 200, "hello", "Content-Length=5;", true, false,
	 ""},
	{OK_LINE "content-LENGTH:\t 5 \t\r\n\r\nhelloHTTP/1.1", 200, "hello", "content-LENGTH=5;",
	 true, false, "HTTP/1.1"},
	{OK_LINE "Content-Length: 0\r\n\r\nx", 200, "", "Content-Length=0;", true, false, "x"},
	{OK_LINE "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", 200, "ab",
	 "Content-Length=2;Content-Length=2;", true, false, ""},
	{OK_LINE "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;ext=1\r\n0123456789\r\n0\r\n\r\n",
	 200, "abc0123456789", "Transfer-Encoding=chunked;", true, false, ""},
	{OK_LINE "Transfer-Encoding: CHUNKED\r\n\r\n01\r\nx\r\n000\r\n\r\nmore", 200, "x",
	 "Transfer-Encoding=CHUNKED;", true, false, "more"},
	{ETCD_34_ANSWER, 404, ETCD_34_ERROR,
	 "Content-Type=application/json;Trailer=Grpc-Trailer-Content-Type;"
	 "Transfer-Encoding=chunked;Grpc-Trailer-Content-Type=application/grpc;",
	 true, false, ""},
	{ETCD_34_ANSWER ETCD_34_ANSWER, 404, ETCD_34_ERROR,
	 "Content-Type=application/json;Trailer=Grpc-Trailer-Content-Type;"
	 "Transfer-Encoding=chunked;Grpc-Trailer-Content-Type=application/grpc;",
	 true, false, ETCD_34_ANSWER},
	/* Trailers frame nothing. */
	{OK_LINE "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\nConnection: "
		 "close\r\n\r\n",
	 200, "", "Transfer-Encoding=chunked;Content-Length=9;Connection=close;", true, false, ""},
	/* Without any framing the body ends with the connection. */
	{OK_LINE "\r\nall of it\r\n", 200, "all of it\r\n", "", false, true, ""},
	{"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\n1", 200, "1",
	 "Connection=Keep-Alive;Content-Length=1;", true, false, ""},
	{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1", 200, "1", "Content-Length=1;", false,
	 false, ""},
	{OK_LINE "Connection: upgrade, Close\r\nContent-Length: 1\r\n\r\n1", 200, "1",
	 "Connection=upgrade, Close;Content-Length=1;", false, false, ""},
	{OK_LINE "Connection: closed\r\nContent-Length: 1\r\n\r\n1", 200, "1",
	 "Connection=closed;Content-Length=1;", true, false, ""},
	/* 1xx come before the answer, also with headers of their own. */
	{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: "
	 "7\r\n\r\n" OK_LINE "Content-Length: 2\r\n\r\nok",
	 200, "ok", "Link=x;Content-Length=7;Content-Length=2;", true, false, ""},
	{"HTTP/1.1 204 No Content\r\n\r\n", 204, "", "", true, false, ""},
	{"HTTP/1.1 304 Not Modified\r\nContent-Length: 900\r\n\r\n", 304, "", "Content-Length=900;",
	 true, false, ""},
	{"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n1", 200, "1", "Content-Length=1;", true, false,
	 ""},
	/* Bare newlines, as some small servers send. */
	{"HTTP/1.1 503 no\nContent-Length: 2\nX:\n\nno", 503, "no", "Content-Length=2;X=;", true,
	 false, ""},
};

static void check_good(const struct good_case *c, size_t first, size_t step)
{
	size_t size = strlen(c->text);
	struct story *s = tell(c->text, size, first, step);

	if (s->error != 0 || s->finish != 0 || s->parser.status != c->status)
		fail_msg("%s: error %d, finish %d, status %d", c->text, s->error, s->finish,
			 s->parser.status);
	assert_int_equal(s->headers_done, 1);
	assert_string_equal(s->body.data != NULL ? s->body.data : "", c->body);
	assert_string_equal(s->headers.data != NULL ? s->headers.data : "", c->headers);
	assert_int_equal(s->parser.keep_alive, c->keep_alive);
	assert_int_equal(s->used, size - strlen(c->rest));
}

static void test_an_answer_is_the_same_in_pieces_of_any_size(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		size_t size = strlen(good[i].text);

		check_good(&good[i], 0, size);
		check_good(&good[i], 0, 1);
		for (size_t first = 1; first < size; first++)
			check_good(&good[i], first, size);
	}
}

/* Cut off anywhere, it never counts as complete: nor with the end of the connection,
 * unless that is its framing. */
static void test_a_cut_answer_is_never_complete(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const struct good_case *c = &good[i];
		size_t size = strlen(c->text) - strlen(c->rest);
		size_t headers = (size_t)(strstr(c->text, "\n\r\n") - c->text);

		for (size_t cut = 0; cut < size; cut++) {
			struct story *s = tell(c->text, cut, 0, size);

			assert_int_equal(s->error, 0);
			if (c->needs_end && cut > headers + 2)
				assert_int_equal(s->finish, 0);
			else
				assert_int_equal(s->finish, -ECONNRESET);
		}
	}
}

#define CHUNKED OK_LINE "Transfer-Encoding: chunked\r\n\r\n"

static void test_what_is_no_honest_http_is_refused(void **state)
{
	static const char *const bad[] = {
		"\r\n",
		"HTTP/2 200 OK\r\n",
		"HTTP/1.x 200 OK\r\n",
		"HTTP/1.1  200 OK\r\n",
		"HTTP/1.1 20 OK\r\n",
		"HTTP/1.1 2000 OK\r\n",
		"HTTP/1.1 099 OK\r\n\r\n",
		"http/1.1 200 OK\r\n",
		"SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n",
		OK_LINE "no colon\r\n",
		OK_LINE "X\r: y\r\n",
		OK_LINE "X: y\rContent-Length: 3\r\n",
		OK_LINE "X: y\r\r\n",
		OK_LINE ": no name\r\n",
		OK_LINE "Content-Length : 5\r\n",
		OK_LINE " folded: line\r\n",
		OK_LINE "Content-Length:\r\n",
		OK_LINE "Content-Length: -1\r\n",
		OK_LINE "Content-Length: +1\r\n",
		OK_LINE "Content-Length: 0x10\r\n",
		OK_LINE "Content-Length: 1,1\r\n",
		OK_LINE "Content-Length: 99999999999999999999999\r\n",
		OK_LINE "Content-Length: 18446744073709551616\r\n",
		OK_LINE "Content-Length: 1\r\nContent-Length: 2\r\n",
		OK_LINE "Transfer-Encoding: gzip, chunked\r\n",
		OK_LINE "Transfer-Encoding: identity\r\n",
		OK_LINE "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		CHUNKED "\r\n",
		CHUNKED "g\r\n",
		CHUNKED "-1\r\n",
		CHUNKED "0x5\r\nhello",
		CHUNKED "5 5\r\nhello",
		CHUNKED "ffffffffffffffffffffff\r\n",
		CHUNKED "8000000000000000\r\n",
		CHUNKED "5\r\nhelloworld\r\n",
		CHUNKED "5\r\nhello0\r\n\r\n",
		CHUNKED "0\r\nbad trailer\r\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t size = strlen(bad[i]);

		for (size_t step = 1; step <= size; step += size - 1) {
			struct story *s = tell(bad[i], size, 0, step);
			if (s->error != -EPROTO || s->finish == 0)
				fail_msg("%s: error %d, finish %d", bad[i], s->error, s->finish);
		}
	}
}

static void test_a_nul_in_a_line_is_refused(void **state)
{
	static const char status[] = "HTTP/1.1 200 OK\0\r\nContent-Length: 0\r\n\r\n";
	static const char header[] = OK_LINE "Content-Length: 5\0\r\n\r\nhello";
	static const char chunk[] = CHUNKED "5\0\r\nhello";

	assert_int_equal(tell(status, sizeof(status) - 1, 0, 99)->error, -EPROTO);
	assert_int_equal(tell(header, sizeof(header) - 1, 0, 99)->error, -EPROTO);
	assert_int_equal(tell(chunk, sizeof(chunk) - 1, 0, 99)->error, -EPROTO);
}

static void test_bodies_hold_any_bytes(void **state)
{
	char text[400] = OK_LINE "Content-Length: 256\r\n\r\n";
	size_t head = strlen(text);

	for (unsigned i = 0; i < 256; i++)
		text[head + i] = (char)i;
	struct story *s = tell(text, head + 256, 0, 7);
	assert_int_equal(s->finish, 0);
	assert_int_equal(s->body.size, 256);
	assert_memory_equal(s->body.data, text + head, 256);
}

/* A line without end is refused once it is too long, wherever it stands. */
static void test_lines_are_bounded(void **state)
{
	static const char *const before[] = {
		"", OK_LINE, OK_LINE "X: ", CHUNKED, CHUNKED "0\r\nX: ", CHUNKED "1\r\nx"};

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		size_t head = strlen(before[i]);
		size_t size = head + HTTP_LINE_SIZE + 1;
		AUTO_FREE char *text = malloc(size);

		memcpy(text, before[i], head);
		memset(text + head, 'a', size - head);
		assert_int_equal(tell(text, size, 0, size)->error, ERR_TOO_LARGE);
		struct story *s = tell(text, size, 0, 1);
		assert_int_equal(s->error, ERR_TOO_LARGE);
		assert_true(s->used <= size);
	}
}

static int feed_lines(const char *head, const char *line, unsigned count)
{
	struct strbuf text = {0};

	assert_int_equal(strbuf_printf(&text, "%s", head), 0);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(strbuf_printf(&text, "%s", line), 0);
	int error = tell(text.data, text.size, 0, 1000)->error;
	strbuf_deinit(&text);
	return error;
}

static void test_header_lines_and_trailers_are_bounded(void **state)
{
	assert_int_equal(feed_lines(OK_LINE, "a: b\r\n", HTTP_HEADER_LINES), 0);
	assert_int_equal(feed_lines(OK_LINE, "a: b\r\n", HTTP_HEADER_LINES + 1), ERR_TOO_LARGE);
	assert_int_equal(feed_lines(CHUNKED "0\r\n", "a: b\r\n", HTTP_HEADER_LINES), 0);
	assert_int_equal(feed_lines(CHUNKED "0\r\n", "a: b\r\n", HTTP_HEADER_LINES + 1),
			 ERR_TOO_LARGE);
	/* A stream has chunks without end. */
	assert_int_equal(feed_lines(CHUNKED, "1\r\na\r\n", 10 * HTTP_HEADER_LINES), 0);
}

static void test_the_body_callbacks_error_ends_the_parse(void **state)
{
	static const char text[] = CHUNKED "5\r\nhello\r\n0\r\n\r\n";
	struct story s = {.body_error = -ECANCELED};
	size_t used;

	http_parser_init(&s.parser, &ops, &s);
	assert_int_equal(http_parser_feed(&s.parser, text, sizeof(text) - 1, &used), -ECANCELED);
	assert_true(used < sizeof(text) - 1);
	story_deinit(&s);
}

static void test_pieces_arrive_as_they_come(void **state)
{
	static const char text[] = CHUNKED "5\r\nhe";
	struct story *s = tell(text, sizeof(text) - 1, 0, sizeof(text));

	assert_int_equal(s->error, 0);
	assert_string_equal(s->body.data, "he"); /* a chunk need not be whole */
	story_deinit(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_answer_is_the_same_in_pieces_of_any_size),
		cmocka_unit_test(test_a_cut_answer_is_never_complete),
		cmocka_unit_test(test_what_is_no_honest_http_is_refused),
		cmocka_unit_test(test_a_nul_in_a_line_is_refused),
		cmocka_unit_test(test_bodies_hold_any_bytes),
		cmocka_unit_test(test_lines_are_bounded),
		cmocka_unit_test(test_header_lines_and_trailers_are_bounded),
		cmocka_unit_test(test_the_body_callbacks_error_ends_the_parse),
		cmocka_unit_test(test_pieces_arrive_as_they_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
