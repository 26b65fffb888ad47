/* Where the picture of the cluster comes from, and whom acknowledgements go to: the
 * seam between the flow of a check and the kinds of clusters. Control thread. */
#ifndef PGSPLICE_CONTROL_SOURCE_H
#define PGSPLICE_CONTROL_SOURCE_H

#include "cluster/watch.h"
#include "net/tls.h"
#include "probe/pg_conninfo.h"

struct source;

struct source_ops {
	int (*read)(struct source *source);
	int (*acknowledge)(struct source *source, int64_t generation, int64_t proxy_timeout_ns,
			   store_done_cb *cb, void *arg);
	int (*withdraw)(struct source *source, store_done_cb *cb, void *arg);
	void (*stop)(struct source *source);
	void (*free)(struct source *source);
};

/* The first member of each kind. */
struct source {
	const struct source_ops *ops;
	const char *proxy_uid; /* this proxy's name in the cluster */
};

/* The callback given to a source's start runs from the loop, never inside a call, with
 * what is read and with what comes by itself (watch.h says how they differ). */

/* Starts a check, whose outcome comes with read_sent_ms set. */
MUST_CHECK static inline int source_read(struct source *source)
{
	return source->ops->read(source);
}

/* Tells those who wait for this proxy that it has carried out a generation. One call at
 * a time; cb runs once, from the loop. */
MUST_CHECK static inline int source_acknowledge(struct source *source, int64_t generation,
						int64_t proxy_timeout_ns, store_done_cb *cb,
						void *arg)
{
	return source->ops->acknowledge(source, generation, proxy_timeout_ns, cb, arg);
}

/* Tells them not to wait for it any more. Not while an acknowledgement is under way. */
MUST_CHECK static inline int source_withdraw(struct source *source, store_done_cb *cb, void *arg)
{
	return source->ops->withdraw(source, cb, arg);
}

/* No news any more. Acknowledging and withdrawing go on. */
static inline void source_stop(struct source *source)
{
	source->ops->stop(source);
}

/* Cancels what is under way. Accepts NULL. */
static inline void source_free(struct source **source)
{
	struct source *s = TAKE_PTR(*source);

	if (s != NULL)
		s->ops->free(s);
}

enum cluster_format {
	CLUSTER_FORMAT_STOLON,
	CLUSTER_FORMAT_PATRONI,
};

/* The kinds. On failure *ret_problem says in a static text what could not be done. */

struct stolon_settings {
	const char *cluster_name;
	const char *store_prefix;
	struct store_settings store;
};

/* A cluster described by stolon's sentinels in a store. settings, loop and dns must
 * outlive it. */
MUST_CHECK int source_stolon_new(const struct stolon_settings *settings, struct loop *loop,
				 struct dns *dns, watch_cb *cb, void *arg,
				 struct source **ret_source, const char **ret_problem);

enum probe_kind {
	PROBE_KIND_POSTGRES, /* by SQL, with conninfo */
	PROBE_KIND_HTTP,     /* at a check server beside each */
};

/* How servers are asked. */
struct probing {
	enum probe_kind kind;
	const char *conninfo;              /* libpq's text, not checked; NULL for PROBE_KIND_HTTP */
	const struct pg_conninfo *account; /* what that comes to; main's to fill in */
	uint16_t http_port;                /* where nothing else says it */
	struct tls_settings tls;           /* of check servers that are asked over https */
	int64_t interval_ms;               /* between two questions to one server */
	int64_t timeout_ms;                /* of one question */
	int fall; /* failures in a row of a server that is down; at least 1 */
};

/* Whether the server itself has to say that it leads. */
enum confirm_leader {
	CONFIRM_AUTO, /* yes; but where it cannot be asked, its record in the store may */
	CONFIRM_ALWAYS,
	CONFIRM_NEVER, /* its record suffices */
};

/* A cluster described by Patroni in a store. */
struct patroni_settings {
	const char *scope;
	/* As given, with or without slashes around it; "": the scopes are at the root. */
	const char *namespace_;
	struct store_settings store;
	int64_t citus_group; /* -1: none */
	enum confirm_leader confirm;
	/* Only the store vouches for a leader; else also its own answers, while the
	 * store is out. Always with CONFIRM_NEVER. */
	bool strict_outage;
	struct probing probing; /* http: Patroni's interface, where the member's record has it */
};

/* As for source_members_new() below. */
MUST_CHECK int source_patroni_new(const struct patroni_settings *settings, struct loop *loop,
				  struct dns *dns, const struct dns_settings *dns_settings,
				  watch_cb *cb, void *arg, struct source **ret_source,
				  const char **ret_problem);

/* A cluster that only its servers describe. */
struct members_settings {
	/* "host:port", no two the same; host is a name in lower case or an IP address
	 * as addr_format() writes it, the port a number. */
	char *const *members;
	size_t count; /* 0: not this kind of cluster */
	struct probing probing;
	int64_t dns_timeout_ms; /* for the first answer of a name */
};

/* settings, dns_settings, loop and dns must outlive it. The servers are asked by the
 * observer thread, which this starts and ends. */
MUST_CHECK int source_members_new(const struct members_settings *settings, struct loop *loop,
				  struct dns *dns, const struct dns_settings *dns_settings,
				  watch_cb *cb, void *arg, struct source **ret_source,
				  const char **ret_problem);

#endif
