/* What etcdv2.c (requests) and etcdv2_watch.c share. Loop thread. */
#ifndef PGSPLICE_STORE_ETCDV2_PRIVATE_H
#define PGSPLICE_STORE_ETCDV2_PRIVATE_H

#include "endpoints.h"
#include "etcdv2_json.h"
#include "listing.h"
#include "store_private.h"

struct v2_store {
	struct store base;
	struct loop *loop;
	struct endpoints *endpoints;
	int64_t timeout_ms;
	char *authorization; /* NULL: no account */
	struct list requests;
	uint64_t put_index; /* modifiedIndex of our key as last known; 0: no key */
};

struct v2_request {
	struct store_request base;
	struct list node;
	struct v2_store *store;
	enum store_verb verb;
	bool looking; /* a put whose comparison failed reads the key */
	unsigned retries;
	int64_t deadline_ms;
	char *path;
	struct strbuf body; /* form-encoded */
	struct endpoints_call *call;
};

/* "/v2/keys/…", escaped, without slashes at the end; the caller frees it. NULL
 * without memory. */
char *v2_make_path(const char *key);
int v2_watch_start(struct store *store, const struct store_watch *watch,
		   struct store_watch **ret_watch);
void v2_watch_stop(struct store_watch *watch);

#endif
