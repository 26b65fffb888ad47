/* Watching a key or a tree of etcd: after the read a stream from the next revision,
 * whose events change what the read has found.
 *
 * Whatever ends a stream (its server, compacted history, a watch that is denied,
 * another cluster) begins again with the read, at another server if there is one.
 * That a stream is quiet proves nothing: the regular reads find out whether it
 * keeps up. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "etcd_private.h"
#include "watch_loop.h"

#define MAX_LINE ENDPOINTS_MAX_BODY

struct etcd_watch {
	struct watch_loop loop;
	struct etcd_store *store;
	struct http_request *stream; /* NULL: none */
	struct strbuf line;          /* a frame that is not complete yet */
};

static struct etcd_watch *as_etcd_watch(struct watch_loop *loop)
{
	return CONTAINER_OF(loop, struct etcd_watch, loop);
}

/* Frames */

static void take_events(struct etcd_watch *w, const struct etcd_kvs *kvs)
{
	struct watch_loop *loop = &w->loop;
	uint64_t revision = loop->revision;

	for (size_t i = 0; i < kvs->count; i++) {
		const struct etcd_kv *kv = &kvs->all[i];
		uint64_t when = etcd_public_revision(w->store, kv->mod_revision);
		if (when < revision)
			continue; /* the past, repeated */
		int r = etcd_apply_kv(w->store, loop->key, loop->base.is_tree, kv, &loop->held);
		if (r < 0) {
			watch_loop_again(loop, listing_error_text(r));
			return;
		}
		revision = when;
		if (w->store->highest < kv->mod_revision)
			w->store->highest = kv->mod_revision;
	}
	/* Of one revision or several: those in between are not told. */
	if (revision > loop->revision)
		watch_loop_report(loop, revision);
}

static void take_frame(struct etcd_watch *w, const struct etcd_frame *f)
{
	switch (f->kind) {
	case ETCD_FRAME_ERROR:
		watch_loop_again(&w->loop, f->error.message);
		return;
	case ETCD_FRAME_CANCELED:
		/* Compacted, or denied: the read sorts out either. */
		watch_loop_again(&w->loop,
				 f->compact_revision > 0 ? "compacted" : f->error.message);
		return;
	case ETCD_FRAME_CREATED:
		loop_timer_stop(&w->loop.timer);
		watch_loop_listens(&w->loop);
		/* Its revision may lag behind: a member serves watches by itself. */
		if (etcd_check_header(w->store, &f->header, 0,
				      endpoints_name(w->store->endpoints, w->loop.endpoint)) < 0)
			watch_loop_again(&w->loop, "another cluster");
		return;
	case ETCD_FRAME_EVENTS:
		take_events(w, &f->kvs);
		return;
	case ETCD_FRAME_PROGRESS:
		return;
	}
}

static void take_line(struct etcd_watch *w, const char *line, size_t size)
{
	struct etcd_frame frame;

	if (size == 0)
		return;
	if (etcd_json_frame(line, size, &frame) < 0) {
		watch_loop_again(&w->loop, "unreadable frame");
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
		size_t length = w->line.size;
		AUTO_FREE char *line = strbuf_take(&w->line);
		take_line(w, line, length);
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
	watch_loop_again(&w->loop, text);
}

static const struct http_request_ops stream_ops = {
	.body = on_stream_body,
	.done = on_stream_done,
};

static int listen_to_stream(struct watch_loop *loop)
{
	struct etcd_watch *w = as_etcd_watch(loop);
	struct etcd_store *s = w->store;
	struct strbuf body = {0};
	char path[ETCD_PATH_SIZE];
	struct http_header headers[] = {
		/* Ends the stream of a server that has lost its quorum. */
		{"Grpc-Metadata-Hasleader", "true"},
		{"Authorization", s->token},
	};

	if (w->stream != NULL)
		return -ETIMEDOUT; /* nothing was created until now */
	int r = etcd_json_make_watch(&body, loop->key, loop->base.is_tree,
				     (int64_t)store_own_revision(loop->revision) + 1);
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
		r = http_client_start(endpoints_client(s->endpoints, loop->endpoint), &call,
				      &stream_ops, w, &w->stream);
	strbuf_deinit(&body);
	loop_timer_start(&loop->timer, s->timeout_ms); /* until "created" */
	return r;
}

static void stop_listening(struct watch_loop *loop)
{
	struct etcd_watch *w = as_etcd_watch(loop);

	http_request_cancel(&w->stream);
	strbuf_clear(&w->line);
}

static const struct watch_loop_ops loop_ops = {
	.listen = listen_to_stream,
	.stop_listening = stop_listening,
};

int etcd_watch_start(struct store *store, const struct store_watch *watch,
		     struct store_watch **ret_watch)
{
	struct etcd_store *s = CONTAINER_OF(store, struct etcd_store, base);
	struct etcd_watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->store = s;
	int r = watch_loop_init(&w->loop, store, s->loop, s->endpoints, watch, &loop_ops);
	if (r < 0) {
		free(w);
		return r;
	}
	*ret_watch = &w->loop.base;
	return 0;
}

void etcd_watch_stop(struct store_watch *watch)
{
	struct watch_loop *loop = CONTAINER_OF(watch, struct watch_loop, base);
	struct etcd_watch *w = as_etcd_watch(loop);

	watch_loop_deinit(loop);
	strbuf_deinit(&w->line);
	free(w);
}
