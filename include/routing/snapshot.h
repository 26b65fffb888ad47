/* What workers may do, until when: one immutable, shared picture.
 *
 * The control thread makes snapshots; each worker keeps the newest and aborts
 * every session that it does not permit. Permission compares term, address and
 * time, so that a snapshot which was skipped for a newer one hides no drop. */
#ifndef PGSPLICE_ROUTING_SNAPSHOT_H
#define PGSPLICE_ROUTING_SNAPSHOT_H

#include "net/listen_set.h"
#include "routing/member_set.h"
#include "routing/target.h"

struct snapshot {
	struct refcount refs;
	/* Ours, rises by one a snapshot; workers report what they carried out. */
	uint64_t drop_generation;
	/* The generation of the cluster data that this answers; for the log. */
	int64_t store_generation;
	/* Rises whenever another member, another published address or nobody was
	 * routed in between. A session belongs to the term it was opened in. */
	uint64_t term;
	/* CLOCK_BOOTTIME, ms: from then on nothing is permitted but known standbys. */
	int64_t valid_until_ms;
	struct target *target;     /* the leader; NULL: nobody is routed */
	struct listen_set *listen; /* NULL: do not listen */
	/* New clients of the leader's port wait in the kernel's queue. */
	bool holds_new_clients;
	/* The same for the direct port: whom it leads to, and where it listens. */
	struct member_set *members;
	struct listen_set *direct_listen;
};

/* Takes references of target and listen (each may be NULL). NULL without memory. */
struct snapshot *snapshot_new(uint64_t drop_generation, int64_t store_generation, uint64_t term,
			      int64_t valid_until_ms, struct target *target,
			      struct listen_set *listen);
/* For the direct port, before it is shared; takes references, each may be NULL. */
void snapshot_set_direct(struct snapshot *snapshot, struct member_set *members,
			 struct listen_set *listen);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot **snapshot);

/* Whether anybody is routed at this moment. */
bool snapshot_is_open(const struct snapshot *snapshot, int64_t now_ms);
/* Whether a session of this term may exchange bytes with addr at this moment. */
bool snapshot_permits(const struct snapshot *snapshot, uint64_t term, const struct addr *addr,
		      int64_t now_ms);

enum permission {
	PERMISSION_NONE,
	PERMISSION_WAIT, /* keep what is open, move no byte */
	PERMISSION_FULL,
};

/* What a session of the direct port may do with a member at this moment. before: the
 * rule that the session has obeyed so far, in `term` if that was MEMBER_FENCED. */
enum permission snapshot_permits_member(const struct snapshot *snapshot,
					const struct member *member, enum member_rule before,
					uint64_t term, int64_t now_ms);

#endif
