/* A probe, and a server of it that the test plays by hand: for test_pg_probe*.c. */
#ifndef PGSPLICE_TESTS_LOOP_PG_STAND_H
#define PGSPLICE_TESTS_LOOP_PG_STAND_H

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake_pg.h"
#include "probe/pg_probe.h"
#include "rig.h"

#define PASSWORD "hush+hush"

struct stand {
	struct rig *rig;
	struct pg_conninfo *conninfo;
	struct pg_probe *probe;
	struct probe_result result;
	unsigned answered;
	unsigned lost;
	bool frees; /* in the callback */
	bool asks;  /* in the callback, once */
	struct strbuf says;
};

static inline void on_answered(const struct probe_result *result, void *arg)
{
	struct stand *s = arg;

	s->answered++;
	s->result = *result;
	if (s->frees)
		pg_probe_free(&s->probe);
	else if (s->asks)
		pg_probe_ask(s->probe);
	s->asks = false;
}

static inline void on_lost(void *arg)
{
	struct stand *s = arg;

	s->lost++;
	if (s->frees)
		pg_probe_free(&s->probe);
}

static const struct pg_probe_ops ops = {.answered = on_answered, .lost = on_lost};

static inline void make_probe(struct stand *s, const char *conninfo, int64_t timeout_ms,
			      int64_t max_age_ms)
{
	char problem[PG_CONNINFO_TEXT_SIZE];

	pg_probe_free(&s->probe);
	pg_conninfo_free(&s->conninfo);
	assert_int_equal(pg_conninfo_new(conninfo, &s->conninfo, problem), 0);
	const struct pg_probe_settings settings = {s->conninfo, timeout_ms, max_age_ms};
	assert_int_equal(pg_probe_new(&s->rig->loop, &settings, &ops, s, &s->probe), 0);
	assert_int_equal(pg_probe_set_address(s->probe, &s->rig->server, NULL), 0);
}

#define PLAIN "user=u sslmode=disable password=" PASSWORD

static inline int setup(void **state)
{
	struct stand *s = calloc(1, sizeof(*s));

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(rig_setup((void **)&s->rig), 0);
	make_probe(s, PLAIN, 2000, 60000);
	*state = s;
	return 0;
}

static inline int teardown(void **state)
{
	struct stand *s = *state;

	pg_probe_free(&s->probe);
	pg_conninfo_free(&s->conninfo);
	strbuf_deinit(&s->says);
	rig_teardown((void **)&s->rig);
	free(s);
	return 0;
}

static inline void ask(struct stand *s)
{
	s->answered = 0;
	pg_probe_ask(s->probe);
	assert_int_equal(s->answered, 0);
}

static inline bool is_answered(void *arg)
{
	return ((struct stand *)arg)->answered > 0;
}

static inline bool is_lost(void *arg)
{
	return ((struct stand *)arg)->lost > 0;
}

static inline bool is_readable(void *arg)
{
	struct pollfd p = {.fd = *(int *)arg, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static inline void expect(struct stand *s, enum probe_outcome outcome, const char *text)
{
	rig_run_until(s->rig, is_answered, s);
	if (s->result.outcome != outcome)
		fail_msg("%s: %s", probe_outcome_name(s->result.outcome), s->result.text);
	if (strstr(s->result.text, text) == NULL)
		fail_msg("%s", s->result.text);
	assert_null(strstr(s->result.text, "hush"));
	assert_int_equal(s->answered, 1);
	assert_true(s->result.sent_ms <= s->result.answered_ms);
	assert_true(s->result.answered_ms <= clock_boot_ms());
}

/* What the probe has sent: exactly one write of it. */
static inline void take(struct stand *s, int fd, char type)
{
	char text[4000];

	rig_run_until(s->rig, is_readable, &fd);
	ssize_t got = read(fd, text, sizeof(text));
	assert_true(got > 0);
	assert_int_equal(text[0], type);
}

#define STARTUP '\0' /* begins with its length */

static inline void say(struct stand *s, int fd)
{
	assert_int_equal(write(fd, s->says.data, s->says.size), s->says.size);
	strbuf_clear(&s->says);
}

/* A session begins, and the query has come. */
static inline int open_session(struct stand *s)
{
	int fd = rig_accept(s->rig);

	take(s, fd, STARTUP);
	fake_welcome(&s->says);
	say(s, fd);
	take(s, fd, 'Q');
	return fd;
}

static inline void answer(struct stand *s, int fd)
{
	fake_leader(&s->says);
	say(s, fd);
	expect(s, PROBE_WRITABLE, "");
	assert_string_equal(s->result.text, "");
}

static inline bool has_no_connect(struct stand *s)
{
	return !is_readable(&s->rig->listener);
}

#endif
