/* Texts of our own error codes; errno's come from the C library. */
#include "base/err.h"

#include <errno.h>
#include <string.h>

const char *err_text(int error)
{
	static _Thread_local char buffer[96];

	switch (error) {
	case ERR_SYNTAX:
		return "syntax error";
	case ERR_RANGE:
		return "value out of range";
	case ERR_TYPE:
		return "wrong JSON type";
	case ERR_UNIT:
		return "missing unit";
	case ERR_NO_NAME:
		return "no such host";
	case ERR_DNS:
		return "name lookup failed";
	case ERR_NO_PERMIT:
		return "not permitted now";
	case ERR_NOT_REGULAR:
		return "not a regular file";
	case ERR_TOO_LARGE:
		return "too large";
	case ERR_TLS:
		return "TLS failed";
	case ERR_OTHER_STORE:
		return "the store is not the one that was there before, or went back in time";
	default:
		return strerror_r(-error, buffer, sizeof(buffer));
	}
}

bool err_is_exhaustion(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS;
}
