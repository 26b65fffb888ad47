/* The processor time of other programs, all their threads together. */
#ifndef PGSPLICE_BENCH_CPU_H
#define PGSPLICE_BENCH_CPU_H

#include <stdint.h>
#include <sys/types.h>

/* Nanoseconds so far, of the scheduler's own count; where it keeps none, of
 * utime + stime, which move in hundredths of a second. */
int64_t cpu_ns(const pid_t *pids, int count);

#endif
