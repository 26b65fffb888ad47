/* The user's half of how to connect to the servers that are asked: everything
 * but which server. Immutable once made. */
#ifndef PGSPLICE_PROBE_PG_CONNINFO_H
#define PGSPLICE_PROBE_PG_CONNINFO_H

#include "base/cleanup.h"

#define PG_CONNINFO_TEXT_SIZE 200

struct pg_conninfo;

/* text is as libpq takes it, "user=probe passfile=… sslmode=…" or a URI without
 * a host. A user must be named (here or by PGUSER), since asking the system for
 * its name can block; without a dbname it is "postgres". libpq's variables
 * (PGPASSFILE, PGSSLMODE, …) hold as usual, but PGHOST, PGHOSTADDR and PGSERVICE
 * are taken out of the environment: they name servers. So call this before other
 * threads start.
 *
 * Files it names are read by libpq at each connect, in the calling thread, and a
 * passfile that others may read gets libpq's warning on stderr each time. The
 * server's entry in it has the address as its host, or the name with verify-full.
 *
 * Returns 0, ERR_SYNTAX or -ENOMEM; then problem says why, without echoing the
 * text, which may hold a password. */
MUST_CHECK int pg_conninfo_new(const char *text, struct pg_conninfo **ret_conninfo,
			       char problem[static PG_CONNINFO_TEXT_SIZE]);
/* Nothing that uses it may be left. Accepts NULL. */
void pg_conninfo_free(struct pg_conninfo **conninfo);

#endif
