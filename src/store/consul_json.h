/* The JSON of Consul's HTTP API: requests to text, answers to structs. Pure. A
 * missing or null field is its zero value, unknown ones are ignored. */
#ifndef PGSPLICE_STORE_CONSUL_JSON_H
#define PGSPLICE_STORE_CONSUL_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

/* A session's id has 36 characters; safe in a path. "" stands for none. */
#define CONSUL_ID_SIZE 64

struct consul_kv {
	struct strbuf key; /* may have NULs */
	struct strbuf value;
	uint64_t create_index;
	uint64_t index;               /* ModifyIndex */
	char session[CONSUL_ID_SIZE]; /* that holds the key */
};

struct consul_kvs {
	struct consul_kv *all;
	size_t count; /* 0: there is no such key */
};

void consul_kvs_deinit(struct consul_kvs *kvs);

/* Decoders: 0 or a negative error, and then nothing needs to be freed. */

/* The array that a get answers with. */
MUST_CHECK int consul_json_kvs(const char *json, size_t size, struct consul_kvs *ret);
MUST_CHECK int consul_json_session(const char *json, size_t size,
				   char ret_id[static CONSUL_ID_SIZE]);
/* A transaction's success: the key's ModifyIndex. */
MUST_CHECK int consul_json_txn(const char *json, size_t size, uint64_t *ret_index);

#define CONSUL_MESSAGE_SIZE 160

/* Why a transaction was rolled back; an empty text if the answer does not say. */
void consul_json_txn_error(const char *json, size_t size, char ret[static CONSUL_MESSAGE_SIZE]);

/* Request bodies, appended to into. */

/* node: NULL for the agent's own. */
MUST_CHECK int consul_json_make_session(struct strbuf *into, const char *name, const char *node,
					int64_t ttl_ms);
MUST_CHECK int consul_json_make_node(struct strbuf *into, const char *node, const char *address);

struct consul_put {
	const char *key;
	const char *data;
	size_t size;
	const char *session; /* that shall hold the key */
	const char *holder;  /* that holds it now and gives it up; "": none */
	uint64_t index;      /* the key's ModifyIndex as known; 0: there is no key */
};

/* All or nothing: the key is as known, the holder lets it go, the session takes
 * it and the value goes in. */
MUST_CHECK int consul_json_make_put(struct strbuf *into, const struct consul_put *put);

#endif
