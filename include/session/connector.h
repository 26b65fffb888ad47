/* Reaches a target: tries its addresses in order until one accepts. Worker
 * thread. */
#ifndef PGSPLICE_SESSION_CONNECTOR_H
#define PGSPLICE_SESSION_CONNECTOR_H

#include "net/loop.h"
#include "net/sock.h"
#include "routing/target.h"

struct connector;

/* error 0: fd is connected, aborts on close, and belongs to the callee; local is
 * our end of it. The connector is to be freed; an event of the callee's own on fd
 * that is added before makes one change for the kernel of two. */
typedef void connector_cb(int error, int fd, const struct addr *local, void *arg);

/* Whether to go on: asked before each connect. */
typedef bool connector_gate(const struct addr *addr, void *arg);

/* Connects to target. cb runs once, from the loop, never inside this call;
 * connector_free() prevents it. Has no time limit of its own. */
MUST_CHECK int connector_start(struct loop *loop, struct target *target, connector_gate *gate,
			       connector_cb *cb, void *arg, struct connector **ret_connector);

/* The descriptor of the connect under way, -1 if none: closing it aborts. */
int *connector_fd(struct connector *connector);
/* The address being tried, as an index in the target's. */
unsigned connector_address(const struct connector *connector);

/* Aborts a connect under way. Accepts NULL; also allowed in the callback. */
void connector_free(struct connector **connector);

#endif
