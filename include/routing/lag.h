/* How far members are behind the leader, by the positions in the cluster data. Pure.
 *
 * The positions are as old as the data: keepers report every few seconds. The time is
 * that since the leader, by the data, went past the member's position: at times a little
 * too long, never too short. Control thread. */
#ifndef PGSPLICE_ROUTING_LAG_H
#define PGSPLICE_ROUTING_LAG_H

#include "cluster/view.h"

#define LAG_HISTORY 64

/* Where the leader was, when: the newest last. */
struct lag_point {
	int64_t at_ms; /* clock_boot_ms() */
	uint64_t position;
};

struct lag_history {
	size_t count;
	struct lag_point points[LAG_HISTORY];
};

struct lag {
	uint64_t bytes;
	int64_t ms;
};

/* A limit of 0 is none. */
struct lag_limit {
	uint64_t bytes;
	int64_t ms;
};

/* Takes a view that came at now_ms. Without a leader nothing is learned from it. */
void lag_note(struct lag_history *history, const struct view *view, int64_t now_ms);
/* Of a member at this position; 0 while nothing is known of the leader. */
struct lag lag_of(const struct lag_history *history, uint64_t position, int64_t now_ms);
bool lag_is_within(const struct lag *lag, const struct lag_limit *limit);
/* Within it, but behind by more than half of it. */
bool lag_is_near(const struct lag *lag, const struct lag_limit *limit);

#endif
