/* One check server: a request at a time, its body gathered up to a limit. The
 * connection is http_client's to keep. */
#include "probe/http_probe.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "net/http_client.h"
#include "role_body.h"

/* Patroni lists every standby in it, with 250 bytes each. */
#define MAX_BODY (32 * 1024)

struct http_probe {
	struct loop_garbage garbage;
	struct loop *loop;
	struct dns *dns;
	struct http_probe_settings settings;
	http_probe_cb *cb;
	void *arg;
	struct http_client *client;
	char *host;
	uint16_t port;
	struct tls *tls;
	struct http_request *request; /* a question is under way: this, */
	struct loop_timer failed;     /* or this, when it cannot be sent */
	struct strbuf body;
	struct probe_result result;
};

static int on_body(int status, const char *data, size_t size, void *arg)
{
	struct http_probe *p = arg;

	return p->body.size + size > MAX_BODY ? ERR_TOO_LARGE : strbuf_append(&p->body, data, size);
}

/* p may be gone afterwards. */
static void conclude(struct http_probe *p)
{
	p->result.answered_ms = clock_boot_ms();
	struct probe_result result = p->result;
	p->cb(&result, p->arg);
}

static enum probe_outcome outcome_of_error(int error, int status)
{
	switch (error) {
	case -ETIMEDOUT:
		return PROBE_TIMEOUT;
	case -ECONNREFUSED:
		return PROBE_REFUSED;
	case -ECONNRESET:
	case -EPIPE:
		return PROBE_LOST;
	case -EHOSTUNREACH:
	case -ENETUNREACH:
	case ERR_NO_NAME:
	case ERR_DNS:
		return PROBE_UNREACHABLE;
	case -EPROTO:
	case ERR_TOO_LARGE:
		return PROBE_PROTOCOL;
	default:
		return PROBE_ERROR;
	}
}

static void on_done(int error, const char *text, int status, void *arg)
{
	struct http_probe *p = arg;
	const char *body = p->body.size > 0 ? p->body.data : "";

	p->request = NULL;
	if (error < 0) {
		p->result.outcome = outcome_of_error(error, status);
		probe_result_set_text(&p->result, text, strlen(text), NULL);
	} else if (p->settings.kind == HTTP_PROBE_FLY) {
		role_body_decode_fly(status, body, p->body.size, &p->result);
	} else {
		role_body_decode_patroni(status, body, p->body.size, &p->result);
	}
	conclude(p);
}

static const struct http_request_ops request_ops = {.body = on_body, .done = on_done};

static void on_failed(evutil_socket_t fd, short what, void *arg)
{
	struct http_probe *p = arg;
	const char *text = err_text(-ENOMEM);

	p->result.outcome = PROBE_ERROR;
	probe_result_set_text(&p->result, text, strlen(text), NULL);
	conclude(p);
}

static void send_request(struct http_probe *p)
{
	const struct http_call call = {
		.method = "GET",
		.path = p->settings.kind == HTTP_PROBE_FLY ? "/flycheck/role" : "/patroni",
		.timeout_ms = p->settings.timeout_ms,
	};

	probe_result_init(&p->result);
	strbuf_clear(&p->body);
	p->result.sent_ms = clock_boot_ms();
	if (http_client_start(p->client, &call, &request_ops, p, &p->request) < 0)
		loop_timer_start(&p->failed, 0);
}

void http_probe_ask(struct http_probe *probe)
{
	CHECK(probe->client != NULL && !http_probe_is_asking(probe));
	send_request(probe);
}

bool http_probe_is_asking(const struct http_probe *probe)
{
	return probe->request != NULL || loop_timer_is_running(&probe->failed);
}

static void close_client(struct http_probe *p)
{
	http_request_cancel(&p->request);
	loop_timer_stop(&p->failed);
	http_client_free(&p->client);
}

int http_probe_set_server(struct http_probe *probe, const char *host, uint16_t port,
			  struct tls *tls)
{
	struct http_probe *p = probe;
	struct http_client *client = NULL;

	if (p->client != NULL && port == p->port && tls == p->tls && strcmp(host, p->host) == 0)
		return 0;
	char *copy = strdup(host);
	int r = copy != NULL ? http_client_new(p->loop, p->dns, host, port, &client) : -ENOMEM;
	if (r == 0 && tls != NULL)
		r = http_client_use_tls(client, tls);
	if (r < 0) {
		http_client_free(&client);
		free(copy);
		return r;
	}
	bool was_asking = http_probe_is_asking(p);
	close_client(p);
	free(p->host);
	p->client = client;
	p->host = copy;
	p->port = port;
	p->tls = tls;
	if (was_asking)
		send_request(p);
	return 0;
}

int http_probe_new(struct loop *loop, struct dns *dns, const struct http_probe_settings *settings,
		   http_probe_cb *cb, void *arg, struct http_probe **ret_probe)
{
	struct http_probe *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	p->loop = loop;
	p->dns = dns;
	p->settings = *settings;
	p->cb = cb;
	p->arg = arg;
	loop_timer_init(&p->failed, loop, on_failed, p);
	*ret_probe = p;
	return 0;
}

static void free_memory(struct loop_garbage *garbage)
{
	struct http_probe *p = CONTAINER_OF(garbage, struct http_probe, garbage);

	strbuf_deinit(&p->body);
	free(p->host);
	free(p);
}

void http_probe_free(struct http_probe **probe)
{
	struct http_probe *p = TAKE_PTR(*probe);

	if (p == NULL)
		return;
	close_client(p);
	loop_free_later(p->loop, &p->garbage, free_memory);
}
