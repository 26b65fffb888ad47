/* Published addresses ("host", "port" as texts) to socket addresses, without
 * blocking. One place is followed at a time: the leader's. Control thread. */
#ifndef PGSPLICE_ROUTING_RESOLVE_H
#define PGSPLICE_ROUTING_RESOLVE_H

#include <stddef.h>

#include "net/dns.h"

struct resolve;

/* Called from the loop when what resolve_get() answers has changed: the name is
 * asked for again each time before its answer expires. Another order of the
 * same addresses is no change, and is not taken over. */
typedef void resolve_cb(void *arg);

/* dns must outlive it. */
MUST_CHECK int resolve_new(struct dns *dns, int64_t timeout_ms, resolve_cb *cb, void *arg,
			   struct resolve **ret_resolve);
void resolve_free(struct resolve **resolve);

/* The addresses of a place, valid until the next call. -EINPROGRESS: not known
 * yet, the callback will tell. Other errors are final for now: ERR_NO_NAME,
 * ERR_DNS, or of the port. An answer is kept while name servers fail, but not
 * when they say that the name is gone. */
MUST_CHECK int resolve_get(struct resolve *resolve, const char *host, const char *port,
			   const struct addr **ret_addrs, size_t *ret_count);

/* Looks the current name up again if its answer has become too old, as after a
 * suspend. */
void resolve_refresh(struct resolve *resolve);

#endif
