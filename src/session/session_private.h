/* What session.c, session_end.c and session_list.c share. */
#ifndef PGSPLICE_SESSION_SESSION_PRIVATE_H
#define PGSPLICE_SESSION_SESSION_PRIVATE_H

#include "session/connector.h"
#include "session/session.h"

/* One end of a session: its descriptor and the event that waits on it. */
struct endpoint {
	int fd;              /* -1: closed */
	short interest;      /* EV_READ, EV_WRITE: what the event waits for; 0: not added */
	uint16_t local_port; /* ours; of the server side, as pg_stat_activity shows it */
	struct event event;
};

/* One allocation a session, and kept small: there are thousands of idle ones. The
 * order leaves no gaps. */
struct session {
	struct list node; /* in the list of its state, among those being cut, or the dead */
	struct session_list *list;
	uint32_t id; /* in the log; they begin anew after 2^32 */
	enum session_state state : 8;
	enum close_reason reason : 8; /* once it is known */
	bool counted : 1;             /* among the list's open server sockets */
	bool graceful : 1;            /* the server is to see a normal end */
	bool server_shut : 1;         /* our FIN to the server was sent */
	bool client_shut : 1;
	bool client_ended_first : 1;
	bool is_direct : 1;        /* of the direct port; there: */
	enum member_rule rule : 8; /* that it obeys; MEMBER_FENCED on the leader's port */
	bool is_first : 1;         /* the client's first packet is still to be looked at */
	union {
		/* While CONNECTING, of the direct port: the places, modulo 32, of members
		 * that could not be connected to. */
		uint32_t tried;
		/* After that, of the direct port: bytes of the first packet; 0: it need not
		 * be waited for. */
		uint32_t awaited;
		uint32_t server_index; /* of the leader's address in target->addrs */
	};
	struct addr client_addr;
	uint64_t term;
	union {
		struct target *target; /* the leader */
		struct member *member; /* is_direct */
	};
	int64_t started_ms;
	int64_t until_ms;            /* of a connect, of being held or of draining */
	struct connector *connector; /* while CONNECTING */
	struct pump to_server;
	struct pump to_client;
	struct endpoint client;
	struct endpoint server;
};

static inline struct target *session_target(const struct session *s)
{
	return s->is_direct ? s->member->target : s->target;
}

/* Where the server is, or is being looked for. */
static inline const struct addr *session_server_addr(const struct session *s)
{
	if (s->is_direct)
		return &s->member->target->addrs[0]; /* it has no other */
	return &s->target->addrs[s->connector != NULL ? connector_address(s->connector)
						      : s->server_index];
}

/* The one way to change the state. Returns by aborting on a forbidden move. */
void session_set_state(struct session *s, enum session_state next);

/* Waits for exactly these events of an endpoint; closes the session without
 * memory for that and then returns false. */
bool session_want(struct session *s, struct endpoint *end, short interest);

/* What the snapshot in force lets it do. */
enum permission session_permission(const struct session *s, const struct addr *server,
				   int64_t now_ms);
/* Stops and goes on moving bytes. */
void session_hold(struct session *s);
void session_release(struct session *s);
/* A connect took too long: the next member's turn, or the end. */
void session_connect_late(struct session *s);
/* Like session_start_direct(), but to this member only; has a session's room already. */
void session_start_cancel(struct session_list *list, const struct member_entry *entry,
			  int client_fd, const struct addr *client_addr);
/* Looks at the first packet of a client of the direct port: a CancelRequest goes to
 * all members. False: wait for more of it, if the session has not ended by this. */
bool session_look_at_start(struct session *s);

/* Ends a session whose bytes have all gone where they can still go: closes what
 * may be closed, and leaves the rest to draining. */
void session_end(struct session *s, enum close_reason reason);
/* Closes what draining still holds, if that is possible now. */
void session_drain(struct session *s);
/* Bytes of a draining client that nobody wants. */
void session_discard_input(struct session *s);

/* Aborts both sides at once, the server first. */
void session_cut(struct session *s, enum close_reason reason);
/* Keeps the list's count of open server sockets; each may be called again. */
void session_count_server(struct session *s);
void session_uncount_server(struct session *s);
/* From now on it obeys this rule, MEMBER_FENCED in the term of the snapshot. */
void session_obey(struct session *s, enum member_rule rule);
/* Only the server side, for session_list_adopt(): the rest follows by
 * session_cut(). */
void session_abort_server(struct session *s);

/* Frees a closed session when the turn ends: a caller may still hold it. */
void session_list_bury(struct session *s);
void session_list_start_timer(struct session_list *list);
/* Sees to it that open sessions settle, */
void session_list_start_settling(struct session_list *list);
/* and looks after settled ones whose peers have vanished. */
void session_list_start_sweep(struct session_list *list);
/* Whether one more session line may be logged now. */
bool session_list_may_log(struct session_list *list, unsigned *ret_skipped);

#endif
