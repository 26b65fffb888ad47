/* The options of a Patroni cluster: what goes with --cluster-format=patroni, and what
 * only with it. Main thread, before anything else runs. */
#include "base/err.h"
#include "config_private.h"

#define NAMESPACE "/service" /* as Patroni has it */

static int refuse(const char *text, FILE *err)
{
	fprintf(err, "%s\n", text);
	return ERR_SYNTAX;
}

/* An empty item only takes back what a variable says. */
static bool has_members(const struct config *config)
{
	for (size_t i = 0; i < config->members_options.list.count; i++) {
		if (*config->members_options.list.items[i] != '\0')
			return true;
	}
	return false;
}

static bool has_patroni(enum backend backend)
{
	switch (backend) {
	case BACKEND_FILE:
	case BACKEND_ETCDV2:
	case BACKEND_ETCDV3:
	case BACKEND_CONSUL:
		return true;
	case BACKEND_POSTGRES:
	case BACKEND_KUBERNETES:
		break;
	}
	return false;
}

int config_check_format(const struct config *config, FILE *err)
{
	const char *backend = config->store.backend;

	if (config->cluster_format != CLUSTER_FORMAT_PATRONI)
		return 0;
	if (has_members(config))
		return refuse("--members does not go with --cluster-format=patroni, where the "
			      "store says who the servers are",
			      err);
	if (backend == NULL || has_patroni(config_backend_named(backend)))
		return 0;
	fprintf(err,
		"--store-backend=%s does not go with --cluster-format=patroni: "
		"use " CONFIG_PATRONI_BACKENDS "\n",
		backend);
	return ERR_SYNTAX;
}

/* CONFIRM_NEVER and strictness are what everybody else has anyway. */
static int check_others(const struct config *config, FILE *err)
{
	if (config->patroni_options.confirm == CONFIRM_ALWAYS)
		return refuse("--confirm-leader=always goes with --cluster-format=patroni", err);
	if (config->patroni_options.outage == STORE_OUTAGE_CONFIRM)
		return refuse("--store-outage=confirm goes with --cluster-format=patroni: stolon's "
			      "sentinels count on sessions being cut while the store is out of "
			      "reach",
			      err);
	if (config->patroni_options.citus_group >= 0)
		return refuse("--citus-group goes with --cluster-format=patroni", err);
	return 0;
}

int config_settle_patroni(struct config *config, FILE *err)
{
	enum confirm_leader confirm = (enum confirm_leader)config->patroni_options.confirm;
	enum store_outage outage = (enum store_outage)config->patroni_options.outage;

	if (config->cluster_format != CLUSTER_FORMAT_PATRONI)
		return check_others(config, err);
	if (confirm == CONFIRM_NEVER && outage == STORE_OUTAGE_CONFIRM)
		return refuse("--store-outage=confirm goes by the servers' own answers: it does "
			      "not go with --confirm-leader=never",
			      err);
	if (config->store_prefix == config_stolon_prefix)
		config->store_prefix = NAMESPACE;
	config->patroni = (struct patroni_settings){
		.scope = config->cluster_name,
		.namespace_ = config->store_prefix,
		.store = config->store,
		.citus_group = config->patroni_options.citus_group,
		.confirm = confirm,
		.strict_outage = outage == STORE_OUTAGE_STRICT || confirm == CONFIRM_NEVER,
	};
	return config_settle_probing(config, &config->patroni.probing, err);
}
