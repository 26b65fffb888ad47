/* Which system the members of an election are of, and how far its timelines have
 * come. Timelines are remembered by system, because those of a foreign server that
 * turned up first must not rule out ours. */
#include "election_private.h"

/* The answering members that tell, or those of one system. */
static size_t count_telling(const struct election *e, uint64_t id)
{
	size_t count = 0;

	for (size_t i = 0; i < e->count; i++) {
		const struct election_peer *p = e->peers[i];
		if (p->system_id != 0 && (id == 0 || p->system_id == id) &&
		    election_is_answering(e, p))
			count++;
	}
	return count;
}

/* Of more than half of those that tell; else 0. */
static uint64_t find_majority(const struct election *e)
{
	size_t telling = count_telling(e, 0);

	for (size_t i = 0; i < e->count; i++) {
		uint64_t id = e->peers[i]->system_id;
		if (id != 0 && 2 * count_telling(e, id) > telling)
			return id;
	}
	return 0;
}

/* The one of all that are writable; else 0. */
static uint64_t find_writable(const struct election *e)
{
	uint64_t found = 0;

	for (size_t i = 0; i < e->count; i++) {
		const struct election_peer *p = e->peers[i];
		if (p->system_id == 0 || p->system_id == found || !election_is_writable(e, p))
			continue;
		if (found != 0)
			return 0;
		found = p->system_id;
	}
	return found;
}

void election_choose_system(struct election *e)
{
	e->ours = e->system_id;
	if (e->ours == 0)
		e->ours = find_majority(e);
	if (e->ours == 0)
		e->ours = find_writable(e);
}

static struct election_system *find_system(struct election *e, uint64_t id)
{
	for (size_t i = 0; i < e->system_count; i++) {
		if (e->systems[i].id == id)
			return &e->systems[i];
	}
	return NULL;
}

bool election_is_of_ours(const struct election *e, uint64_t system_id)
{
	return system_id == 0 || e->ours == 0 || system_id == e->ours;
}

uint32_t election_lowest_timeline(const struct election *e, uint64_t system_id)
{
	uint64_t id = system_id != 0 ? system_id : e->ours;
	uint32_t lowest = 0;

	for (size_t i = 0; i < e->system_count; i++) {
		const struct election_system *s = &e->systems[i];
		bool counts = s->id == id || s->id == 0 || id == 0;
		if (counts && s->timeline > lowest)
			lowest = s->timeline;
	}
	return lowest;
}

/* Too many to be remembered: taken for one of those that do not tell, which holds
 * for all. */
void election_note_timeline(struct election *e, uint64_t system_id, uint32_t timeline)
{
	struct election_system *s = find_system(e, system_id);

	if (s == NULL && e->system_count == ELECTION_MAX_SYSTEMS) {
		e->systems[0].id = 0;
		s = &e->systems[0];
	} else if (s == NULL) {
		s = &e->systems[e->system_count++];
		*s = (struct election_system){.id = system_id};
	}
	if (timeline > s->timeline)
		s->timeline = timeline;
}
