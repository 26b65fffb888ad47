/* A view from parts, in the memory of its own arena. */
#include "cluster/view_build.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cluster/view_decode.h"
#include "cluster_private.h"

static const char *copy_text(struct view *view, const char *text, int *error)
{
	size_t size = strlen(text) + 1;
	char *copy = go_arena_alloc(&view->arena, size);

	if (copy == NULL) {
		*error = -ENOMEM;
		return "";
	}
	return memcpy(copy, text, size);
}

static struct view_member copy_member(struct view *view, const struct view_member *from, int *error)
{
	struct view_member m = *from;

	m.uid = copy_text(view, from->uid, error);
	m.keeper_uid = copy_text(view, from->keeper_uid, error);
	m.role = copy_text(view, from->role, error);
	m.followed_uid = copy_text(view, from->followed_uid, error);
	m.listen_address = copy_text(view, from->listen_address, error);
	m.port = copy_text(view, from->port, error);
	return m;
}

static int compare_members(const void *a, const void *b)
{
	return strcmp(((const struct view_member *)a)->uid, ((const struct view_member *)b)->uid);
}

static int fill(struct view *view, const struct view_draft *draft)
{
	size_t count = draft->member_count;
	struct doc_proxy *proxy = go_arena_alloc(&view->arena, sizeof(*proxy));
	int error = 0;

	view->members = go_arena_alloc(&view->arena, (count + 1) * sizeof(*view->members));
	if (proxy == NULL || view->members == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		view->members[i] = copy_member(view, &draft->members[i], &error);
	view->member_count = count;
	qsort(view->members, count, sizeof(*view->members), compare_members);
	view->check_interval_ns = draft->check_interval_ns;
	view->proxy_timeout_ns = draft->proxy_timeout_ns;
	proxy->generation = draft->generation;
	proxy->spec.leader_uid = copy_text(view, draft->leader_uid, &error);
	view->proxy = proxy;
	if (draft->why != NULL)
		snprintf(view->problem, sizeof(view->problem), "%s", draft->why);
	view->enables_all = true;
	view->holds_new_clients = draft->holds_new_clients;
	return error;
}

int view_build(const struct view_draft *draft, struct view **ret_view)
{
	struct view *view = view_new(VIEW_OK);

	if (view == NULL)
		return -ENOMEM;
	int r = fill(view, draft);
	if (r < 0)
		view_unref(&view);
	else
		*ret_view = view;
	return r;
}
