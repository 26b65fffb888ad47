/* The servers that the direct port may lead to, as one immutable, shared set.
 *
 * A member is one server at one address for as long as it is the same to us: another
 * address, a member that was cloned anew or was the leader in between is another
 * member. Its counters live on from set to set. */
#ifndef PGSPLICE_ROUTING_MEMBER_SET_H
#define PGSPLICE_ROUTING_MEMBER_SET_H

#include <stdatomic.h>

#include "routing/target.h"

struct member {
	struct refcount refs;
	struct target *target; /* with one address */
	/* Sessions of all workers on it, connects included. Relaxed: each worker adds
	 * and takes away its own, and the balance need not be exact. */
	atomic_int sessions;
	/* A connect failed. Set by workers, taken back by control once the member
	 * answers again; relaxed, nothing else depends on it. */
	atomic_bool failed;
};

/* What a session on the member has to obey. */
enum member_rule {
	MEMBER_STANDBY, /* known as one: needs no acknowledgement, may outlive valid_until */
	MEMBER_TIMED,   /* the same, but only until then */
	MEMBER_FENCED,  /* may be writable: term and valid_until, as on the leader's port */
	MEMBER_HELD,    /* a standby that is being promoted: its sessions stay, but move no byte */
};

struct member_entry {
	struct member *member;
	enum member_rule rule;
	unsigned rank;  /* a higher one only if nobody of a lower one can be reached */
	bool takes_new; /* new sessions, too */
};

/* How a worker chooses among the entries of a rank. */
enum member_balance {
	MEMBER_LEAST, /* fewest sessions of two that are drawn */
	MEMBER_RANDOM,
	MEMBER_FIRST, /* in the order of the set */
};

struct member_set {
	struct refcount refs;
	enum member_balance balance;
	size_t count;
	struct member_entry entries[];
};

/* With a reference of target, which must have one address. NULL without memory. */
struct member *member_new(struct target *target);
struct member *member_ref(struct member *member);
void member_unref(struct member **member);

/* Whether a session is on it at this moment. */
static inline bool member_is_in_use(const struct member *member)
{
	return atomic_load_explicit(&member->sessions, memory_order_relaxed) > 0;
}

/* Copies the entries and takes references of their members. NULL without memory. */
struct member_set *member_set_new(enum member_balance balance, const struct member_entry *entries,
				  size_t count);
struct member_set *member_set_ref(struct member_set *set);
void member_set_unref(struct member_set **set);

/* The entry of a member, NULL if it is not in the set (or set is NULL). */
const struct member_entry *member_set_find(const struct member_set *set,
					   const struct member *member);
/* The same members in the same order, and all else the same too: workers need not be
 * told. Accepts NULL, which only equals itself. */
bool member_sets_are_equal(const struct member_set *a, const struct member_set *b);

#endif
