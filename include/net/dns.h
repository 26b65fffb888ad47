/* Host names to addresses, without blocking: hosts file, name servers, and what
 * they said last. Loop thread. */
#ifndef PGSPLICE_NET_DNS_H
#define PGSPLICE_NET_DNS_H

#include "net/dns_cache.h"
#include "net/loop.h"

struct dns_settings {
	const char *server;          /* as dns_parse_server() takes it; NULL: resolv.conf's */
	const char *fallback_server; /* where resolv.conf names none; or NULL */
	enum dns_prefer prefer;      /* for requests that leave it unset */
	int64_t max_ttl_ms;          /* answers hold no longer than this */
	int64_t stale_ms;            /* for requests that keep what is gone */
	const char *resolv_conf;     /* NULL: the system's files */
	const char *hosts;
};

struct dns;
struct dns_lookup;

struct dns_request {
	const char *name; /* copied */
	int64_t timeout_ms;
	enum dns_prefer prefer;
	bool keeps_gone; /* go on with the last answer for stale_ms when the name is gone */
	bool is_text;    /* TXT in place of addresses */
};

/* error: 0 with at least one record; ERR_NO_NAME when the name does not exist
 * or has no such record; ERR_DNS when no server could say and none ever did.
 * The answer lives until the callback returns. */
typedef void dns_cb(int error, const struct dns_answer *answer, void *arg);

/* The settings' texts must outlive it. */
MUST_CHECK int dns_open(struct loop *loop, const struct dns_settings *settings,
			struct dns **ret_dns);
/* Ends all lookups without callbacks. Accepts NULL. */
void dns_close(struct dns **dns);

/* cb runs once, from the loop, never inside this call, at most timeout_ms later:
 * in the next turn while an answer is cached and valid. */
MUST_CHECK int dns_lookup(struct dns *dns, const struct dns_request *request, dns_cb *cb, void *arg,
			  struct dns_lookup **ret_lookup);
/* The same, but the name is asked for again each time before its answer expires,
 * and cb runs after every one until dns_cancel(). The time-out is for the first. */
MUST_CHECK int dns_follow(struct dns *dns, const struct dns_request *request, dns_cb *cb, void *arg,
			  struct dns_lookup **ret_lookup);
void dns_cancel(struct dns_lookup **lookup);

/* What is known now, as the callback would have it; -EINPROGRESS when that has
 * to be asked for. */
MUST_CHECK int dns_peek(const struct dns_lookup *lookup, struct dns_answer *ret);
/* Asks now if it is time to: timers know nothing of a suspend. */
void dns_refresh(struct dns_lookup *lookup);

#endif
