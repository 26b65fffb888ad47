/* Watching one key of etcd v2: read, then a long poll for each next index. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "etcdv2_private.h"
#include "store/backoff.h"

#define MAX_EVENT ENDPOINTS_MAX_BODY

struct v2_watch {
	struct store_watch base;
	struct v2_store *store;
	char *key;
	char *path;
	store_watch_cb *cb;
	void *arg;
	struct store_request *read; /* NULL: none under way */
	struct http_request *poll;  /* NULL: none */
	struct strbuf event;
	uint64_t next_index; /* to wait for; 0: read first */
	size_t endpoint;
	struct loop_timer timer;
	struct backoff backoff;
};

static void watch_again(struct v2_watch *w, bool read_first, const char *why)
{
	log_debug("etcdv2: the watch starts again", log_text("reason", why));
	http_request_cancel(&w->poll);
	store_request_cancel(&w->read);
	strbuf_clear(&w->event);
	if (read_first)
		w->next_index = 0;
	w->endpoint = (w->endpoint + 1) % endpoints_count(w->store->endpoints);
	loop_timer_start(&w->timer, w->backoff.failures == 0 ? 0 : backoff_next_ms(&w->backoff));
	if (w->backoff.failures == 0)
		w->backoff.failures = 1;
}

static void start_poll(struct v2_watch *w);

static void take_event(struct v2_watch *w)
{
	struct etcdv2_node node;
	struct etcdv2_error e;

	if (etcdv2_json_node(w->event.data, w->event.size, &node) < 0) {
		etcdv2_json_error(w->event.data, w->event.size, &e);
		watch_again(w, true, e.message);
		return;
	}
	struct store_value value = {node.present, node.value.data, node.value.size, node.modified};
	w->next_index = node.modified + 1;
	w->backoff.failures = 0;
	strbuf_clear(&w->event);
	w->cb(&value, w->arg);
	etcdv2_node_deinit(&node);
	start_poll(w);
}

static int on_poll_body(int status, const char *data, size_t size, void *arg)
{
	struct v2_watch *w = arg;

	if (w->event.size + size > MAX_EVENT)
		return ERR_TOO_LARGE;
	return strbuf_append(&w->event, data, size);
}

static void on_poll_done(int error, const char *text, int status, void *arg)
{
	struct v2_watch *w = arg;

	w->poll = NULL;
	if (error == 0 && w->event.size > 0)
		take_event(w);
	else
		watch_again(w, false, error < 0 ? text : "nothing came");
}

static const struct http_request_ops poll_ops = {.body = on_poll_body, .done = on_poll_done};

static void start_poll(struct v2_watch *w)
{
	struct v2_store *s = w->store;
	struct strbuf path = {0};
	struct http_header account = {"Authorization", s->authorization};

	int r = strbuf_printf(&path, "%s?wait=true&waitIndex=%" PRIu64, w->path, w->next_index);
	struct http_call call = {
		.method = "GET",
		.path = path.data,
		.headers = &account,
		.header_count = s->authorization != NULL,
		.timeout_ms = s->timeout_ms, /* for the headers, which come at once */
		.streams = true,
		.is_watch = true,
	};
	if (r == 0)
		r = http_client_start(endpoints_client(s->endpoints, w->endpoint), &call, &poll_ops,
				      w, &w->poll);
	strbuf_deinit(&path);
	if (r < 0)
		watch_again(w, false, err_text(r));
}

static void on_watch_read(int error, const char *text, const struct store_value *value, void *arg)
{
	struct v2_watch *w = arg;

	w->read = NULL;
	if (error < 0) {
		watch_again(w, true, text);
		return;
	}
	w->endpoint = endpoints_current(w->store->endpoints);
	w->next_index = value->revision + 1;
	w->cb(value, w->arg);
	if (w->poll == NULL)
		start_poll(w);
}

static void on_watch_timer(evutil_socket_t fd, short what, void *arg)
{
	struct v2_watch *w = arg;

	if (w->next_index != 0)
		start_poll(w);
	else if (v2_get(&w->store->base, w->key, on_watch_read, w, &w->read) < 0)
		watch_again(w, true, err_text(-ENOMEM));
}

bool v2_watch_is_reading(const struct v2_watch *watch, const struct store_request *request)
{
	return watch->read == request;
}

/* A regular read found more than the watch has brought: it is blind. */
void v2_watch_note_read(struct v2_watch *w, uint64_t index, uint64_t modified)
{
	if (w->poll == NULL || modified < w->next_index)
		return;
	w->next_index = index + 1;
	watch_again(w, false, "it missed a change");
}

void v2_watch_stop(struct store_watch *watch)
{
	struct v2_watch *w = CONTAINER_OF(watch, struct v2_watch, base);

	loop_timer_stop(&w->timer);
	http_request_cancel(&w->poll);
	store_request_cancel(&w->read);
	w->store->watch = NULL;
	strbuf_deinit(&w->event);
	free(w->key);
	free(w->path);
	free(w);
}

int v2_watch_start(struct store *store, const char *key, store_watch_cb *cb, void *arg,
		   struct store_watch **ret_watch)
{
	struct v2_store *s = CONTAINER_OF(store, struct v2_store, base);
	struct v2_watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->base.ops = store->ops;
	w->store = s;
	w->cb = cb;
	w->arg = arg;
	w->backoff = (struct backoff){.first_ms = 50, .most_ms = 2000};
	loop_timer_init(&w->timer, s->loop, on_watch_timer, w);
	w->key = strdup(key);
	w->path = v2_make_path(key);
	if (w->key == NULL || w->path == NULL) {
		v2_watch_stop(&w->base);
		return -ENOMEM;
	}
	loop_timer_start(&w->timer, 0);
	s->watch = w;
	*ret_watch = &w->base;
	return 0;
}
