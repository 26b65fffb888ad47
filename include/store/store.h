/* A key-value store that holds the cluster's state: the seam behind which the
 * file, etcd, Consul and Kubernetes backends stand.
 *
 * Control thread only. Nothing here blocks: every request has its own deadline
 * and ends in exactly one callback, from the loop, never inside the call that
 * started it; store_request_cancel() prevents that callback. Keys are paths
 * without a leading slash ("stolon/cluster/NAME/clusterdata"); one that is there
 * nevertheless counts with etcd v3 and is left out with the others. */
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

/* A tree is all keys below a prefix, which ends with a slash. One that is larger
 * than this cannot be read. */
#define STORE_TREE_MAX_KEYS  4096
#define STORE_TREE_MAX_BYTES (4 * 1024 * 1024) /* of keys and values together */

struct store_item {
	const char *key;  /* behind the prefix: "members/pg1" */
	const char *data; /* terminated, but may have NULs; "" if empty */
	size_t size;
	/* When the key was put first since it was last absent, and last: revisions
	 * as in store_listing. With etcd v2, to set a key (which is not to compare
	 * and swap it) is to put it first. */
	uint64_t create_revision;
	uint64_t mod_revision;
	/* It vanishes with its holder: it has a lease, a session or a TTL. With
	 * files, always. */
	bool is_held;
};

/* A tree at one revision; with files, as they were read one after the other. The
 * bytes live until the callback returns. */
struct store_listing {
	const struct store_item *items; /* in the order of the keys' bytes */
	size_t count;                   /* 0: nothing is below the prefix */
	uint64_t revision;              /* as store_value's */
};

/* What a watch of a tree has found: the whole of it again. */
struct store_update {
	struct store_listing listing;
	/* Read as a whole because the watch began, or was interrupted (by an outage,
	 * by history that the store no longer has, by a watch that missed
	 * something): before this, anything may have come and gone unseen, and what
	 * is the same may not be what it was. Otherwise, it follows the last one. */
	bool is_fresh;
};

/* error: 0, or negative with a text that names the endpoint or path at fault, and
 * the prefix of a tree. */
typedef void store_get_cb(int error, const char *text, const struct store_value *value, void *arg);
typedef void store_list_cb(int error, const char *text, const struct store_listing *listing,
			   void *arg);
typedef void store_done_cb(int error, const char *text, void *arg);

/* The key changed, or may have: value is what it holds now. Called for every
 * change that the store reports, not necessarily for every value it ever had. */
typedef void store_watch_cb(const struct store_value *value, void *arg);
/* The same for a tree. Revisions rise; changes in one revision of etcd v3 or
 * Consul (a transaction, the keys of a lease or session) come in one update. */
typedef void store_watch_tree_cb(const struct store_update *update, void *arg);

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
/* prefix: ends with a slash, else -EINVAL. */
MUST_CHECK int store_list(struct store *store, const char *prefix, store_list_cb *cb, void *arg,
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

/* Watches one key, or the tree below a prefix, for ever, through outages of the
 * store. Watches only make things faster: a caller that must know reads, and a read
 * of the same key or tree that finds what its watch has missed starts that again.
 * A store has one watch at a time. Not to be stopped from its own callback. */
MUST_CHECK int store_watch_start(struct store *store, const char *key, store_watch_cb *cb,
				 void *arg, struct store_watch **ret_watch);
MUST_CHECK int store_watch_tree_start(struct store *store, const char *prefix,
				      store_watch_tree_cb *cb, void *arg,
				      struct store_watch **ret_watch);
void store_watch_stop(struct store_watch **watch);

#endif
