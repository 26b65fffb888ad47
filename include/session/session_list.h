/* All sessions of one worker, by state, with what they share: the snapshot in
 * force, the scratch buffer, the counters and one timer. Worker thread. */
#ifndef PGSPLICE_SESSION_SESSION_LIST_H
#define PGSPLICE_SESSION_SESSION_LIST_H

#include "net/loop.h"
#include "net/sock.h"
#include "routing/snapshot.h"
#include "session/pump.h"
#include "session/session_stats.h"

struct session_settings {
	int64_t connect_timeout_ms;
	struct keepalive_settings server_keepalive;
	enum splice_mode splice;
};

enum session_state {
	SESSION_CONNECTING,
	SESSION_OPEN,
	SESSION_SETTLED,  /* open for a while: its server side has keepalive */
	SESSION_HELD,     /* of the direct port: its member is being promoted, no byte moves */
	SESSION_DRAINING, /* over, but the kernels have bytes left to deliver */
	SESSION_CLOSED,
};

/* The worker, as its sessions see it. */
struct session_host {
	/* A newer snapshot waits: session_list_refresh() then calls adopt(), which
	 * calls session_list_adopt(). */
	bool (*has_news)(void *arg);
	void (*adopt)(void *arg);
	/* Whether there is room for a session that no client asked for; ended() gives
	 * it back. */
	bool (*takes_one_more)(void *arg);
	/* A session's descriptors and memory are free again. */
	void (*ended)(void *arg);
	/* A member of the direct port could not be connected to, and was marked. */
	void (*member_failed)(void *arg);
	void *arg;
};

/* How many CancelRequests may still go to all members: so many a second. */
struct cancel_limit {
	int64_t second;
	unsigned count; /* in that second */
};

struct session_list {
	struct loop *loop;
	const struct session_settings *settings;
	const struct session_host *host;
	struct snapshot *snapshot; /* in force */
	struct pump_tools tools;
	struct list by_state[SESSION_CLOSED];
	struct list dead;            /* closed in this turn: freed when it ends */
	struct loop_garbage garbage; /* for them all */
	struct loop_timer timer;     /* connect time-outs and draining; runs while needed */
	struct loop_timer settle;    /* for keepalive; runs while sessions are OPEN */
	struct loop_timer sweep;     /* for lost peers; runs while sessions are SETTLED */
	int swept;                   /* sessions looked at in this sweep */
	uint32_t next_id;            /* of a session: next_id, then id_step more each */
	uint32_t id_step;
	bool holds;         /* the last review found sessions to hold */
	bool shutting_down; /* cuts are for CLOSE_SHUTDOWN */
	struct session_stats stats;
	/* Open server sockets, connects included. Written by the worker, read by
	 * the watchdog; relaxed: the watchdog looks again and again. */
	atomic_int servers;
	/* Those of them that obey valid_until: all but the ones to known standbys. */
	atomic_int fenced;
	uint64_t random_state; /* for the balance of the direct port */
	struct cancel_limit cancel_limit;
	int64_t log_second;   /* for the rate limit of session lines */
	unsigned log_lines;   /* in that second */
	unsigned log_skipped; /* since the last line */
};

MUST_CHECK int session_list_init(struct session_list *list, struct loop *loop,
				 const struct session_settings *settings,
				 const struct session_host *host, uint32_t first_id,
				 uint32_t id_step);
/* Ends what still drains; frees it with the loop, which must be ended after this. */
void session_list_deinit(struct session_list *list);

/* Makes snapshot the one in force (takes a reference) and aborts the server
 * side of every session that it forbids. Once this has returned, no forbidden
 * server socket is open. Returns how many were aborted; they are finished by
 * session_list_finish_cut(), which the caller must call. */
MUST_CHECK unsigned session_list_adopt(struct session_list *list, struct snapshot *snapshot,
				       struct list *cut);
/* Aborts the client sides of those that were cut, then logs and frees them. */
void session_list_finish_cut(struct session_list *list, struct list *cut);

/* Adopts news, and cuts what obeys it if the time of the snapshot is over. To be
 * called before any byte goes to a server; sessions may be closed in it. */
void session_list_refresh(struct session_list *list);

#endif
