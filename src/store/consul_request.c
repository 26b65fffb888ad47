/* One request to Consul, as the calls it takes:
 *
 *	read     kv?consistent, of a key or a tree
 *	put      [register] [session/create] txn, and afterwards a renewal on its own
 *	delete   session/destroy, which takes the key along
 *
 * What the steps of the last two mean is in consul_put.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "consul_private.h"
#include "watch_loop.h"

#define RETRIES_MOST 6

static void on_failed(evutil_socket_t fd, short what, void *arg);

int consul_request_start(struct consul_store *store, enum consul_kind kind,
			 const struct store_call *call, struct consul_request **ret_request)
{
	struct consul_request *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	int error = store_request_init(&r->base, &store->base, call);
	if (error < 0) {
		free(r);
		return error;
	}
	r->store = store;
	r->kind = kind;
	r->deadline_ms = clock_boot_ms() + store->timeout_ms;
	loop_timer_init(&r->failed, store->loop, on_failed, r);
	list_append(&store->requests, &r->node);
	*ret_request = r;
	return 0;
}

void consul_request_free(struct consul_request *r)
{
	endpoints_call_cancel(&r->call);
	loop_timer_stop(&r->failed);
	list_remove(&r->node);
	strbuf_deinit(&r->data);
	store_request_deinit(&r->base);
	free(r);
}

/* Tells the caller, once. */
void consul_finish(struct consul_request *r, int error, const char *text,
		   const struct store_listing *listing)
{
	if (r->kind == CONSUL_REFRESH && error < 0)
		log_debug("consul: the session was not renewed", log_text("error", text));
	list_remove(&r->node); /* the callback may start another */
	store_request_tell(&r->base, error, text, listing);
	consul_request_free(r);
}

void consul_fail(struct consul_request *r, int error, const char *text)
{
	consul_finish(r, error, text, NULL);
}

static void on_failed(evutil_socket_t fd, short what, void *arg)
{
	struct consul_request *r = arg;

	consul_fail(r, r->failure, err_text(r->failure));
}

void consul_refuse(struct consul_request *r, int error, const struct endpoints_reply *reply,
		   const char *what)
{
	char text[ENDPOINTS_TEXT_SIZE];

	consul_describe(r->store, reply, what, text);
	consul_fail(r, error, text);
}

bool consul_may_retry(struct consul_request *r)
{
	return r->retries++ < RETRIES_MOST && clock_boot_ms() < r->deadline_ms;
}

/* Answers */

static int list_kvs(const struct consul_request *r, const struct consul_kvs *kvs,
		    struct listing *ret)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < kvs->count; i++) {
		const struct consul_kv *kv = &kvs->all[i];
		const char *key = kv->key.data != NULL ? kv->key.data : "";
		struct store_item item = {
			.key = "",
			.data = kv->value.data,
			.size = kv->value.size,
			.create_revision = consul_public_revision(r->store, kv->create_index),
			.mod_revision = consul_public_revision(r->store, kv->index),
			.is_held = *kv->session != '\0',
		};
		if (r->base.is_tree &&
		    (strlen(key) != kv->key.size || strcmp(key, r->base.key) == 0))
			continue; /* with a NUL, or a "folder" that somebody has made */
		if (r->base.is_tree)
			item.key = store_relative_key(key, r->base.key, true);
		error = item.key == NULL ? ERR_SYNTAX : listing_put(ret, &item);
	}
	return error;
}

/* A quarter of an hour after a key was deleted Consul forgets that, and the index of a
 * tree goes back to the newest one of what is left: it counts as it did if all of that is
 * as the watch knows it. */
static uint64_t index_of_state(const struct consul_request *r, const struct consul_kvs *kvs,
			       uint64_t index)
{
	const struct watch_loop *watch = r->store->base.watch;
	struct listing listing = {0};

	if (index >= r->highest || watch == NULL || !r->base.is_tree ||
	    !watch_loop_is_of(watch, r->base.key, true))
		return index;
	if (list_kvs(r, kvs, &listing) == 0) {
		struct store_listing found = listing_at(&listing, 0);
		if (listing_is(&watch->held, &found))
			index = r->highest;
	}
	listing_deinit(&listing);
	return index;
}

static void take_kvs(struct consul_request *r, const struct endpoints_reply *reply,
		     const struct consul_kvs *kvs, uint64_t index)
{
	struct listing listing = {.has_no_bounds = !r->base.is_tree};

	index = index_of_state(r, kvs, index);
	int error = consul_check_index(r->store, index, r->highest);

	if (error == 0)
		error = list_kvs(r, kvs, &listing);
	if (error < 0) {
		consul_refuse(r, error, reply, listing_error_text(error));
	} else {
		struct store_listing found =
			listing_at(&listing, consul_public_revision(r->store, index));
		consul_finish(r, 0, "", &found);
	}
	listing_deinit(&listing);
}

static void take_read(struct consul_request *r, const struct endpoints_reply *reply)
{
	struct consul_kvs kvs;
	uint64_t index;

	int error = consul_take_kvs(reply, &kvs, &index);
	if (error < 0) {
		consul_refuse(r, -EPROTO, reply,
			      error == ERR_TOO_LARGE && r->base.is_tree
				      ? listing_error_text(error)
				      : "the answer is not what Consul sends");
		return;
	}
	take_kvs(r, reply, &kvs, index);
	consul_kvs_deinit(&kvs);
}

static void take_answer(struct consul_request *r, const struct endpoints_reply *reply)
{
	switch (r->step) {
	case CONSUL_STEP_READ:
		take_read(r, reply);
		break;
	case CONSUL_STEP_REGISTER:
		r->store->is_registered = true;
		consul_run_put(r);
		break;
	case CONSUL_STEP_CREATE:
		consul_take_created(r, reply);
		break;
	case CONSUL_STEP_PUT:
		consul_take_put(r, reply);
		break;
	case CONSUL_STEP_LOOK:
		consul_take_look(r, reply);
		break;
	case CONSUL_STEP_RENEW:
		consul_take_renewed(r, reply);
		break;
	case CONSUL_STEP_DESTROY_OLD:
		consul_take_destroyed_old(r);
		break;
	case CONSUL_STEP_DESTROY:
	case CONSUL_STEP_DELETE:
		consul_take_deleted(r);
		break;
	}
}

/* Errors */

/* Whether a status other than 200 is an answer to this step. */
static bool is_expected(const struct consul_request *r, int status)
{
	switch (r->step) {
	case CONSUL_STEP_READ:
	case CONSUL_STEP_LOOK:
	case CONSUL_STEP_RENEW:
		return status == 404;
	case CONSUL_STEP_PUT:
		return status == 409;
	case CONSUL_STEP_REGISTER:
	case CONSUL_STEP_CREATE:
	case CONSUL_STEP_DESTROY_OLD:
	case CONSUL_STEP_DESTROY:
	case CONSUL_STEP_DELETE:
		break;
	}
	return false;
}

void consul_take_error(struct consul_request *r, const struct endpoints_reply *reply)
{
	struct consul_store *s = r->store;
	bool is_denied = consul_is_denial(reply);

	if (is_denied && !r->has_reread_token) {
		r->has_reread_token = true;
		if (consul_reread_token(s)) {
			consul_run_step(r, r->step);
			return;
		}
	}
	/* Somebody has taken the node out of the catalogue. */
	if (r->step == CONSUL_STEP_CREATE && s->is_registered &&
	    strstr(reply->body, "Missing node registration") != NULL && consul_may_retry(r)) {
		s->is_registered = false;
		consul_run_put(r);
		return;
	}
	consul_refuse(r, is_denied ? -EACCES : -EIO, reply, NULL);
}

/* Calls */

static bool is_decisive(const struct endpoints_reply *reply, void *arg)
{
	return true; /* there is no other server to ask */
}

static void on_called(int error, const char *text, const struct endpoints_reply *reply, void *arg)
{
	struct consul_request *r = arg;

	r->call = NULL;
	if (error < 0)
		consul_fail(r, error, text);
	else if (reply->status == 200 || is_expected(r, reply->status))
		take_answer(r, reply);
	else
		consul_take_error(r, reply);
}

static const struct endpoints_ops call_ops = {.is_decisive = is_decisive, .done = on_called};

/* *ret_method is what the step is sent with. */
static int make_call(struct consul_request *r, const char **ret_method, struct strbuf *path,
		     struct strbuf *body)
{
	struct consul_owned *owned = &r->store->owned;

	*ret_method = "PUT";
	switch (r->step) {
	case CONSUL_STEP_READ:
	case CONSUL_STEP_LOOK:
		*ret_method = "GET";
		return consul_make_kv_path(path, r->base.key,
					   r->base.is_tree ? "recurse&consistent" : "consistent");
	case CONSUL_STEP_DELETE:
		*ret_method = "DELETE";
		return consul_make_kv_path(path, r->base.key, NULL);
	case CONSUL_STEP_REGISTER:
		return consul_make_register(r, path, body);
	case CONSUL_STEP_CREATE:
		return consul_make_create(r, path, body);
	case CONSUL_STEP_PUT:
		return consul_make_put(r, path, body);
	case CONSUL_STEP_RENEW:
		return consul_make_session_path(r, path, "renew", r->session);
	case CONSUL_STEP_DESTROY_OLD:
		return consul_make_session_path(r, path, "destroy", owned->old_session);
	case CONSUL_STEP_DESTROY:
		return consul_make_session_path(r, path, "destroy", owned->session);
	}
	return -EINVAL;
}

void consul_run_step(struct consul_request *r, enum consul_step step)
{
	struct consul_store *s = r->store;
	struct strbuf path = {0};
	struct strbuf body = {0};
	const char *method;
	struct http_header token = consul_token_header(s);
	int64_t left_ms = r->deadline_ms - clock_boot_ms();

	r->step = step;
	r->highest = consul_highest(s, r->base.key, r->base.is_tree);
	int error = make_call(r, &method, &path, &body);
	bool has_body = strcmp(method, "PUT") == 0;
	struct endpoints_request request = {
		.http = {.method = method,
			 .path = path.data,
			 .headers = &token,
			 .header_count = *token.value != '\0',
			 .body = has_body && body.data == NULL ? "" : body.data,
			 .body_size = body.size,
			 .timeout_ms = left_ms > 0 ? left_ms : 0},
		.index_header = "X-Consul-Index",
		.only = -1,
	};
	if (error == 0)
		error = endpoints_call_start(s->endpoints, &request, &call_ops, r, &r->call);
	strbuf_deinit(&path);
	strbuf_deinit(&body);
	if (error < 0) { /* told from the loop: who started this has not returned */
		r->failure = error;
		loop_timer_start(&r->failed, 0);
	}
}

void consul_request_run(struct consul_request *r)
{
	switch (r->kind) {
	case CONSUL_READ:
		consul_run_step(r, CONSUL_STEP_READ);
		break;
	case CONSUL_PUT:
		consul_run_put(r);
		break;
	case CONSUL_DELETE:
		consul_run_delete(r);
		break;
	case CONSUL_REFRESH:
		consul_run_step(r, CONSUL_STEP_RENEW);
		break;
	}
}
