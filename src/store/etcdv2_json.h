/* The JSON of etcd's v2 keys API. Pure. */
#ifndef PGSPLICE_STORE_ETCDV2_JSON_H
#define PGSPLICE_STORE_ETCDV2_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

struct etcdv2_node {
	bool present;      /* false for a deletion */
	struct strbuf key; /* with its first slash; only of what etcdv2_json_nodes() has */
	struct strbuf value;
	uint64_t created;  /* createdIndex */
	uint64_t modified; /* modifiedIndex */
	bool has_ttl;
};

struct etcdv2_nodes {
	struct etcdv2_node *all;
	size_t count;
	uint64_t modified; /* the highest, also of folders */
};

/* An answer or an event, of which the key is known. Returns 0 or ERR_SYNTAX,
 * -ENOMEM. */
MUST_CHECK int etcdv2_json_node(const char *json, size_t size, struct etcdv2_node *ret);
void etcdv2_node_deinit(struct etcdv2_node *node);
/* The keys that an answer has, in folders or not, without the folders. Returns 0
 * or ERR_SYNTAX, ERR_TOO_LARGE, -ENOMEM. */
MUST_CHECK int etcdv2_json_nodes(const char *json, size_t size, struct etcdv2_nodes *ret);
void etcdv2_nodes_deinit(struct etcdv2_nodes *nodes);

enum {
	ETCDV2_KEY_NOT_FOUND = 100,
	ETCDV2_COMPARE_FAILED = 101,
	ETCDV2_NODE_EXISTS = 105,
	ETCDV2_INDEX_CLEARED = 401,
};

struct etcdv2_error {
	int code; /* 0: the body was no error of etcd's */
	uint64_t index;
	char message[160];
};

void etcdv2_json_error(const char *json, size_t size, struct etcdv2_error *ret);

#endif
