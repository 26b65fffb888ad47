/* Any bytes in place of a check server's answer. */
#include <string.h>

#include "base/check.h"
#include "fuzz_target.h"
#include "role_body.h"

static void check(const struct probe_result *result, int status)
{
	bool answered = probe_outcome_verdict(result->outcome) == PROBE_ANSWERED;

	CHECK(memchr(result->text, '\0', sizeof(result->text)) != NULL);
	CHECK(status == 200 || !answered);
	CHECK(answered == (result->text[0] == '\0'));
	CHECK(answered || (result->timeline == 0 && result->current_lsn == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *body = (const char *)data;

	for (int status = 200; status <= 500; status += 300) {
		struct probe_result result;
		probe_result_init(&result);
		role_body_decode_fly(status, body, size, &result);
		check(&result, status);
		probe_result_init(&result);
		role_body_decode_patroni(status, body, size, &result);
		check(&result, status);
	}
	return 0;
}
