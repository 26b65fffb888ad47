/* --probe-conninfo: what may be in it, and what this program adds to it for each
 * connect. */
#include "probe/pg_conninfo.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "pg_private.h"

struct pg_conninfo {
	PQconninfoOption *options; /* of the user; holds the texts */
	bool shows_host;
	bool has_database;       /* named by the user's environment; what is in options wins */
	bool knows_require_auth; /* this libpq does, and the user leaves it to us */
};

/* Which server, and as what, is not the user's to say. */
static const char *const not_here[] = {
	"host",
	"hostaddr",
	"port",
	"service",
	"target_session_attrs",
	"load_balance_hosts",
	"replication",
	"gssencmode",
};

static const char *find_value(const PQconninfoOption *options, const char *keyword)
{
	for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
		if (strcmp(o->keyword, keyword) == 0)
			return o->val;
	}
	return NULL;
}

static bool libpq_knows(const PQconninfoOption *options, const char *keyword)
{
	for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
		if (strcmp(o->keyword, keyword) == 0)
			return true;
	}
	return false;
}

/* libpq's own texts quote what they complain of, which may be half a password. */
static const char *explain_syntax(const char *error)
{
	if (error == NULL)
		return "it does not parse";
	if (strncmp(error, "missing \"=\"", 11) == 0)
		return "a word without \"=\": values with blanks need quotes";
	if (strncmp(error, "unterminated", 12) == 0)
		return "a quote is not closed";
	if (strncmp(error, "invalid connection option", 25) == 0 ||
	    strncmp(error, "invalid URI query parameter", 27) == 0)
		return "an option that libpq does not know";
	return "it does not parse";
}

static int check_options(const PQconninfoOption *options,
			 char problem[static PG_CONNINFO_TEXT_SIZE])
{
	for (size_t i = 0; i < ARRAY_LEN(not_here); i++) {
		if (find_value(options, not_here[i]) == NULL)
			continue;
		snprintf(problem, PG_CONNINFO_TEXT_SIZE,
			 "%s may not be set here: it is the cluster that says which servers are "
			 "asked, and each is asked about itself",
			 not_here[i]);
		return ERR_SYNTAX;
	}
	if (find_value(options, "user") == NULL && getenv("PGUSER") == NULL) {
		snprintf(problem, PG_CONNINFO_TEXT_SIZE, "it names no user");
		return ERR_SYNTAX;
	}
	return 0;
}

static bool has_sslmode(const PQconninfoOption *options, const char *wanted)
{
	const char *sslmode = find_value(options, "sslmode");

	if (sslmode == NULL)
		sslmode = getenv("PGSSLMODE");
	return sslmode != NULL && strcmp(sslmode, wanted) == 0;
}

int pg_conninfo_new(const char *text, struct pg_conninfo **ret_conninfo,
		    char problem[static PG_CONNINFO_TEXT_SIZE])
{
	char *error = NULL;
	struct pg_conninfo *c = calloc(1, sizeof(*c));

	snprintf(problem, PG_CONNINFO_TEXT_SIZE, "%s", err_text(-ENOMEM));
	if (c == NULL)
		return -ENOMEM;
	int r = ERR_SYNTAX;
	c->options = PQconninfoParse(text, &error);
	if (c->options == NULL)
		snprintf(problem, PG_CONNINFO_TEXT_SIZE, "%s", explain_syntax(error));
	else
		r = check_options(c->options, problem);
	PQfreemem(error);
	if (r < 0) {
		pg_conninfo_free(&c);
		return r;
	}
	c->shows_host = has_sslmode(c->options, "verify-full");
	c->has_database = getenv("PGDATABASE") != NULL;
	c->knows_require_auth = libpq_knows(c->options, "require_auth") &&
				find_value(c->options, "require_auth") == NULL &&
				getenv("PGREQUIREAUTH") == NULL;
	unsetenv("PGHOST");
	unsetenv("PGHOSTADDR");
	unsetenv("PGSERVICE");
	/* A key with a passphrase must fail, not ask for it on the terminal. */
	PQsetSSLKeyPassHook_OpenSSL(PQdefaultSSLKeyPassHook_OpenSSL);
	*ret_conninfo = c;
	return 0;
}

void pg_conninfo_free(struct pg_conninfo **conninfo)
{
	struct pg_conninfo *c = TAKE_PTR(*conninfo);

	if (c == NULL)
		return;
	PQconninfoFree(c->options);
	free(c);
}

struct parameters {
	size_t count;
	const char **keywords;
	const char **values;
};

static void add(struct parameters *p, const char *keyword, const char *value)
{
	p->keywords[p->count] = keyword;
	p->values[p->count++] = value;
}

#define OWN_PARAMETERS 10

static void fill(struct parameters *p, const struct pg_conninfo *c, const char *host,
		 const char *hostaddr, const char *port)
{
	add(p, "fallback_application_name", "pgsplice");
	if (!c->has_database)
		add(p, "dbname", "postgres");
	/* Later ones win. */
	for (const PQconninfoOption *o = c->options; o->keyword != NULL; o++) {
		if (o->val != NULL)
			add(p, o->keyword, o->val);
	}
	add(p, "hostaddr", hostaddr);
	add(p, "port", port);
	add(p, "target_session_attrs", "any");
	/* Kerberos asks name servers and its own, and waits for them. Where libpq
	 * cannot refuse it, it gives up for want of a host name. */
	add(p, "gssencmode", "disable");
	if (c->knows_require_auth)
		add(p, "require_auth", "!gss,!sspi");
	if (c->shows_host && host != NULL && strpbrk(host, ",/@") == NULL)
		add(p, "host", host);
	add(p, NULL, NULL);
}

PGconn *pg_conninfo_connect(const struct pg_conninfo *conninfo, const struct addr *addr,
			    const char *host)
{
	char hostaddr[NI_MAXHOST];
	char port[8];
	size_t room = OWN_PARAMETERS;

	for (const PQconninfoOption *o = conninfo->options; o->keyword != NULL; o++)
		room++;
	AUTO_FREE const char **texts = calloc(2 * room, sizeof(*texts));
	if (texts == NULL || getnameinfo(&addr->sa, addr_size(addr), hostaddr, sizeof(hostaddr),
					 port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return NULL;
	struct parameters p = {.keywords = texts, .values = texts + room};
	fill(&p, conninfo, host, hostaddr, port);
	return PQconnectStartParams(p.keywords, p.values, 0);
}
