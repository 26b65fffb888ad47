/* Views of clusters that no sentinel describes: made of what the servers, or Patroni's
 * keys, say. Control thread. */
#ifndef PGSPLICE_CLUSTER_VIEW_BUILD_H
#define PGSPLICE_CLUSTER_VIEW_BUILD_H

#include "base/cleanup.h"
#include "cluster/view.h"

struct view_draft {
	const char *leader_uid; /* "" for none */
	const char *why;        /* there is none; cut to fit; NULL: nothing to say */
	int64_t generation;     /* ours: there is nobody to answer */
	int64_t check_interval_ns;
	int64_t proxy_timeout_ns;
	const struct view_member *members; /* in any order, each uid once */
	size_t member_count;
	bool holds_new_clients; /* see view_holds_new_clients() */
};

/* Copies everything. The view enables every proxy. 0 or -ENOMEM. */
MUST_CHECK int view_build(const struct view_draft *draft, struct view **ret_view);

#endif
