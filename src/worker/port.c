/* Listeners that come and go with the listen set. */
#include "worker/port.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"

#define REFUSED_LOG_EVERY_MS 5000

/* Of one listen set; freed when the turn ends in which they were stopped. */
struct listeners {
	struct loop_garbage garbage;
	size_t count;
	struct listener items[];
};

void port_init(struct port *port, enum port_kind kind, struct worker *worker, struct loop *loop,
	       const struct listener_ops *ops)
{
	*port = (struct port){.worker = worker, .kind = kind, .loop = loop, .ops = ops};
}

static size_t listener_count(const struct port *port)
{
	return port->listeners == NULL ? 0 : port->listeners->count;
}

static void listeners_free(struct loop_garbage *garbage)
{
	free(CONTAINER_OF(garbage, struct listeners, garbage));
}

void port_deinit(struct port *port)
{
	for (size_t i = 0; i < listener_count(port); i++)
		listener_stop(&port->listeners->items[i]);
	listen_set_unref(&port->listen);
	/* An accepted client may have brought the news: its listener is in use. */
	struct listeners *stopped = TAKE_PTR(port->listeners);
	if (stopped != NULL)
		loop_free_later(port->loop, &stopped->garbage, listeners_free);
}

int port_follow(struct port *port, struct listen_set *set, unsigned worker_index)
{
	size_t count = set == NULL ? 0 : listen_set_count(set);
	int r = 0;

	if (port->listen == set)
		return 0;
	port_deinit(port);
	if (set == NULL)
		return 0;
	struct listeners *l = calloc(1, sizeof(*l) + count * sizeof(l->items[0]));
	if (l == NULL)
		return -ENOMEM; /* the next snapshot tries again */
	port->listeners = l;
	port->listen = listen_set_ref(set);
	for (size_t i = 0; i < count; i++) {
		int error = listener_start(&l->items[l->count++], port->loop,
					   listen_set_fd(set, i, worker_index), port->ops, port);
		r = error < 0 ? error : r;
	}
	if (port->is_held)
		port_pause(port);
	return r;
}

int port_hold(struct port *port, bool hold)
{
	bool waits = false;

	if (port->is_held == hold)
		return 0;
	port->is_held = hold;
	port_pause(port);
	for (size_t i = 0; i < listener_count(port) && !hold; i++)
		listener_sift(&port->listeners->items[i]);
	return port_resume(port, &waits);
}

void port_pause(struct port *port)
{
	for (size_t i = 0; i < listener_count(port); i++)
		listener_pause(&port->listeners->items[i]);
}

int port_resume(struct port *port, bool *waits)
{
	int r = 0;

	for (size_t i = 0; i < listener_count(port) && !port->is_held; i++) {
		struct listener *l = &port->listeners->items[i];
		int error = listener_resume(l);
		r = error < 0 ? error : r;
		*waits = *waits || listener_has_client(l);
	}
	return r;
}

static const struct {
	const char *text;
	enum close_reason reason;
} refusals[PORT_COUNT] = {
	[PORT_LEADER] = {"clients closed, nobody is routed", CLOSE_NO_LEADER},
	[PORT_DIRECT] = {"clients of the direct port closed, there is no member to lead to",
			 CLOSE_NO_MEMBER},
};

void port_refuse(struct port *port, int fd, struct session_stats *stats)
{
	enum close_reason reason = refusals[port->kind].reason;
	int64_t now_ms = clock_boot_ms();

	close(fd);
	session_stats_add(&stats->closed[reason], 1);
	port->refused++;
	if (now_ms - port->refused_logged_ms < REFUSED_LOG_EVERY_MS)
		return;
	log_info(refusals[port->kind].text, log_text("reason", close_reason_label(reason)),
		 log_number("count", port->refused));
	port->refused = 0;
	port->refused_logged_ms = now_ms;
}
