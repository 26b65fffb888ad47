/* Any bytes in place of an answer of etcd's v2 keys API. */
#include <string.h>

#include "base/check.h"
#include "etcdv2_json.h"
#include "fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct etcdv2_node node;
	struct etcdv2_nodes nodes;
	struct etcdv2_error error;
	const char *json = (const char *)data;

	if (etcdv2_json_node(json, size, &node) == 0) {
		CHECK(node.modified > 0);
		if (!node.present)
			CHECK(node.value.size == 0);
		etcdv2_node_deinit(&node);
	}
	if (etcdv2_json_nodes(json, size, &nodes) == 0) {
		for (size_t i = 0; i < nodes.count; i++) {
			const struct etcdv2_node *n = &nodes.all[i];
			CHECK(n->present && n->modified > 0 && n->modified <= nodes.modified);
			CHECK(n->key.data[0] == '/' && strlen(n->key.data) == n->key.size);
		}
		etcdv2_nodes_deinit(&nodes);
	}
	etcdv2_json_error(json, size, &error);
	CHECK(memchr(error.message, '\0', sizeof(error.message)) != NULL);
	return 0;
}
