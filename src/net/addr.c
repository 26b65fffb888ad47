/* Addresses as values: parsing, printing, comparing. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/parse.h"

/* Of an IPv6 address its zone as well: fe80::1%eth0. */
#define IP_TEXT_SIZE (INET6_ADDRSTRLEN + 1 + IF_NAMESIZE)

static void format_ip(const struct addr *addr, char text[static IP_TEXT_SIZE])
{
	uint32_t zone = 0;

	if (addr->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &addr->in.sin_addr, text, IP_TEXT_SIZE);
	} else {
		inet_ntop(AF_INET6, &addr->in6.sin6_addr, text, IP_TEXT_SIZE);
		zone = addr->in6.sin6_scope_id;
	}
	if (zone == 0)
		return;
	char *end = text + strlen(text);
	*end++ = '%';
	if (if_indextoname(zone, end) == NULL)
		snprintf(end, IF_NAMESIZE, "%u", zone);
}

const char *addr_format_ip(const struct addr *addr, char text[static ADDR_TEXT_SIZE])
{
	char ip[IP_TEXT_SIZE];

	format_ip(addr, ip);
	snprintf(text, ADDR_TEXT_SIZE, "%s", ip);
	return text;
}

const char *addr_format(const struct addr *addr, char text[static ADDR_TEXT_SIZE])
{
	char ip[IP_TEXT_SIZE];

	switch (addr->sa.sa_family) {
	case AF_INET:
		format_ip(addr, ip);
		snprintf(text, ADDR_TEXT_SIZE, "%s:%u", ip, ntohs(addr->in.sin_port));
		break;
	case AF_INET6:
		format_ip(addr, ip);
		snprintf(text, ADDR_TEXT_SIZE, "[%s]:%u", ip, ntohs(addr->in6.sin6_port));
		break;
	case AF_UNIX:
		snprintf(text, ADDR_TEXT_SIZE, "unix");
		break;
	default:
		snprintf(text, ADDR_TEXT_SIZE, "-");
	}
	return text;
}

static int parse_zone(const char *zone, uint32_t *ret)
{
	int64_t number;
	unsigned index = if_nametoindex(zone);

	if (index == 0) {
		int r = parse_int(zone, 1, UINT32_MAX, &number);
		if (r < 0)
			return ERR_SYNTAX;
		index = (unsigned)number;
	}
	*ret = index;
	return 0;
}

int addr_parse_ip(const char *text, uint16_t port, struct addr *ret)
{
	struct addr a = {0};
	char copy[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
	size_t length = strlen(text);

	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	if (length >= sizeof(copy))
		return ERR_SYNTAX;
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (inet_pton(AF_INET, copy, &a.in.sin_addr) == 1) {
		a.in.sin_family = AF_INET;
		a.in.sin_port = htons(port);
		*ret = a;
		return 0;
	}
	char *zone = strchr(copy, '%');
	if (zone != NULL)
		*zone++ = '\0';
	if (inet_pton(AF_INET6, copy, &a.in6.sin6_addr) != 1)
		return ERR_SYNTAX;
	if (zone != NULL) {
		int r = parse_zone(zone, &a.in6.sin6_scope_id);
		if (r < 0)
			return r;
	}
	a.in6.sin6_family = AF_INET6;
	a.in6.sin6_port = htons(port);
	*ret = a;
	return 0;
}

int addr_parse_port(const char *text, uint16_t *ret)
{
	struct servent entry;
	struct servent *found = NULL;
	char buffer[1024];
	int64_t number;

	if (*text == '\0')
		return ERR_SYNTAX;
	int r = parse_int(text, 1, UINT16_MAX, &number);
	if (r == 0)
		*ret = (uint16_t)number;
	if (r != ERR_SYNTAX)
		return r;
	if (getservbyname_r(text, "tcp", &entry, buffer, sizeof(buffer), &found) != 0 ||
	    found == NULL)
		return ERR_NO_NAME;
	*ret = ntohs((uint16_t)found->s_port);
	return 0;
}

socklen_t addr_size(const struct addr *addr)
{
	return addr->sa.sa_family == AF_INET6 ? sizeof(addr->in6) : sizeof(addr->in);
}

uint16_t addr_port(const struct addr *addr)
{
	switch (addr->sa.sa_family) {
	case AF_INET:
		return ntohs(addr->in.sin_port);
	case AF_INET6:
		return ntohs(addr->in6.sin6_port);
	default:
		return 0;
	}
}

void addr_set_port(struct addr *addr, uint16_t port)
{
	if (addr->sa.sa_family == AF_INET6)
		addr->in6.sin6_port = htons(port);
	else
		addr->in.sin_port = htons(port);
}

/* IPv4-mapped addresses become IPv4, so that comparisons see one form. */
static struct addr unmap(const struct addr *addr)
{
	struct addr plain = *addr;

	if (addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr)) {
		plain = (struct addr){0};
		plain.in.sin_family = AF_INET;
		plain.in.sin_port = addr->in6.sin6_port;
		memcpy(&plain.in.sin_addr, &addr->in6.sin6_addr.s6_addr[12], 4);
	}
	return plain;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	struct addr x = unmap(a);
	struct addr y = unmap(b);

	if (x.sa.sa_family != y.sa.sa_family || addr_port(&x) != addr_port(&y))
		return false;
	if (x.sa.sa_family == AF_INET)
		return x.in.sin_addr.s_addr == y.in.sin_addr.s_addr;
	return x.sa.sa_family == AF_INET6 &&
	       IN6_ARE_ADDR_EQUAL(&x.in6.sin6_addr, &y.in6.sin6_addr) &&
	       x.in6.sin6_scope_id == y.in6.sin6_scope_id;
}

bool addr_is_any(const struct addr *addr)
{
	struct addr plain = unmap(addr);

	if (plain.sa.sa_family == AF_INET)
		return plain.in.sin_addr.s_addr == htonl(INADDR_ANY);
	return plain.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&plain.in6.sin6_addr);
}

static bool is_loopback(const struct addr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return ntohl(addr->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&addr->in6.sin6_addr);
}

/* Whether an interface has it. */
static bool is_assigned(const struct addr *addr)
{
	struct ifaddrs *all;
	bool found = false;

	if (getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *i = all; i != NULL && !found; i = i->ifa_next) {
		struct addr own = {0};
		if (i->ifa_addr == NULL || i->ifa_addr->sa_family != addr->sa.sa_family)
			continue;
		own.sa.sa_family = addr->sa.sa_family;
		memcpy(&own, i->ifa_addr, addr_size(&own));
		addr_set_port(&own, addr_port(addr));
		found = addr_equal(&own, addr);
	}
	freeifaddrs(all);
	return found;
}

bool addr_is_local(const struct addr *addr)
{
	struct addr there = unmap(addr);
	struct addr here = {0};
	socklen_t size = sizeof(here);
	AUTO_CLOSE int fd = socket(there.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (addr_is_any(&there))
		return true;
	/* The way to an address of our own begins at an address of our own and within the
	 * loopback network, also to those that no interface lists (127.0.0.2). (That one
	 * can bind to it proves nothing where ip_nonlocal_bind is set.) Connecting a
	 * datagram socket sends nothing. */
	addr_set_port(&there, 9);
	if (fd >= 0 && connect(fd, &there.sa, addr_size(&there)) == 0 &&
	    getsockname(fd, &here.sa, &size) == 0) {
		addr_set_port(&here, 9);
		if (addr_equal(&here, &there) || (is_loopback(&here) && is_loopback(&there)))
			return true;
	}
	/* It begins at the first address of a network also for the others. */
	return is_assigned(&there);
}
