/* JSON of a store's answers, loaded with bounds. */
#ifndef PGSPLICE_STORE_JSON_LOAD_H
#define PGSPLICE_STORE_JSON_LOAD_H

#include <jansson.h>
#include <stdbool.h>

#include "base/cleanup.h"

/* Returns 0 with a new reference, or ERR_TOO_LARGE, ERR_SYNTAX. */
MUST_CHECK int json_load_bounded(const char *json, size_t size, json_t **ret_root);

#endif
