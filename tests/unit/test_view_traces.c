/* cluster/view_decode against documents recorded from real clusters, and against
 * what stolon-proxy did with hand-made ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "cluster/view_decode.h"

typedef void row_check(const char *where, json_t *row);

/* Calls check for each row of a trace; returns their number. */
static size_t for_each_row(const char *name, row_check *check)
{
	char path[1000];
	char where[200];
	char *line = NULL;
	size_t capacity = 0;
	size_t rows = 0;

	snprintf(path, sizeof(path), "%s/%s.jsonl", TRACE_DIR, name);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		fail_msg("cannot open %s", path);
	while (getline(&line, &capacity, file) > 0) {
		json_t *row = json_loads(line, 0, NULL);
		assert_non_null(row);
		snprintf(where, sizeof(where), "%s, row %zu", name, ++rows);
		check(where, row);
		json_decref(row);
	}
	free(line);
	fclose(file);
	return rows;
}

/* Reads of a document that stolon wrote: each key once, in its own spelling. */
static json_t *at(json_t *object, const char *a, const char *b)
{
	return json_object_get(json_object_get(object, a), b);
}

static const char *text_of(json_t *value)
{
	return value == NULL ? "" : json_string_value(value);
}

static void assert_text(const char *where, const char *found, json_t *wanted)
{
	if (strcmp(found, text_of(wanted)) != 0)
		fail_msg("%s: \"%s\", wanted \"%s\"", where, found, text_of(wanted));
}

static void assert_number(const char *where, int64_t found, json_t *wanted)
{
	if (found != json_integer_value(wanted))
		fail_msg("%s: %lld, wanted %lld", where, (long long)found,
			 (long long)json_integer_value(wanted));
}

static void check_member(const char *where, const struct view_member *member, json_t *db)
{
	json_t *spec = json_object_get(db, "spec");
	json_t *status = json_object_get(db, "status");

	assert_text(where, member->uid, json_object_get(db, "uid"));
	assert_text(where, member->keeper_uid, json_object_get(spec, "keeperUID"));
	assert_text(where, member->role, json_object_get(spec, "role"));
	assert_text(where, member->followed_uid, at(spec, "followConfig", "dbuid"));
	assert_text(where, member->listen_address, json_object_get(status, "listenAddress"));
	assert_text(where, member->port, json_object_get(status, "port"));
	assert_int_equal(member->healthy, json_is_true(json_object_get(status, "healthy")));
	assert_number(where, member->generation, json_object_get(db, "generation"));
	assert_number(where, member->current_generation,
		      json_object_get(status, "currentGeneration"));
	assert_number(where, (int64_t)member->timeline, json_object_get(status, "timelineID"));
	assert_number(where, (int64_t)member->wal_position, json_object_get(status, "xLogPos"));
}

static int64_t seconds_of(json_t *duration, int64_t fallback)
{
	return duration == NULL ? fallback : strtoll(json_string_value(duration), NULL, 10);
}

static size_t documents;

static void check_stored(const char *where, json_t *row)
{
	char error[VIEW_ERROR_SIZE];
	const char *key = json_string_value(json_object_get(row, "key"));
	const char *value = json_string_value(json_object_get(row, "value"));
	struct view *view = NULL;
	const char *uid;
	json_t *item;
	size_t i;

	if (key == NULL || value == NULL || strstr(key, "/clusterdata") == NULL)
		return;
	if (view_decode(value, strlen(value), &view, error) < 0)
		fail_msg("%s: %s", where, error);
	documents++;
	json_t *stored = json_loads(value, 0, NULL);
	json_t *proxy = json_object_get(stored, "proxy");
	json_t *spec = at(stored, "cluster", "spec");
	json_t *dbs = json_object_get(stored, "dbs");

	assert_int_equal(view_status(view), VIEW_OK);
	assert_true(view_has_proxy(view));
	assert_number(where, view_generation(view), json_object_get(proxy, "generation"));
	assert_text(where, view_leader_uid(view), at(proxy, "spec", "masterDbUid"));
	json_array_foreach (at(proxy, "spec", "enabledProxies"), i, item)
		assert_true(view_enables(view, json_string_value(item)));
	assert_false(view_enables(view, "ffffffff"));
	assert_int_equal(view_check_interval_ns(view),
			 1000000000 * seconds_of(json_object_get(spec, "proxyCheckInterval"), 5));
	assert_int_equal(view_proxy_timeout_ns(view),
			 1000000000 * seconds_of(json_object_get(spec, "proxyTimeout"), 15));
	assert_int_equal(view_member_count(view), json_object_size(dbs));
	json_object_foreach (dbs, uid, item) {
		assert_non_null(view_find_member(view, uid));
		check_member(where, view_find_member(view, uid), item);
	}
	json_decref(stored);
	view_unref(&view);
}

static void test_every_recorded_document_decodes_to_what_it_says(void **state)
{
	static const struct {
		const char *name;
		size_t documents;
	} traces[] = {
		{"a-init-first-leader", 12},
		{"b-failkeeper-planned", 12},
		{"c-kill9-master", 22},
		{"d-proxy-frozen-failover", 16},
		{"d2-two-proxies-one-frozen", 17},
		{"e-update-proxy-timings", 17},
		{"e2-standby-cluster-promote", 21},
	};

	for (size_t i = 0; i < ARRAY_LEN(traces); i++) {
		documents = 0;
		for_each_row(traces[i].name, check_stored);
		assert_int_equal(documents, traces[i].documents);
	}
}

/* What follows prefix in one of the proxy's log lines, or NULL. */
static const char *log_after(json_t *row, const char *prefix)
{
	size_t i;
	json_t *line;

	json_array_foreach (at(row, "observed", "log"), i, line) {
		const char *found = strstr(json_string_value(line), prefix);
		if (found != NULL)
			return found + strlen(prefix);
	}
	return NULL;
}

static bool observed(json_t *row, const char *what)
{
	return json_is_true(at(row, "observed", what));
}

/* The proxy judged the document: so do we, with its words. */
static void check_judged(const char *where, json_t *row, const struct view *view)
{
	const char *format = log_after(row, "unsupported clusterdata format version: ");
	const char *spec = log_after(row, "clusterdata validation failed: ");
	const char *problem = view_problem(view);

	if (format != NULL) {
		assert_int_equal(view_status(view), VIEW_BAD_FORMAT);
		const char *number = strrchr(problem, ' ') + 1;
		if (strncmp(format, number, strlen(number)) != 0)
			fail_msg("%s: %s", where, problem);
	} else if (spec != NULL) {
		assert_int_equal(view_status(view), VIEW_BAD_SPEC);
		if (strncmp(spec, problem, strlen(problem)) != 0)
			fail_msg("%s: %s", where, problem);
	} else if (observed(row, "process_exited")) {
		assert_int_equal(view_status(view), VIEW_BAD_SPEC);
	} else {
		assert_int_equal(view_status(view), VIEW_ABSENT);
	}
}

static void check_accepted(const char *where, json_t *row, const struct view *view)
{
	json_t *published = at(row, "observed", "published");
	const struct view_member *leader = view_find_member(view, view_leader_uid(view));

	assert_int_equal(view_has_proxy(view), log_after(row, "no proxy object") == NULL);
	if (json_is_object(published)) {
		assert_number(where, view_generation(view),
			      json_object_get(published, "Generation"));
		assert_number(where, view_proxy_timeout_ns(view),
			      json_object_get(published, "ProxyTimeout"));
	}
	if (log_after(row, "no db object") != NULL || !view_has_proxy(view))
		assert_null(leader);
	else
		assert_non_null(leader);
	if (observed(row, "forwards"))
		assert_true(view_enables(view, "@UID@"));
	if (log_after(row, "not proxying to master") != NULL)
		assert_false(view_enables(view, "@UID@"));
}

static void check_reaction(const char *where, json_t *row)
{
	char error[VIEW_ERROR_SIZE];
	const char *json = json_string_value(json_object_get(row, "clusterdata"));
	struct view *view = NULL;
	int r = view_decode(json, strlen(json), &view, error);

	if (log_after(row, "cannot get cluster data: ") != NULL) {
		if (r == 0)
			fail_msg("%s: decoded", where);
		return;
	}
	if (r < 0)
		fail_msg("%s: %s", where, error);
	if (view_status(view) == VIEW_OK)
		check_accepted(where, row, view);
	else
		check_judged(where, row, view);
	/* An accepted view must not be one that the proxy complained of. */
	if (log_after(row, "check function error") != NULL || observed(row, "process_exited") ||
	    log_after(row, "no clusterdata available") != NULL)
		assert_int_not_equal(view_status(view), VIEW_OK);
	view_unref(&view);
}

static void test_hand_made_documents_read_as_stolon_proxy_read_them(void **state)
{
	assert_int_equal(for_each_row("proxy-reactions", check_reaction), 31);
}

static const char *error_of(const char *json)
{
	static char error[VIEW_ERROR_SIZE];
	struct view *view = NULL;

	assert_true(view_decode(json, strlen(json), &view, error) < 0);
	return error;
}

static void check_error_text(const char *where, json_t *row)
{
	const char *json = json_string_value(json_object_get(row, "clusterdata"));
	const char *name = json_string_value(json_object_get(row, "case"));

	if (strcmp(name, "proxyTimeout as number") == 0)
		assert_string_equal(error_of(json), "cluster.spec.proxyTimeout: missing unit in "
						    "duration \"2000000000\"");
	else if (strcmp(name, "port as number") == 0)
		assert_string_equal(error_of(json),
				    "dbs.db1.status.port: number, but a string is wanted");
	else if (strcmp(name, "empty value") == 0 || strcmp(name, "bad json") == 0)
		assert_string_equal(error_of(json), "unexpected end of JSON input");
}

static void test_errors_say_what_and_where(void **state)
{
	for_each_row("proxy-reactions", check_error_text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_recorded_document_decodes_to_what_it_says),
		cmocka_unit_test(test_hand_made_documents_read_as_stolon_proxy_read_them),
		cmocka_unit_test(test_errors_say_what_and_where),
	};

	return cmocka_run_group_tests_name("view_traces", tests, NULL, NULL);
}
