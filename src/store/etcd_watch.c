/* Watching one key of etcd: read, then stream from the next revision, for ever.
 *
 * A stream that breaks is taken up where it ended, at another server if there is
 * one. Whatever makes that impossible or doubtful (compacted history, a denied
 * or silent watch, another cluster) begins again with the read. That a stream is
 * quiet proves nothing: the regular reads find out whether it keeps up. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "etcd_private.h"
#include "store/backoff.h"

#define STEADY_AFTER_MS 5000
#define MAX_LINE        ENDPOINTS_MAX_BODY

struct etcd_watch {
	struct store_watch base;
	struct etcd_store *store;
	char *key;
	store_watch_cb *cb;
	void *arg;
	struct etcd_request *read;   /* NULL: none under way */
	struct http_request *stream; /* NULL: none */
	bool created;                /* the stream's watch */
	int64_t created_ms;          /* clock_boot_ms() */
	int64_t next_revision;       /* to stream from; 0: read first */
	int64_t seen;                /* mod_revision of the key as last delivered or read */
	size_t endpoint;             /* of the stream */
	struct strbuf line;          /* a frame that is not complete yet */
	struct loop_timer timer;     /* the next try; or the wait for "created" */
	struct backoff backoff;
};

static void start_read(struct etcd_watch *w);
static void start_stream(struct etcd_watch *w);

static void stop_all(struct etcd_watch *w)
{
	loop_timer_stop(&w->timer);
	http_request_cancel(&w->stream);
	if (w->read != NULL)
		etcd_request_free(TAKE_PTR(w->read));
	w->created = false;
	strbuf_clear(&w->line);
}

/* Tries again soon: from where it was, or from the beginning. */
static void start_again(struct etcd_watch *w, bool from_the_beginning, const char *why)
{
	log_debug("etcd: the watch starts again", log_text("reason", why),
		  log_text("endpoint", endpoints_name(w->store->endpoints, w->endpoint)));
	/* One that held for a while starts the back-off anew. */
	if (w->created && clock_boot_ms() - w->created_ms >= STEADY_AFTER_MS)
		backoff_reset(&w->backoff);
	stop_all(w);
	if (from_the_beginning)
		w->next_revision = 0;
	w->endpoint = (w->endpoint + 1) % endpoints_count(w->store->endpoints);
	/* The first time at once: at most this much of a change may be missed. */
	int64_t delay_ms = w->backoff.failures == 0 ? 0 : backoff_next_ms(&w->backoff);
	if (w->backoff.failures == 0)
		w->backoff.failures = 1;
	loop_timer_start(&w->timer, delay_ms);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct etcd_watch *w = arg;

	if (w->stream != NULL && !w->created)
		start_again(w, false, "no answer");
	else if (w->next_revision == 0)
		start_read(w);
	else
		start_stream(w);
}

static void deliver(struct etcd_watch *w, const struct etcd_kv *kv, int64_t revision)
{
	struct store_value value = {kv->present, kv->value.data, kv->value.size,
				    etcd_public_revision(w->store, revision)};

	w->cb(&value, w->arg);
}

/* Frames */

static void take_frame(struct etcd_watch *w, const struct etcd_frame *f)
{
	const char *name = endpoints_name(w->store->endpoints, w->endpoint);

	switch (f->kind) {
	case ETCD_FRAME_ERROR:
		start_again(w, false, f->error.message);
		return;
	case ETCD_FRAME_CANCELED:
		/* Compacted, or denied: the read sorts out either. */
		start_again(w, true, f->compact_revision > 0 ? "compacted" : f->error.message);
		return;
	case ETCD_FRAME_CREATED:
		w->created = true;
		w->created_ms = clock_boot_ms();
		loop_timer_stop(&w->timer);
		/* Its revision may lag behind: a member serves watches by itself. */
		if (etcd_check_header(w->store, &f->header, 0, name) < 0)
			start_again(w, true, "another cluster");
		return;
	case ETCD_FRAME_EVENTS:
		w->backoff.failures = 0;
		w->next_revision = f->kv.mod_revision + 1;
		w->seen = f->kv.mod_revision;
		if (w->store->highest < f->kv.mod_revision)
			w->store->highest = f->kv.mod_revision;
		deliver(w, &f->kv, f->kv.mod_revision);
		return;
	case ETCD_FRAME_PROGRESS:
		w->backoff.failures = 0;
		if (f->header.revision >= w->next_revision)
			w->next_revision = f->header.revision + 1;
		return;
	}
}

static void take_line(struct etcd_watch *w, const char *line, size_t size)
{
	struct etcd_frame frame;

	if (size == 0)
		return;
	if (etcd_json_frame(line, size, &frame) < 0) {
		start_again(w, true, "unreadable frame");
		return;
	}
	take_frame(w, &frame);
	etcd_frame_deinit(&frame);
}

/* Frames end with a newline, and come in pieces of any size. */
static int on_stream_body(int status, const char *data, size_t size, void *arg)
{
	struct etcd_watch *w = arg;
	struct http_request *stream = w->stream;

	while (size > 0) {
		const char *end = memchr(data, '\n', size);
		size_t part = end != NULL ? (size_t)(end - data) : size;

		if (w->line.size + part > MAX_LINE)
			return ERR_TOO_LARGE;
		int r = strbuf_append(&w->line, data, part);
		if (r < 0)
			return r;
		if (end == NULL)
			return 0;
		char *line = w->line.data;
		size_t length = w->line.size;
		strbuf_take(&w->line);
		take_line(w, line, length);
		free(line);
		if (w->stream != stream)
			return 0; /* given up meanwhile */
		data = end + 1;
		size -= part + 1;
	}
	return 0;
}

static void on_stream_done(int error, const char *text, int status, void *arg)
{
	struct etcd_watch *w = arg;
	char line[80];

	w->stream = NULL;
	if (error == 0) {
		snprintf(line, sizeof(line), "the server ended it, HTTP %d", status);
		text = line;
	}
	if (status == 404 && !w->created)
		w->next_revision = 0; /* another gateway: the read finds its prefix */
	start_again(w, false, text);
}

static const struct http_request_ops stream_ops = {
	.body = on_stream_body,
	.done = on_stream_done,
};

static void start_stream(struct etcd_watch *w)
{
	struct etcd_store *s = w->store;
	struct strbuf body = {0};
	char path[ETCD_PATH_SIZE];
	struct http_header headers[] = {
		/* Ends the stream of a server that has lost its quorum. */
		{"Grpc-Metadata-Hasleader", "true"},
		{"Authorization", s->token},
	};

	int r = etcd_json_make_watch(&body, w->key, w->next_revision);
	struct http_call call = {
		.method = "POST",
		.path = etcd_path(s, "/watch", path),
		.headers = headers,
		.header_count = s->token != NULL ? 2 : 1,
		.body = body.data,
		.body_size = body.size,
		.timeout_ms = s->timeout_ms,
		.streams = true,
		.is_watch = true,
	};
	if (r == 0)
		r = http_client_start(endpoints_client(s->endpoints, w->endpoint), &call,
				      &stream_ops, w, &w->stream);
	strbuf_deinit(&body);
	if (r < 0)
		start_again(w, false, err_text(r));
	else
		loop_timer_start(&w->timer, s->timeout_ms); /* until "created" */
}

/* The read */

static void on_read(int error, const char *text, const struct store_value *value, void *arg)
{
	struct etcd_watch *w = arg;
	struct etcd_request *read = TAKE_PTR(w->read);

	if (error < 0) {
		start_again(w, true, text);
		return;
	}
	w->endpoint = endpoints_current(w->store->endpoints);
	w->next_revision = read->header.revision + 1;
	w->seen = read->header.revision;
	w->cb(value, w->arg);
	if (w->stream == NULL && w->read == NULL && w->next_revision > 0)
		start_stream(w);
}

static void start_read(struct etcd_watch *w)
{
	struct etcd_request *read;

	int r = etcd_request_start(w->store, ETCD_GET, w->key, &read);
	if (r < 0) {
		start_again(w, true, err_text(r));
		return;
	}
	read->get_cb = on_read;
	read->arg = w;
	w->read = read;
	etcd_request_run(read);
}

void etcd_watch_note_read(struct etcd_watch *watch, int64_t revision, int64_t mod_revision)
{
	if (!watch->created || mod_revision <= watch->seen)
		return;
	/* The reader has this value now; the watch goes on behind it. */
	watch->next_revision = revision + 1;
	watch->seen = mod_revision;
	start_again(watch, false, "it missed a change");
}

const char *etcd_watch_key(const struct etcd_watch *watch)
{
	return watch->key;
}

void etcd_watch_restart(struct etcd_watch *watch)
{
	start_again(watch, true, "the cluster was replaced");
}

int etcd_watch_start(struct store *store, const char *key, store_watch_cb *cb, void *arg,
		     struct store_watch **ret_watch)
{
	struct etcd_store *s = CONTAINER_OF(store, struct etcd_store, base);
	struct etcd_watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->base.ops = store->ops;
	w->store = s;
	w->cb = cb;
	w->arg = arg;
	w->backoff = (struct backoff){.first_ms = 50, .most_ms = 2000};
	w->key = strdup(key);
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

void etcd_watch_stop(struct store_watch *watch)
{
	struct etcd_watch *w = CONTAINER_OF(watch, struct etcd_watch, base);

	stop_all(w);
	w->store->watch = NULL;
	strbuf_deinit(&w->line);
	free(w->key);
	free(w);
}
