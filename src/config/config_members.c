/* The options of a cluster without a store, that is asked for at its servers: what a
 * member is and what has to hold between them. Main thread, before anything else
 * runs. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "config_private.h"

#define DEFAULT_PORT 5432
#define MOST_MEMBERS 64
#define MEMBER_SIZE  (CONFIG_HOST_SIZE + sizeof(":65535"))

/* One text for each meaning: an IPv4 address has several as one of IPv6. */
static void format_address(const struct addr *addr, char text[static MEMBER_SIZE])
{
	struct addr plain = *addr;
	char formatted[ADDR_TEXT_SIZE];

	if (addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr)) {
		plain = (struct addr){
			.in = {.sin_family = AF_INET, .sin_port = addr->in6.sin6_port}};
		memcpy(&plain.in.sin_addr, &addr->in6.sin6_addr.s6_addr[12],
		       sizeof(plain.in.sin_addr));
	}
	snprintf(text, MEMBER_SIZE, "%s", addr_format(&plain, formatted));
}

/* host:port as struct members_settings has it; ERR_SYNTAX if the item is no member. */
static int format_member(const char *item, char text[static MEMBER_SIZE])
{
	char buffer[CONFIG_HOST_SIZE];
	const char *port_text = config_split_host_port(item, buffer);
	const char *host = port_text != NULL ? buffer : item;
	uint16_t port = DEFAULT_PORT;
	struct addr addr;

	if (port_text != NULL && addr_parse_port(port_text, &port) < 0)
		return ERR_SYNTAX;
	if (addr_parse_ip(host, port, &addr) == 0) {
		/* The wildcard would lead to this machine. */
		if (addr_is_any(&addr))
			return ERR_SYNTAX;
		format_address(&addr, text);
		return 0;
	}
	if (!config_is_host_name(host))
		return ERR_SYNTAX;
	snprintf(text, MEMBER_SIZE, "%s:%u", host, port);
	for (char *c = text; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return 0;
}

/* Empty takes back what a variable says. */
bool config_accepts_member(const char *text)
{
	char formatted[MEMBER_SIZE];

	return *text == '\0' || format_member(text, formatted) == 0;
}

static bool contains(const struct option_list *list, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list->items[i], text) == 0)
			return true;
	}
	return false;
}

/* Rewrites the items and keeps each member once. Places that were left are NULL until
 * the count is set, so that the list can be freed at any moment. */
static int settle_list(struct option_list *list, FILE *err)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		AUTO_FREE char *item = TAKE_PTR(list->items[i]);
		char text[MEMBER_SIZE];

		/* Its row has accepted it: what is no member is empty. */
		if (format_member(item, text) < 0 || contains(list, kept, text))
			continue;
		if (kept == MOST_MEMBERS) {
			fprintf(err, "--members: at most %d servers are possible\n", MOST_MEMBERS);
			return ERR_RANGE;
		}
		list->items[kept] = strdup(text);
		if (list->items[kept++] == NULL) {
			fprintf(err, "--members: %s\n", err_text(-ENOMEM));
			return -ENOMEM;
		}
	}
	list->count = kept;
	return 0;
}

/* Either one without the other would be about another cluster than was meant. */
static int settle_backend(struct config *config, FILE *err)
{
	const char *backend = config->store.backend;
	bool is_postgres = backend != NULL && strcmp(backend, CONFIG_MEMBERS_BACKEND) == 0;

	if (config->members_options.list.count == 0) {
		if (!is_postgres)
			return 0;
		fputs("--store-backend=" CONFIG_MEMBERS_BACKEND
		      " asks the servers themselves: --members must say which\n",
		      err);
		return ERR_SYNTAX;
	}
	if (backend != NULL && !is_postgres) {
		fprintf(err,
			"--members asks the servers themselves: it goes with "
			"--store-backend=" CONFIG_MEMBERS_BACKEND ", not \"%s\"\n",
			backend);
		return ERR_SYNTAX;
	}
	config->store.backend = CONFIG_MEMBERS_BACKEND;
	return 0;
}

static int settle_probing(struct config *config, FILE *err)
{
	struct probing probing;

	int r = config_settle_probing(config, &probing, err);
	if (r < 0)
		return r;
	config->members.probing = probing;
	return 0;
}

int config_settle_members(struct config *config, FILE *err)
{
	struct option_list *list = &config->members_options.list;

	int r = settle_list(list, err);
	if (r == 0)
		r = settle_backend(config, err);
	if (r < 0)
		return r;
	config->members.members = list->items;
	config->members.count = list->count;
	return list->count == 0 ? 0 : settle_probing(config, err);
}
