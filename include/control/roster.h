/* The members of the direct port as they live on from set to set: their counters,
 * whether they answer, and how fast. A member that a worker could not connect to is
 * asked again and again, less and less often, until it answers; with measuring, all are
 * asked all the time. Control thread. */
#ifndef PGSPLICE_CONTROL_ROSTER_H
#define PGSPLICE_CONTROL_ROSTER_H

#include "net/loop.h"
#include "routing/member_set.h"
#include "routing/nearness.h"

struct roster;

/* Called from the loop when a member has begun or ceased to answer, or another may be
 * the nearest. */
typedef void roster_cb(void *arg);

MUST_CHECK int roster_new(struct loop *loop, bool measures, roster_cb *cb, void *arg,
			  struct roster **ret_roster);
void roster_free(struct roster **roster);

/* A pass: what is not asked for between begin and end is forgotten. */
void roster_begin(struct roster *roster);
/* The member of this identity, a new one if there was none; borrowed until the end of
 * a pass without it. Identity is all of uid, epoch and addr. NULL without memory. */
struct member *roster_get(struct roster *roster, const char *uid, uint64_t epoch, const char *host,
			  const char *port, const struct addr *addr);
void roster_end(struct roster *roster);

/* Within a pass: one more member of this epoch that has sessions though it was not
 * asked for; it is kept. NULL: none left. */
struct member *roster_keep_used(struct roster *roster, uint64_t epoch);

/* How fast it answers; all zeros if it is not known. */
struct nearness roster_nearness(const struct roster *roster, const struct member *member);

/* Whether a connect to it has failed, and it has not answered since. */
bool roster_has_failed(const struct roster *roster, const struct member *member);

/* Asks members that workers have marked since; the callback comes if there are any. */
void roster_look_after(struct roster *roster);

#endif
