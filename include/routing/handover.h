/* The order of a leader change: cut, acknowledge, open.
 *
 * A pure state machine (no I/O, no clock): it is told what the cluster data asks
 * for, what the workers have carried out and whether a publish succeeded, and
 * answers through its ops. What it guarantees, whatever comes in which order:
 *
 *  1. acknowledge() is called only when every worker has carried out the newest
 *     snapshot, so all sessions which that forbids are aborted;
 *  2. a leader is opened only after acknowledge() succeeded for exactly the
 *     situation that routes it; while it stays the leader, later snapshots only
 *     renew its time or follow what its name resolves to;
 *  3. valid_until moves only when a check was good, and counts from the moment
 *     at which the check's read was sent.
 *
 * Control thread; now_ms is clock_boot_ms(). */
#ifndef PGSPLICE_ROUTING_HANDOVER_H
#define PGSPLICE_ROUTING_HANDOVER_H

#include "routing/policy.h"
#include "routing/target.h"

/* What the cluster asks for. */
struct handover_input {
	enum situation situation;
	int64_t generation;
	int64_t check_interval_ns;
	int64_t proxy_timeout_ns;
	int64_t read_sent_ms;  /* 0: from the watch, vouches for nothing */
	struct target *target; /* for SITUATION_ROUTED, else NULL */
	/* What else a snapshot carries has changed: one is published in any case, and it
	 * has both, so that none has a part of either. */
	bool has_news;
};

/* What is to be made known to the workers. */
struct handover_route {
	uint64_t drop_generation;
	int64_t store_generation;
	uint64_t term;
	int64_t valid_until_ms;
	struct target *target; /* NULL: nobody is routed */
};

struct handover_ops {
	/* Must reach all workers; the barrier then tells handover_drained(). */
	void (*publish)(const struct handover_route *route, void *arg);
	/* Write this to the store and call handover_acknowledged(), later. */
	void (*acknowledge)(int64_t generation, int64_t proxy_timeout_ns, void *arg);
	/* The round that began with handover_decide() is over. */
	void (*finished)(bool good, void *arg);
};

enum handover_step {
	HANDOVER_IDLE,
	HANDOVER_DRAINING, /* waiting for the workers */
	HANDOVER_WRITING,  /* waiting for the store */
};

struct handover {
	const struct handover_ops *ops;
	void *arg;
	enum handover_step step;
	struct handover_input wanted;  /* the newest */
	struct handover_input writing; /* the one being acknowledged */
	struct target *routed;         /* NULL: closed */
	uint64_t term;
	uint64_t drop_generation; /* of the newest snapshot */
	uint64_t drained;         /* what all workers have carried out */
	int64_t valid_until_ms;
	/* In force: a new value counts once a publish has announced it in a round
	 * that a read began. */
	int64_t check_interval_ns;
	int64_t proxy_timeout_ns;
};

/* Starts closed, with stolon's default timings. */
void handover_init(struct handover *h, const struct handover_ops *ops, void *arg, int64_t now_ms);
void handover_deinit(struct handover *h);

/* Copies input (takes a reference of its target). Cuts at once what it forbids. */
void handover_decide(struct handover *h, const struct handover_input *input, int64_t now_ms);
void handover_drained(struct handover *h, uint64_t drop_generation, int64_t now_ms);
void handover_acknowledged(struct handover *h, bool written, int64_t now_ms);
/* Closes if the deadline has passed; the other calls do it by themselves. */
void handover_expire(struct handover *h, int64_t now_ms);
/* True if a read would bring other timings into force. */
bool handover_awaits_timings(const struct handover *h);
/* Publishes what is in force once more, under a drop generation of its own, for
 * what else a snapshot carries. */
void handover_publish_again(struct handover *h);
/* Closes for good: publishes, and starts no new round. */
void handover_shut(struct handover *h, int64_t now_ms);

static inline bool handover_is_open(const struct handover *h)
{
	return h->routed != NULL;
}

#endif
