/* Addresses and ports as texts: which are one, and which mean the same. Main
 * thread, before anything else runs. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "config_private.h"
#include "net/dns_channel.h"

#define LONGEST_LABEL     63
#define LONGEST_HOST_NAME 253
_Static_assert(CONFIG_HOST_SIZE == LONGEST_HOST_NAME + 1, "hosts are names or addresses");

/* Wildcards, as they are in lists once these are settled. */
#define ALL      "::"
#define ALL_IPV4 "0.0.0.0"

bool config_is_host_name(const char *text)
{
	size_t length = strlen(text);
	size_t label = 0;
	bool numeric = true; /* the last label: then it is a mistyped IPv4 address */

	if (length == 0 || length > LONGEST_HOST_NAME)
		return false;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '.' && label > 0 && i + 1 == length)
			break; /* a name may end with a dot */
		if (c == '.' && label > 0) {
			label = 0;
			numeric = true;
			continue;
		}
		if (!isalnum(c) && c != '-' && c != '_')
			return false;
		numeric = numeric && isdigit(c);
		if (++label > LONGEST_LABEL)
			return false;
	}
	return !numeric;
}

bool config_accepts_listen_address(const char *text)
{
	struct addr addr;

	if (text[0] == '/')
		return strlen(text) < sizeof(((struct sockaddr_un *)0)->sun_path);
	return text[0] == '\0' || addr_parse_ip(text, 0, &addr) == 0 || config_is_host_name(text);
}

bool config_accepts_server(const char *text)
{
	struct addr addr;

	return dns_parse_server(text, &addr) == 0;
}

bool config_accepts_port(const char *text)
{
	uint16_t port;

	return addr_parse_port(text, &port) == 0;
}

const char *config_split_host_port(const char *text, char host[static CONFIG_HOST_SIZE])
{
	const char *colon = strrchr(text, ':');
	bool is_bracketed = *text == '[';
	struct addr addr;

	if (colon == NULL || !config_accepts_port(colon + 1))
		return NULL;
	size_t length = (size_t)(colon - text);
	if (is_bracketed) {
		if (length < 2 || text[length - 1] != ']')
			return NULL;
		text++;
		length -= 2;
	}
	if (length >= CONFIG_HOST_SIZE)
		return NULL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (*host != '[' && addr_parse_ip(host, 0, &addr) == 0)
		return is_bracketed == (addr.sa.sa_family == AF_INET6) ? colon + 1 : NULL;
	return !is_bracketed && config_is_host_name(host) ? colon + 1 : NULL;
}

bool config_accepts_host_port(const char *text)
{
	char host[CONFIG_HOST_SIZE];

	return config_split_host_port(text, host) != NULL;
}

int config_take_host_port(const char *text, char **ret_host, const char **ret_port)
{
	char host[CONFIG_HOST_SIZE];
	const char *port = config_split_host_port(text, host);

	if (port == NULL)
		return ERR_SYNTAX;
	char *copy = strdup(host);
	if (copy == NULL)
		return -ENOMEM;
	*ret_host = copy;
	*ret_port = port;
	return 0;
}

/* Whether a listener on a takes all that one on b would. */
static bool covers(const char *a, const char *b)
{
	struct addr x;
	struct addr y;

	if (strcmp(a, b) == 0)
		return true;
	if (strcmp(a, ALL) == 0)
		return *b != '/';
	if (addr_parse_ip(a, 0, &x) < 0 || addr_parse_ip(b, 0, &y) < 0)
		return false;
	return addr_equal(&x, &y) || (strcmp(a, ALL_IPV4) == 0 && y.sa.sa_family == AF_INET);
}

/* A name may turn out to have an IPv4 address. */
static bool may_cover(const char *a, const char *b)
{
	struct addr addr;

	return covers(a, b) ||
	       (strcmp(a, ALL_IPV4) == 0 && *b != '/' && addr_parse_ip(b, 0, &addr) < 0);
}

bool config_addresses_overlap(const struct option_list *a, const struct option_list *b)
{
	for (size_t i = 0; i < a->count; i++) {
		for (size_t j = 0; j < b->count; j++) {
			if (may_cover(a->items[i], b->items[j]) ||
			    may_cover(b->items[j], a->items[i]))
				return true;
		}
	}
	return false;
}

/* ALL or ALL_IPV4 if the item means that, else NULL. */
static const char *wildcard_of(const char *item, bool ipv4_alone)
{
	struct addr addr;

	if (*item == '\0')
		return ALL;
	if (addr_parse_ip(item, 0, &addr) < 0 || !addr_is_any(&addr))
		return NULL;
	bool is_ipv6 =
		addr.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&addr.in6.sin6_addr);
	return ipv4_alone && !is_ipv6 ? ALL_IPV4 : ALL;
}

int config_settle_addresses(struct option_list *list, bool ipv4_alone)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		char *item = list->items[i];
		const char *wildcard = wildcard_of(item, ipv4_alone);

		if (wildcard != NULL) {
			char *all = strdup(wildcard);
			if (all == NULL)
				return -ENOMEM;
			list->items[i] = all;
			free(item);
		} else if (*item == '[') {
			item[strlen(item) - 1] = '\0';
			memmove(item, item + 1, strlen(item));
		}
	}
	for (size_t i = 0; i < list->count; i++) {
		char *item = list->items[i];
		bool covered = false;

		for (size_t j = 0; j < kept && !covered; j++)
			covered = covers(list->items[j], item);
		for (size_t j = i + 1; j < list->count && !covered; j++)
			covered = covers(list->items[j], item) && !covers(item, list->items[j]);
		if (covered)
			free(item);
		else
			list->items[kept++] = item;
	}
	list->count = kept;
	return 0;
}
