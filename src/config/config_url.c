/* The store by one URL, as Fly's fork of stolon has it: endpoint, token or
 * account, and prefix. Main thread, before anything else runs. */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "config/option_source.h"
#include "config_private.h"
#include "net/url.h"

struct config_url {
	struct url url;
	char origin[URL_TEXT_SIZE];
	char *prefix; /* "" if the path is empty */
};

void config_url_free(struct config_url **url)
{
	struct config_url *u = TAKE_PTR(*url);

	if (u == NULL)
		return;
	url_deinit(&u->url);
	free(u->prefix);
	free(u);
}

/* "/a/b/" is "a/b": Consul's keys have no first slash. */
static char *take_prefix(const char *path)
{
	size_t length = strcspn(path, "?#");

	while (length > 0 && path[length - 1] == '/')
		length--;
	while (length > 0 && *path == '/') {
		path++;
		length--;
	}
	return strndup(path, length);
}

static int refuse(const char *source, const char *text, const char *what, FILE *err)
{
	fprintf(err, "%s is \"", source);
	option_print_value(text, err);
	fprintf(err, "\": %s\n", what);
	return ERR_SYNTAX;
}

static int parse(const char *text, struct config_url **ret)
{
	struct config_url *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return -ENOMEM;
	int r = url_parse(text, 0, &u->url);
	if (r == 0) {
		url_format_origin(&u->url, u->origin);
		u->prefix = take_prefix(u->url.path);
		r = u->prefix == NULL ? -ENOMEM : 0;
	}
	if (r < 0) {
		config_url_free(&u);
		return r;
	}
	*ret = u;
	return 0;
}

/* The user of Consul's URL means nothing; its password is the token. */
static void apply(struct config *config, enum backend backend, const struct config_url *u)
{
	struct store_settings *store = &config->store;

	store->endpoints = u->origin;
	if (*u->prefix != '\0')
		config->store_prefix = u->prefix;
	if (backend == BACKEND_CONSUL && store->token == NULL) {
		store->token = u->url.password;
	} else if (backend != BACKEND_CONSUL && store->user == NULL && u->url.user != NULL) {
		store->user = u->url.user;
		if (store->password == NULL)
			store->password = u->url.password;
	}
}

static const char *find_platform_url(enum backend backend, char *const *envp, const char **ret_name)
{
	static const struct {
		enum backend backend;
		const char *name;
	} variables[] = {
		{BACKEND_CONSUL, "FLY_CONSUL_URL"},
		{BACKEND_CONSUL, "CONSUL_URL"},
		{BACKEND_ETCDV3, "FLY_ETCD_URL"},
		{BACKEND_ETCDV3, "ETCD_URL"},
	};

	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		*ret_name = variables[i].name;
		const char *value = option_variable(envp, variables[i].name);
		if (variables[i].backend == backend && value != NULL)
			return value;
	}
	return NULL;
}

int config_take_store_url(struct config *config, enum backend backend, char *const *envp, FILE *err)
{
	const char *source = "--store-url";
	const char *text = config->store_url;
	bool is_by_url =
		backend == BACKEND_CONSUL || backend == BACKEND_ETCDV3 || backend == BACKEND_ETCDV2;

	if (text != NULL && !is_by_url)
		return refuse(source, text, "only etcd and consul stores have a URL", err);
	if (text == NULL && config->store.endpoints == NULL)
		text = find_platform_url(backend, envp, &source);
	if (text == NULL)
		return 0;
	int r = parse(text, &config->store_url_parts);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return refuse(source, text, "it must be http[s]://[user]:token@host[:port]/prefix",
			      err);
	apply(config, backend, config->store_url_parts);
	return 0;
}
