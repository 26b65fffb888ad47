/* Watching a key or a tree of Consul: after the read a blocking query, which tells
 * that there is something to read.
 *
 * A query that returns proves no change, and one that is quiet proves nothing: each
 * has a deadline a little after the time for which Consul may hold it, and the
 * regular reads find out whether it keeps up. What it brings is not what a majority
 * has agreed on, so it is only looked at for its index; one that goes back is for
 * the read to judge: it may be that Consul has forgotten what was deleted from a tree. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "consul_private.h"
#include "watch_loop.h"

/* Shorter than what balancers in between take for a dead connection. */
#define WAIT_S 30
/* Consul adds up to this, so that not all clients come back at once. */
#define EXTRA_WAIT_MS (WAIT_S * MS_PER_S / 16)

struct consul_watch {
	struct watch_loop loop;
	struct consul_store *store;
	struct endpoints_call *poll; /* NULL: none */
	uint64_t index;              /* the one that it waits to be passed */
};

static struct consul_watch *as_consul_watch(struct watch_loop *loop)
{
	return CONTAINER_OF(loop, struct consul_watch, loop);
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
	if (error == 0 && reply->status != 200 && reply->status != 404) {
		consul_describe(w->store, reply, NULL, said);
		watch_loop_again(&w->loop, said);
		return;
	}
	if (error < 0) {
		watch_loop_again(&w->loop, text);
		return;
	}
	uint64_t index = strtoull(reply->index, NULL, 10);
	if (index > 0 && index < w->index && watch_loop_was_held(&w->loop))
		watch_loop_renew(&w->loop);
	else if (index < w->index)
		watch_loop_again(&w->loop, "the index went back, or there is none");
	else if (index == w->index)
		watch_loop_go_on(&w->loop);
	else
		watch_loop_news(&w->loop); /* though a read may have had them */
}

static const struct endpoints_ops poll_ops = {.is_decisive = is_decisive, .done = on_polled};

static int listen_by_query(struct watch_loop *loop)
{
	struct consul_watch *w = as_consul_watch(loop);
	struct consul_store *s = w->store;
	struct strbuf path = {0};
	char query[80];
	struct http_header token = consul_token_header(s);

	w->index = store_own_revision(loop->revision);
	snprintf(query, sizeof(query), "%sindex=%" PRIu64 "&wait=%ds",
		 loop->base.is_tree ? "recurse&" : "", w->index, WAIT_S);
	int r = consul_make_kv_path(&path, loop->key, query);
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
	if (r == 0)
		r = endpoints_call_start(s->endpoints, &request, &poll_ops, w, &w->poll);
	strbuf_deinit(&path);
	watch_loop_listens(loop);
	return r;
}

static void stop_listening(struct watch_loop *loop)
{
	endpoints_call_cancel(&as_consul_watch(loop)->poll);
}

static const struct watch_loop_ops loop_ops = {
	.listen = listen_by_query,
	.stop_listening = stop_listening,
};

int consul_watch_start(struct store *store, const struct store_watch *watch,
		       struct store_watch **ret_watch)
{
	struct consul_store *s = CONTAINER_OF(store, struct consul_store, base);
	struct consul_watch *w = calloc(1, sizeof(*w));
	struct store_watch ours = *watch;

	if (w == NULL)
		return -ENOMEM;
	ours.key += strspn(ours.key, "/");
	w->store = s;
	int r = watch_loop_init(&w->loop, store, s->loop, s->endpoints, &ours, &loop_ops);
	if (r < 0) {
		free(w);
		return r;
	}
	*ret_watch = &w->loop.base;
	return 0;
}

void consul_watch_stop(struct store_watch *watch)
{
	struct watch_loop *loop = CONTAINER_OF(watch, struct watch_loop, base);

	watch_loop_deinit(loop);
	free(as_consul_watch(loop));
}
