/* routing/election against servers that do as they like: after each event, who is
 * routed is checked against what the election was told and against what the servers
 * really were. The seed of a schedule that fails is printed;
 * PGSPLICE_ELECTION_SCHEDULES and PGSPLICE_ELECTION_SEED run more, or others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "election_world.h"

#define SCHEDULES   2000
#define SCHEDULE_MS 60000
#define SETTLE_MS   4500

/* What the election was told of a server. */
struct told {
	bool is_member;
	int64_t since_ms;
	int64_t tried_ms;    /* 0: never, as is the next */
	int64_t answered_ms; /* asked for then */
	struct election_answer answer;
	unsigned silences;
	unsigned refusals;
};

struct model {
	struct world w;
	struct election *e;
	uint64_t seed;
	struct told told[WORLD_SERVERS];
	size_t members;
	uint32_t shown[9];       /* the highest timeline seen writable, by system */
	int64_t wanted_since_ms; /* since when somebody or other is writable; 0: nobody is */
	uint32_t led_timeline;
	int champion; /* the last leader while a member, or -1 */
	int rival;    /* a champion that was writable when a higher timeline came up */
	/* What the workers know. */
	int routed; /* or -1 */
	uint64_t term;
	int64_t valid_until_ms;
	uint64_t system_id; /* of all leaders */
	unsigned opened;
};

#define require(m, condition)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_schedule(m, #condition, __LINE__);                                    \
	} while (0)

static void fail_schedule(const struct model *m, const char *condition, int line)
{
	char text[300];

	election_describe(m->e, text, sizeof(text));
	fail_msg("line %d, seed %llu, at %lld ms: not %s; %s", line, (unsigned long long)m->seed,
		 (long long)m->w.now_ms, condition, text);
}

static int64_t window_ms(const struct model *m)
{
	return m->w.settings.interval_ms + m->w.settings.fall * m->w.settings.timeout_ms;
}

/* What it said holds at this moment, as far as is known. */
static bool holds(const struct model *m, const struct told *t, int64_t at_ms)
{
	return t->is_member && t->answered_ms > 0 && at_ms < t->answered_ms + window_ms(m) &&
	       t->silences < m->w.settings.fall && t->refusals < 2;
}

static bool is_writable(const struct model *m, const struct told *t)
{
	return holds(m, t, m->w.now_ms) && t->answer.outcome == ELECTION_WRITABLE;
}

static size_t count_answering(const struct model *m, uint64_t system_id, int64_t at_ms)
{
	size_t count = 0;

	for (size_t i = 0; i < m->w.count; i++) {
		uint64_t id = m->told[i].answer.system_id;
		if (holds(m, &m->told[i], at_ms) && (id == 0 || system_id == 0 || id == system_id))
			count++;
	}
	return count;
}

static void check_majority(const struct model *m, int64_t at_ms)
{
	if (m->members >= 3)
		require(m, 2 * count_answering(m, m->system_id, at_ms) > m->members);
}

/* Nobody else may be taken for the leader, by the same rules. */
static void check_alone(const struct model *m, size_t leader)
{
	const struct election_answer *mine = &m->told[leader].answer;

	for (size_t i = 0; i < m->w.count; i++) {
		const struct election_answer *other = &m->told[i].answer;
		if (i == leader || !is_writable(m, &m->told[i]))
			continue;
		if (mine->system_id != 0 && other->system_id != 0 &&
		    other->system_id != mine->system_id)
			continue;
		require(m, mine->timeline != 0 && other->timeline != 0);
		require(m, mine->timeline > other->timeline);
	}
	require(m, m->rival < 0 || !is_writable(m, &m->told[m->rival]));
}

/* Opened only when all were heard, or had time to be. */
static void check_others_were_heard(const struct model *m, const struct told *leader)
{
	bool follows = m->led_timeline != 0 && leader->answer.timeline > m->led_timeline;

	if (m->w.now_ms >= m->wanted_since_ms + m->w.settings.timeout_ms)
		return;
	for (size_t i = 0; i < m->w.count; i++) {
		const struct told *t = &m->told[i];
		bool is_new = t->tried_ms == 0;
		if (t->is_member && !(is_new && follows))
			require(m, !is_new && m->w.now_ms < t->tried_ms + window_ms(m));
	}
}

static void check_leader(struct model *m, const struct election_decision *d, size_t leader)
{
	const struct told *t = &m->told[leader];
	uint64_t id = t->answer.system_id;

	require(m, is_writable(m, t));
	require(m, m->system_id == 0 || id == 0 || id == m->system_id);
	if (m->system_id == 0)
		m->system_id = id;
	require(m, t->answer.timeline == 0 || t->answer.timeline >= m->shown[id]);
	require(m, m->w.now_ms < d->valid_until_ms);
	require(m, d->valid_until_ms <= t->answered_ms + window_ms(m));
	check_alone(m, leader);
	check_majority(m, m->w.now_ms);
	check_majority(m, d->valid_until_ms - 1);
}

static int find_server(const char *address)
{
	return address[0] - 'a';
}

/* After each event. */
static void check(struct model *m)
{
	const struct election_decision *d = election_decision(m->e);
	bool was_routed = m->routed >= 0 && m->w.now_ms < m->valid_until_ms;
	int leader = d->leader != NULL ? find_server(d->leader->address) : -1;

	require(m, (leader >= 0) == (d->reason == ELECTION_ROUTED));
	require(m, d->look_again_ms > m->w.now_ms);
	if (leader >= 0) {
		bool stays = was_routed && leader == m->routed;
		require(m, d->look_again_ms <= d->valid_until_ms);
		require(m, stays ? d->term == m->term : d->term > m->term);
		check_leader(m, d, (size_t)leader);
		if (!stays) {
			require(m, m->told[leader].tried_ms == m->told[leader].answered_ms);
			check_others_were_heard(m, &m->told[leader]);
			m->opened++;
		}
		m->led_timeline = m->told[leader].answer.timeline;
		m->champion = leader;
	}
	m->routed = leader;
	m->term = d->term;
	m->valid_until_ms = d->valid_until_ms;
	m->w.ask_every_ms = d->hurry ? 100 : m->w.settings.interval_ms;
}

/* At any time, whether somebody calls or not. */
static void check_truth(struct model *m)
{
	if (m->routed >= 0 && m->w.now_ms < m->valid_until_ms)
		require(m, m->w.now_ms < m->w.servers[m->routed].led_ms + window_ms(m));
}

static void note_writable(struct model *m, size_t server, const struct election_answer *answer)
{
	struct told *t = &m->told[server];
	uint32_t *shown = &m->shown[answer->system_id];
	bool was_writable = is_writable(m, t);

	if (answer->timeline <= *shown)
		return;
	*shown = answer->timeline;
	if (m->system_id != 0 && answer->system_id != 0 && answer->system_id != m->system_id)
		return;
	m->rival = -1;
	if (m->champion >= 0 && m->champion != (int)server &&
	    is_writable(m, &m->told[m->champion]) &&
	    (was_writable || m->told[m->champion].answered_ms >= answer->sent_ms))
		m->rival = m->champion;
}

static void note(struct model *m, size_t server, const struct election_answer *answer)
{
	struct told *t = &m->told[server];

	if (!t->is_member || answer->sent_ms < t->tried_ms || answer->sent_ms < t->since_ms)
		return;
	t->tried_ms = answer->sent_ms;
	t->refusals += answer->outcome == ELECTION_REFUSED;
	t->silences += answer->outcome == ELECTION_SILENT;
	if (answer->outcome >= ELECTION_REFUSED)
		return;
	if (answer->outcome == ELECTION_WRITABLE)
		note_writable(m, server, answer);
	t->answered_ms = answer->sent_ms;
	t->answer = *answer;
	t->silences = 0;
	t->refusals = 0;
}

/* What time has changed. */
static void advance(struct model *m)
{
	bool is_wanted = false;

	for (size_t i = 0; i < m->w.count; i++)
		is_wanted = is_wanted || is_writable(m, &m->told[i]);
	if (!is_wanted || m->wanted_since_ms == 0)
		m->wanted_since_ms = is_wanted ? m->w.now_ms : 0;
	if (m->rival >= 0 && !is_writable(m, &m->told[m->rival]))
		m->rival = -1;
}

static void deliver(size_t server, const struct election_answer *answer, void *arg)
{
	struct model *m = arg;

	advance(m);
	note(m, server, answer);
	advance(m);
	election_take_answer(m->e, answer, m->w.now_ms);
	check(m);
}

static void change_members(void *arg)
{
	struct model *m = arg;
	struct election_place places[WORLD_SERVERS];
	size_t first = draw(&m->w, m->w.count);

	m->members = 0;
	for (size_t n = 0; n < m->w.count; n++) {
		size_t i = (n + first) % m->w.count;
		struct told *t = &m->told[i];
		if (!m->w.servers[i].is_member) {
			*t = (struct told){.is_member = false};
			m->champion = m->champion == (int)i ? -1 : m->champion;
			continue;
		}
		if (!t->is_member)
			*t = (struct told){.is_member = true, .since_ms = m->w.now_ms};
		places[m->members++] =
			(struct election_place){world_addresses[i], world_addresses[i]};
	}
	advance(m);
	require(m, election_set_members(m->e, places, m->members, m->w.now_ms) == 0);
	check(m);
}

static void tick(struct model *m)
{
	world_tick(&m->w);
	check_truth(m);
	/* Late at times, as a caller may be. */
	if (one_in(&m->w, m->w.calm ? 1 : 20)) {
		advance(m);
		election_tick(m->e, m->w.now_ms);
		check(m);
	}
}

/* A healthy cluster is routed to before long, and stays so. */
static void check_it_settles(struct model *m)
{
	size_t leader = draw(&m->w, m->w.count);

	world_calm_down(&m->w, leader);
	int64_t settled_ms = m->w.now_ms + SETTLE_MS;
	while (m->w.now_ms < settled_ms) {
		/* Even now an answer that was on its way may settle which it is. */
		world_set_system(&m->w, m->system_id != 0 ? m->system_id : 7);
		tick(m);
	}
	require(m, m->routed == (int)leader);
	uint64_t term = m->term;
	while (m->w.now_ms < settled_ms + 2 * window_ms(m))
		tick(m);
	require(m, m->routed == (int)leader && m->term == term);
	require(m, !election_decision(m->e)->hurry);
	for (size_t i = 0; i < m->w.count; i++) {
		enum election_role role = election_member_at(m->e, i)->role;
		require(m, role == ELECTION_ROLE_STANDBY || role == ELECTION_ROLE_LEADER);
	}
}

static unsigned run_schedule(uint64_t seed)
{
	struct model m = {
		.seed = seed,
		.champion = -1,
		.rival = -1,
		.routed = -1,
		.w = {.seed = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15),
		      .settings = {.interval_ms = 1000, .timeout_ms = 2000, .fall = 3},
		      .ask_every_ms = 1000,
		      .deliver = deliver,
		      .change_members = change_members},
	};

	m.w.arg = &m;
	world_init(&m.w);
	m.w.settings.fall = 1 + (unsigned)draw(&m.w, 3);
	m.e = election_new(&m.w.settings);
	assert_non_null(m.e);
	change_members(&m);
	for (int64_t end_ms = m.w.now_ms + SCHEDULE_MS; m.w.now_ms < end_ms;)
		tick(&m);
	check_it_settles(&m);
	election_free(&m.e);
	return m.opened;
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void test_no_forbidden_routing_whatever_servers_do(void **state)
{
	uint64_t first = number_from("PGSPLICE_ELECTION_SEED", 1);
	uint64_t schedules = number_from("PGSPLICE_ELECTION_SCHEDULES", SCHEDULES);
	uint64_t opened = 0;

	for (uint64_t i = 0; i < schedules; i++)
		opened += run_schedule(first + i);
	/* The schedules do get somewhere. */
	assert_true(opened >= schedules * 3 || schedules < 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_forbidden_routing_whatever_servers_do),
	};

	return cmocka_run_group_tests_name("election_model", tests, NULL, NULL);
}
