/* store/consul_json: Consul's answers as it prints them, what a liar would print,
 * and the requests. */
#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "consul_json.h"

#define SESSION "adf4238a-882b-9ddc-4a9d-5b6758e4159e"

/* Answers */

static void assert_bytes(const struct strbuf *b, const char *text)
{
	assert_int_equal(b->size, strlen(text));
	if (b->size > 0)
		assert_memory_equal(b->data, text, b->size);
}

static void test_keys(void **state)
{
	static const struct {
		const char *json;
		const char *value; /* NULL: no key */
		uint64_t index;
		const char *session;
	} cases[] = {
		{"[{\"LockIndex\":1,\"Key\":\"a/"
		 "b\",\"Flags\":3304740253564472344,\"Value\":\"eA==\","
		 "\"Session\":\"" SESSION "\",\"CreateIndex\":100,\"ModifyIndex\":200}]\n",
		 "x", 200, SESSION},
		{"[{\"LockIndex\":0,\"Key\":\"a\",\"Flags\":0,\"Value\":null,\"CreateIndex\":7,"
		 "\"ModifyIndex\":7}]",
		 "", 7, ""},
		{"[{\"ModifyIndex\":7,\"Session\":\"\"}]", "", 7, ""},
		{"[{\"ModifyIndex\":7,\"Session\":null,\"Value\":\"\"}]", "", 7, ""},
		{"[]", NULL, 0, ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct consul_kvs kvs;
		assert_int_equal(consul_json_kvs(cases[i].json, strlen(cases[i].json), &kvs), 0);
		assert_int_equal(kvs.count, cases[i].value != NULL);
		if (kvs.count == 0)
			continue;
		assert_int_equal(kvs.all[0].index, cases[i].index);
		assert_string_equal(kvs.all[0].session, cases[i].session);
		assert_bytes(&kvs.all[0].value, cases[i].value);
		consul_kvs_deinit(&kvs);
	}
}

static void test_several_keys(void **state)
{
	static const char json[] =
		"[{\"LockIndex\":1,\"Key\":\"service/x/leader\",\"Flags\":0,\"Value\":\"cGcx\","
		"\"Session\":\"" SESSION "\",\"CreateIndex\":100,\"ModifyIndex\":200},"
		"{\"Key\":\"service/x/a\\u0000b\",\"ModifyIndex\":8},"
		"{\"LockIndex\":0,\"Key\":\"service/x/sync\",\"Flags\":0,\"Value\":null,"
		"\"CreateIndex\":7,\"ModifyIndex\":7}]\n";
	struct consul_kvs kvs;

	assert_int_equal(consul_json_kvs(json, sizeof(json) - 1, &kvs), 0);
	assert_int_equal(kvs.count, 3);
	assert_bytes(&kvs.all[0].key, "service/x/leader");
	assert_int_equal(kvs.all[0].create_index, 100);
	assert_int_equal(kvs.all[1].key.size, strlen("service/x/a") + 2);
	assert_bytes(&kvs.all[2].key, "service/x/sync");
	assert_int_equal(kvs.all[2].index, 7);
	assert_string_equal(kvs.all[2].session, "");
	consul_kvs_deinit(&kvs);
	consul_kvs_deinit(&kvs);
}

static void test_what_is_no_key_is_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"null",
		"{}",
		"[null]",
		"[1]",
		"[{}]",
		"[{\"ModifyIndex\":0}]",
		"[{\"ModifyIndex\":-5}]",
		"[{\"ModifyIndex\":\"7\"}]",
		"[{\"ModifyIndex\":99999999999999999999}]",
		"[{\"ModifyIndex\":7,\"Value\":1}]",
		"[{\"ModifyIndex\":7,\"Value\":\"?\"}]",
		"[{\"ModifyIndex\":7,\"Session\":1}]",
		"[{\"ModifyIndex\":7,\"Session\":\"a/b\"}]",
		"[{\"ModifyIndex\":7,\"Session\":\"a\\r\\nX: y\"}]",
		"[{\"ModifyIndex\":7,\"Session\":\"0123456789012345678901234567890123456789"
		"012345678901234567890123456789\"}]",
		"[{\"ModifyIndex\":7}",
		"[{\"ModifyIndex\":7},{\"ModifyIndex\":0}]",
		"[{\"ModifyIndex\":7,\"Key\":\"a\",\"Value\":\"eA==\"},7]",
	};
	struct consul_kvs kvs;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (consul_json_kvs(cases[i], strlen(cases[i]), &kvs) >= 0)
			fail_msg("%s", cases[i]);
	}
}

static void test_a_session_id_is_safe_in_a_path(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"ID\":1}",
		"{\"ID\":\"\"}",
		"{\"ID\":\"../kv/x\"}",
		"{\"ID\":\"a?b\"}",
		"{\"ID\":\"a\\u0000b\"}",
		"[]",
	};
	const char *good = "{\"ID\":\"" SESSION "\"}";
	char id[CONSUL_ID_SIZE];

	assert_int_equal(consul_json_session(good, strlen(good), id), 0);
	assert_string_equal(id, SESSION);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (consul_json_session(bad[i], strlen(bad[i]), id) == 0)
			fail_msg("%s", bad[i]);
	}
	assert_string_equal(id, SESSION);
}

static void test_transactions(void **state)
{
	const char *good = "{\"Results\":[{\"KV\":{\"Key\":\"a\",\"ModifyIndex\":9}},"
			   "{\"KV\":{\"Key\":\"a\",\"ModifyIndex\":12}}],\"Errors\":null}";
	static const char *const bad[] = {
		"{\"Results\":null,\"Errors\":null}",
		"{\"Results\":[],\"Errors\":null}",
		"{\"Results\":[{\"KV\":{}}]}",
		"{\"Results\":{\"KV\":{\"ModifyIndex\":9}}}",
		"[]",
		"true",
	};
	const char *failed = "{\"Results\":null,\"Errors\":[{\"OpIndex\":1,\"What\":"
			     "\"invalid session \\\"x\\\"\"}]}";
	char text[CONSUL_MESSAGE_SIZE];
	uint64_t index = 0;

	assert_int_equal(consul_json_txn(good, strlen(good), &index), 0);
	assert_int_equal(index, 12);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (consul_json_txn(bad[i], strlen(bad[i]), &index) == 0)
			fail_msg("%s", bad[i]);
		consul_json_txn_error(bad[i], strlen(bad[i]), text);
		assert_string_equal(text, "");
	}
	consul_json_txn_error(failed, strlen(failed), text);
	assert_string_equal(text, "invalid session \"x\"");
	consul_json_txn_error("rpc error", 9, text);
	assert_string_equal(text, "");
}

static void test_an_answer_of_countless_parts_is_refused(void **state)
{
	struct strbuf json = {0};
	struct consul_kvs kvs;

	assert_int_equal(strbuf_append(&json, "[", 1), 0);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(strbuf_append(&json, "{},", 3), 0);
	assert_int_equal(strbuf_append(&json, "{}]", 3), 0);
	assert_int_equal(consul_json_kvs(json.data, json.size, &kvs), ERR_TOO_LARGE);
	strbuf_deinit(&json);
}

/* Requests */

static json_t *load(struct strbuf *text)
{
	json_t *root = json_loadb(text->data, text->size, 0, NULL);

	assert_non_null(root);
	strbuf_deinit(text);
	return root;
}

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void test_a_session_depends_on_nothing_but_its_ttl(void **state)
{
	struct strbuf text = {0};

	assert_int_equal(consul_json_make_session(&text, "n", NULL, 15000), 0);
	json_t *root = load(&text);
	assert_string_equal(text_of(root, "TTL"), "15s");
	assert_string_equal(text_of(root, "Behavior"), "delete");
	assert_string_equal(text_of(root, "LockDelay"), "1ms");
	assert_null(json_object_get(root, "Node"));
	/* Absent, Consul would take the agent's health for it. */
	assert_true(json_is_array(json_object_get(root, "Checks")));
	assert_true(json_is_array(json_object_get(root, "NodeChecks")));
	assert_int_equal(json_array_size(json_object_get(root, "Checks")), 0);
	json_decref(root);

	assert_int_equal(consul_json_make_session(&text, "n", "pre/\"node\"", 10500), 0);
	root = load(&text);
	assert_string_equal(text_of(root, "Node"), "pre/\"node\"");
	assert_string_equal(text_of(root, "TTL"), "10500ms");
	json_decref(root);
}

static const json_t *step(const json_t *root, size_t i)
{
	return json_object_get(json_array_get(root, i), "KV");
}

static void test_a_put_takes_the_key_with_its_value(void **state)
{
	struct consul_put put = {"a/b", "x", 1, SESSION, "", 0};
	struct strbuf text = {0};

	assert_int_equal(consul_json_make_put(&text, &put), 0);
	json_t *root = load(&text);
	assert_int_equal(json_array_size(root), 2);
	assert_string_equal(text_of(step(root, 0), "Verb"), "check-not-exists");
	assert_string_equal(text_of(step(root, 0), "Key"), "a/b");
	assert_string_equal(text_of(step(root, 1), "Verb"), "lock");
	assert_string_equal(text_of(step(root, 1), "Key"), "a/b");
	assert_string_equal(text_of(step(root, 1), "Value"), "eA==");
	assert_string_equal(text_of(step(root, 1), "Session"), SESSION);
	/* api.LockFlagValue, by which stolon's and Consul's tools know a lock. */
	assert_true(json_integer_value(json_object_get(step(root, 1), "Flags")) ==
		    3304740253564472344);
	json_decref(root);

	put.index = 7;
	put.holder = "old";
	assert_int_equal(consul_json_make_put(&text, &put), 0);
	root = load(&text);
	assert_int_equal(json_array_size(root), 3);
	assert_string_equal(text_of(step(root, 0), "Verb"), "check-index");
	assert_int_equal(json_integer_value(json_object_get(step(root, 0), "Index")), 7);
	assert_string_equal(text_of(step(root, 1), "Verb"), "unlock");
	assert_string_equal(text_of(step(root, 1), "Session"), "old");
	assert_string_equal(text_of(step(root, 1), "Value"), "eA==");
	assert_string_equal(text_of(step(root, 2), "Verb"), "lock");
	json_decref(root);
}

static void test_a_key_that_is_no_text_is_refused(void **state)
{
	struct consul_put put = {"a\xff", "x", 1, SESSION, "", 0};
	struct strbuf text = {0};

	assert_int_equal(consul_json_make_put(&text, &put), -EINVAL);
	assert_int_equal(consul_json_make_node(&text, "\xff", "host"), -EINVAL);
	assert_int_equal(text.size, 0);
	strbuf_deinit(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_several_keys),
		cmocka_unit_test(test_what_is_no_key_is_refused),
		cmocka_unit_test(test_a_session_id_is_safe_in_a_path),
		cmocka_unit_test(test_transactions),
		cmocka_unit_test(test_an_answer_of_countless_parts_is_refused),
		cmocka_unit_test(test_a_session_depends_on_nothing_but_its_ttl),
		cmocka_unit_test(test_a_put_takes_the_key_with_its_value),
		cmocka_unit_test(test_a_key_that_is_no_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
