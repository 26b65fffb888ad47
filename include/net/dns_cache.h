/* What is known of one name, from one answer to the next: how long it is good,
 * what is kept when servers fail, in which order it is told. Pure. */
#ifndef PGSPLICE_NET_DNS_CACHE_H
#define PGSPLICE_NET_DNS_CACHE_H

#include "net/dns_message.h"

#define DNS_MIN_TTL_MS      1000
#define DNS_NEGATIVE_TTL_MS 1000 /* of "there is none" */
#define DNS_RETRY_MS        1000 /* after an answer that says nothing */

/* Which family comes first, or alone. */
enum dns_prefer {
	DNS_PREFER_UNSET, /* as IPV4, unless the caller has something better */
	DNS_PREFER_IPV4,
	DNS_PREFER_IPV6,
	DNS_ONLY_IPV4,
	DNS_ONLY_IPV6,
};

/* One type of record: A, AAAA or TXT. */
struct dns_part {
	enum dns_type type;
	int error;       /* of the newest answer; -EINPROGRESS before the first */
	int64_t good_ms; /* when the last good answer came; 0: never */
	int64_t expires_ms;
	size_t count; /* of the last good answer, which outlives later errors */
	struct addr addrs[DNS_MAX_ADDRESSES];
	struct strbuf text;
};

#define DNS_MAX_PARTS 2

struct dns_cached {
	size_t count;
	struct dns_part parts[DNS_MAX_PARTS];
};

/* Addresses of the families that the preference wants, or texts. */
void dns_cached_init(struct dns_cached *cached, enum dns_prefer prefer);
void dns_cached_init_text(struct dns_cached *cached);
void dns_cached_deinit(struct dns_cached *cached);

/* The time for which an answer holds. */
int64_t dns_ttl_ms(int64_t ttl_s, int64_t max_ttl_ms);

/* Takes one answer: error 0 with records (their text may be taken out), ERR_NO_NAME or ERR_DNS. */
void dns_part_take(struct dns_part *part, int error, struct dns_records *records, int64_t now_ms,
		   int64_t max_ttl_ms);

/* When it has to be asked for again, and a little before that. */
int64_t dns_cached_expires_ms(const struct dns_cached *cached);
int64_t dns_cached_refresh_ms(const struct dns_cached *cached, int64_t asked_ms);
bool dns_cached_is_complete(const struct dns_cached *cached); /* all parts were answered once */

struct dns_answer {
	size_t count;
	struct addr addrs[DNS_MAX_ADDRESSES]; /* port 0; one family after the other */
	const char *text;                     /* of TXT; borrowed from the cache */
	size_t text_size;
};

/* What to tell. 0 with an answer, also an older one while servers fail;
 * ERR_NO_NAME: there is none; ERR_DNS: no server could say, ever; -EINPROGRESS.
 * stale_ms: also keep for so long what no longer exists. */
MUST_CHECK int dns_cached_read(const struct dns_cached *cached, enum dns_prefer prefer,
			       int64_t stale_ms, int64_t now_ms, struct dns_answer *ret);

#endif
