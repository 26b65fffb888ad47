/* Reads and watches the cluster data, and turns it into views. Control thread. */
#ifndef PGSPLICE_CLUSTER_WATCH_H
#define PGSPLICE_CLUSTER_WATCH_H

#include "cluster/view.h"
#include "store/store.h"

enum watch_outcome {
	WATCH_VIEW,        /* view is set */
	WATCH_UNREACHABLE, /* the store did not answer; text says why */
	WATCH_UNDECODABLE, /* the value is not cluster data; text says where */
};

struct watch_update {
	enum watch_outcome outcome;
	struct view *view; /* take a reference to keep it */
	const char *text;
	/* When the read that found this was sent (clock_boot_ms()): the moment
	 * from which it may vouch for a leader. 0 for what the watch brought, which
	 * may have been on its way for any time and vouches for nothing. */
	int64_t read_sent_ms;
};

typedef void watch_cb(const struct watch_update *update, void *arg);

struct watch;

/* Watches key from now on. cb runs from the loop, never inside a call. */
MUST_CHECK int watch_start(struct store *store, const char *key, watch_cb *cb, void *arg,
			   struct watch **ret_watch);
void watch_stop(struct watch **watch);

/* Starts a read, whose outcome comes through the callback with read_sent_ms
 * set. A read that is under way goes on instead. */
MUST_CHECK int watch_read(struct watch *watch);

#endif
