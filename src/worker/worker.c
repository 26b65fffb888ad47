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
#define MARGIN_LEAST         4
#define RESUME_AFTER_MS      100
#define REFUSED_LOG_EVERY_MS 5000

/* Accepting */

static bool may_accept(void *arg)
{
	struct worker *w = arg;

	return capacity_take(w->capacity);
}

static void on_session_ended(void *arg)
{
	struct worker *w = arg;

	capacity_give_back(w->capacity);
	if (w->paused)
		loop_timer_start(&w->resume, 0); /* a client waits for just this */
}

/* Nobody is routed: the client is closed at once, as by stolon-proxy. */
static void refuse(struct worker *w, int fd)
{
	int64_t now_ms = clock_boot_ms();

	close(fd);
	capacity_give_back(w->capacity);
	session_stats_add(&w->sessions.stats.closed[CLOSE_NO_LEADER], 1);
	w->refused++;
	if (now_ms - w->refused_logged_ms < REFUSED_LOG_EVERY_MS)
		return;
	log_info("clients closed, nobody is routed", log_text("reason", "no-leader"),
		 log_number("count", w->refused));
	w->refused = 0;
	w->refused_logged_ms = now_ms;
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
	struct worker *w = arg;

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

static void serve(struct worker *w, int fd, const struct addr *addr)
{
	session_list_refresh(&w->sessions);
	if (snapshot_is_open(w->sessions.snapshot, clock_boot_ms()))
		session_start(&w->sessions, fd, addr);
	else
		refuse(w, fd);
}

static void on_accepted(int fd, const struct addr *addr, void *arg)
{
	struct worker *w = arg;
	struct worker *chosen = choose_worker(w);

	if (chosen != w && handoff_push(&chosen->handed, fd, addr) == 0)
		wakeup_ring(&chosen->wakeup);
	else
		serve(w, fd, addr);
}

static void serve_handed(struct worker *w)
{
	struct handed *client = handoff_take(&w->handed);

	while (client != NULL) {
		struct handed *next = client->next;
		serve(w, client->fd, &client->addr);
		free(client);
		client = next;
	}
}

static void on_accept_paused(int error, void *arg)
{
	struct worker *w = arg;

	for (size_t i = 0; i < w->listener_count; i++)
		listener_pause(&w->listeners->items[i]);
	loop_timer_start(&w->resume, RESUME_AFTER_MS);
	if (w->paused)
		return;
	w->paused = true;
	capacity_paused(w->capacity, error);
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
	for (size_t i = 0; i < w->listener_count; i++) {
		struct listener *l = &w->listeners->items[i];
		if (listener_resume(l) < 0)
			loop_timer_start(&w->resume, RESUME_AFTER_MS);
		somebody_waits = somebody_waits || listener_has_client(l);
	}
	if (!somebody_waits)
		note_resumed(w);
}

static void listeners_free(struct loop_garbage *garbage)
{
	free(CONTAINER_OF(garbage, struct listeners, garbage));
}

static void stop_listening(struct worker *w)
{
	for (size_t i = 0; i < w->listener_count; i++)
		listener_stop(&w->listeners->items[i]);
	w->listener_count = 0;
	listen_set_unref(&w->listen);
	/* An accepted client may have brought the news: its listener is in use. */
	struct listeners *stopped = TAKE_PTR(w->listeners);
	if (stopped != NULL)
		loop_free_later(&w->loop, &stopped->garbage, listeners_free);
}

static void follow_listen_set(struct worker *w, struct listen_set *set)
{
	if (w->listen == set)
		return;
	stop_listening(w);
	loop_timer_stop(&w->resume);
	note_resumed(w);
	if (set == NULL)
		return;
	w->listeners =
		calloc(1, sizeof(*w->listeners) + listen_set_count(set) * sizeof(struct listener));
	if (w->listeners == NULL)
		return; /* the next snapshot tries again */
	w->listen = listen_set_ref(set);
	for (size_t i = 0; i < listen_set_count(set); i++) {
		int r = listener_start(&w->listeners->items[w->listener_count++], &w->loop,
				       listen_set_fd(set, i, w->index), &accept_ops, w);
		if (r < 0)
			on_accept_paused(r, w);
	}
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
	follow_listen_set(w, next->listen);
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
	stop_listening(w);
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
	w->host = (struct session_host){has_news, adopt, on_session_ended, w};
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

bool worker_is_overdue(const struct worker *worker, int64_t now_ms)
{
	return atomic_load_explicit(&worker->sessions.servers, memory_order_relaxed) > 0 &&
	       now_ms >= atomic_load_explicit(&worker->valid_until_ms, memory_order_relaxed);
}
