/* Where leaders were: addresses that a name may still have although the cluster data
 * knows nothing of them any more. Pure.
 *
 * stolon removes a leader that it has deposed from its data, while the server may run on
 * and be writable, if its keeper is cut off. Nobody may lead a client there before
 * somebody at the address is known as a standby. Control thread. */
#ifndef PGSPLICE_ROUTING_SUSPECTS_H
#define PGSPLICE_ROUTING_SUSPECTS_H

#include "net/addr.h"
#include "routing/standing.h"

#define SUSPECTS_MOST 64

/* Zeroed to begin with; the oldest is forgotten for one too many. */
struct suspects {
	size_t count;
	struct addr addrs[SUSPECTS_MOST];
};

/* What a member at this address is known to be, and whether it has the role of a master:
 * one that was to lead and was passed over may be writable, too. */
void suspects_note(struct suspects *suspects, const struct addr *addr, enum standing standing,
		   bool is_master);
bool suspects_have(const struct suspects *suspects, const struct addr *addr);

#endif
