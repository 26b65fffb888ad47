/* What the files of routing/election share. */
#ifndef PGSPLICE_ROUTING_ELECTION_PRIVATE_H
#define PGSPLICE_ROUTING_ELECTION_PRIVATE_H

#include "routing/election.h"

#define ELECTION_NEVER INT64_MIN
/* Systems of which a timeline is remembered; more are refused. */
#define ELECTION_MAX_SYSTEMS 8

/* A member with what it has said. */
struct election_peer {
	struct election_member member; /* what is shown of it */
	char *name;
	char *address;
	enum election_role judged; /* the role before anybody is chosen to lead */
	int64_t since_ms;          /* what was sent before is not about this member */
	/* The newest try of any outcome. */
	int64_t tried_ms;
	enum election_outcome tried;
	/* Since its newest answer. */
	unsigned silences;
	unsigned refusals;
	/* The newest answer that says what it is. */
	int64_t answered_ms; /* when it was asked for */
	enum election_outcome answer;
	uint32_t timeline;
	uint64_t system_id;
	uint64_t position;
};

/* The highest timeline that was seen writable of a system. */
struct election_system {
	uint64_t id; /* 0: of those that do not tell */
	uint32_t timeline;
};

struct election {
	struct election_settings settings;
	int64_t now_ms;
	size_t count;
	struct election_peer **peers;
	int64_t *scratch; /* room for one of each peer's times */
	/* Timelines. */
	size_t system_count;
	struct election_system systems[ELECTION_MAX_SYSTEMS];
	uint64_t system_id; /* confirmed by a leader; 0: none yet */
	uint64_t ours;      /* the same, or what most members say; 0: cannot be told */
	/* The route. */
	struct election_peer *leader;   /* NULL: nobody */
	struct election_peer *champion; /* the last leader that is still a member */
	/* The champion, if it was writable when a higher timeline turned up that was not
	 * seen to follow it; until it is not writable any more. */
	struct election_peer *rival;
	uint64_t led_position; /* the newest of the last leader */
	uint32_t led_timeline; /* the same */
	int64_t wait_until_ms; /* for members that were not heard; NEVER: not waiting */
	int64_t stirred_ms;    /* when something last changed */
	bool was_pending;      /* a change, after the event before */
	struct election_decision decision;
};

/* What is known at e->now_ms. */
bool election_is_fresh(const struct election *e, int64_t sent_ms);
bool election_is_down(const struct election *e, const struct election_peer *p);
/* It answered not long ago, and was not found down since. */
bool election_is_answering(const struct election *e, const struct election_peer *p);
bool election_is_writable(const struct election *e, const struct election_peer *p);
/* The newest questions to it were answered with "writable". */
static inline bool election_is_confirmed(const struct election_peer *p)
{
	return p->tried == ELECTION_WRITABLE;
}

/* Systems and their timelines. */
void election_choose_system(struct election *e);
bool election_is_of_ours(const struct election *e, uint64_t system_id);
/* The lowest timeline that a writable server of the system may be on. */
uint32_t election_lowest_timeline(const struct election *e, uint64_t system_id);
void election_note_timeline(struct election *e, uint64_t system_id, uint32_t timeline);

/* Decides anew, for e->now_ms. */
void election_judge(struct election *e);

#endif
