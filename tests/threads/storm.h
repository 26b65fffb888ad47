/* What storms of snapshots over several workers have in common: clients, servers at
 * every address, the workers, and the barrier after which something must not happen.
 * One storm a program, which brings its own send(), and may bring connect(). */
#ifndef PGSPLICE_THREADS_STORM_H
#define PGSPLICE_THREADS_STORM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/clock.h"
#include "worker/worker_pool.h"

#define STORM_CLIENTS 6

/* A server's: its data are echoed. */
struct storm_connection {
	int fd;
	uint32_t ip; /* of the server, in the host's order */
	uint32_t tag;
	unsigned tag_bytes;
};

/* What clients say until they end, and what servers do with what they hear. */
typedef void storm_talk(int fd, unsigned *seed);
typedef void storm_hear(struct storm_connection *c, const uint8_t *data, ssize_t size);

struct storm {
	struct worker_pool *pool;
	struct wakeup control;
	struct loop loop;
	struct listen_set *listen; /* where clients connect to */
	struct addr front;
	int server;
	uint64_t drop_generation; /* the newest published */
	unsigned seed;
	storm_talk *talk;
	storm_hear *hear; /* NULL: they only echo */
	pthread_t threads[1 + STORM_CLIENTS];
	size_t descriptors; /* before it began */
};

extern atomic_bool storm_over;
extern atomic_uint storm_sessions; /* that reached a server */
extern uint16_t storm_server_port; /* one for all addresses */

/* In this order. storm_deinit() checks that no descriptor is left. */
void storm_init(struct storm *s, storm_talk *talk, storm_hear *hear);
void storm_stop_clients(struct storm *s);
void storm_stop_workers(struct storm *s);
void storm_deinit(struct storm *s);

/* PGSPLICE_STORM_MS from now, in boot time. */
int64_t storm_until_ms(void);

/* Publishes and releases it; it has to have ++s->drop_generation. */
void storm_publish(struct storm *s, struct snapshot *snapshot);

/* Until all workers have carried out the newest snapshot. */
void storm_wait_for_barrier(struct storm *s);

/* A delay, at times: between a permission and its act. */
void storm_dawdle(void);

ssize_t storm_send(int fd, const void *data, size_t size, int flags);

/* Runs the only test of the program. */
int storm_main(const struct CMUnitTest *test);

#endif
