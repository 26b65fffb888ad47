/* What a view of the cluster asks of this proxy. Pure. */
#ifndef PGSPLICE_ROUTING_POLICY_H
#define PGSPLICE_ROUTING_POLICY_H

#include "cluster/view.h"

/* The situations of stolon-proxy's check, in which it is either ROUTED or says
 * why nobody is. */
enum situation {
	SITUATION_NO_CLUSTER_DATA,
	SITUATION_BAD_CLUSTER_DATA, /* decoded, but not acceptable */
	SITUATION_NO_PROXY_OBJECT,
	SITUATION_NO_LEADER,   /* none named, or one that is not in the data */
	SITUATION_NO_ADDRESS,  /* the leader's address or port is empty */
	SITUATION_UNRESOLVED,  /* the address cannot be resolved */
	SITUATION_RESOLVING,   /* not known yet: a lookup is under way */
	SITUATION_LOOP,        /* the address leads back to this proxy */
	SITUATION_NOT_ENABLED, /* the sentinel has not enabled this proxy */
	SITUATION_ROUTED,
};
#define SITUATION_COUNT (SITUATION_ROUTED + 1)

/* How a situation enters the check (reference: stolon-proxy's table). */
struct situation_rules {
	bool acknowledges;          /* the generation is published once sessions are cut */
	bool counts;                /* the check is good, if also the publish succeeded ... */
	bool counts_unacknowledged; /* ... or even if it failed */
};
const struct situation_rules *situation_rules(enum situation situation);

/* A word for logs and metrics: "no-leader". */
const char *situation_name(enum situation situation);

struct decision {
	enum situation situation;
	int64_t generation;        /* to acknowledge */
	int64_t check_interval_ns; /* 0 where the view has none */
	int64_t proxy_timeout_ns;
	/* Of the leader that the data names, from NO_ADDRESS on; they live as long
	 * as the view. */
	const struct view_member *leader;
};

/* The situation as far as the view alone tells: NO_ADDRESS, NOT_ENABLED and
 * ROUTED still have the leader's address to be resolved. */
struct decision policy_decide(const struct view *view, const char *proxy_uid);

#endif
