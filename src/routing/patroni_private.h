/* Between the events of the Patroni policy and its judgement. */
#ifndef PGSPLICE_ROUTING_PATRONI_PRIVATE_H
#define PGSPLICE_ROUTING_PATRONI_PRIVATE_H

#include "routing/patroni_policy.h"

/* All of these judge the state as it is, at now_ms. */

int64_t patroni_ttl_ms(const struct patroni_policy *p);
bool patroni_is_paused(const struct patroni_policy *p);

/* ROUTED or ROUTED_BY_STORE: the candidate may be routed to. Else why not. */
enum patroni_reason patroni_judge_opening(const struct patroni_policy *p, int64_t now_ms);
/* ROUTED, ROUTED_BY_STORE or one of KEPT_*: the route may stay. Else why not. */
enum patroni_reason patroni_judge_route(const struct patroni_policy *p, int64_t now_ms);

/* ROUTED: the newest answer says writable, and nothing speaks against it, be it as
 * old as it may. Else what does. */
enum patroni_reason patroni_judge_answer(const struct patroni_policy *p);
/* Whether the record alone may confirm the candidate, and does. */
bool patroni_record_confirms(const struct patroni_policy *p, int64_t now_ms);

/* The oldest moment at which a question may have been sent that opens a route. */
int64_t patroni_asked_since_ms(const struct patroni_policy *p);
/* When the route ends by itself. */
int64_t patroni_route_until_ms(const struct patroni_policy *p);

static inline int64_t patroni_earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

#endif
