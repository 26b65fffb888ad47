/* Which member a new session of the direct port goes to. Worker thread; pure but for
 * the members' counters. */
#ifndef PGSPLICE_ROUTING_BALANCER_H
#define PGSPLICE_ROUTING_BALANCER_H

#include "routing/member_set.h"

/* The entry for a new session, NULL if there is none. rules: the bits (1 << rule) of
 * the rules under which a session may begin at this moment. Of the lowest rank in which
 * a member has not failed; if all that take new sessions have, one of those.
 * random_state: any number to begin with, one for each worker. set may be NULL. */
const struct member_entry *balancer_pick(const struct member_set *set, unsigned rules,
					 uint64_t *random_state);
/* The same for a session that has tried some already: tried has the bits of their places
 * in the set (modulo 32). NULL once there is nobody else. */
const struct member_entry *balancer_pick_other(const struct member_set *set, unsigned rules,
					       uint32_t tried, uint64_t *random_state);

#endif
