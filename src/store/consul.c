/* The Consul backend: the store itself, its token, and what an index is worth.
 *
 * The index of a key or tree (X-Consul-Index of a read of it) rises with every change
 * of it. In consistent reads it goes back only when Consul was restored or another
 * one answers: then reads fail until a second one in a row says the same, and
 * from then on the indexes count as a new epoch. (That of a tree also when Consul
 * forgets what was deleted from it, which changes nothing: index_of_state().) */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "consul_private.h"
#include "watch_loop.h"

#define TTL_LEAST_MS 10000 /* Consul's limits for a session */
#define TTL_MOST_MS  (24 * 60 * 60 * MS_PER_S)

/* Indexes */

uint64_t consul_public_revision(const struct consul_store *store, uint64_t index)
{
	return ((uint64_t)store->epoch << STORE_EPOCH_SHIFT) + index;
}

static void log_low_index(uint64_t known, uint64_t now)
{
	char known_text[24];
	char now_text[24];

	snprintf(known_text, sizeof(known_text), "%" PRIu64, known);
	snprintf(now_text, sizeof(now_text), "%" PRIu64, now);
	log_error("consul: an older state than the known one, or another Consul, answers",
		  log_text("known_index", known_text), log_text("index", now_text));
}

int consul_check_index(struct consul_store *store, uint64_t index, uint64_t highest)
{
	if (index >= highest) {
		store->low_index = 0;
		return 0;
	}
	if (store->low_index == 0 || index < store->low_index) {
		log_low_index(highest, index);
		store->low_index = index;
		return ERR_OTHER_STORE;
	}
	log_warn("consul: it stays with that, its state is taken as it is from now on");
	store->low_index = 0;
	store->epoch++;
	/* What is read now counts already; a watch that listens does so elsewhere. */
	if (store->base.watch != NULL) {
		store->base.watch->revision = consul_public_revision(store, index);
		if (store->base.watch->is_listening)
			watch_loop_again(store->base.watch, "the index begins anew");
	}
	return 0;
}

uint64_t consul_highest(const struct consul_store *store, const char *key, bool is_tree)
{
	const struct watch_loop *watch = store->base.watch;

	return watch != NULL && watch_loop_is_of(watch, key, is_tree)
		       ? store_own_revision(watch->revision)
		       : 0;
}

/* Text */

/* Consul's keys have no first slash. */
int consul_make_kv_path(struct strbuf *path, const char *key, const char *query)
{
	int r = strbuf_printf(path, "/v1/kv/");

	if (r == 0)
		r = url_append_escaped(path, key, strlen(key), "/-_.~");
	return r == 0 && query != NULL ? strbuf_printf(path, "?%s", query) : r;
}

int consul_take_kvs(const struct endpoints_reply *reply, struct consul_kvs *ret_kvs,
		    uint64_t *ret_index)
{
	uint64_t index = strtoull(reply->index, NULL, 10);
	bool has_header = index != 0;
	struct consul_kvs kvs = {0};

	/* A 404 without the header is not about a key but of something in between. */
	if (reply->status == 404 && !has_header)
		return ERR_SYNTAX;
	int r = reply->status == 404 ? 0 : consul_json_kvs(reply->body, reply->size, &kvs);
	if (r < 0)
		return r;
	for (size_t i = 0; !has_header && i < kvs.count; i++) {
		if (index < kvs.all[i].index)
			index = kvs.all[i].index;
	}
	if (index == 0 || index != store_own_revision(index)) {
		consul_kvs_deinit(&kvs);
		return ERR_SYNTAX;
	}
	*ret_kvs = kvs;
	*ret_index = index;
	return 0;
}

bool consul_is_denial(const struct endpoints_reply *reply)
{
	return reply->status == 401 || reply->status == 403 ||
	       (reply->status == 409 && strstr(reply->body, "ermission denied") != NULL);
}

/* what: NULL for the answer's body, as far as it can be printed. */
void consul_describe(const struct consul_store *store, const struct endpoints_reply *reply,
		     const char *what, char text[static ENDPOINTS_TEXT_SIZE])
{
	char said[CONSUL_MESSAGE_SIZE];
	size_t length = 0;

	if (what == NULL && reply->status == 409) {
		consul_json_txn_error(reply->body, reply->size, said);
		what = said;
	}
	while (what == NULL && length + 1 < sizeof(said) && reply->body[length] >= ' ' &&
	       reply->body[length] < 0x7f) {
		said[length] = reply->body[length];
		length++;
	}
	if (what == NULL) {
		said[length] = '\0';
		what = said;
	}
	snprintf(text, ENDPOINTS_TEXT_SIZE, "%s: HTTP %d: %s%s",
		 endpoints_name(store->endpoints, reply->endpoint), reply->status, what,
		 consul_is_denial(reply) ? " (see --store-token)" : "");
}

/* The token */

struct http_header consul_token_header(const struct consul_store *store)
{
	return (struct http_header){"X-Consul-Token", store->token};
}

/* It goes into a header: printable, no blanks. */
static bool is_token(const char *text)
{
	for (const char *c = text; *c != '\0'; c++) {
		if (*c <= ' ' || *c >= 0x7f)
			return false;
	}
	return strlen(text) < CONSUL_TOKEN_SIZE;
}

bool consul_reread_token(struct consul_store *store)
{
	char line[CONSUL_TOKEN_SIZE] = "";

	if (store->token_file == NULL)
		return false;
	FILE *file = fopen(store->token_file, "re");
	if (file == NULL)
		return false;
	bool is_read = fgets(line, sizeof(line), file) != NULL;
	fclose(file);
	line[strcspn(line, "\r\n")] = '\0';
	if (!is_read || !is_token(line) || strcmp(line, store->token) == 0)
		return false;
	memcpy(store->token, line, sizeof(line));
	log_info("consul: the token's file holds another one, which is used now");
	return true;
}

/* The options come before what the URL has: there it is the password. */
static int take_token(struct consul_store *s, const struct store_settings *settings,
		      const char **ret_problem)
{
	const char *token = settings->token;

	if (token == NULL)
		token = endpoints_url(s->endpoints, 0)->password;
	if (token == NULL)
		return 0;
	*ret_problem = "the store's token has characters that no token has, or too many";
	if (!is_token(token))
		return ERR_SYNTAX;
	snprintf(s->token, sizeof(s->token), "%s", token);
	return 0;
}

/* The seam */

static int own_key(struct consul_store *s, const char *key)
{
	if (s->owned.key != NULL && strcmp(s->owned.key, key) == 0)
		return 0;
	char *copy = strdup(key);
	if (copy == NULL)
		return -ENOMEM;
	free(s->owned.key);
	s->owned = (struct consul_owned){.key = copy};
	return 0;
}

/* Consul lets a session live for up to twice its TTL. */
static int64_t session_ttl_ms(int64_t ttl_ms)
{
	int64_t half_ms = (ttl_ms + 1) / 2;

	if (half_ms < TTL_LEAST_MS)
		return TTL_LEAST_MS;
	return half_ms > TTL_MOST_MS ? TTL_MOST_MS : half_ms;
}

static int consul_start(struct store *store, const struct store_call *call,
			struct store_request **ret_request)
{
	static const enum consul_kind kinds[] = {[STORE_READ] = CONSUL_READ,
						 [STORE_PUT] = CONSUL_PUT,
						 [STORE_DELETE] = CONSUL_DELETE};
	struct consul_store *s = CONTAINER_OF(store, struct consul_store, base);
	struct store_call ours = *call;
	struct consul_request *r;

	ours.key += strspn(ours.key, "/");
	int error = call->verb == STORE_PUT ? own_key(s, ours.key) : 0;
	if (error == 0)
		error = consul_request_start(s, kinds[call->verb], &ours, &r);
	if (error < 0)
		return error;
	if (call->size > 0)
		error = strbuf_append(&r->data, call->data, call->size);
	if (error < 0) {
		consul_request_free(r);
		return error;
	}
	r->ttl_ms = session_ttl_ms(call->ttl_ms);
	*ret_request = &r->base;
	consul_request_run(r);
	return 0;
}

static void consul_cancel(struct store_request *request)
{
	consul_request_free(CONTAINER_OF(request, struct consul_request, base));
}

static void consul_close(struct store *store)
{
	struct consul_store *s = CONTAINER_OF(store, struct consul_store, base);

	list_for_each_safe (node, &s->requests)
		consul_request_free(CONTAINER_OF(node, struct consul_request, node));
	endpoints_free(&s->endpoints);
	free(s->owned.key);
	free(s->token_file);
	free(s->node);
	free(s);
}

static const struct store_ops consul_ops = {
	.close = consul_close,
	.start = consul_start,
	.cancel = consul_cancel,
	.watch_start = consul_watch_start,
	.watch_stop = consul_watch_stop,
};

static int copy_settings(struct consul_store *s, const struct store_settings *settings)
{
	s->timeout_ms = settings->timeout_ms;
	if (settings->token_file != NULL)
		s->token_file = strdup(settings->token_file);
	if (settings->node != NULL)
		s->node = strdup(settings->node);
	return (settings->token_file != NULL && s->token_file == NULL) ||
			       (settings->node != NULL && s->node == NULL)
		       ? -ENOMEM
		       : 0;
}

int consul_store_open(const struct store_settings *settings, struct loop *loop, struct dns *dns,
		      struct store **ret_store, const char **ret_problem)
{
	struct consul_store *s = calloc(1, sizeof(*s));

	*ret_problem = "cannot set up the consul store";
	if (s == NULL)
		return -ENOMEM;
	s->base.ops = &consul_ops;
	s->loop = loop;
	list_init(&s->requests);
	int error = copy_settings(s, settings);
	if (error == 0)
		error = endpoints_new(loop, dns, settings, 0, &s->endpoints, ret_problem);
	if (error == 0 && endpoints_count(s->endpoints) > 1) {
		*ret_problem = "consul does not support multiple endpoints";
		error = -EINVAL;
	}
	if (error == 0)
		error = take_token(s, settings, ret_problem);
	if (error < 0) {
		consul_close(&s->base);
		return error;
	}
	*ret_store = &s->base;
	return 0;
}
