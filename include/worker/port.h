/* One port of a worker: its listeners, which follow the listen set in force, and the
 * clients that it had to refuse. Worker thread. */
#ifndef PGSPLICE_WORKER_PORT_H
#define PGSPLICE_WORKER_PORT_H

#include "net/listen_set.h"
#include "session/session_stats.h"
#include "worker/listener.h"

/* What its clients are led to. */
enum port_kind {
	PORT_LEADER,
	PORT_DIRECT, /* members, for reads */
};
#define PORT_COUNT (PORT_DIRECT + 1)

struct worker;
struct listeners;

struct port {
	struct worker *worker; /* its owner, for the callbacks of ops */
	enum port_kind kind;
	struct loop *loop;
	const struct listener_ops *ops;
	struct listen_set *listen;   /* whose sockets the listeners borrow; NULL: closed */
	struct listeners *listeners; /* NULL: none */
	bool is_held;
	/* Since the last log line. */
	unsigned refused;
	int64_t refused_logged_ms;
};

/* ops are called with the port. */
void port_init(struct port *port, enum port_kind kind, struct worker *worker, struct loop *loop,
	       const struct listener_ops *ops);
/* Stops listening. */
void port_deinit(struct port *port);

/* Listens on the sockets that set has for the worker of this index; NULL: on none.
 * On failure no more are accepted than before port_resume() is called. */
MUST_CHECK int port_follow(struct port *port, struct listen_set *set, unsigned worker_index);

/* While it is held nobody is accepted: clients wait in the kernel's queue. Fails as
 * port_follow() does. */
MUST_CHECK int port_hold(struct port *port, bool hold);

void port_pause(struct port *port);
/* 0 or an error, after which it is to be called again. *waits becomes true if a client
 * waits in a kernel's queue. */
MUST_CHECK int port_resume(struct port *port, bool *waits);

/* There is nobody for a client: closes it, as stolon-proxy does. */
void port_refuse(struct port *port, int fd, struct session_stats *stats);

#endif
