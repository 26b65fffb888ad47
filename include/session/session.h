/* One client's connection to a server: connecting, moving bytes, ending.
 *
 *	CONNECTING -> OPEN -> SETTLED -> DRAINING -> CLOSED; SETTLED may be missed,
 *	and CLOSED comes from each of them. On the direct port also
 *	OPEN or SETTLED -> HELD -> OPEN.
 *
 * Bytes pass untouched both ways and an end of stream is passed on as one. The
 * server socket aborts on close from birth; only a normal end, with nothing left
 * to send, clears that. Worker thread. */
#ifndef PGSPLICE_SESSION_SESSION_H
#define PGSPLICE_SESSION_SESSION_H

#include "session/session_list.h"

/* Begins a session for an accepted client, whose descriptor it owns from now
 * on, also on failure. The list's snapshot must be open. */
void session_start(struct session_list *list, int client_fd, const struct addr *client_addr);

/* The same on the direct port: to a member that the balance picks, and to another
 * one if that cannot be connected to. False if there is nobody: the descriptor stays
 * the caller's. */
MUST_CHECK bool session_start_direct(struct session_list *list, int client_fd,
				     const struct addr *client_addr);

#endif
