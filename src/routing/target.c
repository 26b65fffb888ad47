/* Targets as shared values. */
#include "routing/target.h"

#include <stdio.h>
#include <string.h>

struct target *target_new(const char *member, const char *host, const char *port,
			  const struct addr *addrs, size_t count)
{
	struct target *t = calloc(1, sizeof(*t) + count * sizeof(*addrs));

	if (t == NULL)
		return NULL;
	refcount_init(&t->refs);
	t->member = strdup(member);
	if (asprintf(&t->published, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port) < 0)
		t->published = NULL;
	t->count = count;
	memcpy(t->addrs, addrs, count * sizeof(*addrs));
	if (t->member == NULL || t->published == NULL)
		target_unref(&t);
	return t;
}

struct target *target_ref(struct target *target)
{
	if (target != NULL)
		refcount_take(&target->refs);
	return target;
}

void target_unref(struct target **target)
{
	struct target *t = TAKE_PTR(*target);

	if (t == NULL || !refcount_drop(&t->refs))
		return;
	free(t->member);
	free(t->published);
	free(t);
}

bool target_is_same_place(const struct target *a, const struct target *b)
{
	return strcmp(a->member, b->member) == 0 && strcmp(a->published, b->published) == 0;
}

bool target_has_addr(const struct target *target, const struct addr *addr)
{
	for (size_t i = 0; i < target->count; i++) {
		if (addr_equal(&target->addrs[i], addr))
			return true;
	}
	return false;
}

bool target_has_same_addrs(const struct target *a, const struct target *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (!target_has_addr(b, &a->addrs[i]))
			return false;
	}
	return true;
}
