/* The listening sockets of all workers for one set of addresses.
 *
 * Immutable once open and shared by reference: the sockets close when the last
 * holder lets go. Opened by the control thread; each worker accepts on its own
 * descriptors only. */
#ifndef PGSPLICE_NET_LISTEN_SET_H
#define PGSPLICE_NET_LISTEN_SET_H

#include <stddef.h>
#include <sys/un.h>

#include "net/addr.h"
#include "net/sock.h"

/* Where to listen: an address with its port, or a unix socket. */
struct listen_address {
	struct addr addr; /* family AF_UNIX: see path */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* As addr_format(), with the path of a unix socket. */
#define LISTEN_TEXT_SIZE 128
const char *listen_address_format(const struct listen_address *address,
				  char text[static LISTEN_TEXT_SIZE]);

struct listen_set;

/* Listens on every address, with one socket a worker (a unix socket is shared
 * by all). The wildcard address :: also takes IPv4, or is 0.0.0.0 on a host
 * without IPv6. Another process that listens on one of the addresses makes it
 * fail with -EADDRINUSE, also if it is a pgsplice: SO_REUSEPORT is set on the
 * first socket only when that listens already. Accepted sockets inherit
 * TCP_NODELAY and the keepalive, which saves system calls for each.
 * On failure *ret_failed is the address at fault. */
MUST_CHECK int listen_set_open(const struct listen_address *addresses, size_t count,
			       unsigned workers, const struct keepalive_settings *keepalive,
			       struct listen_set **ret_set, size_t *ret_failed);

struct listen_set *listen_set_ref(struct listen_set *set);
void listen_set_unref(struct listen_set **set);

/* How many addresses, and the descriptor of one worker for one of them. */
size_t listen_set_count(const struct listen_set *set);
int listen_set_fd(const struct listen_set *set, size_t index, unsigned worker);

/* Whether a connection to target would come back to one of these listeners. */
bool listen_address_is_reached_by(const struct listen_address *address, const struct addr *target);

#endif
