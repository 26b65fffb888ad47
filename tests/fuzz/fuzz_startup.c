/* Any bytes as the first of a client: told once more with more of them, or with fewer,
 * they are the same. */
#include "base/check.h"
#include "fuzz_target.h"
#include "wire/startup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t needed = 0;
	enum startup_kind kind = startup_classify(data, size, &needed);

	if (kind == STARTUP_SHORT)
		CHECK(needed > size && needed <= STARTUP_MAX_CANCEL);
	if (kind == STARTUP_CANCEL)
		CHECK(needed >= 16 && needed <= size && needed <= STARTUP_MAX_CANCEL);
	for (size_t shorter = 0; shorter < size && shorter < 2 * STARTUP_MAX_CANCEL; shorter++) {
		size_t wanted = 0;
		enum startup_kind before = startup_classify(data, shorter, &wanted);

		/* A client is waited for as long as it takes, and no longer. */
		if (before == STARTUP_SHORT)
			CHECK(wanted > shorter && (kind != STARTUP_CANCEL || wanted <= needed));
		else
			CHECK(before == kind && (kind != STARTUP_CANCEL || wanted == needed));
	}
	return 0;
}
