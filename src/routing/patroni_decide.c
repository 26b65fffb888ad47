/* What the policy tells the world: the decision, and who is to be asked how often.
 * Changes nothing. */
#include <string.h>

#include "patroni_private.h"

static const char *const names[PATRONI_REASON_COUNT] = {
	[PATRONI_ROUTED] = "routed",
	[PATRONI_ROUTED_BY_STORE] = "routed-by-store",
	[PATRONI_KEPT_REFUSING] = "kept-refusing",
	[PATRONI_KEPT_STORE_OUT] = "kept-store-out",
	[PATRONI_KEPT_UNVERIFIED] = "kept-unverified",
	[PATRONI_KEPT_PAUSED] = "kept-paused",
	[PATRONI_KEPT_DEBOUNCED] = "kept-debounced",
	[PATRONI_NO_VIEW] = "no-view",
	[PATRONI_NO_CLUSTER] = "no-cluster",
	[PATRONI_NO_LEADER] = "no-leader",
	[PATRONI_LEADER_RELEASED] = "leader-released",
	[PATRONI_LEADER_EXPIRED] = "leader-expired",
	[PATRONI_LEADER_NOT_HELD] = "leader-not-held",
	[PATRONI_STANDBY_CLUSTER] = "standby-cluster",
	[PATRONI_NO_MEMBER] = "no-member",
	[PATRONI_BAD_MEMBER] = "bad-member",
	[PATRONI_NO_ADDRESS] = "no-address",
	[PATRONI_STORE_OUT] = "store-out",
	[PATRONI_STORE_STALE] = "store-stale",
	[PATRONI_UNCONFIRMED] = "unconfirmed",
	[PATRONI_UNREACHABLE] = "unreachable",
	[PATRONI_REFUSING] = "refusing",
	[PATRONI_READ_ONLY] = "read-only",
	[PATRONI_STALE_TIMELINE] = "stale-timeline",
	[PATRONI_OTHER_SYSTEM] = "other-system",
};

const char *patroni_reason_name(enum patroni_reason reason)
{
	return names[reason];
}

/* Two servers that write, or a record that no Patroni would have written. */
bool patroni_reason_is_alarming(enum patroni_reason reason)
{
	return reason == PATRONI_STALE_TIMELINE || reason == PATRONI_OTHER_SYSTEM ||
	       reason == PATRONI_BAD_MEMBER || reason == PATRONI_NO_ADDRESS;
}

/* Whether a switchover away from the candidate is about to happen. Not for one
 * that is scheduled, nor for longer than Patroni needs to look at the key. */
static bool is_warned(const struct patroni_policy *p, int64_t now_ms)
{
	const struct patroni_candidate *c = &p->candidate;

	if (p->view == NULL || !c->holds_lock)
		return false;
	const struct patroni_failover *f = patroni_view_failover(p->view);
	if (f->is_scheduled || (*f->leader == '\0' && *f->candidate == '\0'))
		return false;
	if (*f->leader != '\0' && strcmp(f->leader, c->name) != 0)
		return false; /* not from here, so Patroni will refuse it */
	return strcmp(f->candidate, c->name) != 0 &&
	       now_ms < p->failover_seen_ms + patroni_view_config(p->view)->loop_wait_s * 1000;
}

/* Whether the reason for which nobody is routed is one of those between two leaders. */
static bool is_of_a_change(enum patroni_reason reason)
{
	switch (reason) {
	case PATRONI_NO_LEADER:
	case PATRONI_LEADER_RELEASED:
	case PATRONI_LEADER_EXPIRED:
	case PATRONI_NO_MEMBER:
	case PATRONI_UNCONFIRMED:
	case PATRONI_UNREACHABLE:
	case PATRONI_REFUSING:
	case PATRONI_READ_ONLY:
		return true;
	case PATRONI_ROUTED:
	case PATRONI_ROUTED_BY_STORE:
	case PATRONI_KEPT_REFUSING:
	case PATRONI_KEPT_STORE_OUT:
	case PATRONI_KEPT_UNVERIFIED:
	case PATRONI_KEPT_PAUSED:
	case PATRONI_KEPT_DEBOUNCED:
	case PATRONI_NO_VIEW:
	case PATRONI_NO_CLUSTER:
	case PATRONI_LEADER_NOT_HELD:
	case PATRONI_STANDBY_CLUSTER:
	case PATRONI_BAD_MEMBER:
	case PATRONI_NO_ADDRESS:
	case PATRONI_STORE_OUT:
	case PATRONI_STORE_STALE:
	case PATRONI_STALE_TIMELINE:
	case PATRONI_OTHER_SYSTEM:
		break;
	}
	return false;
}

/* Until when new clients wait for who comes after the one that was cut: a loop is what
 * Patroni needs at most to see that there is nobody. */
static int64_t awaited_until_ms(const struct patroni_policy *p)
{
	if (p->view == NULL || p->cut_ms == 0)
		return 0;
	return p->cut_ms + patroni_view_config(p->view)->loop_wait_s * 1000;
}

static void add_wish(struct patroni_decision *d, const char *member, const char *address,
		     bool is_fast)
{
	if (*member != '\0' && *address != '\0')
		d->wishes[d->wish_count++] = (struct patroni_wish){member, address, is_fast};
}

/* When a member that only its own word keeps has to be heard again: slow polls may be
 * slower than that word counts. */
static int64_t word_due_ms(const struct patroni_policy *p)
{
	return p->confirmed_ms + PATRONI_FRESH_MS / 2;
}

/* What may last for hours and is no change under way has the slow polls. */
static bool is_urgent(const struct patroni_policy *p, const struct patroni_decision *d,
		      int64_t now_ms)
{
	if (d->reason == PATRONI_STANDBY_CLUSTER)
		return !patroni_view_config(p->view)->standby_cluster;
	if (d->reason == PATRONI_KEPT_PAUSED && !d->hold_new_clients)
		return now_ms >= word_due_ms(p);
	return d->hold_new_clients ||
	       (d->reason != PATRONI_ROUTED && d->reason != PATRONI_ROUTED_BY_STORE);
}

static void fill_wishes(const struct patroni_policy *p, struct patroni_decision *d, int64_t now_ms)
{
	const struct patroni_candidate *c = &p->candidate;

	if (p->view == NULL || p->settings.confirm == PATRONI_CONFIRM_NEVER)
		return;
	add_wish(d, c->name, c->address, is_urgent(p, d, now_ms));
	if (!is_warned(p, now_ms))
		return;
	const struct patroni_member *next =
		patroni_view_find_member(p->view, patroni_view_failover(p->view)->candidate);
	if (next != NULL && next->is_decodable)
		add_wish(d, next->name, next->address.text, true);
}

/* The next moment at which time alone changes the decision. */
static int64_t next_change_ms(const struct patroni_policy *p, const struct patroni_decision *d,
			      int64_t now_ms)
{
	int64_t next_ms = d->valid_until_ms;
	int64_t no_answer_ms = patroni_asked_since_ms(p) + PATRONI_NO_ANSWER_MS;

	if (p->was_cut)
		return now_ms;
	if (is_warned(p, now_ms))
		next_ms = patroni_earlier(next_ms,
					  p->failover_seen_ms +
						  patroni_view_config(p->view)->loop_wait_s * 1000);
	if (d->reason == PATRONI_KEPT_PAUSED && now_ms < word_due_ms(p))
		next_ms = patroni_earlier(next_ms, word_due_ms(p));
	if (d->member == NULL && d->hold_new_clients)
		next_ms = patroni_earlier(next_ms, awaited_until_ms(p));
	if (d->member == NULL && p->candidate.holds_lock && now_ms < no_answer_ms &&
	    p->settings.confirm == PATRONI_CONFIRM_AUTO)
		next_ms = patroni_earlier(next_ms, no_answer_ms);
	return next_ms;
}

struct patroni_decision patroni_policy_decide(const struct patroni_policy *p, int64_t now_ms)
{
	struct patroni_decision d = {
		.valid_until_ms = INT64_MAX, .term = p->term, .epoch = p->candidate.epoch};

	d.reason = p->is_routed ? patroni_judge_route(p, now_ms) : patroni_judge_opening(p, now_ms);
	if (p->is_routed && d.reason < PATRONI_NO_VIEW) {
		d.member = p->candidate.name;
		d.address = p->candidate.address;
		d.valid_until_ms = patroni_route_until_ms(p);
		d.hold_new_clients = d.reason == PATRONI_KEPT_DEBOUNCED ||
				     p->candidate.answer == PATRONI_ANSWER_REFUSED ||
				     is_warned(p, now_ms);
	} else if (d.reason < PATRONI_NO_VIEW) {
		d.reason = PATRONI_UNCONFIRMED; /* opens with the next event */
	}
	if (d.member == NULL)
		d.hold_new_clients = is_of_a_change(d.reason) && now_ms < awaited_until_ms(p);
	fill_wishes(p, &d, now_ms);
	d.look_again_ms = next_change_ms(p, &d, now_ms);
	return d;
}
