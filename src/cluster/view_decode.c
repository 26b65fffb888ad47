/* Bytes of the store to a view: decode all of the document, then judge its
 * format, then its spec, as stolon-proxy does. Control thread; no I/O. */
#include "cluster/view_decode.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cluster_private.h"

#define FORMAT_VERSION 1

/* A null cluster or spec crashes stolon-proxy; for us it breaks the rules. */
static enum view_status judge(const struct doc *doc, char *problem)
{
	if (doc->format_version != FORMAT_VERSION) {
		snprintf(problem, VIEW_PROBLEM_SIZE, "unsupported clusterdata format version: %lld",
			 (long long)doc->format_version);
		return VIEW_BAD_FORMAT;
	}
	if (doc->cluster == NULL || doc->cluster->spec == NULL) {
		snprintf(problem, VIEW_PROBLEM_SIZE, "%s undefined",
			 doc->cluster == NULL ? "cluster" : "cluster.spec");
		return VIEW_BAD_SPEC;
	}
	spec_fill_defaults(doc->cluster->spec);
	return spec_check(doc->cluster->spec, problem) ? VIEW_OK : VIEW_BAD_SPEC;
}

static struct view_member make_member(const char *uid, const struct doc_db *db)
{
	const struct doc_db_spec *spec = db->spec;
	const struct doc_follow *follow = spec == NULL ? NULL : spec->follow;
	bool internal = follow != NULL && strcmp(follow->type, "internal") == 0;

	return (struct view_member){
		.uid = uid,
		.keeper_uid = spec == NULL ? "" : spec->keeper_uid,
		.role = spec == NULL ? "" : spec->role,
		.followed_uid = internal ? follow->db_uid : "",
		.listen_address = db->status.listen_address,
		.port = db->status.port,
		.healthy = db->status.healthy,
		.generation = db->generation,
		.current_generation = db->status.current_generation,
		.timeline = (uint64_t)db->status.timeline,
		.wal_position = (uint64_t)db->status.wal_position,
		.lag_ms = -1,
	};
}

/* The map is sorted by key, and so are the members. */
static int fill_members(struct view *view, const struct go_map *dbs)
{
	if (dbs->count == 0)
		return 0;
	view->members = go_arena_alloc(&view->arena, dbs->count * sizeof(*view->members));
	if (view->members == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < dbs->count; i++) {
		if (dbs->entries[i].value != NULL)
			view->members[view->member_count++] =
				make_member(dbs->entries[i].key, dbs->entries[i].value);
	}
	return 0;
}

static int fill_view(struct view *view, const struct doc *doc)
{
	view->status = judge(doc, view->problem);
	if (view->status != VIEW_OK)
		return 0;
	view->check_interval_ns = *doc->cluster->spec->proxy_check_interval_ns;
	view->proxy_timeout_ns = *doc->cluster->spec->proxy_timeout_ns;
	view->proxy = doc->proxy;
	return fill_members(view, &doc->dbs);
}

int view_decode(const char *json, size_t size, struct view **ret_view,
		char error[static VIEW_ERROR_SIZE])
{
	void *doc;
	struct view *view = view_absent();
	int r = view == NULL ? -ENOMEM : 0;

	if (r < 0) {
		snprintf(error, VIEW_ERROR_SIZE, "%s", err_text(r));
		return r;
	}
	r = go_json_decode(json, size, &cluster_schema, &view->arena, &doc, error, VIEW_ERROR_SIZE);
	if (r == 0 && doc != NULL) {
		r = fill_view(view, doc);
		if (r < 0)
			snprintf(error, VIEW_ERROR_SIZE, "%s", err_text(r));
	}
	if (r < 0) {
		view_unref(&view);
		return r;
	}
	*ret_view = view;
	return 0;
}
