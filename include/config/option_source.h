/* Where values come from: the command line, as Go's pflag reads it, and the
 * environment. Main thread, before anything else runs. */
#ifndef PGSPLICE_CONFIG_OPTION_SOURCE_H
#define PGSPLICE_CONFIG_OPTION_SOURCE_H

#include "config/option_table.h"

/* Each returns 0, or a negative error with one line written to err. Called in
 * this order, the command line beats the environment and --help works even
 * where a variable or a value is wrong. */

/* Checks that the arguments are flags of the table, with values where needed,
 * and sets the targets of OPTION_COMMAND_LINE rows only. */
MUST_CHECK int option_scan_flags(const struct option_table *table, void *target, int argc,
				 char *const *argv, FILE *err);
/* Sets targets from variables. All of them are checked, also those that
 * another one or a flag overrides. An empty one counts as unset. */
MUST_CHECK int option_read_environment(const struct option_table *table, void *target,
				       char *const *envp, FILE *err);
/* Sets the targets of all other flags. */
MUST_CHECK int option_read_flags(const struct option_table *table, void *target, int argc,
				 char *const *argv, FILE *err);

/* The value of a variable; NULL if there is none or it is empty. */
const char *option_variable(char *const *envp, const char *name);

#endif
