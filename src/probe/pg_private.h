/* What the modules that ask over libpq share. */
#ifndef PGSPLICE_SRC_PROBE_PG_PRIVATE_H
#define PGSPLICE_SRC_PROBE_PG_PRIVATE_H

#include <libpq-fe.h>

#include "net/addr.h"
#include "probe/pg_conninfo.h"
#include "probe/probe_result.h"

/* Starts a connection to exactly this address. host, which may be NULL, is used
 * for the server's certificate only, with sslmode=verify-full. Never blocks.
 * NULL without memory; otherwise as PQconnectStart(). */
PGconn *pg_conninfo_connect(const struct pg_conninfo *conninfo, const struct addr *addr,
			    const char *host);

/* A connection that failed, as libpq tells it. */
struct pg_failure {
	const char *message; /* with PQERRORS_VERBOSE */
	const char *password;
	bool was_connected; /* on the level of TCP */
	bool needs_password;
};

/* Pure: what such a failure means. Sets outcome, sqlstate and text. */
void pg_failure_read(const struct pg_failure *failure, struct probe_result *result);

/* The outcome that stands for an SQLSTATE; text needs no NUL behind it. */
enum probe_outcome pg_failure_outcome(const char sqlstate[static SQLSTATE_SIZE - 1]);

enum {
	PG_ANSWER_ERROR, /* outcome, sqlstate and text are set */
	PG_ANSWER_ROW,   /* outcome is set, and what is known */
};

/* Takes one result of a query. Returns what it was, or ERR_SYNTAX for one that no
 * such query has. */
MUST_CHECK int pg_answer_read(const PGresult *answer, const PGconn *conn,
			      struct probe_result *result);

#endif
