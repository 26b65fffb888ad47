/* Calls over several servers, each attempt an HTTP request of its own. */
#include "endpoints.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/strbuf.h"

#define MAX_ENDPOINTS    16
#define MAX_HEADERS      4
#define SILENCE_MOST_MS  1000
#define LOOK_AT_FILES_MS 4000 /* certificates that were replaced are used soon after */

struct endpoint {
	struct url url;
	struct http_client *client;
	char name[URL_TEXT_SIZE];
};

struct endpoints {
	struct loop *loop;
	struct tls *tls;             /* NULL: no https among them */
	struct loop_timer tls_files; /* looks whether they have changed */
	struct list calls;
	size_t current;
	size_t count;
	struct endpoint all[MAX_ENDPOINTS];
};

/* One server's turn in a call. */
struct attempt {
	struct endpoints_call *call;
	size_t endpoint;
	struct http_request *request; /* NULL: over */
	struct strbuf body;
	char index[32];
};

struct endpoints_call {
	struct list node;
	struct endpoints *endpoints;
	const struct endpoints_ops *ops;
	void *arg;
	struct http_call http; /* its texts point into `copies` */
	struct http_header headers[MAX_HEADERS];
	char *copies;
	char index_header[40];
	struct loop_timer silence; /* then another server is asked too */
	struct loop_timer deadline;
	int64_t silence_ms;
	size_t first;   /* the server asked first */
	size_t started; /* servers asked, in turn from there */
	size_t limit;   /* servers that may be asked */
	size_t running;
	char text[ENDPOINTS_TEXT_SIZE]; /* what failed so far */
	struct attempt attempts[MAX_ENDPOINTS];
};

static void on_tls_files(evutil_socket_t fd, short what, void *arg)
{
	struct endpoints *e = arg;

	for (size_t i = 0; i < e->count; i++)
		http_client_refresh(e->all[i].client);
	loop_timer_start(&e->tls_files, LOOK_AT_FILES_MS);
}

static int use_tls(struct endpoints *e, struct http_client *client,
		   const struct store_settings *settings)
{
	struct tls_settings tls = {settings->ca_file, settings->cert_file, settings->key_file,
				   settings->skip_tls_verify};
	int r = 0;

	if (e->tls == NULL) {
		r = tls_new(&tls, &e->tls);
		loop_timer_start(&e->tls_files, LOOK_AT_FILES_MS);
	}
	return r < 0 ? r : http_client_use_tls(client, e->tls);
}

static int add_endpoint(struct endpoints *e, struct dns *dns, const char *text, uint16_t port,
			const struct store_settings *settings)
{
	struct endpoint *new = &e->all[e->count];

	int r = url_parse(text, port, &new->url);
	if (r < 0)
		return r;
	e->count++;
	url_format_origin(&new->url, new->name);
	r = http_client_new(e->loop, dns, new->url.host, new->url.port, &new->client);
	if (r == 0 && new->url.is_https)
		r = use_tls(e, new->client, settings);
	return r;
}

int endpoints_new(struct loop *loop, struct dns *dns, const struct store_settings *settings,
		  uint16_t default_port, struct endpoints **ret_endpoints, const char **ret_problem)
{
	struct endpoints *e = calloc(1, sizeof(*e));
	AUTO_FREE char *copy = strdup(settings->endpoints);
	char *rest = copy;
	char *text;
	int r = e == NULL || copy == NULL ? -ENOMEM : 0;

	*ret_problem = "cannot set up the store's endpoints";
	if (r < 0)
		goto fail;
	e->loop = loop;
	list_init(&e->calls);
	loop_timer_init(&e->tls_files, loop, on_tls_files, e);
	while (r == 0 && (text = strsep(&rest, ",")) != NULL) {
		if (e->count == MAX_ENDPOINTS) {
			*ret_problem = "too many store endpoints";
			r = ERR_TOO_LARGE;
		} else if (*text != '\0') {
			*ret_problem = "a store endpoint is not a usable URL";
			r = add_endpoint(e, dns, text, default_port, settings);
		}
	}
	if (r == 0 && e->count == 0)
		r = -EINVAL;
	if (r < 0)
		goto fail;
	*ret_endpoints = e;
	return 0;
fail:
	endpoints_free(&e);
	return r;
}

void endpoints_free(struct endpoints **endpoints)
{
	struct endpoints *e = TAKE_PTR(*endpoints);

	if (e == NULL)
		return;
	if (e->loop != NULL) {
		list_for_each_safe (node, &e->calls) {
			struct endpoints_call *c = CONTAINER_OF(node, struct endpoints_call, node);
			endpoints_call_cancel(&c);
		}
		loop_timer_stop(&e->tls_files);
	}
	for (size_t i = 0; i < e->count; i++) {
		http_client_free(&e->all[i].client);
		url_deinit(&e->all[i].url);
	}
	tls_free(&e->tls);
	free(e);
}

size_t endpoints_count(const struct endpoints *endpoints)
{
	return endpoints->count;
}

const char *endpoints_name(const struct endpoints *endpoints, size_t index)
{
	return endpoints->all[index].name;
}

const struct url *endpoints_url(const struct endpoints *endpoints, size_t index)
{
	return &endpoints->all[index].url;
}

struct http_client *endpoints_client(struct endpoints *endpoints, size_t index)
{
	return endpoints->all[index].client;
}

size_t endpoints_current(const struct endpoints *endpoints)
{
	return endpoints->current;
}

void endpoints_avoid(struct endpoints *endpoints, size_t index)
{
	if (endpoints->current == index)
		endpoints->current = (index + 1) % endpoints->count;
}

struct endpoints_account endpoints_account(const struct endpoints *endpoints,
					   const struct store_settings *settings)
{
	struct endpoints_account account = {settings->user, settings->password};

	for (size_t i = 0; account.user == NULL && i < endpoints->count; i++) {
		account.user = endpoints->all[i].url.user;
		account.password = endpoints->all[i].url.password;
	}
	if (account.password == NULL)
		account.password = "";
	return account;
}

void endpoints_call_cancel(struct endpoints_call **call)
{
	struct endpoints_call *c = TAKE_PTR(*call);

	if (c == NULL)
		return;
	list_remove(&c->node);
	loop_timer_stop(&c->silence);
	loop_timer_stop(&c->deadline);
	for (size_t i = 0; i < c->started; i++) {
		http_request_cancel(&c->attempts[i].request);
		strbuf_deinit(&c->attempts[i].body);
	}
	free(c->copies);
	free(c);
}

/* The reply, if any, points into an attempt: the callback comes before the end
 * of the call's memory, but after its requests are gone. */
static void end_call(struct endpoints_call *c, int error, const struct endpoints_reply *reply)
{
	const struct endpoints_ops *ops = c->ops;
	void *arg = c->arg;

	for (size_t i = 0; i < c->started; i++)
		http_request_cancel(&c->attempts[i].request);
	loop_timer_stop(&c->silence);
	loop_timer_stop(&c->deadline);
	list_remove(&c->node);
	ops->done(error, error < 0 ? c->text : "", reply, arg);
	endpoints_call_cancel(&c);
}

static void note_failure(struct endpoints_call *c, size_t endpoint, const char *text)
{
	size_t used = strlen(c->text);

	snprintf(c->text + used, sizeof(c->text) - used, "%s%s: %s", used > 0 ? "; " : "",
		 c->endpoints->all[endpoint].name, text);
}

static void start_attempt(struct endpoints_call *c);

/* Somebody else, if there is anybody. */
static void go_on(struct endpoints_call *c)
{
	if (c->started < c->limit)
		start_attempt(c);
	else if (c->running == 0)
		loop_timer_start(&c->deadline, 0); /* ends the call, from the loop */
}

static void describe_refusal(const struct endpoints_reply *reply, char *text, size_t size)
{
	int printable = 0;

	while (printable < 160 && (size_t)printable < reply->size &&
	       reply->body[printable] >= ' ' && reply->body[printable] < 0x7f)
		printable++;
	snprintf(text, size, "HTTP %d%s %.*s", reply->status,
		 reply->status == 200 ? ", which is not what was asked for:" : "", printable,
		 reply->body);
}

static void on_attempt_done(int error, const char *text, int status, void *arg)
{
	struct attempt *a = arg;
	struct endpoints_call *c = a->call;
	struct endpoints_reply reply = {status, a->body.data != NULL ? a->body.data : "",
					a->body.size, a->index, a->endpoint};
	char refusal[300];

	a->request = NULL;
	c->running--;
	if (error == 0 && c->ops->is_decisive(&reply, c->arg)) {
		c->endpoints->current = a->endpoint;
		end_call(c, 0, &reply);
		return;
	}
	if (error == 0) {
		describe_refusal(&reply, refusal, sizeof(refusal));
		text = refusal;
	}
	note_failure(c, a->endpoint, text);
	go_on(c);
}

static int on_attempt_body(int status, const char *data, size_t size, void *arg)
{
	struct attempt *a = arg;

	if (a->body.size + size > ENDPOINTS_MAX_BODY)
		return ERR_TOO_LARGE;
	return strbuf_append(&a->body, data, size);
}

static void on_attempt_header(const char *name, const char *value, void *arg)
{
	struct attempt *a = arg;

	if (a->call->index_header[0] != '\0' && strcasecmp(name, a->call->index_header) == 0)
		snprintf(a->index, sizeof(a->index), "%s", value);
}

static const struct http_request_ops attempt_ops = {
	.header = on_attempt_header,
	.body = on_attempt_body,
	.done = on_attempt_done,
};

static void start_attempt(struct endpoints_call *c)
{
	struct attempt *a = &c->attempts[c->started];

	a->call = c;
	a->endpoint = (c->first + c->started) % c->endpoints->count;
	c->started++;
	int r = http_client_start(c->endpoints->all[a->endpoint].client, &c->http, &attempt_ops, a,
				  &a->request);
	if (r < 0) {
		note_failure(c, a->endpoint, err_text(r));
		go_on(c);
		return;
	}
	c->running++;
	if (c->started < c->limit)
		loop_timer_start(&c->silence, c->silence_ms);
}

static void on_silence(evutil_socket_t fd, short what, void *arg)
{
	go_on(arg);
}

static void on_call_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct endpoints_call *c = arg;
	bool silent = c->running > 0;

	for (size_t i = 0; i < c->started; i++) {
		if (c->attempts[i].request != NULL)
			note_failure(c, c->attempts[i].endpoint, "no answer in time");
	}
	end_call(c, silent ? -ETIMEDOUT : -ECONNREFUSED, NULL);
}

/* Moves all texts of the request into one block of the call's own. */
static int copy_request(struct endpoints_call *c, const struct endpoints_request *request)
{
	const struct http_call *from = &request->http;
	struct strbuf copies = {0};
	size_t path = strlen(from->path) + 1;
	int r = strbuf_append(&copies, from->path, path);

	if (from->header_count > MAX_HEADERS)
		return -EINVAL;
	for (size_t i = 0; r == 0 && i < from->header_count; i++) {
		const struct http_header *h = &from->headers[i];
		r = strbuf_append(&copies, h->value, strlen(h->value) + 1);
	}
	if (r == 0 && from->body != NULL)
		r = strbuf_append(&copies, from->body, from->body_size);
	if (r < 0) {
		strbuf_deinit(&copies);
		return r;
	}
	c->copies = strbuf_take(&copies);
	c->http = *from;
	c->http.path = c->copies;
	char *at = c->copies + path;
	for (size_t i = 0; i < from->header_count; i++) {
		c->headers[i] = (struct http_header){from->headers[i].name, at};
		at += strlen(at) + 1;
	}
	c->http.headers = c->headers;
	c->http.body = from->body != NULL ? at : NULL;
	if (request->index_header != NULL)
		snprintf(c->index_header, sizeof(c->index_header), "%s", request->index_header);
	return 0;
}

int endpoints_call_start(struct endpoints *endpoints, const struct endpoints_request *request,
			 const struct endpoints_ops *ops, void *arg,
			 struct endpoints_call **ret_call)
{
	struct endpoints_call *c = calloc(1, sizeof(*c));
	int64_t timeout_ms = request->http.timeout_ms;

	if (c == NULL)
		return -ENOMEM;
	int r = copy_request(c, request);
	if (r < 0) {
		free(c);
		return r;
	}
	c->endpoints = endpoints;
	c->ops = ops;
	c->arg = arg;
	c->first = request->only >= 0 ? (size_t)request->only : endpoints->current;
	c->limit = request->only >= 0 ? 1 : endpoints->count;
	c->silence_ms = timeout_ms / (int64_t)(c->limit + 1);
	if (c->silence_ms > SILENCE_MOST_MS)
		c->silence_ms = SILENCE_MOST_MS;
	list_append(&endpoints->calls, &c->node);
	loop_timer_init(&c->silence, endpoints->loop, on_silence, c);
	loop_timer_init(&c->deadline, endpoints->loop, on_call_deadline, c);
	loop_timer_start(&c->deadline, timeout_ms);
	c->http.timeout_ms = timeout_ms + 1000; /* the call's own deadline comes first */
	start_attempt(c);
	*ret_call = c;
	return 0;
}
