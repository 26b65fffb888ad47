/* Snapshots, and the one question they answer. */
#include "routing/snapshot.h"

#include <string.h>

struct snapshot *snapshot_new(uint64_t drop_generation, int64_t store_generation, uint64_t term,
			      int64_t valid_until_ms, struct target *target,
			      struct listen_set *listen)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	refcount_init(&s->refs);
	s->drop_generation = drop_generation;
	s->store_generation = store_generation;
	s->term = term;
	s->valid_until_ms = valid_until_ms;
	s->target = target_ref(target);
	s->listen = listen_set_ref(listen);
	return s;
}

void snapshot_set_direct(struct snapshot *snapshot, struct member_set *members,
			 struct listen_set *listen)
{
	snapshot->members = member_set_ref(members);
	snapshot->direct_listen = listen_set_ref(listen);
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	if (snapshot != NULL)
		refcount_take(&snapshot->refs);
	return snapshot;
}

void snapshot_unref(struct snapshot **snapshot)
{
	struct snapshot *s = TAKE_PTR(*snapshot);

	if (s == NULL || !refcount_drop(&s->refs))
		return;
	target_unref(&s->target);
	listen_set_unref(&s->listen);
	member_set_unref(&s->members);
	listen_set_unref(&s->direct_listen);
	free(s);
}

bool snapshot_is_open(const struct snapshot *snapshot, int64_t now_ms)
{
	return snapshot->target != NULL && now_ms < snapshot->valid_until_ms;
}

bool snapshot_permits(const struct snapshot *snapshot, uint64_t term, const struct addr *addr,
		      int64_t now_ms)
{
	return snapshot_is_open(snapshot, now_ms) && snapshot->term == term &&
	       target_has_addr(snapshot->target, addr);
}

/* A standby before, kept while it is promoted: waits until it is the one routed. */
static enum permission permits_promoted(const struct snapshot *snapshot,
					const struct member *member, int64_t now_ms)
{
	const struct target *routed = snapshot->target;

	return snapshot_is_open(snapshot, now_ms) &&
			       strcmp(routed->member, member->target->member) == 0 &&
			       target_has_addr(routed, &member->target->addrs[0])
		       ? PERMISSION_FULL
		       : PERMISSION_WAIT;
}

enum permission snapshot_permits_member(const struct snapshot *snapshot,
					const struct member *member, enum member_rule before,
					uint64_t term, int64_t now_ms)
{
	const struct member_entry *entry = member_set_find(snapshot->members, member);
	bool permitted = false;

	if (entry == NULL)
		return PERMISSION_NONE;
	switch (entry->rule) {
	case MEMBER_STANDBY:
		permitted = true;
		break;
	case MEMBER_TIMED:
		permitted = now_ms < snapshot->valid_until_ms;
		break;
	case MEMBER_HELD:
		return before == MEMBER_FENCED ? PERMISSION_NONE : PERMISSION_WAIT;
	case MEMBER_FENCED:
		if (before != MEMBER_FENCED)
			return permits_promoted(snapshot, member, now_ms);
		permitted = snapshot_is_open(snapshot, now_ms) && snapshot->term == term;
		break;
	}
	return permitted ? PERMISSION_FULL : PERMISSION_NONE;
}
