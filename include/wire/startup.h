/* The first packets of a PostgreSQL client. Pure.
 *
 * Source: PostgreSQL's protocol documentation, "Message Formats": CancelRequest,
 * SSLRequest, GSSENCRequest; a cancel key has up to 256 bytes since protocol 3.2. */
#ifndef PGSPLICE_WIRE_STARTUP_H
#define PGSPLICE_WIRE_STARTUP_H

#include <stddef.h>
#include <stdint.h>

#define STARTUP_MAX_CANCEL (12 + 256)

enum startup_kind {
	STARTUP_SHORT,       /* too few bytes to tell: *ret_size are needed */
	STARTUP_NEGOTIATION, /* asks for encryption: another first packet may follow */
	STARTUP_CANCEL,      /* complete, *ret_size bytes */
	STARTUP_OTHER,       /* a session's start, TLS, or no PostgreSQL at all */
};

/* ret_size is written for SHORT and CANCEL only. */
enum startup_kind startup_classify(const uint8_t *bytes, size_t size, size_t *ret_size);

#endif
