/* What consul.c, consul_request.c, consul_put.c and consul_watch.c share: the
 * store and one request of it. Loop thread. */
#ifndef PGSPLICE_STORE_CONSUL_PRIVATE_H
#define PGSPLICE_STORE_CONSUL_PRIVATE_H

#include "consul_json.h"
#include "endpoints.h"
#include "listing.h"
#include "store_private.h"

#define CONSUL_TOKEN_SIZE 512

/* What is known of the one key that is put: our proxy info. */
struct consul_owned {
	char *key;                        /* NULL: nothing was put yet */
	uint64_t index;                   /* its ModifyIndex as last seen; 0: no key */
	char holder[CONSUL_ID_SIZE];      /* a session of ours before, which holds it; or "" */
	char session[CONSUL_ID_SIZE];     /* for the next put; "" */
	char old_session[CONSUL_ID_SIZE]; /* replaced, still to be destroyed; "" */
	int64_t session_ttl_ms;
};

struct consul_store {
	struct store base;
	struct loop *loop;
	struct endpoints *endpoints; /* exactly one */
	int64_t timeout_ms;
	char token[CONSUL_TOKEN_SIZE]; /* "": none */
	char *token_file;              /* NULL: none */
	char *node;                    /* NULL: the agent's own */
	bool is_registered;            /* that node */
	unsigned epoch;                /* how often the index was seen to begin anew */
	uint64_t low_index;            /* below what was known: seen once; 0: no */
	struct list requests;
	struct consul_owned owned;
};

enum consul_kind {
	CONSUL_READ,
	CONSUL_PUT,
	CONSUL_DELETE,
	CONSUL_REFRESH, /* of the session; nobody waits for it */
};

/* A request is one or several calls in a row. */
enum consul_step {
	CONSUL_STEP_READ,
	CONSUL_STEP_REGISTER,
	CONSUL_STEP_CREATE,
	CONSUL_STEP_PUT,
	CONSUL_STEP_LOOK, /* what is the key now? */
	CONSUL_STEP_RENEW,
	CONSUL_STEP_DESTROY_OLD,
	CONSUL_STEP_DESTROY,
	CONSUL_STEP_DELETE,
};

struct consul_request {
	struct store_request base;
	struct list node;
	struct consul_store *store;
	enum consul_kind kind;
	enum consul_step step;
	struct strbuf data;
	int64_t ttl_ms;               /* of a session for it */
	char session[CONSUL_ID_SIZE]; /* that the step is about */
	int64_t deadline_ms;          /* clock_boot_ms() */
	uint64_t highest;             /* index of key or tree as known when this was sent */
	unsigned retries;             /* of whatever kind, together */
	bool has_reread_token;
	struct loop_timer failed; /* tells from the loop what failed at once */
	int failure;
	struct endpoints_call *call;
};

/* Starts a request; run begins it, after the caller has filled in what the kind
 * needs. call: with its key and callbacks. */
MUST_CHECK int consul_request_start(struct consul_store *store, enum consul_kind kind,
				    const struct store_call *call,
				    struct consul_request **ret_request);
void consul_request_run(struct consul_request *r);
void consul_request_free(struct consul_request *r);

/* For the steps of consul_put.c. Each ends the request or goes on with it. */
void consul_run_step(struct consul_request *r, enum consul_step step);
void consul_finish(struct consul_request *r, int error, const char *text,
		   const struct store_listing *listing);
void consul_fail(struct consul_request *r, int error, const char *text);
/* what: NULL for what the answer itself says. */
void consul_refuse(struct consul_request *r, int error, const struct endpoints_reply *reply,
		   const char *what);
void consul_take_error(struct consul_request *r, const struct endpoints_reply *reply);
bool consul_may_retry(struct consul_request *r);

/* The steps of consul_put.c: with which a put or delete goes on, answers, and what
 * is sent. */
void consul_run_put(struct consul_request *r);
void consul_run_delete(struct consul_request *r);
void consul_take_created(struct consul_request *r, const struct endpoints_reply *reply);
void consul_take_put(struct consul_request *r, const struct endpoints_reply *reply);
void consul_take_look(struct consul_request *r, const struct endpoints_reply *reply);
void consul_take_renewed(struct consul_request *r, const struct endpoints_reply *reply);
void consul_take_destroyed_old(struct consul_request *r);
void consul_take_deleted(struct consul_request *r);
MUST_CHECK int consul_make_session_path(struct consul_request *r, struct strbuf *path,
					const char *verb, const char *session);
MUST_CHECK int consul_make_create(struct consul_request *r, struct strbuf *path,
				  struct strbuf *body);
MUST_CHECK int consul_make_register(struct consul_request *r, struct strbuf *path,
				    struct strbuf *body);
MUST_CHECK int consul_make_put(struct consul_request *r, struct strbuf *path, struct strbuf *body);

/* "/v1/kv/KEY?query", appended. */
MUST_CHECK int consul_make_kv_path(struct strbuf *path, const char *key, const char *query);
/* The keys as an answer of 200 or 404 to a get has them, and their index: that of
 * the header, else the highest of their own. ERR_SYNTAX if Consul says no such
 * thing. */
MUST_CHECK int consul_take_kvs(const struct endpoints_reply *reply, struct consul_kvs *ret_kvs,
			       uint64_t *ret_index);
/* "http://host:8500: HTTP 403: what" */
void consul_describe(const struct consul_store *store, const struct endpoints_reply *reply,
		     const char *what, char text[static ENDPOINTS_TEXT_SIZE]);
/* The token does not allow it; a transaction says so in its answer's text. */
bool consul_is_denial(const struct endpoints_reply *reply);
struct http_header consul_token_header(const struct consul_store *store);
/* Reads the token's file, if there is one; true if it holds another token. */
bool consul_reread_token(struct consul_store *store);

/* Indexes as callers see them, and whether one may be believed: it must not be
 * below what was known of the key when it was asked for. */
uint64_t consul_public_revision(const struct consul_store *store, uint64_t index);
MUST_CHECK int consul_check_index(struct consul_store *store, uint64_t index, uint64_t highest);

/* What is known of the key or tree, if it is the watched one; else 0. */
uint64_t consul_highest(const struct consul_store *store, const char *key, bool is_tree);
int consul_watch_start(struct store *store, const struct store_watch *watch,
		       struct store_watch **ret_watch);
void consul_watch_stop(struct store_watch *watch);

#endif
