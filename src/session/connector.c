/* Non-blocking connects, one address after the other. The connector lives only
 * as long as the connect, so that a session does not carry it. */
#include "session/connector.h"

#include <errno.h>

#include "base/err.h"

struct connector {
	/* Writable: the connect ended; or made active: it failed at once. That it waits
	 * to be readable as well, and persists, is for who takes the descriptor: an event
	 * added before this one goes costs nothing then. */
	struct event event;
	struct loop *loop;
	struct target *target;
	size_t address;
	int fd;
	int error; /* of the last address */
	connector_gate *gate;
	connector_cb *cb;
	void *arg;
};

static void on_connected(evutil_socket_t fd, short what, void *arg);

/* Starts on the current address or the next one that can be tried. */
static bool try_addresses(struct connector *c)
{
	for (; c->address < c->target->count; c->address++) {
		const struct addr *addr = &c->target->addrs[c->address];
		if (!c->gate(addr, c->arg)) {
			c->error = ERR_NO_PERMIT;
			return false;
		}
		c->error = sock_connect_abortive(addr, &c->fd);
		if (err_is_exhaustion(c->error))
			return false;
		if (c->error < 0)
			continue;
		event_assign(&c->event, c->loop->base, c->fd, EV_READ | EV_WRITE | EV_PERSIST,
			     on_connected, c);
		if (event_add(&c->event, NULL) == 0)
			return true;
		close_fd(&c->fd);
		c->error = -ENOMEM;
		return false;
	}
	return false;
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct connector *c = arg;

	if (c->fd >= 0) {
		/* One that failed is reported as readable, too; so is a server that
		 * speaks first. */
		c->error = (what & EV_READ) ? sock_connect_result(c->fd) : 0;
		struct addr local = sock_local_addr(c->fd);
		/* Connecting to a dead port of this host may, by chance, get that
		 * very port as its own end, and TCP then talks to itself. */
		if (c->error == 0 && addr_equal(&local, &c->target->addrs[c->address]))
			c->error = -ECONNREFUSED;
		if (c->error == 0) {
			c->cb(0, take_fd(&c->fd), &local, c->arg);
			return;
		}
		event_del(&c->event);
		close_fd(&c->fd);
		c->address++;
		if (try_addresses(c))
			return;
	}
	c->cb(c->error, -1, NULL, c->arg);
}

int connector_start(struct loop *loop, struct target *target, connector_gate *gate,
		    connector_cb *cb, void *arg, struct connector **ret_connector)
{
	struct connector *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->loop = loop;
	c->target = target_ref(target);
	c->gate = gate;
	c->cb = cb;
	c->arg = arg;
	c->fd = -1;
	if (!try_addresses(c)) {
		event_assign(&c->event, loop->base, -1, 0, on_connected, c);
		event_active(&c->event, EV_TIMEOUT, 0);
	}
	*ret_connector = c;
	return 0;
}

int *connector_fd(struct connector *connector)
{
	return &connector->fd;
}

unsigned connector_address(const struct connector *connector)
{
	size_t last = connector->target->count - 1;

	return (unsigned)(connector->address < last ? connector->address : last);
}

void connector_free(struct connector **connector)
{
	struct connector *c = TAKE_PTR(*connector);

	if (c == NULL)
		return;
	event_del(&c->event);
	close_fd(&c->fd);
	target_unref(&c->target);
	free(c);
}
