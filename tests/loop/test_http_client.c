/* net/http_client against a server that the test plays by hand: connections kept,
 * replaced and refused, cancels in callbacks, deadlines of each phase, streams. */
#include "rig.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "net/http_client.h"

static const struct dns_settings dns_settings = {.max_ttl_ms = 30000};

struct stand {
	struct rig *rig;
	struct dns *dns;
	struct http_client *client;
	struct http_request *request;
	struct strbuf body;
	char text[200];
	int error;
	int status;
	unsigned done;
	bool cancel_in_body;
	int body_error;
};

static int on_body(int status, const char *data, size_t size, void *arg)
{
	struct stand *s = arg;

	assert_int_equal(s->done, 0);
	assert_int_equal(strbuf_append(&s->body, data, size), 0);
	if (s->cancel_in_body)
		http_request_cancel(&s->request);
	return s->body_error;
}

static void on_done(int error, const char *text, int status, void *arg)
{
	struct stand *s = arg;

	s->done++;
	s->error = error;
	s->status = status;
	s->request = NULL;
	snprintf(s->text, sizeof(s->text), "%s", text);
}

static const struct http_request_ops ops = {.body = on_body, .done = on_done};

static int setup(void **state)
{
	struct stand *s = calloc(1, sizeof(*s));

	assert_int_equal(rig_setup((void **)&s->rig), 0);
	assert_int_equal(dns_open(&s->rig->loop, &dns_settings, &s->dns), 0);
	assert_int_equal(http_client_new(&s->rig->loop, s->dns, "127.0.0.1",
					 addr_port(&s->rig->server), &s->client),
			 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stand *s = *state;

	http_client_free(&s->client);
	dns_close(&s->dns);
	strbuf_deinit(&s->body);
	rig_teardown((void **)&s->rig);
	free(s);
	return 0;
}

static void start(struct stand *s, int64_t timeout_ms, bool streams)
{
	const struct http_call call = {.method = "POST",
				       .path = "/x",
				       .body = "{}",
				       .body_size = 2,
				       .timeout_ms = timeout_ms,
				       .streams = streams};

	s->done = 0;
	strbuf_clear(&s->body);
	assert_int_equal(http_client_start(s->client, &call, &ops, s, &s->request), 0);
	assert_int_equal(s->done, 0);
}

static bool is_done(void *arg)
{
	return ((struct stand *)arg)->done > 0;
}

static bool has_body(void *arg)
{
	return ((struct stand *)arg)->body.size > 0;
}

static bool is_readable(void *arg)
{
	struct pollfd p = {.fd = *(int *)arg, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* The server's side: the next connection, and one request of it. */
static int accept_next(struct stand *s)
{
	rig_run_until(s->rig, is_readable, &s->rig->listener);
	int fd = accept(s->rig->listener, NULL, NULL);
	assert_true(fd >= 0);
	return fd;
}

static void take_request(struct stand *s, int fd)
{
	char text[1000];

	rig_run_until(s->rig, is_readable, &fd);
	ssize_t got = read(fd, text, sizeof(text) - 1);
	assert_true(got > 0);
	text[got] = '\0';
	assert_memory_equal(text, "POST /x HTTP/1.1\r\n", 18);
	assert_non_null(strstr(text, "\r\nContent-Length: 2\r\n"));
	assert_string_equal(text + got - 6, "\r\n\r\n{}");
}

static void say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void expect_ok(struct stand *s)
{
	rig_run_until(s->rig, is_done, s);
	if (s->error != 0)
		fail_msg("%d: %s", s->error, s->text);
	assert_int_equal(s->status, 200);
	assert_string_equal(s->body.data, "ok");
	assert_string_equal(s->text, "");
}

static void test_a_connection_is_kept_for_the_next_request(void **state)
{
	struct stand *s = *state;

	start(s, 3000, false);
	int fd = accept_next(s);
	for (int i = 0; i < 5; i++) {
		take_request(s, fd);
		/* As etcd 3.4 answers an error: behind its trailer goes the next. */
		say(fd, i % 2 == 0 ? OK_ANSWER
				   : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: "
				     "T\r\n\r\n2\r\nok\r\n0\r\nT: x\r\n\r\n");
		expect_ok(s);
		start(s, 3000, false);
	}
	take_request(s, fd);
	assert_false(is_readable(&s->rig->listener));
	close(fd);
}

static void test_a_kept_connection_that_died_is_replaced_once(void **state)
{
	struct stand *s = *state;

	start(s, 3000, false);
	int fd = accept_next(s);
	take_request(s, fd);
	say(fd, OK_ANSWER);
	expect_ok(s);
	/* It dies as the next request reaches it. */
	start(s, 3000, false);
	take_request(s, fd);
	abort_socket(&fd);
	fd = accept_next(s);
	take_request(s, fd);
	/* A second time it is told. */
	abort_socket(&fd);
	rig_run_until(s->rig, is_done, s);
	assert_true(s->error < 0);
	assert_non_null(strstr(s->text, "connection lost"));
	assert_false(is_readable(&s->rig->listener));
}

static void test_an_answer_that_was_begun_is_not_asked_for_again(void **state)
{
	struct stand *s = *state;

	start(s, 3000, false);
	int fd = accept_next(s);
	take_request(s, fd);
	say(fd, OK_ANSWER);
	expect_ok(s);
	start(s, 3000, false);
	take_request(s, fd);
	say(fd, "HTTP/1.1 200 OK\r\n");
	close(fd);
	rig_run_until(s->rig, is_done, s);
	assert_int_equal(s->error, -ECONNRESET);
	assert_false(is_readable(&s->rig->listener));
}

/* Closed, out of step, or with bytes left over: not for another request. */
static void test_a_connection_in_doubt_is_not_kept(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		OK_ANSWER OK_ANSWER,
	};
	struct stand *s = *state;

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		start(s, 3000, false);
		int fd = accept_next(s);
		take_request(s, fd);
		say(fd, answers[i]);
		expect_ok(s);
		close(fd);
	}
	start(s, 3000, false);
	int fd = accept_next(s);
	take_request(s, fd);
	say(fd, OK_ANSWER);
	expect_ok(s);
	say(fd, OK_ANSWER); /* nobody asked */
	char byte;
	rig_run_until(s->rig, is_readable, &fd);
	assert_true(read(fd, &byte, 1) <= 0);
	close(fd);
	start(s, 3000, false);
	fd = accept_next(s);
	close(fd);
}

static void test_cancel_in_the_body_callback_ends_all(void **state)
{
	struct stand *s = *state;

	s->cancel_in_body = true;
	start(s, 3000, true);
	int fd = accept_next(s);
	take_request(s, fd);
	say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n");
	rig_run_until(s->rig, has_body, s);
	assert_string_equal(s->body.data, "a"); /* not even the rest of the piece */
	rig_run_until(s->rig, is_readable, &fd);
	assert_int_equal(s->done, 0);
	close(fd);
}

static void test_an_error_of_the_body_callback_ends_the_request_with_it(void **state)
{
	struct stand *s = *state;

	s->body_error = ERR_TOO_LARGE;
	start(s, 3000, false);
	int fd = accept_next(s);
	take_request(s, fd);
	say(fd, OK_ANSWER);
	rig_run_until(s->rig, is_done, s);
	assert_int_equal(s->error, ERR_TOO_LARGE);
	assert_int_equal(s->done, 1);
	close(fd);
}

static void test_freeing_the_client_calls_nobody(void **state)
{
	struct stand *s = *state;

	start(s, 3000, false);
	int fd = accept_next(s);
	start(s, 3000, false);
	http_client_free(&s->client);
	rig_run_for(s->rig, 20);
	assert_int_equal(s->done, 0);
	close(fd);
}

/* Deadlines */

static void expect_timeout(struct stand *s, const char *phase)
{
	rig_run_until(s->rig, is_done, s);
	assert_int_equal(s->error, -ETIMEDOUT);
	if (strstr(s->text, phase) == NULL)
		fail_msg("%s", s->text);
}

static void test_each_phase_has_the_deadline_and_says_which(void **state)
{
	struct stand *s = *state;
	int queue[8];

	start(s, 100, false);
	int fd = accept_next(s);
	expect_timeout(s, "no answer");
	close(fd);
	for (int streams = 0; streams < 2; streams++) {
		/* A stream's ends only with its body's first byte. */
		start(s, 100, streams);
		fd = accept_next(s);
		take_request(s, fd);
		say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n");
		expect_timeout(s, "reading the answer");
		close(fd);
	}
	/* Of a body that is no stream it is for the whole. */
	start(s, 100, false);
	fd = accept_next(s);
	take_request(s, fd);
	say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
	expect_timeout(s, "reading the answer");
	close(fd);
	/* Connects hang. */
	struct addr full;
	int listener = listen_on_loopback(0, &full);
	size_t count = fill_queue(&full, queue);
	http_client_free(&s->client);
	assert_int_equal(
		http_client_new(&s->rig->loop, s->dns, "127.0.0.1", addr_port(&full), &s->client),
		0);
	start(s, 100, false);
	expect_timeout(s, "connecting");
	for (size_t i = 0; i < count; i++)
		close(queue[i]);
	close(listener);
}

static void test_a_stream_outlives_the_deadline_once_its_body_has_begun(void **state)
{
	struct stand *s = *state;

	start(s, 100, true);
	int fd = accept_next(s);
	take_request(s, fd);
	say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n");
	rig_run_until(s->rig, has_body, s);
	rig_run_for(s->rig, 200);
	assert_int_equal(s->done, 0);
	say(fd, "1\r\nk\r\n0\r\n\r\n");
	expect_ok(s);
	close(fd);
}

/* Failures */

static void test_what_is_no_answer_is_told(void **state)
{
	static const struct {
		const char *bytes;
		const char *text;
	} cases[] = {
		{"SSH-2.0-OpenSSH\r\n", "bad answer"},
		{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad answer"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad answer"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "connection lost"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
		 "connection lost"},
		{"", "connection lost"},
	};
	struct stand *s = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start(s, 3000, false);
		int fd = accept_next(s);
		take_request(s, fd);
		say(fd, cases[i].bytes);
		close(fd);
		rig_run_until(s->rig, is_done, s);
		assert_true(s->error < 0);
		if (strstr(s->text, cases[i].text) == NULL)
			fail_msg("%s", s->text);
	}
	/* Without a length it ends with the connection. */
	start(s, 3000, false);
	int fd = accept_next(s);
	take_request(s, fd);
	say(fd, "HTTP/1.1 200 OK\r\n\r\nok");
	close(fd);
	expect_ok(s);
}

static void test_who_cannot_be_reached_is_told_from_the_loop(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "255.255.255.255", "no.such.host.invalid"};
	struct addr refusing = refusing_addr();
	struct stand *s = *state;

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		http_client_free(&s->client);
		assert_int_equal(http_client_new(&s->rig->loop, s->dns, hosts[i],
						 addr_port(&refusing), &s->client),
				 0);
		start(s, 2000, false);
		rig_run_until(s->rig, is_done, s);
		assert_true(s->error < 0);
		assert_true(strlen(s->text) > 0);
		assert_int_equal(s->status, 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_connection_is_kept_for_the_next_request),
		TEST(test_a_kept_connection_that_died_is_replaced_once),
		TEST(test_an_answer_that_was_begun_is_not_asked_for_again),
		TEST(test_a_connection_in_doubt_is_not_kept),
		TEST(test_cancel_in_the_body_callback_ends_all),
		TEST(test_an_error_of_the_body_callback_ends_the_request_with_it),
		TEST(test_freeing_the_client_calls_nobody),
		TEST(test_each_phase_has_the_deadline_and_says_which),
		TEST(test_a_stream_outlives_the_deadline_once_its_body_has_begun),
		TEST(test_what_is_no_answer_is_told),
		TEST(test_who_cannot_be_reached_is_told_from_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
