/* What a backend implements. A backend embeds struct store and struct
 * store_request at the start of its own. */
#ifndef PGSPLICE_STORE_STORE_PRIVATE_H
#define PGSPLICE_STORE_STORE_PRIVATE_H

#include "store/store.h"

struct store_ops {
	void (*close)(struct store *store);
	int (*get)(struct store *store, const char *key, store_get_cb *cb, void *arg,
		   struct store_request **ret_request);
	int (*put)(struct store *store, const char *key, const char *data, size_t size,
		   int64_t ttl_ms, store_done_cb *cb, void *arg,
		   struct store_request **ret_request);
	int (*remove)(struct store *store, const char *key, store_done_cb *cb, void *arg,
		      struct store_request **ret_request);
	void (*cancel)(struct store_request *request);
	int (*watch_start)(struct store *store, const char *key, store_watch_cb *cb, void *arg,
			   struct store_watch **ret_watch);
	void (*watch_stop)(struct store_watch *watch);
};

struct store {
	const struct store_ops *ops;
};

struct store_request {
	const struct store_ops *ops;
};

struct store_watch {
	const struct store_ops *ops;
};

/* How each backend is opened; dns is for those that are reached by name. */
typedef int store_open_fn(const struct store_settings *settings, struct loop *loop, struct dns *dns,
			  struct store **ret_store, const char **ret_problem);
store_open_fn file_store_open;
store_open_fn etcd_store_open;
store_open_fn etcdv2_store_open;
store_open_fn consul_store_open;

#endif
