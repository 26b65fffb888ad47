/* Putting and deleting our key, which a session of ours holds.
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

#include "base/log.h"
#include "consul_private.h"

void consul_run_put(struct consul_request *r)
{
	struct consul_owned *owned = &r->store->owned;
	bool has_session = *owned->session != '\0' && owned->session_ttl_ms == r->ttl_ms;

	if (has_session)
		consul_run_step(r, CONSUL_STEP_PUT);
	else if (*owned->session != '\0' && *owned->old_session != '\0')
		consul_run_step(r, CONSUL_STEP_DESTROY_OLD); /* never a third one */
	else if (r->store->node != NULL && !r->store->is_registered)
		consul_run_step(r, CONSUL_STEP_REGISTER);
	else
		consul_run_step(r, CONSUL_STEP_CREATE);
}

void consul_run_delete(struct consul_request *r)
{
	struct consul_owned *owned = &r->store->owned;

	/* All of them: a put that is still on its way belongs to one. */
	if (*owned->old_session != '\0')
		consul_run_step(r, CONSUL_STEP_DESTROY_OLD);
	else if (*owned->session != '\0')
		consul_run_step(r, CONSUL_STEP_DESTROY);
	else
		consul_run_step(r, CONSUL_STEP_DELETE);
}

/* Answers */

void consul_take_created(struct consul_request *r, const struct endpoints_reply *reply)
{
	struct consul_owned *owned = &r->store->owned;
	char id[CONSUL_ID_SIZE];

	if (consul_json_session(reply->body, reply->size, id) < 0) {
		consul_refuse(r, -EPROTO, reply, "no session came");
		return;
	}
	if (*owned->session != '\0') { /* of another TTL: it hands the key over */
		memcpy(owned->holder, owned->session, CONSUL_ID_SIZE);
		memcpy(owned->old_session, owned->session, CONSUL_ID_SIZE);
	}
	memcpy(owned->session, id, CONSUL_ID_SIZE);
	owned->session_ttl_ms = r->ttl_ms;
	consul_run_step(r, CONSUL_STEP_PUT);
}

static void start_refresh(struct consul_store *s)
{
	struct store_call call = {.verb = STORE_READ, .key = s->owned.key};
	struct consul_request *refresh;

	if (consul_request_start(s, CONSUL_REFRESH, &call, &refresh) < 0)
		return;
	memcpy(refresh->session, s->owned.session, CONSUL_ID_SIZE);
	consul_run_step(refresh, CONSUL_STEP_RENEW);
}

/* A session expires some time after its last renewal: as of now, as the put. */
static void finish_put(struct consul_request *r, uint64_t index)
{
	struct consul_store *s = r->store;

	s->owned.index = index;
	*s->owned.holder = '\0';
	start_refresh(s);
	consul_finish(r, 0, "", NULL);
}

void consul_take_put(struct consul_request *r, const struct endpoints_reply *reply)
{
	struct consul_owned *owned = &r->store->owned;
	char what[CONSUL_MESSAGE_SIZE];
	uint64_t index;

	if (reply->status == 200) {
		if (consul_json_txn(reply->body, reply->size, &index) == 0)
			finish_put(r, index);
		else
			consul_refuse(r, -EPROTO, reply, "the answer is not what Consul sends");
		return;
	}
	consul_json_txn_error(reply->body, reply->size, what);
	if (consul_is_denial(reply)) {
		consul_take_error(r, reply);
	} else if (!consul_may_retry(r)) {
		consul_refuse(r, -EBUSY, reply, what);
	} else if (strstr(what, "invalid session") != NULL) {
		log_info("consul: our session is gone, another one follows",
			 log_text("session", owned->session));
		*owned->session = '\0';
		*owned->holder = '\0';
		owned->index = 0; /* the key went with it */
		consul_run_put(r);
	} else {
		consul_run_step(r, CONSUL_STEP_LOOK); /* another index, or another holder */
	}
}

void consul_take_look(struct consul_request *r, const struct endpoints_reply *reply)
{
	struct consul_owned *owned = &r->store->owned;
	struct consul_kvs kvs;
	uint64_t index;

	if (consul_take_kvs(reply, &kvs, &index) < 0) {
		consul_refuse(r, -EPROTO, reply, "the answer is not what Consul sends");
		return;
	}
	const char *session = kvs.count > 0 ? kvs.all[0].session : "";
	bool is_held_by_us = strcmp(session, owned->session) == 0;
	owned->index = kvs.count > 0 ? kvs.all[0].index : 0;
	/* Nobody else puts this key: whoever holds it was a session of ours. */
	snprintf(owned->holder, sizeof(owned->holder), "%s", is_held_by_us ? "" : session);
	consul_kvs_deinit(&kvs);
	consul_run_step(r, CONSUL_STEP_PUT);
}

void consul_take_renewed(struct consul_request *r, const struct endpoints_reply *reply)
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
		consul_run_step(r, CONSUL_STEP_DESTROY_OLD);
	else
		consul_finish(r, 0, "", NULL);
}

void consul_take_destroyed_old(struct consul_request *r)
{
	struct consul_owned *owned = &r->store->owned;

	if (strcmp(owned->old_session, r->session) == 0)
		*owned->old_session = '\0';
	if (r->kind == CONSUL_PUT)
		consul_run_put(r);
	else if (r->kind == CONSUL_DELETE)
		consul_run_delete(r);
	else
		consul_finish(r, 0, "", NULL);
}

void consul_take_deleted(struct consul_request *r)
{
	struct consul_owned *owned = &r->store->owned;

	*owned->session = '\0';
	*owned->holder = '\0';
	owned->index = 0;
	consul_finish(r, 0, "", NULL);
}

/* Calls */

int consul_make_session_path(struct consul_request *r, struct strbuf *path, const char *verb,
			     const char *session)
{
	if (session != r->session)
		memcpy(r->session, session, CONSUL_ID_SIZE);
	return strbuf_printf(path, "/v1/session/%s/%s", verb, r->session);
}

int consul_make_create(struct consul_request *r, struct strbuf *path, struct strbuf *body)
{
	const char *slash = strrchr(r->base.key, '/');
	char name[120];

	snprintf(name, sizeof(name), "pgsplice %.100s", slash != NULL ? slash + 1 : r->base.key);
	int error = strbuf_printf(path, "/v1/session/create");
	return error < 0 ? error : consul_json_make_session(body, name, r->store->node, r->ttl_ms);
}

int consul_make_register(struct consul_request *r, struct strbuf *path, struct strbuf *body)
{
	char host[256] = "localhost";

	if (gethostname(host, sizeof(host) - 1) < 0)
		snprintf(host, sizeof(host), "localhost");
	int error = strbuf_printf(path, "/v1/catalog/register");
	return error < 0 ? error : consul_json_make_node(body, r->store->node, host);
}

int consul_make_put(struct consul_request *r, struct strbuf *path, struct strbuf *body)
{
	struct consul_owned *owned = &r->store->owned;
	struct consul_put put = {r->base.key,    r->data.data,  r->data.size,
				 owned->session, owned->holder, owned->index};
	int error = strbuf_printf(path, "/v1/txn");

	return error < 0 ? error : consul_json_make_put(body, &put);
}
