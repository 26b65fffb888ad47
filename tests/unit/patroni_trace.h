/* A recorded Patroni cluster as it was at a moment: the keys of one scope, and
 * what each server said. tests/data/patroni/README.md has the format. */
#ifndef PGSPLICE_UNIT_PATRONI_TRACE_H
#define PGSPLICE_UNIT_PATRONI_TRACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/cleanup.h"
#include "cluster/patroni_decode.h"
#include "routing/patroni_policy.h"

#define TRACE_KEYS    30
#define TRACE_SERVERS 5

struct trace_server {
	const char *name; /* NULL: unused */
	enum patroni_answer answer;
	uint32_t timeline;
	int64_t since_ms;
};

struct trace {
	const char *name;
	char prefix[40];
	json_t *rows; /* in the order of their times */
	size_t next;  /* row */
	struct patroni_key keys[TRACE_KEYS];
	size_t key_count;
	struct trace_server servers[TRACE_SERVERS];
	bool is_store_out;
};

/* What the rows up to a moment brought. */
enum trace_event {
	TRACE_NOTHING, /* no more rows up to then */
	TRACE_RANGE,   /* the keys were read */
	TRACE_CHANGE,  /* they changed, by one revision */
	TRACE_LOST,
	TRACE_BACK,
	TRACE_SERVER, /* a server says something else */
};

static inline const char *row_text(json_t *row, const char *field)
{
	const char *text = json_string_value(json_object_get(row, field));

	return text == NULL ? "" : text;
}

static inline int64_t row_ms(json_t *row)
{
	return (int64_t)(json_number_value(json_object_get(row, "t")) * 1000);
}

static inline bool row_is(json_t *row, const char *src)
{
	return strcmp(row_text(row, "src"), src) == 0;
}

static inline void trace_open(struct trace *t, const char *name, const char *scope)
{
	char path[1000];
	char *line = NULL;
	size_t capacity = 0;

	*t = (struct trace){.name = name, .rows = json_array()};
	snprintf(t->prefix, sizeof(t->prefix), "/service/%s/", scope);
	snprintf(path, sizeof(path), "%s/%s.jsonl", PATRONI_TRACE_DIR, name);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		fail_msg("cannot open %s", path);
	while (getline(&line, &capacity, file) > 0)
		json_array_append_new(t->rows, json_loads(line, 0, NULL));
	free(line);
	fclose(file);
}

static inline void trace_close(struct trace *t)
{
	json_decref(t->rows);
}

static inline void trace_remove_key(struct trace *t, const char *name)
{
	for (size_t i = 0; i < t->key_count; i++) {
		if (strcmp(t->keys[i].name, name) == 0) {
			t->keys[i] = t->keys[--t->key_count];
			return;
		}
	}
}

static inline void trace_take_key(struct trace *t, json_t *row)
{
	const char *name = row_text(row, "key");

	if (strncmp(name, t->prefix, strlen(t->prefix)) != 0)
		return;
	name += strlen(t->prefix);
	trace_remove_key(t, name);
	if (strcmp(row_text(row, "type"), "DELETE") == 0)
		return;
	assert_true(t->key_count < TRACE_KEYS);
	t->keys[t->key_count++] = (struct patroni_key){
		.name = name,
		.data = row_text(row, "value"),
		.size = strlen(row_text(row, "value")),
		.create_revision = strtoull(row_text(row, "create_revision"), NULL, 10),
		.mod_revision = strtoull(row_text(row, "mod_revision"), NULL, 10),
		.is_held = strcmp(row_text(row, "lease"), "0") != 0,
	};
}

/* Whether the row ends what one range or one revision brought. */
static inline bool trace_is_last(const struct trace *t, json_t *row)
{
	for (size_t i = t->next; i < json_array_size(t->rows); i++) {
		json_t *other = json_array_get(t->rows, i);
		if (!row_is(other, "etcd"))
			continue;
		if (strcmp(row_text(row, "type"), "SNAPSHOT") == 0)
			return strcmp(row_text(other, "type"), "SNAPSHOT") != 0;
		return strcmp(row_text(row, "mod_revision"), row_text(other, "mod_revision")) != 0;
	}
	return true;
}

static inline struct trace_server *trace_server(struct trace *t, const char *name)
{
	for (size_t i = 0; i < TRACE_SERVERS; i++) {
		if (t->servers[i].name == NULL)
			t->servers[i].name = name;
		if (strcmp(t->servers[i].name, name) == 0)
			return &t->servers[i];
	}
	fail_msg("%s: too many servers", t->name);
	return NULL;
}

static inline void trace_take_answer(struct trace *t, json_t *row)
{
	struct trace_server *server = trace_server(t, row_text(row, "member"));
	const char *state = row_text(row, "state");
	enum patroni_answer answer = strcmp(state, "writable") == 0  ? PATRONI_ANSWER_WRITABLE
				     : strcmp(state, "replica") == 0 ? PATRONI_ANSWER_READ_ONLY
								     : PATRONI_ANSWER_REFUSED;

	if (server->answer != answer)
		server->since_ms = row_ms(row);
	server->answer = answer;
	server->timeline = (uint32_t)json_integer_value(json_object_get(row, "timeline"));
}

static inline enum trace_event trace_take(struct trace *t, json_t *row)
{
	if (row_is(row, "etcd")) {
		trace_take_key(t, row);
		if (!trace_is_last(t, row))
			return TRACE_NOTHING;
		return strcmp(row_text(row, "type"), "SNAPSHOT") == 0 ? TRACE_RANGE : TRACE_CHANGE;
	}
	if (row_is(row, "snapshot") && strcmp(row_text(row, "count"), "0") == 0)
		return TRACE_RANGE;
	if (row_is(row, "sql")) {
		trace_take_answer(t, row);
		return TRACE_SERVER;
	}
	if (row_is(row, "stream") && strcmp(row_text(row, "what"), "error") == 0) {
		bool was_out = t->is_store_out;
		t->is_store_out = true;
		return was_out ? TRACE_NOTHING : TRACE_LOST;
	}
	if (t->is_store_out && json_is_true(json_object_get(row, "created"))) {
		t->is_store_out = false;
		return TRACE_BACK;
	}
	return TRACE_NOTHING;
}

/* The next thing that happened up to now_ms. */
static inline enum trace_event trace_advance(struct trace *t, int64_t now_ms)
{
	while (t->next < json_array_size(t->rows)) {
		json_t *row = json_array_get(t->rows, t->next);
		if (row_ms(row) > now_ms)
			break;
		t->next++;
		enum trace_event event = trace_take(t, row);
		if (event != TRACE_NOTHING)
			return event;
	}
	return TRACE_NOTHING;
}

static inline const struct patroni_key *trace_key(const struct trace *t, const char *name)
{
	for (size_t i = 0; i < t->key_count; i++) {
		if (strcmp(t->keys[i].name, name) == 0)
			return &t->keys[i];
	}
	return NULL;
}

/* A key's value as JSON, or NULL. */
static inline json_t *trace_json(const struct trace *t, const char *name)
{
	const struct patroni_key *key = trace_key(t, name);

	return key == NULL ? NULL : json_loads(key->data, 0, NULL);
}

#endif
