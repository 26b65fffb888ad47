/* One thread's event loop, on libevent. Everything here belongs to the thread
 * that runs the loop. */
#ifndef PGSPLICE_NET_LOOP_H
#define PGSPLICE_NET_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/list.h"

struct loop {
	struct event_base *base;
	struct list garbage; /* loop_garbage: freed when the turn ends */
	bool stopping;
};

/* Priorities: of two events in one turn the urgent one runs first. */
enum loop_priority {
	LOOP_URGENT,
	LOOP_NORMAL,
	LOOP_PRIORITIES,
};

MUST_CHECK int loop_init(struct loop *loop);
void loop_deinit(struct loop *loop);

/* Runs turns until loop_stop(). Returns 0 or a negative error. */
MUST_CHECK int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Embedded in an object whose memory must outlive the current turn, because a
 * caller further up may still hold it. */
struct loop_garbage {
	struct list node;
	void (*free)(struct loop_garbage *garbage);
};

/* Calls free(garbage) at the end of this turn. The object's events must be
 * deleted already. */
void loop_free_later(struct loop *loop, struct loop_garbage *garbage,
		     void (*free)(struct loop_garbage *garbage));

/* A timer that fires once, after a time in which the machine was awake. */
struct loop_timer {
	struct event event;
};

void loop_timer_init(struct loop_timer *timer, struct loop *loop, event_callback_fn cb, void *arg);
/* (Re)starts it. Ends the process without memory for it. */
void loop_timer_start(struct loop_timer *timer, int64_t delay_ms);
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_is_running(const struct loop_timer *timer);

#endif
