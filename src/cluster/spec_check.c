/* The rules for a cluster's spec, in the order in which stolon applies them, so
 * that of several broken rules both report the same. */
#include "cluster/spec_check.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SECONDS INT64_C(1000000000)
#define HOURS   (3600 * SECONDS)

#define MODE_NEW      "new"
#define MODE_EXISTING "existing"
#define MODE_PITR     "pitr"
#define ROLE_MASTER   "master"
#define ROLE_STANDBY  "standby"

/* stolon's own replication slots begin with it. */
#define RESERVED_PREFIX "stolon_"

struct number_rule {
	const char *name;
	size_t offset; /* of a const int64_t * */
	int64_t default_value;
};

#define RULE(name, field, value)                                                                   \
	{                                                                                          \
		name, offsetof(struct cluster_spec, field), value                                  \
	}

static const struct number_rule durations[] = {
	RULE("sleepInterval", sleep_interval_ns, 5 * SECONDS),
	RULE("requestTimeout", request_timeout_ns, 10 * SECONDS),
	RULE("convergenceTimeout", convergence_timeout_ns, 30 * SECONDS),
	RULE("initTimeout", init_timeout_ns, 300 * SECONDS),
	RULE("syncTimeout", sync_timeout_ns, 0),
	RULE("dbWaitReadyTimeout", db_wait_ready_timeout_ns, 60 * SECONDS),
	RULE("failInterval", fail_interval_ns, 20 * SECONDS),
	RULE("deadKeeperRemovalInterval", dead_keeper_removal_interval_ns, 48 * HOURS),
	RULE("proxyCheckInterval", proxy_check_interval_ns, 5 * SECONDS),
	RULE("proxyTimeout", proxy_timeout_ns, 15 * SECONDS),
};

static const struct number_rule counts[] = {
	RULE("maxStandbys", max_standbys, 20),
	RULE("maxStandbysPerSender", max_standbys_per_sender, 3),
	RULE("minSynchronousStandbys", min_synchronous_standbys, 1),
	RULE("maxSynchronousStandbys", max_synchronous_standbys, 1),
};

static int64_t rule_value(const struct number_rule *rule, const struct cluster_spec *spec)
{
	const char *base = (const char *)spec;

	return **(const int64_t *const *)(const void *)(base + rule->offset);
}

static void fill(const struct number_rule *rules, size_t count, struct cluster_spec *spec)
{
	for (size_t i = 0; i < count; i++) {
		char *base = (char *)spec;
		const int64_t **field = (const int64_t **)(void *)(base + rules[i].offset);

		if (*field == NULL)
			*field = &rules[i].default_value;
	}
}

void spec_fill_defaults(struct cluster_spec *spec)
{
	static const char *const role = ROLE_MASTER;
	static const char *const access_mode = "all";

	fill(durations, ARRAY_LEN(durations), spec);
	fill(counts, ARRAY_LEN(counts), spec);
	if (spec->role == NULL)
		spec->role = &role;
	if (spec->su_repl_access_mode == NULL)
		spec->su_repl_access_mode = &access_mode;
}

/* Writes the problem and returns false. */
PRINTF_LIKE(2, 3)
static bool broken(char *problem, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(problem, SPEC_PROBLEM_SIZE, format, args);
	va_end(args);
	go_json_make_printable(problem);
	return false;
}

static bool check_numbers(const struct cluster_spec *spec, char *problem)
{
	for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
		if (rule_value(&durations[i], spec) < 0)
			return broken(problem, "%s must not be negative", durations[i].name);
	}
	if (*spec->proxy_check_interval_ns >= *spec->proxy_timeout_ns)
		return broken(problem, "proxyCheckInterval should be less than proxyTimeout");
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		if (rule_value(&counts[i], spec) < 1)
			return broken(problem, "%s must be at least 1", counts[i].name);
	}
	if (*spec->max_synchronous_standbys < *spec->min_synchronous_standbys)
		return broken(problem,
			      "maxSynchronousStandbys must not be below minSynchronousStandbys");
	return true;
}

static bool check_lists(const struct cluster_spec *spec, char *problem)
{
	for (size_t i = 0; i < spec->replication_slots.count; i++) {
		const char *slot = spec->replication_slots.items[i];

		if (*slot == '\0' ||
		    slot[strspn(slot, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
			return broken(problem, "invalid replication slot name \"%.64s\"", slot);
		if (strncmp(slot, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) == 0)
			return broken(problem, "reserved replication slot name \"%.64s\"", slot);
	}
	for (size_t i = 0; i < spec->pg_hba.count; i++) {
		if (strchr(spec->pg_hba.items[i], '\n') != NULL)
			return broken(problem, "newline in an entry of pgHBA");
	}
	return true;
}

static bool check_init_mode(const struct cluster_spec *spec, char *problem)
{
	const char *mode = *spec->init_mode;
	bool standby = strcmp(*spec->role, ROLE_STANDBY) == 0;

	if (strcmp(mode, MODE_NEW) == 0) {
		if (standby)
			return broken(problem, "role standby does not go with initMode \"new\"");
	} else if (strcmp(mode, MODE_EXISTING) == 0) {
		if (spec->existing == NULL)
			return broken(problem,
				      "existingConfig undefined with initMode \"existing\"");
		if (*spec->existing->keeper_uid == '\0')
			return broken(problem, "existingConfig.keeperUID undefined");
	} else if (strcmp(mode, MODE_PITR) == 0) {
		if (spec->pitr == NULL)
			return broken(problem, "pitrConfig undefined with initMode \"pitr\"");
		if (*spec->pitr->data_restore_command == '\0')
			return broken(problem, "pitrConfig.dataRestoreCommand undefined");
		if (spec->pitr->recovery_target != NULL && standby)
			return broken(problem, "pitrConfig.recoveryTargetSettings does not go with "
					       "role standby");
	} else {
		return broken(problem, "unknown initMode \"%.64s\"", mode);
	}
	return true;
}

static bool check_modes(const struct cluster_spec *spec, char *problem)
{
	const char *mode = *spec->su_repl_access_mode;
	const char *role = *spec->role;

	if (strcmp(mode, "all") != 0 && strcmp(mode, "strict") != 0)
		return broken(problem, "unknown defaultSUReplAccessMode \"%.64s\"", mode);
	if (strcmp(role, ROLE_STANDBY) == 0) {
		if (spec->standby == NULL)
			return broken(problem, "standbyConfig undefined with role standby");
	} else if (strcmp(role, ROLE_MASTER) != 0) {
		return broken(problem, "unknown role \"%.64s\"", role);
	}
	return true;
}

bool spec_check(const struct cluster_spec *spec, char problem[static SPEC_PROBLEM_SIZE])
{
	if (!check_numbers(spec, problem))
		return false;
	if (spec->init_mode == NULL)
		return broken(problem, "initMode undefined");
	return check_lists(spec, problem) && check_init_mode(spec, problem) &&
	       check_modes(spec, problem);
}
