/* The etcd v2 backend: stolon's older store, over the keys API.
 *
 * Reads are quorum reads, a watch is a long poll for the next index, expiry is
 * the key's own ttl. As with v3, a put compares the key's index, so that one
 * which is late changes nothing. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/err.h"
#include "etcdv2_private.h"

#define RETRIES_MOST 4

/* Text */

char *v2_make_path(const char *key)
{
	struct strbuf path = {0};
	size_t length = strlen(key);

	while (length > 0 && key[length - 1] == '/')
		length--;
	if (strbuf_printf(&path, "/v2/keys/") < 0 ||
	    url_append_escaped(&path, key, length, "/-_.~") < 0) {
		strbuf_deinit(&path);
		return NULL;
	}
	return strbuf_take(&path);
}

/* Requests */

static void request_free(struct v2_request *r)
{
	endpoints_call_cancel(&r->call);
	list_remove(&r->node);
	strbuf_deinit(&r->body);
	store_request_deinit(&r->base);
	free(r->path);
	free(r);
}

static void finish(struct v2_request *r, int error, const char *text,
		   const struct store_listing *listing)
{
	list_remove(&r->node);
	store_request_tell(&r->base, error, text, listing);
	request_free(r);
}

static void run(struct v2_request *r);

static void fail(struct v2_request *r, const struct endpoints_reply *reply, const char *what)
{
	char text[ENDPOINTS_TEXT_SIZE];

	snprintf(text, sizeof(text), "%s: HTTP %d: %s",
		 endpoints_name(r->store->endpoints, reply->endpoint), reply->status, what);
	finish(r, -EIO, text, NULL);
}

static int list_nodes(const struct v2_request *r, const struct etcdv2_nodes *nodes,
		      struct listing *ret)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < nodes->count; i++) {
		const struct etcdv2_node *n = &nodes->all[i];
		struct store_item item = {
			.key = "",
			.data = n->value.data,
			.size = n->value.size,
			.create_revision = n->created,
			.mod_revision = n->modified,
			.is_held = n->has_ttl,
		};
		if (r->base.is_tree)
			item.key = store_relative_key(n->key.data + 1, r->base.key, true);
		if (item.key != NULL) /* else a key that is called as the folder would be */
			error = listing_put(ret, &item);
	}
	return error;
}

/* index: where the answer tells of none. */
static void finish_read(struct v2_request *r, const struct endpoints_reply *reply,
			const struct etcdv2_nodes *nodes, uint64_t index)
{
	struct listing listing = {.has_no_bounds = !r->base.is_tree};

	if (*reply->index != '\0')
		index = strtoull(reply->index, NULL, 10);
	int error = list_nodes(r, nodes, &listing);
	if (error < 0) {
		fail(r, reply, listing_error_text(error));
	} else {
		struct store_listing found = listing_at(&listing, index);
		finish(r, 0, "", &found);
	}
	listing_deinit(&listing);
}

static void take_node(struct v2_request *r, const struct endpoints_reply *reply,
		      struct etcdv2_node *node)
{
	struct etcdv2_nodes one = {node, node->present, node->modified};

	if (r->looking) {
		r->looking = false;
		r->store->put_index = node->modified;
		run(r);
		return;
	}
	if (r->verb == STORE_READ) {
		finish_read(r, reply, &one, node->modified);
		return;
	}
	r->store->put_index = r->verb == STORE_PUT ? node->modified : 0;
	finish(r, 0, "", NULL);
}

static void take_tree(struct v2_request *r, const struct endpoints_reply *reply)
{
	struct etcdv2_nodes nodes;

	int error = etcdv2_json_nodes(reply->body, reply->size, &nodes);
	if (error < 0) {
		fail(r, reply,
		     error == ERR_TOO_LARGE ? listing_error_text(error)
					    : "the answer is not what etcd sends");
		return;
	}
	/* Without the header (a proxy between?) the keys' own index. */
	finish_read(r, reply, &nodes, nodes.modified);
	etcdv2_nodes_deinit(&nodes);
}

static void take_error(struct v2_request *r, const struct endpoints_reply *reply)
{
	struct etcdv2_error e;
	bool is_missing;

	etcdv2_json_error(reply->body, reply->size, &e);
	is_missing = e.code == ETCDV2_KEY_NOT_FOUND;
	if (is_missing && r->verb == STORE_READ) {
		finish_read(r, reply, &(struct etcdv2_nodes){0}, e.index);
		return;
	}
	if (is_missing && (r->verb == STORE_DELETE || r->looking)) {
		take_node(r, reply, &(struct etcdv2_node){0});
		return;
	}
	bool is_conflict =
		is_missing || e.code == ETCDV2_COMPARE_FAILED || e.code == ETCDV2_NODE_EXISTS;
	if (r->verb == STORE_PUT && is_conflict && r->retries++ < RETRIES_MOST) {
		r->looking = true;
		run(r);
		return;
	}
	fail(r, reply, e.code != 0 ? e.message : "not an answer of etcd");
}

static bool is_decisive(const struct endpoints_reply *reply, void *arg)
{
	if (reply->status == 200 || reply->status == 201)
		return reply->body[0] == '{';
	return reply->status >= 400 && reply->status < 500 && reply->status != 408 &&
	       reply->status != 429;
}

static void on_called(int error, const char *text, const struct endpoints_reply *reply, void *arg)
{
	struct v2_request *r = arg;
	struct etcdv2_node node;

	r->call = NULL;
	if (error < 0) {
		finish(r, error, text, NULL);
	} else if (reply->status >= 400) {
		take_error(r, reply);
	} else if (r->base.is_tree) {
		take_tree(r, reply);
	} else if (etcdv2_json_node(reply->body, reply->size, &node) < 0) {
		fail(r, reply, "the answer is not what etcd sends");
	} else {
		take_node(r, reply, &node);
		etcdv2_node_deinit(&node);
	}
}

static const struct endpoints_ops call_ops = {.is_decisive = is_decisive, .done = on_called};

static const char *method_of(const struct v2_request *r)
{
	if (r->verb == STORE_READ || r->looking)
		return "GET";
	return r->verb == STORE_PUT ? "PUT" : "DELETE";
}

static int make_query(const struct v2_request *r, struct strbuf *path)
{
	if (r->verb == STORE_READ || r->looking)
		return strbuf_printf(path, "%s?quorum=true%s", r->path,
				     r->base.is_tree ? "&recursive=true" : "");
	if (r->verb == STORE_DELETE)
		return strbuf_printf(path, "%s", r->path);
	if (r->store->put_index == 0)
		return strbuf_printf(path, "%s?prevExist=false", r->path);
	return strbuf_printf(path, "%s?prevIndex=%" PRIu64, r->path, r->store->put_index);
}

static void run(struct v2_request *r)
{
	struct v2_store *s = r->store;
	struct strbuf path = {0};
	int64_t left_ms = r->deadline_ms - clock_boot_ms();
	bool has_body = r->verb == STORE_PUT && !r->looking;
	struct http_header headers[2];
	size_t count = 0;

	if (has_body)
		headers[count++] =
			(struct http_header){"Content-Type", "application/x-www-form-urlencoded"};
	if (s->authorization != NULL)
		headers[count++] = (struct http_header){"Authorization", s->authorization};
	int error = make_query(r, &path);
	struct endpoints_request request = {
		.http = {.method = method_of(r),
			 .path = path.data,
			 .headers = headers,
			 .header_count = count,
			 .body = has_body ? r->body.data : NULL,
			 .body_size = r->body.size,
			 .timeout_ms = left_ms > 0 ? left_ms : 0},
		.index_header = "X-Etcd-Index",
		.only = -1,
	};
	if (error == 0)
		error = endpoints_call_start(s->endpoints, &request, &call_ops, r, &r->call);
	strbuf_deinit(&path);
	if (error < 0)
		finish(r, error, err_text(error), NULL);
}

static int make_body(struct v2_request *r, const struct store_call *call)
{
	int error = strbuf_printf(
		&r->body, "ttl=%" PRId64 "&value=", (call->ttl_ms + MS_PER_S - 1) / MS_PER_S);

	return error < 0 ? error : url_append_escaped(&r->body, call->data, call->size, "-_.~");
}

static int v2_start(struct store *store, const struct store_call *call,
		    struct store_request **ret_request)
{
	struct v2_store *s = CONTAINER_OF(store, struct v2_store, base);
	struct v2_request *r = calloc(1, sizeof(*r));
	struct store_call ours = *call;

	if (r == NULL)
		return -ENOMEM;
	ours.key += strspn(ours.key, "/");
	list_init(&r->node);
	r->store = s;
	r->verb = call->verb;
	r->deadline_ms = clock_boot_ms() + s->timeout_ms;
	r->path = v2_make_path(ours.key);
	int error = store_request_init(&r->base, store, &ours);
	if (error == 0 && r->path == NULL)
		error = -ENOMEM;
	if (error == 0 && call->verb == STORE_PUT)
		error = make_body(r, call);
	if (error < 0) {
		request_free(r);
		return error;
	}
	list_append(&s->requests, &r->node);
	*ret_request = &r->base;
	run(r);
	return 0;
}

static void v2_cancel(struct store_request *request)
{
	request_free(CONTAINER_OF(request, struct v2_request, base));
}

/* The store */

static void v2_close(struct store *store)
{
	struct v2_store *s = CONTAINER_OF(store, struct v2_store, base);

	list_for_each_safe (node, &s->requests)
		request_free(CONTAINER_OF(node, struct v2_request, node));
	endpoints_free(&s->endpoints);
	free(s->authorization);
	free(s);
}

static const struct store_ops v2_ops = {
	.close = v2_close,
	.start = v2_start,
	.cancel = v2_cancel,
	.watch_start = v2_watch_start,
	.watch_stop = v2_watch_stop,
};

static int take_account(struct v2_store *s, const struct store_settings *settings)
{
	struct strbuf pair = {0};
	struct strbuf header = {0};
	struct endpoints_account account = endpoints_account(s->endpoints, settings);

	if (account.user == NULL)
		return 0;
	int r = strbuf_printf(&pair, "%s:%s", account.user, account.password);
	if (r == 0)
		r = strbuf_printf(&header, "Basic ");
	if (r == 0)
		r = base64_encode(&header, pair.data, pair.size);
	strbuf_deinit(&pair);
	s->authorization = strbuf_take(&header);
	return r;
}

int etcdv2_store_open(const struct store_settings *settings, struct loop *loop, struct dns *dns,
		      struct store **ret_store, const char **ret_problem)
{
	struct v2_store *s = calloc(1, sizeof(*s));

	*ret_problem = "cannot set up the etcd store";
	if (s == NULL)
		return -ENOMEM;
	s->base.ops = &v2_ops;
	s->loop = loop;
	s->timeout_ms = settings->timeout_ms;
	list_init(&s->requests);
	int error = endpoints_new(loop, dns, settings, 0, &s->endpoints, ret_problem);
	if (error == 0)
		error = take_account(s, settings);
	if (error < 0) {
		v2_close(&s->base);
		return error;
	}
	*ret_store = &s->base;
	return 0;
}
