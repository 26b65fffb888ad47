/* The one table of close reasons. */
#include "session/session_stats.h"

static const struct {
	const char *label;
	enum close_side side;
} reasons[CLOSE_REASON_COUNT] = {
	[CLOSE_CLIENT_DONE] = {"client-closed", CLOSE_BY_CLIENT},
	[CLOSE_SERVER_DONE] = {"server-closed", CLOSE_BY_SERVER},
	[CLOSE_CLIENT_RESET] = {"client-reset", CLOSE_BY_CLIENT},
	[CLOSE_SERVER_RESET] = {"server-reset", CLOSE_BY_SERVER},
	[CLOSE_CONNECT_REFUSED] = {"connect-failed", CLOSE_BY_SERVER},
	[CLOSE_CONNECT_TIMEOUT] = {"connect-timeout", CLOSE_BY_SERVER},
	[CLOSE_NO_LEADER] = {"no-leader", CLOSE_BY_US},
	[CLOSE_NO_MEMBER] = {"no-member", CLOSE_BY_US},
	[CLOSE_LEADER_CHANGED] = {"leader-changed", CLOSE_BY_US},
	[CLOSE_ADDRESS_GONE] = {"address-gone", CLOSE_BY_US},
	[CLOSE_MEMBER_CHANGED] = {"member-changed", CLOSE_BY_US},
	[CLOSE_DEADLINE] = {"deadline", CLOSE_BY_US},
	[CLOSE_SHUTDOWN] = {"shutdown", CLOSE_BY_US},
	[CLOSE_EXHAUSTED] = {"exhausted", CLOSE_BY_US},
};

const char *close_reason_label(enum close_reason reason)
{
	return reasons[reason].label;
}

enum close_side close_reason_side(enum close_reason reason)
{
	return reasons[reason].side;
}

const char *close_side_label(enum close_side side)
{
	switch (side) {
	case CLOSE_BY_CLIENT:
		return "client";
	case CLOSE_BY_SERVER:
		return "server";
	case CLOSE_BY_US:
		return "us";
	}
	return "?";
}
