/* Reads of an immutable view. Made by patroni_decode.c on the control thread; any
 * thread that holds a reference may read. */
#include "cluster/patroni_view.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "patroni_private.h"

struct patroni_view *patroni_view_ref(struct patroni_view *view)
{
	refcount_take(&view->refs);
	return view;
}

void patroni_view_unref(struct patroni_view **view)
{
	struct patroni_view *held = TAKE_PTR(*view);

	if (held == NULL || !refcount_drop(&held->refs))
		return;
	go_arena_deinit(&held->arena);
	free(held);
}

bool patroni_view_is_empty(const struct patroni_view *view)
{
	return view->is_empty;
}

int64_t patroni_view_group(const struct patroni_view *view)
{
	return view->group;
}

const struct patroni_leader *patroni_view_leader(const struct patroni_view *view)
{
	return &view->leader;
}

const struct patroni_config *patroni_view_config(const struct patroni_view *view)
{
	return &view->config;
}

const struct patroni_failover *patroni_view_failover(const struct patroni_view *view)
{
	return &view->failover;
}

const struct patroni_sync *patroni_view_sync(const struct patroni_view *view)
{
	return &view->sync;
}

const struct patroni_cluster *patroni_view_cluster(const struct patroni_view *view)
{
	return &view->cluster;
}

bool patroni_view_is_sync_standby(const struct patroni_view *view, const char *name)
{
	for (size_t i = 0; i < view->sync.standby_count; i++) {
		if (strcasecmp(view->sync.standbys[i], name) == 0)
			return true;
	}
	return false;
}

size_t patroni_view_member_count(const struct patroni_view *view)
{
	return view->member_count;
}

const struct patroni_member *patroni_view_member_at(const struct patroni_view *view, size_t index)
{
	return &view->members[index];
}

static int compare_name(const void *name, const void *member)
{
	return strcmp(name, ((const struct patroni_member *)member)->name);
}

const struct patroni_member *patroni_view_find_member(const struct patroni_view *view,
						      const char *name)
{
	if (view->member_count == 0)
		return NULL;
	return bsearch(name, view->members, view->member_count, sizeof(*view->members),
		       compare_name);
}

size_t patroni_view_problem_count(const struct patroni_view *view)
{
	return view->problem_count < PATRONI_MAX_PROBLEMS ? view->problem_count
							  : PATRONI_MAX_PROBLEMS;
}

const char *patroni_view_problem_at(const struct patroni_view *view, size_t index)
{
	return view->problems[index];
}
