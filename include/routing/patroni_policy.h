/* Who is writable in a Patroni cluster, from what the store says and what the
 * servers themselves answer. Pure: events and times are passed in.
 *
 * The key "leader" names the holder of a lock, not the writable server: a new
 * holder is in recovery for a while, and an old one may be dead or demoted. So
 * whoever holds the lock is a candidate only, and becomes routed when confirmed:
 *
 *  1. Somebody is routed only while the newest view has him as holder of the
 *     lock. Exceptions, both for PATRONI_FRESH_MS past his last own word at most: a
 *     paused cluster whose lock is gone, and `debounce_ms`. Never anybody else than
 *     the holder while there is one.
 *  2. A route opens only by an answer to what was asked after this holding of the
 *     lock was seen and after the store was last in doubt, or by a record that was
 *     written since, if settings allow that. Never with a lower timeline than was
 *     routed to before, or than the history rules out, under the same system
 *     identifier. No route opens while the store is out.
 *  3. Nobody who said last that he is read-only is routed.
 *  4. Every route has a deadline, `valid_until_ms`: at most `ttl` past the moment at
 *     which the newest thing that vouches for it was sent.
 *  5. Between two members, or two openings of one, nobody is routed, and `term`
 *     rises.
 *
 * Control thread, or any other one at a time. Times are clock_boot_ms(). */
#ifndef PGSPLICE_ROUTING_PATRONI_POLICY_H
#define PGSPLICE_ROUTING_PATRONI_POLICY_H

#include "cluster/patroni_view.h"

/* For how long a confirmation may open a route, and for how long it keeps a server
 * that no lock vouches for (pause); that is asked fast from half of it on. */
#define PATRONI_FRESH_MS 5000
/* AUTO: a server that gave no answer for so long is taken for one that cannot be
 * asked. */
#define PATRONI_NO_ANSWER_MS 2000

enum patroni_confirm {
	/* By the server itself; but if it cannot be asked (UNREACHABLE, or no answer
	 * at all), by its record in the store. */
	PATRONI_CONFIRM_AUTO,
	PATRONI_CONFIRM_ALWAYS, /* by the server itself */
	PATRONI_CONFIRM_NEVER,  /* by its record; answers are ignored */
};

enum patroni_outage {
	/* Answers of a server vouch for it while the store is out. */
	PATRONI_OUTAGE_CONFIRM,
	/* Only the store vouches: `ttl` after its last answer nobody is routed. */
	PATRONI_OUTAGE_STRICT,
};

struct patroni_policy_settings {
	enum patroni_confirm confirm;
	enum patroni_outage store_outage;
	/* For how long the sessions of a leader whose key is gone, or was made anew by
	 * himself, may wait for him to confirm it; but no longer than PATRONI_FRESH_MS
	 * past his last confirmation. 0: they are cut at once. For Consul, where
	 * Patroni renews a lost session so: 2000. */
	int64_t debounce_ms;
};

/* What a server says of itself, by SQL or by /patroni of its REST interface. */
enum patroni_answer {
	/* Never asked, or it cannot be found out: no account, no free connection. */
	PATRONI_ANSWER_NONE,
	PATRONI_ANSWER_UNREACHABLE, /* nothing came in time */
	PATRONI_ANSWER_REFUSED,     /* no server there, or it lets nobody in now */
	PATRONI_ANSWER_READ_ONLY,   /* in recovery, or transaction_read_only */
	PATRONI_ANSWER_WRITABLE,
};

struct patroni_probe {
	const char *member;
	const char *address; /* the text of the address that was asked */
	enum patroni_answer answer;
	int64_t sent_ms; /* when the question was sent: the answer is as old as that */
	/* Of the WAL that it writes now, not of its last checkpoint, which is behind
	 * after a promotion. 0: not known, and then not judged. */
	uint32_t timeline;
	uint64_t system_id; /* 0: not known */
};

enum patroni_reason {
	/* Routed. */
	PATRONI_ROUTED,          /* confirmed by itself */
	PATRONI_ROUTED_BY_STORE, /* confirmed by its record only */
	PATRONI_KEPT_REFUSING,   /* does not answer now; still holds the lock */
	PATRONI_KEPT_STORE_OUT,  /* the store does not answer */
	PATRONI_KEPT_UNVERIFIED, /* the store is back; not confirmed since */
	PATRONI_KEPT_PAUSED,     /* holds no lock, but nobody may in a pause */
	PATRONI_KEPT_DEBOUNCED,  /* lost its lock a moment ago */
	/* Nobody is. */
	PATRONI_NO_VIEW,         /* nothing was read yet */
	PATRONI_NO_CLUSTER,      /* the scope has no keys */
	PATRONI_NO_LEADER,       /* nobody holds the lock */
	PATRONI_LEADER_RELEASED, /* he gave it up and is still there */
	PATRONI_LEADER_EXPIRED,  /* he went together with it */
	PATRONI_LEADER_NOT_HELD, /* the key has no lease or session */
	PATRONI_STANDBY_CLUSTER, /* it has no writable server */
	PATRONI_NO_MEMBER,       /* the holder has no record */
	PATRONI_BAD_MEMBER,      /* its record cannot be understood */
	PATRONI_NO_ADDRESS,      /* its record has no usable conn_url */
	PATRONI_STORE_OUT,       /* and nothing vouches for anybody any more */
	PATRONI_STORE_STALE,     /* nothing was read for `ttl` */
	PATRONI_UNCONFIRMED,     /* the holder has not answered yet */
	PATRONI_UNREACHABLE,     /* it cannot be asked */
	PATRONI_REFUSING,        /* it lets nobody in */
	PATRONI_READ_ONLY,       /* it is in recovery */
	PATRONI_STALE_TIMELINE,  /* it is writable, on a timeline that has ended */
	PATRONI_OTHER_SYSTEM,    /* it is writable, but of another cluster */
};
#define PATRONI_REASON_COUNT (PATRONI_OTHER_SYSTEM + 1)

/* A word for logs and metrics: "leader-released". */
const char *patroni_reason_name(enum patroni_reason reason);
/* Something is wrong that a human has to see to. */
bool patroni_reason_is_alarming(enum patroni_reason reason);

/* One member to be asked: all 50 to 100 ms if is_fast, else every second or so. */
struct patroni_wish {
	const char *member;
	const char *address;
	bool is_fast;
};
#define PATRONI_MAX_WISHES 2

/* All texts live until the next event. */
struct patroni_decision {
	enum patroni_reason reason;
	const char *member;  /* routed to; NULL: nobody */
	const char *address; /* where that is; the text of its address */
	uint64_t term;       /* of the route; sessions of another term must go */
	uint64_t epoch;      /* of the candidate: its lock's create_revision; 0: none */
	/* From then on nobody is routed. INT64_MAX if nobody is. */
	int64_t valid_until_ms;
	/* New clients should wait, sessions stay: a switchover was asked for; or the
	 * routed member is yet to confirm that it still is the leader; or it refuses,
	 * and when it is back it may be read-only. Without a member: somebody was routed
	 * a moment ago, and who comes after him is soon to be. */
	bool hold_new_clients;
	/* Come back with patroni_policy_tick() by then, if nothing else happened. */
	int64_t look_again_ms;
	struct patroni_wish wishes[PATRONI_MAX_WISHES];
	size_t wish_count;
};

/* The leader under consideration: the holder of the lock or, with the lock gone,
 * the routed member. */
struct patroni_candidate {
	char name[PATRONI_NAME_SIZE];       /* "": none */
	char address[PATRONI_ADDRESS_SIZE]; /* the newest known; "": none */
	bool holds_lock;
	bool has_record;            /* in the newest view */
	uint64_t epoch;             /* the lock's create_revision */
	uint64_t record_floor;      /* a record is of now if it was written after that */
	int64_t seen_ms;            /* when this holding, at this address, was first seen */
	enum patroni_answer answer; /* the newest of those sent since */
	int64_t answered_ms;        /* when its question was sent */
	uint32_t timeline;          /* of that answer, as is the next */
	uint64_t system_id;
};

/* Embedded by the control thread; nobody else looks inside. */
struct patroni_policy {
	struct patroni_policy_settings settings;
	struct patroni_view *view; /* the newest; one reference, or NULL */
	struct patroni_candidate candidate;
	enum patroni_reason gone; /* why there is no candidate */
	/* The route, which is always to the candidate. */
	bool is_routed;
	bool is_by_store;      /* confirmed by the record only */
	bool is_to_verify;     /* not confirmed since the store came back */
	bool was_cut;          /* by the newest event, which may then not open */
	int64_t cut_ms;        /* when a route ended last; 0: never */
	int64_t confirm_by_ms; /* lock lost or taken anew: cut then; 0: no such thing */
	int64_t vouched_ms;    /* when the newest that vouches for it was sent */
	int64_t confirmed_ms;  /* when it was last asked that said writable; 0: never */
	uint64_t term;
	/* What must not go backwards, and of which system that is (0: unknown). */
	uint32_t timeline;
	uint64_t system_id;
	/* The store. */
	bool is_store_out;
	bool is_read_due;      /* nothing was read since it was in doubt */
	bool was_outage_short; /* less than Patroni needs to demote anybody */
	int64_t back_ms;       /* when it was last in doubt */
	int64_t read_sent_ms;  /* the newest good read; 0: none */
	/* A switchover that was asked for, and when we saw that. */
	uint64_t failover_revision;
	int64_t failover_seen_ms;
};

void patroni_policy_init(struct patroni_policy *p, const struct patroni_policy_settings *settings);
void patroni_policy_deinit(struct patroni_policy *p);

/* The events. After each, patroni_policy_decide() tells what is now. Views come in
 * the order in which the store had them. */

/* read_sent_ms: when the read that brought it was sent; 0 for a watch, which proves
 * nothing about now. A read also ends an outage. The policy takes its own
 * reference. */
void patroni_policy_view(struct patroni_policy *p, struct patroni_view *view, int64_t read_sent_ms,
			 int64_t now_ms);
/* The store does not answer. */
void patroni_policy_store_lost(struct patroni_policy *p, int64_t now_ms);
/* It answers again, or its watch had to be opened anew: what the next read finds
 * has to be confirmed, even if nothing in it changed. */
void patroni_policy_store_back(struct patroni_policy *p, int64_t now_ms);
/* Answers of others than the wished ones, of an address of before, and those that
 * come behind a newer one are ignored. */
void patroni_policy_probe(struct patroni_policy *p, const struct patroni_probe *probe,
			  int64_t now_ms);
/* Only time has passed. */
void patroni_policy_tick(struct patroni_policy *p, int64_t now_ms);

struct patroni_decision patroni_policy_decide(const struct patroni_policy *p, int64_t now_ms);

/* Whether a member may get clients that only read: as Patroni's /readiness has it,
 * but never the leader. Lag is what the store knows of it, up to loop_wait old;
 * max_lag_bytes < 0: any lag. is_change: there is no leader that answers, or only since a
 * moment: then it need not stream, nor have come to the leader's timeline. */
bool patroni_member_serves_reads(const struct patroni_view *view,
				 const struct patroni_member *member, int64_t max_lag_bytes,
				 bool is_change);

#endif
