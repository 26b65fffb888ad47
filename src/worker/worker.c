/* The worker's thread: adopts snapshots, accepts, and hands clients to sessions. */
#include "worker/worker.h"

#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "session/session.h"

/* Sessions more than another worker has, before clients are passed on to it. */
#define MARGIN_LEAST    4
#define RESUME_AFTER_MS 100

/* Accepting */

static bool may_accept(void *arg)
{
	struct port *p = arg;

	return capacity_take(p->worker->capacity);
}

static bool takes_one_more(void *arg)
{
	struct worker *w = arg;

	return capacity_take(w->capacity);
}

static void on_member_failed(void *arg)
{
	struct worker *w = arg;

	wakeup_ring(w->barrier->control);
}

static void on_session_ended(void *arg)
{
	struct worker *w = arg;

	capacity_give_back(w->capacity);
	if (w->paused)
		loop_timer_start(&w->resume, 0); /* a client waits for just this */
}

/* There is nobody to lead the client to. */
static void refuse(struct port *p, int fd)
{
	port_refuse(p, fd, &p->worker->sessions.stats);
	capacity_give_back(p->worker->capacity);
}

/* The pause is over only when nobody waits any more: until then each session that
 * ends lets one client in, and the next one waits again. */
static void note_resumed(struct worker *w)
{
	if (!w->paused)
		return;
	w->paused = false;
	capacity_resumed(w->capacity);
}

static void accept_unused(int error, void *arg)
{
	struct port *p = arg;
	struct worker *w = p->worker;

	capacity_give_back(w->capacity);
	if (error == -EAGAIN)
		note_resumed(w);
}

static int load_of(const struct worker *w)
{
	return atomic_load_explicit(&w->sessions.servers, memory_order_relaxed);
}

/* The worker that is to serve a new client: this one, unless it has clearly more
 * sessions than another. One that has not even taken the last client it was handed
 * gets no more: it may hang. */
static struct worker *choose_worker(struct worker *w)
{
	struct worker *least = w;
	int own = load_of(w);

	for (unsigned i = 0; i < w->crew_size; i++) {
		if (load_of(&w->crew[i]) < load_of(least) && handoff_is_empty(&w->crew[i].handed))
			least = &w->crew[i];
	}
	int margin = own / 8 > MARGIN_LEAST ? own / 8 : MARGIN_LEAST;
	return own - load_of(least) >= margin ? least : w;
}

static void serve(struct port *p, int fd, const struct addr *addr)
{
	struct session_list *sessions = &p->worker->sessions;

	session_list_refresh(sessions);
	if (p->kind == PORT_DIRECT) {
		if (!session_start_direct(sessions, fd, addr))
			refuse(p, fd);
	} else if (snapshot_is_open(sessions->snapshot, clock_boot_ms())) {
		session_start(sessions, fd, addr);
	} else {
		refuse(p, fd);
	}
}

static void on_accepted(int fd, const struct addr *addr, void *arg)
{
	struct port *p = arg;
	struct worker *w = p->worker;
	struct worker *chosen = choose_worker(w);

	if (chosen != w && handoff_push(&chosen->handed, fd, p->kind, addr) == 0)
		wakeup_ring(&chosen->wakeup);
	else
		serve(p, fd, addr);
}

static void serve_handed(struct worker *w)
{
	struct handed *client = handoff_take(&w->handed);

	while (client != NULL) {
		struct handed *next = client->next;
		serve(&w->ports[client->port], client->fd, &client->addr);
		free(client);
		client = next;
	}
}

/* Every port: what is short is short for all. */
static void pause_accepting(struct worker *w, int error)
{
	for (int i = 0; i < PORT_COUNT; i++)
		port_pause(&w->ports[i]);
	loop_timer_start(&w->resume, RESUME_AFTER_MS);
	if (w->paused)
		return;
	w->paused = true;
	capacity_paused(w->capacity, error);
}

static void on_accept_paused(int error, void *arg)
{
	struct port *p = arg;

	pause_accepting(p->worker, error);
}

static const struct listener_ops accept_ops = {
	.may_accept = may_accept,
	.unused = accept_unused,
	.accepted = on_accepted,
	.paused = on_accept_paused,
};

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	if (!capacity_take(w->capacity)) {
		loop_timer_start(&w->resume, RESUME_AFTER_MS);
		return;
	}
	capacity_give_back(w->capacity);
	bool somebody_waits = false;
	for (int i = 0; i < PORT_COUNT; i++) {
		if (port_resume(&w->ports[i], &somebody_waits) < 0)
			loop_timer_start(&w->resume, RESUME_AFTER_MS);
	}
	if (!somebody_waits)
		note_resumed(w);
}

static void follow(struct worker *w, enum port_kind kind, struct listen_set *set, bool hold)
{
	int r = port_follow(&w->ports[kind], set, w->index);

	if (r == 0)
		r = port_hold(&w->ports[kind], hold);
	if (r < 0)
		pause_accepting(w, r);
}

/* Snapshots */

static bool has_news(void *arg)
{
	struct worker *w = arg;

	return atomic_load_explicit(&w->inbox, memory_order_relaxed) != NULL;
}

/* Adopts the newest snapshot: aborts what it forbids, tells the barrier, and
 * only then does the rest. */
static void adopt(void *arg)
{
	struct worker *w = arg;
	struct list cut;
	struct snapshot *next = atomic_exchange_explicit(&w->inbox, NULL, memory_order_acquire);

	if (next == NULL)
		return;
	int64_t began_ms = clock_boot_ms();
	w->sessions.shutting_down = atomic_load(&w->ending);
	unsigned count = session_list_adopt(&w->sessions, next, &cut);
	atomic_store_explicit(&w->valid_until_ms, next->valid_until_ms, memory_order_relaxed);
	drop_barrier_mark(w->barrier, w->index, next->drop_generation);
	session_list_finish_cut(&w->sessions, &cut);
	boot_timer_set(&w->deadline, next->valid_until_ms);
	follow(w, PORT_LEADER, next->listen, next->holds_new_clients);
	follow(w, PORT_DIRECT, next->direct_listen, false);
	if (count > 0)
		log_info("worker: sessions cut", log_number("worker", w->index),
			 log_number("count", count),
			 log_number("generation", next->store_generation),
			 log_number("ms", clock_boot_ms() - began_ms));
	snapshot_unref(&next);
}

static void on_deadline(void *arg)
{
	struct worker *w = arg;

	session_list_refresh(&w->sessions);
}

static void on_wakeup(void *arg)
{
	struct worker *w = arg;

	adopt(w);
	serve_handed(w);
	if (atomic_load(&w->stopping))
		loop_stop(&w->loop);
}

static void *run_worker(void *arg)
{
	struct worker *w = arg;

	int r = loop_run(&w->loop);
	CHECK(r == 0); /* else sessions would live on with nobody to cut them */
	return NULL;
}

static void worker_free(struct worker *w)
{
	struct snapshot *unread = atomic_exchange(&w->inbox, NULL);

	snapshot_unref(&unread);
	for (struct handed *client = handoff_take(&w->handed); client != NULL;) {
		struct handed *next = client->next;
		close(client->fd);
		free(client);
		client = next;
	}
	for (int i = 0; i < PORT_COUNT; i++)
		port_deinit(&w->ports[i]);
	if (w->loop.base != NULL)
		loop_timer_stop(&w->resume);
	session_list_deinit(&w->sessions);
	boot_timer_deinit(&w->deadline);
	wakeup_deinit(&w->wakeup);
	loop_deinit(&w->loop);
}

int worker_start(struct worker *crew, unsigned index, unsigned crew_size,
		 const struct session_settings *settings, struct drop_barrier *barrier,
		 struct capacity *capacity)
{
	struct worker *w = &crew[index];
	char name[16];
	/* Closed, until the first snapshot is published. */
	struct snapshot *closed = snapshot_new(0, 0, 0, 0, NULL, NULL);
	struct list nothing;

	*w = (struct worker){.index = index,
			     .crew = crew,
			     .crew_size = crew_size,
			     .barrier = barrier,
			     .capacity = capacity};
	for (int i = 0; i < PORT_COUNT; i++)
		port_init(&w->ports[i], (enum port_kind)i, w, &w->loop, &accept_ops);
	w->host = (struct session_host){.has_news = has_news,
					.adopt = adopt,
					.takes_one_more = takes_one_more,
					.ended = on_session_ended,
					.member_failed = on_member_failed,
					.arg = w};
	w->wakeup.fd = -1;
	w->deadline.fd = -1;
	int r = closed == NULL ? -ENOMEM : loop_init(&w->loop);
	if (r < 0)
		goto fail;
	loop_timer_init(&w->resume, &w->loop, on_resume, w);
	r = wakeup_init(&w->wakeup, &w->loop, on_wakeup, w);
	if (r == 0)
		r = boot_timer_init(&w->deadline, &w->loop, on_deadline, w);
	if (r == 0)
		r = session_list_init(&w->sessions, &w->loop, settings, &w->host, index + 1,
				      crew_size);
	if (r < 0)
		goto fail;
	(void)!session_list_adopt(&w->sessions, closed, &nothing);
	snapshot_unref(&closed);
	snprintf(name, sizeof(name), "worker-%u", index);
	r = thread_start(&w->thread, name, run_worker, w);
	if (r == 0)
		return 0;
fail:
	snapshot_unref(&closed);
	worker_free(w);
	return r;
}

void worker_publish(struct worker *worker, struct snapshot *snapshot)
{
	/* The inbox holds one reference; what it held was never adopted. */
	struct snapshot *old = atomic_exchange_explicit(&worker->inbox, snapshot_ref(snapshot),
							memory_order_acq_rel);

	snapshot_unref(&old);
	wakeup_ring(&worker->wakeup);
}

void worker_stop(struct worker *worker)
{
	atomic_store(&worker->stopping, true);
	wakeup_ring(&worker->wakeup);
}

bool worker_join(struct worker *worker, int timeout_ms)
{
	if (!thread_join_within(worker->thread, timeout_ms))
		return false;
	worker_free(worker);
	return true;
}

bool worker_is_behind(const struct worker *worker)
{
	return atomic_load_explicit(&worker->inbox, memory_order_relaxed) != NULL;
}

int64_t worker_missed_deadline(const struct worker *worker, int64_t now_ms)
{
	int64_t deadline_ms = atomic_load_explicit(&worker->valid_until_ms, memory_order_relaxed);

	if (now_ms < deadline_ms ||
	    atomic_load_explicit(&worker->sessions.fenced, memory_order_relaxed) == 0)
		return 0;
	return deadline_ms;
}
