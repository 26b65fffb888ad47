/* How long to wait before the next try: doubling, with jitter, so that many
 * proxies do not return to a store in step. */
#ifndef PGSPLICE_STORE_BACKOFF_H
#define PGSPLICE_STORE_BACKOFF_H

#include <stdint.h>

struct backoff {
	int64_t first_ms;
	int64_t most_ms;
	unsigned failures;
};

/* Half to the whole of first_ms, 2 x first_ms, 4 x … up to most_ms. */
int64_t backoff_next_ms(struct backoff *backoff);

static inline void backoff_reset(struct backoff *backoff)
{
	backoff->failures = 0;
}

#endif
