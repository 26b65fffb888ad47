/* The leader's positions as a short history, in which a member's position is found. */
#include "routing/lag.h"

#include <string.h>

/* Points closer than this are one. */
#define APART_MS 1000

/* Makes one of two points: of those that are closest for their age, so that the history
 * reaches back as far as it was kept, and is the finer the newer. */
static void make_room(struct lag_history *h, int64_t now_ms)
{
	struct lag_point *points = h->points;
	size_t best = 0;

	for (size_t i = 1; i + 1 < h->count; i++) {
		int64_t gap_ms = points[i + 1].at_ms - points[i].at_ms;
		int64_t best_gap_ms = points[best + 1].at_ms - points[best].at_ms;
		if (gap_ms * (now_ms - points[best].at_ms) <
		    best_gap_ms * (now_ms - points[i].at_ms))
			best = i;
	}
	/* The earlier time for both positions: rather too long a lag than too short a one. */
	points[best].position = points[best + 1].position;
	h->count--;
	memmove(points + best + 1, points + best + 2, (h->count - best - 1) * sizeof(*points));
}

void lag_note(struct lag_history *history, const struct view *view, int64_t now_ms)
{
	struct lag_history *h = history;
	const struct view_member *leader =
		view_status(view) == VIEW_OK ? view_find_member(view, view_leader_uid(view)) : NULL;

	if (leader == NULL)
		return;
	struct lag_point *last = h->count > 0 ? &h->points[h->count - 1] : NULL;
	if (last != NULL && leader->wal_position == last->position)
		return;
	if (last != NULL && leader->wal_position < last->position)
		h->count = 0; /* another leader, which begins further back */
	if (h->count > 0 && now_ms - last->at_ms < APART_MS) {
		last->position = leader->wal_position; /* a lag too long, by less than that */
		return;
	}
	if (h->count == LAG_HISTORY)
		make_room(h, now_ms);
	h->points[h->count++] = (struct lag_point){now_ms, leader->wal_position};
}

struct lag lag_of(const struct lag_history *history, uint64_t position, int64_t now_ms)
{
	size_t i = 0;

	if (history->count == 0 || position >= history->points[history->count - 1].position)
		return (struct lag){0};
	while (history->points[i].position <= position)
		i++;
	return (struct lag){
		.bytes = history->points[history->count - 1].position - position,
		.ms = now_ms - history->points[i].at_ms,
	};
}

bool lag_is_within(const struct lag *lag, const struct lag_limit *limit)
{
	return (limit->bytes == 0 || lag->bytes <= limit->bytes) &&
	       (limit->ms == 0 || lag->ms <= limit->ms);
}

bool lag_is_near(const struct lag *lag, const struct lag_limit *limit)
{
	return lag_is_within(lag, limit) && ((limit->bytes != 0 && lag->bytes > limit->bytes / 2) ||
					     (limit->ms != 0 && lag->ms > limit->ms / 2));
}
