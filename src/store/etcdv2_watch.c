/* Watching a key or a tree of etcd v2: after the read a long poll for the next
 * index, which tells that there is something to read.
 *
 * The history that a poll may begin in has a thousand events of the whole store:
 * one that begins before is refused, and the read follows, too. It also follows a
 * poll that was quiet for long, which may be one that nobody answers any more. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "etcdv2_private.h"
#include "watch_loop.h"

#define MAX_EVENT  ENDPOINTS_MAX_BODY
#define SILENCE_MS 30000

struct v2_watch {
	struct watch_loop loop;
	struct v2_store *store;
	char *path;
	struct http_request *poll; /* NULL: none */
	bool is_accepted;          /* its headers came, which is at once */
	struct strbuf event;
};

static struct v2_watch *as_v2_watch(struct watch_loop *loop)
{
	return CONTAINER_OF(loop, struct v2_watch, loop);
}

static void on_poll_header(const char *name, const char *value, void *arg)
{
	struct v2_watch *w = arg;

	if (w->is_accepted)
		return;
	w->is_accepted = true;
	watch_loop_listens(&w->loop);
	loop_timer_start(&w->loop.timer, SILENCE_MS);
}

static int on_poll_body(int status, const char *data, size_t size, void *arg)
{
	struct v2_watch *w = arg;

	if (w->event.size + size > MAX_EVENT)
		return ERR_TOO_LARGE;
	return strbuf_append(&w->event, data, size);
}

/* What the event says does not matter. */
static bool is_event(const struct strbuf *event)
{
	struct etcdv2_node node;

	if (etcdv2_json_node(event->data, event->size, &node) < 0)
		return false;
	etcdv2_node_deinit(&node);
	return true;
}

static void on_poll_done(int error, const char *text, int status, void *arg)
{
	struct v2_watch *w = arg;
	struct etcdv2_error e;

	w->poll = NULL;
	if (error == 0 && w->event.size == 0) {
		watch_loop_again(&w->loop, "nothing came");
	} else if (error < 0) {
		watch_loop_again(&w->loop, text);
	} else if (is_event(&w->event)) {
		watch_loop_news(&w->loop);
	} else {
		etcdv2_json_error(w->event.data, w->event.size, &e);
		watch_loop_again(&w->loop, e.message);
	}
}

static const struct http_request_ops poll_ops = {
	.header = on_poll_header,
	.body = on_poll_body,
	.done = on_poll_done,
};

static int listen_by_poll(struct watch_loop *loop)
{
	struct v2_watch *w = as_v2_watch(loop);
	struct v2_store *s = w->store;
	struct strbuf path = {0};
	struct http_header account = {"Authorization", s->authorization};

	if (w->poll != NULL && !w->is_accepted)
		return -ETIMEDOUT;
	if (w->poll != NULL) {
		http_request_cancel(&w->poll);
		watch_loop_renew(loop);
		return 0;
	}
	w->is_accepted = false;
	strbuf_clear(&w->event);
	int r = strbuf_printf(&path, "%s?wait=true%s&waitIndex=%" PRIu64, w->path,
			      loop->base.is_tree ? "&recursive=true" : "", loop->revision + 1);
	struct http_call call = {
		.method = "GET",
		.path = path.data,
		.headers = &account,
		.header_count = s->authorization != NULL,
		.timeout_ms = s->timeout_ms + 2 * (int64_t)SILENCE_MS, /* ours come first */
		.streams = true,
		.is_watch = true,
	};
	if (r == 0)
		r = http_client_start(endpoints_client(s->endpoints, loop->endpoint), &call,
				      &poll_ops, w, &w->poll);
	strbuf_deinit(&path);
	loop_timer_start(&loop->timer, s->timeout_ms); /* until it is accepted */
	return r;
}

static void stop_listening(struct watch_loop *loop)
{
	struct v2_watch *w = as_v2_watch(loop);

	http_request_cancel(&w->poll);
}

static const struct watch_loop_ops loop_ops = {
	.listen = listen_by_poll,
	.stop_listening = stop_listening,
};

int v2_watch_start(struct store *store, const struct store_watch *watch,
		   struct store_watch **ret_watch)
{
	struct v2_store *s = CONTAINER_OF(store, struct v2_store, base);
	struct v2_watch *w = calloc(1, sizeof(*w));
	struct store_watch ours = *watch;

	if (w == NULL)
		return -ENOMEM;
	ours.key += strspn(ours.key, "/");
	w->store = s;
	w->path = v2_make_path(ours.key);
	int r = w->path == NULL
			? -ENOMEM
			: watch_loop_init(&w->loop, store, s->loop, s->endpoints, &ours, &loop_ops);
	if (r < 0) {
		free(w->path);
		free(w);
		return r;
	}
	*ret_watch = &w->loop.base;
	return 0;
}

void v2_watch_stop(struct store_watch *watch)
{
	struct watch_loop *loop = CONTAINER_OF(watch, struct watch_loop, base);
	struct v2_watch *w = as_v2_watch(loop);

	watch_loop_deinit(loop);
	strbuf_deinit(&w->event);
	free(w->path);
	free(w);
}
