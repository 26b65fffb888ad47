/* The end of a process that found itself wrong: one line, then abort. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *expression)
{
	fprintf(stderr, "pgsplice: bug: %s:%d: %s does not hold\n", file, line, expression);
	abort();
}
