/* An immutable picture of the cluster, decoded from the store.
 *
 * Made by view_decode() on the control thread; shared by reference. Strings
 * live as long as the view and are never NULL unless said so. Terms follow the
 * field's: leader is what stolon calls master. */
#ifndef PGSPLICE_CLUSTER_VIEW_H
#define PGSPLICE_CLUSTER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum view_status {
	VIEW_ABSENT,     /* no key, or the JSON value null: there is no cluster */
	VIEW_BAD_FORMAT, /* a formatVersion other than 1; `problem` says which */
	VIEW_BAD_SPEC,   /* the cluster's spec breaks stolon's rules; `problem` says how */
	VIEW_OK,
};

/* One PostgreSQL server of the cluster ("db" in stolon's words). */
struct view_member {
	const char *uid;
	const char *keeper_uid;     /* "" if absent */
	const char *role;           /* as published: "master", "standby" or "" */
	const char *followed_uid;   /* db of this cluster it replicates from, or "" */
	const char *listen_address; /* as published: IP, host name, or "" */
	const char *port;           /* as published: number, service name, or "" */
	bool healthy;
	int64_t generation;         /* wanted by the sentinel */
	int64_t current_generation; /* carried out by the keeper */
	uint64_t timeline;
	uint64_t wal_position; /* bytes */
	int64_t lag_ms;        /* of a standby, as it says itself; -1: not known */
};

struct view;

struct view *view_ref(struct view *view);
void view_unref(struct view **view);

enum view_status view_status(const struct view *view);
/* Why the status is BAD_FORMAT or BAD_SPEC, in stolon's words where we know
 * them, else ""; printable ASCII. stolon-proxy logs that of a BAD_SPEC behind
 * "clusterdata validation failed: ". */
const char *view_problem(const struct view *view);

/* The rest is meaningful for VIEW_OK only. */

/* Nanoseconds, defaults filled in (5 s and 15 s). */
int64_t view_check_interval_ns(const struct view *view);
int64_t view_proxy_timeout_ns(const struct view *view);

/* False when the proxy object is absent or null. */
bool view_has_proxy(const struct view *view);
/* What a proxy has to answer; 0 without a proxy object. */
int64_t view_generation(const struct view *view);
/* masterDbUid, "" if absent: the one routing decision. */
const char *view_leader_uid(const struct view *view);
/* Whether enabledProxies names this proxy. */
bool view_enables(const struct view *view, const char *proxy_uid);

/* Whether new clients of the leader should wait, while sessions go on: a change of leader
 * is about to begin. */
bool view_holds_new_clients(const struct view *view);

/* Sorted by uid, which is the key in the data; null entries are left out. */
size_t view_member_count(const struct view *view);
const struct view_member *view_member_at(const struct view *view, size_t index);
/* NULL if there is none, or if its entry is null. */
const struct view_member *view_find_member(const struct view *view, const char *uid);

#endif
