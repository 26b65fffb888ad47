/* The events of an election: who is a member, and what each has said. What follows
 * from it is in election_judge.c. */
#include "routing/election.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "election_private.h"

struct election *election_new(const struct election_settings *settings)
{
	struct election *e = calloc(1, sizeof(*e));

	CHECK(settings->fall >= 1 && settings->interval_ms >= 0 && settings->timeout_ms > 0);
	if (e == NULL)
		return NULL;
	e->settings = *settings;
	e->now_ms = ELECTION_NEVER;
	e->wait_until_ms = ELECTION_NEVER;
	e->stirred_ms = ELECTION_NEVER;
	election_judge(e);
	return e;
}

static void peer_free(struct election_peer *p)
{
	if (p == NULL)
		return;
	free(p->name);
	free(p->address);
	free(p);
}

void election_free(struct election **election)
{
	struct election *e = TAKE_PTR(*election);

	if (e == NULL)
		return;
	for (size_t i = 0; i < e->count; i++)
		peer_free(e->peers[i]);
	free(e->peers);
	free(e->scratch);
	free(e);
}

static bool is_anybody_writable(const struct election *e)
{
	for (size_t i = 0; i < e->count; i++) {
		if (election_is_writable(e, e->peers[i]))
			return true;
	}
	return false;
}

/* What time has ended is over before anything is taken that would begin it anew: a
 * leader's seat, since nobody was routed in between, and a wait, since a suspend does
 * not give others the time to answer. */
static void advance(struct election *e, int64_t now_ms)
{
	if (now_ms > e->now_ms)
		e->now_ms = now_ms;
	if (e->leader != NULL && e->now_ms >= e->decision.valid_until_ms)
		e->leader = NULL;
	if (e->wait_until_ms != ELECTION_NEVER && !is_anybody_writable(e))
		e->wait_until_ms = ELECTION_NEVER;
}

/* Members */

/* An empty address is nobody's. */
static struct election_peer *find_peer(struct election_peer *const *peers, size_t count,
				       const char *address)
{
	for (size_t i = 0; i < count && *address != '\0'; i++) {
		if (peers[i] != NULL && strcmp(peers[i]->address, address) == 0)
			return peers[i];
	}
	return NULL;
}

static struct election_peer *peer_new(const struct election_place *place, int64_t now_ms)
{
	struct election_peer *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->since_ms = now_ms;
	p->tried_ms = ELECTION_NEVER;
	p->tried = ELECTION_CANNOT_ASK;
	p->answered_ms = ELECTION_NEVER;
	p->answer = ELECTION_STARTING;
	p->member.lag_bytes = -1;
	p->name = strdup(place->name);
	p->address = strdup(place->address);
	if (p->name == NULL || p->address == NULL) {
		peer_free(p);
		return NULL;
	}
	p->member.name = p->name;
	p->member.address = p->address;
	return p;
}

/* New ones for all places but duplicates: fresh[i] stays NULL for those. */
static int make_peers(const struct election_place *places, size_t count, int64_t now_ms,
		      struct election_peer **fresh)
{
	for (size_t i = 0; i < count; i++) {
		if (find_peer(fresh, i, places[i].address) != NULL)
			continue;
		fresh[i] = peer_new(&places[i], now_ms);
		if (fresh[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

/* The state of before, under the name of now. */
static void keep_peer(struct election_peer **slot, struct election_peer *kept)
{
	free(kept->name);
	kept->name = TAKE_PTR((*slot)->name);
	kept->member.name = kept->name;
	peer_free(*slot);
	*slot = kept;
}

static void forget_peer(struct election *e, struct election_peer *p)
{
	if (e->leader == p)
		e->leader = NULL;
	if (e->champion == p)
		e->champion = NULL;
	if (e->rival == p)
		e->rival = NULL;
	peer_free(p);
}

/* Moves into the places of fresh whoever remains, and closes the gaps. */
static size_t merge_peers(struct election *e, struct election_peer **fresh, size_t count)
{
	size_t kept = 0;
	size_t filled = 0;

	for (size_t i = 0; i < e->count; i++) {
		struct election_peer *old = e->peers[i];
		size_t slot = 0;
		while (slot < count && (fresh[slot] == NULL || *old->address == '\0' ||
					strcmp(fresh[slot]->address, old->address) != 0))
			slot++;
		if (slot == count) {
			forget_peer(e, old);
			continue;
		}
		keep_peer(&fresh[slot], old);
		kept++;
	}
	for (size_t i = 0; i < count; i++) {
		if (fresh[i] != NULL)
			fresh[filled++] = fresh[i];
	}
	if (kept < filled || kept < e->count)
		e->stirred_ms = e->now_ms;
	return filled;
}

int election_set_members(struct election *election, const struct election_place *places,
			 size_t count, int64_t now_ms)
{
	struct election *e = election;
	struct election_peer **fresh = calloc(count + 1, sizeof(struct election_peer *));
	int64_t *scratch = calloc(count + 1, sizeof(*scratch));

	advance(e, now_ms);
	if (fresh == NULL || scratch == NULL || make_peers(places, count, e->now_ms, fresh) < 0) {
		for (size_t i = 0; fresh != NULL && i < count; i++)
			peer_free(fresh[i]);
		free(fresh);
		free(scratch);
		return -ENOMEM;
	}
	count = merge_peers(e, fresh, count);
	free(e->peers);
	free(e->scratch);
	e->peers = fresh;
	e->scratch = scratch;
	e->count = count;
	election_judge(e);
	return 0;
}

/* Answers */

/* A timeline higher than any before turns up. It follows the last leader if that was
 * not seen leading since, and if the server became writable before our eyes: was in
 * recovery, or not heard. */
static void note_succession(struct election *e, const struct election_peer *p,
			    const struct election_answer *answer, bool was_writable)
{
	struct election_peer *champion = e->champion;

	e->rival = NULL;
	if (champion == NULL || champion == p || !election_is_writable(e, champion))
		return;
	if (was_writable || champion->answered_ms >= answer->sent_ms)
		e->rival = champion;
}

static void take_writable(struct election *e, struct election_peer *p,
			  const struct election_answer *answer, bool was_writable)
{
	if (answer->timeline == 0)
		return;
	if (election_is_of_ours(e, answer->system_id) &&
	    answer->timeline > election_lowest_timeline(e, answer->system_id))
		note_succession(e, p, answer, was_writable);
	election_note_timeline(e, answer->system_id, answer->timeline);
}

static void take_words(struct election *e, struct election_peer *p,
		       const struct election_answer *answer)
{
	bool was_writable = election_is_writable(e, p);

	if (answer->outcome == ELECTION_WRITABLE)
		take_writable(e, p, answer, was_writable);
	p->answer = answer->outcome;
	p->answered_ms = answer->sent_ms;
	p->timeline = answer->timeline;
	p->system_id = answer->system_id;
	p->position = answer->position;
	p->silences = 0;
	p->refusals = 0;
}

void election_take_answer(struct election *election, const struct election_answer *answer,
			  int64_t now_ms)
{
	struct election *e = election;
	struct election_peer *p = find_peer(e->peers, e->count, answer->address);

	advance(e, now_ms);
	if (p != NULL && answer->sent_ms >= p->since_ms && answer->sent_ms >= p->tried_ms &&
	    answer->sent_ms <= e->now_ms) {
		p->tried_ms = answer->sent_ms;
		p->tried = answer->outcome;
		switch (answer->outcome) {
		case ELECTION_WRITABLE:
		case ELECTION_READ_ONLY:
		case ELECTION_IN_RECOVERY:
		case ELECTION_STARTING:
			take_words(e, p, answer);
			break;
		case ELECTION_REFUSED:
			p->refusals++;
			break;
		case ELECTION_SILENT:
			p->silences++;
			break;
		case ELECTION_CANNOT_ASK:
			break;
		}
	}
	election_judge(e);
}

void election_tick(struct election *election, int64_t now_ms)
{
	advance(election, now_ms);
	election_judge(election);
}

/* What is told */

const struct election_decision *election_decision(const struct election *election)
{
	return &election->decision;
}

size_t election_member_count(const struct election *election)
{
	return election->count;
}

const struct election_member *election_member_at(const struct election *election, size_t index)
{
	CHECK(index < election->count);
	return &election->peers[index]->member;
}
