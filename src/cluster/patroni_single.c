/* The keys that a cluster has once: who leads, how it is configured, what is
 * asked of it. Pure. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "patroni_private.h"

#define DAY_S 86400

static void decode_leader(struct patroni_decoder *d, const struct patroni_key *key)
{
	struct patroni_leader *leader = &d->view->leader;

	leader->is_held = key->is_held;
	leader->create_revision = key->create_revision;
	leader->mod_revision = key->mod_revision;
	if (patroni_is_name(key->data, key->size))
		leader->name = patroni_copy(d, key->data, key->size);
	else if (key->size > 0)
		patroni_problem(d, "not the name of a member");
}

static bool is_standby_cluster(json_t *config)
{
	json_t *standby = json_object_get(config, "standby_cluster");

	return patroni_is_truthy(json_object_get(standby, "host")) ||
	       patroni_is_truthy(json_object_get(standby, "port")) ||
	       patroni_is_truthy(json_object_get(standby, "restore_command"));
}

static void decode_config(struct patroni_decoder *d, const struct patroni_key *key)
{
	struct patroni_config *config = &d->view->config;
	json_t *object = patroni_load_object(d, key);
	json_t *mode = json_object_get(object, "synchronous_mode");

	if (object == NULL)
		return;
	config->is_present = true;
	config->ttl_s = patroni_number(d, object, "ttl", 1, DAY_S, config->ttl_s);
	config->loop_wait_s = patroni_number(d, object, "loop_wait", 1, DAY_S, config->loop_wait_s);
	config->retry_timeout_s =
		patroni_number(d, object, "retry_timeout", 1, DAY_S, config->retry_timeout_s);
	config->maximum_lag_on_failover =
		patroni_number(d, object, "maximum_lag_on_failover", INT64_MIN, INT64_MAX,
			       config->maximum_lag_on_failover);
	config->pause = patroni_flag(d, object, "pause");
	config->failsafe_mode = patroni_flag(d, object, "failsafe_mode");
	config->synchronous_mode =
		(json_is_string(mode) && strcasecmp(json_string_value(mode), "quorum") == 0) ||
		patroni_flag(d, object, "synchronous_mode");
	config->standby_cluster = is_standby_cluster(object);
	json_decref(object);
}

static void set_optime(struct patroni_decoder *d, json_t *value)
{
	if (json_is_integer(value) && json_integer_value(value) >= 0)
		d->view->cluster.optime = (uint64_t)json_integer_value(value);
	else if (value != NULL && !json_is_null(value))
		patroni_problem(d, "no position of the leader");
}

/* Also of "optime/leader", which releases before 2.1 write: a bare number. It comes
 * first, and so counts only where "status" has nothing to say. */
static void decode_status(struct patroni_decoder *d, const struct patroni_key *key)
{
	json_t *root;

	if (key->size == 0)
		return;
	root = patroni_load(d, key);
	if (root == NULL)
		return;
	set_optime(d, json_is_object(root) ? json_object_get(root, "optime") : root);
	json_decref(root);
}

/* "pg1,pg2" */
static void decode_standbys(struct patroni_decoder *d, const char *list)
{
	struct patroni_sync *sync = &d->view->sync;
	size_t most = 1;

	for (const char *c = list; *c != '\0'; c++)
		most += *c == ',';
	const char **names = patroni_alloc(d, most * sizeof(*names));
	sync->standbys = names;
	while (names != NULL && *list != '\0') {
		size_t size = strcspn(list, ",");
		size_t blanks = strspn(list, " ");
		const char *end = list + size;
		while (end > list + blanks && end[-1] == ' ')
			end--;
		if (list + blanks < end)
			names[sync->standby_count++] =
				patroni_copy(d, list + blanks, (size_t)(end - list) - blanks);
		list += size + (list[size] == ',');
	}
}

static void decode_sync(struct patroni_decoder *d, const struct patroni_key *key)
{
	json_t *object = patroni_load_object(d, key);

	if (object == NULL)
		return;
	d->view->sync.leader = patroni_text(d, object, "leader");
	d->view->sync.quorum = patroni_number(d, object, "quorum", 0, INT32_MAX, 0);
	decode_standbys(d, patroni_string(d, object, "sync_standby"));
	json_decref(object);
}

/* The form of the first releases: "FROM:TO". */
static void decode_failover_pair(struct patroni_decoder *d, const struct patroni_key *key)
{
	const char *colon = memchr(key->data, ':', key->size);
	size_t from = colon != NULL ? (size_t)(colon - key->data) : key->size;

	if (patroni_is_name(key->data, from))
		d->view->failover.leader = patroni_copy(d, key->data, from);
	if (colon != NULL && patroni_is_name(colon + 1, key->size - from - 1))
		d->view->failover.candidate = patroni_copy(d, colon + 1, key->size - from - 1);
}

static void decode_failover(struct patroni_decoder *d, const struct patroni_key *key)
{
	struct patroni_failover *failover = &d->view->failover;

	failover->mod_revision = key->mod_revision;
	if (key->size == 0)
		return;
	if (*key->data != '{') {
		decode_failover_pair(d, key);
		return;
	}
	json_t *object = patroni_load_object(d, key);
	if (object == NULL)
		return;
	failover->leader = patroni_text(d, object, "leader");
	failover->candidate = patroni_text(d, object, "member");
	failover->is_scheduled = patroni_is_truthy(json_object_get(object, "scheduled_at"));
	json_decref(object);
}

static void decode_history(struct patroni_decoder *d, const struct patroni_key *key)
{
	json_t *lines = patroni_load(d, key);
	size_t count = json_array_size(lines);
	json_t *timeline = json_array_get(json_array_get(lines, count > 0 ? count - 1 : 0), 0);

	if (json_is_integer(timeline) && json_integer_value(timeline) > 0 &&
	    json_integer_value(timeline) <= UINT32_MAX)
		d->view->cluster.last_ended_timeline = (uint32_t)json_integer_value(timeline);
	else if (lines != NULL && (count > 0 || !json_is_array(lines)))
		patroni_problem(d, "no timeline in the last line");
	json_decref(lines);
}

static void decode_initialize(struct patroni_decoder *d, const struct patroni_key *key)
{
	struct patroni_cluster *cluster = &d->view->cluster;
	uint64_t id = 0;

	cluster->init = PATRONI_INIT_BOOTSTRAPPING;
	if (key->size == 0)
		return;
	for (size_t i = 0; i < key->size; i++) {
		unsigned digit = (unsigned)(key->data[i] - '0');
		if (digit > 9 || id > (UINT64_MAX - digit) / 10) {
			patroni_problem(d, "not a system identifier");
			return;
		}
		id = id * 10 + digit;
	}
	if (id == 0)
		return;
	cluster->init = PATRONI_INIT_DONE;
	cluster->system_id = id;
}

static void decode_failsafe(struct patroni_decoder *d, const struct patroni_key *key)
{
	json_t *object = patroni_load_object(d, key);

	d->view->cluster.failsafe_count = json_object_size(object);
	json_decref(object);
}

void patroni_decode_single(struct patroni_decoder *d, const struct patroni_key *key)
{
	static const struct {
		const char *name;
		void (*decode)(struct patroni_decoder *d, const struct patroni_key *key);
	} singles[] = {
		{"leader", decode_leader},     {"config", decode_config},
		{"status", decode_status},     {"optime/leader", decode_status},
		{"sync", decode_sync},         {"failover", decode_failover},
		{"history", decode_history},   {"initialize", decode_initialize},
		{"failsafe", decode_failsafe},
	};

	for (size_t i = 0; i < ARRAY_LEN(singles); i++) {
		if (strcmp(d->key, singles[i].name) == 0)
			singles[i].decode(d, key);
	}
}
