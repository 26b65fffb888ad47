/* What traffic.c and soak.c share: sessions, their two sides, the pauses of a soak. */
#ifndef PGSPLICE_INTEGRATION_TRAFFIC_TRAFFIC_H
#define PGSPLICE_INTEGRATION_TRAFFIC_TRAFFIC_H

#include <time.h>

#include "plan.h"

/* What a slow reader is sent at most. */
#define SLOW_BYTES (1 << 20)

enum plan_end {
	CLIENT_ENDS_FIRST, /* and the server answers after that end only */
	SERVER_ENDS_FIRST,
	BOTH_AT_WILL,
	CLIENT_RESETS,
	SERVER_RESETS,
	PLAN_ENDS,
};

struct session;

struct side {
	int fd; /* -1: not yet, or closed */
	bool is_client;
	bool ended;     /* our end of stream was sent */
	bool heard_end; /* the other's was seen */
	bool broken;    /* reset, by us or as seen */
	uint64_t total; /* to send, the header included */
	uint64_t sent;
	uint64_t received;
	struct session *session; /* of a server's side: NULL before the header */
	uint8_t header[HEADER];
	int slow_ms;             /* after each read it pauses, for less than this */
	uint64_t pauses_at;      /* once so much was received it pauses for long; 0: never */
	int64_t paused_until_ms; /* 0: it reads */
	struct side *next_paused;
};

struct session {
	uint64_t number;
	enum plan_end end;
	uint64_t reset_after; /* bytes sent by whoever resets */
	struct side client;
	struct side *server; /* NULL: not seen yet */
	bool server_done;
	bool slow;
	bool may_be_cut;
};

extern struct session *sessions;
extern uint64_t started; /* sessions so far */
extern int soak_s;       /* 0: no soak */

/* Registers what the side waits for. */
void watch(struct side *side);

static inline int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The rest has effect in a soak only. */

void soak_make_slow(struct side *side, bool slow);
/* After a read. */
void soak_pause(struct side *side);
void soak_unpause(struct side *side);
void soak_end_pauses(void);
/* Whether a pause or a cut has to be looked after soon. */
bool soak_waits(void);

extern char soak_answer; /* stands for standard input */
void soak_hear_answer(void);
void soak_plan_next_cut(void);
void soak_maybe_cut(void);
bool soak_is_cutting(void);
/* Few clients meet a closed door. */
bool soak_may_start(void);

#endif
