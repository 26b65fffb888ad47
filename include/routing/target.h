/* A PostgreSQL server that sessions may be led to: immutable, shared. */
#ifndef PGSPLICE_ROUTING_TARGET_H
#define PGSPLICE_ROUTING_TARGET_H

#include <stddef.h>

#include "base/refcount.h"
#include "net/addr.h"

struct target {
	struct refcount refs;
	char *member;        /* the cluster's name for it */
	char *published;     /* "host:port" as the cluster data has it */
	size_t count;        /* at least 1 */
	struct addr addrs[]; /* with ports, in the order in which to try them */
};

/* Copies everything. NULL without memory. */
struct target *target_new(const char *member, const char *host, const char *port,
			  const struct addr *addrs, size_t count);
struct target *target_ref(struct target *target);
void target_unref(struct target **target);

/* Same member at the same published address: what it resolves to may differ. */
bool target_is_same_place(const struct target *a, const struct target *b);
/* In any order: name servers rotate their answers. */
bool target_has_same_addrs(const struct target *a, const struct target *b);
bool target_has_addr(const struct target *target, const struct addr *addr);

#endif
