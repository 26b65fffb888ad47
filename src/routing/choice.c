/* First the rule, which depends on what the server is known to be; then the rank, which
 * depends on what was asked for. */
#include "routing/choice.h"

static bool find_rule(const struct choice_settings *settings, const struct candidate *c,
		      enum member_rule *ret)
{
	switch (c->standing) {
	case STANDING_STANDBY:
		*ret = settings->strict ? MEMBER_TIMED : MEMBER_STANDBY;
		return true;
	case STANDING_PROMOTED:
		*ret = c->is_leader ? MEMBER_FENCED : MEMBER_HELD;
		return true;
	case STANDING_LEADER:
		*ret = MEMBER_FENCED;
		return true;
	case STANDING_UNKNOWN:
		break;
	}
	return false;
}

static bool is_target(const struct choice_settings *settings, const struct candidate *c)
{
	switch (settings->target) {
	case DIRECT_OFF:
		break;
	case DIRECT_REPLICAS:
		return !c->is_leader;
	case DIRECT_LOCAL:
		return c->is_meant;
	case DIRECT_ANY:
		return true;
	case DIRECT_NAME:
		return c->is_meant && !c->is_leader;
	}
	return false;
}

static enum choice_rank find_rank(const struct choice_settings *settings, const struct candidate *c)
{
	/* The leader is behind nobody, and its health is for the store to tell. */
	bool is_fit = c->is_healthy || c->is_leader;

	if (is_target(settings, c) && is_fit)
		return CHOICE_TARGET;
	if (c->is_leader)
		return settings->fallback == DIRECT_FALLBACK_NONE ? CHOICE_NEVER : CHOICE_LEADER;
	return settings->fallback == DIRECT_FALLBACK_ANY ? CHOICE_OTHER_STANDBY : CHOICE_NEVER;
}

bool choose(const struct choice_settings *settings, const struct candidate *candidate,
	    struct choice *ret)
{
	enum member_rule rule;

	if (!find_rule(settings, candidate, &rule))
		return false;
	enum choice_rank rank = find_rank(settings, candidate);
	*ret = (struct choice){
		.rule = rule,
		.takes_new = rank != CHOICE_NEVER && rule != MEMBER_HELD,
		.rank = rank,
	};
	return true;
}
