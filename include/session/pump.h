/* Moves bytes in one direction of a session: backpressure, half-close, and
 * what is left over when the receiver is slow. Worker thread. */
#ifndef PGSPLICE_SESSION_PUMP_H
#define PGSPLICE_SESSION_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pump_state {
	PUMP_MOVING,
	PUMP_FINISHED, /* the source has ended and all bytes were sent */
	PUMP_BROKEN,   /* the sink fails: what the source sends goes nowhere */
};

struct pump {
	enum pump_state state;
	/* Bytes read but not sent yet: allocated only while there are any, at
	 * most one scratch buffer's worth. */
	uint32_t held_size;
	uint32_t held_sent;
	uint8_t *held;
	uint64_t bytes; /* sent so far */
};

/* Where the bytes are read into, shared by all sessions of a worker. */
struct pump_scratch {
	uint8_t *data;
	size_t size;
};

/* Asked after every read and before every write towards the server: only bytes
 * that came before the permission was checked are sent. NULL: always. */
typedef bool pump_gate(void *arg);

enum pump_result {
	PUMP_RAN,           /* look at state and pump_wants_*() */
	PUMP_SOURCE_FAILED, /* the source is broken; nothing is held */
	PUMP_SINK_FAILED,   /* state is PUMP_BROKEN */
	PUMP_NOT_PERMITTED, /* the gate said no: the session is to be cut */
	PUMP_NO_MEMORY,     /* bytes were lost: the session is to be cut */
};

void pump_init(struct pump *pump);
void pump_deinit(struct pump *pump);

/* Moves what can be moved now, within a bounded amount of work. */
enum pump_result pump_run(struct pump *pump, int source, int sink, struct pump_scratch *scratch,
			  pump_gate *gate, void *arg);

/* Gives up what is held and ends the direction. */
void pump_break(struct pump *pump);

/* What to wait for. */
static inline bool pump_wants_read(const struct pump *pump)
{
	return pump->state == PUMP_MOVING && pump->held == NULL;
}

static inline bool pump_wants_write(const struct pump *pump)
{
	return pump->held != NULL;
}

#endif
