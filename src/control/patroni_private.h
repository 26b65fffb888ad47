/* What source_patroni.c and patroni_source_view.c share. Control thread. */
#ifndef PGSPLICE_CONTROL_PATRONI_PRIVATE_H
#define PGSPLICE_CONTROL_PATRONI_PRIVATE_H

#include "base/clock.h"
#include "base/strbuf.h"
#include "control/patroni_servers.h"
#include "control/source.h"
#include "control/unwaited.h"
#include "routing/patroni_policy.h"

#define PATRONI_READ_EVERY_MS INT64_C(5000)

struct patroni {
	struct source source;
	const struct patroni_settings *settings;
	struct loop *loop;
	watch_cb *cb;
	void *arg;
	struct store *store;
	struct strbuf prefix; /* of all keys of the scope, with a slash at the end */
	struct store_watch *watch;
	struct store_request *read; /* NULL: none under way */
	int64_t read_sent_ms;
	uint64_t revision; /* of the newest listing taken, */
	int64_t taken_ms;  /* and when */
	uint64_t listings; /* taken so far */
	struct patroni_servers *servers;
	struct patroni_policy policy;
	struct patroni_view *keys; /* the newest */
	/* The newest that have a record of the routed member which says where it is. */
	struct patroni_view *recorded;
	bool had_leader;     /* one who answered */
	int64_t restless_ms; /* when last that was over; 0: never */
	struct loop_timer tick;
	struct loop_timer read_timer;
	struct unwaited unwaited;
	int64_t generation;
	struct view *view; /* of the newest decision */
	/* As logged or told last. */
	bool has_decided;
	enum patroni_reason reason;
	uint64_t term;
	bool is_store_out;
	uint64_t problems; /* a digest of them */
	/* What was told last, and when. */
	bool held;
	bool told_route;
	uint64_t told_term;
	uint64_t told_listing;
	uint64_t told_servers;
	int64_t told_ms;
	int64_t told_valid_until_ms;
};

static inline int64_t patroni_source_ttl_ms(const struct patroni *p)
{
	return p->keys == NULL ? 30 * MS_PER_S : patroni_view_config(p->keys)->ttl_s * MS_PER_S;
}

/* The last record of the routed member, if the newest keys have none that says where it
 * is: it may go with the lock of a paused cluster, and Consul's is made anew. NULL: the
 * newest keys are all there is. */
const struct patroni_member *patroni_kept_record(const struct patroni *p,
						 const struct patroni_decision *d);

/* The decision as a view; NULL without memory. */
struct view *patroni_make_view(struct patroni *p, const struct patroni_decision *d);

#endif
