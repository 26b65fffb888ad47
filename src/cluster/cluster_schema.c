/* Every field of stolon's cluster data with its type. What we do not use is
 * here too: in stolon a wrong type anywhere spoils the document, and whoever
 * takes a document that stolon refuses would route while others stand still. */
#include "base/cleanup.h"
#include "cluster_private.h"

/* Rows: kept ones name the C struct and its member, others only the kind. */
#define KEPT(name, kind, type, member)                                                             \
	{                                                                                          \
		name, offsetof(struct type, member), NULL, kind, false                             \
	}
#define KEPT_POINTER(name, kind, type, member)                                                     \
	{                                                                                          \
		name, offsetof(struct type, member), NULL, kind, true                              \
	}
#define KEPT_IN(name, kind, type, member, table)                                                   \
	{                                                                                          \
		name, offsetof(struct type, member), &(table), kind, false                         \
	}
#define KEPT_POINTER_TO(name, type, member, table)                                                 \
	{                                                                                          \
		name, offsetof(struct type, member), &(table), GO_STRUCT, true                     \
	}
#define CHECKED(name, kind)                                                                        \
	{                                                                                          \
		name, GO_UNUSED, NULL, kind, false                                                 \
	}
#define CHECKED_POINTER(name, kind)                                                                \
	{                                                                                          \
		name, GO_UNUSED, NULL, kind, true                                                  \
	}
#define CHECKED_IN(name, kind, table)                                                              \
	{                                                                                          \
		name, GO_UNUSED, &(table), kind, false                                             \
	}
#define CHECKED_POINTER_TO(name, table)                                                            \
	{                                                                                          \
		name, GO_UNUSED, &(table), GO_STRUCT, true                                         \
	}

#define TABLE(name, size)                                                                          \
	static const struct go_table name = {size, name##_fields, ARRAY_LEN(name##_fields)}

/* Objects without fields of their own, such as the proxy's status. */
static const struct go_table empty = {0, NULL, 0};

static const struct go_field new_config_fields[] = {
	CHECKED("locale", GO_STRING),
	CHECKED("encoding", GO_STRING),
	CHECKED("dataChecksums", GO_BOOL),
};
TABLE(new_config, 0);

static const struct go_field archive_recovery_fields[] = {
	CHECKED("restoreCommand", GO_STRING),
};
TABLE(archive_recovery, 0);

static const struct go_field recovery_target_fields[] = {
	CHECKED("recoveryTarget", GO_STRING),     CHECKED("recoveryTargetLsn", GO_STRING),
	CHECKED("recoveryTargetName", GO_STRING), CHECKED("recoveryTargetTime", GO_STRING),
	CHECKED("recoveryTargetXid", GO_STRING),  CHECKED("recoveryTargetTimeline", GO_STRING),
};
TABLE(recovery_target, 0);

static const struct go_field standby_settings_fields[] = {
	CHECKED("primaryConninfo", GO_STRING),
	CHECKED("primarySlotName", GO_STRING),
	CHECKED("recoveryMinApplyDelay", GO_STRING),
};
TABLE(standby_settings, 0);

static const struct go_field pitr_config_fields[] = {
	KEPT("dataRestoreCommand", GO_STRING, spec_pitr, data_restore_command),
	CHECKED_POINTER_TO("archiveRecoverySettings", archive_recovery),
	KEPT_POINTER_TO("recoveryTargetSettings", spec_pitr, recovery_target, recovery_target),
};
TABLE(pitr_config, sizeof(struct spec_pitr));

static const struct go_field existing_config_fields[] = {
	KEPT("keeperUID", GO_STRING, spec_existing, keeper_uid),
};
TABLE(existing_config, sizeof(struct spec_existing));

static const struct go_field standby_config_fields[] = {
	CHECKED_POINTER_TO("standbySettings", standby_settings),
	CHECKED_POINTER_TO("archiveRecoverySettings", archive_recovery),
};
TABLE(standby_config, 0);

#define SPEC(name, kind, member) KEPT_POINTER(name, kind, cluster_spec, member)
static const struct go_field cluster_spec_fields[] = {
	SPEC("sleepInterval", GO_DURATION, sleep_interval_ns),
	SPEC("requestTimeout", GO_DURATION, request_timeout_ns),
	SPEC("convergenceTimeout", GO_DURATION, convergence_timeout_ns),
	SPEC("initTimeout", GO_DURATION, init_timeout_ns),
	SPEC("syncTimeout", GO_DURATION, sync_timeout_ns),
	SPEC("dbWaitReadyTimeout", GO_DURATION, db_wait_ready_timeout_ns),
	SPEC("failInterval", GO_DURATION, fail_interval_ns),
	SPEC("deadKeeperRemovalInterval", GO_DURATION, dead_keeper_removal_interval_ns),
	SPEC("proxyCheckInterval", GO_DURATION, proxy_check_interval_ns),
	SPEC("proxyTimeout", GO_DURATION, proxy_timeout_ns),
	SPEC("maxStandbys", GO_UINT16, max_standbys),
	SPEC("maxStandbysPerSender", GO_UINT16, max_standbys_per_sender),
	CHECKED_POINTER("maxStandbyLag", GO_UINT32),
	CHECKED_POINTER("synchronousReplication", GO_BOOL),
	SPEC("minSynchronousStandbys", GO_UINT16, min_synchronous_standbys),
	SPEC("maxSynchronousStandbys", GO_UINT16, max_synchronous_standbys),
	CHECKED_POINTER("additionalWalSenders", GO_UINT16),
	KEPT("additionalMasterReplicationSlots", GO_LIST, cluster_spec, replication_slots),
	CHECKED_POINTER("usePgrewind", GO_BOOL),
	SPEC("initMode", GO_STRING, init_mode),
	CHECKED_POINTER("mergePgParameters", GO_BOOL),
	SPEC("role", GO_STRING, role),
	CHECKED_POINTER_TO("newConfig", new_config),
	KEPT_POINTER_TO("pitrConfig", cluster_spec, pitr, pitr_config),
	KEPT_POINTER_TO("existingConfig", cluster_spec, existing, existing_config),
	KEPT_POINTER_TO("standbyConfig", cluster_spec, standby, standby_config),
	SPEC("defaultSUReplAccessMode", GO_STRING, su_repl_access_mode),
	CHECKED("pgParameters", GO_STRING_MAP),
	KEPT("pgHBA", GO_LIST, cluster_spec, pg_hba),
	CHECKED_POINTER("automaticPgRestart", GO_BOOL),
};
TABLE(cluster_spec, sizeof(struct cluster_spec));

static const struct go_field cluster_status_fields[] = {
	CHECKED("currentGeneration", GO_INT64),
	CHECKED("phase", GO_STRING),
	/* Not to be routed by: it changes one phase before the proxy may. */
	CHECKED("master", GO_STRING),
};
TABLE(cluster_status, 0);

static const struct go_field cluster_fields[] = {
	CHECKED("uid", GO_STRING),
	CHECKED("generation", GO_INT64),
	CHECKED("changeTime", GO_TIME),
	KEPT_POINTER_TO("spec", doc_cluster, spec, cluster_spec),
	CHECKED_IN("status", GO_STRUCT, cluster_status),
};
TABLE(cluster, sizeof(struct doc_cluster));

static const struct go_field binary_version_fields[] = {
	CHECKED("Maj", GO_INT64),
	CHECKED("Min", GO_INT64),
};
TABLE(binary_version, 0);

static const struct go_field keeper_spec_fields[] = {
	CHECKED("priority", GO_INT64), /* not in every version of stolon */
};
TABLE(keeper_spec, 0);

static const struct go_field keeper_status_fields[] = {
	CHECKED("healthy", GO_BOOL),
	CHECKED("lastHealthyTime", GO_TIME),
	CHECKED("bootUUID", GO_STRING),
	CHECKED_IN("postgresBinaryVersion", GO_STRUCT, binary_version),
	CHECKED("forceFail", GO_BOOL),
	CHECKED_POINTER("canBeMaster", GO_BOOL),
	CHECKED_POINTER("canBeSynchronousReplica", GO_BOOL),
};
TABLE(keeper_status, 0);

static const struct go_field keeper_fields[] = {
	CHECKED("uid", GO_STRING),
	CHECKED("generation", GO_INT64),
	CHECKED("changeTime", GO_TIME),
	CHECKED_POINTER_TO("spec", keeper_spec),
	CHECKED_IN("status", GO_STRUCT, keeper_status),
};
TABLE(keeper, 0);

static const struct go_field follow_config_fields[] = {
	KEPT("type", GO_STRING, doc_follow, type),
	KEPT("dbuid", GO_STRING, doc_follow, db_uid),
	CHECKED_POINTER_TO("standbySettings", standby_settings),
	CHECKED_POINTER_TO("archiveRecoverySettings", archive_recovery),
};
TABLE(follow_config, sizeof(struct doc_follow));

static const struct go_field db_spec_fields[] = {
	KEPT("keeperUID", GO_STRING, doc_db_spec, keeper_uid),
	CHECKED("requestTimeout", GO_DURATION),
	CHECKED("maxStandbys", GO_UINT16),
	CHECKED("synchronousReplication", GO_BOOL),
	CHECKED("usePgrewind", GO_BOOL),
	CHECKED("additionalWalSenders", GO_UINT16),
	CHECKED("additionalReplicationSlots", GO_LIST),
	CHECKED("initMode", GO_STRING),
	CHECKED_POINTER_TO("newConfig", new_config),
	CHECKED_POINTER_TO("pitrConfig", pitr_config),
	CHECKED("pgParameters", GO_STRING_MAP),
	CHECKED("pgHBA", GO_LIST),
	KEPT("role", GO_STRING, doc_db_spec, role),
	KEPT_POINTER_TO("followConfig", doc_db_spec, follow, follow_config),
	CHECKED("followers", GO_LIST),
	CHECKED("includePreviousConfig", GO_BOOL),
	CHECKED("synchronousStandbys", GO_LIST),
	CHECKED("externalSynchronousStandbys", GO_LIST),
};
TABLE(db_spec, sizeof(struct doc_db_spec));

static const struct go_field timeline_fields[] = {
	CHECKED("timelineID", GO_UINT64),
	CHECKED("switchPoint", GO_UINT64),
	CHECKED("reason", GO_STRING),
};
TABLE(timeline, 0);

static const struct go_field db_status_fields[] = {
	KEPT("healthy", GO_BOOL, doc_db_status, healthy),
	KEPT("currentGeneration", GO_INT64, doc_db_status, current_generation),
	KEPT("listenAddress", GO_STRING, doc_db_status, listen_address),
	KEPT("port", GO_STRING, doc_db_status, port),
	CHECKED("systemdID", GO_STRING), /* the name is stolon's */
	KEPT("timelineID", GO_UINT64, doc_db_status, timeline),
	KEPT("xLogPos", GO_UINT64, doc_db_status, wal_position),
	CHECKED_IN("timelinesHistory", GO_STRUCT_LIST, timeline),
	CHECKED("pgParameters", GO_STRING_MAP),
	CHECKED("synchronousStandbys", GO_LIST),
	CHECKED("olderWalFile", GO_STRING),
};
TABLE(db_status, sizeof(struct doc_db_status));

static const struct go_field db_fields[] = {
	CHECKED("uid", GO_STRING),
	KEPT("generation", GO_INT64, doc_db, generation),
	CHECKED("changeTime", GO_TIME),
	KEPT_POINTER_TO("spec", doc_db, spec, db_spec),
	KEPT_IN("status", GO_STRUCT, doc_db, status, db_status),
};
TABLE(db, sizeof(struct doc_db));

static const struct go_field proxy_spec_fields[] = {
	KEPT("masterDbUid", GO_STRING, doc_proxy_spec, leader_uid),
	KEPT("enabledProxies", GO_LIST, doc_proxy_spec, enabled),
};
TABLE(proxy_spec, sizeof(struct doc_proxy_spec));

static const struct go_field proxy_fields[] = {
	CHECKED("uid", GO_STRING),
	KEPT("generation", GO_INT64, doc_proxy, generation),
	CHECKED("changeTime", GO_TIME),
	KEPT_IN("spec", GO_STRUCT, doc_proxy, spec, proxy_spec),
	CHECKED_IN("status", GO_STRUCT, empty),
};
TABLE(proxy, sizeof(struct doc_proxy));

static const struct go_field doc_fields[] = {
	KEPT("formatVersion", GO_UINT64, doc, format_version),
	CHECKED("changeTime", GO_TIME),
	KEPT_POINTER_TO("cluster", doc, cluster, cluster),
	CHECKED_IN("keepers", GO_MAP, keeper),
	KEPT_IN("dbs", GO_MAP, doc, dbs, db),
	KEPT_POINTER_TO("proxy", doc, proxy, proxy),
};

const struct go_table cluster_schema = {sizeof(struct doc), doc_fields, ARRAY_LEN(doc_fields)};
