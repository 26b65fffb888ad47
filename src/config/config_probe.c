/* The options that say how servers are asked, of members and of a Patroni cluster
 * alike. Main thread, before anything else runs. */
#include "base/err.h"
#include "config_private.h"

/* A wrong path is found at once; what is wrong with a file later on is logged. Whether
 * anybody is asked over https, only the store knows. */
static int check_tls(const struct tls_settings *tls, FILE *err)
{
	char text[TLS_TEXT_SIZE];

	if (tls->ca_file == NULL && tls->cert_file == NULL && tls->key_file == NULL)
		return 0;
	int r = tls_check_files(tls, text);
	if (r < 0)
		fprintf(err, "%s (--probe-ca-file, --probe-cert-file, --probe-key)\n", text);
	return r;
}

int config_settle_probing(const struct config *config, struct probing *ret, FILE *err)
{
	const struct probing *given = &config->members.probing; /* as the rows filled it */
	bool is_by_sql = false;

	switch ((enum probe_choice)config->members_options.probe) {
	case PROBE_CHOICE_AUTO:
		is_by_sql = given->conninfo != NULL;
		break;
	case PROBE_CHOICE_POSTGRES:
		is_by_sql = true;
		break;
	case PROBE_CHOICE_HTTP:
		break;
	}
	if (is_by_sql && given->conninfo == NULL) {
		fputs("--probe=postgres needs --probe-conninfo, such as \"user=probe "
		      "passfile=/etc/pgsplice/pgpass\"\n",
		      err);
		return ERR_SYNTAX;
	}
	*ret = (struct probing){
		.kind = is_by_sql ? PROBE_KIND_POSTGRES : PROBE_KIND_HTTP,
		.conninfo = is_by_sql ? given->conninfo : NULL,
		.http_port = (uint16_t)config->members_options.http_port,
		.tls = given->tls,
		.interval_ms = given->interval_ms,
		.timeout_ms = given->timeout_ms,
		.fall = given->fall,
	};
	return is_by_sql ? 0 : check_tls(&ret->tls, err);
}
