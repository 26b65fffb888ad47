/* Socket addresses: IPv4, IPv6 with zone, unix. Values, no ownership. */
#ifndef PGSPLICE_NET_ADDR_H
#define PGSPLICE_NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"

/* An IP address and port: 28 bytes, small enough to keep one a session. */
struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
};

#define ADDR_TEXT_SIZE 80

/* "[::1]:5432", "10.0.0.1:5432", "[fe80::1%eth0]:5432"; "unix" for AF_UNIX and
 * "-" for none. Returns text. */
const char *addr_format(const struct addr *addr, char text[static ADDR_TEXT_SIZE]);

/* The same without brackets and port; of an IP address only. */
const char *addr_format_ip(const struct addr *addr, char text[static ADDR_TEXT_SIZE]);

/* An IP literal (IPv6 with or without brackets, with or without %zone).
 * ERR_SYNTAX when it is none: then it may be a name. */
MUST_CHECK int addr_parse_ip(const char *text, uint16_t port, struct addr *ret);

/* A decimal port from 1 to 65535 or a service name of /etc/services:
 * ERR_RANGE, ERR_SYNTAX (empty), or ERR_NO_NAME for an unknown service. */
MUST_CHECK int addr_parse_port(const char *text, uint16_t *ret);

socklen_t addr_size(const struct addr *addr);
uint16_t addr_port(const struct addr *addr);
void addr_set_port(struct addr *addr, uint16_t port);
/* Same family, address, zone and port. An IPv4-mapped IPv6 address equals the
 * IPv4 one. */
bool addr_equal(const struct addr *a, const struct addr *b);
/* 0.0.0.0 or :: */
bool addr_is_any(const struct addr *addr);
/* Whether this host has the address now, asked of the kernel; false if that
 * cannot be found out. */
bool addr_is_local(const struct addr *addr);

#endif
