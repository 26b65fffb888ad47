/* The events of the Patroni policy: each notes what it brings, then the route is
 * judged anew. Control thread, between the decoding of the store and the
 * handover. */
#include "routing/patroni_policy.h"

#include <string.h>

#include "patroni_private.h"

void patroni_policy_init(struct patroni_policy *p, const struct patroni_policy_settings *settings)
{
	*p = (struct patroni_policy){.settings = *settings, .gone = PATRONI_NO_VIEW};
}

void patroni_policy_deinit(struct patroni_policy *p)
{
	patroni_view_unref(&p->view);
}

static bool asks(const struct patroni_policy *p)
{
	return p->settings.confirm != PATRONI_CONFIRM_NEVER;
}

/* Ends the route, and with the lock gone there is no candidate either. */
static void cut(struct patroni_policy *p, int64_t now_ms)
{
	if (!p->is_routed)
		return;
	p->is_routed = false;
	p->cut_ms = now_ms;
	p->is_by_store = false;
	p->is_to_verify = false;
	p->confirm_by_ms = 0;
	p->confirmed_ms = 0;
	p->was_cut = true;
	if (!p->candidate.holds_lock)
		p->candidate = (struct patroni_candidate){0};
}

static void cut_if_due(struct patroni_policy *p, int64_t now_ms)
{
	if (p->is_routed && patroni_judge_route(p, now_ms) >= PATRONI_NO_VIEW)
		cut(p, now_ms);
}

/* What time has ended is not brought back by the event that comes next. */
static void begin(struct patroni_policy *p, int64_t now_ms)
{
	p->was_cut = false;
	cut_if_due(p, now_ms);
}

static void note_timeline(struct patroni_policy *p, uint32_t timeline)
{
	if (timeline > p->timeline)
		p->timeline = timeline;
}

static void vouch(struct patroni_policy *p, int64_t sent_ms)
{
	if (sent_ms > p->vouched_ms)
		p->vouched_ms = sent_ms;
}

static void open_route(struct patroni_policy *p, bool is_by_store)
{
	p->is_routed = true;
	p->is_by_store = is_by_store;
	p->term++;
	p->vouched_ms = p->read_sent_ms;
	if (is_by_store) {
		/* What it said before the store was in doubt does not count any more. */
		if (p->candidate.answered_ms < patroni_asked_since_ms(p))
			p->candidate.answer = PATRONI_ANSWER_NONE;
		note_timeline(p, patroni_view_find_member(p->view, p->candidate.name)->timeline);
		return;
	}
	note_timeline(p, p->candidate.timeline);
	p->confirmed_ms = p->candidate.answered_ms;
	if (p->settings.store_outage == PATRONI_OUTAGE_CONFIRM)
		vouch(p, p->candidate.answered_ms);
}

static void settle(struct patroni_policy *p, int64_t now_ms)
{
	cut_if_due(p, now_ms);
	if (p->is_routed || p->was_cut)
		return;
	enum patroni_reason judged = patroni_judge_opening(p, now_ms);
	if (judged == PATRONI_ROUTED || judged == PATRONI_ROUTED_BY_STORE)
		open_route(p, judged == PATRONI_ROUTED_BY_STORE);
}

static void forget_answers(struct patroni_candidate *c, int64_t now_ms)
{
	c->seen_ms = now_ms;
	c->answer = PATRONI_ANSWER_NONE;
	c->answered_ms = 0;
}

/* Until when a route whose lock is in question may wait: not long past its last
 * confirmation, however often that happens. */
static int64_t wait_until_ms(const struct patroni_policy *p, int64_t wait_ms, int64_t now_ms)
{
	int64_t until_ms = patroni_earlier(now_ms + wait_ms, p->confirmed_ms + PATRONI_FRESH_MS);

	return p->is_routed && p->confirmed_ms > 0 && until_ms > now_ms ? until_ms : 0;
}

static void note_lost_lock(struct patroni_policy *p, int64_t now_ms)
{
	struct patroni_candidate *c = &p->candidate;
	bool has_record = patroni_view_find_member(p->view, c->name) != NULL;

	if (c->holds_lock) {
		p->gone = c->has_record && !has_record ? PATRONI_LEADER_EXPIRED
						       : PATRONI_LEADER_RELEASED;
		c->holds_lock = false;
		p->confirm_by_ms = patroni_is_paused(p)
					   ? 0
					   : wait_until_ms(p, p->settings.debounce_ms, now_ms);
	} else if (p->gone != PATRONI_LEADER_EXPIRED && p->gone != PATRONI_LEADER_RELEASED) {
		p->gone = PATRONI_NO_LEADER;
	}
	if (patroni_view_is_empty(p->view))
		p->gone = PATRONI_NO_CLUSTER;
	else if (*patroni_view_leader(p->view)->name != '\0')
		p->gone = PATRONI_LEADER_NOT_HELD;
	if (!p->is_routed)
		*c = (struct patroni_candidate){0};
}

/* The same member holds it again, or another time. Its sessions may wait until it
 * has confirmed that, but only if it can be asked. */
static void note_lock_taken_anew(struct patroni_policy *p, const struct patroni_leader *leader,
				 int64_t now_ms)
{
	struct patroni_candidate *c = &p->candidate;
	int64_t wait_ms = p->settings.debounce_ms;

	if (patroni_is_paused(p) && wait_ms < PATRONI_FRESH_MS)
		wait_ms = PATRONI_FRESH_MS;
	c->holds_lock = true;
	c->epoch = leader->create_revision;
	c->record_floor = leader->create_revision;
	forget_answers(c, now_ms);
	p->confirm_by_ms = wait_until_ms(p, wait_ms, now_ms);
	if (p->confirm_by_ms == 0)
		cut(p, now_ms);
}

static void note_other_holder(struct patroni_policy *p, const struct patroni_leader *leader,
			      int64_t now_ms)
{
	struct patroni_candidate *c = &p->candidate;
	/* Taken over without a gap, as Patroni does by hand: the key is as old as
	 * the holding before. */
	bool is_same_key = c->epoch == leader->create_revision;

	cut(p, now_ms);
	*c = (struct patroni_candidate){
		.holds_lock = true,
		.epoch = leader->create_revision,
		.record_floor = is_same_key ? leader->mod_revision : leader->create_revision,
		.seen_ms = now_ms,
	};
	strcpy(c->name, leader->name); /* as large */
}

static void follow_lock(struct patroni_policy *p, int64_t now_ms)
{
	const struct patroni_leader *leader = patroni_view_leader(p->view);
	const struct patroni_candidate *c = &p->candidate;

	if (*leader->name == '\0' || !leader->is_held)
		note_lost_lock(p, now_ms);
	else if (strcmp(c->name, leader->name) != 0)
		note_other_holder(p, leader, now_ms);
	else if (!c->holds_lock || c->epoch != leader->create_revision)
		note_lock_taken_anew(p, leader, now_ms);
}

/* A record that is gone leaves the address as it was: Consul makes it anew. */
static void follow_record(struct patroni_policy *p, int64_t now_ms)
{
	struct patroni_candidate *c = &p->candidate;
	const struct patroni_member *record = patroni_view_find_member(p->view, c->name);

	c->has_record = record != NULL;
	if (record == NULL || !record->is_decodable || record->address.count == 0 ||
	    strcmp(record->address.text, c->address) == 0)
		return;
	cut(p, now_ms); /* it is somewhere else now */
	/* Without its lock that was all there was of it. */
	if (*c->name == '\0')
		return;
	strcpy(c->address, record->address.text); /* as large */
	forget_answers(c, now_ms);
}

static void follow_system(struct patroni_policy *p, int64_t now_ms)
{
	uint64_t system_id = patroni_view_cluster(p->view)->system_id;

	if (system_id == 0 || system_id == p->system_id)
		return;
	if (p->system_id != 0) {
		cut(p, now_ms);
		p->timeline = 0;
		forget_answers(&p->candidate, now_ms);
	}
	p->system_id = system_id;
}

static void follow_failover(struct patroni_policy *p, int64_t now_ms)
{
	uint64_t revision = patroni_view_failover(p->view)->mod_revision;

	if (revision != p->failover_revision)
		p->failover_seen_ms = now_ms;
	p->failover_revision = revision;
}

/* The record as the first read after an outage finds it may be of before. */
static void note_read(struct patroni_policy *p, int64_t read_sent_ms, int64_t now_ms)
{
	struct patroni_candidate *c = &p->candidate;
	const struct patroni_member *record = patroni_view_find_member(p->view, c->name);

	if (read_sent_ms > p->read_sent_ms)
		p->read_sent_ms = read_sent_ms;
	if (p->is_read_due && record != NULL && record->mod_revision > c->record_floor &&
	    !(p->is_by_store && p->was_outage_short))
		c->record_floor = record->mod_revision;
	p->is_read_due = false;
	if (p->is_routed && p->is_to_verify && patroni_record_confirms(p, now_ms))
		p->is_to_verify = false;
	if (p->is_routed && !p->is_to_verify && p->confirm_by_ms == 0)
		vouch(p, p->read_sent_ms);
}

static void note_store_back(struct patroni_policy *p, int64_t now_ms)
{
	int64_t give_up_ms =
		p->view == NULL ? 0 : patroni_view_config(p->view)->retry_timeout_s * 1000;

	p->was_outage_short = p->read_sent_ms > 0 && now_ms - p->read_sent_ms < give_up_ms;
	p->is_store_out = false;
	p->is_read_due = true;
	p->back_ms = now_ms;
	p->is_to_verify =
		p->is_routed && (p->is_to_verify || !(p->is_by_store && p->was_outage_short));
}

void patroni_policy_view(struct patroni_policy *p, struct patroni_view *view, int64_t read_sent_ms,
			 int64_t now_ms)
{
	struct patroni_view *before = p->view;

	begin(p, now_ms);
	if (read_sent_ms > 0 && p->is_store_out)
		note_store_back(p, now_ms);
	p->view = patroni_view_ref(view);
	patroni_view_unref(&before);
	follow_lock(p, now_ms);
	follow_record(p, now_ms);
	follow_system(p, now_ms);
	follow_failover(p, now_ms);
	if (read_sent_ms > 0)
		note_read(p, read_sent_ms, now_ms);
	settle(p, now_ms);
}

void patroni_policy_store_lost(struct patroni_policy *p, int64_t now_ms)
{
	begin(p, now_ms);
	p->is_store_out = true;
	settle(p, now_ms);
}

void patroni_policy_store_back(struct patroni_policy *p, int64_t now_ms)
{
	begin(p, now_ms);
	note_store_back(p, now_ms);
	settle(p, now_ms);
}

/* The routed member says that it is writable. */
static void note_confirmation(struct patroni_policy *p, int64_t now_ms)
{
	const struct patroni_candidate *c = &p->candidate;
	bool is_restarted = c->timeline != 0 && p->timeline != 0 && c->timeline != p->timeline;

	if (c->holds_lock && p->confirm_by_ms > 0) {
		/* Promoted anew: what was left of its sessions is not of now. */
		if (is_restarted)
			cut(p, now_ms);
		p->confirm_by_ms = 0;
	}
	if (!p->is_routed)
		return;
	note_timeline(p, c->timeline);
	p->confirmed_ms = c->answered_ms;
	if (c->holds_lock)
		p->is_by_store = false;
	if (c->answered_ms >= p->back_ms && !p->is_store_out && p->is_to_verify) {
		p->is_to_verify = false;
		if (!p->is_read_due)
			vouch(p, p->read_sent_ms);
	}
	if (p->settings.store_outage == PATRONI_OUTAGE_CONFIRM && p->confirm_by_ms == 0)
		vouch(p, c->answered_ms);
}

void patroni_policy_probe(struct patroni_policy *p, const struct patroni_probe *probe,
			  int64_t now_ms)
{
	struct patroni_candidate *c = &p->candidate;

	begin(p, now_ms);
	if (asks(p) && *c->name != '\0' && strcmp(probe->member, c->name) == 0 &&
	    strcmp(probe->address, c->address) == 0 && probe->sent_ms >= c->seen_ms &&
	    probe->sent_ms >= c->answered_ms && probe->sent_ms <= now_ms) {
		c->answer = probe->answer;
		c->answered_ms = probe->sent_ms;
		c->timeline = probe->timeline;
		c->system_id = probe->system_id;
		if (p->is_routed && patroni_judge_answer(p) == PATRONI_ROUTED)
			note_confirmation(p, now_ms);
	}
	settle(p, now_ms);
}

void patroni_policy_tick(struct patroni_policy *p, int64_t now_ms)
{
	begin(p, now_ms);
	settle(p, now_ms);
}
