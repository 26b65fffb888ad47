/* A session list on a real loop with loopback peers: what the tests of this
 * folder share. The worker is played by the test: rig_publish() is its news. */
#ifndef PGSPLICE_TESTS_LOOP_RIG_H
#define PGSPLICE_TESTS_LOOP_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session/session.h"

struct rig {
	struct loop loop;
	struct session_settings settings;
	struct session_host host;
	struct session_list list;
	struct snapshot *news; /* waits to be adopted */
	struct target *target;
	struct member_set *members; /* of the next snapshot; borrowed, NULL: none */
	uint64_t term;
	uint64_t drop_generation;
	int64_t valid_until_ms;
	unsigned ended;
	unsigned members_failed; /* times it was told of one */
	bool is_full;            /* no room for sessions that no client asked for */
	unsigned asked_for;      /* such sessions that there was room for */
	int listener;            /* of the server */
	struct addr server;      /* its address */
};

/* cmocka fixtures: *state is a struct rig that routes to its own listener. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* Runs the loop until condition(arg) holds; fails the test after five seconds. */
typedef bool rig_condition(void *arg);
void rig_run_until(struct rig *rig, rig_condition *condition, void *arg);
/* Runs the loop for a promise that nothing happens meanwhile. */
void rig_run_for(struct rig *rig, int64_t ms);
void rig_run_until_ended(struct rig *rig, unsigned sessions);

/* The next snapshot waits as news; nobody is routed with a NULL target. */
void rig_publish(struct rig *rig, struct target *target);
/* Adopts it as a worker does; returns how many sessions were cut. */
unsigned rig_adopt(struct rig *rig);

/* A client's connection: its end is returned, non-blocking, and ours. */
int connect_client(int *ret_accepted, struct addr *ret_peer);
/* A session whose client end is returned, non-blocking. */
int rig_client(struct rig *rig);
/* The server's end of the next session, non-blocking. */
int rig_accept(struct rig *rig);
/* Both ends of one open session. */
void rig_open(struct rig *rig, int *ret_client, int *ret_server);
/* How many sessions there are in a state. */
size_t rig_count(struct rig *rig, enum session_state state);
/* Sessions of the list's counter that ended for this reason. */
unsigned rig_closed(struct rig *rig, enum close_reason reason);

/* A listening socket on a free port of 127.0.0.1. */
int listen_on_loopback(int backlog, struct addr *ret_addr);
/* Takes connections until the queue is full: further connects hang. The
 * descriptors go into fds, whose count is returned. */
size_t fill_queue(const struct addr *addr, int fds[static 8]);
/* An address that refuses. */
struct addr refusing_addr(void);
struct target *target_of(const struct addr *addrs, size_t count);

/* Ends of streams, as a peer sees them. */
enum peer_end {
	PEER_OPEN,
	PEER_FIN,
	PEER_RESET
};
/* What reached the peer, checked against the pattern of send_pattern(). */
struct peer {
	int fd;
	size_t sent;
	size_t received;
	enum peer_end end;
};
uint8_t pattern_at(size_t position);
/* Sends up to limit bytes in all, as far as the socket takes them now. */
void peer_send(struct peer *peer, size_t limit);
/* Reads at most size bytes of what is there now. */
void peer_receive(struct peer *peer, size_t size);
void set_small_buffers(int fd);
void abort_socket(int *fd);

#endif
