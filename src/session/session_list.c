/* The sessions of a worker as a whole: adopting snapshots, cutting, time-outs. */
#include "session/session_list.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "session_private.h"

#define TICK_MS 20
/* How often it looks for peers that have vanished with bytes on their way. */
#define SWEEP_MS 5000
/* Keepalive takes three system calls, which short sessions do without. */
#define SETTLE_MS 500
/* Both take a microsecond a socket, so they let others run after so many sessions. */
#define AT_ONCE 256
#define STEP_MS 5
/* Session lines a second, at the default level; the rest is counted. */
#define LOG_LINES_PER_SECOND 50

static void on_tick(evutil_socket_t fd, short what, void *arg);
static void on_settle(evutil_socket_t fd, short what, void *arg);
static void on_sweep(evutil_socket_t fd, short what, void *arg);

int session_list_init(struct session_list *list, struct loop *loop,
		      const struct session_settings *settings, const struct session_host *host,
		      uint32_t first_id, uint32_t id_step)
{
	*list = (struct session_list){
		.loop = loop,
		.settings = settings,
		.host = host,
		.next_id = first_id,
		.id_step = id_step,
		.random_state = first_id * UINT64_C(0x9e3779b97f4a7c15),
	};
	for (int i = 0; i < SESSION_CLOSED; i++)
		list_init(&list->by_state[i]);
	list_init(&list->dead);
	int r = pump_tools_init(&list->tools, settings->splice);
	if (r < 0)
		return r;
	loop_timer_init(&list->timer, loop, on_tick, list);
	loop_timer_init(&list->settle, loop, on_settle, list);
	loop_timer_init(&list->sweep, loop, on_sweep, list);
	return 0;
}

void session_list_deinit(struct session_list *list)
{
	if (list->tools.scratch == NULL)
		return;
	/* What is left has no server, only a client that has not confirmed all:
	 * its kernel and ours see to that by themselves. */
	list_for_each_safe (node, &list->by_state[SESSION_DRAINING]) {
		struct session *s = CONTAINER_OF(node, struct session, node);
		s->until_ms = 0;
		session_drain(s);
	}
	loop_timer_stop(&list->timer);
	loop_timer_stop(&list->settle);
	loop_timer_stop(&list->sweep);
	snapshot_unref(&list->snapshot);
	pump_tools_deinit(&list->tools);
}

/* Only this thread writes: no locked instruction is needed. */
static void add(atomic_int *count, int n)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static bool obeys_time(enum member_rule rule)
{
	return rule == MEMBER_FENCED || rule == MEMBER_TIMED;
}

void session_count_server(struct session *s)
{
	if (s->counted)
		return;
	s->counted = true;
	add(&s->list->servers, 1);
	add(&s->list->fenced, obeys_time(s->rule));
	if (s->is_direct)
		atomic_fetch_add_explicit(&s->member->sessions, 1, memory_order_relaxed);
}

void session_uncount_server(struct session *s)
{
	if (!s->counted)
		return;
	s->counted = false;
	add(&s->list->servers, -1);
	add(&s->list->fenced, -obeys_time(s->rule));
	if (s->is_direct)
		atomic_fetch_sub_explicit(&s->member->sessions, 1, memory_order_relaxed);
}

void session_obey(struct session *s, enum member_rule rule)
{
	if (rule == MEMBER_FENCED && s->rule != MEMBER_FENCED)
		s->term = s->list->snapshot->term;
	if (s->counted)
		add(&s->list->fenced, obeys_time(rule) - obeys_time(s->rule));
	s->rule = rule;
}

bool session_list_may_log(struct session_list *list, unsigned *ret_skipped)
{
	int64_t second = clock_boot_ms() / MS_PER_S;

	if (second != list->log_second) {
		list->log_second = second;
		list->log_lines = 0;
	}
	if (list->log_lines >= LOG_LINES_PER_SECOND && !log_enabled(LOG_LEVEL_DEBUG)) {
		list->log_skipped++;
		return false;
	}
	list->log_lines++;
	*ret_skipped = list->log_skipped;
	list->log_skipped = 0;
	return true;
}

static void free_dead(struct loop_garbage *garbage)
{
	struct session_list *list = CONTAINER_OF(garbage, struct session_list, garbage);
	struct list *node;

	while ((node = list_first(&list->dead)) != NULL) {
		list_remove(node);
		free(CONTAINER_OF(node, struct session, node));
	}
}

void session_list_bury(struct session *s)
{
	struct session_list *list = s->list;

	if (list_is_empty(&list->dead))
		loop_free_later(list->loop, &list->garbage, free_dead);
	list_append(&list->dead, &s->node);
}

/* Time-outs and draining */

void session_list_start_timer(struct session_list *list)
{
	if (!loop_timer_is_running(&list->timer))
		loop_timer_start(&list->timer, TICK_MS);
}

static void end_late_connects(struct session_list *list, int64_t now_ms)
{
	list_for_each_safe (node, &list->by_state[SESSION_CONNECTING]) {
		struct session *s = CONTAINER_OF(node, struct session, node);
		if (now_ms >= s->until_ms)
			session_connect_late(s);
	}
}

/* A promotion that comes to nothing must not keep clients for ever. */
static void end_late_holds(struct session_list *list, int64_t now_ms)
{
	list_for_each_safe (node, &list->by_state[SESSION_HELD]) {
		struct session *s = CONTAINER_OF(node, struct session, node);
		if (now_ms < s->until_ms)
			return; /* they are in the order of their ends */
		session_cut(s, CLOSE_MEMBER_CHANGED);
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct session_list *list = arg;

	int64_t now_ms = clock_boot_ms();

	end_late_connects(list, now_ms);
	end_late_holds(list, now_ms);
	list_for_each_safe (node, &list->by_state[SESSION_DRAINING])
		session_drain(CONTAINER_OF(node, struct session, node));
	if (!list_is_empty(&list->by_state[SESSION_CONNECTING]) ||
	    !list_is_empty(&list->by_state[SESSION_HELD]) ||
	    !list_is_empty(&list->by_state[SESSION_DRAINING]))
		session_list_start_timer(list);
}

/* Peers that have vanished: keepalive finds them while nothing is on its way to
 * them, but with bytes unconfirmed the kernel sends those again for a quarter of an
 * hour. Its TCP_USER_TIMEOUT would end slow readers, too. */

void session_list_start_settling(struct session_list *list)
{
	if (!loop_timer_is_running(&list->settle))
		loop_timer_start(&list->settle, SETTLE_MS);
}

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct session_list *list = arg;
	struct list *node = list_first(&list->by_state[SESSION_OPEN]);

	for (int i = 0; i < AT_ONCE && node != NULL; i++) {
		struct session *s = CONTAINER_OF(node, struct session, node);
		sock_set_keepalive(s->server.fd, &list->settings->server_keepalive);
		session_set_state(s, SESSION_SETTLED);
		node = list_first(&list->by_state[SESSION_OPEN]);
	}
	if (node != NULL)
		loop_timer_start(&list->settle, STEP_MS);
}

void session_list_start_sweep(struct session_list *list)
{
	if (!loop_timer_is_running(&list->sweep))
		loop_timer_start(&list->sweep, SWEEP_MS);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct session_list *list = arg;

	int all = atomic_load_explicit(&list->servers, memory_order_relaxed);

	for (int i = 0; i < AT_ONCE && list->swept < all; i++, list->swept++) {
		struct list *node = list_first(&list->by_state[SESSION_SETTLED]);
		if (node == NULL)
			break;
		struct session *s = CONTAINER_OF(node, struct session, node);
		list_remove(node); /* the next one is first then */
		list_append(&list->by_state[SESSION_SETTLED], node);
		if (sock_peer_is_lost(s->server.fd))
			session_end(s, CLOSE_SERVER_RESET);
		else if (sock_peer_is_lost(s->client.fd))
			session_end(s, CLOSE_CLIENT_RESET);
	}
	bool is_done = list->swept >= all;
	if (is_done)
		list->swept = 0;
	if (!list_is_empty(&list->by_state[SESSION_SETTLED]))
		loop_timer_start(&list->sweep, is_done ? SWEEP_MS : STEP_MS);
}

/* Cutting */

static enum close_reason reason_of_cut(const struct session_list *list, const struct session *s,
				       int64_t now_ms)
{
	const struct snapshot *now = list->snapshot;

	if (list->shutting_down)
		return CLOSE_SHUTDOWN;
	if (obeys_time(s->rule) && now_ms >= now->valid_until_ms)
		return CLOSE_DEADLINE;
	if (s->is_direct && s->rule != MEMBER_FENCED)
		return CLOSE_MEMBER_CHANGED;
	/* The members follow the data a moment before the route does. */
	if (now->target == NULL || now->term != s->term ||
	    (s->is_direct && target_has_addr(now->target, session_server_addr(s))))
		return CLOSE_LEADER_CHANGED;
	return s->is_direct ? CLOSE_MEMBER_CHANGED : CLOSE_ADDRESS_GONE;
}

enum permission session_permission(const struct session *s, const struct addr *server,
				   int64_t now_ms)
{
	const struct snapshot *now = s->list->snapshot;

	if (s->is_direct)
		return snapshot_permits_member(now, s->member, s->rule, s->term, now_ms);
	return snapshot_permits(now, s->term, server, now_ms) ? PERMISSION_FULL : PERMISSION_NONE;
}

/* Takes over what the snapshot says of a session. False: it is to be cut. */
static bool review(struct session *s, int64_t now_ms)
{
	switch (session_permission(s, session_server_addr(s), now_ms)) {
	case PERMISSION_FULL:
		if (s->is_direct)
			session_obey(s,
				     member_set_find(s->list->snapshot->members, s->member)->rule);
		return true;
	case PERMISSION_WAIT:
		session_obey(s, MEMBER_HELD);
		s->list->holds = true;
		return s->state != SESSION_CONNECTING && s->state != SESSION_DRAINING;
	case PERMISSION_NONE:
		break;
	}
	return false;
}

static unsigned abort_forbidden(struct session_list *list, struct list *cut)
{
	int64_t now_ms = clock_boot_ms();
	unsigned count = 0;

	for (int state = 0; state < SESSION_CLOSED; state++) {
		list_for_each_safe (node, &list->by_state[state]) {
			struct session *s = CONTAINER_OF(node, struct session, node);
			if (!s->counted || review(s, now_ms))
				continue;
			session_abort_server(s);
			s->reason = reason_of_cut(list, s, now_ms);
			list_remove(&s->node);
			list_append(cut, &s->node);
			count++;
		}
	}
	return count;
}

unsigned session_list_adopt(struct session_list *list, struct snapshot *snapshot, struct list *cut)
{
	snapshot_unref(&list->snapshot);
	list->snapshot = snapshot_ref(snapshot);
	list_init(cut);
	return abort_forbidden(list, cut);
}

/* Brings the state of sessions in line with the rule that they obey since the review;
 * after the cuts, since going on may end a session. */
static void hold_and_release(struct session_list *list)
{
	list_for_each_safe (node, &list->by_state[SESSION_HELD]) {
		struct session *s = CONTAINER_OF(node, struct session, node);
		if (s->rule != MEMBER_HELD)
			session_release(s);
	}
	if (!list->holds)
		return;
	list->holds = false;
	for (int state = SESSION_OPEN; state <= SESSION_SETTLED; state++) {
		list_for_each_safe (node, &list->by_state[state]) {
			struct session *s = CONTAINER_OF(node, struct session, node);
			if (s->rule == MEMBER_HELD)
				session_hold(s);
		}
	}
}

void session_list_finish_cut(struct session_list *list, struct list *cut)
{
	/* The clients' sides together as well, before the log and the rest. */
	list_for_each (node, cut) {
		struct session *s = CONTAINER_OF(node, struct session, node);
		if (s->client.fd >= 0) {
			sock_abort_on_close(s->client.fd);
			close_fd(&s->client.fd);
		}
	}
	list_for_each_safe (node, cut) {
		struct session *s = CONTAINER_OF(node, struct session, node);
		if (s->client.interest != 0)
			event_del(&s->client.event);
		s->client.interest = 0;
		session_cut(s, s->reason);
	}
	hold_and_release(list);
}

void session_list_refresh(struct session_list *list)
{
	struct list cut;

	if (list->host->has_news(list->host->arg))
		list->host->adopt(list->host->arg);
	if (clock_boot_ms() < list->snapshot->valid_until_ms ||
	    atomic_load_explicit(&list->fenced, memory_order_relaxed) == 0)
		return;
	list_init(&cut);
	unsigned count = abort_forbidden(list, &cut);
	session_list_finish_cut(list, &cut);
	if (count > 0)
		log_warn("worker: nobody has confirmed the leader in time, sessions cut",
			 log_number("count", count));
}
