/* HTTP/1.1 requests to one server, for the stores and for checks: streaming,
 * bounded, with deadlines, connections kept for the next request. Loop thread.
 *
 * Connections go through libevent's bufferevents, made anew for each connection,
 * so that a TLS one takes the place of a plain one. */
#ifndef PGSPLICE_NET_HTTP_CLIENT_H
#define PGSPLICE_NET_HTTP_CLIENT_H

#include <stddef.h>

#include "net/dns.h"
#include "net/tls.h"

struct http_client;
struct http_request;

struct http_header {
	const char *name;
	const char *value;
};

struct http_call {
	const char *method;
	const char *path;                  /* with its query, as it goes into the request line */
	const struct http_header *headers; /* besides Host, Content-Length, … */
	size_t header_count;
	const char *body; /* NULL: none */
	size_t body_size;
	/* For the whole, or if `streams`, until the first byte of the body. */
	int64_t timeout_ms;
	bool streams;
	/* Waits for news, and may be ended with an error at any time: it does not
	 * stay on a connection whose certificates have been replaced. */
	bool is_watch;
};

struct http_request_ops {
	/* A header of the answer; NULL if not wanted. */
	void (*header)(const char *name, const char *value, void *arg);
	/* Bytes of the answer's body, as they come. Returns 0, or a negative error
	 * which ends the request with it. */
	int (*body)(int status, const char *data, size_t size, void *arg);
	/* The end; the request is gone. error 0: the answer was complete. status
	 * is 0 if there was none. text says what failed, "" otherwise; with ERR_TLS
	 * what was wrong with certificates, or with which file. */
	void (*done)(int error, const char *text, int status, void *arg);
};

/* host: name or IP literal. dns must outlive the client. */
MUST_CHECK int http_client_new(struct loop *loop, struct dns *dns, const char *host, uint16_t port,
			       struct http_client **ret_client);
/* From now on over TLS. tls must outlive the client. */
MUST_CHECK int http_client_use_tls(struct http_client *client, struct tls *tls);
/* To be called now and then: when other certificates are in use than before,
 * idle connections are closed and watches ended, so that they come anew. */
void http_client_refresh(struct http_client *client);
/* Cancels its requests without callbacks. Accepts NULL. */
void http_client_free(struct http_client **client);

/* Starts a request. Everything is copied. The callbacks run from the loop, never
 * inside this call. A kept connection that turns out to be dead before it has
 * brought a byte is replaced by a new one, once. */
MUST_CHECK int http_client_start(struct http_client *client, const struct http_call *call,
				 const struct http_request_ops *ops, void *arg,
				 struct http_request **ret_request);
/* No callback comes any more; also allowed in the body callback. Accepts NULL. */
void http_request_cancel(struct http_request **request);

#endif
