/* What the policy's state means at a moment: may the candidate be routed to, may
 * the route stay? Changes nothing. */
#include "patroni_private.h"

/* etcd takes so much longer than the lease to delete a key, and so do we. */
#define LEASE_SLACK_MS 1000

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int64_t patroni_ttl_ms(const struct patroni_policy *p)
{
	return patroni_view_config(p->view)->ttl_s * 1000;
}

bool patroni_is_paused(const struct patroni_policy *p)
{
	return p->view != NULL && patroni_view_config(p->view)->pause;
}

static const struct patroni_member *find_record(const struct patroni_policy *p)
{
	return patroni_view_find_member(p->view, p->candidate.name);
}

/* The oldest moment at which a question may have been sent that opens a route. */
int64_t patroni_asked_since_ms(const struct patroni_policy *p)
{
	return later(p->candidate.seen_ms, p->back_ms);
}

/* The lowest timeline that a primary may be on. */
static uint32_t lowest_timeline(const struct patroni_policy *p)
{
	uint32_t ended = patroni_view_cluster(p->view)->last_ended_timeline;

	return p->timeline > ended ? p->timeline : ended + (ended < UINT32_MAX);
}

/* A record that was left alone for a whole lease is of now, too: with the lock its
 * holder renews the record, which changes nothing if there is nothing to change. */
static bool is_record_current(const struct patroni_policy *p, const struct patroni_member *record)
{
	return record->mod_revision > p->candidate.record_floor ||
	       p->read_sent_ms >= patroni_asked_since_ms(p) + patroni_ttl_ms(p) + LEASE_SLACK_MS;
}

/* Whether the record counts although the server was not heard. */
static bool may_use_record(const struct patroni_policy *p, int64_t now_ms)
{
	bool is_answered = p->candidate.answered_ms >= patroni_asked_since_ms(p);

	switch (p->settings.confirm) {
	case PATRONI_CONFIRM_NEVER:
		return true;
	case PATRONI_CONFIRM_ALWAYS:
		return false;
	case PATRONI_CONFIRM_AUTO:
		break;
	}
	if (!is_answered || p->candidate.answer == PATRONI_ANSWER_NONE)
		return now_ms >= patroni_asked_since_ms(p) + PATRONI_NO_ANSWER_MS;
	return p->candidate.answer == PATRONI_ANSWER_UNREACHABLE;
}

bool patroni_record_confirms(const struct patroni_policy *p, int64_t now_ms)
{
	const struct patroni_member *record = find_record(p);

	return record != NULL && record->is_decodable && may_use_record(p, now_ms) &&
	       record->role == PATRONI_ROLE_PRIMARY && record->state == PATRONI_STATE_RUNNING &&
	       record->timeline > 0 && record->timeline >= lowest_timeline(p) &&
	       is_record_current(p, record);
}

enum patroni_reason patroni_judge_answer(const struct patroni_policy *p)
{
	const struct patroni_candidate *c = &p->candidate;

	switch (c->answer) {
	case PATRONI_ANSWER_NONE:
		return PATRONI_UNCONFIRMED;
	case PATRONI_ANSWER_UNREACHABLE:
		return PATRONI_UNREACHABLE;
	case PATRONI_ANSWER_REFUSED:
		return PATRONI_REFUSING;
	case PATRONI_ANSWER_READ_ONLY:
		return PATRONI_READ_ONLY;
	case PATRONI_ANSWER_WRITABLE:
		break;
	}
	if (c->system_id != 0 && p->system_id != 0 && c->system_id != p->system_id)
		return PATRONI_OTHER_SYSTEM;
	if (c->timeline != 0 && c->timeline < lowest_timeline(p))
		return PATRONI_STALE_TIMELINE;
	return PATRONI_ROUTED;
}

/* The record's role counts only if we do not know the configuration: it goes on
 * saying so for a second after the promotion of a standby cluster. */
static bool is_standby_cluster(const struct patroni_policy *p)
{
	const struct patroni_config *config = patroni_view_config(p->view);
	const struct patroni_member *record = find_record(p);

	return config->standby_cluster || (!config->is_present && record != NULL &&
					   record->role == PATRONI_ROLE_STANDBY_LEADER);
}

/* What the record says if it does not say that the server is writable. */
static enum patroni_reason judge_record(const struct patroni_member *record)
{
	switch (record->role) {
	case PATRONI_ROLE_STANDBY_LEADER:
		return PATRONI_STANDBY_CLUSTER;
	case PATRONI_ROLE_REPLICA:
	case PATRONI_ROLE_DEMOTED:
	case PATRONI_ROLE_UNINITIALIZED:
		return PATRONI_READ_ONLY;
	case PATRONI_ROLE_UNKNOWN:
	case PATRONI_ROLE_PRIMARY:
	case PATRONI_ROLE_PROMOTED:
		break;
	}
	return PATRONI_UNCONFIRMED;
}

/* The store was read and has a holder with a record and an address. */
static enum patroni_reason judge_confirmation(const struct patroni_policy *p, int64_t now_ms)
{
	const struct patroni_candidate *c = &p->candidate;
	enum patroni_reason judged = patroni_judge_answer(p);

	if (c->answered_ms < patroni_asked_since_ms(p) ||
	    (judged == PATRONI_ROUTED && now_ms >= c->answered_ms + PATRONI_FRESH_MS))
		judged = PATRONI_UNCONFIRMED;
	if (judged == PATRONI_ROUTED)
		return judged;
	if (patroni_record_confirms(p, now_ms))
		return PATRONI_ROUTED_BY_STORE;
	if (judged == PATRONI_UNCONFIRMED && p->settings.confirm == PATRONI_CONFIRM_NEVER)
		return judge_record(find_record(p));
	if (judged == PATRONI_READ_ONLY && find_record(p)->role == PATRONI_ROLE_STANDBY_LEADER)
		return PATRONI_STANDBY_CLUSTER;
	return judged;
}

enum patroni_reason patroni_judge_opening(const struct patroni_policy *p, int64_t now_ms)
{
	const struct patroni_member *record;

	if (p->view == NULL)
		return PATRONI_NO_VIEW;
	if (p->is_store_out)
		return PATRONI_STORE_OUT;
	if (p->read_sent_ms == 0 || now_ms >= p->read_sent_ms + patroni_ttl_ms(p))
		return PATRONI_STORE_STALE;
	if (!p->candidate.holds_lock)
		return p->gone;
	if (is_standby_cluster(p))
		return PATRONI_STANDBY_CLUSTER;
	record = find_record(p);
	if (record == NULL)
		return PATRONI_NO_MEMBER;
	if (!record->is_decodable)
		return PATRONI_BAD_MEMBER;
	if (record->address.count == 0)
		return PATRONI_NO_ADDRESS;
	if (p->is_read_due)
		return PATRONI_UNCONFIRMED;
	return judge_confirmation(p, now_ms);
}

/* Without a lock only its own word keeps a member. */
static int64_t unlocked_until_ms(const struct patroni_policy *p)
{
	if (!patroni_is_paused(p))
		return p->confirm_by_ms;
	return p->confirmed_ms > 0 ? p->confirmed_ms + PATRONI_FRESH_MS : 0;
}

int64_t patroni_route_until_ms(const struct patroni_policy *p)
{
	int64_t until_ms = p->vouched_ms + patroni_ttl_ms(p);

	if (!p->candidate.holds_lock)
		return patroni_earlier(until_ms, unlocked_until_ms(p));
	return p->confirm_by_ms > 0 ? patroni_earlier(until_ms, p->confirm_by_ms) : until_ms;
}

/* What keeps the route, which stays. */
static enum patroni_reason judge_kept(const struct patroni_policy *p)
{
	enum patroni_answer answer = p->candidate.answer;

	if (!p->candidate.holds_lock)
		return patroni_is_paused(p) ? PATRONI_KEPT_PAUSED : PATRONI_KEPT_DEBOUNCED;
	if (p->confirm_by_ms > 0)
		return PATRONI_KEPT_DEBOUNCED;
	if (p->is_store_out)
		return PATRONI_KEPT_STORE_OUT;
	if (p->is_to_verify)
		return PATRONI_KEPT_UNVERIFIED;
	if (answer == PATRONI_ANSWER_REFUSED ||
	    (answer == PATRONI_ANSWER_UNREACHABLE && !p->is_by_store))
		return PATRONI_KEPT_REFUSING;
	return p->is_by_store ? PATRONI_ROUTED_BY_STORE : PATRONI_ROUTED;
}

/* What speaks against the server itself; PATRONI_ROUTED: nothing. That it does not
 * answer does not, as long as it holds the lock: after a crash it comes back. */
static enum patroni_reason judge_server(const struct patroni_policy *p)
{
	const struct patroni_member *record = find_record(p);
	enum patroni_reason judged = patroni_judge_answer(p);

	if (is_standby_cluster(p))
		return PATRONI_STANDBY_CLUSTER;
	if (judged == PATRONI_READ_ONLY || judged == PATRONI_STALE_TIMELINE ||
	    judged == PATRONI_OTHER_SYSTEM)
		return judged;
	if (judged == PATRONI_REFUSING && !p->candidate.holds_lock)
		return p->gone;
	/* It was primary when it confirmed the route, so this is newer. */
	if (p->is_by_store && record != NULL && record->is_decodable &&
	    judge_record(record) != PATRONI_UNCONFIRMED)
		return judge_record(record);
	return PATRONI_ROUTED;
}

enum patroni_reason patroni_judge_route(const struct patroni_policy *p, int64_t now_ms)
{
	enum patroni_reason judged = judge_server(p);

	if (judged != PATRONI_ROUTED)
		return judged;
	if (now_ms < patroni_route_until_ms(p))
		return judge_kept(p);
	if (!p->candidate.holds_lock)
		return p->gone;
	if (p->confirm_by_ms > 0 && now_ms >= p->confirm_by_ms)
		return PATRONI_UNCONFIRMED;
	return p->is_store_out ? PATRONI_STORE_OUT : PATRONI_STORE_STALE;
}
