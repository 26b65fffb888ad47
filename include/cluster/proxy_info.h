/* Our acknowledgement in the store: which generation this proxy has carried
 * out. The sentinels take a generation written here as the promise that no byte
 * of a client reaches the leader before it through this proxy any more.
 * Control thread. */
#ifndef PGSPLICE_CLUSTER_PROXY_INFO_H
#define PGSPLICE_CLUSTER_PROXY_INFO_H

#include "store/store.h"

#define PROXY_UID_SIZE 9 /* eight hex digits and NUL, stolon's form */

struct proxy_info;

/* directory: the key of the cluster ("stolon/cluster/NAME"). Draws a new UID. */
MUST_CHECK int proxy_info_new(struct store *store, const char *directory,
			      struct proxy_info **ret_info);
/* Cancels what is under way. Accepts NULL. */
void proxy_info_free(struct proxy_info **info);

const char *proxy_info_uid(const struct proxy_info *info);

/* Writes {infoUID (new every time), UID, Generation, ProxyTimeout}; the key's
 * lifetime is the longer of 20 s and twice the timeout, as the sentinels reckon.
 * One request at a time. */
MUST_CHECK int proxy_info_write(struct proxy_info *info, int64_t generation, int64_t timeout_ns,
				store_done_cb *cb, void *arg);
/* Tells the sentinels that they need not wait for this proxy any more. */
MUST_CHECK int proxy_info_delete(struct proxy_info *info, store_done_cb *cb, void *arg);

#endif
