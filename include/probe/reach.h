/* How long a server takes to answer: a connection of our own, the 8 bytes of a
 * GSSENCRequest, and the one byte that every PostgreSQL answers it with, also one that
 * is starting up. No byte of a client is in it, so that it may go to any server.
 *
 * PostgreSQL logs nothing about it (with log_connections it notes each connection). Of
 * an SSLRequest it would where ssl is on: after 'S' it misses the handshake. Servers
 * before 12 do not know the request; they answer with an error, and log it.
 *
 * Loop thread. */
#ifndef PGSPLICE_PROBE_REACH_H
#define PGSPLICE_PROBE_REACH_H

#include "net/addr.h"
#include "net/loop.h"

struct reach;

/* error 0: took_us is the time from the connect to the answer. -ETIMEDOUT, the
 * error of the connect or of the connection, ERR_SYNTAX for another answer than 'G',
 * 'N' or an 'E'rror message, or -ECONNRESET for none. */
typedef void reach_cb(int error, int64_t took_us, void *arg);

/* cb runs once, from the loop, never inside this call, at most timeout_ms later;
 * reach_cancel() prevents it. In cb *ret_reach is not valid any more. A negative error
 * is a lack of memory or descriptors, and says nothing about the server. */
MUST_CHECK int reach_start(struct loop *loop, const struct addr *addr, int64_t timeout_ms,
			   reach_cb *cb, void *arg, struct reach **ret_reach);
/* Accepts NULL. */
void reach_cancel(struct reach **reach);

#endif
