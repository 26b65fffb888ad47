/* Moves bytes in one direction of a session: backpressure, half-close, and
 * what is left over when the receiver is slow. Worker thread.
 *
 * Small messages are copied through a buffer that all sessions of a worker share;
 * a direction that carries bulk goes over to splice(2) through a pipe, and back
 * when it falls quiet. At any time bytes are held in one place at most: in a
 * buffer of the pump's own, or in its pipe. */
#ifndef PGSPLICE_SESSION_PUMP_H
#define PGSPLICE_SESSION_PUMP_H

#include <stdint.h>

#include "base/cleanup.h"
#include "session/pipe_pool.h"

enum pump_state {
	PUMP_MOVING,
	PUMP_FINISHED, /* the source has ended and all bytes were sent */
	PUMP_BROKEN,   /* the sink fails: what the source sends goes nowhere */
};

/* How a direction moves its bytes now. */
enum pump_way {
	PUMP_COPIES,
	PUMP_SPLICES,
	PUMP_COPIES_ONLY, /* these sockets cannot be spliced */
};

/* When to splice. */
enum splice_mode {
	SPLICE_AUTO,
	SPLICE_OFF,
	SPLICE_ALWAYS,
};

/* Bytes read but not sent yet. */
struct pump_held {
	uint32_t size;
	uint32_t sent;
	uint8_t data[];
};

struct pump {
	enum pump_state state : 8;
	enum pump_way way : 8;
	/* Copying: large runs in a row; splicing: small moves in a row. */
	uint8_t streak;
	uint32_t in_pipe; /* bytes */
	union {
		/* Copying: NULL while there are none, at most a scratch buffer's worth. */
		struct pump_held *held;
		struct pump_pipe *pipe; /* PUMP_SPLICES */
	};
	uint64_t bytes; /* sent so far */
};

/* What all pumps of a worker use. */
struct pump_tools {
	uint8_t *scratch;
	size_t scratch_size;
	struct pipe_pool pipes;
	enum splice_mode splice;
};

MUST_CHECK int pump_tools_init(struct pump_tools *tools, enum splice_mode splice);
/* Every pump must have been given up before. Accepts one that is zeroed. */
void pump_tools_deinit(struct pump_tools *tools);

/* Asked after every read and before every write towards the server: only bytes
 * that came before the permission was checked are sent. NULL: always open. */
enum pump_gate_answer {
	PUMP_GATE_OPEN,
	PUMP_GATE_WAITS, /* not now: what was read is kept */
	PUMP_GATE_SHUT,  /* never again: the pump has been given up already */
};
typedef enum pump_gate_answer pump_gate(void *arg);

enum pump_result {
	PUMP_RAN,           /* look at state and pump_wants_*() */
	PUMP_SOURCE_FAILED, /* the source is broken; nothing is held */
	PUMP_SINK_FAILED,   /* state is PUMP_BROKEN */
	PUMP_NOT_PERMITTED, /* the gate is not open: it has seen to the session */
	PUMP_NO_MEMORY,     /* bytes were lost: the session is to be cut */
};

void pump_init(struct pump *pump);
/* Gives up what is held. */
void pump_deinit(struct pump *pump, struct pump_tools *tools);

/* Moves what can be moved now, within a bounded amount of work. */
enum pump_result pump_run(struct pump *pump, int source, int sink, struct pump_tools *tools,
			  pump_gate *gate, void *arg);

static inline bool pump_holds_bytes(const struct pump *pump)
{
	return pump->way == PUMP_SPLICES ? pump->in_pipe > 0 : pump->held != NULL;
}

/* What to wait for. */
static inline bool pump_wants_read(const struct pump *pump)
{
	return pump->state == PUMP_MOVING && !pump_holds_bytes(pump);
}

static inline bool pump_wants_write(const struct pump *pump)
{
	return pump_holds_bytes(pump);
}

#endif
