/* What one look at a server has shown. Values, no ownership; any thread. */
#ifndef PGSPLICE_PROBE_PROBE_RESULT_H
#define PGSPLICE_PROBE_PROBE_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum probe_outcome {
	/* It has said what it is: */
	PROBE_WRITABLE,
	PROBE_READ_ONLY,   /* refuses writes without being a standby, or does not say why */
	PROBE_IN_RECOVERY, /* a standby */
	/* It serves nobody now: */
	PROBE_STARTING,    /* starting, stopping, recovering from a crash (57P03) */
	PROBE_REFUSED,     /* nobody listens there */
	PROBE_UNREACHABLE, /* no way to it */
	PROBE_TIMEOUT,
	PROBE_LOST, /* the connection ended in place of an answer */
	/* It is there; what it is remains unknown: */
	PROBE_AUTH,     /* it does not let us in */
	PROBE_PROTOCOL, /* what it says is no answer: another kind of server? */
	PROBE_ERROR,    /* an error of its own, such as too many connections; see sqlstate */
};

enum probe_verdict {
	PROBE_ANSWERED,
	PROBE_DOWN,
	PROBE_UNSURE,
};

#define PROBE_TEXT_SIZE 200
#define SQLSTATE_SIZE   6

struct probe_result {
	enum probe_outcome outcome;
	/* CLOCK_BOOTTIME. What the result says was true at some moment between the
	 * two: it can be relied on from sent_ms, not from answered_ms. */
	int64_t sent_ms;     /* when the question that was answered went out, or was tried */
	int64_t answered_ms; /* when the outcome was known */

	/* Only with PROBE_ANSWERED outcomes, and as far as the server tells: 0 is
	 * unknown, except where it says -1. LSNs are in bytes. */
	uint32_t timeline;
	bool timeline_is_exact; /* otherwise it may be an older one of the server */
	uint64_t system_id;
	int server_version;    /* 150004 */
	uint64_t current_lsn;  /* not in recovery: written up to here */
	uint64_t received_lsn; /* in recovery */
	uint64_t replayed_lsn;
	/* In recovery: the age of the last transaction replayed; 0 when all that was
	 * received is replayed and a WAL receiver runs. -1: unknown. */
	int64_t replay_delay_ms;
	bool has_receiver; /* in recovery: it streams from another server, or tries to */

	char sqlstate[SQLSTATE_SIZE]; /* "" if there was none */
	/* What failed, one line of printable UTF-8, "" after an answer. Without any
	 * password and without the server's address. */
	char text[PROBE_TEXT_SIZE];
};

/* Everything unknown. */
void probe_result_init(struct probe_result *result);

/* "in-recovery" and its like. */
const char *probe_outcome_name(enum probe_outcome outcome);
enum probe_verdict probe_outcome_verdict(enum probe_outcome outcome);

/* Sets the text to the first line of a text from outside, made printable and
 * cut to fit. Wherever secret occurs it is masked; NULL or "": there is none. */
void probe_result_set_text(struct probe_result *result, const char *text, size_t size,
			   const char *secret);

#endif
