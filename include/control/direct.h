/* The direct port: which members clients of 5433 may be led to. It watches roles,
 * names, lag and reachability, and keeps the member set that goes into each
 * snapshot. Control thread. */
#ifndef PGSPLICE_CONTROL_DIRECT_H
#define PGSPLICE_CONTROL_DIRECT_H

#include "cluster/local_member.h"
#include "control/listening.h"
#include "routing/member_set.h"

enum direct_target {
	DIRECT_OFF,
	DIRECT_REPLICAS, /* healthy standbys of the view */
	DIRECT_LOCAL,    /* this machine's own member */
	DIRECT_ANY,      /* every member, the leader too */
	DIRECT_NAME,     /* what `host` resolves to, without the leader */
};

enum direct_balance {
	DIRECT_LEAST,     /* fewest of our own sessions, of two drawn */
	DIRECT_RANDOM,    /* each as likely as the other */
	DIRECT_NEAREST,   /* answers fastest, with hysteresis */
	DIRECT_DNS_ORDER, /* first of the answer (else of the cluster data) that accepts */
};

/* When nobody whom the target names can be connected to. */
enum direct_fallback {
	DIRECT_FALLBACK_NONE,
	DIRECT_FALLBACK_LEADER,
	DIRECT_FALLBACK_ANY, /* a standby that lags or is not the target's, then the leader */
};

/* Beyond one of them a member gets no new sessions; 0: no limit. */
struct lag_limit {
	uint64_t bytes;
	int64_t ms;
};

struct direct_settings {
	enum direct_target target;
	const char *host; /* of DIRECT_NAME: a host name or an IP address */
	const char *port;
	enum dns_prefer prefer; /* for host */
	enum direct_balance balance;
	enum direct_fallback fallback;
	struct lag_limit max_lag;
	bool keeps_promoted;    /* sessions of a standby that becomes the leader */
	bool strict;            /* standbys, too, only while the store confirms the leader */
	int64_t dns_timeout_ms; /* for the first answer */
	struct local_member_settings local;
	struct listening_settings listening;
};

struct direct;

#endif
