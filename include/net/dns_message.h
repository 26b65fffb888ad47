/* Answers of name servers, as bytes. Pure and bounded: no loop, no c-ares. */
#ifndef PGSPLICE_NET_DNS_MESSAGE_H
#define PGSPLICE_NET_DNS_MESSAGE_H

#include <stddef.h>

#include "base/strbuf.h"
#include "net/addr.h"

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_TXT = 16,
	DNS_TYPE_AAAA = 28,
};

#define DNS_NAME_SIZE     256
#define DNS_MAX_ADDRESSES 128 /* what a name may have in one family; more are left out */
#define DNS_MAX_TEXT      65536

/* What one answer says of the name that was asked for. */
struct dns_records {
	int64_t ttl_s; /* the lowest on the way, those of the aliases included */
	size_t count;
	struct addr addrs[DNS_MAX_ADDRESSES]; /* in the answer's order, port 0 */
	struct strbuf text;                   /* TXT: strings joined, records apart by ',' */
	/* Not "": the name is an alias of this one, of which nothing is said here. */
	char alias[DNS_NAME_SIZE];
};

/* Follows the aliases (CNAME) from the name in the question. 0: records, or an
 * alias to ask for. ERR_NO_NAME: the name, or this type of it, does not exist.
 * -ELOOP: the aliases lead in a circle. ERR_SYNTAX: no answer at all. ERR_DNS:
 * the server could not say. dns_records_deinit() follows in any case. */
MUST_CHECK int dns_message_read(const uint8_t *data, size_t size, enum dns_type type,
				struct dns_records *ret);
void dns_records_deinit(struct dns_records *records);

/* One item of a list such as "id region,id region" (vms.APP.internal) or
 * "ord,iad" (regions.APP.internal). Its words point into the text. */
struct dns_item {
	const char *name;
	size_t name_length; /* at least 1 */
	const char *value;  /* what follows the first blank */
	size_t value_length;
};

/* Takes the next item off *text, of which *size bytes are left. False: none. */
bool dns_item_next(const char **text, size_t *size, struct dns_item *ret);

#endif
