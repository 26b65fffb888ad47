/* Time for deadlines: CLOCK_BOOTTIME, mostly in milliseconds, which also counts while
 * the machine is suspended (CLOCK_MONOTONIC does not). Any thread; on Linux a
 * read costs no system call. */
#ifndef PGSPLICE_BASE_CLOCK_H
#define PGSPLICE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_MS 1000000
#define NS_PER_US 1000
#define MS_PER_S  1000
#define US_PER_S  1000000

static inline int64_t clock_boot_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / NS_PER_MS;
}

/* For how long something took. */
static inline int64_t clock_boot_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / NS_PER_US;
}

#endif
