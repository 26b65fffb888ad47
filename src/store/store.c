/* Hands each call to the backend that was chosen. */
#include "store/store.h"

#include <errno.h>
#include <string.h>

#include "store_private.h"

static const struct backend {
	const char *name;
	store_open_fn *open;
} backends[] = {
	{"file", file_store_open},
	{"etcdv3", etcd_store_open},
	{"etcdv2", etcdv2_store_open},
	{"consul", consul_store_open},
};

int store_open(const struct store_settings *settings, struct loop *loop, struct dns *dns,
	       struct store **ret_store, const char **ret_problem)
{
	for (size_t i = 0; i < ARRAY_LEN(backends); i++) {
		if (strcmp(settings->backend, backends[i].name) == 0)
			return backends[i].open(settings, loop, dns, ret_store, ret_problem);
	}
	*ret_problem = "unknown store backend";
	return -EINVAL;
}

void store_close(struct store **store)
{
	struct store *closed = TAKE_PTR(*store);

	if (closed != NULL)
		closed->ops->close(closed);
}

int store_get(struct store *store, const char *key, store_get_cb *cb, void *arg,
	      struct store_request **ret_request)
{
	return store->ops->get(store, key, cb, arg, ret_request);
}

int store_put(struct store *store, const char *key, const char *data, size_t size, int64_t ttl_ms,
	      store_done_cb *cb, void *arg, struct store_request **ret_request)
{
	return store->ops->put(store, key, data, size, ttl_ms, cb, arg, ret_request);
}

int store_delete(struct store *store, const char *key, store_done_cb *cb, void *arg,
		 struct store_request **ret_request)
{
	return store->ops->remove(store, key, cb, arg, ret_request);
}

void store_request_cancel(struct store_request **request)
{
	struct store_request *cancelled = TAKE_PTR(*request);

	if (cancelled != NULL)
		cancelled->ops->cancel(cancelled);
}

int store_watch_start(struct store *store, const char *key, store_watch_cb *cb, void *arg,
		      struct store_watch **ret_watch)
{
	return store->ops->watch_start(store, key, cb, arg, ret_watch);
}

void store_watch_stop(struct store_watch **watch)
{
	struct store_watch *stopped = TAKE_PTR(*watch);

	if (stopped != NULL)
		stopped->ops->watch_stop(stopped);
}
