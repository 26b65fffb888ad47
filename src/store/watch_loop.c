/* Read, listen, again. */
#include "watch_loop.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

/* Listening that went well for so long starts the back-off anew. */
#define STEADY_AFTER_MS 5000
/* Between two turns, lest a store that lies about changes keeps us busy. */
#define SPACING_MS 10
/* After news that were none, as those of other keys in Consul may look like. */
#define NO_NEWS_MS 100
/* Listening that ends sooner without news was none. */
#define HELD_LEAST_MS 1000
/* How long after a read the watch may bring what that has found. */
#define GRACE_MS 200

static void stop_all(struct watch_loop *w)
{
	loop_timer_stop(&w->timer);
	loop_timer_stop(&w->grace);
	w->ops->stop_listening(w);
	w->is_listening = false;
	store_request_cancel(&w->read);
}

/* The first time at once: at most this much of a change may be missed. */
static int64_t next_delay_ms(struct watch_loop *w)
{
	if (w->backoff.failures > 0)
		return backoff_next_ms(&w->backoff);
	w->backoff.failures = 1;
	return 0;
}

void watch_loop_again(struct watch_loop *w, const char *why)
{
	log_debug("store: the watch starts again", log_text("reason", why),
		  log_text("endpoint", endpoints_name(w->endpoints, w->endpoint)));
	if (w->listens_since_ms != 0 && clock_boot_ms() - w->listens_since_ms >= STEADY_AFTER_MS)
		backoff_reset(&w->backoff);
	if (w->is_listening)
		w->failed_endpoint = w->endpoint;
	stop_all(w);
	w->listens_since_ms = 0;
	w->must_read = true;
	w->is_fresh = true;
	loop_timer_start(&w->timer, next_delay_ms(w));
}

static void start_listening(struct watch_loop *w)
{
	w->is_listening = true;
	w->began_ms = clock_boot_ms();
	int r = w->ops->listen(w);
	if (r < 0)
		watch_loop_again(w, err_text(r));
}

/* The one that was read from, unless listening has failed just there. */
static void choose_endpoint(struct watch_loop *w)
{
	size_t count = endpoints_count(w->endpoints);

	w->endpoint = endpoints_current(w->endpoints);
	if (w->endpoint == w->failed_endpoint)
		w->endpoint = (w->endpoint + 1) % count;
}

static void on_read(int error, const char *text, const struct store_listing *listing, void *arg)
{
	struct watch_loop *w = arg;
	struct store_update update = {.is_fresh = w->is_fresh || w->is_doubtful};

	w->read = NULL;
	bool is_new = error == 0 && (w->is_fresh || !listing_is(&w->held, listing));
	if (is_new)
		error = listing_copy(&w->held, listing);
	if (error < 0) {
		watch_loop_again(w, text);
		return;
	}
	update.listing = listing_at(&w->held, listing->revision);
	w->revision = listing->revision;
	w->must_read = false;
	w->is_fresh = false;
	w->is_doubtful = false;
	choose_endpoint(w);
	if (!is_new) {
		loop_timer_start(&w->timer, NO_NEWS_MS);
		return;
	}
	start_listening(w);
	store_watch_tell(&w->base, &update);
}

static void start_read(struct watch_loop *w)
{
	struct store_call call = {.verb = STORE_READ,
				  .key = w->key,
				  .is_tree = w->base.is_tree,
				  .list_cb = on_read,
				  .arg = w};
	int r = w->store->ops->start(w->store, &call, &w->read);

	if (r < 0)
		watch_loop_again(w, err_text(r));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct watch_loop *w = arg;

	if (w->must_read)
		start_read(w);
	else
		start_listening(w);
}

void watch_loop_listens(struct watch_loop *w)
{
	w->listens_since_ms = clock_boot_ms();
}

static int64_t spacing_ms(const struct watch_loop *w)
{
	int64_t took_ms = clock_boot_ms() - w->began_ms;

	return took_ms < SPACING_MS ? SPACING_MS - took_ms : 0;
}

bool watch_loop_was_held(const struct watch_loop *w)
{
	return clock_boot_ms() - w->began_ms >= HELD_LEAST_MS;
}

void watch_loop_go_on(struct watch_loop *w)
{
	w->is_listening = false;
	if (watch_loop_was_held(w))
		backoff_reset(&w->backoff);
	loop_timer_start(&w->timer, next_delay_ms(w));
}

void watch_loop_news(struct watch_loop *w)
{
	backoff_reset(&w->backoff);
	w->is_listening = false;
	w->must_read = true;
	loop_timer_start(&w->timer, spacing_ms(w));
}

void watch_loop_renew(struct watch_loop *w)
{
	w->is_listening = false;
	w->must_read = true;
	w->is_doubtful = true;
	loop_timer_start(&w->timer, 0);
}

void watch_loop_report(struct watch_loop *w, uint64_t revision)
{
	struct store_update update = {.listing = listing_at(&w->held, revision)};

	backoff_reset(&w->backoff);
	w->revision = revision;
	store_watch_tell(&w->base, &update);
}

bool watch_loop_is_of(const struct watch_loop *w, const char *key, bool is_tree)
{
	return w->base.is_tree == is_tree && strcmp(w->key, key) == 0;
}

void watch_loop_note_read(struct watch_loop *w, const struct store_request *request,
			  const struct store_listing *listing)
{
	if (request == w->read || !watch_loop_is_of(w, request->key, request->is_tree) ||
	    w->must_read || listing->revision <= w->revision)
		return;
	if (listing_is(&w->held, listing)) {
		w->revision = listing->revision;
		return;
	}
	if (loop_timer_is_running(&w->grace))
		return;
	w->known_then = w->revision;
	w->missed = 0;
	for (size_t i = 0; i < listing->count; i++) {
		if (w->missed < listing->items[i].mod_revision)
			w->missed = listing->items[i].mod_revision;
	}
	loop_timer_start(&w->grace, GRACE_MS);
}

/* A deletion has no revision in a listing; but what comes comes in order. */
static void on_grace(evutil_socket_t fd, short what, void *arg)
{
	struct watch_loop *w = arg;

	if (!w->must_read && (w->revision == w->known_then || w->revision < w->missed))
		watch_loop_again(w, "it missed a change");
}

int watch_loop_init(struct watch_loop *w, struct store *store, struct loop *loop,
		    struct endpoints *endpoints, const struct store_watch *watch,
		    const struct watch_loop_ops *ops)
{
	w->key = strdup(watch->key);
	if (w->key == NULL)
		return -ENOMEM;
	w->base = *watch;
	w->base.key = w->key;
	w->store = store;
	w->ops = ops;
	w->endpoints = endpoints;
	w->failed_endpoint = endpoints_count(endpoints); /* none */
	w->must_read = true;
	w->is_fresh = true;
	w->held.has_no_bounds = !watch->is_tree;
	w->backoff = (struct backoff){.first_ms = 50, .most_ms = 2000};
	loop_timer_init(&w->timer, loop, on_timer, w);
	loop_timer_init(&w->grace, loop, on_grace, w);
	loop_timer_start(&w->timer, 0);
	store->watch = w;
	return 0;
}

void watch_loop_deinit(struct watch_loop *w)
{
	stop_all(w);
	w->store->watch = NULL;
	listing_deinit(&w->held);
	free(w->key);
}
