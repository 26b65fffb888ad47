/* Who of the cluster serves on the direct port, by what the user asked for. Pure.
 *
 * It is told of each server that is there to be had (what it is known to be, whether it
 * is healthy, how far behind) and answers the rule its sessions obey and the rank in
 * which it gets new ones. */
#ifndef PGSPLICE_ROUTING_CHOICE_H
#define PGSPLICE_ROUTING_CHOICE_H

#include "routing/member_set.h"
#include "routing/standing.h"

enum direct_target {
	DIRECT_OFF,
	DIRECT_REPLICAS, /* healthy standbys of the view */
	DIRECT_LOCAL,    /* this machine's own member */
	DIRECT_ANY,      /* every member, the leader too */
	DIRECT_NAME,     /* what a name resolves to, without the leader */
};

/* When nobody whom the target names can be connected to. */
enum direct_fallback {
	DIRECT_FALLBACK_NONE,
	DIRECT_FALLBACK_LEADER,
	DIRECT_FALLBACK_ANY, /* a standby that lags or is not the target's, then the leader */
};

struct choice_settings {
	enum direct_target target;
	enum direct_fallback fallback;
	bool strict; /* standbys, too, only while the store confirms the leader */
};

struct candidate {
	enum standing standing;
	bool is_leader;  /* by the view */
	bool is_meant;   /* the local member; in the answer of the name */
	bool is_healthy; /* and within the limit of lag */
};

/* In the order in which they get new sessions. */
enum choice_rank {
	CHOICE_TARGET,
	CHOICE_DAMPED, /* the same, but comes and goes (damping.h); choose() does not know */
	CHOICE_OTHER_STANDBY,
	CHOICE_LEADER,
	CHOICE_NEVER,
};

struct choice {
	enum member_rule rule;
	bool takes_new;
	enum choice_rank rank;
};

/* False: no session may be on it. */
bool choose(const struct choice_settings *settings, const struct candidate *candidate,
	    struct choice *ret);

#endif
