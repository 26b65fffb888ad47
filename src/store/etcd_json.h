/* The JSON of etcd's v3 gateway (3.3 to 3.6): requests to text, answers to
 * structs. Pure. A missing field is its zero value, 64-bit numbers may be
 * strings or numbers, unknown fields are ignored. */
#ifndef PGSPLICE_STORE_ETCD_JSON_H
#define PGSPLICE_STORE_ETCD_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

struct etcd_header {
	uint64_t cluster_id; /* 0: absent */
	int64_t revision;
};

/* One key as an answer holds it. */
struct etcd_kv {
	bool present;
	struct strbuf key; /* may have NULs */
	struct strbuf value;
	int64_t create_revision;
	int64_t mod_revision; /* 0: not present; but set for a deletion that was watched */
	int64_t lease;
};

struct etcd_kvs {
	struct etcd_kv *all;
	size_t count;
};

void etcd_kv_deinit(struct etcd_kv *kv);
void etcd_kvs_deinit(struct etcd_kvs *kvs);

/* Decoders: 0 or a negative error, and then nothing needs to be freed. */
MUST_CHECK int etcd_json_range(const char *json, size_t size, struct etcd_header *ret_header,
			       struct etcd_kvs *ret_kvs);
/* ret_kv: what the branch for a failed comparison read. */
MUST_CHECK int etcd_json_txn(const char *json, size_t size, struct etcd_header *ret_header,
			     bool *ret_succeeded, struct etcd_kv *ret_kv);
/* Also of a keepalive, whose answer is wrapped in a result; *ret_ttl_s is 0 when
 * the lease is gone. */
MUST_CHECK int etcd_json_lease(const char *json, size_t size, struct etcd_header *ret_header,
			       int64_t *ret_id, int64_t *ret_ttl_s);
MUST_CHECK int etcd_json_token(const char *json, size_t size, char **ret_token);

/* gRPC's codes, as far as they matter. */
enum {
	ETCD_CODE_INVALID_ARGUMENT = 3,
	ETCD_CODE_NOT_FOUND = 5,
	ETCD_CODE_PERMISSION_DENIED = 7,
	ETCD_CODE_FAILED_PRECONDITION = 9,
	ETCD_CODE_UNAVAILABLE = 14,
	ETCD_CODE_UNAUTHENTICATED = 16,
};

#define ETCD_MESSAGE_SIZE 160

struct etcd_error {
	int code; /* 0: the body was no error of etcd's */
	char message[ETCD_MESSAGE_SIZE];
};

void etcd_json_error(const char *json, size_t size, struct etcd_error *ret);

/* One line of a watch's stream. */
enum etcd_frame_kind {
	ETCD_FRAME_ERROR,    /* the stream is over: error */
	ETCD_FRAME_CANCELED, /* the watch is over, though the stream stays open */
	ETCD_FRAME_CREATED,
	ETCD_FRAME_EVENTS,   /* kvs, of which those not present were deleted */
	ETCD_FRAME_PROGRESS, /* nothing up to header.revision */
};

struct etcd_frame {
	enum etcd_frame_kind kind;
	struct etcd_header header;
	struct etcd_error error;  /* also why it was canceled */
	int64_t compact_revision; /* of a canceled one; 0: another reason */
	struct etcd_kvs kvs;      /* in the order of what happened; at least one */
};

MUST_CHECK int etcd_json_frame(const char *json, size_t size, struct etcd_frame *ret);
void etcd_frame_deinit(struct etcd_frame *frame);

/* Request bodies, appended to into. */
/* is_tree: all keys that begin with key, but no more than limit. */
MUST_CHECK int etcd_json_make_range(struct strbuf *into, const char *key, bool is_tree,
				    unsigned limit);
MUST_CHECK int etcd_json_make_watch(struct strbuf *into, const char *key, bool is_tree,
				    int64_t from_revision);
/* Puts the value if the key's mod_revision is known_revision (0: no key), else
 * reads the key. */
MUST_CHECK int etcd_json_make_put(struct strbuf *into, const char *key, const char *data,
				  size_t size, int64_t lease, int64_t known_revision);
MUST_CHECK int etcd_json_make_delete(struct strbuf *into, const char *key);
MUST_CHECK int etcd_json_make_grant(struct strbuf *into, int64_t ttl_s);
MUST_CHECK int etcd_json_make_lease(struct strbuf *into, int64_t lease);
MUST_CHECK int etcd_json_make_account(struct strbuf *into, const char *user, const char *password);

#endif
