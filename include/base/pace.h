/* How often something that repeats may be said: a few times in a row, then at a steady
 * pace. A value, all zeros to begin with; times are clock_boot_ms(). */
#ifndef PGSPLICE_BASE_PACE_H
#define PGSPLICE_BASE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
	int64_t paid_ms; /* all that was said is paid for at this moment */
};

/* Whether it may be said now, which then counts: `burst` at once, one more every
 * every_ms. */
static inline bool pace_allows(struct pace *pace, int64_t now_ms, int64_t every_ms, int burst)
{
	int64_t paid_ms = pace->paid_ms > now_ms ? pace->paid_ms : now_ms;

	if (paid_ms - now_ms > (burst - 1) * every_ms)
		return false;
	pace->paid_ms = paid_ms + every_ms;
	return true;
}

#endif
