/* Reads of an immutable view. Made by view_decode.c on the control thread; any
 * thread that holds a reference may read. */
#include "cluster/view.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/view_decode.h"
#include "cluster_private.h"

struct view *view_new(enum view_status status)
{
	struct view *view = calloc(1, sizeof(*view));

	if (view == NULL)
		return NULL;
	refcount_init(&view->refs);
	go_arena_init(&view->arena);
	view->status = status;
	return view;
}

struct view *view_absent(void)
{
	return view_new(VIEW_ABSENT);
}

struct view *view_ref(struct view *view)
{
	refcount_take(&view->refs);
	return view;
}

void view_unref(struct view **view)
{
	struct view *held = TAKE_PTR(*view);

	if (held == NULL || !refcount_drop(&held->refs))
		return;
	go_arena_deinit(&held->arena);
	free(held);
}

enum view_status view_status(const struct view *view)
{
	return view->status;
}

const char *view_problem(const struct view *view)
{
	return view->problem;
}

int64_t view_check_interval_ns(const struct view *view)
{
	return view->check_interval_ns;
}

int64_t view_proxy_timeout_ns(const struct view *view)
{
	return view->proxy_timeout_ns;
}

bool view_has_proxy(const struct view *view)
{
	return view->proxy != NULL;
}

int64_t view_generation(const struct view *view)
{
	return view->proxy == NULL ? 0 : view->proxy->generation;
}

const char *view_leader_uid(const struct view *view)
{
	return view->proxy == NULL ? "" : view->proxy->spec.leader_uid;
}

bool view_enables(const struct view *view, const char *proxy_uid)
{
	if (view->proxy == NULL)
		return false;
	if (view->enables_all)
		return true;
	for (size_t i = 0; i < view->proxy->spec.enabled.count; i++) {
		if (strcmp(view->proxy->spec.enabled.items[i], proxy_uid) == 0)
			return true;
	}
	return false;
}

bool view_holds_new_clients(const struct view *view)
{
	return view->holds_new_clients;
}

size_t view_member_count(const struct view *view)
{
	return view->member_count;
}

const struct view_member *view_member_at(const struct view *view, size_t index)
{
	return &view->members[index];
}

static int compare_uid(const void *uid, const void *member)
{
	return strcmp(uid, ((const struct view_member *)member)->uid);
}

const struct view_member *view_find_member(const struct view *view, const char *uid)
{
	if (view->member_count == 0)
		return NULL;
	return bsearch(uid, view->members, view->member_count, sizeof(*view->members), compare_uid);
}
