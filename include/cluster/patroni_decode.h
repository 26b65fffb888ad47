/* The keys of a Patroni cluster to a view. Pure: no I/O, no clock. */
#ifndef PGSPLICE_CLUSTER_PATRONI_DECODE_H
#define PGSPLICE_CLUSTER_PATRONI_DECODE_H

#include "base/cleanup.h"
#include "cluster/patroni_view.h"

/* Longer values are not looked into; Consul's limit, and twenty times of what a
 * history of a thousand failovers has. */
#define PATRONI_MAX_VALUE 524288

#define PATRONI_NO_GROUP (-1)

/* One key as the store has it; all of it only has to live during the call. */
struct patroni_key {
	const char *name; /* relative to "/<namespace>/<scope>/": "members/pg1" */
	const char *data; /* not terminated */
	size_t size;
	/* etcd v3: create_revision, mod_revision; v2: createdIndex, modifiedIndex;
	 * Consul: CreateIndex, ModifyIndex. */
	uint64_t create_revision;
	uint64_t mod_revision;
	/* etcd v3: has a lease; v2: has a TTL; Consul: Session is not empty. Only
	 * looked at for the key "leader". */
	bool is_held;
};

/* Keys in any order; of two with the same name the later one counts. Unknown keys
 * are ignored. What cannot be understood costs no more than itself: a member
 * becomes undecodable, a field or key counts as absent, and the view has a problem
 * text that says so.
 *
 * group: that of a Citus cluster, whose keys are "<group>/leader" and so on. With
 * PATRONI_NO_GROUP, the keys that are not in a group; but if there are none while
 * there are groups, the coordinator's, group 0, since that is where clients go.
 *
 * Returns 0 and a new reference, or -ENOMEM. */
MUST_CHECK int patroni_decode(const struct patroni_key *keys, size_t count, int64_t group,
			      struct patroni_view **ret_view);

#endif
