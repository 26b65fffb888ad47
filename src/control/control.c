/* The control thread's start and end: it sets up the modules, hands check.c their
 * events, and at the end sees to the order of cut, barrier and withdrawal. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"
#include "control_private.h"

#define STOP_LIMIT_MS    900 /* for the withdrawal */
#define WORKERS_LIMIT_MS 300 /* for the workers to end */

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
void control_withdraw(struct control *c)
{
	if (c->handover.step == HANDOVER_WRITING ||
	    worker_pool_drained(c->workers) < c->handover.drop_generation)
		return;
	c->phase = CONTROL_WITHDRAWING;
	if (!c->acknowledged)
		finish_stop(c);
	else if (source_withdraw(c->source, on_withdrawn, c) < 0)
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
	source_stop(c->source);
	listening_close(c->listening);
	direct_close(c->direct);
	worker_pool_say_goodbye(c->workers);
	handover_shut(&c->handover, clock_boot_ms());
	control_withdraw(c);
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
	resolve_free(&c->resolve);
	direct_free(&c->direct);
	listening_free(&c->listening);
	source_free(&c->source);
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

static int init_loop(struct control *c)
{
	int r = loop_init(&c->loop);

	if (r < 0)
		return r;
	loop_timer_init(&c->check, &c->loop, check_on_timer, c);
	loop_timer_init(&c->republish, &c->loop, check_on_republish, c);
	loop_timer_init(&c->write_failed, &c->loop, check_on_write_failed, c);
	loop_timer_init(&c->stop_limit, &c->loop, on_stop_limit, c);
	r = wakeup_init(&c->drained, &c->loop, check_on_drained, c);
	if (r == 0)
		r = wakeup_init(&c->stop, &c->loop, on_stop, c);
	if (r == 0)
		r = boot_timer_init(&c->deadline, &c->loop, check_on_deadline, c);
	return r;
}

static int new_source(struct control *c, const char **ret_problem)
{
	const struct control_settings *s = c->settings;

	if (s->members.count > 0)
		return source_members_new(&s->members, &c->loop, c->dns, &s->dns, check_on_update,
					  c, &c->source, ret_problem);
	if (s->format == CLUSTER_FORMAT_PATRONI)
		return source_patroni_new(&s->patroni, &c->loop, c->dns, &s->dns, check_on_update,
					  c, &c->source, ret_problem);
	return source_stolon_new(&s->stolon, &c->loop, c->dns, check_on_update, c, &c->source,
				 ret_problem);
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
	handover_init(&c->handover, &check_ops, c, clock_boot_ms());
	check_follow_deadline(c);
	r = dns_open(&c->loop, &settings->dns, &c->dns);
	if (r == 0)
		r = resolve_new(c->dns, settings->stolon.store.timeout_ms, check_on_resolved, c,
				&c->resolve);
	if (r == 0)
		r = listening_new(&settings->listening, c->dns, settings->workers.workers,
				  settings->stolon.store.timeout_ms, check_on_ports_changed, c,
				  &c->listening);
	if (r == 0 && settings->direct.target != DIRECT_OFF)
		r = direct_new(&settings->direct, &c->loop, c->dns, c->listening,
			       settings->workers.workers, check_on_ports_changed, c, &c->direct);
	if (r == 0)
		r = new_source(c, ret_problem);
	if (r < 0)
		goto fail;
	*ret_problem = "cannot start the workers";
	r = worker_pool_start(&settings->workers, &c->drained, &c->workers);
	if (r == 0) {
		if (*c->source->proxy_uid != '\0')
			log_info("proxy uid", log_text("uid", c->source->proxy_uid));
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
