/* Requests and their connections.
 *
 * A request takes an idle connection or makes one: RESOLVING, CONNECTING (which
 * with TLS includes the handshake), then WAITING until the answer is complete.
 * Its one timer is the deadline. */
#include "net/http_client.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "http_connection.h"
#include "net/http_parser.h"
#include "net/sock.h"

#define READ_AT_ONCE  (256 * 1024)
#define MAX_ADDRESSES 16

/* A store's host that goes silent must be noticed on a quiet watch as well. */
static const struct keepalive_settings keepalive = {.idle_s = 5, .interval_s = 2, .count = 3};

enum request_state {
	REQUEST_RESOLVING,
	REQUEST_CONNECTING,
	REQUEST_WAITING,
	REQUEST_OVER,
};

struct http_client {
	struct loop *loop;
	struct dns *dns;
	char *host;
	uint16_t port;
	struct tls *tls;         /* NULL: plain */
	struct tls_peer *peer;   /* with tls */
	unsigned tls_generation; /* of the idle connections and the watches */
	struct list requests;
	struct list idle; /* struct connection */
};

struct http_request {
	struct loop_garbage garbage;
	struct list node;
	struct http_client *client;
	const struct http_request_ops *ops;
	void *arg;
	enum request_state state;
	bool streams;
	bool is_watch;
	int64_t timeout_ms;
	bool reused;        /* on a kept connection: may be tried anew */
	bool answered;      /* a byte has come */
	struct strbuf text; /* the request as it is sent */
	struct loop_timer deadline;
	struct loop_timer next_address; /* the one tried now does not answer */
	struct loop_timer failed;       /* tells from the loop what failed at once */
	int failure;
	char tls_failure[TLS_TEXT_SIZE]; /* takes the place of the error's text */
	struct dns_lookup *lookup;
	struct addr addrs[MAX_ADDRESSES];
	size_t addr_count;
	size_t addr_index;
	struct connection *connection;
	struct http_parser parser;
};

static void request_free(struct loop_garbage *garbage)
{
	struct http_request *r = CONTAINER_OF(garbage, struct http_request, garbage);

	strbuf_deinit(&r->text);
	free(r);
}

/* Ends everything of the request except its memory, which the turn outlives. */
static void release(struct http_request *r)
{
	r->state = REQUEST_OVER;
	list_remove(&r->node);
	loop_timer_stop(&r->deadline);
	loop_timer_stop(&r->next_address);
	loop_timer_stop(&r->failed);
	dns_cancel(&r->lookup);
	connection_free(&r->connection);
	loop_free_later(r->client->loop, &r->garbage, request_free);
}

static void end_request(struct http_request *r, int error, const char *what)
{
	char text[TLS_TEXT_SIZE + 40];
	const char *why = r->tls_failure[0] != '\0' ? r->tls_failure : err_text(error);

	if (error < 0 && error != -ETIMEDOUT && r->tls_failure[0] != '\0')
		error = ERR_TLS;
	snprintf(text, sizeof(text), "%s%s%s", what, *what ? ": " : "", error < 0 ? why : "");
	int status = r->parser.status;
	release(r);
	r->ops->done(error, error < 0 ? text : "", status, r->arg);
}

static void find_host(struct http_request *r);
static void start_connecting(struct http_request *r);

/* The connection of a complete answer may serve the next request. */
static void finish_answer(struct http_request *r)
{
	if (r->parser.keep_alive)
		connection_keep(&r->connection, &r->client->idle);
	end_request(r, 0, "");
}

static void try_anew(struct http_request *r)
{
	connection_free(&r->connection);
	r->reused = false;
	find_host(r);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct http_request *r = arg;
	struct evbuffer *input = bufferevent_get_input(bev);
	int error = 0;

	r->answered = true;
	if (r->client->peer != NULL)
		tls_peer_was_accepted(r->client->peer);
	while (error == 0 && r->state == REQUEST_WAITING && !http_parser_is_complete(&r->parser)) {
		struct evbuffer_iovec piece;
		size_t used;

		if (evbuffer_peek(input, -1, NULL, &piece, 1) < 1 || piece.iov_len == 0)
			return;
		error = http_parser_feed(&r->parser, piece.iov_base, piece.iov_len, &used);
		if (r->state != REQUEST_WAITING)
			return; /* cancelled in a callback: the buffer is gone */
		evbuffer_drain(input, used);
	}
	if (error < 0)
		end_request(r, error, "bad answer");
	else if (r->state == REQUEST_WAITING)
		finish_answer(r);
}

/* What TLS has to say of a connection that failed. */
static void take_tls_failure(struct http_request *r, struct bufferevent *bev)
{
	if (r->client->tls == NULL)
		return;
	unsigned long error = bufferevent_get_openssl_error(bev);
	const SSL *ssl = bufferevent_openssl_get_ssl(bev);
	char text[TLS_TEXT_SIZE];
	if (ssl != NULL && tls_describe_failure(r->client->peer, ssl, error, text))
		memcpy(r->tls_failure, text, sizeof(text));
	else if (r->state == REQUEST_WAITING && !r->answered && !r->reused)
		tls_describe_early_end(r->client->peer, r->tls_failure);
}

/* libevent takes a failed connect under TLS for an end of the stream. */
static int error_of(const struct http_request *r, short what)
{
	int error = EVUTIL_SOCKET_ERROR();
	bool is_tls_connect = r->client->tls != NULL && r->state == REQUEST_CONNECTING;

	if (error != 0 && error != EAGAIN && ((what & BEV_EVENT_ERROR) || is_tls_connect))
		return -error;
	return -ECONNRESET;
}

static void take_connected(struct http_request *r, struct bufferevent *bev)
{
	sock_set_keepalive(bufferevent_getfd(bev), &keepalive);
	sock_set_nodelay(bufferevent_getfd(bev));
	r->state = REQUEST_WAITING;
	r->tls_failure[0] = '\0'; /* of an address before this one */
	/* Before the handshake there is nothing that could be read. */
	if (r->client->tls != NULL)
		bufferevent_enable(bev, EV_READ);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct http_request *r = arg;
	int error = error_of(r, what);

	if (what & BEV_EVENT_CONNECTED) {
		take_connected(r, bev);
		return;
	}
	take_tls_failure(r, bev);
	if (r->state == REQUEST_CONNECTING) {
		connection_free(&r->connection);
		r->failure = error;
		r->addr_index++;
		start_connecting(r);
		return;
	}
	if (r->reused && !r->answered) {
		try_anew(r);
		return;
	}
	if ((what & BEV_EVENT_EOF) && http_parser_finish(&r->parser) == 0)
		end_request(r, 0, "");
	else
		end_request(r, error, "connection lost");
}

static void on_next_address(evutil_socket_t fd, short what, void *arg)
{
	struct http_request *r = arg;

	if (r->state != REQUEST_CONNECTING)
		return;
	connection_free(&r->connection);
	r->failure = -ETIMEDOUT;
	r->addr_index++;
	start_connecting(r);
}

static void on_failed(evutil_socket_t fd, short what, void *arg)
{
	struct http_request *r = arg;

	end_request(r, r->failure,
		    r->state == REQUEST_WAITING ? "connection lost" : "cannot connect");
}

static void fail_soon(struct http_request *r, int error)
{
	r->failure = error;
	loop_timer_start(&r->failed, 0);
}

static void send_request(struct http_request *r)
{
	struct bufferevent *bev = r->connection->bev;

	http_parser_init(&r->parser, r->parser.ops, r);
	bufferevent_setcb(bev, on_read, NULL, on_event, r);
	bufferevent_setwatermark(bev, EV_READ, 0, READ_AT_ONCE);
	r->answered = false;
	bool is_open = r->client->tls == NULL || r->state == REQUEST_WAITING;
	if (bufferevent_write(bev, r->text.data, r->text.size) < 0 ||
	    bufferevent_enable(bev, is_open ? EV_READ | EV_WRITE : EV_WRITE) < 0)
		fail_soon(r, -ENOMEM);
}

/* Tries the address at addr_index; the next one follows if it fails. */
static void start_connecting(struct http_request *r)
{
	if (r->addr_index >= r->addr_count) {
		fail_soon(r, r->failure < 0 ? r->failure : -EHOSTUNREACH);
		return;
	}
	const struct addr *addr = &r->addrs[r->addr_index];
	r->state = REQUEST_CONNECTING;
	/* None may use up the time of those behind it. */
	if (r->addr_index + 1 < r->addr_count)
		loop_timer_start(&r->next_address, r->timeout_ms / (int64_t)(r->addr_count + 1));
	r->connection = connection_new(r->client->loop, r->client->peer, r->tls_failure);
	if (r->connection == NULL) {
		fail_soon(r, -ENOMEM);
		return;
	}
	send_request(r); /* goes out once connected */
	if (bufferevent_socket_connect(r->connection->bev, &addr->sa, (int)addr_size(addr)) < 0) {
		/* At once, as without a route or IPv6. */
		r->failure = -EVUTIL_SOCKET_ERROR();
		connection_free(&r->connection);
		r->addr_index++;
		start_connecting(r);
	}
}

static void on_resolved(int error, const struct dns_answer *answer, void *arg)
{
	struct http_request *r = arg;

	r->lookup = NULL;
	if (error < 0) {
		end_request(r, error, "cannot resolve the host");
		return;
	}
	r->addr_count = answer->count < MAX_ADDRESSES ? answer->count : MAX_ADDRESSES;
	memcpy(r->addrs, answer->addrs, r->addr_count * sizeof(r->addrs[0]));
	for (size_t i = 0; i < r->addr_count; i++)
		addr_set_port(&r->addrs[i], r->client->port);
	start_connecting(r);
}

/* On the way to a connection of its own. */
static void find_host(struct http_request *r)
{
	struct http_client *client = r->client;
	struct dns_request host = {.name = client->host, .timeout_ms = r->timeout_ms};

	r->state = REQUEST_RESOLVING;
	r->addr_index = 0;
	if (addr_parse_ip(client->host, client->port, &r->addrs[0]) == 0) {
		r->addr_count = 1;
		start_connecting(r);
	} else if (dns_lookup(client->dns, &host, on_resolved, r, &r->lookup) < 0) {
		fail_soon(r, -ENOMEM);
	}
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct http_request *r = arg;

	switch (r->state) {
	case REQUEST_RESOLVING:
		end_request(r, -ETIMEDOUT, "resolving the host");
		break;
	case REQUEST_CONNECTING:
		end_request(r, -ETIMEDOUT, "connecting");
		break;
	case REQUEST_WAITING:
		end_request(r, -ETIMEDOUT, r->answered ? "reading the answer" : "no answer");
		break;
	case REQUEST_OVER:
		break;
	}
}

static void on_parsed_header(const char *name, const char *value, void *arg)
{
	struct http_request *r = arg;

	if (r->ops->header != NULL && r->state == REQUEST_WAITING)
		r->ops->header(name, value, r->arg);
}

static int on_parsed_body(const char *data, size_t size, void *arg)
{
	struct http_request *r = arg;

	if (r->state != REQUEST_WAITING)
		return -ECANCELED; /* by the callback before, in the same piece */
	if (r->streams)
		loop_timer_stop(&r->deadline); /* from here on the caller watches it */
	return r->ops->body(r->parser.status, data, size, r->arg);
}

static const struct http_parser_ops parser_ops = {
	.header = on_parsed_header,
	.body = on_parsed_body,
};

static int compose(struct strbuf *text, const struct http_client *client,
		   const struct http_call *call)
{
	bool is_ipv6 = strchr(client->host, ':') != NULL;
	int r = strbuf_printf(text, "%s %s HTTP/1.1\r\nHost: %s%s%s:%u\r\n", call->method,
			      call->path, is_ipv6 ? "[" : "", client->host, is_ipv6 ? "]" : "",
			      client->port);

	for (size_t i = 0; r == 0 && i < call->header_count; i++)
		r = strbuf_printf(text, "%s: %s\r\n", call->headers[i].name,
				  call->headers[i].value);
	if (r == 0 && call->body != NULL)
		r = strbuf_printf(text, "Content-Length: %zu\r\n", call->body_size);
	if (r == 0)
		r = strbuf_printf(text, "\r\n");
	if (r == 0 && call->body != NULL)
		r = strbuf_append(text, call->body, call->body_size);
	return r;
}

void http_client_refresh(struct http_client *client)
{
	if (client->tls == NULL)
		return;
	tls_refresh(client->tls);
	if (client->tls_generation == tls_generation(client->tls))
		return;
	client->tls_generation = tls_generation(client->tls);
	connections_close(&client->idle);
	list_for_each (node, &client->requests) {
		struct http_request *r = CONTAINER_OF(node, struct http_request, node);
		if (!r->is_watch || r->state != REQUEST_WAITING)
			continue;
		snprintf(r->tls_failure, sizeof(r->tls_failure), "the certificates were replaced");
		fail_soon(r, -ECONNRESET);
	}
}

static bool take_idle_connection(struct http_request *r)
{
	http_client_refresh(r->client);
	struct list *node = list_first(&r->client->idle);
	if (node == NULL)
		return false;
	r->connection = CONTAINER_OF(node, struct connection, node);
	list_remove(node);
	r->reused = true;
	r->state = REQUEST_WAITING;
	send_request(r);
	return true;
}

int http_client_start(struct http_client *client, const struct http_call *call,
		      const struct http_request_ops *ops, void *arg,
		      struct http_request **ret_request)
{
	struct http_request *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->client = client;
	r->ops = ops;
	r->arg = arg;
	r->streams = call->streams;
	r->is_watch = call->is_watch;
	r->timeout_ms = call->timeout_ms;
	http_parser_init(&r->parser, &parser_ops, r);
	if (compose(&r->text, client, call) < 0) {
		request_free(&r->garbage);
		return -ENOMEM;
	}
	list_append(&client->requests, &r->node);
	loop_timer_init(&r->deadline, client->loop, on_deadline, r);
	loop_timer_init(&r->next_address, client->loop, on_next_address, r);
	loop_timer_init(&r->failed, client->loop, on_failed, r);
	loop_timer_start(&r->deadline, call->timeout_ms);
	if (!take_idle_connection(r))
		find_host(r);
	*ret_request = r;
	return 0;
}

void http_request_cancel(struct http_request **request)
{
	struct http_request *r = TAKE_PTR(*request);

	if (r != NULL && r->state != REQUEST_OVER)
		release(r);
}

int http_client_new(struct loop *loop, struct dns *dns, const char *host, uint16_t port,
		    struct http_client **ret_client)
{
	struct http_client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->loop = loop;
	c->dns = dns;
	c->port = port;
	c->host = strdup(host);
	list_init(&c->requests);
	list_init(&c->idle);
	if (c->host == NULL) {
		free(c);
		return -ENOMEM;
	}
	*ret_client = c;
	return 0;
}

int http_client_use_tls(struct http_client *client, struct tls *tls)
{
	int r = tls_peer_new(tls, client->host, &client->peer);

	if (r == 0) {
		client->tls = tls;
		client->tls_generation = tls_generation(tls);
	}
	return r;
}

void http_client_free(struct http_client **client)
{
	struct http_client *c = TAKE_PTR(*client);

	if (c == NULL)
		return;
	list_for_each_safe (node, &c->requests) {
		struct http_request *r = CONTAINER_OF(node, struct http_request, node);
		http_request_cancel(&r);
	}
	connections_close(&c->idle);
	tls_peer_free(&c->peer);
	free(c->host);
	free(c);
}
