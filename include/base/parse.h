/* Strict text to number conversions. All return 0 or a negative error and
 * write *ret only on success. */
#ifndef PGSPLICE_BASE_PARSE_H
#define PGSPLICE_BASE_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

/* Decimal integer within [min, max], the whole text: ERR_SYNTAX, ERR_RANGE. */
MUST_CHECK int parse_int(const char *text, int64_t min, int64_t max, int64_t *ret);

/* What Go's strconv.ParseBool takes: 1 t T true TRUE True, 0 f F false FALSE False. */
MUST_CHECK int parse_bool(const char *text, bool *ret);

/* What Go's time.ParseDuration takes, in nanoseconds: [-+] then numbers with
 * fractions and units (ns us µs ms s m h), such as 1m30s; a unit is mandatory
 * except for 0. ERR_SYNTAX, ERR_UNIT, ERR_RANGE past an int64. */
MUST_CHECK int parse_duration(const char *text, int64_t *ret_ns);

/* A size as PostgreSQL takes it, such as 16MB, 1.5 GB: a number, with a fraction
 * perhaps, and one of B, kB, MB, GB, TB in any case, each 1024 of the one before.
 * The unit is mandatory. Rounded down. ERR_SYNTAX, ERR_UNIT, ERR_RANGE past an
 * int64. */
MUST_CHECK int parse_bytes(const char *text, uint64_t *ret_bytes);

#endif
