/* One connection of the load: what it does, and its part in the counts. */
#ifndef PGSPLICE_BENCH_CONN_H
#define PGSPLICE_BENCH_CONN_H

#include "histogram.h"
#include "net.h"

enum role {
	ROLE_PING, /* sends size bytes and waits for as many, again and again */
	ROLE_PULL, /* reads a stream */
	ROLE_PUSH, /* sends a stream */
	ROLE_OPEN, /* connects, one byte each way, closes, again and again */
	ROLE_HOLD, /* is there */
};

struct load {
	int epoll;
	int port;
	uint32_t size; /* of a message */
	bool measuring;
	struct histogram latency; /* of messages or set-ups, while measuring, in ns */
	uint64_t bytes;           /* of streams */
	uint64_t turns;           /* messages or set-ups that were completed */
	uint8_t *data;            /* NET_CHUNK or size bytes, whichever is more */
};

struct conn {
	enum role role;
	int fd;
	bool writing;  /* waits to be writable */
	bool asked;    /* ROLE_OPEN: its byte was sent */
	uint32_t sent; /* of the message */
	uint32_t got;
	int64_t began_ns;
};

/* Connects, and waits for the server's answer to what is asked for. */
void conn_open(struct load *load, struct conn *conn, enum role role);
/* The first message or set-up; the others follow by conn_run(). */
void conn_begin(struct load *load, struct conn *conn);
/* Its descriptor is ready. */
void conn_run(struct load *load, struct conn *conn);

#endif
