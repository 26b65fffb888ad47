/* The servers of a Patroni cluster, asked by the observer: where each is, by its record
 * in the store, and what it said last. Control thread. */
#ifndef PGSPLICE_CONTROL_PATRONI_SERVERS_H
#define PGSPLICE_CONTROL_PATRONI_SERVERS_H

#include "cluster/patroni_view.h"
#include "control/observer.h"
#include "control/source.h"
#include "routing/patroni_policy.h"

struct patroni_server {
	char *name;
	char *address; /* the text of its address in the store */
	/* What it said last of what it is; has_answered: anything. That it does not answer
	 * now says nothing. */
	bool has_answered;
	bool is_in_recovery;
	uint64_t position; /* 0: not known */
	int64_t delay_ms;  /* -1: not known */
};

/* After each answer. */
typedef void patroni_servers_news_cb(const struct patroni_server *server,
				     const struct probe_result *result, void *arg);
/* A server is to be found elsewhere now. */
typedef void patroni_servers_moved_cb(void *arg);

struct patroni_servers;

/* settings and dns must outlive it. Callbacks come from the loop. */
MUST_CHECK int patroni_servers_new(const struct probing *settings, struct loop *loop,
				   struct dns *dns, const struct dns_settings *dns_settings,
				   int64_t dns_timeout_ms, patroni_servers_news_cb *news,
				   patroni_servers_moved_cb *moved, void *arg,
				   struct patroni_servers **ret_servers);
/* Accepts NULL. */
void patroni_servers_free(struct patroni_servers **servers);

/* From now on the members of this view are asked (none with NULL), and all of them often
 * while there is a fast wish. kept: a record that counts instead of the view's own, or
 * besides; NULL: none. May be called from the callbacks. */
void patroni_servers_follow(struct patroni_servers *servers, const struct patroni_view *view,
			    const struct patroni_member *kept, const struct patroni_wish *wishes,
			    size_t wish_count);

/* Changes when what a server is, or where it is, does; not with its position. */
uint64_t patroni_servers_digest(const struct patroni_servers *servers);

/* NULL: not asked. */
const struct patroni_server *patroni_servers_find(const struct patroni_servers *servers,
						  const char *name);

#endif
