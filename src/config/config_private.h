/* What the rows (config.c) and the rules between them share. */
#ifndef PGSPLICE_CONFIG_CONFIG_PRIVATE_H
#define PGSPLICE_CONFIG_CONFIG_PRIVATE_H

#include "config/config.h"

#define CONFIG_MEMBERS_BACKEND  "postgres"
#define CONFIG_PATRONI_BACKENDS "file, etcdv2, etcdv3 or consul"
#define CONFIG_HOST_SIZE        254 /* of the longest host, terminated */

enum backend {
	BACKEND_FILE,
	BACKEND_ETCDV2,
	BACKEND_ETCDV3,
	BACKEND_CONSUL,
	BACKEND_POSTGRES, /* no store: the servers themselves */
	BACKEND_KUBERNETES,
};

enum store_outage {
	STORE_OUTAGE_UNSET,
	STORE_OUTAGE_CONFIRM,
	STORE_OUTAGE_STRICT,
};

enum on_promote {
	ON_PROMOTE_UNSET,
	ON_PROMOTE_CUT,
	ON_PROMOTE_KEEP,
};

enum probe_choice {
	PROBE_CHOICE_AUTO,
	PROBE_CHOICE_POSTGRES,
	PROBE_CHOICE_HTTP,
};

/* Names of --store-backend. The first name of each is the one the store knows. */
extern const struct option_choice config_backends[];
enum backend config_backend_named(const char *name);

/* The default of --store-prefix: by its address, what was given is another text. */
extern const char config_stolon_prefix[];

/* Checks and completes what was read. On failure one line is written to err. */
MUST_CHECK int config_check(struct config *config, char *const *envp, FILE *err);

/* Where the store is by its URL: from --store-url, else, where nothing else says
 * it, from the variables that Fly sets. */
MUST_CHECK int config_take_store_url(struct config *config, enum backend backend, char *const *envp,
				     FILE *err);
void config_url_free(struct config_url **url);

/* Makes config->members of what was given, and the backend "postgres" if there are
 * any; only both together are accepted. */
MUST_CHECK int config_settle_members(struct config *config, FILE *err);

/* Makes the settings of probes of what was given. */
MUST_CHECK int config_settle_probing(const struct config *config, struct probing *ret, FILE *err);

/* Whether the format goes with the options that say where the cluster is, before
 * those are looked at. */
MUST_CHECK int config_check_format(const struct config *config, FILE *err);
/* Makes config->patroni of what was given, when the store is complete; with another
 * format only sees to it that nothing was given that is Patroni's. */
MUST_CHECK int config_settle_patroni(struct config *config, FILE *err);

/* Makes config->direct of what was given, when the rest is complete. */
MUST_CHECK int config_settle_direct(struct config *config, FILE *err);

/* What rows accept: an item of --listen-address, of --dns-server, a port, a host
 * with its port (IPv6 in brackets); --direct-target and --direct-max-lag;
 * an item of --members. */
bool config_accepts_listen_address(const char *text);
bool config_accepts_server(const char *text);
bool config_accepts_port(const char *text);
bool config_accepts_host_port(const char *text);
bool config_accepts_direct_target(const char *text);
bool config_accepts_lag(const char *text);
bool config_accepts_member(const char *text);

bool config_is_host_name(const char *text);
/* The port of host:port, with the host in host, without its brackets. NULL if the
 * text is not of this form. */
const char *config_split_host_port(const char *text, char host[static CONFIG_HOST_SIZE]);

/* The host without brackets, which the caller owns, and the port, which points into
 * text. ERR_SYNTAX for what is not accepted, or -ENOMEM. */
MUST_CHECK int config_take_host_port(const char *text, char **ret_host, const char **ret_port);

/* Makes items of one meaning look the same, then keeps what no other covers:
 * listening twice on an address fails. A wildcard is "::" then; with ipv4_alone that
 * of IPv4 stays "0.0.0.0". Returns 0 or -ENOMEM. */
MUST_CHECK int config_settle_addresses(struct option_list *list, bool ipv4_alone);
/* Whether listening on both lists, settled, at one port can fail. */
bool config_addresses_overlap(const struct option_list *a, const struct option_list *b);

#endif
