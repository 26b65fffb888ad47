/* Decoding with jansson, encoding by hand: the requests are few and flat. */
#include "etcd_json.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "json_load.h"

void etcd_kv_deinit(struct etcd_kv *kv)
{
	strbuf_deinit(&kv->key);
	strbuf_deinit(&kv->value);
	*kv = (struct etcd_kv){0};
}

void etcd_kvs_deinit(struct etcd_kvs *kvs)
{
	for (size_t i = 0; i < kvs->count; i++)
		etcd_kv_deinit(&kvs->all[i]);
	free(kvs->all);
	*kvs = (struct etcd_kvs){0};
}

void etcd_frame_deinit(struct etcd_frame *frame)
{
	etcd_kvs_deinit(&frame->kvs);
}

static int load(const char *json, size_t size, json_t **ret_root)
{
	json_t *root;

	int r = json_load_bounded(json, size, &root);
	if (r < 0)
		return r;
	if (!json_is_object(root)) {
		json_decref(root);
		return ERR_SYNTAX;
	}
	*ret_root = root;
	return 0;
}

/* A whole number, written as a string or not; 0 if absent or anything else. */
static uint64_t number_of(const json_t *object, const char *name)
{
	const json_t *field = json_object_get(object, name);

	if (json_is_integer(field))
		return (uint64_t)json_integer_value(field);
	if (json_is_string(field))
		return strtoull(json_string_value(field), NULL, 10);
	return 0;
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

static struct etcd_header header_of(const json_t *root)
{
	const json_t *header = json_object_get(root, "header");

	return (struct etcd_header){number_of(header, "cluster_id"),
				    (int64_t)number_of(header, "revision")};
}

static int take_bytes(const json_t *object, const char *name, struct strbuf *ret)
{
	const json_t *field = json_object_get(object, name);

	if (field == NULL)
		return 0;
	if (!json_is_string(field))
		return ERR_TYPE;
	return base64_decode(ret, json_string_value(field), json_string_length(field));
}

static int take_kv(const json_t *object, struct etcd_kv *kv)
{
	if (!json_is_object(object))
		return ERR_TYPE;
	int r = take_bytes(object, "key", &kv->key);
	if (r == 0)
		r = take_bytes(object, "value", &kv->value);
	if (r < 0) {
		etcd_kv_deinit(kv);
		return r;
	}
	kv->present = true;
	kv->create_revision = (int64_t)number_of(object, "create_revision");
	kv->mod_revision = (int64_t)number_of(object, "mod_revision");
	kv->lease = (int64_t)number_of(object, "lease");
	return 0;
}

/* take: of one element of the array, if it is one. */
static int take_all(const json_t *array, int (*take)(const json_t *, struct etcd_kv *),
		    struct etcd_kvs *ret)
{
	struct etcd_kvs kvs = {0};
	size_t count = json_array_size(array);
	int r = 0;

	if (count == 0)
		return 0;
	kvs.all = calloc(count, sizeof(*kvs.all));
	if (kvs.all == NULL)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = take(json_array_get(array, i), &kvs.all[i]);
		kvs.count++;
	}
	if (r == 0)
		*ret = kvs;
	else
		etcd_kvs_deinit(&kvs);
	return r;
}

int etcd_json_range(const char *json, size_t size, struct etcd_header *ret_header,
		    struct etcd_kvs *ret_kvs)
{
	struct etcd_kvs kvs = {0};
	json_t *root;

	int r = load(json, size, &root);
	if (r < 0)
		return r;
	struct etcd_header header = header_of(root);
	r = header.cluster_id == 0 ? ERR_SYNTAX
				   : take_all(json_object_get(root, "kvs"), take_kv, &kvs);
	json_decref(root);
	if (r < 0)
		return r;
	*ret_header = header;
	*ret_kvs = kvs;
	return 0;
}

/* The first of "kvs", if any. */
static int take_first(const json_t *object, struct etcd_kv *kv)
{
	const json_t *first = json_array_get(json_object_get(object, "kvs"), 0);

	return first == NULL ? 0 : take_kv(first, kv);
}

int etcd_json_txn(const char *json, size_t size, struct etcd_header *ret_header,
		  bool *ret_succeeded, struct etcd_kv *ret_kv)
{
	struct etcd_kv kv = {0};
	json_t *root;

	int r = load(json, size, &root);
	if (r < 0)
		return r;
	struct etcd_header header = header_of(root);
	bool succeeded = json_is_true(json_object_get(root, "succeeded"));
	const json_t *response = json_array_get(json_object_get(root, "responses"), 0);
	r = header.cluster_id == 0 ? ERR_SYNTAX
				   : take_first(json_object_get(response, "response_range"), &kv);
	json_decref(root);
	if (r < 0)
		return r;
	*ret_header = header;
	*ret_succeeded = succeeded;
	*ret_kv = kv;
	return 0;
}

int etcd_json_lease(const char *json, size_t size, struct etcd_header *ret_header, int64_t *ret_id,
		    int64_t *ret_ttl_s)
{
	json_t *root;

	int r = load(json, size, &root);
	if (r < 0)
		return r;
	const json_t *result = json_object_get(root, "result");
	const json_t *body = result != NULL ? result : root;
	int64_t id = (int64_t)number_of(body, "ID");
	int64_t ttl_s = (int64_t)number_of(body, "TTL");
	*ret_header = header_of(body);
	json_decref(root);
	if (id == 0)
		return ERR_SYNTAX;
	*ret_id = id;
	*ret_ttl_s = ttl_s;
	return 0;
}

int etcd_json_token(const char *json, size_t size, char **ret_token)
{
	json_t *root;

	int r = load(json, size, &root);
	if (r < 0)
		return r;
	const char *token = text_of(root, "token");
	bool is_usable = *token != '\0' && strpbrk(token, " \r\n") == NULL;
	char *copy = is_usable ? strdup(token) : NULL;

	json_decref(root);
	if (!is_usable)
		return ERR_SYNTAX;
	if (copy == NULL)
		return -ENOMEM;
	*ret_token = copy;
	return 0;
}

/* 3.4 and 3.5 have "error" and "message", 3.6 only "message"; in a stream all
 * of it is inside an object "error", with another name for the code. */
static void take_error(const json_t *root, struct etcd_error *ret)
{
	const json_t *inner = json_object_get(root, "error");
	const json_t *body = json_is_object(inner) ? inner : root;
	const char *message = text_of(body, "message");

	if (*message == '\0')
		message = text_of(body, "error");
	ret->code = (int)number_of(body, "code");
	if (ret->code == 0)
		ret->code = (int)number_of(body, "grpc_code");
	snprintf(ret->message, sizeof(ret->message), "%s", message);
}

void etcd_json_error(const char *json, size_t size, struct etcd_error *ret)
{
	json_t *root;

	*ret = (struct etcd_error){0};
	if (load(json, size, &root) < 0)
		return;
	take_error(root, ret);
	json_decref(root);
}

static int take_event(const json_t *event, struct etcd_kv *kv)
{
	const json_t *object = json_object_get(event, "kv");
	int r = take_kv(object, kv);

	if (r == 0 && kv->mod_revision <= 0)
		return ERR_SYNTAX; /* when was that? */
	if (r == 0 && strcmp(text_of(event, "type"), "DELETE") == 0) {
		kv->present = false;
		strbuf_deinit(&kv->value);
	}
	return r;
}

static int take_frame(const json_t *root, struct etcd_frame *frame)
{
	const json_t *result = json_object_get(root, "result");
	const json_t *events = json_object_get(result, "events");

	if (json_object_get(root, "error") != NULL || result == NULL) {
		frame->kind = ETCD_FRAME_ERROR;
		take_error(root, &frame->error);
		return 0;
	}
	if (!json_is_object(result))
		return ERR_TYPE;
	frame->header = header_of(result);
	/* A denied watch is "created" and "canceled" in one frame. */
	if (json_is_true(json_object_get(result, "canceled"))) {
		frame->kind = ETCD_FRAME_CANCELED;
		frame->compact_revision = (int64_t)number_of(result, "compact_revision");
		snprintf(frame->error.message, sizeof(frame->error.message), "%s",
			 text_of(result, "cancel_reason"));
		return 0;
	}
	if (json_is_true(json_object_get(result, "created"))) {
		frame->kind = ETCD_FRAME_CREATED;
		return 0;
	}
	if (json_array_size(events) == 0) {
		frame->kind = ETCD_FRAME_PROGRESS;
		return 0;
	}
	frame->kind = ETCD_FRAME_EVENTS;
	return take_all(events, take_event, &frame->kvs);
}

int etcd_json_frame(const char *json, size_t size, struct etcd_frame *ret)
{
	struct etcd_frame frame = {0};
	json_t *root;

	int r = load(json, size, &root);
	if (r < 0)
		return r;
	r = take_frame(root, &frame);
	json_decref(root);
	if (r == 0)
		*ret = frame;
	return r;
}

/* "name":"base64" */
static int put_bytes(struct strbuf *into, const char *name, const char *data, size_t size)
{
	int r = strbuf_printf(into, "\"%s\":\"", name);

	if (r == 0)
		r = base64_encode(into, data, size);
	return r == 0 ? strbuf_printf(into, "\"") : r;
}

static int put_key(struct strbuf *into, const char *key)
{
	return put_bytes(into, "key", key, strlen(key));
}

/* The key, or all that begin with it: up to its last byte plus one. Only a prefix
 * of which that byte is 255 would need more, and ours end with a slash. */
static int put_scope(struct strbuf *into, const char *key, bool is_tree)
{
	size_t length = strlen(key);
	int r = put_key(into, key);

	if (r < 0 || !is_tree)
		return r;
	AUTO_FREE char *end = strdup(key);
	if (end == NULL || length == 0)
		return -ENOMEM;
	end[length - 1]++;
	r = strbuf_printf(into, ",");
	return r == 0 ? put_bytes(into, "range_end", end, length) : r;
}

int etcd_json_make_range(struct strbuf *into, const char *key, bool is_tree, unsigned limit)
{
	int r = strbuf_printf(into, "{");

	if (r == 0)
		r = put_scope(into, key, is_tree);
	if (r == 0 && is_tree)
		r = strbuf_printf(into, ",\"limit\":\"%u\"", limit);
	return r == 0 ? strbuf_printf(into, "}") : r;
}

int etcd_json_make_delete(struct strbuf *into, const char *key)
{
	return etcd_json_make_range(into, key, false, 0);
}

int etcd_json_make_watch(struct strbuf *into, const char *key, bool is_tree, int64_t from_revision)
{
	int r = strbuf_printf(into, "{\"create_request\":{");

	if (r == 0)
		r = put_scope(into, key, is_tree);
	if (r == 0)
		r = strbuf_printf(into,
				  ",\"start_revision\":\"%" PRId64 "\",\"progress_notify\":true}}",
				  from_revision);
	return r;
}

int etcd_json_make_put(struct strbuf *into, const char *key, const char *data, size_t size,
		       int64_t lease, int64_t known_revision)
{
	int r = strbuf_printf(into, "{\"compare\":[{");

	if (r == 0)
		r = put_key(into, key);
	if (r == 0)
		r = strbuf_printf(
			into,
			",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"%" PRId64
			"\"}],\"success\":[{\"request_put\":{",
			known_revision);
	if (r == 0)
		r = put_key(into, key);
	if (r == 0)
		r = strbuf_printf(into, ",");
	if (r == 0)
		r = put_bytes(into, "value", data, size);
	if (r == 0)
		r = strbuf_printf(into,
				  ",\"lease\":\"%" PRId64 "\"}}],\"failure\":[{\"request_range\":{",
				  lease);
	if (r == 0)
		r = put_key(into, key);
	return r == 0 ? strbuf_printf(into, "}}]}") : r;
}

int etcd_json_make_grant(struct strbuf *into, int64_t ttl_s)
{
	return strbuf_printf(into, "{\"TTL\":\"%" PRId64 "\"}", ttl_s);
}

int etcd_json_make_lease(struct strbuf *into, int64_t lease)
{
	return strbuf_printf(into, "{\"ID\":\"%" PRId64 "\"}", lease);
}

int etcd_json_make_account(struct strbuf *into, const char *user, const char *password)
{
	json_t *account = json_pack("{s:s, s:s}", "name", user, "password", password);
	char *text = account != NULL ? json_dumps(account, JSON_COMPACT) : NULL;
	/* jansson takes UTF-8 only, and tells nothing else apart. */
	int r = text != NULL ? strbuf_append(into, text, strlen(text)) : ERR_SYNTAX;

	free(text);
	json_decref(account);
	return r;
}
