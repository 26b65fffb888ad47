/* store/etcd_json: the gateway's answers as 3.4, 3.5 and 3.6 really print them,
 * and what a liar would print. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "etcd_json.h"

#define HEADER                                                                                     \
	"\"header\":{\"cluster_id\":\"12366371046585259936\",\"member_id\":"                       \
	"\"8439929585417367927\","                                                                 \
	"\"revision\":\"3\",\"raft_term\":\"2\"}"
#define CLUSTER UINT64_C(12366371046585259936) /* above INT64_MAX */

static void assert_kv(const struct etcd_kv *kv, const char *value, int64_t mod_revision,
		      int64_t lease)
{
	assert_int_equal(kv->present, value != NULL);
	if (value != NULL) {
		assert_int_equal(kv->value.size, strlen(value));
		if (*value != '\0')
			assert_memory_equal(kv->value.data, value, kv->value.size);
	}
	assert_int_equal(kv->mod_revision, mod_revision);
	assert_int_equal(kv->lease, lease);
}

/* Ranges and transactions */

static void test_ranges(void **state)
{
	static const struct {
		const char *json;
		const char *value; /* NULL: no key */
		int64_t mod_revision;
		int64_t lease;
	} cases[] = {
		{"{" HEADER
		 ",\"kvs\":[{\"key\":\"L3NlcnZpY2UvZGVtby9sZWFkZXI=\",\"create_revision\":\"2\","
		 "\"mod_revision\":\"2\",\"version\":\"1\",\"value\":\"cGcx\",\"lease\":"
		 "\"3564495814805783304\"}],\"count\":\"2\"}\n",
		 "pg1", 2, 3564495814805783304},
		/* 3.6 puts a space behind commas and colons. */
		{"{\"header\":{\"cluster_id\":\"12366371046585259936\", "
		 "\"member_id\":\"10276657743932975437\", \"revision\":\"3\", "
		 "\"raft_term\":\"2\"}, "
		 "\"kvs\":[{\"key\":\"YQ==\", \"create_revision\":\"2\", \"mod_revision\":\"3\", "
		 "\"version\":\"2\", \"value\":\"Yg==\"}], \"count\":\"1\"}",
		 "b", 3, 0},
		/* No key: neither kvs nor count. */
		{"{" HEADER "}", NULL, 0, 0},
		{"{" HEADER ",\"kvs\":[],\"count\":\"0\"}", NULL, 0, 0},
		/* An empty value is left out; so is everything that is zero. */
		{"{" HEADER ",\"kvs\":[{\"key\":\"YQ==\",\"mod_revision\":\"2\"}]}", "", 2, 0},
		/* Numbers as numbers; fields nobody knows; any order. */
		{"{\"new\":{\"a\":[1,2]},\"kvs\":[{\"value\":\"Yg==\",\"mod_revision\":7,"
		 "\"lease\":9,\"key\":\"YQ==\"}],\"more\":true,\"header\":{\"cluster_id\":"
		 "\"12366371046585259936\",\"revision\":3}}",
		 "b", 7, 9},
		{"{" HEADER ",\"kvs\":null}", NULL, 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct etcd_header header;
		struct etcd_kvs kvs;

		if (etcd_json_range(cases[i].json, strlen(cases[i].json), &header, &kvs) != 0)
			fail_msg("%s", cases[i].json);
		assert_true(header.cluster_id == CLUSTER);
		assert_int_equal(header.revision, 3);
		assert_int_equal(kvs.count, cases[i].value != NULL);
		if (kvs.count > 0)
			assert_kv(&kvs.all[0], cases[i].value, cases[i].mod_revision,
				  cases[i].lease);
		etcd_kvs_deinit(&kvs);
	}
}

static void assert_bytes(const struct strbuf *b, const char *text)
{
	assert_int_equal(b->size, strlen(text));
	if (b->size > 0)
		assert_memory_equal(b->data, text, b->size);
}

/* A leader and its member, of one lease, as the reference of the gateway has it. */
static void test_a_range_of_several_keys(void **state)
{
	static const char json[] =
		"{" HEADER ",\"kvs\":["
		"{\"key\":\"L3MveC9sZWFkZXI=\",\"create_revision\":\"2\",\"mod_revision\":\"5\","
		"\"version\":\"2\",\"value\":\"cGcx\",\"lease\":\"3564495814805783304\"},"
		"{\"key\":\"L3MveC9tZW1iZXJzL3BnMQ==\",\"create_revision\":\"3\","
		"\"mod_revision\":\"3\",\"version\":\"1\",\"value\":\"e30=\",\"lease\":"
		"\"3564495814805783304\"},"
		"{\"key\":\"L3MveC9zeW5j\",\"create_revision\":\"1\",\"mod_revision\":\"1\"}],"
		"\"more\":true,\"count\":\"7\"}";
	struct etcd_header header;
	struct etcd_kvs kvs;

	assert_int_equal(etcd_json_range(json, sizeof(json) - 1, &header, &kvs), 0);
	assert_int_equal(kvs.count, 3);
	assert_bytes(&kvs.all[0].key, "/s/x/leader");
	assert_int_equal(kvs.all[0].create_revision, 2);
	assert_kv(&kvs.all[0], "pg1", 5, 3564495814805783304);
	assert_bytes(&kvs.all[1].key, "/s/x/members/pg1");
	assert_int_equal(kvs.all[1].create_revision, 3);
	assert_kv(&kvs.all[1], "{}", 3, 3564495814805783304);
	assert_bytes(&kvs.all[2].key, "/s/x/sync");
	assert_kv(&kvs.all[2], "", 1, 0);
	etcd_kvs_deinit(&kvs);
	etcd_kvs_deinit(&kvs);
}

static void test_what_is_no_range_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"null",
		"\"text\"",
		"{}",
		"{\"header\":{}}",
		"{\"header\":{\"revision\":\"3\"}}",
		"{\"header\":[\"cluster_id\"]}",
		"{\"header\":{\"cluster_id\":true,\"revision\":\"3\"}}",
		"404 page not found",
		"<html>",
		"{" HEADER "} trailing",
		"{" HEADER ",\"kvs\":[{\"value\":\"!\"}]}",
		"{" HEADER ",\"kvs\":[{\"value\":\"cGc\"}]}",
		"{" HEADER ",\"kvs\":[{\"value\":\"cGcx=\"}]}",
		"{" HEADER ",\"kvs\":[{\"value\":5}]}",
		"{" HEADER ",\"kvs\":[{\"value\":{}}]}",
		"{" HEADER ",\"kvs\":[\"text\"]}",
		"{" HEADER ",\"kvs\":[7]}",
		"{" HEADER ",\"kvs\":[{\"value\":\"\xff\"}]}",
		"{" HEADER ",\"kvs\":[{\"key\":7}]}",
		"{" HEADER ",\"kvs\":[{\"key\":\"!\"}]}",
		"{" HEADER ",\"kvs\":[{\"key\":\"YQ==\"},{\"key\":\"Yg==\",\"value\":true}]}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct etcd_header header;
		struct etcd_kvs kvs;

		if (etcd_json_range(bad[i], strlen(bad[i]), &header, &kvs) >= 0)
			fail_msg("%s", bad[i]);
	}
}

static void test_transactions(void **state)
{
	static const struct {
		const char *json;
		bool succeeded;
		const char *value;
		int64_t mod_revision;
	} cases[] = {
		{"{" HEADER ",\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":{"
		 "\"revision\":\"3\"}}}]}",
		 true, NULL, 0},
		/* The comparison failed: no "succeeded", and the key as it is. */
		{"{" HEADER ",\"responses\":[{\"response_range\":{\"header\":{\"revision\":\"3\"},"
		 "\"kvs\":[{\"key\":\"YQ==\",\"mod_revision\":\"2\",\"value\":\"Yg==\"}],\"count\":"
		 "\"1\"}}]}",
		 false, "b", 2},
		{"{" HEADER ",\"responses\":[{\"response_range\":{\"header\":{\"revision\":\"3\"}}}"
		 "]}",
		 false, NULL, 0},
		{"{" HEADER "}", false, NULL, 0},
		{"{" HEADER ",\"succeeded\":\"true\"}", false, NULL, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct etcd_header header;
		struct etcd_kv kv;
		bool succeeded;

		assert_int_equal(etcd_json_txn(cases[i].json, strlen(cases[i].json), &header,
					       &succeeded, &kv),
				 0);
		assert_int_equal(header.revision, 3);
		assert_int_equal(succeeded, cases[i].succeeded);
		assert_kv(&kv, cases[i].value, cases[i].mod_revision, 0);
		etcd_kv_deinit(&kv);
	}
	struct etcd_header header;
	struct etcd_kv kv;
	bool succeeded;
	assert_true(etcd_json_txn("{\"succeeded\":true}", 18, &header, &succeeded, &kv) < 0);
}

/* Leases and tokens */

static void test_leases(void **state)
{
	static const struct {
		const char *json;
		int64_t id; /* 0: refused */
		int64_t ttl_s;
	} cases[] = {
		{"{" HEADER ",\"ID\":\"3564495814805783302\",\"TTL\":\"5\"}", 3564495814805783302,
		 5},
		{"{\"result\":{" HEADER ",\"ID\":\"3564495814805783304\",\"TTL\":\"6\"}}\n",
		 3564495814805783304, 6},
		{"{\"result\":{" HEADER ",\"ID\":\"123456\"}}\n", 123456, 0}, /* it is gone */
		{"{" HEADER "}", 0, 0},
		{"{\"result\":{}}", 0, 0},
		{"{\"result\":[]}", 0, 0},
		{"{\"ID\":\"0\"}", 0, 0},
		{"no json", 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct etcd_header header;
		int64_t id = 0;
		int64_t ttl_s = 0;
		int r = etcd_json_lease(cases[i].json, strlen(cases[i].json), &header, &id, &ttl_s);

		assert_int_equal(r == 0, cases[i].id != 0);
		assert_int_equal(id, cases[i].id);
		assert_int_equal(ttl_s, cases[i].ttl_s);
	}
}

static void test_tokens(void **state)
{
	static const char *const bad[] = {
		"{" HEADER "}",
		"{\"token\":\"\"}",
		"{\"token\":\"a\\r\\nX: y\"}",
		"{\"token\":\"a\\nb\"}",
		"{\"token\":7}",
		"{\"token\":\"a b\"}",
		"[]",
		"",
	};
	static const char json[] = "{" HEADER ",\"token\":\"UxiekPMTcRzxGzWl.29\"}";
	char *token = NULL;

	assert_int_equal(etcd_json_token(json, sizeof(json) - 1, &token), 0);
	assert_string_equal(token, "UxiekPMTcRzxGzWl.29");
	free(token);
	token = NULL;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(etcd_json_token(bad[i], strlen(bad[i]), &token), ERR_SYNTAX);
		assert_null(token);
	}
}

/* Errors */

#define NOT_FOUND "etcdserver: requested lease not found"

static void test_error_bodies_of_all_versions(void **state)
{
	static const struct {
		const char *json;
		int code;
		const char *message;
	} cases[] = {
		{"{\"error\":\"" NOT_FOUND "\",\"message\":\"" NOT_FOUND "\",\"code\":5}", 5,
		 NOT_FOUND}, /* 3.4 */
		{"{\"error\":\"" NOT_FOUND "\",\"code\":5,\"message\":\"" NOT_FOUND "\"}", 5,
		 NOT_FOUND},                                                   /* 3.5 */
		{"{\"code\":5, \"message\":\"" NOT_FOUND "\"}", 5, NOT_FOUND}, /* 3.6 */
		{"{\"error\":\"" NOT_FOUND "\",\"code\":5}", 5, NOT_FOUND},
		{"{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"transport is "
		 "closing\",\"http_status\":\"Service Unavailable\"}}",
		 14, "transport is closing"},
		{"{\"error\":{\"grpc_code\":1,\"http_code\":408,\"message\":\"grpc: the client "
		 "connection is closing\",\"http_status\":\"Request Timeout\"}}",
		 1, "grpc: the client connection is closing"},
		{"{\"error\":{\"code\":14,\"message\":\"error reading from server: EOF\"}}", 14,
		 "error reading from server: EOF"},
		{"404 page not found", 0, ""},
		{"", 0, ""},
		{"[1]", 0, ""},
		{"{\"error\":7,\"code\":\"x\"}", 0, ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct etcd_error error;

		etcd_json_error(cases[i].json, strlen(cases[i].json), &error);
		assert_int_equal(error.code, cases[i].code);
		assert_string_equal(error.message, cases[i].message);
	}
}

static void test_a_long_message_is_cut(void **state)
{
	char json[1000] = "{\"code\":3,\"message\":\"";
	size_t head = strlen(json);
	struct etcd_error error;

	memset(json + head, 'm', 900);
	memcpy(json + head + 900, "\"}", 3);
	etcd_json_error(json, strlen(json), &error);
	assert_int_equal(error.code, 3);
	assert_int_equal(strlen(error.message), ETCD_MESSAGE_SIZE - 1);
}

/* Frames */

#define UNAUTHENTICATED "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"

static void test_frames(void **state)
{
	static const struct {
		const char *json;
		enum etcd_frame_kind kind;
		int64_t number; /* compact_revision, or mod_revision of the event */
		const char *text;
	} cases[] = {
		{"{\"result\":{" HEADER ",\"created\":true}}", ETCD_FRAME_CREATED, 0, ""},
		{"{\"result\":{" HEADER ",\"events\":[{\"kv\":{\"key\":\"YQ==\","
		 "\"create_revision\":\"4\",\"mod_revision\":\"4\",\"version\":\"1\",\"value\":"
		 "\"Yg==\"}}]}}",
		 ETCD_FRAME_EVENTS, 4, "b"},
		/* kvs has all; this looks at the last. */
		{"{\"result\":{" HEADER ",\"events\":[{\"kv\":{\"mod_revision\":\"4\",\"value\":"
		 "\"Yg==\"}},{\"kv\":{\"mod_revision\":\"5\",\"value\":\"cGcx\"}}]}}",
		 ETCD_FRAME_EVENTS, 5, "pg1"},
		{"{\"result\":{" HEADER ",\"events\":[{\"kv\":{\"mod_revision\":\"4\",\"value\":"
		 "\"Yg==\"}},{\"type\":\"DELETE\",\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"5\"},"
		 "\"prev_kv\":{\"value\":\"cGcx\",\"mod_revision\":\"4\"}}]}}",
		 ETCD_FRAME_EVENTS, 5, NULL},
		{"{\"result\":{" HEADER ",\"events\":[{\"type\":\"PUT\",\"kv\":{\"mod_revision\":"
		 "\"4\"}}]}}",
		 ETCD_FRAME_EVENTS, 4, ""},
		{"{\"result\":{\"header\":{\"cluster_id\":\"12366371046585259936\",\"revision\":"
		 "\"3\"}}}",
		 ETCD_FRAME_PROGRESS, 0, ""},
		{"{\"result\":{" HEADER ",\"events\":[]}}", ETCD_FRAME_PROGRESS, 0, ""},
		/* Compacted: the header has no revision. */
		{"{\"result\":{\"header\":{\"cluster_id\":\"12366371046585259936\",\"member_id\":"
		 "\"8439929585417367927\",\"raft_term\":\"2\"},\"canceled\":true,"
		 "\"compact_revision\":\"8\"}}",
		 ETCD_FRAME_CANCELED, 8, ""},
		/* Denied: both true in one frame. */
		{"{\"result\":{" HEADER ",\"watch_id\":\"-1\",\"created\":true,\"canceled\":true,"
		 "\"cancel_reason\":\"" UNAUTHENTICATED "\"}}",
		 ETCD_FRAME_CANCELED, 0, UNAUTHENTICATED},
		{"{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: no "
		 "leader\",\"http_status\":\"Service Unavailable\"}}",
		 ETCD_FRAME_ERROR, 0, "etcdserver: no leader"},
		{"{\"error\":{\"code\":14,\"message\":\"error reading from server: EOF\"}}",
		 ETCD_FRAME_ERROR, 0, "error reading from server: EOF"},
		{"{}", ETCD_FRAME_ERROR, 0, ""},
		{"{\"error\":null,\"result\":{}}", ETCD_FRAME_ERROR, 0, ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct etcd_frame f;

		if (etcd_json_frame(cases[i].json, strlen(cases[i].json), &f) != 0 ||
		    f.kind != cases[i].kind)
			fail_msg("%s", cases[i].json);
		if (f.kind == ETCD_FRAME_EVENTS) {
			assert_kv(&f.kvs.all[f.kvs.count - 1], cases[i].text, cases[i].number, 0);
		} else {
			assert_int_equal(f.compact_revision, cases[i].number);
			assert_string_equal(f.error.message, cases[i].text);
		}
		if (f.kind != ETCD_FRAME_ERROR)
			assert_true(f.header.cluster_id == CLUSTER);
		etcd_frame_deinit(&f);
	}
}

/* As a lease that ends: its keys go in one revision, in one frame. */
static void test_a_frame_of_several_events(void **state)
{
	static const char json[] =
		"{\"result\":{" HEADER ",\"events\":["
		"{\"kv\":{\"key\":\"YQ==\",\"create_revision\":\"4\",\"mod_revision\":\"4\","
		"\"version\":\"1\",\"value\":\"Yg==\",\"lease\":\"9\"}},"
		"{\"type\":\"DELETE\",\"kv\":{\"key\":\"Yg==\",\"mod_revision\":\"5\"}},"
		"{\"type\":\"DELETE\",\"kv\":{\"key\":\"Yw==\",\"mod_revision\":\"5\",\"value\":"
		"\"Yg==\"},\"prev_kv\":{\"key\":\"Yw==\",\"value\":\"Yg==\"}}]}}";
	struct etcd_frame f;

	assert_int_equal(etcd_json_frame(json, sizeof(json) - 1, &f), 0);
	assert_int_equal(f.kind, ETCD_FRAME_EVENTS);
	assert_int_equal(f.kvs.count, 3);
	assert_bytes(&f.kvs.all[0].key, "a");
	assert_int_equal(f.kvs.all[0].create_revision, 4);
	assert_kv(&f.kvs.all[0], "b", 4, 9);
	for (size_t i = 1; i < 3; i++) {
		assert_bytes(&f.kvs.all[i].key, i == 1 ? "b" : "c");
		assert_kv(&f.kvs.all[i], NULL, 5, 0);
		assert_null(f.kvs.all[i].value.data);
	}
	etcd_frame_deinit(&f);
}

static void test_what_is_no_frame_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"{\"result\":{",
		"[]",
		"{\"result\":{\"events\":[{}]}}",
		"{\"result\":{\"events\":[{\"kv\":{\"value\":\"*\"}}]}}",
		"{\"result\":{\"events\":[7]}}",
		"{\"result\":{\"events\":[{\"kv\":7}]}}",
		/* Without a revision it cannot be ordered. */
		"{\"result\":{\"events\":[{\"kv\":{\"value\":\"Yg==\"}}]}}",
		"{\"result\":{\"events\":[{\"type\":\"DELETE\"}]}}",
		"{\"result\":7}",
		/* Nor is a good one in front of a bad one taken. */
		"{\"result\":{\"events\":[{\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"4\"}},"
		"{\"type\":\"DELETE\",\"kv\":{\"key\":\"YQ==\"}}]}}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct etcd_frame f;

		if (etcd_json_frame(bad[i], strlen(bad[i]), &f) >= 0)
			fail_msg("%s: %d", bad[i], (int)f.kind);
	}
}

/* Memory is bounded by a small multiple of what came, whatever is nested in it. */
static void test_an_answer_of_countless_parts_is_refused(void **state)
{
	static const char *const parts[] = {"{},", "[],", "0,", "\"\",", "{\"a\":0},"};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct strbuf json = {0};
		struct etcd_header header;
		struct etcd_kvs kvs;

		assert_int_equal(strbuf_printf(&json, "{" HEADER ",\"x\":["), 0);
		while (json.size < 4000000)
			assert_int_equal(strbuf_append(&json, parts[i], strlen(parts[i])), 0);
		assert_int_equal(strbuf_printf(&json, "0]}"), 0);
		assert_int_equal(etcd_json_range(json.data, json.size, &header, &kvs),
				 ERR_TOO_LARGE);
		strbuf_deinit(&json);
	}
	/* What only looks so, inside of a string, is fine. */
	struct strbuf json = {0};
	struct etcd_header header;
	struct etcd_kvs kvs;
	assert_int_equal(strbuf_printf(&json, "{" HEADER ",\"x\":\"\\\"\\\\"), 0);
	while (json.size < 4000000)
		assert_int_equal(strbuf_append(&json, "{},[]\\\":", 8), 0);
	assert_int_equal(strbuf_printf(&json, "\"}"), 0);
	assert_int_equal(etcd_json_range(json.data, json.size, &header, &kvs), 0);
	strbuf_deinit(&json);
}

/* Requests */

static void test_requests(void **state)
{
	struct strbuf b = {0};

	assert_int_equal(etcd_json_make_range(&b, "a", false, 7), 0);
	assert_string_equal(b.data, "{\"key\":\"YQ==\"}");
	strbuf_clear(&b);
	assert_int_equal(etcd_json_make_range(&b, "/service/demo/", true, 7), 0);
	assert_string_equal(b.data, "{\"key\":\"L3NlcnZpY2UvZGVtby8=\",\"range_end\":"
				    "\"L3NlcnZpY2UvZGVtbzA=\",\"limit\":\"7\"}");
	strbuf_clear(&b);
	assert_int_equal(etcd_json_make_watch(&b, "/service/demo/", true, 4), 0);
	assert_string_equal(b.data, "{\"create_request\":{\"key\":\"L3NlcnZpY2UvZGVtby8=\","
				    "\"range_end\":\"L3NlcnZpY2UvZGVtbzA=\",\"start_revision\":"
				    "\"4\",\"progress_notify\":true}}");
	strbuf_clear(&b);
	assert_int_equal(etcd_json_make_watch(&b, "a", false, INT64_MAX), 0);
	assert_string_equal(b.data, "{\"create_request\":{\"key\":\"YQ==\",\"start_revision\":"
				    "\"9223372036854775807\",\"progress_notify\":true}}");
	strbuf_clear(&b);
	assert_int_equal(etcd_json_make_put(&b, "a", "b\"c", 3, 3564495814805783304, 0), 0);
	assert_string_equal(b.data,
			    "{\"compare\":[{\"key\":\"YQ==\",\"target\":\"MOD\",\"result\":"
			    "\"EQUAL\",\"mod_revision\":\"0\"}],\"success\":[{\"request_put\":{"
			    "\"key\":\"YQ==\",\"value\":\"YiJj\",\"lease\":"
			    "\"3564495814805783304\"}}],\"failure\":[{\"request_range\":{\"key\":"
			    "\"YQ==\"}}]}");
	strbuf_clear(&b);
	assert_int_equal(etcd_json_make_grant(&b, 30), 0);
	assert_string_equal(b.data, "{\"TTL\":\"30\"}");
	strbuf_clear(&b);
	assert_int_equal(etcd_json_make_lease(&b, 3564495814805783304), 0);
	assert_string_equal(b.data, "{\"ID\":\"3564495814805783304\"}");
	strbuf_clear(&b);
	assert_int_equal(etcd_json_make_account(&b, "a\"b", "p\\w\n\xc3\xa9"), 0);
	assert_non_null(strstr(b.data, "\"name\":\"a\\\"b\""));
	assert_non_null(strstr(b.data, "\"password\":\"p\\\\w\\n\xc3\xa9\""));
	strbuf_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_a_range_of_several_keys),
		cmocka_unit_test(test_what_is_no_range_is_refused),
		cmocka_unit_test(test_transactions),
		cmocka_unit_test(test_leases),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_error_bodies_of_all_versions),
		cmocka_unit_test(test_a_long_message_is_cut),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_a_frame_of_several_events),
		cmocka_unit_test(test_what_is_no_frame_is_refused),
		cmocka_unit_test(test_an_answer_of_countless_parts_is_refused),
		cmocka_unit_test(test_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
