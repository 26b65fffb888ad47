/* Who leads among servers that nobody keeps a record of, by what they say of
 * themselves. Pure: events and times are passed in. What it holds to, whatever comes
 * in which order:
 *
 *  1. One system: the first that a leader was of, before that the one of most members.
 *     Others are refused. A server that does not tell is taken for one of ours.
 *  2. Timelines do not go back: nobody is routed to a server on a timeline below one
 *     that was seen writable, be it gone, for as long as the process lives.
 *  3. Two writable servers on one timeline, or on timelines that are not known: nobody.
 *     On a higher timeline the second wins at once, if it was seen promoted after the
 *     first was last seen leading; otherwise only when the first is not writable any
 *     more, and until then nobody is routed.
 *  4. From three members up, somebody is routed only while more than half of them
 *     answer, whatever they say of themselves. Two members cannot tell a dead one from
 *     a cut wire: a promotion behind a partition is not seen.
 *  5. Every route has a deadline, `valid_until_ms`: a window of interval + fall x timeout
 *     past the moment at which the leader's newest writable answer, or the oldest one
 *     that the majority needs, was asked for. It holds even if nobody calls us.
 *  6. A leader is dropped at once when it says that it is none (in recovery, read-only,
 *     57P03), at the second refusal in a row, at the fall-th silence in a row. One that
 *     cannot be asked any more goes by its deadline.
 *  7. Nobody becomes leader before each member has answered or failed within the window,
 *     or one timeout has passed since there was a candidate: at the start, and after a
 *     suspend, the first to answer may be a former leader. Members that were added only
 *     now do not hold up one that was promoted past the last leader's timeline.
 *
 * Any one thread at a time. Times are clock_boot_ms(). */
#ifndef PGSPLICE_ROUTING_ELECTION_H
#define PGSPLICE_ROUTING_ELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* For how long after something changed a missing leader is looked for in a hurry. */
#define ELECTION_HURRY_MS 300000

struct election_settings {
	int64_t interval_ms; /* between two questions to one member */
	int64_t timeout_ms;  /* for one question */
	unsigned fall;       /* that many silences in a row; at least 1 */
};

/* A server that is to be asked. The address tells servers apart: one that comes twice
 * counts once. So of a name with addresses of both families only one family is to be
 * given. With the address "" a configured name that leads nowhere (yet) counts among
 * the members of which the majority has to answer. */
struct election_place {
	const char *name;
	const char *address; /* with the port */
};

enum election_outcome {
	/* It has said what it is: */
	ELECTION_WRITABLE,
	ELECTION_READ_ONLY,   /* not in recovery, but refuses writes */
	ELECTION_IN_RECOVERY, /* a standby */
	ELECTION_STARTING,    /* 57P03: starting, stopping, recovering from a crash */
	/* It has not: */
	ELECTION_REFUSED,    /* a closed port, or a connection that ended at once */
	ELECTION_SILENT,     /* timeout, no way to it */
	ELECTION_CANNOT_ASK, /* auth, protocol, no free connection: proves nothing */
};

struct election_answer {
	const char *address;
	enum election_outcome outcome;
	/* When the question was sent: the answer is as old as that. One that was sent
	 * before another that has been taken already is ignored. */
	int64_t sent_ms;
	/* 0: not known. If writable: of the WAL that it writes now, not of its last
	 * checkpoint, which is behind after a promotion. */
	uint32_t timeline;
	uint64_t system_id; /* 0: not known */
	/* In bytes, 0: not known. If writable: written; in recovery: replayed. */
	uint64_t position;
};

/* What a member is to us. */
enum election_role {
	ELECTION_ROLE_UNKNOWN,      /* nothing is known that is recent enough */
	ELECTION_ROLE_UNASKABLE,    /* the same, since it cannot be asked */
	ELECTION_ROLE_DOWN,         /* refused twice, or silent `fall` times */
	ELECTION_ROLE_STARTING,     /* 57P03 */
	ELECTION_ROLE_READ_ONLY,    /* no standby either */
	ELECTION_ROLE_STANDBY,      /* may serve reads */
	ELECTION_ROLE_AHEAD,        /* follows a leader that was not seen writable yet */
	ELECTION_ROLE_WRITABLE,     /* but not routed to; the decision says why */
	ELECTION_ROLE_STALE,        /* writable on a timeline that has ended: split brain */
	ELECTION_ROLE_OTHER_SYSTEM, /* of another cluster */
	ELECTION_ROLE_LEADER,
};
#define ELECTION_ROLE_COUNT (ELECTION_ROLE_LEADER + 1)

/* A word for logs and metrics: "other-system". */
const char *election_role_name(enum election_role role);
/* Something is wrong that a human has to see to. */
bool election_role_is_alarming(enum election_role role);

struct election_member {
	const char *name;
	const char *address;
	enum election_role role;
	uint32_t timeline;  /* of its newest answer, as is the next; 0: not known */
	uint64_t system_id; /* 0 in a recent answer: taken for ours, on trust */
	/* Of a standby, behind the newest position of the last leader; -1: not known. */
	int64_t lag_bytes;
	bool hurry;   /* is to be asked more often: a change is pending */
	bool ask_now; /* refused once: a second try confirms it */
};

enum election_reason {
	ELECTION_ROUTED,
	ELECTION_NO_MEMBERS,
	ELECTION_NO_ANSWERS,     /* nobody says anything (yet) */
	ELECTION_NO_WRITABLE,    /* none of those that answer leads */
	ELECTION_ASKING,         /* one could, but others were not heard yet (rule 7) */
	ELECTION_UNCERTAIN,      /* one could, but its newest answer failed */
	ELECTION_NO_MAJORITY,    /* rule 4 */
	ELECTION_STALE_TIMELINE, /* the writable one is on a timeline that has ended */
	ELECTION_OTHER_SYSTEM,   /* the writable one, or all, are of another cluster */
	ELECTION_SYSTEMS_DIFFER, /* two writable of two clusters: which is ours? */
	ELECTION_TWO_WRITABLE,   /* on the same timeline, or on unknown ones */
	ELECTION_CONTESTED,      /* two, and the higher timeline was not seen to follow */
};
#define ELECTION_REASON_COUNT (ELECTION_CONTESTED + 1)

/* A word for logs and metrics: "two-writable". */
const char *election_reason_name(enum election_reason reason);
bool election_reason_is_alarming(enum election_reason reason);

/* Pointers live until the next event. */
struct election_decision {
	enum election_reason reason;
	const struct election_member *leader; /* NULL: nobody */
	/* Whom the reason is about, such as the two that are writable; or NULL. */
	const struct election_member *about[2];
	/* Of the route: rises whenever it goes to another address, or nobody was routed
	 * in between. */
	uint64_t term;
	int64_t valid_until_ms; /* from then on nobody is routed; 0 without a leader */
	int64_t look_again_ms;  /* time alone may change things then; INT64_MAX: never */
	bool hurry;             /* a change is pending: see the members */
	size_t answering;       /* members that say what they are and are of our system */
	uint32_t timeline;      /* the highest seen writable; 0: not known */
	uint64_t system_id;     /* which is ours; 0: not known */
};

struct election;

/* Without members. NULL without memory. */
struct election *election_new(const struct election_settings *settings);
/* Accepts NULL. */
void election_free(struct election **election);

/* The events. After each, election_decision() tells what is now. A time before that
 * of an earlier event is taken for the same moment. */

/* Copies all. Members of before, found by their address, remain what they were, so a
 * leader keeps its seat while its address is among them. 0 or -ENOMEM, and then
 * nothing has changed. */
MUST_CHECK int election_set_members(struct election *election, const struct election_place *places,
				    size_t count, int64_t now_ms);
/* Of an address that is no member's: ignored. */
void election_take_answer(struct election *election, const struct election_answer *answer,
			  int64_t now_ms);
void election_tick(struct election *election, int64_t now_ms);

const struct election_decision *election_decision(const struct election *election);
size_t election_member_count(const struct election *election);
/* In the order in which they were given. */
const struct election_member *election_member_at(const struct election *election, size_t index);

/* The decision as one line for logs: "two-writable: a (10.0.0.1:5432, timeline 2) and
 * b (10.0.0.2:5432, timeline 2)". */
void election_describe(const struct election *election, char *text, size_t size);

#endif
