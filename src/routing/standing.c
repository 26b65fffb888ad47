/* One rule: who was known as what, and what the data says now, make who is known as
 * what. */
#include "routing/standing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void standings_init(struct standings *standings, bool follows_promotions)
{
	*standings = (struct standings){.follows_promotions = follows_promotions};
}

static void members_free(struct standing_member *members, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(members[i].uid);
		free(members[i].address);
	}
	free(members);
}

void standings_deinit(struct standings *standings)
{
	members_free(TAKE_PTR(standings->members), standings->count);
	standings->count = 0;
}

static bool is_to_be_standby(const struct view *view, const struct view_member *m)
{
	/* The leader of a standby cluster has the role too, but follows no member. */
	return strcmp(m->role, "standby") == 0 && *m->followed_uid != '\0' &&
	       strcmp(m->uid, view_leader_uid(view)) != 0;
}

static enum standing standing_of(const struct standings *s, const struct view *view,
				 const struct view_member *m, const struct standing_member *before)
{
	bool was_standby = before != NULL && before->standing == STANDING_STANDBY;
	bool was_promoted = before != NULL && before->standing == STANDING_PROMOTED;
	bool carried_out = m->generation > 0 && m->generation == m->current_generation;
	bool leads = strcmp(m->uid, view_leader_uid(view)) == 0;
	/* It keeps the role until it is removed, as the one that comes after it has it. */
	bool was_deposed = before != NULL && before->leads && !leads;

	if (is_to_be_standby(view, m))
		return carried_out || was_standby ? STANDING_STANDBY : STANDING_UNKNOWN;
	if (s->follows_promotions && (was_standby || was_promoted) && !was_deposed &&
	    strcmp(m->role, "master") == 0)
		return STANDING_PROMOTED;
	return leads ? STANDING_LEADER : STANDING_UNKNOWN;
}

static bool is_still_the_same(const struct standing_member *before,
			      const struct standing_member *now)
{
	if (before == NULL || strcmp(before->address, now->address) != 0)
		return false;
	return before->standing == now->standing || now->standing == STANDING_PROMOTED;
}

static int take_member(struct standings *s, const struct view *view, const struct view_member *m,
		       struct standing_member *ret)
{
	const struct standing_member *before = standings_find(s, m->uid);

	ret->uid = strdup(m->uid);
	if (asprintf(&ret->address, "%s %s", m->listen_address, m->port) < 0)
		ret->address = NULL;
	if (ret->uid == NULL || ret->address == NULL)
		return -ENOMEM;
	if (before != NULL && strcmp(before->address, ret->address) != 0)
		before = NULL; /* not the server that it was */
	ret->standing = standing_of(s, view, m, before);
	ret->leads = strcmp(m->uid, view_leader_uid(view)) == 0;
	ret->epoch = is_still_the_same(before, ret) ? before->epoch : ++s->last_epoch;
	return 0;
}

int standings_take(struct standings *standings, const struct view *view)
{
	struct standings *s = standings;
	size_t count = view_status(view) == VIEW_OK ? view_member_count(view) : 0;
	struct standing_member *members = calloc(count + 1, sizeof(*members));
	int r = members == NULL ? -ENOMEM : 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = take_member(s, view, view_member_at(view, i), &members[i]);
	standings_deinit(s);
	if (r < 0) {
		if (members != NULL)
			members_free(members, count);
		return r;
	}
	s->members = members;
	s->count = count;
	return 0;
}

const struct standing_member *standings_find(const struct standings *standings, const char *uid)
{
	for (size_t i = 0; i < standings->count; i++) {
		if (strcmp(standings->members[i].uid, uid) == 0)
			return &standings->members[i];
	}
	return NULL;
}
