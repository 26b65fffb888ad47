/* The etcd v3 backend over its JSON gateway: accounts, and which cluster it is.
 *
 * Another cluster behind the same name (a restore, a wrong address) must not be
 * taken for the known one: its revisions start again, and what it says of the
 * leader may be old. Reads fail then until all endpoints that answer agree. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "etcd_private.h"
#include "watch_loop.h"

uint64_t etcd_public_revision(const struct etcd_store *store, int64_t revision)
{
	return ((uint64_t)store->epoch << STORE_EPOCH_SHIFT) + (uint64_t)revision;
}

int etcd_apply_kv(const struct etcd_store *store, const char *key, bool is_tree,
		  const struct etcd_kv *kv, struct listing *listing)
{
	const char *found = kv->key.data != NULL ? kv->key.data : "";
	struct store_item item = {
		.key = store_relative_key(found, key, is_tree),
		.data = kv->value.data,
		.size = kv->value.size,
		.create_revision = etcd_public_revision(store, kv->create_revision),
		.mod_revision = etcd_public_revision(store, kv->mod_revision),
		.is_held = kv->lease != 0,
	};

	/* With a NUL, which no key that anybody looks for has; or the prefix itself. */
	if (strlen(found) != kv->key.size || (is_tree && strcmp(found, key) == 0))
		return 0;
	if (item.key == NULL)
		return ERR_SYNTAX;
	if (kv->present)
		return listing_put(listing, &item);
	listing_remove(listing, item.key);
	return 0;
}

/* Which cluster */

static void start_survey(struct etcd_store *s)
{
	/* One that the account may read: ours, else the watched one. */
	const char *watched = s->base.watch != NULL ? s->base.watch->key : "/";
	struct store_call call = {.verb = STORE_READ,
				  .key = s->owned.key != NULL ? s->owned.key : watched};

	if (!list_is_empty(&s->surveys))
		return; /* one is under way */
	for (size_t i = 0; i < endpoints_count(s->endpoints); i++) {
		struct etcd_request *r;
		if (etcd_request_start(s, ETCD_SURVEY, &call, &r) < 0)
			continue;
		r->endpoint = (int)i;
	}
	list_for_each_safe (node, &s->surveys)
		etcd_request_run(CONTAINER_OF(node, struct etcd_request, node));
}

int etcd_check_header(struct etcd_store *store, const struct etcd_header *header,
		      int64_t expected_revision, const char *endpoint)
{
	char known[24];
	char now[24];

	if (store->cluster_id == 0) {
		store->cluster_id = header->cluster_id;
		store->highest = header->revision;
		return 0;
	}
	if (header->cluster_id == store->cluster_id && header->revision >= expected_revision) {
		if (store->highest < header->revision)
			store->highest = header->revision;
		return 0;
	}
	snprintf(known, sizeof(known), "%" PRIu64, store->cluster_id);
	snprintf(now, sizeof(now), "%" PRIu64, header->cluster_id);
	log_error("etcd: another cluster, or an older state of it, answers",
		  log_text("endpoint", endpoint), log_text("known", known), log_text("now", now),
		  log_number("known_revision", expected_revision),
		  log_number("revision", header->revision));
	start_survey(store);
	return ERR_OTHER_STORE;
}

static void adopt_cluster(struct etcd_store *s, const struct etcd_header *header)
{
	char id[24];

	snprintf(id, sizeof(id), "%" PRIu64, header->cluster_id);
	log_warn("etcd: all endpoints that answer agree, this cluster is taken from now on",
		 log_text("cluster_id", id), log_number("revision", header->revision));
	s->cluster_id = header->cluster_id;
	s->highest = header->revision;
	s->epoch++;
	s->owned.revision = 0;
	s->owned.lease = 0;
	if (s->base.watch != NULL)
		watch_loop_again(s->base.watch, "the cluster was replaced");
}

/* The surveys that have ended stay in the list until the last one has. */
void etcd_survey_answered(struct etcd_request *r, bool answered)
{
	struct etcd_store *s = r->store;
	struct etcd_header first = {0};
	bool agree = true;
	bool complete = true;

	r->ended = true;
	if (!answered)
		r->header = (struct etcd_header){0};
	list_for_each (node, &s->surveys) {
		struct etcd_request *other = CONTAINER_OF(node, struct etcd_request, node);
		if (!other->ended) {
			complete = false;
			break;
		}
		if (other->header.cluster_id == 0)
			continue;
		if (first.cluster_id == 0)
			first = other->header;
		/* All of another cluster, or all gone back: else one is astray. */
		agree = agree && other->header.cluster_id == first.cluster_id &&
			(other->header.cluster_id != s->cluster_id ||
			 other->header.revision < s->highest);
	}
	if (!complete)
		return;
	list_for_each_safe (node, &s->surveys)
		etcd_request_free(CONTAINER_OF(node, struct etcd_request, node));
	if (agree && first.cluster_id != 0)
		adopt_cluster(s, &first);
}

/* The seam */

static int own_key(struct etcd_store *s, const char *key)
{
	if (s->owned.key != NULL && strcmp(s->owned.key, key) == 0)
		return 0;
	char *copy = strdup(key);
	if (copy == NULL)
		return -ENOMEM;
	free(s->owned.key);
	s->owned = (struct etcd_owned){.key = copy};
	return 0;
}

static int etcd_start(struct store *store, const struct store_call *call,
		      struct store_request **ret_request)
{
	static const enum etcd_kind kinds[] = {
		[STORE_READ] = ETCD_READ, [STORE_PUT] = ETCD_PUT, [STORE_DELETE] = ETCD_DELETE};
	struct etcd_store *s = CONTAINER_OF(store, struct etcd_store, base);
	struct etcd_request *r;
	int error = call->verb == STORE_PUT ? own_key(s, call->key) : 0;

	if (error == 0)
		error = etcd_request_start(s, kinds[call->verb], call, &r);
	if (error < 0)
		return error;
	if (call->size > 0)
		error = strbuf_append(&r->data, call->data, call->size);
	if (error < 0) {
		etcd_request_free(r);
		return error;
	}
	r->ttl_s = (call->ttl_ms + MS_PER_S - 1) / MS_PER_S;
	*ret_request = &r->base;
	etcd_request_run(r);
	return 0;
}

static void etcd_cancel(struct store_request *request)
{
	etcd_request_free(CONTAINER_OF(request, struct etcd_request, base));
}

static void free_requests(struct list *requests)
{
	list_for_each_safe (node, requests)
		etcd_request_free(CONTAINER_OF(node, struct etcd_request, node));
}

static void etcd_close(struct store *store)
{
	struct etcd_store *s = CONTAINER_OF(store, struct etcd_store, base);

	free_requests(&s->requests);
	free_requests(&s->surveys);
	endpoints_free(&s->endpoints);
	free(s->owned.key);
	free(s->user);
	free(s->password);
	free(s->token);
	free(s);
}

static const struct store_ops etcd_ops = {
	.close = etcd_close,
	.start = etcd_start,
	.cancel = etcd_cancel,
	.watch_start = etcd_watch_start,
	.watch_stop = etcd_watch_stop,
};

static int take_account(struct etcd_store *s, const struct store_settings *settings)
{
	struct endpoints_account account = endpoints_account(s->endpoints, settings);

	if (account.user == NULL)
		return 0;
	s->user = strdup(account.user);
	s->password = strdup(account.password);
	return s->user == NULL || s->password == NULL ? -ENOMEM : 0;
}

int etcd_store_open(const struct store_settings *settings, struct loop *loop, struct dns *dns,
		    struct store **ret_store, const char **ret_problem)
{
	struct etcd_store *s = calloc(1, sizeof(*s));

	*ret_problem = "cannot set up the etcd store";
	if (s == NULL)
		return -ENOMEM;
	s->base.ops = &etcd_ops;
	s->loop = loop;
	s->timeout_ms = settings->timeout_ms;
	list_init(&s->requests);
	list_init(&s->surveys);
	int error = endpoints_new(loop, dns, settings, 0, &s->endpoints, ret_problem);
	if (error == 0)
		error = take_account(s, settings);
	if (error < 0) {
		etcd_close(&s->base);
		return error;
	}
	*ret_store = &s->base;
	return 0;
}
