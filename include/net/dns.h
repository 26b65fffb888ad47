/* Host names to addresses, without blocking: c-ares on a loop. Loop thread. */
#ifndef PGSPLICE_NET_DNS_H
#define PGSPLICE_NET_DNS_H

#include <stddef.h>

#include "net/addr.h"
#include "net/loop.h"

struct dns;
struct dns_lookup;

/* error: 0 with at least one address; ERR_NO_NAME when the name does not exist
 * or has no address; ERR_DNS when no server could say (also at the deadline).
 * IPv4 addresses come before IPv6 ones, otherwise in the answer's order, all
 * with port 0. They live until the callback returns. */
typedef void dns_cb(int error, const struct addr *addrs, size_t count, void *arg);

MUST_CHECK int dns_open(struct loop *loop, struct dns **ret_dns);
/* Ends all lookups without callbacks. Accepts NULL. */
void dns_close(struct dns **dns);

/* Looks a name up in the hosts file and the name servers. cb runs once, from
 * the loop, never inside this call, at most timeout_ms later; dns_cancel()
 * prevents it. */
MUST_CHECK int dns_lookup(struct dns *dns, const char *name, int64_t timeout_ms, dns_cb *cb,
			  void *arg, struct dns_lookup **ret_lookup);
void dns_cancel(struct dns_lookup **lookup);

#endif
