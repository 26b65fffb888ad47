/* How long a server takes to answer: a connection of our own, the 8 bytes of an
 * SSLRequest, and the one byte that every PostgreSQL answers it with, also one that
 * is starting up. PostgreSQL logs nothing about it. No byte of a client is in it, so
 * that it may go to any server. Loop thread. */
#ifndef PGSPLICE_PROBE_REACH_H
#define PGSPLICE_PROBE_REACH_H

#include "net/addr.h"
#include "net/loop.h"

struct reach;

/* error 0: took_us is the time from the connect to the answer. -ETIMEDOUT, the
 * error of the connect, ERR_SYNTAX for another answer than 'S', 'N' or an 'E'rror
 * message, or -ECONNRESET for none. */
typedef void reach_cb(int error, int64_t took_us, void *arg);

/* cb runs once, from the loop, never inside this call, at most timeout_ms later;
 * reach_cancel() prevents it. In cb *ret_reach is not valid any more. */
MUST_CHECK int reach_start(struct loop *loop, const struct addr *addr, int64_t timeout_ms,
			   reach_cb *cb, void *arg, struct reach **ret_reach);
/* Accepts NULL. */
void reach_cancel(struct reach **reach);

#endif
