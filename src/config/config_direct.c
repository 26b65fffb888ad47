/* The options of the direct port: what each text may be, what they come to and what
 * has to hold between them. Main thread, before anything else runs. */
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/parse.h"
#include "config_private.h"

#define MIN_LAG_NS INT64_C(100000000)
#define MAX_LAG_NS INT64_C(86400000000000)

static const struct {
	const char *text;
	enum direct_target target;
} target_words[] = {
	{"replicas", DIRECT_REPLICAS},
	{"local", DIRECT_LOCAL},
	{"any", DIRECT_ANY},
};

/* DIRECT_NAME for what is none of the words. */
static enum direct_target target_of(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(target_words); i++) {
		if (strcmp(text, target_words[i].text) == 0)
			return target_words[i].target;
	}
	return DIRECT_NAME;
}

/* Empty takes back what a variable says. */
bool config_accepts_direct_target(const char *text)
{
	return *text == '\0' || target_of(text) != DIRECT_NAME || config_accepts_host_port(text);
}

/* No text is both a size and a duration. */
static int parse_lag(const char *text, struct lag_limit *ret)
{
	uint64_t bytes;
	int64_t ns;

	if (parse_bytes(text, &bytes) == 0) {
		if (bytes == 0)
			return ERR_RANGE;
		*ret = (struct lag_limit){.bytes = bytes};
		return 0;
	}
	int r = parse_duration(text, &ns);
	if (r < 0)
		return r;
	if (ns < MIN_LAG_NS || ns > MAX_LAG_NS)
		return ERR_RANGE;
	*ret = (struct lag_limit){.ms = ns / NS_PER_MS};
	return 0;
}

bool config_accepts_lag(const char *text)
{
	struct lag_limit lag;

	return *text == '\0' || parse_lag(text, &lag) == 0;
}

/* In a folder each port has a socket of its own; any other path is one socket,
 * whatever the port. */
static bool is_single_socket(const char *item)
{
	struct stat status;

	return *item == '/' && !(stat(item, &status) == 0 && S_ISDIR(status.st_mode));
}

/* NULL if the two share none. */
static const char *shared_socket(const struct option_list *a, const struct option_list *b)
{
	for (size_t i = 0; i < a->count; i++) {
		for (size_t j = 0; j < b->count; j++) {
			if (strcmp(a->items[i], b->items[j]) == 0 && is_single_socket(a->items[i]))
				return a->items[i];
		}
	}
	return NULL;
}

/* Otherwise the second listener would fail, again and again, long after the start. */
static int check_listeners(const struct config *config, const struct option_list *ours, FILE *err)
{
	const struct option_list *leaders = &config->listen.addresses;
	const char *socket = shared_socket(ours, leaders);
	uint16_t our_port;
	uint16_t leaders_port;

	if (addr_parse_port(config->direct_options.port, &our_port) == 0 &&
	    addr_parse_port(config->listen.port, &leaders_port) == 0 && our_port == leaders_port &&
	    config_addresses_overlap(ours, leaders)) {
		fprintf(err,
			"--direct-port and --port are both %u: one of them must be another, or "
			"--direct-listen-address\n",
			our_port);
		return ERR_SYNTAX;
	}
	if (socket == NULL)
		return 0;
	fputs("\"", err);
	option_print_value(socket, err);
	fputs("\" is a single socket, not a folder: --direct-listen-address and --listen-address "
	      "cannot both be it\n",
	      err);
	return ERR_SYNTAX;
}

static int settle_listening(struct config *config, FILE *err)
{
	struct option_list *given = &config->direct_options.addresses;
	const struct option_list *list = given->count > 0 ? given : &config->listen.addresses;

	int r = config_settle_addresses(given, true);
	if (r < 0) {
		fprintf(err, "--direct-listen-address: %s\n", err_text(r));
		return r;
	}
	config->direct.listening = (struct listening_settings){
		.addresses = list->items,
		.count = list->count,
		.port = config->direct_options.port,
	};
	return config->direct.target == DIRECT_OFF ? 0 : check_listeners(config, list, err);
}

static int settle_target(struct config *config, FILE *err)
{
	struct direct_settings *direct = &config->direct;
	const char *text = config->direct_options.target;

	direct->target = text == NULL ? DIRECT_OFF : target_of(text);
	if (direct->target != DIRECT_NAME)
		return 0;
	int r = config_take_host_port(text, &config->direct_host, &direct->port);
	if (r < 0)
		fprintf(err, "--direct-target: %s\n", err_text(r));
	direct->host = config->direct_host;
	return r;
}

int config_settle_direct(struct config *config, FILE *err)
{
	struct direct_settings *direct = &config->direct;
	enum on_promote on_promote = (enum on_promote)config->direct_options.on_promote;

	int r = settle_target(config, err);
	if (r < 0)
		return r;
	if (config->direct_options.max_lag != NULL) {
		r = parse_lag(config->direct_options.max_lag, &direct->max_lag);
		CHECK(r == 0); /* its row has accepted it */
	}
	/* Names of private networks are answered with IPv6 first, or alone. */
	direct->prefer =
		config->dns.prefer == DNS_PREFER_UNSET ? DNS_PREFER_IPV6 : config->dns.prefer;
	direct->balance = (enum direct_balance)config->direct_options.balance;
	direct->fallback = (enum direct_fallback)config->direct_options.fallback;
	/* Who asks for standbys reads; who names a server wants that one. */
	direct->keeps_promoted =
		on_promote == ON_PROMOTE_KEEP ||
		(on_promote == ON_PROMOTE_UNSET && direct->target != DIRECT_REPLICAS);
	direct->strict = config->direct_options.is_strict;
	direct->dns_timeout_ms = config->store.timeout_ms;
	return settle_listening(config, err);
}
