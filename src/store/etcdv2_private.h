/* What etcdv2.c (requests) and etcdv2_watch.c share. Loop thread. */
#ifndef PGSPLICE_STORE_ETCDV2_PRIVATE_H
#define PGSPLICE_STORE_ETCDV2_PRIVATE_H

#include "endpoints.h"
#include "etcdv2_json.h"
#include "store_private.h"

struct v2_watch;

struct v2_store {
	struct store base;
	struct loop *loop;
	struct endpoints *endpoints;
	int64_t timeout_ms;
	char *authorization; /* NULL: no account */
	struct list requests;
	uint64_t put_index; /* modifiedIndex of our key as last known; 0: no key */
	struct v2_watch *watch;
};

enum v2_kind {
	V2_GET,
	V2_PUT,
	V2_DELETE,
};

struct v2_request {
	struct store_request base;
	struct list node;
	struct v2_store *store;
	enum v2_kind kind;
	bool looking; /* a put whose comparison failed reads the key */
	unsigned retries;
	int64_t deadline_ms;
	int64_t ttl_s;
	char *path;
	struct strbuf body; /* form-encoded */
	struct endpoints_call *call;
	store_get_cb *get_cb;
	store_done_cb *done_cb;
	void *arg;
};

/* "/v2/keys/…", escaped; the caller frees it. NULL without memory. */
char *v2_make_path(const char *key);
int v2_get(struct store *store, const char *key, store_get_cb *cb, void *arg,
	   struct store_request **ret_request);

int v2_watch_start(struct store *store, const char *key, store_watch_cb *cb, void *arg,
		   struct store_watch **ret_watch);
void v2_watch_stop(struct store_watch *watch);
bool v2_watch_is_reading(const struct v2_watch *watch, const struct store_request *request);
/* A regular read found the key: does the watch keep up? */
void v2_watch_note_read(struct v2_watch *watch, uint64_t index, uint64_t modified);

#endif
