/* The role out of a check server's answer: always out of its body. Patroni's status
 * alone says who holds the lock, before PostgreSQL takes writes and while it is
 * down; Fly's says that a check has run. */
#include "role_body.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"

struct word {
	const char *text;
	enum probe_outcome outcome;
};

static bool find_word(const struct word words[], size_t count, const char *text, size_t size,
		      enum probe_outcome *ret)
{
	for (size_t i = 0; i < count; i++) {
		if (strlen(words[i].text) != size || memcmp(words[i].text, text, size) != 0)
			continue;
		*ret = words[i].outcome;
		return true;
	}
	return false;
}

static void set_failure(struct probe_result *result, enum probe_outcome outcome, int status,
			const char *body, size_t size)
{
	char text[PROBE_TEXT_SIZE + 16];
	int length = snprintf(text, sizeof(text), "HTTP %d: ", status);
	size_t room = sizeof(text) - (size_t)length;

	memcpy(text + length, body, size < room ? size : room);
	result->outcome = outcome;
	probe_result_set_text(result, text, (size_t)length + (size < room ? size : room), NULL);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void role_body_decode_fly(int status, const char *body, size_t size, struct probe_result *result)
{
	static const struct word roles[] = {
		{"leader", PROBE_WRITABLE},
		{"primary", PROBE_WRITABLE},
		{"replica", PROBE_IN_RECOVERY},
		{"standby", PROBE_IN_RECOVERY},
		/* A full disk, on leader and replica alike. */
		{"readonly", PROBE_READ_ONLY},
	};

	for (; size > 0 && is_blank(body[size - 1]); size--)
		;
	for (; size > 0 && is_blank(*body); body++, size--)
		;
	if (size >= 2 && body[0] == '"' && body[size - 1] == '"') {
		body++;
		size -= 2;
	}
	if (status != 200)
		set_failure(result, PROBE_ERROR, status, body, size);
	else if (!find_word(roles, ARRAY_LEN(roles), body, size, &result->outcome))
		set_failure(result, PROBE_PROTOCOL, status, body, size);
}

/* Patroni */

/* A role while PostgreSQL runs. Those in between become another one soon. */
static const struct word patroni_roles[] = {
	{"primary", PROBE_WRITABLE},       {"master", PROBE_WRITABLE},
	{"replica", PROBE_IN_RECOVERY},    {"standby_leader", PROBE_IN_RECOVERY},
	{"promoted", PROBE_STARTING},      {"demoted", PROBE_STARTING},
	{"uninitialized", PROBE_STARTING},
};

/* A number member as uint64; 0 where there is none. */
static uint64_t get_number(const json_t *object, const char *key)
{
	json_int_t number = json_integer_value(json_object_get(object, key));

	return number > 0 ? (uint64_t)number : 0;
}

static void take_xlog(const json_t *xlog, struct probe_result *result)
{
	result->current_lsn = get_number(xlog, "location");
	result->received_lsn = get_number(xlog, "received_location");
	result->replayed_lsn = get_number(xlog, "replayed_location");
}

static void take_details(const json_t *root, struct probe_result *result)
{
	const char *system_id =
		json_string_value(json_object_get(root, "database_system_identifier"));
	const char *replication = json_string_value(json_object_get(root, "replication_state"));
	uint64_t timeline = get_number(root, "timeline");
	uint64_t version = get_number(root, "server_version");
	int64_t id;

	/* It is PostgreSQL's own while that writes, and otherwise that of its receiver. */
	if (timeline <= UINT32_MAX)
		result->timeline = (uint32_t)timeline;
	result->timeline_is_exact = result->timeline != 0;
	if (version <= INT32_MAX)
		result->server_version = (int)version;
	if (system_id != NULL && parse_int(system_id, 1, INT64_MAX, &id) == 0)
		result->system_id = (uint64_t)id;
	result->has_receiver = replication != NULL && strcmp(replication, "streaming") == 0;
	take_xlog(json_object_get(root, "xlog"), result);
}

static void explain(struct probe_result *result, enum probe_outcome outcome, const char *state,
		    const char *role)
{
	char text[PROBE_TEXT_SIZE];
	int length = snprintf(text, sizeof(text), "state %.80s, role %.80s", state, role);

	result->outcome = outcome;
	probe_result_set_text(result, text, (size_t)length, NULL);
}

static void take_role(const json_t *root, struct probe_result *result)
{
	const char *state = json_string_value(json_object_get(root, "state"));
	const char *role = json_string_value(json_object_get(root, "role"));
	enum probe_outcome outcome;

	if (state == NULL || role == NULL)
		explain(result, PROBE_PROTOCOL, state != NULL ? state : "missing",
			role != NULL ? role : "missing");
	else if (strcmp(state, "running") != 0)
		explain(result, PROBE_STARTING, state, role); /* or stopped: nobody is served */
	else if (!find_word(patroni_roles, ARRAY_LEN(patroni_roles), role, strlen(role), &outcome))
		explain(result, PROBE_PROTOCOL, state, role);
	else if (probe_outcome_verdict(outcome) != PROBE_ANSWERED)
		explain(result, outcome, state, role);
	else
		result->outcome = outcome;
}

void role_body_decode_patroni(int status, const char *body, size_t size,
			      struct probe_result *result)
{
	json_t *root = NULL;

	if (status == 200)
		root = json_loadb(body, size, 0, NULL);
	if (json_is_object(root)) {
		take_role(root, result);
		if (probe_outcome_verdict(result->outcome) == PROBE_ANSWERED)
			take_details(root, result);
	} else {
		set_failure(result, status == 200 ? PROBE_PROTOCOL : PROBE_ERROR, status, body,
			    size);
	}
	json_decref(root);
}
