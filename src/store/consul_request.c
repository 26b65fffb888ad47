/* One request to Consul, as the calls it takes:
 *
 *	get      kv?consistent
 *	put      [register] [session/create] txn, and afterwards a renewal on its own
 *	delete   session/destroy, which takes the key along
 *
 * A put is a transaction: the key's index is as known, the session takes the key
 * (acquire) with the value. There is no moment with an empty key, and a put that
 * is late changes nothing: after a newer one the index is another, after the
 * delete the session is gone. (acquire and cas exclude each other outside of a
 * transaction, and acquire alone lets an older value of the same session pass.)
 * One that failed on the index may be the second copy of itself: it is put again
 * with the index that the key has. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "consul_private.h"

#define RETRIES_MOST 6

static void on_failed(evutil_socket_t fd, short what, void *arg);

int consul_request_start(struct consul_store *store, enum consul_kind kind, const char *key,
			 struct consul_request **ret_request)
{
	struct consul_request *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->base.ops = store->base.ops;
	r->store = store;
	r->kind = kind;
	r->deadline_ms = clock_boot_ms() + store->timeout_ms;
	r->key = strdup(key);
	if (r->key == NULL) {
		free(r);
		return -ENOMEM;
	}
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
	free(r->key);
	free(r);
}

/* Tells the caller, once. */
static void finish(struct consul_request *r, int error, const char *text,
		   const struct store_value *value)
{
	if (r->kind == CONSUL_REFRESH && error < 0)
		log_debug("consul: the session was not renewed", log_text("error", text));
	list_remove(&r->node); /* the callback may start another */
	if (r->get_cb != NULL)
		r->get_cb(error, text, value, r->arg);
	else if (r->done_cb != NULL)
		r->done_cb(error, text, r->arg);
	consul_request_free(r);
}

static void fail(struct consul_request *r, int error, const char *text)
{
	finish(r, error, text, NULL);
}

static void on_failed(evutil_socket_t fd, short what, void *arg)
{
	struct consul_request *r = arg;

	fail(r, r->failure, err_text(r->failure));
}

static void refuse(struct consul_request *r, int error, const struct endpoints_reply *reply,
		   const char *what)
{
	char text[ENDPOINTS_TEXT_SIZE];

	consul_describe(r->store, reply, what, text);
	fail(r, error, text);
}

static void run_step(struct consul_request *r, enum consul_step step);
static void take_error(struct consul_request *r, const struct endpoints_reply *reply);

static bool may_retry(struct consul_request *r)
{
	return r->retries++ < RETRIES_MOST && clock_boot_ms() < r->deadline_ms;
}

static void run_put(struct consul_request *r)
{
	struct consul_owned *owned = &r->store->owned;
	bool has_session = *owned->session != '\0' && owned->session_ttl_ms == r->ttl_ms;

	if (has_session)
		run_step(r, CONSUL_STEP_PUT);
	else if (*owned->session != '\0' && *owned->old_session != '\0')
		run_step(r, CONSUL_STEP_DESTROY_OLD); /* never a third one */
	else if (r->store->node != NULL && !r->store->is_registered)
		run_step(r, CONSUL_STEP_REGISTER);
	else
		run_step(r, CONSUL_STEP_CREATE);
}

static void run_delete(struct consul_request *r)
{
	struct consul_owned *owned = &r->store->owned;

	/* All of them: a put that is still on its way belongs to one. */
	if (*owned->old_session != '\0')
		run_step(r, CONSUL_STEP_DESTROY_OLD);
	else if (*owned->session != '\0')
		run_step(r, CONSUL_STEP_DESTROY);
	else
		run_step(r, CONSUL_STEP_DELETE);
}

/* Answers */

static void take_read(struct consul_request *r, const struct endpoints_reply *reply)
{
	struct consul_store *s = r->store;
	struct consul_kv kv;
	uint64_t index;

	if (consul_take_kv(reply, &kv, &index) < 0) {
		refuse(r, -EPROTO, reply, "the answer is not what Consul sends");
		return;
	}
	int error = consul_check_index(s, index, r->highest);
	if (error < 0) {
		refuse(r, error, reply, err_text(error));
	} else {
		struct store_value value = {kv.present, kv.value.data, kv.value.size,
					    consul_public_revision(s, index)};
		if (s->watch != NULL)
			consul_watch_note_read(s->watch, r->key, index);
		finish(r, 0, "", &value);
	}
	consul_kv_deinit(&kv);
}

static void take_created(struct consul_request *r, const struct endpoints_reply *reply)
{
	struct consul_owned *owned = &r->store->owned;
	char id[CONSUL_ID_SIZE];

	if (consul_json_session(reply->body, reply->size, id) < 0) {
		refuse(r, -EPROTO, reply, "no session came");
		return;
	}
	if (*owned->session != '\0') { /* of another TTL: it hands the key over */
		memcpy(owned->holder, owned->session, CONSUL_ID_SIZE);
		memcpy(owned->old_session, owned->session, CONSUL_ID_SIZE);
	}
	memcpy(owned->session, id, CONSUL_ID_SIZE);
	owned->session_ttl_ms = r->ttl_ms;
	run_step(r, CONSUL_STEP_PUT);
}

static void start_refresh(struct consul_store *s)
{
	struct consul_request *refresh;

	if (consul_request_start(s, CONSUL_REFRESH, s->owned.key, &refresh) < 0)
		return;
	memcpy(refresh->session, s->owned.session, CONSUL_ID_SIZE);
	run_step(refresh, CONSUL_STEP_RENEW);
}

/* A session expires some time after its last renewal: as of now, as the put. */
static void finish_put(struct consul_request *r, uint64_t index)
{
	struct consul_store *s = r->store;

	s->owned.index = index;
	*s->owned.holder = '\0';
	start_refresh(s);
	finish(r, 0, "", NULL);
}

static void take_put(struct consul_request *r, const struct endpoints_reply *reply)
{
	struct consul_owned *owned = &r->store->owned;
	char what[CONSUL_MESSAGE_SIZE];
	uint64_t index;

	if (reply->status == 200) {
		if (consul_json_txn(reply->body, reply->size, &index) == 0)
			finish_put(r, index);
		else
			refuse(r, -EPROTO, reply, "the answer is not what Consul sends");
		return;
	}
	consul_json_txn_error(reply->body, reply->size, what);
	if (consul_is_denial(reply)) {
		take_error(r, reply);
	} else if (!may_retry(r)) {
		refuse(r, -EBUSY, reply, what);
	} else if (strstr(what, "invalid session") != NULL) {
		log_info("consul: our session is gone, another one follows",
			 log_text("session", owned->session));
		*owned->session = '\0';
		*owned->holder = '\0';
		owned->index = 0; /* the key went with it */
		run_put(r);
	} else {
		run_step(r, CONSUL_STEP_LOOK); /* another index, or another holder */
	}
}

static void take_look(struct consul_request *r, const struct endpoints_reply *reply)
{
	struct consul_owned *owned = &r->store->owned;
	struct consul_kv kv;
	uint64_t index;

	if (consul_take_kv(reply, &kv, &index) < 0) {
		refuse(r, -EPROTO, reply, "the answer is not what Consul sends");
		return;
	}
	bool is_held_by_us = strcmp(kv.session, owned->session) == 0;
	owned->index = kv.index;
	/* Nobody else puts this key: whoever holds it was a session of ours. */
	snprintf(owned->holder, sizeof(owned->holder), "%s", is_held_by_us ? "" : kv.session);
	consul_kv_deinit(&kv);
	run_step(r, CONSUL_STEP_PUT);
}

static void take_renewed(struct consul_request *r, const struct endpoints_reply *reply)
{
	struct consul_owned *owned = &r->store->owned;

	if (reply->status == 404 && strcmp(owned->session, r->session) == 0) {
		/* With its key, unless somebody else took that: the next put sees. */
		log_info("consul: our session has ended, another one follows",
			 log_text("session", owned->session));
		*owned->session = '\0';
		owned->index = 0;
	}
	if (*owned->old_session != '\0' && *owned->holder == '\0')
		run_step(r, CONSUL_STEP_DESTROY_OLD);
	else
		finish(r, 0, "", NULL);
}

static void take_destroyed_old(struct consul_request *r)
{
	struct consul_owned *owned = &r->store->owned;

	if (strcmp(owned->old_session, r->session) == 0)
		*owned->old_session = '\0';
	if (r->kind == CONSUL_PUT)
		run_put(r);
	else if (r->kind == CONSUL_DELETE)
		run_delete(r);
	else
		finish(r, 0, "", NULL);
}

static void take_deleted(struct consul_request *r)
{
	struct consul_owned *owned = &r->store->owned;

	*owned->session = '\0';
	*owned->holder = '\0';
	owned->index = 0;
	finish(r, 0, "", NULL);
}

static void take_answer(struct consul_request *r, const struct endpoints_reply *reply)
{
	switch (r->step) {
	case CONSUL_STEP_READ:
		take_read(r, reply);
		break;
	case CONSUL_STEP_REGISTER:
		r->store->is_registered = true;
		run_put(r);
		break;
	case CONSUL_STEP_CREATE:
		take_created(r, reply);
		break;
	case CONSUL_STEP_PUT:
		take_put(r, reply);
		break;
	case CONSUL_STEP_LOOK:
		take_look(r, reply);
		break;
	case CONSUL_STEP_RENEW:
		take_renewed(r, reply);
		break;
	case CONSUL_STEP_DESTROY_OLD:
		take_destroyed_old(r);
		break;
	case CONSUL_STEP_DESTROY:
	case CONSUL_STEP_DELETE:
		take_deleted(r);
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

static void take_error(struct consul_request *r, const struct endpoints_reply *reply)
{
	struct consul_store *s = r->store;
	bool is_denied = consul_is_denial(reply);

	if (is_denied && !r->has_reread_token) {
		r->has_reread_token = true;
		if (consul_reread_token(s)) {
			run_step(r, r->step);
			return;
		}
	}
	/* Somebody has taken the node out of the catalogue. */
	if (r->step == CONSUL_STEP_CREATE && s->is_registered &&
	    strstr(reply->body, "Missing node registration") != NULL && may_retry(r)) {
		s->is_registered = false;
		run_put(r);
		return;
	}
	refuse(r, is_denied ? -EACCES : -EIO, reply, NULL);
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
		fail(r, error, text);
	else if (reply->status == 200 || is_expected(r, reply->status))
		take_answer(r, reply);
	else
		take_error(r, reply);
}

static const struct endpoints_ops call_ops = {.is_decisive = is_decisive, .done = on_called};

static int make_session_path(struct consul_request *r, struct strbuf *path, const char *verb,
			     const char *session)
{
	if (session != r->session)
		memcpy(r->session, session, CONSUL_ID_SIZE);
	return strbuf_printf(path, "/v1/session/%s/%s", verb, r->session);
}

static int make_create(struct consul_request *r, struct strbuf *path, struct strbuf *body)
{
	const char *slash = strrchr(r->key, '/');
	char name[120];

	snprintf(name, sizeof(name), "pgsplice %.100s", slash != NULL ? slash + 1 : r->key);
	int error = strbuf_printf(path, "/v1/session/create");
	return error < 0 ? error : consul_json_make_session(body, name, r->store->node, r->ttl_ms);
}

static int make_register(struct consul_request *r, struct strbuf *path, struct strbuf *body)
{
	char host[256] = "localhost";

	if (gethostname(host, sizeof(host) - 1) < 0)
		snprintf(host, sizeof(host), "localhost");
	int error = strbuf_printf(path, "/v1/catalog/register");
	return error < 0 ? error : consul_json_make_node(body, r->store->node, host);
}

static int make_put(struct consul_request *r, struct strbuf *path, struct strbuf *body)
{
	struct consul_owned *owned = &r->store->owned;
	struct consul_put put = {r->key,         r->data.data,  r->data.size,
				 owned->session, owned->holder, owned->index};
	int error = strbuf_printf(path, "/v1/txn");

	return error < 0 ? error : consul_json_make_put(body, &put);
}

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
		return consul_make_kv_path(path, r->key, "consistent");
	case CONSUL_STEP_DELETE:
		*ret_method = "DELETE";
		return consul_make_kv_path(path, r->key, NULL);
	case CONSUL_STEP_REGISTER:
		return make_register(r, path, body);
	case CONSUL_STEP_CREATE:
		return make_create(r, path, body);
	case CONSUL_STEP_PUT:
		return make_put(r, path, body);
	case CONSUL_STEP_RENEW:
		return make_session_path(r, path, "renew", r->session);
	case CONSUL_STEP_DESTROY_OLD:
		return make_session_path(r, path, "destroy", owned->old_session);
	case CONSUL_STEP_DESTROY:
		return make_session_path(r, path, "destroy", owned->session);
	}
	return -EINVAL;
}

static void run_step(struct consul_request *r, enum consul_step step)
{
	struct consul_store *s = r->store;
	struct strbuf path = {0};
	struct strbuf body = {0};
	const char *method;
	struct http_header token = consul_token_header(s);
	int64_t left_ms = r->deadline_ms - clock_boot_ms();

	r->step = step;
	if (s->watch != NULL)
		r->highest = consul_watch_highest(s->watch, r->key);
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
	case CONSUL_GET:
		run_step(r, CONSUL_STEP_READ);
		break;
	case CONSUL_PUT:
		run_put(r);
		break;
	case CONSUL_DELETE:
		run_delete(r);
		break;
	case CONSUL_REFRESH:
		run_step(r, CONSUL_STEP_RENEW);
		break;
	}
}
