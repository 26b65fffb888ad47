/* The addresses to listen on: resolved, opened, tried again. Control thread. */
#ifndef PGSPLICE_CONTROL_LISTENING_H
#define PGSPLICE_CONTROL_LISTENING_H

#include "net/dns.h"
#include "net/listen_set.h"

struct listening_settings {
	char *const *addresses; /* IP, host name, or unix socket path (or a folder for it) */
	size_t count;
	const char *port;                    /* number or service name */
	struct keepalive_settings keepalive; /* of accepted sockets */
	const char *in_use_hint;             /* appended when an address is taken; NULL: nothing */
};

struct listening;

/* Called from the loop when listening_set() has changed by itself. */
typedef void listening_cb(void *arg);

/* settings and dns must outlive it. Opens nothing yet. */
MUST_CHECK int listening_new(const struct listening_settings *settings, struct dns *dns,
			     unsigned workers, int64_t dns_timeout_ms, listening_cb *cb, void *arg,
			     struct listening **ret_listening);
void listening_free(struct listening **listening);

/* Opens the listeners, now or after names were looked up; while that fails,
 * every call tries again and what is wrong is logged once. */
void listening_open(struct listening *listening);
/* Ends it for the workers. The sockets close with listening_closed(), which is
 * to be called when the workers have let them go; until then they can be had
 * back by listening_open(). */
void listening_close(struct listening *listening);
void listening_closed(struct listening *listening);

/* NULL while closed. Borrowed. */
struct listen_set *listening_set(const struct listening *listening);
/* Whether a connection to addr would come back to us. */
bool listening_is_reached_by(const struct listening *listening, const struct addr *addr);

#endif
