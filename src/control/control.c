/* The flow of a check:
 *
 *   store -> watch -> policy -> resolve -> handover -> snapshot -> workers
 *                                             |  ^ drained          |
 *                                             |  +------ barrier <--+
 *                                             +-> proxy_info -> store
 *
 * A check begins with a read, at the latest one interval after the end of the
 * last; a change that the store reports goes the same way at once, only that it
 * vouches for nothing: the deadline stays where the last good check put it. */
#include "control/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"
#include "cluster/proxy_info.h"
#include "cluster/watch.h"
#include "control/explain.h"
#include "routing/handover.h"
#include "routing/resolve.h"

#define INTERVAL_LEAST_MS 100 /* whatever the cluster data says */
#define RETRY_FIRST_MS    100
#define RETRY_MOST_MS     1000
#define REPUBLISH_MS      100
#define STOP_LIMIT_MS     900 /* for the withdrawal */
#define WORKERS_LIMIT_MS  300 /* for the workers to end */

enum control_phase {
	CONTROL_RUNNING,
	CONTROL_DRAINING,    /* stopping: waiting for the barrier and a publish under way */
	CONTROL_WITHDRAWING, /* stopping: deleting our proxy info */
	CONTROL_STOPPED,
};

struct control {
	const struct control_settings *settings;
	int done_fd;
	pthread_t thread;
	enum control_phase phase;
	struct loop loop;
	struct wakeup drained; /* rung by workers */
	struct wakeup stop;    /* rung by control_stop() */
	struct boot_timer deadline;
	int64_t deadline_ms;            /* for which it was set last */
	struct loop_timer check;        /* the next read */
	int64_t check_at_ms;            /* when that is */
	struct loop_timer republish;    /* a snapshot could not be made */
	struct loop_timer write_failed; /* a publish could not even be started */
	struct loop_timer stop_limit;
	unsigned failures; /* checks in a row */
	struct dns *dns;
	struct store *store;
	struct watch *watch;
	struct proxy_info *proxy_info;
	bool published_info; /* at least tried */
	struct resolve *resolve;
	struct listening *listening;
	struct worker_pool *workers;
	struct handover handover;
	struct handover_route route; /* as published last; holds its target */
	struct explain explain;
	struct view *view;    /* the newest acceptable one */
	int64_t read_sent_ms; /* of view; 0: from the watch */
};

/* To the workers */

static void check_within(struct control *c, int64_t delay_ms);

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

static void on_republish(evutil_socket_t fd, short what, void *arg)
{
	publish(arg);
}

static void on_listening_changed(void *arg)
{
	struct control *c = arg;

	handover_publish_again(&c->handover);
	check_within(c, 0);
}

/* The deadline */

static void follow_deadline(struct control *c)
{
	if (c->deadline_ms == c->handover.valid_until_ms)
		return;
	c->deadline_ms = c->handover.valid_until_ms;
	boot_timer_set(&c->deadline, c->deadline_ms);
}

static void on_deadline(void *arg)
{
	struct control *c = arg;

	log_warn("the store has not confirmed the leader in time",
		 log_stolon("check timeout timer fired"),
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

static void withdraw(struct control *c);

static void on_written(int error, const char *text, void *arg)
{
	struct control *c = arg;

	if (error < 0)
		explain_trouble(&c->explain, TROUBLE_STORE_WRITE, text);
	else
		explain_recovered(&c->explain, TROUBLE_STORE_WRITE);
	handover_acknowledged(&c->handover, error == 0, clock_boot_ms());
	follow_deadline(c);
	if (c->phase == CONTROL_DRAINING)
		withdraw(c);
}

static void on_write_failed(evutil_socket_t fd, short what, void *arg)
{
	on_written(-ENOMEM, "cannot start the request", arg);
}

static void on_acknowledge(int64_t generation, int64_t proxy_timeout_ns, void *arg)
{
	struct control *c = arg;

	log_debug("acknowledging", log_number("generation", generation));
	c->published_info = true;
	int r = proxy_info_write(c->proxy_info, generation, proxy_timeout_ns, on_written, c);
	if (r < 0)
		loop_timer_start(&c->write_failed, 0);
}

/* The check */

static void on_check(evutil_socket_t fd, short what, void *arg);

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

static void on_check(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	int r = watch_read(c->watch);

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
		if (listening_is_reached_by(c->listening, &addrs[i])) {
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

static void evaluate(struct control *c)
{
	struct decision d = policy_decide(c->view, proxy_info_uid(c->proxy_info));
	struct target *target = NULL;
	char text[EXPLAIN_TEXT_SIZE];
	const char *detail = view_problem(c->view);

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
	explain_situation(&c->explain, d.situation, detail, proxy_info_uid(c->proxy_info),
			  d.generation);
	handover_decide(&c->handover,
			&(struct handover_input){d.situation, d.generation, d.check_interval_ns,
						 d.proxy_timeout_ns, c->read_sent_ms, target},
			clock_boot_ms());
	target_unref(&target);
	follow_deadline(c);
}

static void on_resolved(void *arg)
{
	struct control *c = arg;

	if (c->phase == CONTROL_RUNNING && c->view != NULL)
		evaluate(c);
}

static void take_view(struct control *c, const struct watch_update *update)
{
	struct view *before = c->view;

	c->view = view_ref(update->view);
	view_unref(&before);
	c->read_sent_ms = update->read_sent_ms;
	explain_recovered(&c->explain, TROUBLE_DATA);
	if (update->read_sent_ms > 0) {
		/* As stolon-proxy: listen once the store has answered, whatever it
		 * said. A watch may speak on while reads are refused. */
		listening_open(c->listening);
		resolve_refresh(c->resolve);
	}
	if (listening_set(c->listening) == NULL) {
		/* Nor is anything acknowledged, or the sentinels would enable a proxy
		 * that no client can reach. */
		handover_expire(&c->handover, clock_boot_ms());
		if (update->read_sent_ms > 0)
			on_check_finished(false, c);
		return;
	}
	evaluate(c);
	/* What the watch brings moves no deadline, and so no timings either. */
	if (update->read_sent_ms == 0 && handover_awaits_timings(&c->handover))
		check_within(c, 0);
}

static void on_update(const struct watch_update *update, void *arg)
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

static void on_drained(void *arg)
{
	struct control *c = arg;

	uint64_t drained = worker_pool_drained(c->workers);

	if (drained >= c->handover.drop_generation)
		listening_closed(c->listening);
	handover_drained(&c->handover, drained, clock_boot_ms());
	follow_deadline(c);
	if (c->phase == CONTROL_DRAINING)
		withdraw(c);
}

/* The end */

static void finish_stop(struct control *c)
{
	c->phase = CONTROL_STOPPED;
	loop_stop(&c->loop);
}

static void on_withdrawn(int error, const char *text, void *arg)
{
	if (error < 0)
		log_warn("cannot withdraw our proxy info, it expires by itself",
			 log_text("error", text));
	finish_stop(arg);
}

/* Without a proxy info the sentinels do not wait for this proxy any more, so it
 * may go only once every session is aborted, and after the last write of it. */
static void withdraw(struct control *c)
{
	if (c->handover.step == HANDOVER_WRITING ||
	    worker_pool_drained(c->workers) < c->handover.drop_generation)
		return;
	c->phase = CONTROL_WITHDRAWING;
	if (!c->published_info)
		finish_stop(c);
	else if (proxy_info_delete(c->proxy_info, on_withdrawn, c) < 0)
		on_withdrawn(-ENOMEM, err_text(-ENOMEM), c);
}

static void on_stop_limit(evutil_socket_t fd, short what, void *arg)
{
	log_warn("the store takes too long, our proxy info expires by itself");
	finish_stop(arg);
}

static void on_stop(void *arg)
{
	struct control *c = arg;

	if (c->phase != CONTROL_RUNNING)
		return;
	c->phase = CONTROL_DRAINING;
	loop_timer_start(&c->stop_limit, STOP_LIMIT_MS);
	loop_timer_stop(&c->check);
	boot_timer_clear(&c->deadline);
	watch_stop(&c->watch);
	listening_close(c->listening);
	worker_pool_say_goodbye(c->workers);
	handover_shut(&c->handover, clock_boot_ms());
	withdraw(c);
}

static void *run_control(void *arg)
{
	struct control *c = arg;

	int r = loop_run(&c->loop);
	CHECK(r == 0);
	(void)!write(c->done_fd, &(uint64_t){1}, sizeof(uint64_t));
	return NULL;
}

/* The start */

static void control_free(struct control *c)
{
	/* A worker that hangs may still use everything it was given. */
	if (!worker_pool_stop(&c->workers, WORKERS_LIMIT_MS))
		return;
	watch_stop(&c->watch);
	proxy_info_free(&c->proxy_info);
	resolve_free(&c->resolve);
	listening_free(&c->listening);
	store_close(&c->store);
	if (c->loop.base != NULL) {
		dns_close(&c->dns);
		loop_timer_stop(&c->check);
		loop_timer_stop(&c->republish);
		loop_timer_stop(&c->write_failed);
		loop_timer_stop(&c->stop_limit);
	}
	handover_deinit(&c->handover);
	target_unref(&c->route.target);
	view_unref(&c->view);
	boot_timer_deinit(&c->deadline);
	wakeup_deinit(&c->stop);
	wakeup_deinit(&c->drained);
	loop_deinit(&c->loop);
	free(c);
}

static const struct handover_ops handover_ops = {
	.publish = on_publish,
	.acknowledge = on_acknowledge,
	.finished = on_check_finished,
};

static int init_loop(struct control *c)
{
	int r = loop_init(&c->loop);

	if (r < 0)
		return r;
	loop_timer_init(&c->check, &c->loop, on_check, c);
	loop_timer_init(&c->republish, &c->loop, on_republish, c);
	loop_timer_init(&c->write_failed, &c->loop, on_write_failed, c);
	loop_timer_init(&c->stop_limit, &c->loop, on_stop_limit, c);
	r = wakeup_init(&c->drained, &c->loop, on_drained, c);
	if (r == 0)
		r = wakeup_init(&c->stop, &c->loop, on_stop, c);
	if (r == 0)
		r = boot_timer_init(&c->deadline, &c->loop, on_deadline, c);
	return r;
}

/* PREFIX/CLUSTER as Go's path.Join makes it: no empty parts. */
static char *join_key(const char *prefix, const char *name)
{
	char *key = malloc(strlen(prefix) + strlen(name) + 2);
	char *end = key;

	if (key == NULL)
		return NULL;
	for (const char *part = prefix; part != NULL; part = part == prefix ? name : NULL) {
		if (end > key)
			*end++ = '/';
		for (const char *p = part; *p != '\0'; p++) {
			if (*p != '/' || end == key || end[-1] != '/')
				*end++ = *p;
		}
		while (end > key + 1 && end[-1] == '/')
			end--;
	}
	*end = '\0';
	return key;
}

static int init_cluster(struct control *c, const char **ret_problem)
{
	const struct control_settings *s = c->settings;
	AUTO_FREE char *directory = join_key(s->store_prefix, s->cluster_name);
	AUTO_FREE char *key = directory == NULL ? NULL : join_key(directory, "clusterdata");

	if (key == NULL)
		return -ENOMEM;
	int r = store_open(&s->store, &c->loop, c->dns, &c->store, ret_problem);
	if (r == 0)
		r = proxy_info_new(c->store, directory, &c->proxy_info);
	if (r < 0)
		return r;
	*ret_problem = "cannot watch the cluster data: bad cluster name or prefix";
	return watch_start(c->store, key, on_update, c, &c->watch);
}

int control_start(const struct control_settings *settings, int done_fd,
		  struct control **ret_control, const char **ret_problem)
{
	struct control *c = calloc(1, sizeof(*c));

	*ret_problem = "cannot set up the control thread";
	if (c == NULL)
		return -ENOMEM;
	c->settings = settings;
	c->done_fd = done_fd;
	c->drained.fd = c->stop.fd = c->deadline.fd = -1;
	int r = init_loop(c);
	if (r < 0)
		goto fail;
	explain_init(&c->explain);
	handover_init(&c->handover, &handover_ops, c, clock_boot_ms());
	follow_deadline(c);
	r = dns_open(&c->loop, &c->dns);
	if (r == 0)
		r = resolve_new(c->dns, settings->store.timeout_ms, on_resolved, c, &c->resolve);
	if (r == 0)
		r = listening_new(&settings->listening, c->dns, settings->workers.workers,
				  settings->store.timeout_ms, on_listening_changed, c,
				  &c->listening);
	if (r == 0)
		r = init_cluster(c, ret_problem);
	if (r < 0)
		goto fail;
	*ret_problem = "cannot start the workers";
	r = worker_pool_start(&settings->workers, &c->drained, &c->workers);
	if (r == 0) {
		log_info("proxy uid", log_text("uid", proxy_info_uid(c->proxy_info)));
		loop_timer_start(&c->check, 0);
		r = thread_start(&c->thread, "control", run_control, c);
	}
	if (r < 0)
		goto fail;
	*ret_control = c;
	return 0;
fail:
	control_free(c);
	return r;
}

void control_stop(struct control *control)
{
	wakeup_ring(&control->stop);
}

void control_join(struct control **control)
{
	struct control *c = TAKE_PTR(*control);

	pthread_join(c->thread, NULL);
	control_free(c);
}
