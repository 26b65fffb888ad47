/* The schedule by which servers are asked what they are: each in its turn, all of
 * them more often while a change is on its way. Loop thread. */
#ifndef PGSPLICE_PROBE_PROBE_H
#define PGSPLICE_PROBE_PROBE_H

#include "net/addr.h"
#include "net/dns.h"
#include "net/tls.h"
#include "probe/pg_conninfo.h"
#include "probe/probe_result.h"

enum probe_method {
	PROBE_BY_SQL,     /* PostgreSQL itself, pg_probe.h */
	PROBE_BY_FLY,     /* a check server beside it, http_probe.h */
	PROBE_BY_PATRONI, /* the same */
};

struct probe_settings {
	enum probe_method method;
	const struct pg_conninfo *conninfo; /* PROBE_BY_SQL */
	int64_t max_age_ms;                 /* PROBE_BY_SQL: of a kept connection */
	struct dns *dns;                    /* for the others */
	int64_t interval_ms;                /* between two questions to one server, 10 % about */
	int64_t hurry_ms;                   /* the same while hurrying */
	int64_t timeout_ms;                 /* for one question */
	unsigned fall;                      /* that many failures in a row: is_down; at least 1 */
	/* Questions under way that need a new connection; at least 1. A quarter of them is
	 * only for servers that have answered, and have not failed twice since. */
	unsigned max_connects;
};

struct probe_place {
	struct addr addr; /* PROBE_BY_SQL: where PostgreSQL listens */
	/* PROBE_BY_SQL: the name in its certificate, or NULL. For the others: name or
	 * IP literal of the check server, and how to reach it; tls NULL: in the clear. */
	const char *host;
	uint16_t port;
	struct tls *tls;
};

struct probe_news {
	const struct probe_result *result; /* until the callback returns */
	/* Results in a row of PROBE_DOWN; one of PROBE_UNSURE neither adds nor ends. */
	unsigned failures;
	bool is_down; /* failures have reached `fall` */
};

/* After each question, from the loop, with the arg of its server. May do anything
 * to the probe and its servers but probe_free(). */
typedef void probe_cb(const struct probe_news *news, void *arg);

struct probe;
struct probe_server;

/* Copies settings; what they point to must outlive it. */
MUST_CHECK int probe_new(struct loop *loop, const struct probe_settings *settings, probe_cb *cb,
			 struct probe **ret_probe);
/* Removes all servers. Accepts NULL. */
void probe_free(struct probe **probe);

/* Asks this server from now on, for the first time within hurry_ms. */
MUST_CHECK int probe_add(struct probe *probe, const struct probe_place *place, void *arg,
			 struct probe_server **ret_server);
/* No callback comes any more. Accepts NULL. */
void probe_remove(struct probe_server **server);
/* It is elsewhere now; nothing happens if it is not. What was counted remains. */
MUST_CHECK int probe_move(struct probe_server *server, const struct probe_place *place);

/* Asks it now, unless a question is under way. */
void probe_ask(struct probe_server *server);
/* While a change is pending: everybody is asked every hurry_ms. */
void probe_hurry(struct probe *probe, bool hurry);

#endif
