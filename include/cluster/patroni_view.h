/* An immutable picture of a Patroni cluster, decoded from its keys in the store.
 *
 * Made by patroni_decode() on the control thread; shared by reference. Strings
 * live as long as the view, are printable and are never NULL unless said so. No
 * account that an address had in front of it is kept anywhere. Terms are
 * Patroni's (reference: Patroni 4.1), except that master is always primary. */
#ifndef PGSPLICE_CLUSTER_PATRONI_VIEW_H
#define PGSPLICE_CLUSTER_PATRONI_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATRONI_NAME_SIZE    256 /* of a member's name with its NUL */
#define PATRONI_ADDRESS_SIZE 512 /* of an address text with its NUL */
#define PATRONI_MAX_HOSTS    8   /* of one address */
#define PATRONI_MAX_MEMBERS  1000
#define PATRONI_MAX_PROBLEMS 16

enum patroni_role {
	PATRONI_ROLE_UNKNOWN, /* absent, or a word that we do not know */
	PATRONI_ROLE_PRIMARY, /* "primary", and "master" as releases before 4.0 write */
	PATRONI_ROLE_PROMOTED,
	PATRONI_ROLE_STANDBY_LEADER,
	PATRONI_ROLE_REPLICA,
	PATRONI_ROLE_DEMOTED,
	PATRONI_ROLE_UNINITIALIZED,
};

/* Only RUNNING may get clients; the others differ in what a person is told. */
enum patroni_state {
	PATRONI_STATE_UNKNOWN,
	PATRONI_STATE_RUNNING,
	PATRONI_STATE_STARTING,
	PATRONI_STATE_STOPPING,
	PATRONI_STATE_STOPPED,
	PATRONI_STATE_CRASHED,
	PATRONI_STATE_RESTARTING,
	PATRONI_STATE_CREATING_REPLICA,
	PATRONI_STATE_INITIALIZING,
	PATRONI_STATE_START_FAILED,
	PATRONI_STATE_RESTART_FAILED,
	PATRONI_STATE_STOP_FAILED,
	PATRONI_STATE_INITDB_FAILED,
	PATRONI_STATE_BOOTSTRAPPING, /* "running custom bootstrap script" */
	PATRONI_STATE_BOOTSTRAP_FAILED,
	PATRONI_STATE_STARTING_AFTER_BOOTSTRAP,
};

enum patroni_replication {
	PATRONI_REPLICATION_NONE, /* absent: no receiver, or a release before 3.1 */
	PATRONI_REPLICATION_STREAMING,
	PATRONI_REPLICATION_ARCHIVE,
	PATRONI_REPLICATION_OTHER,
};

const char *patroni_role_name(enum patroni_role role);
const char *patroni_state_name(enum patroni_state state);

struct patroni_host {
	const char *host; /* a name or an IP literal, IPv6 without brackets */
	uint16_t port;
};

/* Where a server listens. count 0: the record has none, or an unreadable one. */
struct patroni_address {
	const struct patroni_host *hosts;
	size_t count;
	/* "host:port", with brackets around IPv6 and commas between several: two
	 * addresses are the same if their texts are. "" if count is 0. */
	const char *text;
};

struct patroni_member {
	const char *name;
	uint64_t mod_revision;
	bool is_decodable; /* false: only the two fields above have a meaning */
	enum patroni_role role;
	enum patroni_state state;
	enum patroni_replication replication;
	uint32_t timeline; /* 0: absent */
	/* Bytes of WAL; 0: absent. Those of a loop ago (10 s). */
	uint64_t wal_position; /* xlog_location */
	uint64_t receive_lsn;
	uint64_t replay_lsn;
	struct patroni_address address; /* conn_url */
	struct patroni_address proxy;   /* proxy_url: a pooler in front of it */
	const char *api_url;            /* as published but without account, or "" */
	const char *version;            /* Patroni's, or "" */
	uint32_t version_number;        /* 4.1.5 is 40105; 0 if absent or unreadable */
	bool no_load_balance;           /* the tag, by Python's idea of true: "false" is */
	bool is_paused;
	bool checkpoint_pending; /* checkpoint_after_promote is false: just promoted */
};

struct patroni_leader {
	const char *name; /* "": there is no key, or nothing usable in it */
	bool is_held;     /* has a lease or session; without one nobody holds it */
	uint64_t create_revision;
	uint64_t mod_revision;
};

/* Patroni's defaults where absent or unusable: 30, 10, 10 s and 1 MiB. */
struct patroni_config {
	bool is_present; /* there is a key, and it could be decoded */
	int64_t ttl_s;
	int64_t loop_wait_s;
	int64_t retry_timeout_s;
	int64_t maximum_lag_on_failover; /* bytes */
	bool pause;
	bool synchronous_mode; /* also where it is "quorum" */
	bool failsafe_mode;
	bool standby_cluster; /* has a host, a port or a restore_command */
};

/* A switchover or failover that was asked for. All empty: none. */
struct patroni_failover {
	const char *leader;    /* from, or "" */
	const char *candidate; /* to, or "" */
	bool is_scheduled;     /* for a moment that may be days away */
	uint64_t mod_revision;
};

struct patroni_sync {
	const char *leader; /* "" if absent */
	const char *const *standbys;
	size_t standby_count;
	int64_t quorum;
};

enum patroni_init {
	PATRONI_INIT_ABSENT,
	PATRONI_INIT_BOOTSTRAPPING, /* the key is there but empty */
	PATRONI_INIT_DONE,
};

struct patroni_cluster {
	enum patroni_init init;
	uint64_t system_id;           /* PostgreSQL's; 0 unless PATRONI_INIT_DONE */
	uint32_t last_ended_timeline; /* of the history; 0: none */
	uint64_t optime;              /* the leader's position, bytes; 0: absent */
	size_t failsafe_count;        /* members named by the key "failsafe" */
};

struct patroni_view;

struct patroni_view *patroni_view_ref(struct patroni_view *view);
void patroni_view_unref(struct patroni_view **view);

/* Whether the scope has no key at all. */
bool patroni_view_is_empty(const struct patroni_view *view);
/* The Citus group that this is a picture of, or PATRONI_NO_GROUP. */
int64_t patroni_view_group(const struct patroni_view *view);

const struct patroni_leader *patroni_view_leader(const struct patroni_view *view);
const struct patroni_config *patroni_view_config(const struct patroni_view *view);
const struct patroni_failover *patroni_view_failover(const struct patroni_view *view);
const struct patroni_sync *patroni_view_sync(const struct patroni_view *view);
const struct patroni_cluster *patroni_view_cluster(const struct patroni_view *view);
/* Names are compared without regard to the case of ASCII letters, as Patroni does
 * for this key only. */
bool patroni_view_is_sync_standby(const struct patroni_view *view, const char *name);

/* Sorted by name. */
size_t patroni_view_member_count(const struct patroni_view *view);
const struct patroni_member *patroni_view_member_at(const struct patroni_view *view, size_t index);
/* NULL if there is none. */
const struct patroni_member *patroni_view_find_member(const struct patroni_view *view,
						      const char *name);

/* What could not be understood, one text a matter, each of which names the key;
 * printable ASCII, never with a value that may hold an account. There are at most
 * PATRONI_MAX_PROBLEMS texts, the last of which then says how many more there are. */
size_t patroni_view_problem_count(const struct patroni_view *view);
const char *patroni_view_problem_at(const struct patroni_view *view, size_t index);

#endif
