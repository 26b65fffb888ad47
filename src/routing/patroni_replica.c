/* Which members may get clients that only read. Pure. */
#include <string.h>

#include "routing/patroni_policy.h"

#define SAYS_STREAMING_SINCE 30100 /* Patroni 3.1 */

/* Without a leader nobody streams, and nobody falls behind; nor does a record say more
 * until its Patroni looks again. But one without a timeline is of a server that is yet to
 * be rewound. */
static bool replicates(const struct patroni_member *member, bool is_change)
{
	switch (member->replication) {
	case PATRONI_REPLICATION_STREAMING:
		return true;
	case PATRONI_REPLICATION_NONE:
		return member->version_number < SAYS_STREAMING_SINCE ||
		       (is_change && member->timeline != 0);
	case PATRONI_REPLICATION_ARCHIVE:
	case PATRONI_REPLICATION_OTHER:
		break;
	}
	return false;
}

static bool is_on_timeline(const struct patroni_view *view, const struct patroni_member *member)
{
	const struct patroni_member *head =
		patroni_view_find_member(view, patroni_view_leader(view)->name);

	return head == NULL || head->timeline == 0 || member->timeline == 0 ||
	       head->timeline == member->timeline;
}

static bool is_near(const struct patroni_view *view, const struct patroni_member *member,
		    int64_t max_lag_bytes)
{
	uint64_t leader = patroni_view_cluster(view)->optime;
	uint64_t own = member->replay_lsn != 0 ? member->replay_lsn : member->wal_position;
	uint64_t lag = leader > own ? leader - own : 0; /* its record may be the newer one */

	return max_lag_bytes < 0 || lag <= (uint64_t)max_lag_bytes;
}

bool patroni_member_serves_reads(const struct patroni_view *view,
				 const struct patroni_member *member, int64_t max_lag_bytes,
				 bool is_change)
{
	return member->is_decodable && member->state == PATRONI_STATE_RUNNING &&
	       member->role == PATRONI_ROLE_REPLICA && member->address.count > 0 &&
	       !member->no_load_balance &&
	       strcmp(member->name, patroni_view_leader(view)->name) != 0 &&
	       replicates(member, is_change) && (is_change || is_on_timeline(view, member)) &&
	       is_near(view, member, max_lag_bytes);
}
