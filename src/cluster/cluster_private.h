/* Shared by the files of this folder: the decoded document and the view's body. */
#ifndef PGSPLICE_CLUSTER_PRIVATE_H
#define PGSPLICE_CLUSTER_PRIVATE_H

#include "base/refcount.h"
#include "cluster/go_json.h"
#include "cluster/spec_check.h"
#include "cluster/view.h"

/* The document as stolon has it, of each object what we use. */
struct doc_follow {
	const char *type; /* "internal", "external" */
	const char *db_uid;
};

struct doc_db_spec {
	const char *keeper_uid;
	const char *role;
	const struct doc_follow *follow; /* or NULL */
};

struct doc_db_status {
	bool healthy;
	int64_t current_generation;
	const char *listen_address;
	const char *port;
	int64_t timeline;
	int64_t wal_position;
};

struct doc_db {
	int64_t generation;
	const struct doc_db_spec *spec; /* or NULL */
	struct doc_db_status status;
};

struct doc_cluster {
	struct cluster_spec *spec; /* or NULL */
};

struct doc_proxy_spec {
	const char *leader_uid;
	struct go_list enabled;
};

struct doc_proxy {
	int64_t generation;
	struct doc_proxy_spec spec;
};

struct doc {
	int64_t format_version;
	struct doc_cluster *cluster;   /* or NULL */
	struct go_map dbs;             /* uid to struct doc_db */
	const struct doc_proxy *proxy; /* or NULL */
};

/* Decodes into struct doc. */
extern const struct go_table cluster_schema;

#define VIEW_PROBLEM_SIZE SPEC_PROBLEM_SIZE

struct view {
	struct refcount refs;
	enum view_status status;
	char problem[VIEW_PROBLEM_SIZE];
	int64_t check_interval_ns;
	int64_t proxy_timeout_ns;
	const struct doc_proxy *proxy; /* or NULL */
	bool enables_all;              /* whatever proxy says */
	bool holds_new_clients;
	struct view_member *members; /* sorted by uid */
	size_t member_count;
	struct go_arena arena; /* owns what the pointers above lead to */
};

/* With one reference and nothing in it, or NULL. */
struct view *view_new(enum view_status status);

#endif
