/* The JSON of etcd's v2 keys API. Pure. */
#ifndef PGSPLICE_STORE_ETCDV2_JSON_H
#define PGSPLICE_STORE_ETCDV2_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

struct etcdv2_node {
	bool present;      /* false for a deletion */
	uint64_t modified; /* modifiedIndex */
	struct strbuf value;
};

/* An answer or an event. Returns 0 or ERR_SYNTAX, -ENOMEM. */
MUST_CHECK int etcdv2_json_node(const char *json, size_t size, struct etcdv2_node *ret);
void etcdv2_node_deinit(struct etcdv2_node *node);

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
