/* Members and sets of them as shared values. Control makes the sets; workers read
 * them and count on their members. */
#include "routing/member_set.h"

#include "base/check.h"

struct member *member_new(struct target *target)
{
	struct member *m = calloc(1, sizeof(*m));

	CHECK(target->count == 1);
	if (m == NULL)
		return NULL;
	refcount_init(&m->refs);
	m->target = target_ref(target);
	return m;
}

struct member *member_ref(struct member *member)
{
	if (member != NULL)
		refcount_take(&member->refs);
	return member;
}

void member_unref(struct member **member)
{
	struct member *m = TAKE_PTR(*member);

	if (m == NULL || !refcount_drop(&m->refs))
		return;
	target_unref(&m->target);
	free(m);
}

struct member_set *member_set_new(enum member_balance balance, const struct member_entry *entries,
				  size_t count)
{
	struct member_set *s = calloc(1, sizeof(*s) + count * sizeof(*entries));

	if (s == NULL)
		return NULL;
	refcount_init(&s->refs);
	s->balance = balance;
	s->count = count;
	for (size_t i = 0; i < count; i++) {
		s->entries[i] = entries[i];
		member_ref(entries[i].member);
	}
	return s;
}

struct member_set *member_set_ref(struct member_set *set)
{
	if (set != NULL)
		refcount_take(&set->refs);
	return set;
}

void member_set_unref(struct member_set **set)
{
	struct member_set *s = TAKE_PTR(*set);

	if (s == NULL || !refcount_drop(&s->refs))
		return;
	for (size_t i = 0; i < s->count; i++)
		member_unref(&s->entries[i].member);
	free(s);
}

const struct member_entry *member_set_find(const struct member_set *set,
					   const struct member *member)
{
	for (size_t i = 0; set != NULL && i < set->count; i++) {
		if (set->entries[i].member == member)
			return &set->entries[i];
	}
	return NULL;
}

bool member_sets_are_equal(const struct member_set *a, const struct member_set *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	if (a->balance != b->balance || a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct member_entry *x = &a->entries[i];
		const struct member_entry *y = &b->entries[i];
		if (x->member != y->member || x->rule != y->rule || x->rank != y->rank ||
		    x->takes_new != y->takes_new)
			return false;
	}
	return true;
}
