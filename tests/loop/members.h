/* Servers of the direct port, for the tests of its sessions: each has a listener of its
 * own and an entry of the rig's next set. */
#ifndef PGSPLICE_TESTS_LOOP_MEMBERS_H
#define PGSPLICE_TESTS_LOOP_MEMBERS_H

#include "rig.h"

#define MEMBERS_MOST 6

struct members {
	struct rig *rig;
	enum member_balance balance;
	size_t count;
	int listeners[MEMBERS_MOST]; /* -1: none, the address refuses */
	struct member_entry entries[MEMBERS_MOST];
	bool is_out[MEMBERS_MOST]; /* not in the next set */
	struct member_set *set;
};

/* With a server for each rule; MEMBER_FIRST, so that new sessions go to the first. */
void members_init(struct members *m, struct rig *rig, const enum member_rule *rules, size_t count);
void members_deinit(struct members *m);
/* Without a listener: connects are refused. */
void members_refuse(struct members *m, size_t index);

/* Makes the set of the entries as they are now, and a snapshot with it adopted. index:
 * whom it routes; -1: nobody. Returns how many were cut. */
unsigned members_adopt(struct members *m, int index);
/* The same as news that waits. */
void members_publish(struct members *m, int index);

/* A client for which a session was begun; its end, non-blocking. */
int direct_client(struct members *m);
/* The server's end of the next session on a member, non-blocking. */
int members_accept(struct members *m, size_t index);
/* No connection waits there. */
bool members_is_quiet(const struct members *m, size_t index);
/* Both ends of a session, on the member that the balance picks: it must be index. */
void direct_open(struct members *m, size_t index, struct peer *ret_client, struct peer *ret_server);
int members_sessions(const struct members *m, size_t index);
/* What arrives at the peer within the loop's time: waits for that many bytes. */
void receive_all(struct rig *rig, struct peer *peer, size_t size);
/* Waits for the end of its stream. */
void receive_end(struct rig *rig, struct peer *peer, enum peer_end wanted);
/* Compares the list's counters with a count of its sessions. */
void assert_counters(struct members *m);

#endif
