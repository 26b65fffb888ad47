/* When each server is asked.
 *
 * RESTING until its timer, ASKING until the answer; in between QUEUED when a new
 * connection is needed and enough of them are being made already. Servers that
 * answer keep theirs; when one loses it there is room that those that do not answer
 * cannot take. So those that hang never hold up the others. */
#include "probe/probe.h"

#include <errno.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/clock.h"
#include "net/loop.h"
#include "probe/http_probe.h"
#include "probe/pg_probe.h"

enum server_state {
	SERVER_RESTING,
	SERVER_QUEUED,
	SERVER_ASKING,
	SERVER_STATES,
};

struct probe {
	struct loop *loop;
	struct probe_settings settings;
	probe_cb *cb;
	struct list servers[SERVER_STATES];
	unsigned connects; /* of the servers asking: those that need a connection */
	bool hurry;
	uint64_t random;
};

struct probe_server {
	struct loop_garbage garbage;
	struct list node;
	struct probe *probe;
	enum server_state state;
	struct pg_probe *pg;     /* PROBE_BY_SQL */
	struct http_probe *http; /* otherwise */
	struct loop_timer timer; /* RESTING */
	int64_t asked_ms;
	bool connects; /* ASKING: counted in probe->connects */
	bool answered; /* last time: HTTP has a connection as well, then */
	bool is_known; /* has answered, and not failed twice in a row since */
	unsigned failures;
	void *arg;
};

static void set_state(struct probe_server *s, enum server_state next)
{
	static const unsigned allowed_moves[] = {
		[SERVER_RESTING] = BIT(SERVER_QUEUED) | BIT(SERVER_ASKING),
		[SERVER_QUEUED] = BIT(SERVER_ASKING),
		[SERVER_ASKING] = BIT(SERVER_RESTING),
	};

	CHECK(allowed_moves[s->state] & BIT(next));
	list_remove(&s->node);
	list_append(&s->probe->servers[next], &s->node);
	s->state = next;
}

/* Up to below limit; no more than spreads the questions. */
static int64_t random_below(struct probe *p, int64_t limit)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return limit > 0 ? (int64_t)(p->random % (uint64_t)limit) : 0;
}

static void ask(struct probe_server *s, bool connects)
{
	set_state(s, SERVER_ASKING);
	s->connects = connects;
	s->probe->connects += connects;
	s->asked_ms = clock_boot_ms();
	if (s->pg != NULL)
		pg_probe_ask(s->pg);
	else
		http_probe_ask(s->http);
}

static void ask_queued(struct probe *p)
{
	unsigned most = p->settings.max_connects;

	list_for_each_safe (node, &p->servers[SERVER_QUEUED]) {
		struct probe_server *s = CONTAINER_OF(node, struct probe_server, node);
		if (p->connects < (s->is_known ? most : most - most / 4))
			ask(s, true);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct probe_server *s = arg;
	bool connects = s->pg != NULL ? !pg_probe_is_connected(s->pg) : !s->answered;

	if (!connects) {
		ask(s, false);
		return;
	}
	set_state(s, SERVER_QUEUED);
	ask_queued(s->probe);
}

static int64_t interval_ms(const struct probe *p)
{
	return p->hurry ? p->settings.hurry_ms : p->settings.interval_ms;
}

/* What a server says by its closed port, by ending our connection or in so many
 * words: asked once more at once, that it serves nobody is certain at once. Silence
 * takes its time. */
static bool wants_confirmation(const struct probe_server *s, enum probe_outcome outcome)
{
	return s->failures == 1 &&
	       (outcome == PROBE_REFUSED || outcome == PROBE_LOST || outcome == PROBE_STARTING);
}

static void rest(struct probe_server *s, enum probe_outcome outcome)
{
	struct probe *p = s->probe;
	int64_t tenth = interval_ms(p) / 10;
	int64_t due_ms = s->asked_ms + interval_ms(p) - tenth + random_below(p, 2 * tenth + 1);

	/* Several in one turn: of a hundred, each would wake two threads by itself. */
	if (tenth > 0)
		due_ms = (due_ms + tenth / 2) / tenth * tenth;
	if (wants_confirmation(s, outcome))
		due_ms = 0;
	set_state(s, SERVER_RESTING);
	loop_timer_start(&s->timer, due_ms - clock_boot_ms());
}

static void take_result(struct probe_server *s, const struct probe_result *result)
{
	struct probe *p = s->probe;
	enum probe_verdict verdict = probe_outcome_verdict(result->outcome);

	p->connects -= s->connects;
	s->answered = verdict == PROBE_ANSWERED;
	if (s->answered)
		s->failures = 0;
	else if (verdict == PROBE_DOWN)
		s->failures++;
	s->is_known = s->answered || (s->is_known && s->failures < 2);
	rest(s, result->outcome);
	ask_queued(p);
	const struct probe_news news = {
		.result = result,
		.failures = s->failures,
		.is_down = s->failures >= p->settings.fall,
	};
	p->cb(&news, s->arg);
}

static void on_http_answer(const struct probe_result *result, void *arg)
{
	take_result(arg, result);
}

static void on_pg_answer(const struct probe_result *result, void *arg)
{
	take_result(arg, result);
}

static void on_pg_lost(void *arg)
{
	probe_ask(arg);
}

static const struct pg_probe_ops pg_ops = {.answered = on_pg_answer, .lost = on_pg_lost};

void probe_ask(struct probe_server *server)
{
	if (server->state == SERVER_RESTING)
		loop_timer_start(&server->timer, 0);
}

void probe_hurry(struct probe *probe, bool hurry)
{
	bool begins = hurry && !probe->hurry;

	probe->hurry = hurry;
	if (!begins)
		return; /* what is due soon comes once more */
	list_for_each (node, &probe->servers[SERVER_RESTING]) {
		struct probe_server *s = CONTAINER_OF(node, struct probe_server, node);
		loop_timer_start(&s->timer, random_below(probe, probe->settings.hurry_ms));
	}
}

/* Servers */

int probe_move(struct probe_server *server, const struct probe_place *place)
{
	if (server->pg != NULL)
		return pg_probe_set_address(server->pg, &place->addr, place->host);
	return http_probe_set_server(server->http, place->host, place->port, place->tls);
}

static int make_questioner(struct probe_server *s)
{
	struct probe *p = s->probe;
	const struct pg_probe_settings pg = {
		.conninfo = p->settings.conninfo,
		.timeout_ms = p->settings.timeout_ms,
		.max_age_ms = p->settings.max_age_ms,
	};
	const struct http_probe_settings http = {
		.kind = p->settings.method == PROBE_BY_FLY ? HTTP_PROBE_FLY : HTTP_PROBE_PATRONI,
		.timeout_ms = p->settings.timeout_ms,
	};

	if (p->settings.method == PROBE_BY_SQL)
		return pg_probe_new(p->loop, &pg, &pg_ops, s, &s->pg);
	return http_probe_new(p->loop, p->settings.dns, &http, on_http_answer, s, &s->http);
}

int probe_add(struct probe *probe, const struct probe_place *place, void *arg,
	      struct probe_server **ret_server)
{
	struct probe_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->probe = probe;
	s->arg = arg;
	s->state = SERVER_RESTING;
	list_append(&probe->servers[SERVER_RESTING], &s->node);
	loop_timer_init(&s->timer, probe->loop, on_timer, s);
	int r = make_questioner(s);
	if (r == 0)
		r = probe_move(s, place);
	if (r < 0) {
		probe_remove(&s);
		return r;
	}
	loop_timer_start(&s->timer, random_below(probe, probe->settings.hurry_ms));
	*ret_server = s;
	return 0;
}

static void free_memory(struct loop_garbage *garbage)
{
	free(CONTAINER_OF(garbage, struct probe_server, garbage));
}

static void release(struct probe_server *s)
{
	list_remove(&s->node);
	loop_timer_stop(&s->timer);
	pg_probe_free(&s->pg);
	http_probe_free(&s->http);
	loop_free_later(s->probe->loop, &s->garbage, free_memory);
}

void probe_remove(struct probe_server **server)
{
	struct probe_server *s = TAKE_PTR(*server);

	if (s == NULL)
		return;
	struct probe *p = s->probe;
	if (s->state == SERVER_ASKING)
		p->connects -= s->connects;
	release(s);
	ask_queued(p);
}

/* All of them */

int probe_new(struct loop *loop, const struct probe_settings *settings, probe_cb *cb,
	      struct probe **ret_probe)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	CHECK(settings->fall > 0 && settings->max_connects > 0);
	p->loop = loop;
	p->settings = *settings;
	p->cb = cb;
	for (int i = 0; i < SERVER_STATES; i++)
		list_init(&p->servers[i]);
	if (getrandom(&p->random, sizeof(p->random), GRND_NONBLOCK) != sizeof(p->random))
		p->random = (uint64_t)clock_boot_ms();
	p->random |= 1; /* of zeros it would make zeros */
	*ret_probe = p;
	return 0;
}

void probe_free(struct probe **probe)
{
	struct probe *p = TAKE_PTR(*probe);

	if (p == NULL)
		return;
	for (int i = 0; i < SERVER_STATES; i++) {
		list_for_each_safe (node, &p->servers[i])
			release(CONTAINER_OF(node, struct probe_server, node));
	}
	free(p);
}
