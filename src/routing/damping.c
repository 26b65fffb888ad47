/* A short list of members, each with what it has done of late. What it is now is looked
 * at again in every pass. */
#include "routing/damping.h"

#include <stdio.h>
#include <string.h>

/* Members */

static struct damped_member *find(struct damping *d, const char *name)
{
	for (size_t i = 0; i < d->count; i++) {
		if (strncmp(d->members[i].name, name, DAMPING_NAME_SIZE - 1) == 0)
			return &d->members[i];
	}
	return NULL;
}

static struct damped_member *add(struct damping *d, const char *name, int64_t now_ms)
{
	if (d->count == DAMPING_MOST)
		return NULL;
	struct damped_member *m = &d->members[d->count++];
	*m = (struct damped_member){.until_ms = now_ms, .good_for_ms = -1};
	snprintf(m->name, sizeof(m->name), "%s", name);
	return m;
}

/* Being away takes doublings back as well: who has none left is as good as new. */
static bool is_forgotten(const struct damped_member *m, int64_t now_ms)
{
	return !m->is_seen && now_ms - m->until_ms >= DAMPING_CALM_MS * (m->doublings + 1);
}

/* What happens to one */

static int64_t hold_off_ms(const struct damping *d, unsigned doublings)
{
	int64_t ms = doublings == 0 ? 0 : DAMPING_FIRST_MS;

	for (unsigned i = 1; i < doublings && ms < d->longest_ms; i++)
		ms *= 2;
	return ms < d->longest_ms ? ms : d->longest_ms;
}

static void offer(struct damped_member *m, int64_t now_ms)
{
	m->is_offered = true;
	m->offered_ms = now_ms;
}

static void withdraw(const struct damping *d, struct damped_member *m, enum damping_fault fault,
		     int64_t now_ms)
{
	int64_t calm = (now_ms - m->until_ms) / DAMPING_CALM_MS;

	m->is_offered = false;
	m->doublings -= calm < m->doublings ? (unsigned)calm : m->doublings;
	/* Not more of them than it takes: each has to be taken back. */
	if (m->has_returned && now_ms - m->offered_ms < DAMPING_CALM_MS &&
	    hold_off_ms(d, m->doublings) < d->longest_ms)
		m->doublings++;
	m->has_returned = true;
	m->until_ms = now_ms + hold_off_ms(d, m->doublings);
	m->was = fault;
	m->is_told = false;
}

static int64_t caught_up_ms(const struct damping *d)
{
	return DAMPING_CAUGHT_UP_MS < d->longest_ms ? DAMPING_CAUGHT_UP_MS : d->longest_ms;
}

static void take_good(const struct damping *d, struct damped_member *m, bool is_near_limit,
		      int64_t now_ms)
{
	if (m->good_for_ms < 0)
		m->good_for_ms = now_ms;
	if (!is_near_limit || now_ms - m->good_for_ms >= caught_up_ms(d))
		m->has_lagged = false;
	if (!m->is_offered && !m->has_lagged && now_ms >= m->until_ms)
		offer(m, now_ms);
	m->is_damped = !m->is_offered;
}

static void take_bad(const struct damping *d, struct damped_member *m, enum damping_fault fault,
		     int64_t now_ms)
{
	m->good_for_ms = -1;
	if (fault == DAMPING_LAGS)
		m->has_lagged = true;
	if (m->is_offered)
		withdraw(d, m, fault, now_ms);
}

static struct damping_verdict verdict_of(struct damped_member *m, int64_t now_ms)
{
	struct damping_verdict verdict = {.is_damped = m->is_damped, .was = m->was};

	if (m->good_for_ms >= 0 && !m->is_offered && !m->is_told && now_ms < m->until_ms) {
		verdict.left_out_ms = m->until_ms - now_ms;
		m->is_told = true;
	}
	return verdict;
}

/* Passes */

void damping_begin(struct damping *damping)
{
	for (size_t i = 0; i < damping->count; i++)
		damping->members[i].is_seen = false;
}

struct damping_verdict damping_take(struct damping *damping, const char *name,
				    const struct damping_look *look, int64_t now_ms)
{
	struct damped_member *m = find(damping, name);

	if (m == NULL)
		m = add(damping, name, now_ms);
	if (m == NULL)
		return (struct damping_verdict){0};
	m->is_seen = true;
	if (look->fault == DAMPING_GOOD)
		take_good(damping, m, look->is_near_limit, now_ms);
	else
		take_bad(damping, m, look->fault, now_ms);
	return verdict_of(m, now_ms);
}

void damping_end(struct damping *damping, int64_t now_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < damping->count; i++) {
		struct damped_member *m = &damping->members[i];
		if (!m->is_seen)
			take_bad(damping, m, DAMPING_ABSENT, now_ms);
		if (!is_forgotten(m, now_ms))
			damping->members[kept++] = *m;
	}
	damping->count = kept;
}

int64_t damping_next_ms(const struct damping *damping)
{
	int64_t next_ms = INT64_MAX;

	for (size_t i = 0; i < damping->count; i++) {
		const struct damped_member *m = &damping->members[i];
		int64_t ms = m->until_ms;
		if (m->is_offered || m->good_for_ms < 0)
			continue;
		if (m->has_lagged && m->good_for_ms + caught_up_ms(damping) > ms)
			ms = m->good_for_ms + caught_up_ms(damping);
		if (ms < next_ms)
			next_ms = ms;
	}
	return next_ms;
}

const char *damping_fault_name(enum damping_fault fault)
{
	static const char *const names[] = {
		[DAMPING_GOOD] = "none",           [DAMPING_LAGS] = "lag",
		[DAMPING_UNHEALTHY] = "unhealthy", [DAMPING_FAILED] = "cannot-connect",
		[DAMPING_ABSENT] = "absent",
	};

	return names[fault];
}
