/* One "members/NAME" of the store. Pure. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "patroni_private.h"

struct word {
	const char *text;
	int value;
};

static const struct word roles[] = {
	{"primary", PATRONI_ROLE_PRIMARY},
	{"master", PATRONI_ROLE_PRIMARY},
	{"promoted", PATRONI_ROLE_PROMOTED},
	{"standby_leader", PATRONI_ROLE_STANDBY_LEADER},
	{"replica", PATRONI_ROLE_REPLICA},
	{"demoted", PATRONI_ROLE_DEMOTED},
	{"uninitialized", PATRONI_ROLE_UNINITIALIZED},
};

static const struct word states[] = {
	{"running", PATRONI_STATE_RUNNING},
	{"starting", PATRONI_STATE_STARTING},
	{"stopping", PATRONI_STATE_STOPPING},
	{"stopped", PATRONI_STATE_STOPPED},
	{"crashed", PATRONI_STATE_CRASHED},
	{"restarting", PATRONI_STATE_RESTARTING},
	{"creating replica", PATRONI_STATE_CREATING_REPLICA},
	{"initializing new cluster", PATRONI_STATE_INITIALIZING},
	{"start failed", PATRONI_STATE_START_FAILED},
	{"restart failed", PATRONI_STATE_RESTART_FAILED},
	{"stop failed", PATRONI_STATE_STOP_FAILED},
	{"initdb failed", PATRONI_STATE_INITDB_FAILED},
	{"running custom bootstrap script", PATRONI_STATE_BOOTSTRAPPING},
	{"custom bootstrap failed", PATRONI_STATE_BOOTSTRAP_FAILED},
	{"starting after custom bootstrap", PATRONI_STATE_STARTING_AFTER_BOOTSTRAP},
};

static const struct word replications[] = {
	{"", PATRONI_REPLICATION_NONE},
	{"streaming", PATRONI_REPLICATION_STREAMING},
	{"in archive recovery", PATRONI_REPLICATION_ARCHIVE},
};

static int find_word(const struct word *words, size_t count, const char *text, int fallback)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i].text, text) == 0)
			return words[i].value;
	}
	return fallback;
}

static const char *name_of(const struct word *words, size_t count, int value)
{
	for (size_t i = 0; i < count; i++) {
		if (words[i].value == value)
			return words[i].text;
	}
	return "unknown";
}

const char *patroni_role_name(enum patroni_role role)
{
	return name_of(roles, ARRAY_LEN(roles), (int)role);
}

const char *patroni_state_name(enum patroni_state state)
{
	return name_of(states, ARRAY_LEN(states), (int)state);
}

/* "4.1.5" to 40105. A part past 99 counts as 99, what follows a digit not at all. */
static uint32_t parse_version(const char *text)
{
	uint32_t number = 0;

	for (int part = 0; part < 3; part++) {
		uint32_t value = 0;
		if (part == 0 && !isdigit((unsigned char)*text))
			return 0;
		for (; isdigit((unsigned char)*text); text++)
			value = value > 99 ? 99 : value * 10 + (uint32_t)(*text - '0');
		number = number * 100 + (value > 99 ? 99 : value);
		text += *text == '.';
	}
	return number;
}

static void parse_into(struct patroni_decoder *d, const char *field, const char *url,
		       struct patroni_address *address)
{
	const char *problem = *url == '\0' ? NULL : patroni_parse_address(d, url, address);

	if (problem != NULL)
		patroni_problem(d, "%s: %s", field, problem);
}

static void decode_urls(struct patroni_decoder *d, json_t *object, struct patroni_member *member)
{
	parse_into(d, "conn_url", patroni_string(d, object, "conn_url"), &member->address);
	parse_into(d, "proxy_url", patroni_string(d, object, "proxy_url"), &member->proxy);
	member->api_url = patroni_copy_url(d, patroni_string(d, object, "api_url"));
}

static void decode_object(struct patroni_decoder *d, json_t *object, struct patroni_member *member)
{
	json_t *tags = json_object_get(object, "tags");

	decode_urls(d, object, member);
	member->role = (enum patroni_role)find_word(
		roles, ARRAY_LEN(roles), patroni_string(d, object, "role"), PATRONI_ROLE_UNKNOWN);
	member->state = (enum patroni_state)find_word(states, ARRAY_LEN(states),
						      patroni_string(d, object, "state"),
						      PATRONI_STATE_UNKNOWN);
	member->replication = (enum patroni_replication)find_word(
		replications, ARRAY_LEN(replications),
		patroni_string(d, object, "replication_state"), PATRONI_REPLICATION_OTHER);
	member->version = patroni_text(d, object, "version");
	member->version_number = parse_version(member->version);
	member->timeline = (uint32_t)patroni_number(d, object, "timeline", 0, UINT32_MAX, 0);
	member->wal_position =
		(uint64_t)patroni_number(d, object, "xlog_location", 0, INT64_MAX, 0);
	member->receive_lsn = (uint64_t)patroni_number(d, object, "receive_lsn", 0, INT64_MAX, 0);
	member->replay_lsn = (uint64_t)patroni_number(d, object, "replay_lsn", 0, INT64_MAX, 0);
	member->no_load_balance = patroni_is_truthy(json_object_get(tags, "noloadbalance"));
	member->is_paused = patroni_flag(d, object, "pause");
	member->checkpoint_pending =
		json_is_false(json_object_get(object, "checkpoint_after_promote"));
}

/* The form of the first releases: "postgres://…?application_name=http://…". */
static void decode_url_form(struct patroni_decoder *d, char *url, struct patroni_member *member)
{
	static const char parameter[] = "application_name=";
	char *query = strchr(url, '?');
	char *api = query == NULL ? NULL : strstr(query, parameter);

	if (query != NULL)
		*query = '&';
	if (api != NULL && api[-1] == '&') {
		api += strlen(parameter);
		size_t size = strcspn(api, "&#");
		patroni_decode_percent(api, size, api);
		member->api_url = patroni_copy_url(d, api);
	}
	if (query != NULL)
		*query = '\0';
	parse_into(d, "conn_url", url, &member->address);
}

static void decode_value(struct patroni_decoder *d, const struct patroni_key *key,
			 struct patroni_member *member)
{
	static const char url_start[] = "postgres";
	bool is_url = key->size >= strlen(url_start) && key->size <= PATRONI_MAX_VALUE &&
		      memcmp(key->data, url_start, strlen(url_start)) == 0;

	if (is_url) {
		AUTO_FREE char *url = strndup(key->data, key->size);
		if (url == NULL)
			d->out_of_memory = true;
		else
			decode_url_form(d, url, member);
		member->is_decodable = true;
		return;
	}
	json_t *object = patroni_load_object(d, key);
	if (object == NULL)
		return;
	member->is_decodable = true;
	decode_object(d, object, member);
	json_decref(object);
}

void patroni_decode_member(struct patroni_decoder *d, const struct patroni_key *key,
			   const char *name, struct patroni_member *member)
{
	*member = (struct patroni_member){
		.name = patroni_copy(d, name, strlen(name)),
		.mod_revision = key->mod_revision,
		.address = {.text = ""},
		.proxy = {.text = ""},
		.api_url = "",
		.version = "",
	};
	decode_value(d, key, member);
}
