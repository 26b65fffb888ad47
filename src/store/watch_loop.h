/* The course that watches over HTTP have in common: read, then listen for what
 * comes after that revision, for ever; and what was read and heard of, held.
 *
 * However listening ends, what follows is a read: one that ended with an error, or
 * is in doubt, is never taken up without. A listener that merely says "there is
 * news" has a read follow, too; one that says what the news are changes `held`
 * itself. Loop thread. */
#ifndef PGSPLICE_STORE_WATCH_LOOP_H
#define PGSPLICE_STORE_WATCH_LOOP_H

#include "endpoints.h"
#include "listing.h"
#include "store/backoff.h"
#include "store_private.h"

struct watch_loop_ops {
	/* Listens for what comes after w->revision, at w->endpoint; called again
	 * when the timer rings that it may start. Returns 0 or a negative error. */
	int (*listen)(struct watch_loop *w);
	/* Ends that, whether it is under way or not. */
	void (*stop_listening)(struct watch_loop *w);
};

struct watch_loop {
	struct store_watch base;
	struct store *store;
	const struct watch_loop_ops *ops;
	struct endpoints *endpoints;
	char *key;
	struct store_request *read; /* NULL: none under way */
	bool must_read;             /* before it listens */
	bool is_fresh;              /* the next listing is */
	bool is_doubtful;           /* it is if it is another one */
	bool is_listening;
	int64_t began_ms;         /* to listen */
	int64_t listens_since_ms; /* clock_boot_ms(); 0: it is not sure that it does */
	struct listing held;
	uint64_t revision;      /* of held */
	size_t endpoint;        /* to listen at */
	size_t failed_endpoint; /* where listening failed last */
	struct loop_timer timer;
	struct backoff backoff;
	/* A read has found what was not heard of yet: as of known_then, that of
	 * missed. It may be on its way. */
	struct loop_timer grace;
	uint64_t known_then;
	uint64_t missed;
};

/* w: zeroed. Begins, from the loop. On an error nothing needs to be freed. */
MUST_CHECK int watch_loop_init(struct watch_loop *w, struct store *store, struct loop *loop,
			       struct endpoints *endpoints, const struct store_watch *watch,
			       const struct watch_loop_ops *ops);
void watch_loop_deinit(struct watch_loop *w);

/* The listener: */

/* It really does. */
void watch_loop_listens(struct watch_loop *w);
/* Whether it was kept waiting, as by a server that means it. */
bool watch_loop_was_held(const struct watch_loop *w);
/* It has ended without news: listens again. */
void watch_loop_go_on(struct watch_loop *w);
/* Something has changed; to be read. */
void watch_loop_news(struct watch_loop *w);
/* It was quiet for so long that it may be blind: to be read. */
void watch_loop_renew(struct watch_loop *w);
/* held was changed, as of revision: passes it on. */
void watch_loop_report(struct watch_loop *w, uint64_t revision);
/* It has ended, or is in doubt: begins anew, with a read, after a while. */
void watch_loop_again(struct watch_loop *w, const char *why);

/* A read has found the key or tree: does the watch keep up? */
void watch_loop_note_read(struct watch_loop *w, const struct store_request *request,
			  const struct store_listing *listing);
/* Whether it watches just that. */
bool watch_loop_is_of(const struct watch_loop *w, const char *key, bool is_tree);

#endif
