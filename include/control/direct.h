/* The direct port: which members clients of 5433 may be led to. It watches roles,
 * names, lag and reachability, and keeps the member set that goes into each
 * snapshot. Control thread. */
#ifndef PGSPLICE_CONTROL_DIRECT_H
#define PGSPLICE_CONTROL_DIRECT_H

#include "cluster/local_member.h"
#include "control/listening.h"
#include "routing/choice.h"
#include "routing/lag.h"

enum direct_balance {
	DIRECT_LEAST,     /* fewest of our own sessions, of two drawn */
	DIRECT_RANDOM,    /* each as likely as the other */
	DIRECT_NEAREST,   /* answers fastest, with hysteresis */
	DIRECT_DNS_ORDER, /* first of the answer (else of the cluster data) that accepts */
};

struct direct_settings {
	enum direct_target target;
	const char *host; /* of DIRECT_NAME: a host name or an IP address */
	const char *port;
	enum dns_prefer prefer; /* for host */
	enum direct_balance balance;
	enum direct_fallback fallback;
	struct lag_limit max_lag; /* beyond it a member gets no new sessions */
	int64_t hold_off_ms; /* for at most so long one that comes and goes is left out; 0: never */
	bool keeps_promoted; /* sessions of a standby that becomes the leader */
	bool strict;         /* standbys, too, only while the store confirms the leader */
	int64_t dns_timeout_ms; /* for the first answer */
	struct local_member_settings local;
	struct listening_settings listening;
};

struct direct;

/* Called from the loop when what direct_members() or direct_listen_set() answers has
 * changed by itself. */
typedef void direct_cb(void *arg);

/* settings, loop, dns and leader_port must outlive it. Opens nothing yet. Only for a
 * target other than DIRECT_OFF. */
MUST_CHECK int direct_new(const struct direct_settings *settings, struct loop *loop,
			  struct dns *dns, const struct listening *leader_port, unsigned workers,
			  direct_cb *cb, void *arg, struct direct **ret_direct);
/* Accepts NULL, as all of the following do. */
void direct_free(struct direct **direct);

/* Takes the newest view; one without an acceptable cluster has no members. True if
 * workers must be told before anything is acknowledged: the set has changed. */
bool direct_take_view(struct direct *direct, struct view *view);
/* Opens the listeners or tries again; to be called whenever the store has answered. */
void direct_open(struct direct *direct);
/* Ends listening and leads to nobody any more; no callback comes any more. */
void direct_close(struct direct *direct);
/* After direct_close(), or a change of the listen set, when workers have let it go. */
void direct_closed(struct direct *direct);
/* A worker rang: a member may have been marked as failed. */
void direct_look_after_members(struct direct *direct);

/* Borrowed; NULL: nobody, or not listening. */
struct member_set *direct_members(const struct direct *direct);
struct listen_set *direct_listen_set(const struct direct *direct);
/* Whether a connection to addr would come back to the direct port. */
bool direct_is_reached_by(const struct direct *direct, const struct addr *addr);

#endif
