/* The settings of the whole program, from command line and environment. Only
 * main includes this: it hands each module its own part. */
#ifndef PGSPLICE_CONFIG_CONFIG_H
#define PGSPLICE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/log.h"
#include "config/option_table.h"
#include "control/direct.h"
#include "control/source.h"
#include "net/dns.h"
#include "net/sock.h"
#include "store/store.h"

/* Texts are NULL when not given, unless it says otherwise. They point into
 * argv, envp or constants and are not owned. */
struct config {
	/* Cluster and store. */
	const char *cluster_name; /* never NULL; "" only with members */
	int cluster_format;       /* enum cluster_format */
	const char *store_prefix; /* never NULL */
	const char *store_password_file;
	char *store_password; /* its first line; owned */
	char *store_token;    /* of store.token_file; owned */
	const char *store_url;
	struct config_url *store_url_parts; /* what that comes to; owned */
	/* Backend without aliases, its endpoints set. With members the backend is
	 * "postgres" and nothing else but the time-out means anything. */
	struct store_settings store;

	/* Members: as given, each then as control wants it, and what that comes to. */
	struct {
		struct option_list list;
		int probe; /* enum probe_choice */
		int http_port;
	} members_options;
	struct members_settings members;

	/* Patroni: as given, and what that comes to; zeros with another format. */
	struct {
		int confirm;     /* enum confirm_leader */
		int outage;      /* enum store_outage */
		int citus_group; /* -1: none */
	} patroni_options;
	struct patroni_settings patroni;

	/* Names. */
	struct dns_settings dns;
	int dns_prefer; /* enum dns_prefer; also in dns */

	/* Listening. */
	struct {
		/* At least one; each different. An IP address (IPv6 without brackets),
		 * a host name, or the path of a unix socket. "::" stands for all
		 * addresses of both families, and then no other IP address or name is
		 * in the list. Not yet merged: names that resolve to the same. */
		struct option_list addresses;
		const char *port; /* a number or a service name that exists */
	} listen;
	bool stop_listening;
	const char *metrics_listen_address;

	/* Direct port: as given, and what that comes to. */
	struct {
		const char *target;
		const char *port;
		struct option_list addresses;
		int balance;  /* enum direct_balance */
		int fallback; /* enum direct_fallback */
		const char *max_lag;
		int on_promote;
		int is_strict;
	} direct_options;
	char *direct_host; /* of direct.host; owned */
	/* Complete but for the keepalive. Addresses as of listen, but "0.0.0.0" stands
	 * for those of IPv4 alone; names and IPv6 addresses may be beside it. */
	struct direct_settings direct;

	/* Sessions. */
	struct keepalive_settings client_keepalive;
	int64_t connect_timeout_ms;
	int splice; /* enum splice_mode */

	/* Logging. */
	struct log_settings log;

	/* Process. */
	int workers; /* at least 1 */
	const char *pidfile;

	/* What config_load() itself acts on. */
	bool debug;
	bool help;
	bool version;
};

enum config_outcome {
	CONFIG_RUN,     /* *config is complete */
	CONFIG_DONE,    /* help or version was printed: exit 0 */
	CONFIG_REFUSED, /* one line says why: exit 1 */
};

/* Reads the settings; argv and envp must outlive them. What was asked for goes
 * to out (stdout), errors and notices to err (stderr). The command line beats
 * the environment, which beats the defaults. No error text repeats a password.
 * config_deinit() follows in any case. */
MUST_CHECK enum config_outcome config_load(struct config *config, int argc, char *const *argv,
					   char *const *envp, FILE *out, FILE *err);
void config_deinit(struct config *config);

#endif
