/* Any bytes in place of a name server's answer: the first one says which type was
 * asked for. Texts go through the reader of lists, as do the bytes themselves, and
 * through that of a hosts file. */
#include <string.h>

#include "base/check.h"
#include "fuzz_target.h"
#include "net/dns_hosts.h"

static void read_items(const char *text, size_t size)
{
	const char *end = text + size;
	struct dns_item item;

	while (dns_item_next(&text, &size, &item)) {
		CHECK(item.name_length > 0);
		CHECK(item.name + item.name_length <= item.value);
		CHECK(item.value + item.value_length <= end && text + size == end);
	}
	CHECK(size == 0);
}

static void read_message(const uint8_t *data, size_t size, enum dns_type type)
{
	struct dns_records records;
	int r = dns_message_read(data, size, type, &records);

	if (r == 0) {
		CHECK(memchr(records.alias, '\0', sizeof(records.alias)) != NULL);
		CHECK((records.count > 0) != (records.alias[0] != '\0'));
		CHECK(records.ttl_s >= 0 && records.ttl_s <= INT32_MAX);
		CHECK(type == DNS_TYPE_TXT || records.count <= DNS_MAX_ADDRESSES);
		CHECK(records.text.size <= DNS_MAX_TEXT + size);
	}
	if (r == 0 && type == DNS_TYPE_TXT && records.text.size > 0)
		read_items(records.text.data, records.text.size);
	dns_records_deinit(&records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = {DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_TXT};
	struct dns_records found = {0};

	if (size == 0)
		return 0;
	read_message(data + 1, size - 1, types[data[0] % ARRAY_LEN(types)]);
	read_items((const char *)data, size);
	dns_hosts_find((const char *)data, size, "db", data[0] % 2 ? AF_INET : AF_INET6, &found);
	CHECK(found.count <= DNS_MAX_ADDRESSES);
	return 0;
}
