/* stolon-proxy's rules as a table, and the one reading of the cluster data. */
#include "routing/policy.h"

static const struct {
	const char *name;
	struct situation_rules rules;
} situations[SITUATION_COUNT] = {
	[SITUATION_NO_CLUSTER_DATA] = {"no-cluster-data", {false, true, true}},
	[SITUATION_BAD_CLUSTER_DATA] = {"bad-cluster-data", {false, false, false}},
	[SITUATION_NO_PROXY_OBJECT] = {"no-proxy-object", {true, true, true}},
	[SITUATION_NO_LEADER] = {"no-leader", {true, true, true}},
	[SITUATION_NO_ADDRESS] = {"no-address", {true, true, true}},
	[SITUATION_UNRESOLVED] = {"unresolved", {false, true, true}},
	[SITUATION_RESOLVING] = {"resolving", {false, false, false}},
	[SITUATION_LOOP] = {"loop", {true, true, true}},
	[SITUATION_NOT_ENABLED] = {"not-enabled", {true, true, false}},
	[SITUATION_ROUTED] = {"routed", {true, true, false}},
};

const struct situation_rules *situation_rules(enum situation situation)
{
	return &situations[situation].rules;
}

const char *situation_name(enum situation situation)
{
	return situations[situation].name;
}

struct decision policy_decide(const struct view *view, const char *proxy_uid)
{
	struct decision d = {.situation = SITUATION_BAD_CLUSTER_DATA};

	switch (view_status(view)) {
	case VIEW_ABSENT:
		d.situation = SITUATION_NO_CLUSTER_DATA;
		return d;
	case VIEW_BAD_FORMAT:
	case VIEW_BAD_SPEC:
		return d;
	case VIEW_OK:
		break;
	}
	d.check_interval_ns = view_check_interval_ns(view);
	d.proxy_timeout_ns = view_proxy_timeout_ns(view);
	if (!view_has_proxy(view)) {
		d.situation = SITUATION_NO_PROXY_OBJECT;
		return d;
	}
	d.generation = view_generation(view);
	d.leader = view_find_member(view, view_leader_uid(view));
	if (d.leader == NULL)
		d.situation = SITUATION_NO_LEADER;
	else if (*d.leader->listen_address == '\0' || *d.leader->port == '\0')
		d.situation = SITUATION_NO_ADDRESS;
	else
		d.situation =
			view_enables(view, proxy_uid) ? SITUATION_ROUTED : SITUATION_NOT_ENABLED;
	return d;
}
