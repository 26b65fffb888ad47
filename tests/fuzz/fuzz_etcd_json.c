/* Any bytes in place of an answer of etcd's gateway: each decoder takes or
 * refuses them, and what it takes keeps the promises of etcd_json.h. */
#include <string.h>

#include "base/check.h"
#include "etcd_json.h"
#include "fuzz_target.h"

static void check_kv(const struct etcd_kv *kv)
{
	if (!kv->present)
		CHECK(kv->value.data == NULL && kv->value.size == 0);
	if (kv->value.data != NULL)
		CHECK(kv->value.data[kv->value.size] == '\0');
}

static void check_error(const struct etcd_error *error)
{
	CHECK(memchr(error->message, '\0', sizeof(error->message)) != NULL);
}

static void try_keys(const char *json, size_t size)
{
	struct etcd_header header;
	struct etcd_kv kv;
	struct etcd_kvs kvs;
	bool succeeded;

	if (etcd_json_range(json, size, &header, &kvs) == 0) {
		CHECK(header.cluster_id != 0);
		for (size_t i = 0; i < kvs.count; i++) {
			CHECK(kvs.all[i].present);
			check_kv(&kvs.all[i]);
		}
		etcd_kvs_deinit(&kvs);
	}
	if (etcd_json_txn(json, size, &header, &succeeded, &kv) == 0) {
		CHECK(header.cluster_id != 0);
		check_kv(&kv);
		etcd_kv_deinit(&kv);
	}
}

static void try_lease_and_token(const char *json, size_t size)
{
	struct etcd_header header;
	int64_t id;
	int64_t ttl_s;
	char *token;

	if (etcd_json_lease(json, size, &header, &id, &ttl_s) == 0)
		CHECK(id != 0);
	if (etcd_json_token(json, size, &token) == 0) {
		CHECK(*token != '\0' && strpbrk(token, " \r\n") == NULL);
		free(token);
	}
}

static void try_frame(const char *json, size_t size)
{
	struct etcd_frame frame;

	if (etcd_json_frame(json, size, &frame) < 0)
		return;
	check_error(&frame.error);
	CHECK((frame.kind == ETCD_FRAME_EVENTS) == (frame.kvs.count > 0));
	for (size_t i = 0; i < frame.kvs.count; i++) {
		CHECK(frame.kvs.all[i].mod_revision > 0);
		check_kv(&frame.kvs.all[i]);
	}
	etcd_frame_deinit(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct etcd_error error;
	const char *json = (const char *)data;

	try_keys(json, size);
	try_lease_and_token(json, size);
	try_frame(json, size);
	etcd_json_error(json, size, &error);
	check_error(&error);
	return 0;
}
