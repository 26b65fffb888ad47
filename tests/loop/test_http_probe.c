/* probe/http_probe against a check server that the test plays by hand. */
#include "rig.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "probe/http_probe.h"

struct stand {
	struct rig *rig;
	struct dns *dns;
	struct http_probe *probe;
	struct probe_result result;
	unsigned answered;
	bool frees;
	bool asks;
};

static const struct dns_settings dns_settings = {.max_ttl_ms = 30000};

static void on_answered(const struct probe_result *result, void *arg)
{
	struct stand *s = arg;

	s->answered++;
	s->result = *result;
	if (s->frees)
		http_probe_free(&s->probe);
	else if (s->asks)
		http_probe_ask(s->probe);
	s->asks = false;
}

static void make_probe(struct stand *s, enum http_probe_kind kind, int64_t timeout_ms)
{
	const struct http_probe_settings settings = {kind, timeout_ms};

	http_probe_free(&s->probe);
	assert_int_equal(
		http_probe_new(&s->rig->loop, s->dns, &settings, on_answered, s, &s->probe), 0);
	assert_int_equal(
		http_probe_set_server(s->probe, "127.0.0.1", addr_port(&s->rig->server), NULL), 0);
}

static int setup(void **state)
{
	struct stand *s = calloc(1, sizeof(*s));

	assert_int_equal(rig_setup((void **)&s->rig), 0);
	assert_int_equal(dns_open(&s->rig->loop, &dns_settings, &s->dns), 0);
	make_probe(s, HTTP_PROBE_FLY, 2000);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stand *s = *state;

	http_probe_free(&s->probe);
	dns_close(&s->dns);
	rig_teardown((void **)&s->rig);
	free(s);
	return 0;
}

static bool is_answered(void *arg)
{
	return ((struct stand *)arg)->answered > 0;
}

static bool is_readable(void *arg)
{
	struct pollfd p = {.fd = *(int *)arg, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void ask(struct stand *s)
{
	s->answered = 0;
	http_probe_ask(s->probe);
	assert_int_equal(s->answered, 0);
	assert_true(http_probe_is_asking(s->probe));
}

static void take(struct stand *s, int fd, const char *line)
{
	char text[1000];

	rig_run_until(s->rig, is_readable, &fd);
	ssize_t got = read(fd, text, sizeof(text) - 1);
	assert_true(got > 0);
	text[got] = '\0';
	assert_memory_equal(text, line, strlen(line));
}

static void say(int fd, int status, const char *body)
{
	char text[1000];
	int length = snprintf(text, sizeof(text), "HTTP/1.1 %d x\r\nContent-Length: %zu\r\n\r\n%s",
			      status, strlen(body), body);

	assert_int_equal(write(fd, text, (size_t)length), length);
}

static void expect(struct stand *s, enum probe_outcome outcome, const char *text)
{
	rig_run_until(s->rig, is_answered, s);
	if (s->result.outcome != outcome || strstr(s->result.text, text) == NULL)
		fail_msg("%s: %s", probe_outcome_name(s->result.outcome), s->result.text);
	assert_int_equal(s->answered, 1);
	assert_true(s->result.sent_ms <= s->result.answered_ms);
}

#define FLY_LINE     "GET /flycheck/role HTTP/1.1\r\n"
#define PATRONI_LINE "GET /patroni HTTP/1.1\r\n"

static void test_the_role_is_asked_for_again_over_one_connection(void **state)
{
	struct stand *s = *state;

	ask(s);
	int fd = rig_accept(s->rig);
	take(s, fd, FLY_LINE);
	say(fd, 200, "leader");
	expect(s, PROBE_WRITABLE, "");
	assert_false(http_probe_is_asking(s->probe));
	ask(s);
	take(s, fd, FLY_LINE);
	say(fd, 200, "replica");
	expect(s, PROBE_IN_RECOVERY, "");
	ask(s);
	take(s, fd, FLY_LINE);
	say(fd, 500, "failed to connect to local node: refused");
	expect(s, PROBE_ERROR, "HTTP 500: failed to connect to local node");
	assert_false(is_readable(&s->rig->listener));
	close(fd);
}

static void test_patroni_is_asked_for_its_body(void **state)
{
	struct stand *s = *state;

	make_probe(s, HTTP_PROBE_PATRONI, 2000);
	ask(s);
	int fd = rig_accept(s->rig);
	take(s, fd, PATRONI_LINE);
	say(fd, 200, "{\"state\":\"running\",\"role\":\"primary\",\"timeline\":4}");
	expect(s, PROBE_WRITABLE, "");
	assert_int_equal(s->result.timeline, 4);
	/* Nothing of it is left for the next. */
	ask(s);
	take(s, fd, PATRONI_LINE);
	say(fd, 200, "{\"state\":\"running\",\"role\":\"replica\"}");
	expect(s, PROBE_IN_RECOVERY, "");
	assert_int_equal(s->result.timeline, 0);
	close(fd);
}

static void test_what_is_no_answer_has_its_outcome(void **state)
{
	struct stand *s = *state;
	struct addr refusing = refusing_addr();

	ask(s);
	int fd = rig_accept(s->rig);
	take(s, fd, FLY_LINE);
	close(fd);
	expect(s, PROBE_LOST, "connection lost");
	ask(s);
	fd = rig_accept(s->rig);
	take(s, fd, FLY_LINE);
	assert_int_equal(write(fd, "SSH-2.0-x\r\n", 11), 11);
	expect(s, PROBE_PROTOCOL, "bad answer");
	close(fd);
	make_probe(s, HTTP_PROBE_FLY, 60);
	ask(s);
	fd = rig_accept(s->rig);
	expect(s, PROBE_TIMEOUT, "no answer");
	close(fd);
	assert_int_equal(http_probe_set_server(s->probe, "127.0.0.1", addr_port(&refusing), NULL),
			 0);
	ask(s);
	expect(s, PROBE_REFUSED, "refused");
	assert_int_equal(http_probe_set_server(s->probe, "no.such.host.invalid", 1, NULL), 0);
	ask(s);
	rig_run_until(s->rig, is_answered, s);
	assert_int_equal(probe_outcome_verdict(s->result.outcome), PROBE_DOWN);
}

static void test_a_body_that_never_ends_is_cut_off(void **state)
{
	static char block[20000];
	struct stand *s = *state;

	memset(block, 'x', sizeof(block));
	ask(s);
	int fd = rig_accept(s->rig);
	take(s, fd, FLY_LINE);
	static const char head[] = "HTTP/1.1 200 OK\r\n\r\n";
	assert_int_equal(write(fd, head, strlen(head)), strlen(head));
	for (int i = 0; i < 2; i++)
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	expect(s, PROBE_PROTOCOL, "too large");
	close(fd);
}

static void test_another_server_begins_anew(void **state)
{
	struct stand *s = *state;
	struct addr other;

	ask(s);
	int old = rig_accept(s->rig);
	int listener = listen_on_loopback(8, &other);
	assert_int_equal(http_probe_set_server(s->probe, "127.0.0.1", addr_port(&other), NULL), 0);
	assert_int_equal(http_probe_set_server(s->probe, "127.0.0.1", addr_port(&other), NULL), 0);
	close_fd(&s->rig->listener);
	s->rig->listener = listener;
	int fd = rig_accept(s->rig);
	take(s, fd, FLY_LINE);
	say(fd, 200, "primary");
	expect(s, PROBE_WRITABLE, "");
	close(old);
	close(fd);
}

static void test_asking_again_and_freeing_in_the_callback_are_fine(void **state)
{
	struct stand *s = *state;

	s->asks = true;
	ask(s);
	int fd = rig_accept(s->rig);
	take(s, fd, FLY_LINE);
	say(fd, 200, "leader");
	expect(s, PROBE_WRITABLE, "");
	s->answered = 0;
	s->frees = true;
	take(s, fd, FLY_LINE);
	say(fd, 200, "leader");
	expect(s, PROBE_WRITABLE, "");
	assert_null(s->probe);
	close(fd);
	/* One that is freed before calls nobody. */
	make_probe(s, HTTP_PROBE_FLY, 20);
	ask(s);
	http_probe_free(&s->probe);
	rig_run_for(s->rig, 40);
	assert_int_equal(s->answered, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_the_role_is_asked_for_again_over_one_connection),
		TEST(test_patroni_is_asked_for_its_body),
		TEST(test_what_is_no_answer_has_its_outcome),
		TEST(test_a_body_that_never_ends_is_cut_off),
		TEST(test_another_server_begins_anew),
		TEST(test_asking_again_and_freeing_in_the_callback_are_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
