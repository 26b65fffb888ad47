/* A key-value store that holds the cluster's state: the seam behind which the
 * file, etcd, Consul and Kubernetes backends stand.
 *
 * Control thread only. Nothing here blocks: every request has its own deadline
 * and ends in exactly one callback, from the loop, never inside the call that
 * started it; store_request_cancel() prevents that callback. Keys are paths
 * without a leading slash ("stolon/cluster/NAME/clusterdata"). */
#ifndef PGSPLICE_STORE_STORE_H
#define PGSPLICE_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "net/dns.h"

struct store_settings {
	const char *backend;   /* "file", … */
	const char *endpoints; /* file: the directory; others: comma list */
	int64_t timeout_ms;    /* of one request */
	const char *user;      /* NULL: no account, or that of the URL */
	const char *password;  /* of that user */
	const char *token;     /* consul: NULL or the ACL token */
	/* consul: NULL or a file with it, read anew when the token is refused */
	const char *token_file;
	const char *node;      /* consul: NULL, or the node to register for our session */
	const char *cert_file; /* NULL or path, as the next two */
	const char *key_file;
	const char *ca_file;
	bool skip_tls_verify;
	const char *kube_resource_kind;
};

/* What a read or a watch found. The bytes live until the callback returns. */
struct store_value {
	bool present;
	const char *data; /* not terminated */
	size_t size;
	/* Rises with every change of the key, in the store's own count; an older
	 * one than already seen may be ignored. 0: the store has no such count. */
	uint64_t revision;
};

/* error: 0, or negative with a text that names the endpoint or path at fault. */
typedef void store_get_cb(int error, const char *text, const struct store_value *value, void *arg);
typedef void store_done_cb(int error, const char *text, void *arg);

/* The key changed, or may have: value is what it holds now. Called for every
 * change that the store reports, not necessarily for every value it ever had. */
typedef void store_watch_cb(const struct store_value *value, void *arg);

struct store;
struct store_request;
struct store_watch;

/* Opens the store; a store that is down is no error here. Returns 0 or a
 * negative error, with *ret_problem a static text that says what is wrong with
 * the settings. */
MUST_CHECK int store_open(const struct store_settings *settings, struct loop *loop, struct dns *dns,
			  struct store **ret_store, const char **ret_problem);
/* Cancels what is under way, without callbacks. Accepts NULL. */
void store_close(struct store **store);

/* Each starts a request; the returned handle ends with its callback. */
MUST_CHECK int store_get(struct store *store, const char *key, store_get_cb *cb, void *arg,
			 struct store_request **ret_request);
/* ttl_ms: the value should vanish that long after it was last put; a backend
 * without expiry ignores it. */
MUST_CHECK int store_put(struct store *store, const char *key, const char *data, size_t size,
			 int64_t ttl_ms, store_done_cb *cb, void *arg,
			 struct store_request **ret_request);
/* Deleting a key that does not exist succeeds. */
MUST_CHECK int store_delete(struct store *store, const char *key, store_done_cb *cb, void *arg,
			    struct store_request **ret_request);
/* A cancelled put or delete may still take effect later, but never after a
 * request on the same key that was started after it. */
void store_request_cancel(struct store_request **request);

/* Watches one key for ever, through outages of the store. Watches only make
 * things faster: a caller that must know reads. */
MUST_CHECK int store_watch_start(struct store *store, const char *key, store_watch_cb *cb,
				 void *arg, struct store_watch **ret_watch);
void store_watch_stop(struct store_watch **watch);

#endif
