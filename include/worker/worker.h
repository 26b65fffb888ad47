/* A worker: one thread with its loop, listeners and sessions. It moves bytes
 * and carries out snapshots; it resolves nothing, decides nothing, and takes no
 * lock. */
#ifndef PGSPLICE_WORKER_WORKER_H
#define PGSPLICE_WORKER_WORKER_H

#include <pthread.h>

#include "net/boot_timer.h"
#include "session/session_list.h"
#include "worker/capacity.h"
#include "worker/drop_barrier.h"
#include "worker/handoff.h"
#include "worker/port.h"

struct worker {
	unsigned index;
	/* All workers, this one included. The others are reached through their
	 * `handed` and `wakeup`, and their count of servers is looked at. */
	struct worker *crew;
	unsigned crew_size;
	pthread_t thread;
	struct loop loop;
	struct wakeup wakeup;
	struct boot_timer deadline;
	/* The newest snapshot not yet adopted. Control exchanges it with
	 * acq_rel; the worker takes it out with acquire. It holds one reference. */
	_Atomic(struct snapshot *) inbox;
	struct handoff handed; /* clients that others accepted */
	/* Control sets these before it rings, and the ring orders them. */
	atomic_bool ending;   /* cuts are because the process ends */
	atomic_bool stopping; /* the loop is to end */
	/* Until when the snapshot in force is valid, for the watchdog: written by
	 * the worker, relaxed, the watchdog looks again and again. */
	_Atomic int64_t valid_until_ms;
	struct drop_barrier *barrier;
	struct capacity *capacity;
	struct session_host host;
	struct session_list sessions;
	struct port ports[PORT_COUNT];
	struct loop_timer resume; /* runs while accepting is paused */
	bool paused;
};

/* Starts the thread of crew[index]. Before the first snapshot with listeners is
 * published, all of the crew must have been started. The crew, barrier, capacity
 * and settings must outlive it. */
MUST_CHECK int worker_start(struct worker *crew, unsigned index, unsigned crew_size,
			    const struct session_settings *settings, struct drop_barrier *barrier,
			    struct capacity *capacity);

/* Control thread: hands over a snapshot, takes its own reference. */
void worker_publish(struct worker *worker, struct snapshot *snapshot);

/* Control thread: asks the loop to end; then worker_join(). */
void worker_stop(struct worker *worker);
/* False if the thread still runs after timeout_ms: then nothing was freed. */
MUST_CHECK bool worker_join(struct worker *worker, int timeout_ms);

/* Any thread: a snapshot waits for it. */
bool worker_is_behind(const struct worker *worker);
/* Any thread: the deadline past which it holds server sockets that obey it, 0 if it
 * holds none. */
int64_t worker_missed_deadline(const struct worker *worker, int64_t now_ms);

#endif
