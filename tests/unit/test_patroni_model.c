/* routing/patroni_policy under random events: after each, the guarantees of its
 * header are checked against what was told to it and what it decided, not against
 * its inner state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "patroni_keys.h"
#include "routing/patroni_policy.h"

#define SEQUENCES 500
#define EVENTS    200
#define NOBODY    3
#define MEMBERS   3

static const char *const names[MEMBERS + 1] = {"a", "b", "c", ""};
static const char *const roles[] = {"primary", "primary", "promoted", "replica", "demoted"};

struct record {
	bool exists;
	bool is_broken;
	unsigned port;
	unsigned role;
	uint32_t timeline;
	uint64_t revision;
};

/* The keys of the store. */
struct keys {
	unsigned holder;
	bool is_held;
	uint64_t epoch;
	struct record records[MEMBERS];
	bool is_paused;
	bool is_standby;
	unsigned system_id; /* 0: none */
	uint32_t ended;
	unsigned ttl_s;
};

/* All that was told, newest last. */
struct told_probe {
	unsigned member;
	unsigned port;
	enum patroni_answer answer;
	int64_t sent_ms;
	uint32_t timeline;
	unsigned system_id;
};

struct model {
	struct patroni_policy policy;
	struct patroni_policy_settings settings;
	uint64_t seed;
	unsigned sequence;
	unsigned event;
	int64_t now_ms;
	uint64_t revision;
	struct keys store;
	/* As told: the newest view, and what follows from those before. */
	struct keys told;
	struct told_probe probes[EVENTS + 10];
	size_t probe_count;
	unsigned holder;    /* in the newest view, or NOBODY */
	unsigned last;      /* the newest that held the lock */
	unsigned port;      /* of that one; 0: not known */
	int64_t since_ms;   /* it holds the lock, there */
	size_t since_probe; /* the first told since then */
	int64_t lost_ms;
	unsigned system_id; /* the newest known */
	uint32_t highest;   /* timeline a route was opened with, under that */
	bool is_out;
	bool was_read;          /* since the store was in doubt */
	int64_t back_ms;        /* when it was */
	int64_t read_ms;        /* the newest read told */
	int64_t read_before_ms; /* the newest before the store was in doubt */
	bool must_be_shut;      /* by this event */
	struct patroni_decision before;
	char before_member[8];
	int64_t answers_from_ms; /* older ones do not count against the route */
	unsigned opened;
	unsigned kept_unlocked;
};

#define require(m, condition)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("sequence %u, event %u, %lld ms: not %s", (m)->sequence,          \
				 (m)->event, (long long)(m)->now_ms, #condition);                  \
	} while (0)

static uint64_t draw(struct model *m, uint64_t below)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return m->seed % below;
}

static bool one_in(struct model *m, uint64_t number)
{
	return draw(m, number) == 0;
}

/* ---- the world ---- */

static void write_record(struct model *m, struct record *r)
{
	r->exists = !one_in(m, 8);
	r->is_broken = one_in(m, 12);
	r->role = (unsigned)draw(m, ARRAY_LEN(roles));
	r->timeline = m->store.ended + (uint32_t)draw(m, 3);
	r->revision = m->revision;
	if (one_in(m, 25))
		r->port = 5432 + (unsigned)draw(m, 2);
}

static void change_lock(struct model *m)
{
	struct keys *k = &m->store;
	uint64_t kind = draw(m, 10);

	k->is_held = !one_in(m, 15);
	k->epoch = m->revision;
	if (kind < 3)
		k->holder = NOBODY;
	else if (kind < 6)
		k->holder = m->last; /* the same again, or nobody */
	else
		k->holder = (unsigned)draw(m, MEMBERS);
	if (kind == 9)
		k->epoch = m->told.epoch; /* taken over by hand */
}

static void change_store(struct model *m)
{
	struct keys *k = &m->store;
	uint64_t kind = draw(m, 40);

	m->revision++;
	if (kind < 14)
		change_lock(m);
	else if (kind < 28)
		write_record(m, &k->records[draw(m, MEMBERS)]);
	else if (kind < 32)
		k->is_paused = !k->is_paused;
	else if (kind < 34)
		k->is_standby = !k->is_standby && one_in(m, 3);
	else if (kind == 34)
		k->system_id = (unsigned)draw(m, 3);
	else if (kind == 35)
		k->ended++;
	else if (kind == 36)
		k->ttl_s = 20 + (unsigned)draw(m, 2) * 10;
}

static struct patroni_view *make_view(const struct keys *k)
{
	char text[2000];
	size_t used = 0;

	text[0] = '\0';
#define ADD(...) used += (size_t)snprintf(text + used, sizeof(text) - used, __VA_ARGS__)
	if (k->holder != NOBODY)
		ADD("leader@%llu%s %s\n", (unsigned long long)k->epoch, k->is_held ? "" : "!",
		    names[k->holder]);
	for (unsigned i = 0; i < MEMBERS; i++) {
		const struct record *r = &k->records[i];
		if (r->exists)
			ADD("members/%s@1:%llu %s{\"conn_url\":\"postgres://%s:%u/x\",\"state\":"
			    "\"running\",\"role\":\"%s\",\"timeline\":%u}\n",
			    names[i], (unsigned long long)r->revision, r->is_broken ? "x" : "",
			    names[i], r->port, roles[r->role], r->timeline);
	}
	ADD("config {\"ttl\":%u,\"pause\":%s,\"standby_cluster\":%s}\n", k->ttl_s,
	    k->is_paused ? "true" : "false", k->is_standby ? "{\"port\":1}" : "null");
	if (k->system_id != 0)
		ADD("initialize %u\n", k->system_id);
	ADD("history [[%u,1,\"x\"]]\n", k->ended);
#undef ADD
	return keys_view(text);
}

/* ---- what follows from what was told ---- */

static void note_since(struct model *m)
{
	m->since_ms = m->now_ms;
	m->since_probe = m->probe_count;
}

static void note_holder(struct model *m, unsigned holder, uint64_t epoch_before)
{
	const struct record *r = &m->told.records[holder == NOBODY ? m->last : holder];
	bool is_known = m->last != NOBODY && r->exists && !r->is_broken;

	if (holder == NOBODY) {
		if (m->holder != NOBODY)
			m->lost_ms = m->now_ms;
		/* Whoever moves while nobody holds the lock is not who he was. */
		if (is_known && m->port != r->port)
			m->must_be_shut = true;
	} else {
		bool is_other = holder != m->last;
		is_known = r->exists && !r->is_broken;
		if (is_other)
			m->port = 0;
		if (is_other || m->holder == NOBODY || m->told.epoch != epoch_before ||
		    (is_known && r->port != m->port))
			note_since(m);
		m->must_be_shut = m->must_be_shut || is_other ||
				  (is_known && m->port != 0 && r->port != m->port);
		m->last = holder;
	}
	if (is_known)
		m->port = r->port;
	m->holder = holder;
}

static void note_system(struct model *m)
{
	unsigned id = m->told.system_id;

	if (id == 0 || id == m->system_id)
		return;
	if (m->system_id != 0) {
		note_since(m);
		m->highest = 0;
		m->must_be_shut = true;
	}
	m->system_id = id;
}

static void note_back(struct model *m)
{
	m->is_out = false;
	m->was_read = false;
	m->back_ms = m->now_ms;
	m->read_before_ms = m->read_ms;
}

static void tell_view(struct model *m, bool is_read)
{
	struct patroni_view *view = make_view(&m->store);
	uint64_t epoch_before = m->told.epoch;
	int64_t sent_ms = 0;

	if (is_read) {
		sent_ms = m->now_ms - (int64_t)draw(m, 300);
		sent_ms = sent_ms > m->read_ms ? sent_ms : m->read_ms + (m->read_ms < m->now_ms);
		if (m->is_out)
			note_back(m);
	}
	m->told = m->store;
	note_holder(m, m->told.is_held ? m->told.holder : NOBODY, epoch_before);
	note_system(m);
	if (is_read) {
		m->read_ms = sent_ms;
		m->was_read = true;
	}
	patroni_policy_view(&m->policy, view, sent_ms, m->now_ms);
	patroni_view_unref(&view);
}

static void tell_probe(struct model *m)
{
	struct told_probe *t = &m->probes[m->probe_count++];
	char address[30];

	t->member = one_in(m, 6) || m->last == NOBODY ? (unsigned)draw(m, MEMBERS) : m->last;
	t->port = one_in(m, 10) ? 5432 + (unsigned)draw(m, 2) : m->told.records[t->member].port;
	t->answer = one_in(m, 3) ? (enum patroni_answer)draw(m, 5) : PATRONI_ANSWER_WRITABLE;
	t->sent_ms = m->now_ms - (int64_t)draw(m, one_in(m, 5) ? 7000 : 100);
	t->timeline = one_in(m, 8) ? 0 : m->told.ended + (uint32_t)draw(m, 4);
	t->system_id = one_in(m, 10) ? 1 + (unsigned)draw(m, 2) : m->system_id;
	snprintf(address, sizeof(address), "%s:%u", names[t->member], t->port);
	const struct patroni_probe probe = {names[t->member], address,     t->answer,
					    t->sent_ms,       t->timeline, t->system_id};
	patroni_policy_probe(&m->policy, &probe, m->now_ms);
}

/* ---- the guarantees ---- */

/* The newest answer of the one who last held the lock, of those asked since, or
 * NULL. Answers of before came too late to count. */
static const struct told_probe *newest_answer(const struct model *m)
{
	const struct told_probe *newest = NULL;

	for (size_t i = m->since_probe; i < m->probe_count; i++) {
		const struct told_probe *t = &m->probes[i];
		if (t->member == m->last && t->port == m->port && t->sent_ms >= m->since_ms &&
		    (newest == NULL || t->sent_ms >= newest->sent_ms))
			newest = t;
	}
	return newest;
}

static bool is_right_system(const struct model *m, const struct told_probe *t)
{
	return t->system_id == 0 || m->system_id == 0 || t->system_id == m->system_id;
}

/* When the newest question was sent that was answered by "writable". */
static int64_t last_writable_ms(const struct model *m)
{
	int64_t last_ms = 0;

	for (size_t i = 0; i < m->probe_count; i++) {
		const struct told_probe *t = &m->probes[i];
		if (t->member == m->last && t->answer == PATRONI_ANSWER_WRITABLE &&
		    t->port == m->port && t->sent_ms > last_ms)
			last_ms = t->sent_ms;
	}
	return last_ms;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static bool confirmed_by_answer(const struct model *m, const struct told_probe *t)
{
	return t != NULL && t->answer == PATRONI_ANSWER_WRITABLE && is_right_system(m, t) &&
	       t->sent_ms >= m->back_ms && t->sent_ms > m->now_ms - PATRONI_FRESH_MS &&
	       (t->timeline == 0 || (t->timeline >= m->highest && t->timeline > m->told.ended));
}

static bool confirmed_by_record(const struct model *m, const struct told_probe *t)
{
	const struct record *r = &m->told.records[m->last];
	int64_t held_ms = later(m->since_ms, m->back_ms);
	bool is_silent = t == NULL || t->sent_ms < m->back_ms || t->answer == PATRONI_ANSWER_NONE;

	if (m->settings.confirm == PATRONI_CONFIRM_ALWAYS)
		return false;
	if (m->settings.confirm == PATRONI_CONFIRM_AUTO && !is_silent &&
	    t->answer != PATRONI_ANSWER_UNREACHABLE)
		return false;
	if (m->settings.confirm == PATRONI_CONFIRM_AUTO && is_silent &&
	    m->now_ms < held_ms + PATRONI_NO_ANSWER_MS)
		return false;
	return strcmp(roles[r->role], "primary") == 0 && r->timeline > m->told.ended &&
	       r->timeline >= m->highest &&
	       (r->revision > m->told.epoch ||
		m->read_ms >= held_ms + (int64_t)m->told.ttl_s * 1000);
}

static void check_opening(struct model *m, const struct patroni_decision *d)
{
	const struct record *r = &m->told.records[m->last];
	const struct told_probe *t = newest_answer(m);
	bool is_asked = m->settings.confirm != PATRONI_CONFIRM_NEVER && confirmed_by_answer(m, t);

	require(m, m->before.member == NULL);
	require(m, d->term == m->before.term + 1);
	require(m, !m->is_out && m->was_read);
	require(m, m->holder != NOBODY);
	require(m, m->now_ms < m->read_ms + (int64_t)m->told.ttl_s * 1000);
	require(m, r->exists && !r->is_broken);
	require(m, is_asked || confirmed_by_record(m, t));
	uint32_t timeline = is_asked ? t->timeline : r->timeline;
	m->highest = timeline > m->highest ? timeline : m->highest;
	m->answers_from_ms = is_asked ? 0 : m->back_ms;
	m->opened++;
}

/* Nobody holds the lock, and yet there is somebody. */
static void check_unlocked(struct model *m)
{
	const struct told_probe *t = newest_answer(m);
	bool is_waiting = !m->told.is_paused && m->settings.debounce_ms > 0 &&
			  m->now_ms < m->lost_ms + m->settings.debounce_ms;

	require(m, m->settings.confirm != PATRONI_CONFIRM_NEVER);
	require(m, t == NULL || t->sent_ms < m->answers_from_ms ||
			   t->answer != PATRONI_ANSWER_REFUSED);
	require(m, is_waiting || m->told.is_paused);
	m->kept_unlocked++;
}

static void check_deadline(struct model *m, const struct patroni_decision *d)
{
	int64_t ttl_ms = (int64_t)m->told.ttl_s * 1000;
	int64_t vouched_ms = m->read_ms;
	bool is_verified =
		m->settings.confirm != PATRONI_CONFIRM_ALWAYS || last_writable_ms(m) >= m->back_ms;

	if (!is_verified)
		vouched_ms = m->read_before_ms;
	if (m->settings.store_outage == PATRONI_OUTAGE_CONFIRM &&
	    m->settings.confirm != PATRONI_CONFIRM_NEVER)
		vouched_ms = later(vouched_ms, last_writable_ms(m));
	require(m, m->now_ms < d->valid_until_ms);
	require(m, d->valid_until_ms <= vouched_ms + ttl_ms);
}

static void check_routed(struct model *m, const struct patroni_decision *d)
{
	const struct told_probe *t = newest_answer(m);

	require(m, !m->must_be_shut || m->before.member == NULL);
	require(m, !m->told.is_standby);
	require(m, strcmp(d->member, names[m->last]) == 0);
	require(m, d->reason < PATRONI_NO_VIEW);
	if (m->before.member == NULL || d->term != m->before.term)
		check_opening(m, d);
	else
		require(m, strcmp(d->member, m->before_member) == 0);
	if (m->settings.confirm != PATRONI_CONFIRM_NEVER && t != NULL &&
	    t->sent_ms >= m->answers_from_ms) {
		require(m, t->answer != PATRONI_ANSWER_READ_ONLY);
		if (t->answer == PATRONI_ANSWER_WRITABLE)
			require(m, is_right_system(m, t) &&
					   (t->timeline == 0 || t->timeline >= m->highest));
	}
	if (m->holder == NOBODY)
		check_unlocked(m);
	if (m->holder == NOBODY || d->reason == PATRONI_KEPT_DEBOUNCED)
		require(m, m->now_ms < last_writable_ms(m) + PATRONI_FRESH_MS);
	check_deadline(m, d);
}

static void check(struct model *m)
{
	struct patroni_decision d = patroni_policy_decide(&m->policy, m->now_ms);

	require(m, d.term >= m->before.term);
	require(m, d.look_again_ms >= m->now_ms && d.look_again_ms <= d.valid_until_ms);
	if (d.member != NULL)
		check_routed(m, &d);
	else
		require(m, d.reason >= PATRONI_NO_VIEW && d.term == m->before.term);
	m->before = d;
	snprintf(m->before_member, sizeof(m->before_member), "%s",
		 d.member == NULL ? "" : d.member);
	m->must_be_shut = false;
	if (d.member == NULL && m->holder == NOBODY) { /* of him nothing is remembered */
		m->last = NOBODY;
		m->port = 0;
	}
}

static void do_event(struct model *m)
{
	uint64_t kind = draw(m, 100);

	m->now_ms += one_in(m, 3) ? 0 : (int64_t)draw(m, one_in(m, 15) ? 20000 : 800);
	if (kind < 30) {
		change_store(m);
		tell_view(m, one_in(m, 2));
	} else if (kind < 50) {
		tell_view(m, true);
	} else if (kind < 88) {
		tell_probe(m);
	} else if (kind < 91) {
		m->is_out = true;
		patroni_policy_store_lost(&m->policy, m->now_ms);
	} else if (kind < 93) {
		note_back(m);
		patroni_policy_store_back(&m->policy, m->now_ms);
	} else {
		patroni_policy_tick(&m->policy, m->now_ms);
	}
	check(m);
}

/* Left in peace, a holder that is writable becomes routed. */
static void check_it_still_opens(struct model *m)
{
	struct record *r = &m->store.records[1];
	const struct patroni_probe probe = {"b",       "b:6000", PATRONI_ANSWER_WRITABLE,
					    m->now_ms, 99,       0};

	m->revision++;
	m->store.holder = 1;
	m->store.is_held = true;
	m->store.is_standby = false;
	m->store.epoch = m->revision;
	*r = (struct record){true, false, 6000, 0, 99, 0};
	for (int i = 0; i < 2; i++) {
		r->revision = ++m->revision; /* after an outage it has to be a new one */
		tell_view(m, true);
		check(m);
		m->probes[m->probe_count++] =
			(struct told_probe){1, 6000, PATRONI_ANSWER_WRITABLE, m->now_ms, 99, 0};
		patroni_policy_probe(&m->policy, &probe, m->now_ms);
		check(m);
	}
	require(m, m->before.member != NULL && strcmp(m->before_member, "b") == 0);
	require(m, m->before.reason == (m->settings.confirm == PATRONI_CONFIRM_NEVER
						? PATRONI_ROUTED_BY_STORE
						: PATRONI_ROUTED));
}

static void run_sequence(unsigned sequence, unsigned *opened, unsigned *kept_unlocked)
{
	static const enum patroni_confirm modes[] = {PATRONI_CONFIRM_ALWAYS, PATRONI_CONFIRM_AUTO,
						     PATRONI_CONFIRM_ALWAYS, PATRONI_CONFIRM_NEVER};
	struct model m = {
		.sequence = sequence,
		.seed = sequence * UINT64_C(0x9e3779b97f4a7c15) + 1,
		.now_ms = 50000,
		.revision = 100,
		.settings = {modes[sequence % 4],
			     sequence % 3 == 0 ? PATRONI_OUTAGE_STRICT : PATRONI_OUTAGE_CONFIRM,
			     sequence % 5 < 2 ? 2000 : 0},
		.store = {.holder = 0, .is_held = true, .epoch = 50, .system_id = 1, .ttl_s = 30},
		.holder = NOBODY,
		.last = NOBODY,
	};

	for (unsigned i = 0; i < MEMBERS; i++)
		m.store.records[i] = (struct record){true, false, 5432, i == 0 ? 0 : 3, 1, 60};
	patroni_policy_init(&m.policy, &m.settings);
	for (m.event = 0; m.event < EVENTS; m.event++)
		do_event(&m);
	check_it_still_opens(&m);
	*opened += m.opened;
	*kept_unlocked += m.kept_unlocked;
	patroni_policy_deinit(&m.policy);
}

static void test_guarantees_hold_whatever_comes_in_which_order(void **state)
{
	unsigned opened = 0;
	unsigned kept_unlocked = 0;

	for (unsigned i = 0; i < SEQUENCES; i++)
		run_sequence(i, &opened, &kept_unlocked);
	/* The sequences do get somewhere. */
	assert_true(opened > SEQUENCES * 4);
	assert_true(kept_unlocked > SEQUENCES / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guarantees_hold_whatever_comes_in_which_order),
	};

	return cmocka_run_group_tests_name("patroni_model", tests, NULL, NULL);
}
