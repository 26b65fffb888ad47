/* Why things are as they are, for people: what fails and why nobody is routed,
 * logged when it begins, when it changes and when it ends, with counts between.
 * Control thread. */
#ifndef PGSPLICE_CONTROL_EXPLAIN_H
#define PGSPLICE_CONTROL_EXPLAIN_H

#include "routing/policy.h"

/* What can fail on its own. */
enum trouble {
	TROUBLE_STORE_READ,  /* the cluster data cannot be read */
	TROUBLE_STORE_WRITE, /* our ProxyInfo cannot be written */
	TROUBLE_DATA,        /* what was read is no cluster data */
};
#define TROUBLE_COUNT (TROUBLE_DATA + 1)

#define EXPLAIN_TEXT_SIZE 300

struct explain_state {
	bool active;
	int64_t since_ms;
	int64_t logged_ms;
	unsigned count; /* times since it began */
	char text[EXPLAIN_TEXT_SIZE];
};

struct explain {
	struct explain_state troubles[TROUBLE_COUNT];
	struct explain_state situation; /* active unless routed */
	enum situation current;
	bool known; /* a situation was told at all */
};

void explain_init(struct explain *explain);

void explain_trouble(struct explain *explain, enum trouble trouble, const char *text);
void explain_recovered(struct explain *explain, enum trouble trouble);

/* detail: the leader's published address, its uid, or the problem. why: instead of it,
 * what the source of the picture says of that; or "". */
void explain_situation(struct explain *explain, enum situation situation, const char *detail,
		       const char *why, const char *proxy_uid, int64_t generation);

#endif
