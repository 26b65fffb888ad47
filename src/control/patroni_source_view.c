/* What the policy has decided, as a view that control takes like a sentinel's. */
#include <stdio.h>
#include <string.h>

#include "cluster/view_build.h"
#include "patroni_private.h"

#define WHY_SIZE (PATRONI_NAME_SIZE + 60)

static bool is_routed(const struct patroni_decision *d, const struct patroni_member *m)
{
	return d->member != NULL && strcmp(d->member, m->name) == 0;
}

static bool holds_lock(const struct patroni *p, const struct patroni_member *m)
{
	return strcmp(patroni_view_leader(p->keys)->name, m->name) == 0;
}

/* Or leads: whoever holds the lock is promoted first, which sessions on a standby may be
 * kept through. */
static bool is_to_lead(const struct patroni *p, const struct patroni_member *m)
{
	return holds_lock(p, m) && !patroni_view_config(p->keys)->standby_cluster;
}

/* A standby by its record, and by its own word: a record may be one from before an outage.
 * Where it cannot be asked its record suffices, as it does for a leader. */
static bool is_standby(const struct patroni *p, const struct patroni_member *m,
		       const struct patroni_server *server)
{
	if (!m->is_decodable || m->role != PATRONI_ROLE_REPLICA ||
	    m->state != PATRONI_STATE_RUNNING || holds_lock(p, m))
		return false;
	return server->has_answered ? server->is_in_recovery
				    : p->settings->confirm != CONFIRM_ALWAYS;
}

/* Whether the leader changes, or has until a moment ago: records are rewritten once in
 * loop_wait, and members find the new leader one after the other. */
static bool is_change(const struct patroni *p)
{
	return p->restless_ms != 0 &&
	       clock_boot_ms() <
		       p->restless_ms + 2 * patroni_view_config(p->keys)->loop_wait_s * MS_PER_S;
}

static struct view_member describe(const struct patroni *p, const struct patroni_decision *d,
				   const struct patroni_member *m,
				   const struct patroni_server *server, char port[static 8])
{
	bool routed = is_routed(d, m);
	bool standby = !routed && is_standby(p, m, server);
	uint64_t position = server->position != 0 ? server->position
			    : m->replay_lsn != 0  ? m->replay_lsn
						  : m->wal_position;

	snprintf(port, 8, "%u", m->address.count > 0 ? m->address.hosts[0].port : 0);
	return (struct view_member){
		.uid = m->name,
		.keeper_uid = m->name,
		.role = routed || is_to_lead(p, m) ? "master"
			: standby                  ? "standby"
						   : "",
		.followed_uid = standby ? "leader" : "",
		.listen_address = m->address.count > 0 ? m->address.hosts[0].host : "",
		.port = port,
		.healthy = routed || patroni_member_serves_reads(p->keys, m, -1, is_change(p)),
		.generation = 1, /* what it is, it has said itself */
		.current_generation = 1,
		.timeline = m->timeline,
		.wal_position = position,
		.lag_ms = server->delay_ms,
	};
}

const struct patroni_member *patroni_kept_record(const struct patroni *p,
						 const struct patroni_decision *d)
{
	if (d->member == NULL || p->recorded == NULL || p->recorded == p->keys)
		return NULL;
	return patroni_view_find_member(p->recorded, d->member);
}

/* Why nobody leads: "unconfirmed, the lock is pg2's"; "" if somebody does. */
static void explain(const struct patroni *p, const struct patroni_decision *d,
		    char text[static WHY_SIZE])
{
	const char *holder = p->keys == NULL ? "" : patroni_view_leader(p->keys)->name;

	*text = '\0';
	if (d->member != NULL)
		return;
	if (*holder == '\0')
		snprintf(text, WHY_SIZE, "%s", patroni_reason_name(d->reason));
	else
		snprintf(text, WHY_SIZE, "%s, the lock is %s's", patroni_reason_name(d->reason),
			 holder);
}

struct view *patroni_make_view(struct patroni *p, const struct patroni_decision *d)
{
	const struct patroni_member *kept = patroni_kept_record(p, d);
	size_t count = p->keys == NULL ? 0 : patroni_view_member_count(p->keys);
	struct view_member *members = calloc(count + 1, sizeof(*members));
	char(*ports)[8] = calloc(count + 1, sizeof(*ports));
	struct view *view = NULL;
	char why[WHY_SIZE];
	struct view_draft draft = {
		.leader_uid = d->member == NULL ? "" : d->member,
		.why = why,
		.generation = ++p->generation,
		.check_interval_ns = PATRONI_READ_EVERY_MS * NS_PER_MS,
		.proxy_timeout_ns = patroni_source_ttl_ms(p) * NS_PER_MS,
		.members = members,
		.holds_new_clients = d->hold_new_clients,
	};

	explain(p, d, why);
	for (size_t i = 0; members != NULL && ports != NULL && i <= count; i++) {
		/* What is kept comes last, in place of the newest. */
		const struct patroni_member *m =
			i < count ? patroni_view_member_at(p->keys, i) : kept;
		if (m == NULL || (i < count && kept != NULL && strcmp(m->name, kept->name) == 0))
			continue;
		const struct patroni_server *server = patroni_servers_find(p->servers, m->name);
		if (server != NULL)
			members[draft.member_count++] = describe(p, d, m, server, ports[i]);
	}
	if (members == NULL || ports == NULL || view_build(&draft, &view) < 0)
		view = NULL;
	free(members);
	free(ports);
	return view;
}
