/* The observer thread: it asks servers what they are, and hands what they answer to the
 * control thread. libpq may take long in a connect (files, TLS); here that holds up
 * nobody else. All functions are control's. */
#ifndef PGSPLICE_CONTROL_OBSERVER_H
#define PGSPLICE_CONTROL_OBSERVER_H

#include "control/source.h"
#include "probe/probe.h"

/* Servers that one observer is given at the most; each may keep a connection. */
#define OBSERVER_MOST_SERVERS 128

struct observer_settings {
	struct probe_settings probe; /* without dns, which the observer has of its own */
	struct tls_settings tls;     /* for places with is_https; its texts must outlive it */
	struct dns_settings dns;
};

/* As the user wants servers asked; by_http: which check server that is. */
struct observer_settings observer_settings_of(const struct probing *probing,
					      enum probe_method by_http,
					      const struct dns_settings *dns);

/* Whom to ask. */
struct observer_place {
	uint64_t id; /* the caller's, of one server; answers carry it */
	struct addr addr;
	const char *host; /* see struct probe_place; or NULL */
	uint16_t port;
	bool is_https;
	bool ask_now; /* besides the schedule */
};

struct observer_news {
	struct observer_news *next;
	uint64_t id;
	struct probe_result result;
};

typedef void observer_cb(const struct observer_news *news, void *arg);

struct observer;

/* cb runs in loop, never inside a call, for each answer in the order in which they
 * came. */
MUST_CHECK int observer_start(const struct observer_settings *settings, struct loop *loop,
			      observer_cb *cb, void *arg, struct observer **ret_observer);
/* No callback comes any more. Waits a little for the thread; one that hangs in libpq is
 * left to the end of the process, with all it uses. Accepts NULL. */
void observer_stop(struct observer **observer);

/* From now on these are asked, and no others; all of them often while a change is
 * pending. Copies the places. */
MUST_CHECK int observer_watch(struct observer *observer, const struct observer_place *places,
			      size_t count, bool hurry);

#endif
