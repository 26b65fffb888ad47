/* What a session is to carry: a pure function of its number and of the seed. */
#ifndef PGSPLICE_INTEGRATION_TRAFFIC_PLAN_H
#define PGSPLICE_INTEGRATION_TRAFFIC_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEADER 8 /* the session's number, ahead of the client's bytes */

void plan_seed(uint64_t seed, uint64_t most_bytes);

uint64_t random_below(uint64_t limit);
/* From none to most_bytes; all orders of magnitude are as likely. */
uint64_t random_size(void);

/* The bytes of one direction of a session from a position on. They depend on
 * session, direction and position: lost, doubled, swapped and foreign ones show. */
void plan_bytes(uint64_t number, bool from_client, uint64_t at, uint8_t *ret_data, size_t size);

#endif
