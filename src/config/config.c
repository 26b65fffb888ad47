/* The options of pgsplice, one row each, and what has to hold between them.
 * Those of stolon-proxy keep its names, defaults and error texts. Main thread,
 * before anything else runs. */
#include "config/config.h"

#include <unistd.h>

#include "base/err.h"
#include "config/option_source.h"
#include "config_private.h"
#include "session/pump.h"

#define OPTION_TARGET struct config

#define GROUP_STORE   "Cluster and store"
#define GROUP_MEMBERS "Members and probes"
#define GROUP_LISTEN  "Listening"
#define GROUP_DIRECT  "Direct port"
#define GROUP_DNS     "Host names"
#define GROUP_SESSION "Sessions"
#define GROUP_LOG     "Logging"
#define GROUP_PROCESS "Process"

/* The first name of a backend is the one the store knows, the others are
 * aliases. A backend whose first name is unlisted is not built yet. */
const struct option_choice config_backends[] = {
	{"file", BACKEND_FILE, false},
	{"etcdv2", BACKEND_ETCDV2, false},
	{"etcd", BACKEND_ETCDV2, true},
	{"etcdv3", BACKEND_ETCDV3, false},
	{"etcd3", BACKEND_ETCDV3, true},
	{"consul", BACKEND_CONSUL, false},
	{CONFIG_MEMBERS_BACKEND, BACKEND_POSTGRES, false},
	{"kubernetes", BACKEND_KUBERNETES, true},
	{NULL, 0, false},
};

const char config_stolon_prefix[] = "stolon/cluster";

static const struct option_choice cluster_formats[] = {
	{"stolon", CLUSTER_FORMAT_STOLON, false},
	{"patroni", CLUSTER_FORMAT_PATRONI, false},
	{NULL, 0, false},
};

static const struct option_choice confirm_modes[] = {
	{"auto", CONFIRM_AUTO, false},
	{"always", CONFIRM_ALWAYS, false},
	{"never", CONFIRM_NEVER, false},
	{NULL, 0, false},
};

static const struct option_choice store_outages[] = {
	{"confirm", STORE_OUTAGE_CONFIRM, false},
	{"strict", STORE_OUTAGE_STRICT, false},
	{NULL, 0, false},
};

static const struct option_choice probe_choices[] = {
	{"postgres", PROBE_CHOICE_POSTGRES, false},
	{"http", PROBE_CHOICE_HTTP, false},
	{"auto", PROBE_CHOICE_AUTO, false},
	{NULL, 0, false},
};

static const struct option_choice dns_preferences[] = {
	{"ipv4", DNS_PREFER_IPV4, false},
	{"ipv6", DNS_PREFER_IPV6, false},
	{"ipv4-only", DNS_ONLY_IPV4, false},
	{"ipv6-only", DNS_ONLY_IPV6, false},
	{NULL, 0, false},
};

static const struct option_choice direct_balances[] = {
	{"least", DIRECT_LEAST, false},
	{"random", DIRECT_RANDOM, false},
	{"nearest", DIRECT_NEAREST, false},
	{"dns-order", DIRECT_DNS_ORDER, false},
	{NULL, 0, false},
};

static const struct option_choice direct_fallbacks[] = {
	{"none", DIRECT_FALLBACK_NONE, false},
	{"leader", DIRECT_FALLBACK_LEADER, false},
	{"any", DIRECT_FALLBACK_ANY, false},
	{NULL, 0, false},
};

static const struct option_choice on_promote_modes[] = {
	{"cut", ON_PROMOTE_CUT, false},
	{"keep", ON_PROMOTE_KEEP, false},
	{NULL, 0, false},
};

static const struct option_choice outage_modes[] = {
	{"keep", false, false},
	{"strict", true, false},
	{NULL, 0, false},
};

static const struct option_choice splice_modes[] = {
	{"auto", SPLICE_AUTO, false},
	{"off", SPLICE_OFF, false},
	{"always", SPLICE_ALWAYS, false},
	{NULL, 0, false},
};

static const struct option_choice log_levels[] = {
	{"debug", LOG_LEVEL_DEBUG, false},
	{"info", LOG_LEVEL_INFO, false},
	{"warn", LOG_LEVEL_WARN, false},
	{"error", LOG_LEVEL_ERROR, false},
	{NULL, 0, false},
};

static const struct option_choice log_formats[] = {
	{"logfmt", LOG_FORMAT_LOGFMT, false},
	{"json", LOG_FORMAT_JSON, false},
	{"stolon", LOG_FORMAT_STOLON, false},
	{NULL, 0, false},
};

static const struct option rows[] = {
	OPT_TEXT(GROUP_STORE, "cluster-name", cluster_name, "NAME", NULL,
		 "Name of the cluster; Patroni's scope. Required without --members.",
		 .marks = OPTION_STOLON),
	OPT_CHOICE(GROUP_STORE, "cluster-format", cluster_format, "FORMAT", "stolon",
		   cluster_formats, "Whose cluster it is: what its state in the store looks like."),
	OPT_NAME(GROUP_STORE, "store-backend", store.backend, "NAME", NULL, config_backends,
		 "Kind of the store that holds the cluster's state; postgres, which --members "
		 "implies, is none. Required without --members.",
		 .complaint = {"Unknown store backend: \"", "\""}, .marks = OPTION_STOLON),
	OPT_TEXT(GROUP_STORE, "store-endpoints", store.endpoints, "LIST", NULL,
		 "Where the store is: the directory of a file store, else a comma list of URLs.",
		 .marks = OPTION_STOLON),
	OPT_TEXT(GROUP_STORE, "store-url", store_url, "URL", NULL,
		 "Endpoint, token (etcd: user and password) and prefix of the store in one: "
		 "http[s]://[user]:token@host[:port]/prefix. Replaces --store-endpoints and "
		 "--store-prefix. Where none of them is given: FLY_CONSUL_URL, then CONSUL_URL "
		 "(etcdv3: FLY_ETCD_URL, ETCD_URL).",
		 .marks = OPTION_STOLON),
	OPT_TEXT(GROUP_STORE, "store-prefix", store_prefix, "PREFIX", config_stolon_prefix,
		 "Key in the store under which the clusters are. With --cluster-format=patroni "
		 "Patroni's namespace, /service unless given.",
		 .marks = OPTION_STOLON),
	OPT_MSEC(GROUP_STORE, "store-timeout", store.timeout_ms, "5s", 1, 3600000,
		 "Give up on one store request after this long.", .marks = OPTION_STOLON),
	OPT_TEXT(GROUP_STORE, "store-user", store.user, "NAME", NULL,
		 "Account of the store; may also be in the URL: http://name:password@host."),
	OPT_TEXT(GROUP_STORE, "store-password-file", store_password_file, "FILE", NULL,
		 "File whose first line is the password of that account."),
	OPT_TEXT(GROUP_STORE, "store-token", store.token, "TOKEN", NULL,
		 "ACL token of Consul. Comes before --store-token-file, and that before the "
		 "one of the URL. A flag is visible to all users of the machine.",
		 .marks = OPTION_STOLON),
	OPT_TEXT(GROUP_STORE, "store-token-file", store.token_file, "FILE", NULL,
		 "File whose first line is that token; read again when the token is refused."),
	OPT_TEXT(GROUP_STORE, "store-node", store.node, "NODE", NULL,
		 "Node to register in Consul's catalogue for our session, where the agent's "
		 "own may not be used: PREFIX/KEEPER-UID at Fly.",
		 .marks = OPTION_STOLON),
	OPT_TEXT(GROUP_STORE, "store-cert-file", store.cert_file, "FILE", NULL,
		 "Client certificate for the store (https only).", .marks = OPTION_STOLON),
	OPT_TEXT(GROUP_STORE, "store-key", store.key_file, "FILE", NULL,
		 "Private key of that certificate.", .marks = OPTION_STOLON),
	OPT_TEXT(GROUP_STORE, "store-ca-file", store.ca_file, "FILE", NULL,
		 "Certificates to trust instead of the system's (https only).",
		 .marks = OPTION_STOLON),
	OPT_BOOL(GROUP_STORE, "store-skip-tls-verify", store.skip_tls_verify, "false",
		 "Do not check the store's certificate.", .marks = OPTION_STOLON),
	OPT_TEXT(GROUP_STORE, "kube-resource-kind", store.kube_resource_kind, "KIND", NULL,
		 "Kubernetes resource that holds the state; only configmap.",
		 .marks = OPTION_STOLON),
	OPT_CHOICE(GROUP_STORE, "confirm-leader", patroni_options.confirm, "MODE", "auto",
		   confirm_modes,
		   "Whether the holder of Patroni's leader key has to say itself, when asked by "
		   "--probe, that it is writable: always; never, its record in the store "
		   "suffices; auto: always, but where it cannot be asked that record suffices. "
		   "Never with stolon."),
	OPT_CHOICE(GROUP_STORE, "store-outage", patroni_options.outage, "MODE", NULL, store_outages,
		   "The leader's sessions while the store is out of reach: confirm, keep them for "
		   "as long as it says itself that it leads; strict, cut them. Not given: confirm "
		   "with Patroni. With stolon, and with --confirm-leader=never, only strict."),
	OPT_INT(GROUP_STORE, "citus-group", patroni_options.citus_group, "none", 0, INT32_MAX,
		"Group of a Citus cluster of Patroni's; 0 is the coordinator.",
		.marks = OPTION_AUTO),

	OPT_LIST(GROUP_MEMBERS, "members", members_options.list, "HOST[:PORT]", NULL,
		 "PostgreSQL servers that are asked themselves who leads, without any store; may "
		 "be repeated or a comma list. The port is 5432 unless given; IPv6 with a port in "
		 "brackets.",
		 .accepts = config_accepts_member,
		 .allowed = "the host of a server, with or without its port, such as app.internal, "
			    "10.0.0.1:5433 or [fdaa::3]:5433, or a comma list of these"),
	OPT_CHOICE(GROUP_MEMBERS, "probe", members_options.probe, "KIND", "auto", probe_choices,
		   "How servers are asked: postgres, by SQL; http, at a check server beside each, "
		   "with Patroni its REST API; auto: by SQL with --probe-conninfo, else by http."),
	OPT_TEXT(GROUP_MEMBERS, "probe-conninfo", members.probing.conninfo, "CONNINFO", NULL,
		 "How to connect to them, as libpq has it but without a host: user=NAME "
		 "passfile=FILE. Put no password here, a flag is visible to all users of the "
		 "machine: use passfile or PGPASSFILE."),
	OPT_INT(GROUP_MEMBERS, "probe-http-port", members_options.http_port, "5500", 1, 65535,
		"Port of the check servers, but not of Patroni's, which is in the store.",
		.marks = OPTION_NO_URL),
	OPT_TEXT(GROUP_MEMBERS, "probe-cert-file", members.probing.tls.cert_file, "FILE", NULL,
		 "Client certificate for Patroni's REST API (https only)."),
	OPT_TEXT(GROUP_MEMBERS, "probe-key", members.probing.tls.key_file, "FILE", NULL,
		 "Private key of that certificate."),
	OPT_TEXT(GROUP_MEMBERS, "probe-ca-file", members.probing.tls.ca_file, "FILE", NULL,
		 "Certificates to trust instead of the system's (https only)."),
	OPT_BOOL(GROUP_MEMBERS, "probe-skip-tls-verify", members.probing.tls.skip_verify, "false",
		 "Do not check the certificates of Patroni's REST API."),
	OPT_MSEC(GROUP_MEMBERS, "probe-interval", members.probing.interval_ms, "1s", 100, 60000,
		 "Time between two questions to one server."),
	OPT_MSEC(GROUP_MEMBERS, "probe-timeout", members.probing.timeout_ms, "2s", 100, 60000,
		 "Give up on one question after this long."),
	OPT_INT(GROUP_MEMBERS, "probe-fall", members.probing.fall, "3", 1, 20,
		"Failures in a row after which a server counts as down."),

	OPT_LIST(GROUP_LISTEN, "listen-address", listen.addresses, "ADDRESS", "127.0.0.1",
		 "IP address, host name or path of a unix socket; may be repeated or a comma list. "
		 "Empty, 0.0.0.0 or :: for all.",
		 .accepts = config_accepts_listen_address,
		 .allowed = "an IP address without port, a host name or the path of a unix "
			    "socket (at most 107 bytes), or a comma list of these",
		 .marks = OPTION_STOLON),
	OPT_TEXT(GROUP_LISTEN, "port", listen.port, "PORT", "5432", "Port or service name.",
		 .accepts = config_accepts_port, .allowed = "1 to 65535 or the name of a service",
		 .marks = OPTION_STOLON | OPTION_NO_URL),
	OPT_BOOL(GROUP_LISTEN, "stop-listening", stop_listening, "true",
		 "Stop listening once the store has been out of reach for too long.",
		 .marks = OPTION_STOLON),
	OPT_TEXT(GROUP_LISTEN, "metrics-listen-address", metrics_listen_address, "HOST:PORT", NULL,
		 "Where to serve /metrics; accepted, but not in this version.",
		 .marks = OPTION_STOLON),

	OPT_TEXT(
		GROUP_DIRECT, "direct-target", direct_options.target, "TARGET", NULL,
		"Opens the direct port and says whom its clients are led to: replicas, the healthy "
		"standbys; local, the member on this machine; any, every member, also the leader; "
		"or NAME:PORT, who is behind a name, without the leader. The IPv6 addresses of "
		"the name come first unless --dns-prefer is given.",
		.accepts = config_accepts_direct_target,
		.allowed = "replicas, local, any or a host with its port, such as "
			   "top1.nearest.of.app.internal:5433 or [fdaa::3]:5433"),
	OPT_TEXT(GROUP_DIRECT, "direct-port", direct_options.port, "PORT", "5433",
		 "Port or service name.", .accepts = config_accepts_port,
		 .allowed = "1 to 65535 or the name of a service", .marks = OPTION_NO_URL),
	OPT_LIST(GROUP_DIRECT, "direct-listen-address", direct_options.addresses, "ADDRESS", NULL,
		 "As --listen-address, and the same where not given; but 0.0.0.0 is IPv4 alone.",
		 .accepts = config_accepts_listen_address,
		 .allowed = "an IP address without port, a host name or the path of a unix "
			    "socket (at most 107 bytes), or a comma list of these"),
	OPT_CHOICE(GROUP_DIRECT, "direct-balance", direct_options.balance, "MODE", "least",
		   direct_balances,
		   "Which of them: least, with fewer of our own sessions of two drawn; random; "
		   "nearest, that answers fastest; dns-order, the first that accepts."),
	OPT_CHOICE(GROUP_DIRECT, "direct-fallback", direct_options.fallback, "MODE", "none",
		   direct_fallbacks,
		   "Who else if none of them can be connected to: the leader, or any standby and "
		   "then the leader."),
	OPT_TEXT(GROUP_DIRECT, "direct-max-lag", direct_options.max_lag, "LAG", NULL,
		 "Standbys further behind than this get no new sessions: a size such as 16MB, or a "
		 "duration such as 10s.",
		 .accepts = config_accepts_lag,
		 .allowed = "a size such as 16MB (B, kB, MB, GB or TB) or a duration such as 10s "
			    "(100ms to 24h); it needs a unit"),
	OPT_MSEC(
		GROUP_DIRECT, "direct-hold-off", direct.hold_off_ms, "1m", 0, 3600000,
		"Leave a member that keeps coming and going out for at most this long, while there "
		"are others; 0: never."),
	OPT_CHOICE(GROUP_DIRECT, "direct-on-promote", direct_options.on_promote, "MODE", NULL,
		   on_promote_modes,
		   "What becomes of sessions on a standby that is made the leader. Not given: cut "
		   "with --direct-target=replicas, else keep."),
	OPT_CHOICE(
		GROUP_DIRECT, "direct-outage", direct_options.is_strict, "MODE", "keep",
		outage_modes,
		"Sessions on standbys while the store is out of reach: keep them, or strict, cut "
		"them as those on the leader are."),
	OPT_TEXT(GROUP_DIRECT, "local-member", direct.local.name, "NAME", NULL,
		 "Member on this machine: its name, its keeper's UID or its address. Not given: "
		 "found."),
	OPT_TEXT(GROUP_DIRECT, "keeper-state-file", direct.local.keeper_file, "FILE",
		 "/data/keeperstate", "File in which the keeper of this machine has its UID."),

	OPT_TEXT(GROUP_DNS, "dns-server", dns.server, "ADDRESS[:PORT]", NULL,
		 "Name server to ask instead of those of resolv.conf. Where neither is: "
		 "FLY_NAMESERVER.",
		 .accepts = config_accepts_server,
		 .allowed = "an IP address, or one with a port such as 127.0.0.1:53 or [::1]:53"),
	OPT_CHOICE(GROUP_DNS, "dns-prefer", dns_prefer, "FAMILY", NULL, dns_preferences,
		   "Which addresses of a name come first, or are looked up alone. Not given: ipv4, "
		   "as in stolon-proxy."),
	OPT_MSEC(GROUP_DNS, "dns-max-ttl", dns.max_ttl_ms, "30s", 1000, 3600000,
		 "Look a name up again after this long, even if its answer holds for longer."),
	OPT_MSEC(GROUP_DNS, "dns-stale", dns.stale_ms, "5m", 0, 86400000,
		 "Keep the addresses of a name that no longer exists for this long; never those of "
		 "the leader."),

	OPT_INT(GROUP_SESSION, "tcp-keepalive-idle", client_keepalive.idle_s, "0", 0, 32767,
		"Seconds of silence before keepalive probes to a client; 0 means 15.",
		.complaint = {"tcp keepalive idle value must be greater or equal to 0: \"", "\""},
		.marks = OPTION_STOLON),
	OPT_INT(GROUP_SESSION, "tcp-keepalive-interval", client_keepalive.interval_s, "0", 0, 32767,
		"Seconds between keepalive probes to a client; 0 means 15.",
		.complaint = {"tcp keepalive interval value must be greater or equal to 0: \"",
			      "\""},
		.marks = OPTION_STOLON),
	OPT_INT(GROUP_SESSION, "tcp-keepalive-count", client_keepalive.count, "0", 0, 127,
		"Unanswered probes that end its connection; 0 leaves the system's.",
		.complaint = {"tcp keepalive count value must be greater or equal to 0: \"", "\""},
		.marks = OPTION_STOLON),
	OPT_MSEC(GROUP_SESSION, "connect-timeout", connect_timeout_ms, "5s", 100, 3600000,
		 "Give up on a connection to PostgreSQL after this long."),

	OPT_CHOICE(GROUP_SESSION, "splice", splice, "MODE", "auto", splice_modes,
		   "Move bytes inside the kernel: auto for bulk, off never, always at once."),

	OPT_CHOICE(GROUP_LOG, "log-level", log.level, "LEVEL", "info", log_levels,
		   "Least important messages to log.", .complaint = {"invalid log level: ", ""},
		   .marks = OPTION_STOLON),
	OPT_CHOICE(GROUP_LOG, "log-format", log.format, "FORMAT", "logfmt", log_formats,
		   "Form of a log line."),
	OPT_BOOL(GROUP_LOG, "log-color", log.color, "auto",
		 "Color the level in the stolon format; auto: when stderr is a terminal.",
		 .marks = OPTION_STOLON | OPTION_AUTO),
	OPT_BOOL(GROUP_LOG, "debug", debug, "false", "As --log-level=debug.",
		 .deprecated = "use --log-level=debug instead",
		 .marks = OPTION_STOLON | OPTION_HIDDEN),

	OPT_INT(GROUP_PROCESS, "workers", workers, "0", 0, 64,
		"Threads that serve sessions; 0: one for each available core, at most 8."),
	OPT_TEXT(GROUP_PROCESS, "pidfile", pidfile, "FILE", NULL,
		 "Write the process id to this file."),
	OPT_BOOL(GROUP_PROCESS, "help", help, "false", "Print this help and exit.",
		 .short_name = 'h', .marks = OPTION_COMMAND_LINE),
	OPT_BOOL(GROUP_PROCESS, "version", version, "false", "Print the version and exit.",
		 .marks = OPTION_COMMAND_LINE),
};

static const struct option_table table = {rows, ARRAY_LEN(rows), "PGSPLICE_", "STPROXY_"};

static void print_help(FILE *out)
{
	fputs("pgsplice: a TCP proxy that connects PostgreSQL clients to the leader of a cluster\n"
	      "\nUsage: pgsplice [flags]\n",
	      out);
	option_table_print(&table, out);
	fputs("\nFlags are --name value or --name=value, booleans --name or --name=false.\n"
	      "\nEnvironment: every flag but --help and --version can be given as PGSPLICE_NAME,\n"
	      "in upper case with _ for -, such as PGSPLICE_STORE_BACKEND. The flags of "
	      "stolon-proxy\n"
	      "are also taken from STPROXY_NAME, where there is no PGSPLICE_NAME. The command "
	      "line\n"
	      "beats the environment; an empty variable counts as unset.\n",
	      out);
}

enum config_outcome config_load(struct config *config, int argc, char *const *argv,
				char *const *envp, FILE *out, FILE *err)
{
	*config = (struct config){.log.color = isatty(STDERR_FILENO),
				  .patroni_options.citus_group = -1};
	int r = option_table_set_defaults(&table, config);
	if (r < 0) {
		fprintf(err, "settings: %s\n", err_text(r));
		return CONFIG_REFUSED;
	}
	if (option_scan_flags(&table, config, argc, argv, err) < 0)
		return CONFIG_REFUSED;
	if (config->help) {
		print_help(out);
		return CONFIG_DONE;
	}
	if (config->version) {
		fputs("pgsplice version " PGSPLICE_VERSION "\n", out);
		return CONFIG_DONE;
	}
	if (option_read_environment(&table, config, envp, err) < 0 ||
	    option_read_flags(&table, config, argc, argv, err) < 0 ||
	    config_check(config, envp, err) < 0)
		return CONFIG_REFUSED;
	return CONFIG_RUN;
}

void config_deinit(struct config *config)
{
	free(TAKE_PTR(config->store_password));
	free(TAKE_PTR(config->store_token));
	free(TAKE_PTR(config->direct_host));
	config_url_free(&config->store_url_parts);
	option_table_deinit(&table, config);
}
