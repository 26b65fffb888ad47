/* The options that say how servers are asked, of members and of a Patroni cluster
 * alike. Main thread, before anything else runs. */
#include "base/err.h"
#include "config_private.h"

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
		.interval_ms = given->interval_ms,
		.timeout_ms = given->timeout_ms,
		.fall = given->fall,
	};
	return 0;
}
