/* What crosses: plans to the observer, of which only the newest counts, and news back,
 * none of which is left out. Both are exchanged without a lock. */
#include "control/observer.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/thread.h"
#include "net/wakeup.h"

#define STOP_LIMIT_MS 200
#define HURRY_MS      50
#define MAX_CONNECTS  16
/* A kept connection is replaced by a new one now and then: it would not show that the
 * server takes no more of them. */
#define MAX_AGE_MS 60000

struct planned {
	struct observer_place place;
	char *host; /* owned; what place.host points to */
};

struct plan {
	bool hurry;
	size_t count;
	struct planned places[];
};

/* The observer's own record of a server that it asks. */
struct watched {
	struct list node;
	struct observer *observer;
	uint64_t id;
	struct probe_server *server;
	bool is_planned;
};

struct observer {
	struct observer_settings settings;
	observer_cb *cb;
	void *arg;
	pthread_t thread;
	/* The newest plan that the observer has not taken: exchanged by control with
	 * acq_rel, taken with acquire. */
	_Atomic(struct plan *) plan;
	/* Newest first: pushed with release by the observer, taken whole with acquire. */
	_Atomic(struct observer_news *) news;
	atomic_bool stopping;     /* set by control before it rings */
	struct wakeup to_control; /* on control's loop */
	/* The observer thread's own. */
	struct loop loop;
	struct wakeup from_control;
	struct dns *dns;
	struct tls *tls; /* NULL until somebody is asked over it */
	struct probe *probe;
	struct list watched;
};

/* Observer thread */

static void plan_free(struct plan *plan)
{
	for (size_t i = 0; plan != NULL && i < plan->count; i++)
		free(plan->places[i].host);
	free(plan);
}

static void on_probe(const struct probe_news *news, void *arg)
{
	struct watched *w = arg;
	struct observer *o = w->observer;
	struct observer_news *n = malloc(sizeof(*n));

	if (n == NULL)
		return; /* an answer that never came */
	n->id = w->id;
	n->result = *news->result;
	struct observer_news *before = atomic_load_explicit(&o->news, memory_order_relaxed);
	do
		n->next = before;
	while (!atomic_compare_exchange_weak_explicit(&o->news, &before, n, memory_order_release,
						      memory_order_relaxed));
	/* Behind others that control has not taken yet, it has been rung for those. */
	if (before == NULL)
		wakeup_ring(&o->to_control);
}

static void watched_free(struct watched *w)
{
	if (w == NULL)
		return;
	probe_remove(&w->server);
	list_remove(&w->node);
	free(w);
}

static struct watched *find(struct observer *o, uint64_t id)
{
	list_for_each (node, &o->watched) {
		struct watched *w = CONTAINER_OF(node, struct watched, node);
		if (w->id == id)
			return w;
	}
	return NULL;
}

/* One that cannot be asked for lack of memory is asked with the next plan. */
static void watch_place(struct observer *o, const struct observer_place *place)
{
	struct probe_place where = {.addr = place->addr, .host = place->host, .port = place->port};
	struct watched *w = find(o, place->id);
	int r = 0;

	if (place->is_https && o->tls == NULL)
		r = tls_new(&o->settings.tls, &o->tls);
	if (place->is_https)
		where.tls = o->tls;
	if (r == 0 && w != NULL) {
		w->is_planned = true;
		r = probe_move(w->server, &where);
	} else if (r == 0) {
		w = calloc(1, sizeof(*w));
		if (w == NULL)
			return;
		w->observer = o;
		w->id = place->id;
		w->is_planned = true;
		list_append(&o->watched, &w->node);
		r = probe_add(o->probe, &where, w, &w->server);
	}
	if (r < 0) {
		log_warn("observer: no memory to ask a server");
		watched_free(w);
		return;
	}
	if (place->ask_now)
		probe_ask(w->server);
}

static void follow_plan(struct observer *o, const struct plan *plan)
{
	list_for_each (node, &o->watched)
		CONTAINER_OF(node, struct watched, node)->is_planned = false;
	for (size_t i = 0; i < plan->count; i++)
		watch_place(o, &plan->places[i].place);
	list_for_each_safe (node, &o->watched) {
		struct watched *w = CONTAINER_OF(node, struct watched, node);
		if (!w->is_planned)
			watched_free(w);
	}
	probe_hurry(o->probe, plan->hurry);
}

static void on_control_rang(void *arg)
{
	struct observer *o = arg;
	struct plan *plan = atomic_exchange_explicit(&o->plan, NULL, memory_order_acquire);

	if (plan != NULL)
		follow_plan(o, plan);
	plan_free(plan);
	if (atomic_load(&o->stopping))
		loop_stop(&o->loop);
}

static void *run_observer(void *arg)
{
	struct observer *o = arg;

	int r = loop_run(&o->loop);
	CHECK(r == 0);
	return NULL;
}

/* Control thread */

struct observer_settings observer_settings_of(const struct probing *probing,
					      enum probe_method by_http,
					      const struct dns_settings *dns)
{
	int64_t interval_ms = probing->interval_ms;

	return (struct observer_settings){
		.probe = {.method = probing->kind == PROBE_KIND_HTTP ? by_http : PROBE_BY_SQL,
			  .conninfo = probing->account,
			  .max_age_ms = MAX_AGE_MS,
			  .interval_ms = interval_ms,
			  .hurry_ms = interval_ms < HURRY_MS ? interval_ms : HURRY_MS,
			  .timeout_ms = probing->timeout_ms,
			  .fall = (unsigned)probing->fall,
			  .max_connects = MAX_CONNECTS},
		.tls = probing->tls,
		.dns = *dns,
	};
}

static void on_observer_rang(void *arg)
{
	struct observer *o = arg;
	struct observer_news *newest =
		atomic_exchange_explicit(&o->news, NULL, memory_order_acquire);
	struct observer_news *oldest = NULL;

	while (newest != NULL) {
		struct observer_news *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest != NULL) {
		struct observer_news *next = oldest->next;
		o->cb(oldest, o->arg);
		free(oldest);
		oldest = next;
	}
}

static void observer_free(struct observer *o)
{
	struct observer_news *news = atomic_exchange(&o->news, NULL);

	while (news != NULL) {
		struct observer_news *next = news->next;
		free(news);
		news = next;
	}
	plan_free(atomic_exchange(&o->plan, NULL));
	list_for_each_safe (node, &o->watched)
		watched_free(CONTAINER_OF(node, struct watched, node));
	probe_free(&o->probe);
	tls_free(&o->tls);
	if (o->loop.base != NULL)
		dns_close(&o->dns);
	wakeup_deinit(&o->from_control);
	loop_deinit(&o->loop);
	free(o);
}

static int set_up(struct observer *o)
{
	int r = loop_init(&o->loop);

	if (r == 0)
		r = wakeup_init(&o->from_control, &o->loop, on_control_rang, o);
	if (r == 0)
		r = dns_open(&o->loop, &o->settings.dns, &o->dns);
	o->settings.probe.dns = o->dns;
	if (r == 0)
		r = probe_new(&o->loop, &o->settings.probe, on_probe, &o->probe);
	return r == 0 ? thread_start(&o->thread, "observer", run_observer, o) : r;
}

int observer_start(const struct observer_settings *settings, struct loop *loop, observer_cb *cb,
		   void *arg, struct observer **ret_observer)
{
	struct observer *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return -ENOMEM;
	o->settings = *settings;
	o->cb = cb;
	o->arg = arg;
	o->from_control.fd = -1;
	list_init(&o->watched);
	int r = wakeup_init(&o->to_control, loop, on_observer_rang, o);
	if (r == 0) {
		r = set_up(o);
		if (r < 0)
			wakeup_deinit(&o->to_control);
	}
	if (r < 0)
		observer_free(o);
	else
		*ret_observer = o;
	return r;
}

void observer_stop(struct observer **observer)
{
	struct observer *o = TAKE_PTR(*observer);

	if (o == NULL)
		return;
	atomic_store(&o->stopping, true);
	wakeup_ring(&o->from_control);
	if (!thread_join_within(o->thread, STOP_LIMIT_MS)) {
		/* It may still ring: the descriptor stays, only nobody listens. */
		event_del(&o->to_control.event);
		return;
	}
	wakeup_deinit(&o->to_control);
	observer_free(o);
}

static struct plan *plan_new(const struct observer_place *places, size_t count, bool hurry)
{
	struct plan *plan = calloc(1, sizeof(*plan) + count * sizeof(plan->places[0]));

	if (plan == NULL)
		return NULL;
	plan->hurry = hurry;
	for (size_t i = 0; i < count; i++) {
		struct planned *p = &plan->places[plan->count++];
		p->place = places[i];
		if (places[i].host == NULL)
			continue;
		p->place.host = p->host = strdup(places[i].host);
		if (p->host == NULL) {
			plan_free(plan);
			return NULL;
		}
	}
	return plan;
}

int observer_watch(struct observer *observer, const struct observer_place *places, size_t count,
		   bool hurry)
{
	struct plan *plan = plan_new(places, count, hurry);

	if (plan == NULL)
		return -ENOMEM;
	plan_free(atomic_exchange_explicit(&observer->plan, plan, memory_order_acq_rel));
	wakeup_ring(&observer->from_control);
	return 0;
}
