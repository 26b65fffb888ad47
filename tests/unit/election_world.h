/* Servers, a network and a prober in simulated time, for the model of an election:
 * they are promoted, crash, freeze, come back on timelines that have ended, and are cut
 * off; answers are late, lost, or arrive in another order. */
#ifndef PGSPLICE_TESTS_ELECTION_WORLD_H
#define PGSPLICE_TESTS_ELECTION_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "routing/election.h"

#define WORLD_SERVERS   5
#define WORLD_QUESTIONS 64
#define WORLD_TICK_MS   20

enum server_kind {
	SERVER_PRIMARY,
	SERVER_STANDBY,
	SERVER_READ_ONLY,
	SERVER_STARTING,
	SERVER_DOWN,
	SERVER_LOCKED, /* lets nobody in */
};

struct server {
	enum server_kind kind;
	enum server_kind next; /* after STARTING */
	uint32_t timeline;
	uint64_t system_id;
	bool frozen;
	bool cut; /* from the prober */
	/* The prober's view. */
	bool is_member;
	int64_t ask_at_ms;
	unsigned asking;
	int64_t led_ms; /* when it was last writable and alive */
};

enum question_state {
	QUESTION_NONE,
	QUESTION_SENT,     /* arrives at due_ms */
	QUESTION_ANSWERED, /* is back at due_ms */
};

struct question {
	enum question_state state;
	size_t server;
	int64_t due_ms;
	bool timed_out; /* "silent" was told; an answer may still come */
	struct election_answer answer;
};

struct world {
	uint64_t seed;
	int64_t now_ms;
	size_t count;
	bool calm; /* nothing happens any more, and all answer */
	bool tells_timelines;
	bool tells_systems;
	uint32_t highest;
	struct server servers[WORLD_SERVERS];
	struct question questions[WORLD_QUESTIONS];
	struct election_settings settings;
	int64_t ask_every_ms;
	/* To the election, and the checks. */
	void (*deliver)(size_t server, const struct election_answer *answer, void *arg);
	void (*change_members)(void *arg);
	void *arg;
};

static const char *const world_addresses[WORLD_SERVERS] = {"a:1", "b:1", "c:1", "d:1", "e:1"};

static inline uint64_t draw(struct world *w, uint64_t below)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return (w->seed >> 11) % below;
}

static inline bool one_in(struct world *w, uint64_t n)
{
	return draw(w, n) == 0;
}

/* What happens to servers */

static inline void world_promote(struct world *w, struct server *s)
{
	bool is_fenced = !one_in(w, 3);

	if (s->kind != SERVER_STANDBY || s->frozen)
		return;
	for (size_t i = 0; is_fenced && i < w->count; i++) {
		struct server *other = &w->servers[i];
		if (other->kind == SERVER_PRIMARY && other->system_id == s->system_id)
			other->kind = one_in(w, 2) ? SERVER_DOWN : SERVER_STANDBY;
	}
	s->kind = SERVER_PRIMARY;
	s->timeline = ++w->highest;
}

static inline void world_start(struct world *w, struct server *s)
{
	if (s->kind != SERVER_DOWN)
		return;
	s->kind = one_in(w, 3) ? SERVER_STARTING : s->next;
	s->next = one_in(w, 3) ? SERVER_PRIMARY : SERVER_STANDBY; /* on whatever timeline */
	if (s->next == SERVER_STANDBY && one_in(w, 2))
		s->timeline = w->highest;
}

static inline void world_strike(struct world *w, struct server *s)
{
	switch (draw(w, 12)) {
	case 0:
		s->next = s->kind == SERVER_PRIMARY ? SERVER_PRIMARY : SERVER_STANDBY;
		s->kind = SERVER_DOWN;
		break;
	case 1:
	case 2:
		world_start(w, s);
		break;
	case 3:
	case 4:
		world_promote(w, s);
		break;
	case 5:
		s->frozen = !s->frozen;
		break;
	case 6:
		s->cut = !s->cut;
		break;
	case 7:
		s->frozen = false;
		s->cut = false;
		break;
	case 8:
		s->kind = s->kind == SERVER_PRIMARY && one_in(w, 2) ? SERVER_READ_ONLY
								    : SERVER_STANDBY;
		break;
	case 9:
		if (one_in(w, 4))
			s->kind = SERVER_LOCKED;
		break;
	case 10: /* a clone, or a foreign one */
		if (one_in(w, 6)) {
			s->kind = SERVER_PRIMARY;
			s->timeline = w->highest - (uint32_t)draw(w, 2);
			s->system_id = one_in(w, 3) ? 8 : 7;
		}
		break;
	default:
		if (one_in(w, 3)) {
			s->is_member = !s->is_member;
			s->ask_at_ms = w->now_ms;
			w->change_members(w->arg);
		}
	}
}

static inline void world_live(struct world *w)
{
	for (size_t i = 0; i < w->count; i++) {
		struct server *s = &w->servers[i];
		if (s->kind == SERVER_STARTING && one_in(w, 30))
			s->kind = s->next;
		if (s->kind == SERVER_PRIMARY && !s->frozen)
			s->led_ms = w->now_ms;
	}
	if (w->calm)
		return;
	if (one_in(w, 40))
		world_strike(w, &w->servers[draw(w, w->count)]);
	if (one_in(w, 1500)) /* suspended */
		w->now_ms += (int64_t)draw(w, one_in(w, 2) ? 60000 : 6000);
}

/* Questions and answers */

static inline void server_answers(const struct world *w, struct server *s,
				  struct election_answer *answer)
{
	static const enum election_outcome outcomes[] = {
		[SERVER_PRIMARY] = ELECTION_WRITABLE,    [SERVER_STANDBY] = ELECTION_IN_RECOVERY,
		[SERVER_READ_ONLY] = ELECTION_READ_ONLY, [SERVER_STARTING] = ELECTION_STARTING,
		[SERVER_DOWN] = ELECTION_REFUSED,        [SERVER_LOCKED] = ELECTION_CANNOT_ASK,
	};
	bool tells = s->kind <= SERVER_READ_ONLY;

	if (s->kind == SERVER_PRIMARY)
		s->led_ms = w->now_ms;
	answer->outcome = outcomes[s->kind];
	answer->timeline = tells && w->tells_timelines ? s->timeline : 0;
	answer->system_id = tells && w->tells_systems ? s->system_id : 0;
}

static inline int64_t way_ms(struct world *w)
{
	return (int64_t)draw(w, w->calm || !one_in(w, 8) ? 30 : 1500);
}

static inline void world_ask(struct world *w, size_t i)
{
	for (size_t n = 0; n < WORLD_QUESTIONS; n++) {
		struct question *q = &w->questions[n];
		if (q->state != QUESTION_NONE)
			continue;
		*q = (struct question){QUESTION_SENT,
				       i,
				       w->now_ms + way_ms(w),
				       false,
				       {.address = world_addresses[i], .sent_ms = w->now_ms}};
		w->servers[i].asking++;
		w->servers[i].ask_at_ms = w->now_ms + w->ask_every_ms;
		return;
	}
}

static inline void tell(struct world *w, const struct question *q)
{
	const struct election_answer answer = q->answer;

	w->deliver(q->server, &answer, w->arg);
}

static inline void question_end(struct world *w, struct question *q)
{
	q->state = QUESTION_NONE;
	if (!q->timed_out)
		w->servers[q->server].asking--;
}

/* The prober gives up; what the server says to it may still come, late. */
static inline void question_time_out(struct world *w, struct question *q)
{
	struct question silent = *q;

	q->timed_out = true;
	w->servers[q->server].asking--;
	silent.answer.outcome = ELECTION_SILENT;
	silent.answer.timeline = 0;
	silent.answer.system_id = 0;
	if (one_in(w, 2))
		q->state = QUESTION_NONE;
	tell(w, &silent);
}

static inline void question_move(struct world *w, struct question *q)
{
	struct server *s = &w->servers[q->server];

	if (!q->timed_out && w->now_ms >= q->answer.sent_ms + w->settings.timeout_ms)
		question_time_out(w, q);
	if (q->state == QUESTION_NONE || w->now_ms < q->due_ms)
		return;
	if (s->cut) { /* swallowed, but not the timeout */
		if (q->timed_out)
			question_end(w, q);
		return;
	}
	if (q->state == QUESTION_SENT && !s->frozen) {
		server_answers(w, s, &q->answer);
		q->state = QUESTION_ANSWERED;
		q->due_ms = w->now_ms + way_ms(w);
	} else if (q->state == QUESTION_ANSWERED) {
		const struct question back = *q;
		question_end(w, q);
		tell(w, &back);
	}
}

static inline void world_tick(struct world *w)
{
	w->now_ms += WORLD_TICK_MS;
	world_live(w);
	for (size_t n = 0; n < WORLD_QUESTIONS; n++) {
		if (w->questions[n].state != QUESTION_NONE)
			question_move(w, &w->questions[n]);
	}
	for (size_t i = 0; i < w->count; i++) {
		struct server *s = &w->servers[i];
		bool twice = !w->calm && one_in(w, 200); /* so that answers can overtake */
		if (s->is_member && w->now_ms >= s->ask_at_ms && (s->asking == 0 || twice))
			world_ask(w, i);
	}
}

static inline void world_init(struct world *w)
{
	w->now_ms = 10000 + (int64_t)draw(w, 1000);
	w->count = 1 + draw(w, WORLD_SERVERS);
	w->tells_timelines = !one_in(w, 6);
	w->tells_systems = !one_in(w, 6);
	w->highest = 2;
	for (size_t i = 0; i < w->count; i++)
		w->servers[i] = (struct server){.kind = SERVER_STANDBY,
						.next = SERVER_STANDBY,
						.timeline = 2,
						.system_id = 7,
						.is_member = !one_in(w, 10),
						.ask_at_ms = w->now_ms};
	w->servers[0].kind = SERVER_PRIMARY;
	if (w->count > 1 && one_in(w, 3)) { /* a leader of the past, from the start */
		w->servers[1].kind = SERVER_PRIMARY;
		w->servers[1].timeline = 1;
	}
}

/* One healthy cluster from now on. */
static inline void world_calm_down(struct world *w, size_t leader)
{
	w->calm = true;
	w->highest++;
	for (size_t i = 0; i < w->count; i++) {
		struct server *s = &w->servers[i];
		s->kind = i == leader ? SERVER_PRIMARY : SERVER_STANDBY;
		s->timeline = w->highest;
		s->frozen = false;
		s->cut = false;
		s->is_member = true;
	}
	w->change_members(w->arg);
}

static inline void world_set_system(struct world *w, uint64_t system_id)
{
	for (size_t i = 0; i < w->count; i++)
		w->servers[i].system_id = system_id;
}

#endif
