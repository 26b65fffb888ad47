/* The life of a session while it connects and moves bytes. How it ends is in
 * session_end.c.
 *
 * Events are level-triggered: what a bounded run leaves behind is reported
 * again in the next turn. Each endpoint waits only for what its pumps want, and
 * that changes only when a receiver is slow. */
#include "session/session.h"

#include <errno.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "routing/balancer.h"
#include "session_private.h"

/* For a standby to be promoted, acknowledged by every proxy and routed: stolon's
 * sentinels take 5 to 25 s. */
#define HOLD_LIMIT_MS 30000
/* Members of the direct port that are tried within the time for a connect. */
#define MOST_IN_TIME 4

static const unsigned allowed_moves[] = {
	[SESSION_CONNECTING] = BIT(SESSION_OPEN) | BIT(SESSION_DRAINING) | BIT(SESSION_CLOSED),
	[SESSION_OPEN] = BIT(SESSION_SETTLED) | BIT(SESSION_HELD) | BIT(SESSION_DRAINING) |
			 BIT(SESSION_CLOSED),
	[SESSION_SETTLED] = BIT(SESSION_HELD) | BIT(SESSION_DRAINING) | BIT(SESSION_CLOSED),
	[SESSION_HELD] = BIT(SESSION_OPEN) | BIT(SESSION_CLOSED),
	[SESSION_DRAINING] = BIT(SESSION_CLOSED),
	[SESSION_CLOSED] = 0,
};

void session_set_state(struct session *s, enum session_state next)
{
	CHECK(allowed_moves[s->state] & BIT(next));
	list_remove(&s->node);
	s->state = next;
	if (next != SESSION_CLOSED)
		list_append(&s->list->by_state[next], &s->node);
	if (next == SESSION_DRAINING || next == SESSION_HELD)
		session_list_start_timer(s->list);
	if (next == SESSION_OPEN)
		session_list_start_settling(s->list);
	if (next == SESSION_SETTLED)
		session_list_start_sweep(s->list);
}

static bool moves_bytes(const struct session *s)
{
	return s->state == SESSION_OPEN || s->state == SESSION_SETTLED;
}

/* The gate of every byte to the server and of every connect. */
static enum pump_gate_answer may_send(void *arg)
{
	struct session *s = arg;

	session_list_refresh(s->list);
	if (moves_bytes(s))
		return PUMP_GATE_OPEN;
	return s->state == SESSION_HELD ? PUMP_GATE_WAITS : PUMP_GATE_SHUT;
}

static bool may_connect(const struct addr *addr, void *arg)
{
	return session_permission(arg, addr, clock_boot_ms()) == PERMISSION_FULL;
}

static void on_client_event(evutil_socket_t fd, short what, void *arg);
static void on_server_event(evutil_socket_t fd, short what, void *arg);

bool session_want(struct session *s, struct endpoint *end, short interest)
{
	if (end->interest == interest)
		return true;
	if (end->interest != 0)
		event_del(&end->event);
	end->interest = 0;
	if (interest == 0)
		return true;
	event_assign(&end->event, s->list->loop->base, end->fd, interest | EV_PERSIST,
		     end == &s->client ? on_client_event : on_server_event, s);
	if (event_add(&end->event, NULL) < 0) {
		session_cut(s, CLOSE_EXHAUSTED);
		return false;
	}
	end->interest = interest;
	return true;
}

static short wanted_events(const struct pump *from, const struct pump *to)
{
	return (short)((pump_wants_read(from) ? EV_READ : 0) |
		       (pump_wants_write(to) ? EV_WRITE : 0));
}

/* Passes ends of stream on, and finds out whether the session is over. */
static void follow_pumps(struct session *s)
{
	bool to_server_done = s->to_server.state == PUMP_FINISHED;
	bool to_client_done = s->to_client.state == PUMP_FINISHED;

	if (to_client_done && s->to_server.state == PUMP_BROKEN) {
		session_end(s, CLOSE_SERVER_RESET);
		return;
	}
	if (to_server_done && to_client_done) {
		session_end(s, s->client_ended_first ? CLOSE_CLIENT_DONE : CLOSE_SERVER_DONE);
		return;
	}
	if (to_server_done && !s->server_shut) {
		s->server_shut = true;
		s->client_ended_first = true;
		(void)shutdown(s->server.fd, SHUT_WR);
	}
	if (to_client_done && !s->client_shut) {
		s->client_shut = true;
		(void)shutdown(s->client.fd, SHUT_WR);
	}
	if (session_want(s, &s->client, wanted_events(&s->to_server, &s->to_client)))
		(void)session_want(s, &s->server, wanted_events(&s->to_client, &s->to_server));
}

static void pump_to_client(struct session *s)
{
	uint64_t before = s->to_client.bytes;
	enum pump_result result =
		pump_run(&s->to_client, s->server.fd, s->client.fd, &s->list->tools, NULL, NULL);

	session_stats_add(&s->list->stats.to_client_bytes, s->to_client.bytes - before);
	switch (result) {
	case PUMP_RAN:
		follow_pumps(s);
		break;
	case PUMP_SOURCE_FAILED:
		session_end(s, CLOSE_SERVER_RESET);
		break;
	case PUMP_SINK_FAILED:
		/* The client is gone, but what it said before still counts. */
		result = pump_run(&s->to_server, s->client.fd, s->server.fd, &s->list->tools,
				  may_send, s);
		if (result == PUMP_NO_MEMORY)
			session_cut(s, CLOSE_EXHAUSTED);
		else if (result != PUMP_NOT_PERMITTED)
			session_end(s, CLOSE_CLIENT_RESET);
		break;
	case PUMP_NOT_PERMITTED:
		break;
	case PUMP_NO_MEMORY:
		session_cut(s, CLOSE_EXHAUSTED);
		break;
	}
}

static void pump_to_server(struct session *s)
{
	uint64_t before = s->to_server.bytes;

	if (s->is_first && pump_wants_read(&s->to_server) && !session_look_at_start(s)) {
		if (moves_bytes(s))
			follow_pumps(s);
		return;
	}
	enum pump_result result =
		pump_run(&s->to_server, s->client.fd, s->server.fd, &s->list->tools, may_send, s);

	session_stats_add(&s->list->stats.to_server_bytes, s->to_server.bytes - before);
	switch (result) {
	case PUMP_RAN:
		follow_pumps(s);
		break;
	case PUMP_SOURCE_FAILED:
		session_end(s, CLOSE_CLIENT_RESET);
		break;
	case PUMP_SINK_FAILED:
		/* The server has closed or reset: what it said before is still to be
		 * read, and comes before its end. */
		pump_to_client(s);
		break;
	case PUMP_NOT_PERMITTED:
		break; /* the gate has cut or stopped it */
	case PUMP_NO_MEMORY:
		session_cut(s, CLOSE_EXHAUSTED);
		break;
	}
}

static void on_client_event(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	if (s->state == SESSION_DRAINING) {
		session_discard_input(s);
		return;
	}
	if ((what & EV_WRITE) && pump_wants_write(&s->to_client))
		pump_to_client(s);
	if ((what & EV_READ) && moves_bytes(s) && pump_wants_read(&s->to_server))
		pump_to_server(s);
}

static void on_server_event(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	if ((what & EV_WRITE) && pump_wants_write(&s->to_server))
		pump_to_server(s);
	if ((what & EV_READ) && moves_bytes(s) && pump_wants_read(&s->to_client))
		pump_to_client(s);
}

void session_hold(struct session *s)
{
	s->until_ms = clock_boot_ms() + HOLD_LIMIT_MS;
	session_set_state(s, SESSION_HELD);
	if (session_want(s, &s->client, 0))
		(void)session_want(s, &s->server, 0);
}

void session_release(struct session *s)
{
	session_set_state(s, SESSION_OPEN);
	follow_pumps(s);
}

static enum close_reason connect_failure(int error)
{
	if (error == ERR_NO_PERMIT)
		return CLOSE_LEADER_CHANGED;
	return err_is_exhaustion(error) ? CLOSE_EXHAUSTED : CLOSE_CONNECT_REFUSED;
}

static void on_connected(int error, int fd, const struct addr *local, void *arg);

/* The rules under which a session may begin now, for the balance. */
static unsigned rules_now(const struct snapshot *snapshot)
{
	int64_t now_ms = clock_boot_ms();

	return BIT(MEMBER_STANDBY) | (now_ms < snapshot->valid_until_ms ? BIT(MEMBER_TIMED) : 0) |
	       (snapshot_is_open(snapshot, now_ms) ? BIT(MEMBER_FENCED) : 0);
}

static const struct member_entry *pick_member(struct session_list *list, uint32_t tried)
{
	return balancer_pick_other(list->snapshot->members, rules_now(list->snapshot), tried,
				   &list->random_state);
}

static void start_connect(struct session *s)
{
	session_count_server(s);
	int r = connector_start(s->list->loop, session_target(s), may_connect, on_connected, s,
				&s->connector);
	if (r < 0) {
		session_uncount_server(s);
		session_end(s, CLOSE_EXHAUSTED);
	}
}

static void take_member(struct session *s, const struct member_entry *entry)
{
	s->is_direct = true;
	s->member = member_ref(entry->member);
	s->rule = entry->rule;
	s->term = s->list->snapshot->term;
	/* One that hangs must leave time for others. */
	size_t count = s->list->snapshot->members->count;
	s->until_ms =
		clock_boot_ms() + s->list->settings->connect_timeout_ms /
					  (int64_t)(count < MOST_IN_TIME ? count : MOST_IN_TIME);
}

/* After a connect that failed, on the direct port: the next member. False if there is
 * none that was not tried; the session is as it was. */
static bool try_next_member(struct session *s)
{
	const struct session_list *list = s->list;

	if (!s->is_direct)
		return false;
	if (!atomic_exchange_explicit(&s->member->failed, true, memory_order_relaxed))
		list->host->member_failed(list->host->arg);
	const struct member_entry *failed = member_set_find(list->snapshot->members, s->member);
	if (failed != NULL)
		s->tried |= UINT32_C(1) << (failed - list->snapshot->members->entries) % 32;
	const struct member_entry *next = pick_member(s->list, s->tried);
	if (next == NULL)
		return false;
	member_unref(&s->member);
	take_member(s, next);
	start_connect(s);
	return true;
}

void session_connect_late(struct session *s)
{
	session_abort_server(s);
	connector_free(&s->connector);
	if (!try_next_member(s))
		session_end(s, CLOSE_CONNECT_TIMEOUT);
}

static void on_connected(int error, int fd, const struct addr *local, void *arg)
{
	struct session *s = arg;
	struct connector *connector = TAKE_PTR(s->connector);

	if (!s->is_direct)
		s->server_index = connector_address(connector);
	if (error < 0) {
		connector_free(&connector);
		session_uncount_server(s);
		if (connect_failure(error) != CLOSE_CONNECT_REFUSED || !try_next_member(s))
			session_end(s, connect_failure(error));
		return;
	}
	if (s->is_direct)
		s->awaited = 0; /* nothing is left to be tried */
	s->server.fd = fd;
	s->server.local_port = addr_port(local);
	session_set_state(s, SESSION_OPEN);
	bool is_waiting = session_want(s, &s->server, EV_READ);
	connector_free(&connector);
	if (!is_waiting || may_send(s) != PUMP_GATE_OPEN)
		return;
	/* The client has usually sent its first packet by now. */
	pump_to_server(s);
}

/* What both ports have in common; whom it leads to is still to be filled in. */
static struct session *session_new(struct session_list *list, int client_fd,
				   const struct addr *client_addr)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		close(client_fd);
		session_stats_add(&list->stats.closed[CLOSE_EXHAUSTED], 1);
		list->host->ended(list->host->arg);
		return NULL;
	}
	s->list = list;
	s->id = list->next_id;
	list->next_id += list->id_step;
	s->state = SESSION_CONNECTING;
	s->started_ms = clock_boot_ms();
	s->until_ms = s->started_ms + list->settings->connect_timeout_ms;
	s->client.fd = client_fd;
	s->client_addr = *client_addr;
	s->server.fd = -1;
	pump_init(&s->to_server);
	pump_init(&s->to_client);
	list_append(&list->by_state[SESSION_CONNECTING], &s->node);
	session_list_start_timer(list);
	session_stats_add(&list->stats.opened, 1);
	return s;
}

void session_start(struct session_list *list, int client_fd, const struct addr *client_addr)
{
	struct session *s = session_new(list, client_fd, client_addr);

	if (s == NULL)
		return;
	s->rule = MEMBER_FENCED;
	s->term = list->snapshot->term;
	s->target = target_ref(list->snapshot->target);
	start_connect(s);
}

static void start_on(struct session_list *list, const struct member_entry *entry, int client_fd,
		     const struct addr *client_addr, bool is_first)
{
	struct session *s = session_new(list, client_fd, client_addr);

	if (s == NULL)
		return;
	s->is_first = is_first;
	if (!is_first)
		s->tried = UINT32_MAX; /* a cancel is for this one: the others have theirs */
	take_member(s, entry);
	start_connect(s);
}

bool session_start_direct(struct session_list *list, int client_fd, const struct addr *client_addr)
{
	const struct member_entry *entry = pick_member(list, 0);

	if (entry == NULL)
		return false;
	start_on(list, entry, client_fd, client_addr, true);
	return true;
}

void session_start_cancel(struct session_list *list, const struct member_entry *entry,
			  int client_fd, const struct addr *client_addr)
{
	if (rules_now(list->snapshot) & BIT(entry->rule)) {
		start_on(list, entry, client_fd, client_addr, false);
		return;
	}
	close(client_fd);
	list->host->ended(list->host->arg);
}
