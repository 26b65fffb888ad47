/* routing/handover under random events: after each, the three guarantees of its
 * header are checked against what was told to it and what it ordered, not
 * against its inner state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/check.h"
#include "routing/handover.h"

#define SEQUENCES 4000
#define EVENTS    200

#define SECOND_NS INT64_C(1000000000)

/* What the world around the state machine knows. */
struct model {
	struct handover h;
	uint64_t seed;
	unsigned sequence;
	unsigned event;
	int64_t now_ms;
	int64_t last_read_ms;
	struct handover_input asked;   /* the newest decide */
	struct handover_input writing; /* what the write under way is for */
	bool in_write;                 /* one is under way */
	bool write_succeeded;          /* within handover_acknowledged(true) */
	bool shut;
	struct handover_route route; /* as published last */
	uint64_t told;               /* the newest drop generation reported drained */
	int64_t timeout_ns;          /* in force: announced by a successful write */
	bool finished_good;          /* in this event */
};

static struct target *targets[5];

#define require(m, condition)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("sequence %u, event %u: not %s", (m)->sequence, (m)->event,       \
				 #condition);                                                      \
	} while (0)

static uint64_t draw(struct model *m, uint64_t below)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return m->seed % below;
}

/* Asks the same of this proxy, so that the acknowledgement of one is that of
 * the other. */
static bool same_request(const struct handover_input *a, const struct handover_input *b)
{
	return a->situation == b->situation && a->generation == b->generation &&
	       a->proxy_timeout_ns == b->proxy_timeout_ns && a->target == b->target;
}

static void on_publish(const struct handover_route *route, void *arg)
{
	struct model *m = arg;
	struct handover_route before = m->route;

	m->route = *route;
	require(m, route->drop_generation == before.drop_generation + 1);
	require(m, route->term >= before.term);
	if (route->target == NULL)
		return;
	/* Guarantee 2 */
	require(m, !m->shut);
	require(m, m->asked.situation == SITUATION_ROUTED && route->target == m->asked.target);
	require(m, m->now_ms < route->valid_until_ms);
	if (before.target != NULL) {
		require(m, target_is_same_place(before.target, route->target));
		require(m, route->term == before.term);
		return;
	}
	require(m, m->write_succeeded && same_request(&m->writing, &m->asked));
	require(m, route->term > before.term);
}

static void on_acknowledge(int64_t generation, int64_t proxy_timeout_ns, void *arg)
{
	struct model *m = arg;

	require(m, !m->shut);
	require(m, !m->in_write);
	/* Guarantee 1 */
	require(m, m->told >= m->route.drop_generation);
	require(m, m->route.target == NULL || m->route.target == m->asked.target);
	require(m, situation_rules(m->asked.situation)->acknowledges);
	require(m, generation == m->asked.generation);
	require(m, proxy_timeout_ns >= m->timeout_ns);
	require(m, proxy_timeout_ns >= m->asked.proxy_timeout_ns);
	m->in_write = true;
	m->writing = m->asked;
}

static void on_finished(bool good, void *arg)
{
	struct model *m = arg;

	require(m, !m->in_write);
	m->finished_good = good;
}

static const struct handover_ops ops = {on_publish, on_acknowledge, on_finished};

/* Whether valid_until may stand where it does because this was good. */
static bool explains(const struct model *m, const struct handover_input *good)
{
	return good->read_sent_ms > 0 &&
	       m->h.valid_until_ms == good->read_sent_ms + m->timeout_ns / 1000000;
}

/* Guarantee 3, and that a deadline which has passed closes. */
static void check_deadline(struct model *m, int64_t before_ms, const struct handover_input *written)
{
	const struct situation_rules *rules = situation_rules(m->asked.situation);
	bool asked_is_good = !rules->acknowledges && rules->counts;
	bool explained = m->h.valid_until_ms == before_ms;

	if (m->shut) {
		require(m, m->route.target == NULL); /* for good: it has no deadline */
		return;
	}
	if (written != NULL) {
		asked_is_good = asked_is_good || (same_request(written, &m->asked) &&
						  written->read_sent_ms >= m->asked.read_sent_ms);
		explained = explained || explains(m, written);
	}
	explained = explained || (asked_is_good && explains(m, &m->asked));
	require(m, explained);
	if (m->finished_good && m->asked.read_sent_ms > 0 && asked_is_good)
		require(m, explains(m, &m->asked));
	if (m->route.target != NULL) {
		require(m, m->now_ms < m->h.valid_until_ms);
		require(m, m->route.valid_until_ms == m->h.valid_until_ms);
	}
}

static void do_decide(struct model *m, enum situation situation)
{
	static const int64_t timeouts_s[] = {1, 3, 15, 60};
	bool has_view = situation > SITUATION_BAD_CLUSTER_DATA;
	int64_t before_ms = m->h.valid_until_ms;

	m->asked = (struct handover_input){.situation = situation};
	if (has_view) {
		m->asked.generation = (int64_t)draw(m, 3);
		m->asked.proxy_timeout_ns = timeouts_s[draw(m, 4)] * SECOND_NS;
		m->asked.check_interval_ns = SECOND_NS / 2;
	}
	if (draw(m, 2) == 0) {
		int64_t sent_ms = m->now_ms - (int64_t)draw(m, 2000);
		m->last_read_ms = sent_ms > m->last_read_ms ? sent_ms : m->last_read_ms;
		m->asked.read_sent_ms = m->last_read_ms;
	}
	if (situation == SITUATION_ROUTED)
		m->asked.target = targets[draw(m, ARRAY_LEN(targets))];
	m->asked.has_news = draw(m, 3) == 0;
	uint64_t before = m->route.drop_generation;
	handover_decide(&m->h, &m->asked, m->now_ms);
	check_deadline(m, before_ms, NULL);
	require(m, !m->asked.has_news || m->route.drop_generation > before);
	/* What is forbidden is cut without waiting for anything. */
	if (m->route.target != NULL)
		require(m, m->route.target == m->asked.target);
}

static void do_drained(struct model *m)
{
	int64_t before_ms = m->h.valid_until_ms;
	uint64_t behind = m->route.drop_generation - m->told;

	if (draw(m, 8) > 0) /* else a ring that brings nothing new */
		m->told += draw(m, behind + 1);
	if (draw(m, 3) == 0)
		m->told = m->route.drop_generation;
	handover_drained(&m->h, m->told, m->now_ms);
	check_deadline(m, before_ms, NULL);
}

static void do_acknowledged(struct model *m, bool written)
{
	int64_t before_ms = m->h.valid_until_ms;
	struct handover_input judged = m->writing;
	bool good = written || situation_rules(judged.situation)->counts_unacknowledged;

	m->in_write = false;
	m->write_succeeded = written;
	/* Announced, and a read gives the deadline that goes with it. */
	if (written && judged.read_sent_ms > 0 && judged.proxy_timeout_ns > 0)
		m->timeout_ns = judged.proxy_timeout_ns;
	handover_acknowledged(&m->h, written, m->now_ms);
	m->write_succeeded = false;
	check_deadline(m, before_ms, good ? &judged : NULL);
}

static void do_shut(struct model *m)
{
	m->shut = true;
	m->asked = (struct handover_input){.situation = SITUATION_NO_CLUSTER_DATA};
	handover_shut(&m->h, m->now_ms);
	require(m, m->route.target == NULL);
}

static void do_event(struct model *m)
{
	uint64_t kind = draw(m, 100);

	m->finished_good = false;
	m->now_ms += draw(m, 4) > 0 ? 0 : (int64_t)draw(m, draw(m, 20) > 0 ? 500 : 20000);
	if (kind < 40 && !m->shut)
		do_decide(m, draw(m, 2) > 0 ? SITUATION_ROUTED
					    : (enum situation)draw(m, SITUATION_COUNT));
	else if (kind < 65)
		do_drained(m);
	else if (kind < 90 && m->in_write)
		do_acknowledged(m, draw(m, 5) > 0);
	else if (kind < 99)
		handover_expire(&m->h, m->now_ms);
	else if (!m->shut && draw(m, 3) == 0)
		do_shut(m);
	if (kind >= 90 && kind < 99 && m->route.target != NULL)
		require(m, m->now_ms < m->h.valid_until_ms);
}

/* Left in peace, a leader that is wanted becomes routed: no event is lost. */
static void check_it_still_opens(struct model *m)
{
	for (int i = 0; i < 4; i++) {
		m->last_read_ms = m->now_ms;
		m->asked = (struct handover_input){
			SITUATION_ROUTED, 9,          SECOND_NS, 15 * SECOND_NS,
			m->now_ms,        targets[0], false};
		handover_decide(&m->h, &m->asked, m->now_ms);
		m->told = m->route.drop_generation;
		handover_drained(&m->h, m->told, m->now_ms);
		if (m->in_write)
			do_acknowledged(m, true);
	}
	require(m, m->route.target == targets[0]);
	require(m, m->route.valid_until_ms == m->now_ms + 15000);
}

static void run_sequence(unsigned sequence, unsigned *opened)
{
	struct model m = {
		.sequence = sequence,
		.seed = sequence * UINT64_C(0x9e3779b97f4a7c15) + 1,
		.now_ms = 50000,
		.timeout_ns = 15 * SECOND_NS,
	};

	handover_init(&m.h, &ops, &m, m.now_ms);
	for (m.event = 0; m.event < EVENTS; m.event++)
		do_event(&m);
	if (!m.shut)
		check_it_still_opens(&m);
	*opened += (unsigned)m.route.term;
	handover_deinit(&m.h);
}

static void test_guarantees_hold_whatever_comes_in_which_order(void **state)
{
	unsigned opened = 0;

	for (unsigned i = 0; i < SEQUENCES; i++)
		run_sequence(i, &opened);
	/* The sequences do get somewhere. */
	assert_true(opened > SEQUENCES * 3);
}

static struct target *make_target(const char *member, const char *host, const char *ip)
{
	struct addr addr;

	assert_int_equal(addr_parse_ip(ip, 5432, &addr), 0);
	struct target *t = target_new(member, host, "5432", &addr, 1);
	assert_non_null(t);
	return t;
}

static int setup(void **state)
{
	targets[0] = make_target("a", "one.example", "10.0.0.1");
	targets[1] = make_target("a", "one.example", "10.0.0.2");
	targets[2] = make_target("b", "two.example", "10.0.0.3");
	targets[3] = make_target("b", "three.example", "10.0.0.3");
	targets[4] = make_target("c", "three.example", "10.0.0.3");
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(targets); i++)
		target_unref(&targets[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guarantees_hold_whatever_comes_in_which_order),
	};

	return cmocka_run_group_tests_name("handover_model", tests, setup, teardown);
}
