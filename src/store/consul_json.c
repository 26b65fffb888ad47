/* Consul's JSON with jansson, both ways: node names and keys may need escapes. */
#include "consul_json.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/err.h"
#include "json_load.h"

/* Consul's own clients mark a key that is a lock by this (api.LockFlagValue), and
 * so does stolon. */
#define LOCK_FLAG INT64_C(0x2ddccbc058a50c18)

void consul_kvs_deinit(struct consul_kvs *kvs)
{
	for (size_t i = 0; i < kvs->count; i++) {
		strbuf_deinit(&kvs->all[i].key);
		strbuf_deinit(&kvs->all[i].value);
	}
	free(kvs->all);
	*kvs = (struct consul_kvs){0};
}

/* An id goes into paths: nothing but what Consul makes them of. */
static bool take_id(const json_t *field, char ret[static CONSUL_ID_SIZE])
{
	const char *text = json_string_value(field);
	size_t length = text != NULL ? json_string_length(field) : 0;

	if (length == 0 || length >= CONSUL_ID_SIZE)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isalnum((unsigned char)text[i]) && text[i] != '-')
			return false;
	}
	memcpy(ret, text, length + 1);
	return true;
}

static uint64_t index_of(const json_t *entry, const char *name)
{
	json_int_t index = json_integer_value(json_object_get(entry, name));

	return index > 0 ? (uint64_t)index : 0;
}

static int take_kv(const json_t *entry, struct consul_kv *kv)
{
	const json_t *key = json_object_get(entry, "Key");
	const json_t *value = json_object_get(entry, "Value");
	const json_t *session = json_object_get(entry, "Session");
	bool has_value = value != NULL && !json_is_null(value);
	bool has_session = session != NULL && !json_is_null(session);
	int r = 0;

	kv->create_index = index_of(entry, "CreateIndex");
	kv->index = index_of(entry, "ModifyIndex");
	if (kv->index == 0 || (has_value && !json_is_string(value)))
		return ERR_TYPE;
	if (has_session && !take_id(session, kv->session) &&
	    !(json_is_string(session) && json_string_length(session) == 0))
		return ERR_TYPE;
	if (json_is_string(key))
		r = strbuf_append(&kv->key, json_string_value(key), json_string_length(key));
	if (r == 0 && has_value)
		r = base64_decode(&kv->value, json_string_value(value), json_string_length(value));
	return r;
}

static int take_kvs(const json_t *root, struct consul_kvs *kvs)
{
	size_t count = json_array_size(root);
	int r = json_is_array(root) ? 0 : ERR_TYPE;

	if (count == 0)
		return r;
	kvs->all = calloc(count, sizeof(*kvs->all));
	if (kvs->all == NULL)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = take_kv(json_array_get(root, i), &kvs->all[i]);
		kvs->count++;
	}
	return r;
}

int consul_json_kvs(const char *json, size_t size, struct consul_kvs *ret)
{
	struct consul_kvs kvs = {0};
	json_t *root;

	int r = json_load_bounded(json, size, &root);
	if (r < 0)
		return r;
	r = take_kvs(root, &kvs);
	json_decref(root);
	if (r == 0)
		*ret = kvs;
	else
		consul_kvs_deinit(&kvs);
	return r;
}

int consul_json_session(const char *json, size_t size, char ret_id[static CONSUL_ID_SIZE])
{
	char id[CONSUL_ID_SIZE];
	json_t *root;

	int r = json_load_bounded(json, size, &root);
	if (r < 0)
		return r;
	if (take_id(json_object_get(root, "ID"), id))
		memcpy(ret_id, id, sizeof(id));
	else
		r = ERR_SYNTAX;
	json_decref(root);
	return r;
}

/* Each operation on the key leaves a result; the last one is how it is now. */
int consul_json_txn(const char *json, size_t size, uint64_t *ret_index)
{
	json_t *root;

	int r = json_load_bounded(json, size, &root);
	if (r < 0)
		return r;
	const json_t *results = json_object_get(root, "Results");
	const json_t *last = json_array_get(results, json_array_size(results) - 1);
	uint64_t index = index_of(json_object_get(last, "KV"), "ModifyIndex");
	json_decref(root);
	if (index == 0)
		return ERR_SYNTAX;
	*ret_index = index;
	return 0;
}

void consul_json_txn_error(const char *json, size_t size, char ret[static CONSUL_MESSAGE_SIZE])
{
	json_t *root;

	*ret = '\0';
	if (json_load_bounded(json, size, &root) < 0)
		return;
	const json_t *first = json_array_get(json_object_get(root, "Errors"), 0);
	const char *what = json_string_value(json_object_get(first, "What"));
	snprintf(ret, CONSUL_MESSAGE_SIZE, "%s", what != NULL ? what : "");
	json_decref(root);
}

/* Takes the reference. NULL: a text was not UTF-8, or there is no memory. */
static int put_json(struct strbuf *into, json_t *root)
{
	char *text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
	int r = text != NULL ? strbuf_append(into, text, strlen(text)) : -EINVAL;

	free(text);
	json_decref(root);
	return r;
}

int consul_json_make_session(struct strbuf *into, const char *name, const char *node,
			     int64_t ttl_ms)
{
	char ttl[32];

	if (ttl_ms % MS_PER_S == 0)
		snprintf(ttl, sizeof(ttl), "%" PRId64 "s", ttl_ms / MS_PER_S);
	else
		snprintf(ttl, sizeof(ttl), "%" PRId64 "ms", ttl_ms);
	/* Both names of the checks, for Consul before and after 1.7. With any check
	 * the key would vanish with the agent's health, at once, while sessions to
	 * the old leader may still be there; without one only the TTL counts. */
	return put_json(into, json_pack("{s:s, s:s*, s:s, s:s, s:s, s:[], s:[]}", "Name", name,
					"Node", node, "TTL", ttl, "Behavior", "delete", "LockDelay",
					"1ms", "Checks", "NodeChecks"));
}

int consul_json_make_node(struct strbuf *into, const char *node, const char *address)
{
	return put_json(into, json_pack("{s:s, s:s}", "Node", node, "Address", address));
}

static json_t *pack_check(const struct consul_put *put)
{
	if (put->index == 0)
		return json_pack("{s:{s:s, s:s}}", "KV", "Verb", "check-not-exists", "Key",
				 put->key);
	return json_pack("{s:{s:s, s:s, s:I}}", "KV", "Verb", "check-index", "Key", put->key,
			 "Index", (json_int_t)put->index);
}

static json_t *pack_lock(const struct consul_put *put, const char *verb, const char *session,
			 const char *value)
{
	return json_pack("{s:{s:s, s:s, s:s, s:I, s:s}}", "KV", "Verb", verb, "Key", put->key,
			 "Value", value, "Flags", (json_int_t)LOCK_FLAG, "Session", session);
}

int consul_json_make_put(struct strbuf *into, const struct consul_put *put)
{
	struct strbuf value = {0};
	json_t *steps = json_array();
	int r = base64_encode(&value, put->data, put->size);
	const char *text = value.data != NULL ? value.data : "";

	if (r == 0)
		r = json_array_append_new(steps, pack_check(put));
	if (r == 0 && *put->holder != '\0')
		r = json_array_append_new(steps, pack_lock(put, "unlock", put->holder, text));
	if (r == 0)
		r = json_array_append_new(steps, pack_lock(put, "lock", put->session, text));
	strbuf_deinit(&value);
	if (r < 0) {
		json_decref(steps);
		return -EINVAL;
	}
	return put_json(into, steps);
}
