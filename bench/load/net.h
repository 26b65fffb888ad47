/* What the bench programs share: sockets on loopback, options, errors. Nothing
 * here is on a measured path except net_send(). */
#ifndef PGSPLICE_BENCH_NET_H
#define PGSPLICE_BENCH_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a client asks bench_server for in its first byte; it is answered by one
 * byte, the same. ASK_ECHO is followed by the size, four bytes. */
enum ask {
	ASK_NOTHING = 'n', /* then: nothing, until the client closes */
	ASK_ECHO = 'e',    /* then: as many bytes back for every size bytes */
	ASK_SINK = 'k',    /* then: the server reads all there is */
	ASK_SOURCE = 's',  /* then: the server sends without end */
};
#define ASK_SIZE 5 /* of ASK_ECHO and its size */

/* One read or write of a stream. */
#define NET_CHUNK 65536

/* Prints what and errno, and ends the program. */
_Noreturn void die(const char *what);

/* All descriptors that the hard limit allows. */
void net_raise_limit(void);

void net_set(int fd, int level, int option, int value);
/* Non-blocking, without delay. */
void net_prepare(int fd);

/* A non-blocking listener on 127.0.0.1; others may listen beside it if shared. */
int net_listen(int port, bool shared);
/* A blocking connect to 127.0.0.1; -1 if that fails. */
int net_connect(int port);
/* A connect that is under way. */
int net_connect_begin(int port);

/* The bytes sent, 0 when none can be now, -1 when the connection is broken. */
ssize_t net_send(int fd, const void *data, size_t size);

int64_t net_now_ns(void);

/* The number in text, within min and max, or usage and the end. */
long net_number(const char *text, long min, long max);

#endif
