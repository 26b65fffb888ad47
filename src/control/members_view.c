/* What the election has decided, as a view that control takes like a sentinel's. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cluster/view_build.h"
#include "members_private.h"

/* The election has them in our order; were that once not so, for lack of memory, they are
 * searched. */
struct member_place *members_place_of(const struct members *m, size_t index)
{
	const char *address = election_member_at(m->election, index)->address;

	if (index < member_places_count(m->places)) {
		struct member_place *p = member_places_at(m->places, index);
		if (strcmp(p->text, address) == 0)
			return p;
	}
	return *address == '\0' ? NULL : member_places_find(m->places, address);
}

static const char *role_of(const struct election_member *member, const struct server *server)
{
	switch (member->role) {
	case ELECTION_ROLE_LEADER:
	case ELECTION_ROLE_WRITABLE:
	case ELECTION_ROLE_STALE:
		return "master";
	case ELECTION_ROLE_STANDBY:
		return "standby";
	case ELECTION_ROLE_UNKNOWN:
	case ELECTION_ROLE_UNASKABLE:
	case ELECTION_ROLE_DOWN:
		/* It has not said anything else since. */
	case ELECTION_ROLE_AHEAD:
		/* In recovery still; who is new waits until it is known whom it follows. */
		return server->was_standby ? "standby" : "";
	case ELECTION_ROLE_STARTING:
	case ELECTION_ROLE_READ_ONLY:
	case ELECTION_ROLE_OTHER_SYSTEM:
		break;
	}
	return "";
}

struct member_texts {
	char host[ADDR_TEXT_SIZE];
	char port[8];
};

static struct view_member describe(const struct election_member *member,
				   const struct member_place *place, struct member_texts *texts)
{
	struct server *server = place->data;
	const char *role = role_of(member, server);
	bool is_standby = strcmp(role, "standby") == 0;

	server->was_standby = is_standby;
	addr_format_ip(&place->addr, texts->host);
	snprintf(texts->port, sizeof(texts->port), "%u", addr_port(&place->addr));
	return (struct view_member){
		.uid = place->text,
		.keeper_uid = place->name,
		.role = role,
		.followed_uid = is_standby ? "leader" : "",
		.listen_address = texts->host,
		.port = texts->port,
		.healthy = member->role == ELECTION_ROLE_STANDBY ||
			   member->role == ELECTION_ROLE_LEADER,
		.generation = 1, /* what it is, it has said itself */
		.current_generation = 1,
		.timeline = member->timeline,
		.wal_position = server->position,
		.lag_ms = server->has_delay ? server->delay_ms : -1,
	};
}

struct view *members_make_view(struct members *m, const struct election_decision *d)
{
	struct view_member members[MEMBER_MAX_PLACES];
	struct member_texts texts[MEMBER_MAX_PLACES];
	struct view *view = NULL;
	char why[MEMBERS_TEXT_SIZE] = "";
	struct view_draft draft = {
		.leader_uid = d->leader == NULL ? "" : d->leader->address,
		.why = why,
		.generation = ++m->generation,
		.check_interval_ns = m->settings->probing.interval_ms * NS_PER_MS,
		.proxy_timeout_ns = members_window_ms(m) * NS_PER_MS,
		.members = members,
	};

	if (d->leader == NULL)
		election_describe(m->election, why, sizeof(why));
	for (size_t i = 0; i < election_member_count(m->election); i++) {
		const struct election_member *member = election_member_at(m->election, i);
		const struct member_place *place = members_place_of(m, i);
		if (place == NULL || draft.member_count == MEMBER_MAX_PLACES)
			continue; /* a name that leads nowhere */
		members[draft.member_count] = describe(member, place, &texts[draft.member_count]);
		draft.member_count++;
	}
	return view_build(&draft, &view) < 0 ? NULL : view;
}

uint64_t members_digest(const struct members *m, const struct election_decision *d)
{
	uint64_t sum = d->term * 2 + (d->leader != NULL);

	for (size_t i = 0; i < election_member_count(m->election); i++) {
		const struct election_member *member = election_member_at(m->election, i);
		sum = sum * UINT64_C(0x100000001b3) + (uint64_t)member->role;
		for (const char *c = member->address; *c != '\0'; c++)
			sum = sum * UINT64_C(0x100000001b3) + (unsigned char)*c;
	}
	return sum;
}
