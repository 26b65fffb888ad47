/* What has to hold between the options: stores and their endpoints, and values
 * that are worked out. */
#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "config/option_source.h"
#include "config_private.h"
#include "net/dns_channel.h"
#include "net/tls.h"

#define MOST_AUTO_WORKERS 8 /* a few saturate a network card; more is for --workers to say */
#define SCHEME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-."

static int available_cores(void)
{
	cpu_set_t set;
	long count;

	/* Fails where there are more cores than the set has bits. */
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		count = CPU_COUNT(&set);
	else
		count = sysconf(_SC_NPROCESSORS_ONLN);
	if (count < 1)
		return 1;
	return count > MOST_AUTO_WORKERS ? MOST_AUTO_WORKERS : (int)count;
}

static int refuse_endpoints(const struct config *config, const char *problem, FILE *err)
{
	fprintf(err, "%s (--store-endpoints is \"", problem);
	option_print_value(config->store.endpoints, err);
	fputs("\")\n", err);
	return ERR_SYNTAX;
}

/* The length of "https" in https://host, 0 without a scheme. */
static size_t scheme_length(const char *endpoint)
{
	size_t length = strspn(endpoint, SCHEME_CHARACTERS);

	if (!isalpha((unsigned char)*endpoint) || strncmp(endpoint + length, "://", 3) != 0)
		return 0;
	return length;
}

/* A wrong path is found at once; what is wrong with a file later on is logged. */
static int check_tls(const struct store_settings *store, FILE *err)
{
	struct tls_settings tls = {store->ca_file, store->cert_file, store->key_file,
				   store->skip_tls_verify};
	char text[TLS_TEXT_SIZE];

	int r = tls_check_files(&tls, text);
	if (r < 0)
		fprintf(err, "%s (--store-ca-file, --store-cert-file, --store-key)\n", text);
	return r;
}

static int check_url_endpoints(struct config *config, enum backend backend, FILE *err)
{
	const char *at;
	const char *first = "";
	size_t first_length = 0;
	size_t count = 0;

	if (config->store.endpoints == NULL)
		config->store.endpoints = backend == BACKEND_CONSUL ? "http://127.0.0.1:8500"
								    : "http://127.0.0.1:2379";
	for (at = config->store.endpoints;; at++) {
		size_t length = scheme_length(at);
		const char *scheme = length == 0 ? "http" : at;

		length = length == 0 ? strlen("http") : length;
		if (count++ == 0) {
			first = scheme;
			first_length = length;
		}
		if (length != first_length || strncasecmp(scheme, first, length) != 0)
			return refuse_endpoints(config,
						"all the endpoints must have the same scheme", err);
		at += strcspn(at, ",");
		if (*at == '\0')
			break;
	}
	if (!(first_length == 4 && strncasecmp(first, "http", 4) == 0) &&
	    !(first_length == 5 && strncasecmp(first, "https", 5) == 0))
		return refuse_endpoints(config, "endpoints scheme must be http or https", err);
	if (backend == BACKEND_CONSUL && count > 1)
		return refuse_endpoints(config, "consul does not support multiple endpoints", err);
	return first_length == 5 ? check_tls(&config->store, err) : 0;
}

static int check_file_endpoint(struct config *config, FILE *err)
{
	const char *directory = config->store.endpoints;

	if (directory != NULL && strncmp(directory, "file://", 7) == 0)
		directory += 7;
	if (directory == NULL || *directory == '\0') {
		fputs("store endpoints required: with --store-backend=file, --store-endpoints must "
		      "be a directory\n",
		      err);
		return ERR_SYNTAX;
	}
	if (strchr(directory, ',') != NULL)
		return refuse_endpoints(config, "file store takes exactly one directory", err);
	config->store.endpoints = directory;
	return 0;
}

static int check_kubernetes(const struct config *config, FILE *err)
{
	const char *kind = config->store.kube_resource_kind;

	if (kind == NULL) {
		fputs("unspecified kubernetes resource kind (--kube-resource-kind must be "
		      "configmap)\n",
		      err);
		return ERR_SYNTAX;
	}
	if (strcmp(kind, "configmap") == 0)
		return 0;
	fputs("wrong kubernetes resource kind: \"", err);
	option_print_value(kind, err);
	fputs("\" (--kube-resource-kind must be configmap)\n", err);
	return ERR_SYNTAX;
}

/* Replaces an alias by the backend's first name; refuses what is not built. */
static int settle_backend(struct config *config, enum backend backend, FILE *err)
{
	const struct option_choice *first = config_backends;

	while (first->value != (int)backend)
		first++;
	if (first->unlisted) {
		fprintf(err, "store backend \"%s\" is not in this version of pgsplice: use ",
			config->store.backend);
		option_print_choices(config_backends, err);
		fputs(" (--store-backend)\n", err);
		return ERR_SYNTAX;
	}
	config->store.backend = first->name;
	return 0;
}

enum backend config_backend_named(const char *name)
{
	const struct option_choice *choice = config_backends;

	while (strcmp(choice->name, name) != 0)
		choice++;
	return (enum backend)choice->value;
}

/* What stolon refuses is refused in its words first, built or not. */
static int check_store(struct config *config, char *const *envp, FILE *err)
{
	int r = 0;

	if (config->store.backend == NULL) {
		fputs("store backend type required: --store-backend must be ", err);
		if (config->cluster_format == CLUSTER_FORMAT_PATRONI)
			fputs(CONFIG_PATRONI_BACKENDS, err);
		else
			option_print_choices(config_backends, err);
		fputc('\n', err);
		return ERR_SYNTAX;
	}
	enum backend backend = config_backend_named(config->store.backend);
	r = config_take_store_url(config, backend, envp, err);
	if (r < 0)
		return r;
	switch (backend) {
	case BACKEND_FILE:
		r = check_file_endpoint(config, err);
		break;
	case BACKEND_ETCDV2:
	case BACKEND_ETCDV3:
	case BACKEND_CONSUL:
		r = check_url_endpoints(config, backend, err);
		break;
	case BACKEND_POSTGRES: /* no store: config_settle_members() has seen to it */
		break;
	case BACKEND_KUBERNETES:
		r = check_kubernetes(config, err);
		break;
	}
	return r < 0 ? r : settle_backend(config, backend, err);
}

/* The first line of a file. Its content appears in no message. */
static int read_secret(const char *path, const char *option, char **ret, FILE *err)
{
	char line[512];

	FILE *file = fopen(path, "re");
	bool is_read = file != NULL && fgets(line, sizeof(line), file) != NULL;
	int error = file == NULL ? -errno : ERR_SYNTAX;
	if (file != NULL)
		fclose(file);
	if (is_read) {
		line[strcspn(line, "\r\n")] = '\0';
		*ret = strdup(line);
		explicit_bzero(line, sizeof(line));
		return *ret == NULL ? -ENOMEM : 0;
	}
	fprintf(err, "%s: cannot read a line of %s: %s\n", option, path,
		file == NULL ? err_text(error) : "it is empty");
	return error;
}

static int read_secrets(struct config *config, FILE *err)
{
	struct store_settings *store = &config->store;
	int r = 0;

	if (config->store_password_file != NULL) {
		r = read_secret(config->store_password_file, "--store-password-file",
				&config->store_password, err);
		store->password = config->store_password;
	}
	if (store->token != NULL)
		store->token_file = NULL; /* no reason to go back to it later */
	if (r == 0 && store->token_file != NULL) {
		r = read_secret(store->token_file, "--store-token-file", &config->store_token, err);
		store->token = config->store_token;
	}
	return r;
}

/* Fly's resolver, where resolv.conf has none. A text that is no address is not
 * ours to complain about. */
static void take_name_server(struct config *config, char *const *envp)
{
	const char *text = option_variable(envp, "FLY_NAMESERVER");
	struct addr addr;

	if (text != NULL && dns_parse_server(text, &addr) == 0)
		config->dns.fallback_server = text;
}

/* Which cluster, and where its state is. */
static int check_cluster(struct config *config, char *const *envp, FILE *err)
{
	if (config->cluster_name == NULL) {
		fputs("cluster name required: --cluster-name must not be empty\n", err);
		return ERR_SYNTAX;
	}
	int r = read_secrets(config, err);
	return r < 0 ? r : check_store(config, envp, err);
}

int config_check(struct config *config, char *const *envp, FILE *err)
{
	int r = config_check_format(config, err);
	if (r == 0)
		r = config_settle_members(config, err);
	/* With members all that is about a store has no effect, like what is about
	 * https with an http store; also not what a platform sets for other programs. */
	if (r == 0 && config->members.count == 0)
		r = check_cluster(config, envp, err);
	if (r < 0)
		return r;
	if (config->cluster_name == NULL)
		config->cluster_name = "";
	r = config_settle_addresses(&config->listen.addresses, false);
	if (r < 0) {
		fprintf(err, "--listen-address: %s\n", err_text(r));
		return r;
	}
	if (config->store_prefix == NULL)
		config->store_prefix = ""; /* given as empty: the clusters are at the root */
	config->dns.prefer = (enum dns_prefer)config->dns_prefer;
	take_name_server(config, envp);
	if (config->debug)
		config->log.level = LOG_LEVEL_DEBUG;
	if (config->workers == 0)
		config->workers = available_cores();
	r = config_settle_patroni(config, err);
	return r < 0 ? r : config_settle_direct(config, err);
}
