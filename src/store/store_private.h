/* What a backend implements. A backend embeds struct store, struct store_request
 * and struct store_watch at the start of its own. */
#ifndef PGSPLICE_STORE_STORE_PRIVATE_H
#define PGSPLICE_STORE_STORE_PRIVATE_H

#include "store/store.h"

struct watch_loop;

enum store_verb {
	STORE_READ, /* a key, or the tree below it */
	STORE_PUT,
	STORE_DELETE,
};

/* What is asked for. A backend's request keeps a copy: store_request_init(). */
struct store_call {
	enum store_verb verb;
	const char *key;
	bool is_tree; /* key is a prefix, with its slash */
	const char *data;
	size_t size;
	int64_t ttl_ms;
	/* One of them; a key that is read with list_cb is a tree of one. */
	store_get_cb *get_cb;
	store_list_cb *list_cb;
	store_done_cb *done_cb;
	void *arg;
};

struct store_ops {
	void (*close)(struct store *store);
	/* *ret_request is set before the request begins. */
	int (*start)(struct store *store, const struct store_call *call,
		     struct store_request **ret_request);
	void (*cancel)(struct store_request *request);
	/* The base of what is returned is watch's; its key is to be copied. */
	int (*watch_start)(struct store *store, const struct store_watch *watch,
			   struct store_watch **ret_watch);
	void (*watch_stop)(struct store_watch *watch);
};

struct store {
	const struct store_ops *ops;
	/* One thing is watched at most. NULL: nothing, or not by a watch_loop. */
	struct watch_loop *watch;
};

struct store_request {
	struct store *store;
	char *key;
	bool is_tree;
	store_get_cb *get_cb; /* one of them; none for the backend's own */
	store_list_cb *list_cb;
	store_done_cb *done_cb;
	void *arg;
};

struct store_watch {
	const struct store_ops *ops;
	const char *key;
	bool is_tree;
	store_watch_cb *value_cb; /* or tree_cb */
	store_watch_tree_cb *tree_cb;
	void *arg;
};

/* Copies the call's key and callbacks. Returns 0 or -ENOMEM. */
MUST_CHECK int store_request_init(struct store_request *request, struct store *store,
				  const struct store_call *call);
/* Frees what init has copied. */
void store_request_deinit(struct store_request *request);
/* Tells who waits for it, once; listing is set for a read that succeeded, which
 * the watch hears of first. */
void store_request_tell(struct store_request *request, int error, const char *text,
			const struct store_listing *listing);
void store_watch_tell(struct store_watch *watch, const struct store_update *update);

/* A key's name behind the prefix, "" for the key itself; NULL: it is neither. */
const char *store_relative_key(const char *key, const char *wanted, bool is_tree);

/* The high bits of a revision are how often the store's own count was seen to begin
 * anew, the rest is that count. */
#define STORE_EPOCH_SHIFT 48
static inline uint64_t store_own_revision(uint64_t revision)
{
	return revision & ((UINT64_C(1) << STORE_EPOCH_SHIFT) - 1);
}

/* How each backend is opened; dns is for those that are reached by name. */
typedef int store_open_fn(const struct store_settings *settings, struct loop *loop, struct dns *dns,
			  struct store **ret_store, const char **ret_problem);
store_open_fn file_store_open;
store_open_fn etcd_store_open;
store_open_fn etcdv2_store_open;
store_open_fn consul_store_open;

#endif
