/* Hands each call to the backend that was chosen. */
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store_private.h"
#include "watch_loop.h"

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

/* Requests */

int store_get(struct store *store, const char *key, store_get_cb *cb, void *arg,
	      struct store_request **ret_request)
{
	struct store_call call = {.verb = STORE_READ, .key = key, .get_cb = cb, .arg = arg};

	return store->ops->start(store, &call, ret_request);
}

static bool is_prefix(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && text[length - 1] == '/';
}

int store_list(struct store *store, const char *prefix, store_list_cb *cb, void *arg,
	       struct store_request **ret_request)
{
	struct store_call call = {
		.verb = STORE_READ, .key = prefix, .is_tree = true, .list_cb = cb, .arg = arg};

	return is_prefix(prefix) ? store->ops->start(store, &call, ret_request) : -EINVAL;
}

int store_put(struct store *store, const char *key, const char *data, size_t size, int64_t ttl_ms,
	      store_done_cb *cb, void *arg, struct store_request **ret_request)
{
	struct store_call call = {.verb = STORE_PUT,
				  .key = key,
				  .data = data,
				  .size = size,
				  .ttl_ms = ttl_ms,
				  .done_cb = cb,
				  .arg = arg};

	return store->ops->start(store, &call, ret_request);
}

int store_delete(struct store *store, const char *key, store_done_cb *cb, void *arg,
		 struct store_request **ret_request)
{
	struct store_call call = {.verb = STORE_DELETE, .key = key, .done_cb = cb, .arg = arg};

	return store->ops->start(store, &call, ret_request);
}

void store_request_cancel(struct store_request **request)
{
	struct store_request *cancelled = TAKE_PTR(*request);

	if (cancelled != NULL)
		cancelled->store->ops->cancel(cancelled);
}

int store_request_init(struct store_request *request, struct store *store,
		       const struct store_call *call)
{
	*request = (struct store_request){.store = store,
					  .key = strdup(call->key),
					  .is_tree = call->is_tree,
					  .get_cb = call->get_cb,
					  .list_cb = call->list_cb,
					  .done_cb = call->done_cb,
					  .arg = call->arg};
	return request->key == NULL ? -ENOMEM : 0;
}

void store_request_deinit(struct store_request *request)
{
	free(TAKE_PTR(request->key));
}

/* A single key is a tree of one. */
static struct store_value value_of(const struct store_listing *listing)
{
	struct store_value value = {.revision = listing->revision};

	if (listing->count > 0) {
		value.present = true;
		value.data = listing->items[0].data;
		value.size = listing->items[0].size;
	}
	return value;
}

void store_request_tell(struct store_request *request, int error, const char *text,
			const struct store_listing *listing)
{
	store_get_cb *get_cb = TAKE_PTR(request->get_cb);
	store_list_cb *list_cb = TAKE_PTR(request->list_cb);
	store_done_cb *done_cb = TAKE_PTR(request->done_cb);
	char named[700];

	if (error < 0 && request->is_tree) {
		snprintf(named, sizeof(named), "%s: %s", request->key, text);
		text = named;
	}
	if (listing != NULL && request->store->watch != NULL)
		watch_loop_note_read(request->store->watch, request, listing);
	if (list_cb != NULL) {
		list_cb(error, text, listing, request->arg);
	} else if (get_cb != NULL && listing == NULL) {
		get_cb(error, text, NULL, request->arg);
	} else if (get_cb != NULL) {
		struct store_value value = value_of(listing);
		get_cb(error, text, &value, request->arg);
	} else if (done_cb != NULL) {
		done_cb(error, text, request->arg);
	}
}

/* Watches */

int store_watch_start(struct store *store, const char *key, store_watch_cb *cb, void *arg,
		      struct store_watch **ret_watch)
{
	struct store_watch watch = {.ops = store->ops, .key = key, .value_cb = cb, .arg = arg};

	return store->ops->watch_start(store, &watch, ret_watch);
}

int store_watch_tree_start(struct store *store, const char *prefix, store_watch_tree_cb *cb,
			   void *arg, struct store_watch **ret_watch)
{
	struct store_watch watch = {
		.ops = store->ops, .key = prefix, .is_tree = true, .tree_cb = cb, .arg = arg};

	return is_prefix(prefix) ? store->ops->watch_start(store, &watch, ret_watch) : -EINVAL;
}

void store_watch_stop(struct store_watch **watch)
{
	struct store_watch *stopped = TAKE_PTR(*watch);

	if (stopped != NULL)
		stopped->ops->watch_stop(stopped);
}

void store_watch_tell(struct store_watch *watch, const struct store_update *update)
{
	struct store_value value = value_of(&update->listing);

	if (watch->tree_cb != NULL)
		watch->tree_cb(update, watch->arg);
	else if (watch->value_cb != NULL)
		watch->value_cb(&value, watch->arg);
}

const char *store_relative_key(const char *key, const char *wanted, bool is_tree)
{
	size_t length = strlen(wanted);

	if (!is_tree)
		return strcmp(key, wanted) == 0 ? "" : NULL;
	return strncmp(key, wanted, length) == 0 && key[length] != '\0' ? key + length : NULL;
}
