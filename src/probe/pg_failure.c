/* Reads libpq's account of a failed connection: it gives the server's SQLSTATE,
 * and what the system said, in its text only. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "pg_private.h"

#define STATE_LENGTH (SQLSTATE_SIZE - 1)

static bool is_state(const char *text)
{
	for (size_t i = 0; i < STATE_LENGTH; i++) {
		if (!isdigit((unsigned char)text[i]) && !(text[i] >= 'A' && text[i] <= 'Z'))
			return false;
	}
	return strncmp(text + STATE_LENGTH, ": ", 2) == 0;
}

/* "FATAL:  57P03: the database system is starting up": where its state begins. */
static const char *find_state(const char *message)
{
	for (const char *p = message; (p = strstr(p, ":  ")) != NULL; p++) {
		if (is_state(p + 3))
			return p + 3;
	}
	return NULL;
}

enum probe_outcome pg_failure_outcome(const char sqlstate[static SQLSTATE_SIZE - 1])
{
	static const char *const lost[] = {"57P01", "57P02", "57P04", "57P05"};

	if (strncmp(sqlstate, "57P03", STATE_LENGTH) == 0)
		return PROBE_STARTING;
	if (strncmp(sqlstate, "28", 2) == 0)
		return PROBE_AUTH;
	for (size_t i = 0; i < ARRAY_LEN(lost); i++) {
		if (strncmp(sqlstate, lost[i], STATE_LENGTH) == 0)
			return PROBE_LOST;
	}
	return PROBE_ERROR;
}

static bool mentions(const char *message, const char *const words[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strstr(message, words[i]) != NULL)
			return true;
	}
	return false;
}

/* Without a state it is libpq that complains, or the system through it. */
static enum probe_outcome outcome_of_text(const struct pg_failure *failure)
{
	static const char *const lost[] = {
		"server closed the connection",  "could not receive data", "could not send data",
		"could not send startup packet", "could not send SSL",     "SSL SYSCALL error",
	};
	static const char *const auth[] = {"authentication", "no password supplied"};
	static const char *const ours[] = {"SSL", "certificate", "ertificate", "out of memory",
					   "invalid "};
	const char *text = failure->message;

	if (!failure->was_connected) {
		if (strstr(text, err_text(-ECONNREFUSED)) != NULL)
			return PROBE_REFUSED;
		/* Options that libpq cannot use it tells before it connects. */
		return strstr(text, " failed: ") != NULL ? PROBE_UNREACHABLE : PROBE_ERROR;
	}
	if (mentions(text, lost, ARRAY_LEN(lost)))
		return PROBE_LOST;
	if (strstr(text, "expected authentication request") != NULL ||
	    strstr(text, "received invalid response") != NULL)
		return PROBE_PROTOCOL;
	if (failure->needs_password || mentions(text, auth, ARRAY_LEN(auth)))
		return PROBE_AUTH;
	return mentions(text, ours, ARRAY_LEN(ours)) ? PROBE_ERROR : PROBE_PROTOCOL;
}

void pg_failure_read(const struct pg_failure *failure, struct probe_result *result)
{
	const char *text = failure->message;
	const char *state = find_state(text);

	result->sqlstate[0] = '\0';
	if (state != NULL) {
		memcpy(result->sqlstate, state, STATE_LENGTH);
		result->sqlstate[STATE_LENGTH] = '\0';
		result->outcome = pg_failure_outcome(result->sqlstate);
		text = state + STATE_LENGTH + 2;
	} else {
		result->outcome = outcome_of_text(failure);
		/* "connection to server at "…", port … failed: …" */
		const char *failed = strstr(text, " failed: ");
		if (strncmp(text, "connection to server", 20) == 0 && failed != NULL)
			text = failed + strlen(" failed: ");
	}
	probe_result_set_text(result, text, strlen(text), failure->password);
}
