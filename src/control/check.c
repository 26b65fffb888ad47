/* The flow of a check:
 *
 *   source -> policy -> resolve -> handover -> snapshot -> workers
 *     ^                              |   ^ drained          |
 *     |                              |   +------ barrier <--+
 *     +--- acknowledge --------------+
 *
 * A check begins with a read, at the latest one interval after the end of the
 * last; a change that the store reports goes the same way at once, only that it
 * vouches for nothing: the deadline stays where the last good check put it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "control_private.h"

#define INTERVAL_LEAST_MS 100 /* whatever the cluster data says */
#define RETRY_FIRST_MS    100
#define RETRY_MOST_MS     1000
#define REPUBLISH_MS      100

/* To the workers */

static void check_within(struct control *c, int64_t delay_ms);

/* As the view has it; but who has waited for a leader waits until that is open: before
 * its acknowledgement nobody is routed yet. */
static bool holds_new_clients(const struct control *c)
{
	bool opens_soon =
		c->route.target == NULL && (c->handover.wanted.situation == SITUATION_ROUTED ||
					    c->handover.wanted.situation == SITUATION_RESOLVING);

	return (c->view != NULL && view_holds_new_clients(c->view)) ||
	       (c->holds_new_clients && opens_soon);
}

static void publish(struct control *c)
{
	struct listen_set *listen =
		c->phase == CONTROL_RUNNING ? listening_set(c->listening) : NULL;
	struct snapshot *snapshot =
		snapshot_new(c->route.drop_generation, c->route.store_generation, c->route.term,
			     c->route.valid_until_ms, c->route.target, listen);

	if (snapshot == NULL) {
		/* Sessions end at the deadline all the same, and nothing is
		 * acknowledged before the workers have this. */
		loop_timer_start(&c->republish, REPUBLISH_MS);
		return;
	}
	if (c->phase == CONTROL_RUNNING)
		snapshot_set_direct(snapshot, direct_members(c->direct),
				    direct_listen_set(c->direct));
	c->holds_new_clients = holds_new_clients(c);
	snapshot->holds_new_clients = c->holds_new_clients;
	worker_pool_publish(c->workers, snapshot);
	snapshot_unref(&snapshot);
}

static void log_route(const struct handover_route *before, const struct handover_route *now)
{
	char term[24];

	snprintf(term, sizeof(term), "%" PRIu64, now->term);
	if (now->target != NULL && (before->target == NULL || before->term != now->term))
		log_info("routing to the leader", log_stolon("proxying to master address"),
			 log_text("address", now->target->published),
			 log_text("member", now->target->member),
			 log_number("generation", now->store_generation), log_text("term", term));
	else if (now->target == NULL && before->target != NULL)
		log_info("routing to nobody, sessions are cut",
			 log_text("address", before->target->published),
			 log_number("generation", now->store_generation), log_text("term", term));
}

static void on_publish(const struct handover_route *route, void *arg)
{
	struct control *c = arg;

	/* A publish that took longer than the deadline had closed them. Opening them
	 * may publish by itself, this route included: never an older one after it. */
	if (route->target != NULL)
		listening_open(c->listening);
	if (c->route.drop_generation > route->drop_generation)
		return;
	struct handover_route before = c->route;
	c->route = *route;
	c->route.target = target_ref(route->target);
	publish(c);
	log_route(&before, &c->route);
	target_unref(&before.target);
}

void check_on_republish(evutil_socket_t fd, short what, void *arg)
{
	publish(arg);
}

void check_on_ports_changed(void *arg)
{
	struct control *c = arg;

	handover_publish_again(&c->handover);
	check_within(c, 0);
}

/* The deadline */

void check_follow_deadline(struct control *c)
{
	if (c->deadline_ms == c->handover.valid_until_ms)
		return;
	c->deadline_ms = c->handover.valid_until_ms;
	boot_timer_set(&c->deadline, c->deadline_ms);
}

void check_on_deadline(void *arg)
{
	struct control *c = arg;

	log_warn("nobody has confirmed the leader in time", log_stolon("check timeout timer fired"),
		 log_number("timeout_ms", c->handover.proxy_timeout_ns / NS_PER_MS));
	handover_expire(&c->handover, clock_boot_ms());
	if (c->settings->stop_listening && listening_set(c->listening) != NULL) {
		listening_close(c->listening);
		handover_publish_again(&c->handover);
	}
	/* After a suspend the regular read may still be a while off. */
	check_within(c, 0);
}

/* To the store */

static void on_written(int error, const char *text, void *arg)
{
	struct control *c = arg;

	if (error < 0)
		explain_trouble(&c->explain, TROUBLE_STORE_WRITE, text);
	else
		explain_recovered(&c->explain, TROUBLE_STORE_WRITE);
	handover_acknowledged(&c->handover, error == 0, clock_boot_ms());
	check_follow_deadline(c);
	if (c->phase == CONTROL_DRAINING)
		control_withdraw(c);
}

void check_on_write_failed(evutil_socket_t fd, short what, void *arg)
{
	on_written(-ENOMEM, "cannot start the request", arg);
}

static void on_acknowledge(int64_t generation, int64_t proxy_timeout_ns, void *arg)
{
	struct control *c = arg;

	log_debug("acknowledging", log_number("generation", generation));
	c->acknowledged = true;
	int r = source_acknowledge(c->source, generation, proxy_timeout_ns, on_written, c);
	if (r < 0)
		loop_timer_start(&c->write_failed, 0);
}

/* The check */

static int64_t next_check_ms(const struct control *c)
{
	int64_t interval_ms = c->handover.check_interval_ns / NS_PER_MS;
	int64_t retry_ms = RETRY_FIRST_MS;

	if (interval_ms < INTERVAL_LEAST_MS)
		interval_ms = INTERVAL_LEAST_MS;
	if (c->failures == 0)
		return interval_ms;
	for (unsigned i = 1; i < c->failures && retry_ms < RETRY_MOST_MS; i++)
		retry_ms *= 2;
	if (retry_ms > RETRY_MOST_MS)
		retry_ms = RETRY_MOST_MS;
	return retry_ms < interval_ms ? retry_ms : interval_ms;
}

/* Never puts a read off: a change reported by the store does not make the next
 * one late, and what finishes while one is under way may not know its outcome. */
static void check_within(struct control *c, int64_t delay_ms)
{
	int64_t at_ms = clock_boot_ms() + delay_ms;

	if (loop_timer_is_running(&c->check) && c->check_at_ms <= at_ms)
		return;
	c->check_at_ms = at_ms;
	loop_timer_start(&c->check, delay_ms);
}

static void on_check_finished(bool good, void *arg)
{
	struct control *c = arg;

	c->failures = good ? 0 : c->failures + 1;
	if (c->phase == CONTROL_RUNNING)
		check_within(c, next_check_ms(c));
}

void check_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	if (c->phase != CONTROL_RUNNING)
		return; /* the source is stopped */
	int r = source_read(c->source);
	if (r < 0) {
		explain_trouble(&c->explain, TROUBLE_STORE_READ, err_text(r));
		on_check_finished(false, c);
	}
}

/* Finds the leader's addresses; *situation becomes what stands in the way. */
static struct target *find_target(struct control *c, const struct view_member *leader,
				  enum situation *situation, const char **detail)
{
	const struct addr *addrs;
	size_t count;

	int r = resolve_get(c->resolve, leader->listen_address, leader->port, &addrs, &count);
	if (r < 0) {
		*situation = SITUATION_RESOLVING;
		if (r != -EINPROGRESS) {
			*situation = SITUATION_UNRESOLVED;
			*detail = err_text(r);
		}
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		if (listening_is_reached_by(c->listening, &addrs[i]) ||
		    direct_is_reached_by(c->direct, &addrs[i])) {
			*situation = SITUATION_LOOP;
			return NULL;
		}
	}
	struct target *target =
		target_new(leader->uid, leader->listen_address, leader->port, addrs, count);
	if (target == NULL) {
		*situation = SITUATION_UNRESOLVED;
		*detail = err_text(-ENOMEM);
	}
	return target;
}

/* has_news: of the direct port or of holding clients; to be published with what follows. */
static void evaluate(struct control *c, bool has_news)
{
	struct decision d = policy_decide(c->view, c->source->proxy_uid);
	struct target *target = NULL;
	char text[EXPLAIN_TEXT_SIZE];
	const char *detail = view_problem(c->view);
	const char *why = view_status(c->view) == VIEW_OK ? detail : "";

	if (view_status(c->view) == VIEW_BAD_SPEC) {
		snprintf(text, sizeof(text), "clusterdata validation failed: %s", detail);
		detail = text;
	}
	if (d.situation == SITUATION_NO_LEADER)
		detail = view_leader_uid(c->view);
	else if (d.situation == SITUATION_NO_ADDRESS)
		detail = d.leader->uid;
	if (d.situation == SITUATION_ROUTED || d.situation == SITUATION_NOT_ENABLED) {
		enum situation as_enabled = d.situation;

		snprintf(text, sizeof(text), "%s:%s", d.leader->listen_address, d.leader->port);
		detail = text;
		target = find_target(c, d.leader, &as_enabled, &detail);
		d.situation = as_enabled;
	}
	if (d.situation != SITUATION_ROUTED)
		target_unref(&target);
	explain_situation(&c->explain, d.situation, detail, why, c->source->proxy_uid,
			  d.generation);
	handover_decide(&c->handover,
			&(struct handover_input){d.situation, d.generation, d.check_interval_ns,
						 d.proxy_timeout_ns, c->read_sent_ms, target,
						 has_news},
			clock_boot_ms());
	target_unref(&target);
	check_follow_deadline(c);
}

void check_on_resolved(void *arg)
{
	struct control *c = arg;

	if (c->phase == CONTROL_RUNNING && c->view != NULL)
		evaluate(c, false);
}

/* Nobody is led anywhere, nor is anything acknowledged, or the sentinels would enable a
 * proxy that no client can reach. */
static void take_unheard(struct control *c, bool has_news, bool is_read)
{
	handover_expire(&c->handover, clock_boot_ms());
	if (has_news)
		handover_publish_again(&c->handover);
	if (is_read)
		on_check_finished(false, c);
}

static void take_view(struct control *c, const struct watch_update *update)
{
	struct view *before = c->view;
	bool is_read = update->read_sent_ms > 0;

	c->view = view_ref(update->view);
	view_unref(&before);
	c->read_sent_ms = update->read_sent_ms;
	explain_recovered(&c->explain, TROUBLE_DATA);
	bool has_news = direct_take_view(c->direct, c->view) ||
			view_holds_new_clients(c->view) != c->holds_new_clients;
	if (is_read) {
		/* As stolon-proxy: listen once the store has answered, whatever it
		 * said. A watch may speak on while reads are refused. */
		listening_open(c->listening);
		resolve_refresh(c->resolve);
	}
	/* One snapshot has the members and the route of this view: the next leader is not
	 * to be had on the direct port by the route to the one before, and nothing is
	 * acknowledged before the members have been published. */
	if (listening_set(c->listening) != NULL)
		evaluate(c, has_news);
	else
		take_unheard(c, has_news, is_read);
	if (is_read)
		direct_open(c->direct);
	/* What the watch brings moves no deadline, and so no timings either. */
	else if (handover_awaits_timings(&c->handover))
		check_within(c, 0);
}

void check_on_update(const struct watch_update *update, void *arg)
{
	struct control *c = arg;
	bool is_read = update->read_sent_ms > 0;

	if (c->phase != CONTROL_RUNNING)
		return;
	if (is_read && update->outcome != WATCH_UNREACHABLE)
		explain_recovered(&c->explain, TROUBLE_STORE_READ);
	switch (update->outcome) {
	case WATCH_VIEW:
		take_view(c, update);
		return;
	case WATCH_UNREACHABLE:
		explain_trouble(&c->explain, TROUBLE_STORE_READ, update->text);
		break;
	case WATCH_UNDECODABLE:
		explain_trouble(&c->explain, TROUBLE_DATA, update->text);
		view_unref(&c->view); /* no late answer may act on what was there before */
		break;
	}
	handover_expire(&c->handover, clock_boot_ms());
	if (is_read)
		on_check_finished(false, c);
}

void check_on_drained(void *arg)
{
	struct control *c = arg;

	uint64_t drained = worker_pool_drained(c->workers);

	if (drained >= c->handover.drop_generation) {
		listening_closed(c->listening);
		direct_closed(c->direct);
	}
	direct_look_after_members(c->direct);
	handover_drained(&c->handover, drained, clock_boot_ms());
	check_follow_deadline(c);
	if (c->phase == CONTROL_DRAINING)
		control_withdraw(c);
}

const struct handover_ops check_ops = {
	.publish = on_publish,
	.acknowledge = on_acknowledge,
	.finished = on_check_finished,
};
