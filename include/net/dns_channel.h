/* Questions to name servers: c-ares on a loop, hidden. Loop thread. */
#ifndef PGSPLICE_NET_DNS_CHANNEL_H
#define PGSPLICE_NET_DNS_CHANNEL_H

#include "net/dns_message.h"
#include "net/loop.h"

#define DNS_SERVER_PORT 53

/* Which servers to ask; texts live as long as the channel. */
struct dns_channel_settings {
	const char *server;      /* dns_parse_server() accepts it; NULL: those of resolv_conf */
	const char *fallback;    /* as server, where resolv_conf names none; or NULL */
	const char *resolv_conf; /* NULL: the system's */
};

struct dns_channel;

/* error: 0 with records, ERR_NO_NAME, or ERR_DNS when no server could say.
 * Not told when the channel closes. May run inside dns_channel_ask(). */
typedef void dns_channel_cb(int error, struct dns_records *records, void *arg);

/* "ADDRESS" or "ADDRESS:PORT", IPv6 with a port in brackets. ERR_SYNTAX. */
MUST_CHECK int dns_parse_server(const char *text, struct addr *ret);

MUST_CHECK int dns_channel_open(struct loop *loop, const struct dns_channel_settings *settings,
				struct dns_channel **ret_channel);
void dns_channel_close(struct dns_channel **channel);

/* Asks for one type of record, following aliases; a name without a dot also
 * with the search domains. c-ares cannot give up a question: it is answered
 * after some seconds at the latest. */
void dns_channel_ask(struct dns_channel *channel, const char *name, enum dns_type type,
		     dns_channel_cb *cb, void *arg);

/* Reads resolv.conf again; what is being asked is asked anew. Keeps the servers
 * it has when that fails. */
void dns_channel_rebuild(struct dns_channel *channel);

#endif
