/* What the members' words mean at a moment: what each of them is, and who leads. */
#include "base/check.h"
#include "election_private.h"

static int64_t window_ms(const struct election *e)
{
	return e->settings.interval_ms + (int64_t)e->settings.fall * e->settings.timeout_ms;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

bool election_is_fresh(const struct election *e, int64_t sent_ms)
{
	return sent_ms != ELECTION_NEVER && e->now_ms - sent_ms < window_ms(e);
}

bool election_is_down(const struct election *e, const struct election_peer *p)
{
	return p->silences >= e->settings.fall || p->refusals >= 2;
}

bool election_is_answering(const struct election *e, const struct election_peer *p)
{
	return election_is_fresh(e, p->answered_ms) && !election_is_down(e, p);
}

bool election_is_writable(const struct election *e, const struct election_peer *p)
{
	return p->answer == ELECTION_WRITABLE && election_is_answering(e, p);
}

/* Members */

static enum election_role judge_silent(const struct election *e, const struct election_peer *p)
{
	if (election_is_fresh(e, p->tried_ms) && p->tried == ELECTION_CANNOT_ASK)
		return ELECTION_ROLE_UNASKABLE;
	return election_is_down(e, p) ? ELECTION_ROLE_DOWN : ELECTION_ROLE_UNKNOWN;
}

static enum election_role judge_peer(const struct election *e, const struct election_peer *p)
{
	uint32_t lowest = election_lowest_timeline(e, p->system_id);

	if (!election_is_answering(e, p))
		return judge_silent(e, p);
	if (!election_is_of_ours(e, p->system_id))
		return ELECTION_ROLE_OTHER_SYSTEM;
	switch (p->answer) {
	case ELECTION_WRITABLE:
		return p->timeline != 0 && p->timeline < lowest ? ELECTION_ROLE_STALE
								: ELECTION_ROLE_WRITABLE;
	case ELECTION_IN_RECOVERY:
		return lowest != 0 && p->timeline > lowest ? ELECTION_ROLE_AHEAD
							   : ELECTION_ROLE_STANDBY;
	case ELECTION_READ_ONLY:
		return ELECTION_ROLE_READ_ONLY;
	case ELECTION_STARTING:
	case ELECTION_REFUSED:
	case ELECTION_SILENT:
	case ELECTION_CANNOT_ASK:
		break;
	}
	return ELECTION_ROLE_STARTING;
}

/* The first one with the role behind `after`, which is NULL for the first of all. */
static struct election_peer *find_judged(const struct election *e, enum election_role role,
					 const struct election_peer *after)
{
	bool is_behind = after == NULL;

	for (size_t i = 0; i < e->count; i++) {
		if (is_behind && e->peers[i]->judged == role)
			return e->peers[i];
		is_behind = is_behind || e->peers[i] == after;
	}
	return NULL;
}

/* The majority */

static size_t needed_answers(const struct election *e)
{
	return e->count >= 3 ? e->count / 2 + 1 : 0;
}

static bool is_witness(const struct election *e, const struct election_peer *p)
{
	return election_is_answering(e, p) && p->judged != ELECTION_ROLE_OTHER_SYSTEM;
}

static size_t count_witnesses(const struct election *e)
{
	size_t count = 0;

	for (size_t i = 0; i < e->count; i++)
		count += is_witness(e, e->peers[i]);
	return count;
}

static int newest_first(const void *a, const void *b)
{
	const int64_t *one = a;
	const int64_t *other = b;

	return (*one < *other) - (*one > *other);
}

/* The newest moment since which enough members have answered; now without need. */
static int64_t majority_since_ms(const struct election *e)
{
	size_t count = 0;

	if (needed_answers(e) == 0)
		return e->now_ms;
	for (size_t i = 0; i < e->count; i++) {
		if (is_witness(e, e->peers[i]))
			e->scratch[count++] = e->peers[i]->answered_ms;
	}
	CHECK(count >= needed_answers(e));
	qsort(e->scratch, count, sizeof(e->scratch[0]), newest_first);
	return e->scratch[needed_answers(e) - 1];
}

/* The choice */

/* Whether there is somebody who might be a better one. Those that came only now do not
 * hold up who was seen to follow the last leader. */
static bool is_unheard_of(const struct election *e, const struct election_peer *candidate)
{
	bool follows = e->led_timeline != 0 && candidate->timeline > e->led_timeline;

	for (size_t i = 0; i < e->count; i++) {
		const struct election_peer *p = e->peers[i];
		bool is_new = p->tried_ms == ELECTION_NEVER;
		if (*p->address != '\0' && !election_is_fresh(e, p->tried_ms) &&
		    !(is_new && follows))
			return true;
	}
	return false;
}

static bool has_to_wait(struct election *e, const struct election_peer *candidate)
{
	if (!is_unheard_of(e, candidate))
		return false;
	if (e->wait_until_ms == ELECTION_NEVER)
		e->wait_until_ms = e->now_ms + e->settings.timeout_ms;
	return e->now_ms < e->wait_until_ms;
}

static enum election_reason blame(struct election *e, enum election_reason reason,
				  const struct election_peer *one,
				  const struct election_peer *other)
{
	e->decision.about[0] = one != NULL ? &one->member : NULL;
	e->decision.about[1] = other != NULL ? &other->member : NULL;
	return reason;
}

static enum election_reason judge_two(struct election *e, const struct election_peer *one,
				      const struct election_peer *other)
{
	if (one->system_id != 0 && other->system_id != 0 && one->system_id != other->system_id)
		return blame(e, ELECTION_SYSTEMS_DIFFER, one, other);
	return blame(e, ELECTION_TWO_WRITABLE, one, other);
}

static enum election_reason judge_none(struct election *e)
{
	const struct election_peer *stale = find_judged(e, ELECTION_ROLE_STALE, NULL);
	const struct election_peer *foreign = NULL;

	if (e->count == 0)
		return ELECTION_NO_MEMBERS;
	if (stale != NULL)
		return blame(e, ELECTION_STALE_TIMELINE, stale, NULL);
	while ((foreign = find_judged(e, ELECTION_ROLE_OTHER_SYSTEM, foreign)) != NULL) {
		if (foreign->answer == ELECTION_WRITABLE || e->decision.answering == 0)
			return blame(e, ELECTION_OTHER_SYSTEM, foreign, NULL);
	}
	return e->decision.answering > 0 ? ELECTION_NO_WRITABLE : ELECTION_NO_ANSWERS;
}

/* Whoever is WRITABLE is on the highest timeline, or on one that is not known. */
static enum election_reason choose(struct election *e, struct election_peer **ret_leader)
{
	struct election_peer *one = find_judged(e, ELECTION_ROLE_WRITABLE, NULL);
	struct election_peer *other =
		one != NULL ? find_judged(e, ELECTION_ROLE_WRITABLE, one) : NULL;

	if (one == NULL)
		return judge_none(e);
	if (other != NULL)
		return judge_two(e, one, other);
	if (e->ours == 0 && one->system_id != 0) /* one of the other system is but stale */
		return blame(e, ELECTION_SYSTEMS_DIFFER, one,
			     find_judged(e, ELECTION_ROLE_STALE, NULL));
	if (e->rival != NULL)
		return blame(e, ELECTION_CONTESTED, one, e->rival);
	if (e->decision.answering < needed_answers(e))
		return blame(e, ELECTION_NO_MAJORITY, one, NULL);
	if (one != e->leader && !election_is_confirmed(one))
		return blame(e, ELECTION_UNCERTAIN, one, NULL);
	if (one != e->leader && has_to_wait(e, one))
		return blame(e, ELECTION_ASKING, one, NULL);
	*ret_leader = one;
	return ELECTION_ROUTED;
}

/* What follows */

static void take_seat(struct election *e, struct election_peer *leader)
{
	if (leader != e->leader)
		e->stirred_ms = e->now_ms;
	if (leader != NULL && leader != e->leader)
		e->decision.term++;
	e->leader = leader;
	if (leader == NULL)
		return;
	e->champion = leader;
	e->led_timeline = leader->timeline;
	e->led_position = leader->position;
	if (e->system_id == 0)
		e->system_id = leader->system_id;
}

static int64_t lag_bytes(const struct election *e, const struct election_peer *p)
{
	if (p->answer != ELECTION_IN_RECOVERY || p->position == 0 || e->led_position == 0)
		return -1;
	return e->led_position > p->position ? (int64_t)(e->led_position - p->position) : 0;
}

static void show_member(struct election *e, struct election_peer *p)
{
	enum election_role role = p == e->leader ? ELECTION_ROLE_LEADER : p->judged;

	if (role != p->member.role)
		e->stirred_ms = e->now_ms;
	p->member.role = role;
	p->member.timeline = p->timeline;
	p->member.system_id = p->system_id;
	p->member.lag_bytes = lag_bytes(e, p);
	p->member.ask_now = p->tried == ELECTION_REFUSED && p->refusals == 1;
}

static bool is_change_pending(const struct election *e)
{
	if (e->leader == NULL)
		return e->count > 0;
	return !election_is_confirmed(e->leader) ||
	       find_judged(e, ELECTION_ROLE_AHEAD, NULL) != NULL;
}

static void show_hurry(struct election *e)
{
	bool pending = is_change_pending(e);

	if (pending && !e->was_pending)
		e->stirred_ms = e->now_ms;
	e->was_pending = pending;
	e->decision.hurry = pending && e->now_ms - e->stirred_ms < ELECTION_HURRY_MS;
	for (size_t i = 0; i < e->count; i++)
		e->peers[i]->member.hurry = e->decision.hurry && *e->peers[i]->address != '\0' &&
					    e->peers[i]->member.role != ELECTION_ROLE_OTHER_SYSTEM;
}

static int64_t look_again_ms(const struct election *e)
{
	int64_t at = INT64_MAX;

	for (size_t i = 0; i < e->count; i++) {
		if (election_is_fresh(e, e->peers[i]->answered_ms))
			at = earlier(at, e->peers[i]->answered_ms + window_ms(e));
	}
	return e->wait_until_ms > e->now_ms ? earlier(at, e->wait_until_ms) : at;
}

static void show(struct election *e, enum election_reason reason)
{
	struct election_decision *d = &e->decision;

	for (size_t i = 0; i < e->count; i++)
		show_member(e, e->peers[i]);
	show_hurry(e);
	d->reason = reason;
	d->leader = e->leader != NULL ? &e->leader->member : NULL;
	d->valid_until_ms = 0;
	if (e->leader != NULL)
		d->valid_until_ms =
			earlier(e->leader->answered_ms, majority_since_ms(e)) + window_ms(e);
	d->look_again_ms = look_again_ms(e);
	d->timeline = election_lowest_timeline(e, 0);
	d->system_id = e->ours;
}

void election_judge(struct election *e)
{
	struct election_peer *leader = NULL;

	election_choose_system(e);
	if (e->rival != NULL && !election_is_writable(e, e->rival))
		e->rival = NULL;
	for (size_t i = 0; i < e->count; i++)
		e->peers[i]->judged = judge_peer(e, e->peers[i]);
	e->decision.answering = count_witnesses(e);
	blame(e, ELECTION_ROUTED, NULL, NULL);
	enum election_reason reason = choose(e, &leader);
	if (reason != ELECTION_ASKING && reason != ELECTION_UNCERTAIN)
		e->wait_until_ms = ELECTION_NEVER;
	take_seat(e, leader);
	show(e, reason);
}
