/* Why sessions end, and how often: one set of counters a worker. */
#ifndef PGSPLICE_SESSION_SESSION_STATS_H
#define PGSPLICE_SESSION_SESSION_STATS_H

#include <stdatomic.h>
#include <stdint.h>

enum close_reason {
	CLOSE_CLIENT_DONE,     /* the client ended first, all was delivered */
	CLOSE_SERVER_DONE,     /* the server ended first, all was delivered */
	CLOSE_CLIENT_RESET,    /* the client's connection broke */
	CLOSE_SERVER_RESET,    /* the server's connection broke */
	CLOSE_CONNECT_REFUSED, /* no address of the server could be reached */
	CLOSE_CONNECT_TIMEOUT,
	CLOSE_NO_LEADER,      /* nobody was routed when the client came */
	CLOSE_NO_MEMBER,      /* direct port: there was nobody to lead to */
	CLOSE_LEADER_CHANGED, /* cut: the leader was withdrawn or replaced */
	CLOSE_ADDRESS_GONE,   /* cut: the leader's name no longer has this address */
	CLOSE_MEMBER_CHANGED, /* cut: the member is no standby any more, or has left */
	CLOSE_DEADLINE,       /* cut: the store has not confirmed the leader in time */
	CLOSE_SHUTDOWN,       /* cut: pgsplice ends */
	CLOSE_EXHAUSTED,      /* no descriptor or memory for it */
};
#define CLOSE_REASON_COUNT (CLOSE_EXHAUSTED + 1)

/* Whose doing it was. */
enum close_side {
	CLOSE_BY_CLIENT,
	CLOSE_BY_SERVER,
	CLOSE_BY_US,
};

/* The label in logs and metrics ("leader-changed"), and the side ("us"). */
const char *close_reason_label(enum close_reason reason);
enum close_side close_reason_side(enum close_reason reason);
const char *close_side_label(enum close_side side);

struct session_stats {
	/* Written by their worker only; relaxed: each is a count by itself. */
	_Atomic uint64_t opened;
	_Atomic uint64_t closed[CLOSE_REASON_COUNT];
	_Atomic uint64_t to_server_bytes;
	_Atomic uint64_t to_client_bytes;
};

/* Adds to a counter of the calling worker, without a locked instruction. */
static inline void session_stats_add(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + n, memory_order_relaxed);
}

#endif
