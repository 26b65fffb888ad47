/* A short list, in the order in which the addresses came to be on it. */
#include "routing/suspects.h"

#include <string.h>

static size_t find(const struct suspects *s, const struct addr *addr)
{
	size_t i = 0;

	while (i < s->count && !addr_equal(&s->addrs[i], addr))
		i++;
	return i;
}

static void forget(struct suspects *s, size_t index)
{
	s->count--;
	memmove(s->addrs + index, s->addrs + index + 1, (s->count - index) * sizeof(s->addrs[0]));
}

static void remember(struct suspects *s, const struct addr *addr)
{
	if (suspects_have(s, addr))
		return;
	if (s->count == SUSPECTS_MOST)
		forget(s, 0);
	s->addrs[s->count++] = *addr;
}

void suspects_note(struct suspects *suspects, const struct addr *addr, enum standing standing,
		   bool is_master)
{
	size_t i = find(suspects, addr);

	switch (standing) {
	case STANDING_LEADER:
	case STANDING_PROMOTED:
		remember(suspects, addr);
		break;
	case STANDING_STANDBY:
		if (i < suspects->count)
			forget(suspects, i);
		break;
	case STANDING_UNKNOWN:
		if (is_master)
			remember(suspects, addr);
		break; /* else it is what it was */
	}
}

bool suspects_have(const struct suspects *suspects, const struct addr *addr)
{
	return find(suspects, addr) < suspects->count;
}
