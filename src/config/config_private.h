/* What the rows (config.c) and the rules between them share. */
#ifndef PGSPLICE_CONFIG_CONFIG_PRIVATE_H
#define PGSPLICE_CONFIG_CONFIG_PRIVATE_H

#include "config/config.h"

enum backend {
	BACKEND_FILE,
	BACKEND_ETCDV2,
	BACKEND_ETCDV3,
	BACKEND_CONSUL,
	BACKEND_KUBERNETES,
};

/* Names of --store-backend. The first name of each is the one the store knows. */
extern const struct option_choice config_backends[];

/* Checks and completes what was read. On failure one line is written to err. */
MUST_CHECK int config_check(struct config *config, char *const *envp, FILE *err);

/* Where the store is by its URL: from --store-url, else, where nothing else says
 * it, from the variables that Fly sets. */
MUST_CHECK int config_take_store_url(struct config *config, enum backend backend, char *const *envp,
				     FILE *err);
void config_url_free(struct config_url **url);

/* What a row accepts: an item of --listen-address, of --dns-server, a port. */
bool config_accepts_listen_address(const char *text);
bool config_accepts_server(const char *text);
bool config_accepts_port(const char *text);

/* Makes items of one meaning look the same, then keeps what no other covers:
 * listening twice on an address fails. Returns 0 or -ENOMEM. */
MUST_CHECK int config_settle_addresses(struct option_list *list);

#endif
