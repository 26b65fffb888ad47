/* Asks a check server beside PostgreSQL for the role: Fly's or Patroni's. Loop
 * thread. Such a server says less than PostgreSQL itself, and may hang or be gone
 * while PostgreSQL serves: its silence is no proof. */
#ifndef PGSPLICE_PROBE_HTTP_PROBE_H
#define PGSPLICE_PROBE_HTTP_PROBE_H

#include "net/dns.h"
#include "net/tls.h"
#include "probe/probe_result.h"

enum http_probe_kind {
	HTTP_PROBE_FLY,     /* GET /flycheck/role, port 5500 by default */
	HTTP_PROBE_PATRONI, /* GET /patroni, port 8008 by default */
};

struct http_probe_settings {
	enum http_probe_kind kind;
	int64_t timeout_ms; /* for one question, with lookup and connect */
};

/* The end of http_probe_ask(), once, from the loop. The result lives until it
 * returns. It may ask again, or free the probe. */
typedef void http_probe_cb(const struct probe_result *result, void *arg);

struct http_probe;

/* dns must outlive it. */
MUST_CHECK int http_probe_new(struct loop *loop, struct dns *dns,
			      const struct http_probe_settings *settings, http_probe_cb *cb,
			      void *arg, struct http_probe **ret_probe);
/* No callback comes any more. Accepts NULL. */
void http_probe_free(struct http_probe **probe);

/* The check server, before the first question: a name or an IP literal, over TLS
 * with tls (which must outlive the probe) and in the clear with NULL. When it
 * changes connections are given up, and a question under way begins anew. */
MUST_CHECK int http_probe_set_server(struct http_probe *probe, const char *host, uint16_t port,
				     struct tls *tls);

/* cb comes at most timeout_ms later, never inside this call. Not while a question
 * is under way. */
void http_probe_ask(struct http_probe *probe);
bool http_probe_is_asking(const struct http_probe *probe);

#endif
