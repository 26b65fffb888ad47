/* The hosts file. Pure but for dns_hosts_read(). */
#ifndef PGSPLICE_NET_DNS_HOSTS_H
#define PGSPLICE_NET_DNS_HOSTS_H

#include "net/dns_message.h"

#define DNS_HOSTS_MAX_SIZE (1 << 20)

/* The addresses of one family that the text of a hosts file has for a name, in
 * its order. */
void dns_hosts_find(const char *text, size_t size, const char *name, int family,
		    struct dns_records *into);

/* Reads the file; nothing is in `into` if it cannot be read. */
void dns_hosts_read(const char *path, struct strbuf *into);

#endif
