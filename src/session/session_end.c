/* How sessions end.
 *
 * A cut aborts both sockets. Any other end lets the kernels deliver what was
 * sent: the server side closes normally only when its peer has confirmed every
 * byte, and the client side only when the client has, because a close with
 * unread input would discard what is still on its way to it. Until then the
 * session drains, and its server socket still counts for the barrier. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "session_private.h"

/* For a normal end: longer than any network needs, if the peer is alive. */
#define DRAIN_LIMIT_MS 30000
/* For bytes of a client that is gone already. */
#define DRAIN_LIMIT_RESET_MS 2000

static void endpoint_close(struct session *s, struct endpoint *end)
{
	if (end->interest != 0)
		event_del(&end->event);
	end->interest = 0;
	close_fd(&end->fd);
	if (end == &s->server)
		session_uncount_server(s);
}

static void log_end(struct session *s)
{
	char title[40];
	char client[ADDR_TEXT_SIZE];
	char server[ADDR_TEXT_SIZE];
	unsigned skipped = 0;

	if (!session_list_may_log(s->list, &skipped))
		return;
	snprintf(title, sizeof(title), "session %" PRIu32 ": closed", s->id);
	log_info(title, log_text("reason", close_reason_label(s->reason)),
		 log_text("by", close_side_label(close_reason_side(s->reason))),
		 log_text("client", addr_format(&s->client_addr, client)),
		 log_text("server", addr_format(session_server_addr(s), server)),
		 log_number("local_port", s->server.local_port),
		 log_number("sent", (int64_t)s->to_server.bytes),
		 log_number("received", (int64_t)s->to_client.bytes),
		 log_number("ms", clock_boot_ms() - s->started_ms));
	if (skipped > 0)
		log_info("sessions: closed without a line of their own",
			 log_number("count", skipped));
}

/* Both descriptors are closed. */
static void session_finish(struct session *s)
{
	session_set_state(s, SESSION_CLOSED);
	pump_deinit(&s->to_server, &s->list->tools);
	pump_deinit(&s->to_client, &s->list->tools);
	session_stats_add(&s->list->stats.closed[s->reason], 1);
	log_end(s);
	if (s->is_direct)
		member_unref(&s->member);
	else
		target_unref(&s->target);
	session_list_bury(s);
	s->list->host->ended(s->list->host->arg);
}

void session_abort_server(struct session *s)
{
	int *fd = s->connector != NULL ? connector_fd(s->connector) : &s->server.fd;

	if (s->connector != NULL && !s->is_direct)
		s->server_index = connector_address(s->connector);
	/* The event is deleted after the close, by session_cut(): the other
	 * sessions' server sides come first. libevent allows that as long as the
	 * number is not used again in this loop before. */
	close_fd(fd);
	session_uncount_server(s);
}

void session_cut(struct session *s, enum close_reason reason)
{
	s->reason = reason;
	session_abort_server(s);
	if (s->server.interest != 0)
		event_del(&s->server.event);
	s->server.interest = 0;
	connector_free(&s->connector);
	if (s->client.fd >= 0) {
		sock_abort_on_close(s->client.fd);
		endpoint_close(s, &s->client);
	}
	session_finish(s);
}

static bool server_is_done(struct session *s, bool limit_reached)
{
	if (s->server.fd < 0)
		return true;
	if (sock_unacknowledged(s->server.fd) == 0) {
		/* Once our FIN is confirmed, too, there is nothing to be graceful in. */
		if (s->graceful && !s->server_shut)
			sock_allow_graceful_close(s->server.fd);
	} else if (!limit_reached) {
		return false;
	}
	endpoint_close(s, &s->server);
	return true;
}

static bool client_is_done(struct session *s, bool limit_reached)
{
	if (s->client.fd < 0)
		return true;
	/* A client that has ended its side has no input that a close would
	 * trip over: the kernel delivers the rest by itself. */
	bool input_ended = s->to_server.state == PUMP_FINISHED;
	if (!input_ended && !limit_reached && sock_unacknowledged(s->client.fd) > 0)
		return false;
	endpoint_close(s, &s->client);
	return true;
}

void session_drain(struct session *s)
{
	bool limit_reached = clock_boot_ms() >= s->until_ms;
	bool server_done = server_is_done(s, limit_reached);
	bool client_done = client_is_done(s, limit_reached);

	if (server_done && client_done)
		session_finish(s);
}

void session_discard_input(struct session *s)
{
	ssize_t n = recv(s->client.fd, s->list->tools.scratch, s->list->tools.scratch_size, 0);

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	/* The client has ended or broken its side: there is no more to trip over. */
	(void)session_want(s, &s->client, 0);
	s->to_server.state = PUMP_FINISHED;
	session_drain(s);
}

void session_end(struct session *s, enum close_reason reason)
{
	bool client_gone = reason == CLOSE_CLIENT_RESET;
	bool client_speaks = s->to_server.state != PUMP_FINISHED;

	s->reason = reason;
	s->graceful = reason == CLOSE_CLIENT_DONE || reason == CLOSE_SERVER_DONE;
	s->until_ms = clock_boot_ms() + (client_gone ? DRAIN_LIMIT_RESET_MS : DRAIN_LIMIT_MS);
	if (s->server.fd >= 0 && reason == CLOSE_SERVER_RESET)
		endpoint_close(s, &s->server);
	if (s->client.fd >= 0 && client_gone)
		endpoint_close(s, &s->client);
	if (s->server.fd >= 0)
		(void)session_want(s, &s->server, 0);
	/* A client that has ended its side is closed at once, which says the same. */
	if (s->client.fd >= 0 && client_speaks && !s->client_shut)
		(void)shutdown(s->client.fd, SHUT_WR);
	session_set_state(s, SESSION_DRAINING);
	if (s->client.fd >= 0 && !session_want(s, &s->client, client_speaks ? EV_READ : 0))
		return;
	session_drain(s);
}
