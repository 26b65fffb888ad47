/* The cluster's spec: what of it we use, stolon's defaults and stolon's rules.
 * Pure. stolon-proxy judges the whole spec at every check and serves nobody
 * under one that breaks a rule, and so do we. */
#ifndef PGSPLICE_CLUSTER_SPEC_CHECK_H
#define PGSPLICE_CLUSTER_SPEC_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "cluster/go_json.h"

#define SPEC_PROBLEM_SIZE 160

struct spec_existing {
	const char *keeper_uid;
};

struct spec_pitr {
	const char *data_restore_command;
	const void *recovery_target; /* NULL: none given */
};

/* As decoded: pointers are NULL, and lists empty, for what is absent or null. */
struct cluster_spec {
	const int64_t *sleep_interval_ns;
	const int64_t *request_timeout_ns;
	const int64_t *convergence_timeout_ns;
	const int64_t *init_timeout_ns;
	const int64_t *sync_timeout_ns;
	const int64_t *db_wait_ready_timeout_ns;
	const int64_t *fail_interval_ns;
	const int64_t *dead_keeper_removal_interval_ns;
	const int64_t *proxy_check_interval_ns;
	const int64_t *proxy_timeout_ns;
	const int64_t *max_standbys;
	const int64_t *max_standbys_per_sender;
	const int64_t *min_synchronous_standbys;
	const int64_t *max_synchronous_standbys;
	const char *const *init_mode;
	const char *const *role;
	const char *const *su_repl_access_mode;
	const struct spec_existing *existing;
	const struct spec_pitr *pitr;
	const void *standby; /* standbyConfig, of which only the presence counts */
	struct go_list replication_slots;
	struct go_list pg_hba;
};

/* Points what is NULL to stolon's default; init_mode has none. */
void spec_fill_defaults(struct cluster_spec *spec);

/* Whether a filled spec keeps all rules. If not, `problem` names the first one
 * broken, in stolon's order. */
bool spec_check(const struct cluster_spec *spec, char problem[static SPEC_PROBLEM_SIZE]);

#endif
