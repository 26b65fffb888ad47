/* Exponential back-off. */
#include "store/backoff.h"

#include <sys/random.h>

int64_t backoff_next_ms(struct backoff *backoff)
{
	int64_t limit_ms = backoff->first_ms;
	uint32_t dice = 0;

	for (unsigned i = 0; i < backoff->failures && limit_ms < backoff->most_ms; i++)
		limit_ms *= 2;
	if (limit_ms > backoff->most_ms)
		limit_ms = backoff->most_ms;
	backoff->failures++;
	if (getrandom(&dice, sizeof(dice), GRND_NONBLOCK) != sizeof(dice))
		return limit_ms;
	return limit_ms / 2 + (int64_t)(dice % (uint32_t)(limit_ms / 2 + 1));
}
