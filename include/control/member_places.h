/* The servers behind --members: each name as the addresses that it has now. Control
 * thread. */
#ifndef PGSPLICE_CONTROL_MEMBER_PLACES_H
#define PGSPLICE_CONTROL_MEMBER_PLACES_H

#include "control/observer.h"
#include "net/dns.h"

#define MEMBER_MAX_PLACES OBSERVER_MOST_SERVERS

/* One server: an address of a name. An address that several names have is one. */
struct member_place {
	uint64_t id;      /* the same as long as the address is there */
	const char *name; /* HOST:PORT, as it was given */
	const char *host; /* of that */
	struct addr addr;
	char text[ADDR_TEXT_SIZE]; /* addr_format() of it */
	void *data;                /* the user's: data_size bytes, zeros at first */
};

struct member_places;

/* Called from the loop when the places have changed. */
typedef void member_places_cb(void *arg);

/* texts are HOST:PORT, IPv6 in brackets; they and dns must outlive it. */
MUST_CHECK int member_places_new(char *const *texts, size_t count, struct dns *dns,
				 int64_t dns_timeout_ms, size_t data_size, member_places_cb *cb,
				 void *arg, struct member_places **ret_places);
/* Accepts NULL. */
void member_places_free(struct member_places **places);

size_t member_places_count(const struct member_places *places);
struct member_place *member_places_at(struct member_places *places, size_t index);
/* By text or by id; NULL: not there (any more). */
struct member_place *member_places_find(struct member_places *places, const char *text);
struct member_place *member_places_find_id(struct member_places *places, uint64_t id);

/* Names without an address: NULL behind the last one. */
const char *member_places_lost(const struct member_places *places, size_t index);

#endif
