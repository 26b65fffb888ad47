/* Any bytes in place of an answer of Consul's: each decoder takes or refuses
 * them, and what it takes keeps the promises of consul_json.h. */
#include <string.h>

#include "base/check.h"
#include "consul_json.h"
#include "fuzz_target.h"

static void check_id(const char id[static CONSUL_ID_SIZE])
{
	CHECK(memchr(id, '\0', CONSUL_ID_SIZE) != NULL);
	CHECK(strpbrk(id, "/?#% \r\n\"") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *json = (const char *)data;
	struct consul_kvs kvs;
	char id[CONSUL_ID_SIZE];
	char text[CONSUL_MESSAGE_SIZE];
	uint64_t index;

	if (consul_json_kvs(json, size, &kvs) == 0) {
		for (size_t i = 0; i < kvs.count; i++) {
			CHECK(kvs.all[i].index != 0);
			check_id(kvs.all[i].session);
		}
		consul_kvs_deinit(&kvs);
	}
	if (consul_json_session(json, size, id) == 0) {
		check_id(id);
		CHECK(*id != '\0');
	}
	if (consul_json_txn(json, size, &index) == 0)
		CHECK(index != 0);
	consul_json_txn_error(json, size, text);
	CHECK(memchr(text, '\0', sizeof(text)) != NULL);
	return 0;
}
