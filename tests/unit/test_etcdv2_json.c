/* store/etcdv2_json: the keys of a folder, and what a liar would print of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "etcdv2_json.h"

static void test_folders_are_walked(void **state)
{
	static const char json[] =
		"{\"action\":\"get\",\"node\":{\"key\":\"/service/x\",\"dir\":true,\"nodes\":["
		"{\"key\":\"/service/x/leader\",\"value\":\"pg1\",\"expiration\":"
		"\"2026-01-01T00:00:30.1Z\",\"ttl\":30,\"modifiedIndex\":9,\"createdIndex\":5},"
		"{\"key\":\"/service/x/members\",\"dir\":true,\"nodes\":[{\"key\":"
		"\"/service/x/members/"
		"pg1\",\"value\":\"\",\"modifiedIndex\":12,\"createdIndex\":8}],"
		"\"modifiedIndex\":8,\"createdIndex\":8},{\"key\":\"/service/x/"
		"empty\",\"dir\":true,"
		"\"modifiedIndex\":20,\"createdIndex\":20}],\"modifiedIndex\":7,\"createdIndex\":7}"
		"}";
	struct etcdv2_nodes nodes;

	assert_int_equal(etcdv2_json_nodes(json, sizeof(json) - 1, &nodes), 0);
	assert_int_equal(nodes.count, 2);
	assert_int_equal(nodes.modified, 20);
	assert_string_equal(nodes.all[0].key.data, "/service/x/leader");
	assert_string_equal(nodes.all[0].value.data, "pg1");
	assert_int_equal(nodes.all[0].created, 5);
	assert_int_equal(nodes.all[0].modified, 9);
	assert_true(nodes.all[0].has_ttl);
	assert_string_equal(nodes.all[1].key.data, "/service/x/members/pg1");
	assert_int_equal(nodes.all[1].value.size, 0);
	assert_false(nodes.all[1].has_ttl);
	etcdv2_nodes_deinit(&nodes);
	etcdv2_nodes_deinit(&nodes);
}

static void test_a_key_in_place_of_a_folder(void **state)
{
	static const char json[] = "{\"action\":\"get\",\"node\":{\"key\":\"/x\",\"value\":\"a\","
				   "\"modifiedIndex\":9,\"createdIndex\":9}}";
	struct etcdv2_nodes nodes;

	assert_int_equal(etcdv2_json_nodes(json, sizeof(json) - 1, &nodes), 0);
	assert_int_equal(nodes.count, 1);
	assert_string_equal(nodes.all[0].key.data, "/x");
	etcdv2_nodes_deinit(&nodes);
}

static void test_what_is_no_folder_is_refused(void **state)
{
#define FOLDER(nodes)                                                                              \
	"{\"node\":{\"key\":\"/x\",\"dir\":true,\"modifiedIndex\":1,\"nodes\":" nodes "}}"
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"{\"node\":7}",
		"{\"node\":{}}",
		FOLDER("7"),
		FOLDER("{}"),
		FOLDER("[7]"),
		FOLDER("[{}]"),
		FOLDER("[{\"key\":\"/x/a\",\"modifiedIndex\":2}]"),
		FOLDER("[{\"key\":\"/x/a\",\"value\":\"v\"}]"),
		FOLDER("[{\"key\":\"/x/a\",\"value\":\"v\",\"modifiedIndex\":-2}]"),
		FOLDER("[{\"key\":\"\",\"value\":\"v\",\"modifiedIndex\":2}]"),
		FOLDER("[{\"key\":\"/x/a\\u0000b\",\"value\":\"v\",\"modifiedIndex\":2}]"),
		FOLDER("[{\"key\":7,\"value\":\"v\",\"modifiedIndex\":2}]"),
		FOLDER("[{\"key\":\"/x/a\",\"value\":\"v\",\"modifiedIndex\":2},7]"),
	};
	struct etcdv2_nodes nodes;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (etcdv2_json_nodes(bad[i], strlen(bad[i]), &nodes) >= 0)
			fail_msg("%s", bad[i]);
	}
}

static void test_folders_without_end_are_refused(void **state)
{
	struct strbuf json = {0};
	struct etcdv2_nodes nodes;

	assert_int_equal(strbuf_printf(&json, "{\"node\":"), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(strbuf_printf(&json, "{\"dir\":true,\"nodes\":["), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(strbuf_printf(&json, "]}"), 0);
	assert_int_equal(strbuf_printf(&json, "}"), 0);
	assert_int_equal(etcdv2_json_nodes(json.data, json.size, &nodes), ERR_TOO_LARGE);
	strbuf_deinit(&json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folders_are_walked),
		cmocka_unit_test(test_a_key_in_place_of_a_folder),
		cmocka_unit_test(test_what_is_no_folder_is_refused),
		cmocka_unit_test(test_folders_without_end_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
