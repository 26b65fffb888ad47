/* Asks one PostgreSQL server about itself, over libpq, as often as told to. The
 * connection is kept in between, and costs 15 KB, 62 KB with TLS (libpq makes a
 * context for each). SIGPIPE must be ignored. Loop thread.
 *
 * Nothing here waits for the network. What a server sends is looked at before each
 * read and may be 64 KB for a connect or an answer; only what arrives during that
 * very read may be more, as far as libpq goes on reading. */
#ifndef PGSPLICE_PROBE_PG_PROBE_H
#define PGSPLICE_PROBE_PG_PROBE_H

#include "net/addr.h"
#include "net/loop.h"
#include "probe/pg_conninfo.h"
#include "probe/probe_result.h"

struct pg_probe_settings {
	const struct pg_conninfo *conninfo; /* must outlive the probe */
	int64_t timeout_ms;                 /* for one question, with its connect */
	/* A connection this old is replaced by a new one: what is set for new sessions
	 * only, and a server that takes no more of them, would not be seen. */
	int64_t max_age_ms;
};

struct pg_probe_ops {
	/* The end of pg_probe_ask(), once, from the loop. The result lives until it
	 * returns. It may ask again, or free the probe. */
	void (*answered)(const struct probe_result *result, void *arg);
	/* The kept connection ended though nobody had asked: worth asking at once. May
	 * be NULL. It may ask, or free the probe. */
	void (*lost)(void *arg);
};

struct pg_probe;

/* Copies settings; ops must outlive it. */
MUST_CHECK int pg_probe_new(struct loop *loop, const struct pg_probe_settings *settings,
			    const struct pg_probe_ops *ops, void *arg, struct pg_probe **ret_probe);
/* No callback comes any more. Accepts NULL. */
void pg_probe_free(struct pg_probe **probe);

/* The server to ask, before the first question. host is the name in its
 * certificate, for sslmode=verify-full; copied, may be NULL. When it changes the
 * connection is given up, and a question under way begins anew. */
MUST_CHECK int pg_probe_set_address(struct pg_probe *probe, const struct addr *addr,
				    const char *host);

/* answered() comes at most timeout_ms later, never inside this call. Not while a
 * question is under way. */
void pg_probe_ask(struct pg_probe *probe);
bool pg_probe_is_asking(const struct pg_probe *probe);
/* A question needs no new connect, as far as is known. */
bool pg_probe_is_connected(const struct pg_probe *probe);

#endif
