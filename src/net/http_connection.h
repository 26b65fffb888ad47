/* Connections of an HTTP client, which are kept between requests. Loop thread. */
#ifndef PGSPLICE_NET_HTTP_CONNECTION_H
#define PGSPLICE_NET_HTTP_CONNECTION_H

#include <event2/bufferevent.h>

#include "net/loop.h"
#include "net/tls.h"

struct connection {
	struct list node; /* among the idle, or alone */
	struct bufferevent *bev;
};

/* Not yet connected; over TLS unless peer is NULL. NULL on failure, with a text if TLS
 * is why. */
struct connection *connection_new(struct loop *loop, struct tls_peer *peer,
				  char text[static TLS_TEXT_SIZE]);
/* Closes it. Accepts NULL. */
void connection_free(struct connection **connection);

/* Puts it among the idle, where it closes by itself when its server says something or
 * ends, and takes it from the caller; not if there are enough, or if the server has said
 * something already. */
void connection_keep(struct connection **connection, struct list *idle);
void connections_close(struct list *idle);

#endif
