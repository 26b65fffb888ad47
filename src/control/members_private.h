/* What source_members.c and members_view.c share. Control thread. */
#ifndef PGSPLICE_CONTROL_MEMBERS_PRIVATE_H
#define PGSPLICE_CONTROL_MEMBERS_PRIVATE_H

#include "control/member_places.h"
#include "control/observer.h"
#include "control/source.h"
#include "control/unwaited.h"
#include "routing/election.h"

#define MEMBERS_TEXT_SIZE 300 /* of a decision described */

/* What a server said last: the data of its place. */
struct server {
	bool was_standby;
	uint64_t position;
	bool has_delay;
	int64_t delay_ms;
	bool is_asked; /* once more, now; by the plan in force */
	bool has_said; /* anything; then */
	enum probe_outcome said;
	enum election_role alarm; /* as logged last; UNKNOWN: none */
};

struct members {
	struct source source;
	const struct members_settings *settings;
	struct loop *loop;
	watch_cb *cb;
	void *arg;
	struct observer *observer;
	struct election *election;
	struct loop_timer tick;
	struct loop_timer read_done; /* never inside the call */
	struct unwaited unwaited;
	bool is_read_due;
	bool has_decided; /* the first time */
	bool has_logged;
	bool hurry; /* by the plan in force */
	int64_t generation;
	struct view *view;      /* of the newest decision */
	uint64_t told;          /* a digest of what was told last, */
	int64_t told_ms;        /* when, */
	int64_t valid_until_ms; /* and until when that is valid */
	uint64_t term;          /* as logged last, as is the next */
	enum election_reason reason;
	struct member_places *places;
};

/* For how long after it was asked a leader is vouched for. */
static inline int64_t members_window_ms(const struct members *m)
{
	const struct probing *p = &m->settings->probing;

	return p->interval_ms + p->fall * p->timeout_ms;
}

/* The place of the election's member of this index; NULL for a name that leads nowhere. */
struct member_place *members_place_of(const struct members *m, size_t index);

/* The decision as a view; NULL without memory. */
struct view *members_make_view(struct members *m, const struct election_decision *d);
/* Of all that is worth telling at once: who leads, and what each member is. */
uint64_t members_digest(const struct members *m, const struct election_decision *d);

#endif
