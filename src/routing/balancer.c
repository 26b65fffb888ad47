/* One pass over the set: each member's `failed` is read once, since other workers may
 * set it meanwhile. Of the best entries seen so far two are kept, drawn so that each
 * pair of them is as likely as any other. */
#include "routing/balancer.h"

/* splitmix64: any state will do, and neighbouring ones have nothing in common. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* 0 to limit - 1; the bias is limit / 2^32. */
static size_t random_below(uint64_t *state, size_t limit)
{
	return (size_t)(((next_random(state) >> 32) * limit) >> 32);
}

struct draw {
	const struct member_entry *drawn[2];
	size_t seen; /* entries as good as these */
	unsigned rank;
	bool failed;
};

/* Whether the entry is as good as the best so far; a better one begins anew. */
static bool keeps_up(struct draw *draw, const struct member_entry *entry)
{
	bool failed = atomic_load_explicit(&entry->member->failed, memory_order_relaxed);

	if (draw->seen > 0 && failed == draw->failed && entry->rank == draw->rank)
		return true;
	if (draw->seen > 0 &&
	    (failed > draw->failed || (failed == draw->failed && entry->rank > draw->rank)))
		return false;
	*draw = (struct draw){.rank = entry->rank, .failed = failed};
	return true;
}

/* The n-th of its kind is among the drawn ones with the same chance as each before. */
static void add(struct draw *draw, const struct member_entry *entry, enum member_balance balance,
		uint64_t *random_state)
{
	size_t kept = balance == MEMBER_LEAST ? 2 : 1;
	size_t place = draw->seen++;

	if (balance == MEMBER_FIRST && place > 0)
		return;
	if (place >= kept)
		place = random_below(random_state, draw->seen);
	if (place < kept)
		draw->drawn[place] = entry;
}

static const struct member_entry *less_loaded(const struct draw *draw, uint64_t *random_state)
{
	const struct member_entry *a = draw->drawn[0];
	const struct member_entry *b = draw->drawn[1];

	if (b == NULL)
		return a;
	int on_a = atomic_load_explicit(&a->member->sessions, memory_order_relaxed);
	int on_b = atomic_load_explicit(&b->member->sessions, memory_order_relaxed);
	if (on_a == on_b)
		return draw->drawn[random_below(random_state, 2)];
	return on_a < on_b ? a : b;
}

const struct member_entry *balancer_pick_other(const struct member_set *set, unsigned rules,
					       uint32_t tried, uint64_t *random_state)
{
	struct draw draw = {0};

	if (set == NULL)
		return NULL;
	for (size_t i = 0; i < set->count; i++) {
		const struct member_entry *entry = &set->entries[i];
		if (entry->takes_new && (rules & 1U << entry->rule) && !(tried >> i % 32 & 1) &&
		    keeps_up(&draw, entry))
			add(&draw, entry, set->balance, random_state);
	}
	return less_loaded(&draw, random_state);
}

const struct member_entry *balancer_pick(const struct member_set *set, unsigned rules,
					 uint64_t *random_state)
{
	return balancer_pick_other(set, rules, 0, random_state);
}
