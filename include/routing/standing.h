/* What each member of the cluster is known to be, from one view to the next. Pure.
 *
 * The cluster data says what a member is to be; whether it is that already, only its
 * keeper's answer says. A former leader that is named a standby is still writable until
 * the keeper has seen to it (generation and current generation are equal then), so it is
 * not known as a standby before. One that is known stays so through later generations,
 * as long as it is to be a standby at the same address. Control thread. */
#ifndef PGSPLICE_ROUTING_STANDING_H
#define PGSPLICE_ROUTING_STANDING_H

#include "base/cleanup.h"
#include "cluster/view.h"

enum standing {
	STANDING_UNKNOWN,
	STANDING_STANDBY,
	STANDING_PROMOTED, /* was a standby when its role changed: leads or is yet to lead */
	STANDING_LEADER,   /* named by the view; was no standby before, to our knowledge */
};

struct standing_member {
	char *uid;
	char *address; /* as published, with the port */
	enum standing standing;
	bool leads; /* by the view */
	/* Another one whenever it must not be taken for what it was: other role (but for
	 * a promotion that is to be followed), other address, gone in between. */
	uint64_t epoch;
};

struct standings {
	bool follows_promotions; /* STANDING_PROMOTED exists, and keeps the epoch */
	uint64_t last_epoch;
	size_t count; /* sorted by uid */
	struct standing_member *members;
};

void standings_init(struct standings *standings, bool follows_promotions);
void standings_deinit(struct standings *standings);

/* Takes the next view; one without an acceptable cluster knows nobody. 0 or -ENOMEM,
 * after which nobody is known either. */
MUST_CHECK int standings_take(struct standings *standings, const struct view *view);

/* NULL: not in the last view. */
const struct standing_member *standings_find(const struct standings *standings, const char *uid);

#endif
