/* Members that come and go are not offered to new sessions again and again. Pure.
 *
 * Each is good or not, at each look. Who is good is offered. Who was withdrawn for lag
 * comes back when it is behind by no more than half of what is allowed, or has been
 * within the limit for DAMPING_CAUGHT_UP_MS. Who was withdrawn within DAMPING_CALM_MS of
 * having come back is left out for a while, 1 s and twice as long each time; each
 * DAMPING_CALM_MS without a withdrawal takes one doubling back. So nobody is offered more
 * than DAMPING_OFFERS_A_MINUTE times in a minute, whatever he does, as long as `longest`
 * is a minute.
 *
 * To be damped is to stand behind the others and no more: a member that is good is used
 * all the same where there is nobody else, and keeps its sessions. Control thread. */
#ifndef PGSPLICE_ROUTING_DAMPING_H
#define PGSPLICE_ROUTING_DAMPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define DAMPING_CALM_MS         INT64_C(60000)
#define DAMPING_CAUGHT_UP_MS    INT64_C(10000)
#define DAMPING_FIRST_MS        INT64_C(1000)
#define DAMPING_OFFERS_A_MINUTE 7

#define DAMPING_MOST      256 /* members; one too many is never damped */
#define DAMPING_NAME_SIZE 96

enum damping_fault {
	DAMPING_GOOD,
	DAMPING_LAGS, /* beyond the limit */
	DAMPING_UNHEALTHY,
	DAMPING_FAILED, /* cannot be connected to */
	DAMPING_ABSENT, /* no member, or none that is asked for */
};

struct damping_look {
	enum damping_fault fault;
	bool is_near_limit; /* good, but behind by more than half of what is allowed */
};

struct damping_verdict {
	/* Good, but not to be offered yet; while it is not good, as it was before. */
	bool is_damped;
	/* It is back, and left out for so long; 0: it is not, or that was told already. */
	int64_t left_out_ms;
	enum damping_fault was; /* what it was withdrawn for last */
};

struct damped_member {
	char name[DAMPING_NAME_SIZE];
	bool is_seen; /* in this pass */
	bool is_offered;
	bool has_returned; /* was withdrawn, at least once */
	bool has_lagged;   /* and has not caught up since */
	bool is_damped;
	bool is_told; /* that it is left out */
	enum damping_fault was;
	unsigned doublings;
	int64_t offered_ms;  /* when it was, last */
	int64_t until_ms;    /* left out until then */
	int64_t good_for_ms; /* since then without a pause; -1: is not good */
};

struct damping {
	int64_t longest_ms; /* that anybody is left out; 0: nobody ever is */
	size_t count;
	struct damped_member members[DAMPING_MOST];
};

/* A pass: everybody is looked at once between begin and end, those who are not are
 * absent. now_ms is the same in all of a pass. */
void damping_begin(struct damping *damping);
/* name: of one member, for as long as it is the same to us; cut if it is too long. */
struct damping_verdict damping_take(struct damping *damping, const char *name,
				    const struct damping_look *look, int64_t now_ms);
void damping_end(struct damping *damping, int64_t now_ms);

/* When the next pass may find a damped member that is to be offered though nothing else
 * has happened; INT64_MAX: never. */
int64_t damping_next_ms(const struct damping *damping);

/* "lag" and its like. */
const char *damping_fault_name(enum damping_fault fault);

#endif
