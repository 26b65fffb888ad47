/* One request to etcd, as the calls it takes:
 *
 *	read     [authenticate] range, of a key or a tree
 *	put      [authenticate] [grant] txn, and afterwards a keepalive on its own
 *	delete   [authenticate] revoke or deleterange
 *
 * A put compares the key's revision, so that of two puts the one that is late
 * changes nothing, and one that was carried out twice is recognized. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "etcd_private.h"

#define RETRIES_MOST 6

static const struct {
	const char *path;
	const char *path_3_3; /* NULL: the same */
} steps[] = {
	[ETCD_STEP_AUTHENTICATE] = {"/auth/authenticate", NULL},
	[ETCD_STEP_RANGE] = {"/kv/range", NULL},
	[ETCD_STEP_GRANT] = {"/lease/grant", NULL},
	[ETCD_STEP_PUT] = {"/kv/txn", NULL},
	[ETCD_STEP_KEEPALIVE] = {"/lease/keepalive", NULL},
	[ETCD_STEP_REVOKE] = {"/lease/revoke", "/kv/lease/revoke"},
	[ETCD_STEP_DELETE] = {"/kv/deleterange", NULL},
};

const char *etcd_path(const struct etcd_store *store, const char *name,
		      char path[static ETCD_PATH_SIZE])
{
	snprintf(path, ETCD_PATH_SIZE, "%s%s", store->is_3_3 ? "/v3beta" : "/v3", name);
	return path;
}

int etcd_request_start(struct etcd_store *store, enum etcd_kind kind, const struct store_call *call,
		       struct etcd_request **ret_request)
{
	struct etcd_request *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	int error = store_request_init(&r->base, &store->base, call);
	if (error < 0) {
		free(r);
		return error;
	}
	r->store = store;
	r->kind = kind;
	r->endpoint = -1;
	r->deadline_ms = clock_boot_ms() + store->timeout_ms;
	list_append(kind == ETCD_SURVEY ? &store->surveys : &store->requests, &r->node);
	*ret_request = r;
	return 0;
}

void etcd_request_free(struct etcd_request *r)
{
	endpoints_call_cancel(&r->call);
	list_remove(&r->node);
	strbuf_deinit(&r->data);
	etcd_kvs_deinit(&r->kvs);
	store_request_deinit(&r->base);
	free(r);
}

/* Tells the caller, once. */
static void finish(struct etcd_request *r, int error, const char *text,
		   const struct store_listing *listing)
{
	if (r->kind == ETCD_SURVEY) {
		etcd_survey_answered(r, error == 0);
		return;
	}
	if (r->kind == ETCD_REFRESH && error < 0)
		log_debug("etcd: the lease was not refreshed", log_text("error", text));
	list_remove(&r->node); /* the callback may start another */
	store_request_tell(&r->base, error, text, listing);
	etcd_request_free(r);
}

static void fail(struct etcd_request *r, int error, const char *text)
{
	finish(r, error, text, NULL);
}

static void run_step(struct etcd_request *r, enum etcd_step step);

static bool may_retry(struct etcd_request *r)
{
	return r->retries++ < RETRIES_MOST && clock_boot_ms() < r->deadline_ms;
}

/* The step with which a request begins, once it has a token or needs none. */
static enum etcd_step first_step(const struct etcd_request *r)
{
	const struct etcd_owned *owned = &r->store->owned;

	switch (r->kind) {
	case ETCD_READ:
	case ETCD_SURVEY:
		return ETCD_STEP_RANGE;
	case ETCD_PUT:
		return owned->lease == 0 || owned->ttl_s != r->ttl_s ? ETCD_STEP_GRANT
								     : ETCD_STEP_PUT;
	case ETCD_REFRESH:
		return ETCD_STEP_KEEPALIVE;
	case ETCD_DELETE:
		break;
	}
	return owned->lease != 0 ? ETCD_STEP_REVOKE : ETCD_STEP_DELETE;
}

/* Answers */

static int list_kvs(const struct etcd_request *r, struct listing *ret)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < r->kvs.count; i++)
		error = etcd_apply_kv(r->store, r->base.key, r->base.is_tree, &r->kvs.all[i], ret);
	return error;
}

/* is_readable() has read it. */
static void take_range(struct etcd_request *r, const struct endpoints_reply *reply)
{
	struct etcd_store *s = r->store;
	const char *name = endpoints_name(s->endpoints, reply->endpoint);
	struct listing listing = {.has_no_bounds = !r->base.is_tree};
	char text[ENDPOINTS_TEXT_SIZE] = "";
	int error = 0;

	if (r->kind == ETCD_READ)
		error = etcd_check_header(s, &r->header, r->highest, name);
	if (error == 0 && r->kind == ETCD_READ)
		error = list_kvs(r, &listing);
	if (error < 0) {
		endpoints_avoid(s->endpoints, reply->endpoint);
		snprintf(text, sizeof(text), "%s: %s", name, listing_error_text(error));
	}
	struct store_listing found =
		listing_at(&listing, etcd_public_revision(s, r->header.revision));
	finish(r, error, text, error == 0 ? &found : NULL);
	listing_deinit(&listing);
}

static void take_grant(struct etcd_request *r, const struct endpoints_reply *reply)
{
	int64_t lease;
	int64_t ttl_s;

	int error = etcd_json_lease(reply->body, reply->size, &r->header, &lease, &ttl_s);
	if (error < 0) {
		fail(r, error, "etcd granted no lease");
		return;
	}
	r->store->owned.lease = lease;
	r->store->owned.ttl_s = r->ttl_s;
	run_step(r, ETCD_STEP_PUT);
}

static bool is_our_value(const struct etcd_request *r, const struct etcd_kv *kv)
{
	return kv->present && kv->lease == r->store->owned.lease &&
	       kv->value.size == r->data.size &&
	       memcmp(kv->value.data, r->data.data, r->data.size) == 0;
}

static void start_refresh(struct etcd_store *s)
{
	struct store_call call = {.verb = STORE_READ, .key = s->owned.key};
	struct etcd_request *refresh;

	if (etcd_request_start(s, ETCD_REFRESH, &call, &refresh) == 0)
		etcd_request_run(refresh);
}

static void take_put(struct etcd_request *r, const struct endpoints_reply *reply)
{
	struct etcd_store *s = r->store;
	struct etcd_kv kv;
	bool succeeded;

	int error = etcd_json_txn(reply->body, reply->size, &r->header, &succeeded, &kv);
	if (error == 0)
		error = etcd_check_header(s, &r->header, r->highest,
					  endpoints_name(s->endpoints, reply->endpoint));
	if (error < 0) {
		endpoints_avoid(s->endpoints, reply->endpoint);
		fail(r, error, err_text(error));
		return;
	}
	bool is_written = succeeded || is_our_value(r, &kv);
	s->owned.revision = succeeded ? r->header.revision : kv.mod_revision;
	etcd_kv_deinit(&kv);
	if (is_written) {
		/* A store that expires keys counts from here, as from the put. */
		start_refresh(s);
		finish(r, 0, "", NULL);
	} else if (may_retry(r)) {
		run_step(r, ETCD_STEP_PUT); /* now with the revision it has */
	} else {
		fail(r, -EBUSY, "etcd: the key changes under every put");
	}
}

static void take_keepalive(struct etcd_request *r, const struct endpoints_reply *reply)
{
	struct etcd_owned *owned = &r->store->owned;
	int64_t lease = 0;
	int64_t ttl_s = 0;

	int error = etcd_json_lease(reply->body, reply->size, &r->header, &lease, &ttl_s);
	if (error == 0 && ttl_s == 0 && lease == owned->lease)
		owned->lease = 0; /* expired: the next put gets another */
	finish(r, error, "unreadable answer", NULL);
}

static void take_token(struct etcd_request *r, const struct endpoints_reply *reply)
{
	char *token;

	int error = etcd_json_token(reply->body, reply->size, &token);
	if (error < 0) {
		fail(r, error, "etcd gave no token");
		return;
	}
	free(r->store->token);
	r->store->token = token;
	run_step(r, r->after_authentication);
}

static void take_success(struct etcd_request *r, const struct endpoints_reply *reply)
{
	switch (r->step) {
	case ETCD_STEP_AUTHENTICATE:
		take_token(r, reply);
		break;
	case ETCD_STEP_RANGE:
		take_range(r, reply);
		break;
	case ETCD_STEP_GRANT:
		take_grant(r, reply);
		break;
	case ETCD_STEP_PUT:
		take_put(r, reply);
		break;
	case ETCD_STEP_KEEPALIVE:
		take_keepalive(r, reply);
		break;
	case ETCD_STEP_REVOKE:
	case ETCD_STEP_DELETE:
		r->store->owned.lease = 0;
		r->store->owned.revision = 0;
		finish(r, 0, "", NULL);
		break;
	}
}

/* Errors */

static bool asks_for_token(const struct etcd_error *e)
{
	if (e->code == ETCD_CODE_UNAUTHENTICATED)
		return true;
	return e->code == ETCD_CODE_INVALID_ARGUMENT &&
	       (strstr(e->message, "user name is empty") != NULL ||
		strstr(e->message, "revision of auth store is old") != NULL);
}

/* True if the request goes on in another way. */
static bool recover(struct etcd_request *r, const struct endpoints_reply *reply,
		    const struct etcd_error *e)
{
	struct etcd_store *s = r->store;

	if (!may_retry(r))
		return false;
	if (r->step == ETCD_STEP_AUTHENTICATE) {
		if (e->code != ETCD_CODE_FAILED_PRECONDITION)
			return false;
		free(TAKE_PTR(s->token)); /* accounts are off: go without */
		run_step(r, r->after_authentication);
		return true;
	}
	if (asks_for_token(e) && s->user != NULL) {
		free(TAKE_PTR(s->token));
		r->after_authentication = r->step;
		run_step(r, ETCD_STEP_AUTHENTICATE);
		return true;
	}
	if (e->code == ETCD_CODE_NOT_FOUND && r->step == ETCD_STEP_PUT) {
		s->owned.lease = 0; /* it expired, and the key with it */
		run_step(r, ETCD_STEP_GRANT);
		return true;
	}
	return false;
}

static void take_error(struct etcd_request *r, const struct endpoints_reply *reply)
{
	struct etcd_error e;
	char text[ENDPOINTS_TEXT_SIZE];

	etcd_json_error(reply->body, reply->size, &e);
	if (r->step == ETCD_STEP_REVOKE && e.code == ETCD_CODE_NOT_FOUND) {
		take_success(r, reply); /* gone already, which is what is wanted */
		return;
	}
	if (recover(r, reply, &e))
		return;
	snprintf(text, sizeof(text), "%s: HTTP %d: %s%s",
		 endpoints_name(r->store->endpoints, reply->endpoint), reply->status,
		 e.code != 0 ? e.message : "not an answer of etcd",
		 asks_for_token(&e) && r->store->user == NULL ? " (see --store-user)" : "");
	fail(r, e.code == ETCD_CODE_PERMISSION_DENIED ? -EACCES : -EIO, text);
}

/* Calls */

/* Whether it can be what etcd answers to this step. */
static bool is_readable(struct etcd_request *r, const struct endpoints_reply *reply)
{
	struct etcd_header header;
	struct etcd_kv kv = {0};
	struct etcd_kvs kvs = {0};
	AUTO_FREE char *token = NULL;
	int64_t number;
	bool succeeded;
	int error = 0;

	switch (r->step) {
	case ETCD_STEP_AUTHENTICATE:
		error = etcd_json_token(reply->body, reply->size, &token);
		break;
	case ETCD_STEP_GRANT:
	case ETCD_STEP_KEEPALIVE:
		error = etcd_json_lease(reply->body, reply->size, &header, &number, &number);
		break;
	case ETCD_STEP_PUT:
		error = etcd_json_txn(reply->body, reply->size, &header, &succeeded, &kv);
		break;
	case ETCD_STEP_RANGE: /* large, maybe: not to be read twice */
		etcd_kvs_deinit(&r->kvs);
		error = etcd_json_range(reply->body, reply->size, &r->header, &r->kvs);
		break;
	case ETCD_STEP_REVOKE:
	case ETCD_STEP_DELETE:
		error = etcd_json_range(reply->body, reply->size, &header, &kvs);
		break;
	}
	if (error == 0) {
		etcd_kv_deinit(&kv);
		etcd_kvs_deinit(&kvs);
	}
	return error == 0;
}

/* What only one server says, and no etcd would, leaves the others to be asked. */
static bool is_decisive(const struct endpoints_reply *reply, void *arg)
{
	struct etcd_request *r = arg;
	struct etcd_error e;

	if (reply->status == 200)
		return is_readable(r, reply);
	if (reply->status < 400 || reply->status >= 500 || reply->status == 408 ||
	    reply->status == 429)
		return false;
	etcd_json_error(reply->body, reply->size, &e);
	if (reply->status == 404 && e.code == 0)
		r->no_such_path = true; /* in plain text */
	return e.code != 0;
}

/* Gateways of other versions live under another prefix. */
static bool try_other_prefix(struct etcd_request *r)
{
	if (!r->no_such_path || r->other_prefix || !may_retry(r))
		return false;
	r->other_prefix = true;
	r->store->is_3_3 = !r->store->is_3_3;
	run_step(r, r->step);
	return true;
}

static void on_called(int error, const char *text, const struct endpoints_reply *reply, void *arg)
{
	struct etcd_request *r = arg;

	r->call = NULL;
	if (error < 0 && try_other_prefix(r))
		return;
	if (error < 0)
		fail(r, error, text);
	else if (reply->status == 200)
		take_success(r, reply);
	else
		take_error(r, reply);
}

static const struct endpoints_ops call_ops = {.is_decisive = is_decisive, .done = on_called};

static int make_body(struct etcd_request *r, struct strbuf *body)
{
	struct etcd_store *s = r->store;

	switch (r->step) {
	case ETCD_STEP_AUTHENTICATE:
		return etcd_json_make_account(body, s->user, s->password);
	case ETCD_STEP_RANGE:
		return etcd_json_make_range(body, r->base.key, r->base.is_tree,
					    STORE_TREE_MAX_KEYS + 1);
	case ETCD_STEP_GRANT:
		return etcd_json_make_grant(body, r->ttl_s);
	case ETCD_STEP_PUT:
		return etcd_json_make_put(body, r->base.key, r->data.data, r->data.size,
					  s->owned.lease, s->owned.revision);
	case ETCD_STEP_KEEPALIVE:
	case ETCD_STEP_REVOKE:
		return etcd_json_make_lease(body, s->owned.lease);
	case ETCD_STEP_DELETE:
		return etcd_json_make_delete(body, r->base.key);
	}
	return -EINVAL;
}

static void run_step(struct etcd_request *r, enum etcd_step step)
{
	struct etcd_store *s = r->store;
	char path[ETCD_PATH_SIZE];
	struct strbuf body = {0};
	struct http_header token = {"Authorization", s->token};
	int64_t left_ms = r->deadline_ms - clock_boot_ms();

	if (step == ETCD_STEP_PUT && s->owned.lease == 0)
		step = ETCD_STEP_GRANT; /* lost meanwhile: without one the key would stay for ever
					 */
	r->step = step;
	r->highest = s->highest;
	const char *name =
		s->is_3_3 && steps[step].path_3_3 != NULL ? steps[step].path_3_3 : steps[step].path;
	int error = make_body(r, &body);
	struct endpoints_request request = {
		.http = {.method = "POST",
			 .path = etcd_path(s, name, path),
			 .headers = &token,
			 .header_count = s->token != NULL && step != ETCD_STEP_AUTHENTICATE,
			 .body = body.data,
			 .body_size = body.size,
			 .timeout_ms = left_ms > 0 ? left_ms : 0},
		.only = r->endpoint,
	};
	if (error == 0)
		error = endpoints_call_start(s->endpoints, &request, &call_ops, r, &r->call);
	strbuf_deinit(&body);
	if (error < 0)
		fail(r, error, err_text(error));
}

void etcd_request_run(struct etcd_request *r)
{
	struct etcd_store *s = r->store;

	if (s->user == NULL || s->token != NULL) {
		run_step(r, first_step(r));
		return;
	}
	r->after_authentication = first_step(r);
	run_step(r, ETCD_STEP_AUTHENTICATE);
}
