/* Error codes: functions return 0 or a negative error, which is either a
 * negated errno or one of these. */
#ifndef PGSPLICE_BASE_ERR_H
#define PGSPLICE_BASE_ERR_H

#include <stdbool.h>

enum {
	ERR_BASE = -20000,
	ERR_SYNTAX,      /* text that does not parse */
	ERR_RANGE,       /* a number outside of what is allowed */
	ERR_TYPE,        /* JSON of another type than the field has */
	ERR_UNIT,        /* a duration or size without its unit */
	ERR_NO_NAME,     /* the name does not exist (NXDOMAIN, or no address) */
	ERR_DNS,         /* the name could not be looked up now */
	ERR_NO_PERMIT,   /* the current snapshot forbids it */
	ERR_NOT_REGULAR, /* a path in the store that is not a regular file */
	ERR_TOO_LARGE,   /* more bytes than we accept */
	ERR_TLS,         /* no TLS with the peer, or not with this one */
	ERR_OTHER_STORE, /* not the cluster that was there before, or an older state */
};

/* Text of any error returned in this project. Never NULL, never freed; for an
 * unknown errno the text is per thread and lasts until the next call. */
const char *err_text(int error);

/* True for an error that means "out of descriptors or memory": wait, do not spin. */
bool err_is_exhaustion(int error);

#endif
