/* Addresses and ports as texts: which are one, and which mean the same. Main
 * thread, before anything else runs. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "config_private.h"
#include "net/dns_channel.h"

#define LONGEST_LABEL     63
#define LONGEST_HOST_NAME 253

static bool is_host_name(const char *text)
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
	return text[0] == '\0' || addr_parse_ip(text, 0, &addr) == 0 || is_host_name(text);
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

/* Whether list items are the same, or the wildcard covers b. */
static bool covers(const char *a, const char *b)
{
	return strcmp(a, b) == 0 || (strcmp(a, "::") == 0 && b[0] != '/');
}

int config_settle_addresses(struct option_list *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		char *item = list->items[i];
		struct addr addr;

		if (*item == '\0' || (addr_parse_ip(item, 0, &addr) == 0 && addr_is_any(&addr))) {
			char *all = strdup("::");
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
