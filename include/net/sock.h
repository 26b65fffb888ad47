/* Sockets with the options this proxy needs. All functions are non-blocking
 * and return 0, a descriptor, or a negative error. Any thread. */
#ifndef PGSPLICE_NET_SOCK_H
#define PGSPLICE_NET_SOCK_H

#include <stdbool.h>

#include "net/addr.h"

/* TCP keepalive; a value of 0 leaves the kernel's own. */
struct keepalive_settings {
	int idle_s;     /* silence before the first probe */
	int interval_s; /* between probes */
	int count;      /* unanswered probes before the connection counts as dead */
};

/* Starts a connect. The socket carries SO_LINGER {1,0} from birth: whatever
 * closes it, also the end of the process, resets the connection and discards
 * what the kernel has not delivered, until sock_allow_graceful_close(). */
MUST_CHECK int sock_connect_abortive(const struct addr *addr, int *ret_fd);

/* The outcome of a connect once the socket is writable. */
MUST_CHECK int sock_connect_result(int fd);

/* A plain close delivers again what is left to send. */
void sock_allow_graceful_close(int fd);
/* Makes close() reset the connection. */
void sock_abort_on_close(int fd);

/* Bytes, and an unacknowledged FIN, that the peer's kernel has not confirmed.
 * 0 as well when the kernel cannot tell (a dead or a unix socket). */
int sock_unacknowledged(int fd);

/* Whether the peer has confirmed nothing for as long as keepalive would wait, though
 * there is something to confirm: the kernel's keepalive does not look then. A peer
 * that is there but takes no bytes is not lost. */
bool sock_peer_is_lost(int fd);

/* Best effort: a socket without an option works on. */
void sock_set_nodelay(int fd);
void sock_set_keepalive(int fd, const struct keepalive_settings *settings);

/* Local address; family AF_UNSPEC if it cannot be had. */
struct addr sock_local_addr(int fd);

#endif
