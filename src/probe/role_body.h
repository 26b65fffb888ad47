/* What check servers say of a role, as bytes. Pure. */
#ifndef PGSPLICE_SRC_PROBE_ROLE_BODY_H
#define PGSPLICE_SRC_PROBE_ROLE_BODY_H

#include <stddef.h>

#include "probe/probe_result.h"

/* Fly's /flycheck/role: one word, plain or as a JSON string. Sets the outcome, and
 * the text where it says what failed. */
void role_body_decode_fly(int status, const char *body, size_t size, struct probe_result *result);

/* Patroni's /patroni: a JSON object. */
void role_body_decode_patroni(int status, const char *body, size_t size,
			      struct probe_result *result);

#endif
