/* Watching one key of Consul: a consistent read, then blocking queries that each
 * begin where the one before ended, for ever.
 *
 * A query that returns proves no change, and one that is quiet proves nothing:
 * each has a deadline a little after the time for which Consul may hold it, and
 * the regular reads find out whether it keeps up. After an error, or when the
 * index goes down, the watch begins again with the read. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "consul_private.h"
#include "store/backoff.h"

/* Shorter than what balancers in between take for a dead connection. */
#define WAIT_S 30
/* Consul adds up to this, so that not all clients come back at once. */
#define EXTRA_WAIT_MS (WAIT_S * MS_PER_S / 16)
/* Between two queries, lest one that lies about changes keeps us busy. */
#define SPACING_MS 10
/* One that comes back sooner without news was not held at all. */
#define HELD_LEAST_MS 1000

struct consul_watch {
	struct store_watch base;
	struct consul_store *store;
	char *key;
	store_watch_cb *cb;
	void *arg;
	struct consul_request *read; /* NULL: none under way */
	struct endpoints_call *poll; /* NULL: none */
	int64_t poll_sent_ms;
	uint64_t index;   /* to wait for the next one of; 0: read first */
	uint64_t highest; /* seen of the key, by read or watch */
	struct loop_timer timer;
	struct backoff backoff;
};

static void start_read(struct consul_watch *w);
static void start_poll(struct consul_watch *w);

static void stop_all(struct consul_watch *w)
{
	loop_timer_stop(&w->timer);
	endpoints_call_cancel(&w->poll);
	if (w->read != NULL)
		consul_request_free(TAKE_PTR(w->read));
}

static void start_again(struct consul_watch *w, const char *why)
{
	log_debug("consul: the watch starts again", log_text("reason", why));
	stop_all(w);
	w->index = 0;
	/* The first time at once: at most this much of a change may be missed. */
	loop_timer_start(&w->timer, w->backoff.failures == 0 ? 0 : backoff_next_ms(&w->backoff));
	if (w->backoff.failures == 0)
		w->backoff.failures = 1;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct consul_watch *w = arg;

	if (w->index == 0)
		start_read(w);
	else
		start_poll(w);
}

static void note_index(struct consul_watch *w, uint64_t index)
{
	w->index = index;
	if (w->highest < index)
		w->highest = index;
}

/* Blocking queries */

static void take_poll(struct consul_watch *w, const struct endpoints_reply *reply)
{
	int64_t took_ms = clock_boot_ms() - w->poll_sent_ms;
	int64_t delay_ms = took_ms < SPACING_MS ? SPACING_MS - took_ms : 0;
	struct consul_kv kv;
	uint64_t index;

	if (consul_take_kv(reply, &kv, &index) < 0) {
		start_again(w, "unreadable answer");
		return;
	}
	if (index < w->index) {
		start_again(w, "the index went back");
	} else if (index == w->index) {
		if (took_ms >= HELD_LEAST_MS)
			backoff_reset(&w->backoff);
		else
			delay_ms = backoff_next_ms(&w->backoff);
		loop_timer_start(&w->timer, delay_ms);
	} else {
		struct store_value value = {kv.present, kv.value.data, kv.value.size,
					    consul_public_revision(w->store, index)};
		note_index(w, index);
		backoff_reset(&w->backoff);
		loop_timer_start(&w->timer, delay_ms);
		w->cb(&value, w->arg);
	}
	consul_kv_deinit(&kv);
}

static bool is_decisive(const struct endpoints_reply *reply, void *arg)
{
	return true;
}

static void on_polled(int error, const char *text, const struct endpoints_reply *reply, void *arg)
{
	struct consul_watch *w = arg;
	char said[ENDPOINTS_TEXT_SIZE];

	w->poll = NULL;
	if (error == 0 && (reply->status == 200 || reply->status == 404)) {
		take_poll(w, reply);
		return;
	}
	if (error == 0) {
		consul_describe(w->store, reply, NULL, said);
		text = said;
	}
	start_again(w, text);
}

static const struct endpoints_ops poll_ops = {.is_decisive = is_decisive, .done = on_polled};

static void start_poll(struct consul_watch *w)
{
	struct consul_store *s = w->store;
	struct strbuf path = {0};
	char query[80];
	struct http_header token = consul_token_header(s);

	snprintf(query, sizeof(query), "index=%" PRIu64 "&wait=%ds", w->index, WAIT_S);
	int r = consul_make_kv_path(&path, w->key, query);
	struct endpoints_request request = {
		.http = {.method = "GET",
			 .path = path.data,
			 .headers = &token,
			 .header_count = *token.value != '\0',
			 .timeout_ms = WAIT_S * MS_PER_S + EXTRA_WAIT_MS + s->timeout_ms,
			 .is_watch = true},
		.index_header = "X-Consul-Index",
		.only = -1,
	};
	w->poll_sent_ms = clock_boot_ms();
	if (r == 0)
		r = endpoints_call_start(s->endpoints, &request, &poll_ops, w, &w->poll);
	strbuf_deinit(&path);
	if (r < 0)
		start_again(w, err_text(r));
}

/* The read */

static void on_read(int error, const char *text, const struct store_value *value, void *arg)
{
	struct consul_watch *w = arg;

	w->read = NULL;
	if (error < 0) {
		start_again(w, text);
		return;
	}
	/* note_read() has taken the index already. */
	loop_timer_start(&w->timer, 0);
	w->cb(value, w->arg);
}

static void start_read(struct consul_watch *w)
{
	struct consul_request *read;

	int r = consul_request_start(w->store, CONSUL_GET, w->key, &read);
	if (r < 0) {
		start_again(w, err_text(r));
		return;
	}
	read->get_cb = on_read;
	read->arg = w;
	w->read = read;
	consul_request_run(read);
}

uint64_t consul_watch_highest(const struct consul_watch *watch, const char *key)
{
	return strcmp(watch->key, key) == 0 ? watch->highest : 0;
}

static void poll_from(struct consul_watch *w, uint64_t index, const char *why)
{
	log_debug("consul: the watch goes on elsewhere", log_text("reason", why));
	note_index(w, index);
	endpoints_call_cancel(&w->poll);
	loop_timer_start(&w->timer, 0);
}

void consul_watch_note_read(struct consul_watch *watch, const char *key, uint64_t index)
{
	if (strcmp(watch->key, key) != 0 || index <= watch->index)
		return;
	/* The reader has this value now; the watch goes on behind it. */
	if (watch->poll != NULL)
		poll_from(watch, index, "it missed a change");
	else
		note_index(watch, index);
}

void consul_watch_reset(struct consul_watch *watch, uint64_t index)
{
	watch->highest = index;
	watch->index = 0;
	if (watch->poll != NULL)
		poll_from(watch, index, "the index begins anew");
}

int consul_watch_start(struct store *store, const char *key, store_watch_cb *cb, void *arg,
		       struct store_watch **ret_watch)
{
	struct consul_store *s = CONTAINER_OF(store, struct consul_store, base);
	struct consul_watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->base.ops = store->ops;
	w->store = s;
	w->cb = cb;
	w->arg = arg;
	w->backoff = (struct backoff){.first_ms = 50, .most_ms = 2000};
	w->key = strdup(key + strspn(key, "/"));
	if (w->key == NULL) {
		free(w);
		return -ENOMEM;
	}
	loop_timer_init(&w->timer, s->loop, on_timer, w);
	loop_timer_start(&w->timer, 0);
	s->watch = w;
	*ret_watch = &w->base;
	return 0;
}

void consul_watch_stop(struct store_watch *watch)
{
	struct consul_watch *w = CONTAINER_OF(watch, struct consul_watch, base);

	stop_all(w);
	w->store->watch = NULL;
	free(w->key);
	free(w);
}
