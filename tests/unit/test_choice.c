/* routing/choice: every combination of what there is and what was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "routing/choice.h"

#define NOBODY (-1)

/* The rules, by standing; not strict and strict. */
static const struct {
	int of_others[2];
	int of_leader[2];
} rules[] = {
	[STANDING_UNKNOWN] = {{NOBODY, NOBODY}, {NOBODY, NOBODY}},
	[STANDING_STANDBY] = {{MEMBER_STANDBY, MEMBER_TIMED}, {MEMBER_STANDBY, MEMBER_TIMED}},
	[STANDING_PROMOTED] = {{MEMBER_HELD, MEMBER_HELD}, {MEMBER_FENCED, MEMBER_FENCED}},
	[STANDING_LEADER] = {{MEMBER_FENCED, MEMBER_FENCED}, {MEMBER_FENCED, MEMBER_FENCED}},
};

/* What a server is to the target: t one of its own, s another one, l the leader, which
 * is none of its own. A letter for each of: not meant, unhealthy; not meant, healthy;
 * meant, unhealthy; meant, healthy. */
static const struct {
	enum direct_target target;
	const char *others;
	const char *leader;
} parts[] = {
	{DIRECT_REPLICAS, "stst", "llll"},
	{DIRECT_LOCAL, "ssst", "lltt"},
	{DIRECT_ANY, "stst", "tttt"},
	{DIRECT_NAME, "ssst", "llll"},
};

/* The rank for new sessions, by fallback. */
static int rank_of(char part, enum direct_fallback fallback)
{
	switch (part) {
	case 't':
		return CHOICE_TARGET;
	case 's':
		return fallback == DIRECT_FALLBACK_ANY ? CHOICE_OTHER_STANDBY : NOBODY;
	default:
		return fallback == DIRECT_FALLBACK_NONE ? NOBODY : CHOICE_LEADER;
	}
}

static void check(const struct choice_settings *settings, const struct candidate *c, char part)
{
	int rule = c->is_leader ? rules[c->standing].of_leader[settings->strict]
				: rules[c->standing].of_others[settings->strict];
	int rank = rank_of(part, settings->fallback);
	bool takes_new = rank != NOBODY && rule != MEMBER_HELD;
	struct choice choice = {0};
	bool found = choose(settings, c, &choice);

	if (found == (rule != NOBODY) &&
	    (!found || ((int)choice.rule == rule && choice.takes_new == takes_new)) &&
	    (!found || !takes_new || (int)choice.rank == rank))
		return;
	fail_msg("target %d, fallback %d, strict %d; standing %d, leader %d, meant %d, healthy %d: "
		 "rule %d, new %d, rank %u; wanted %d, %d, %d",
		 settings->target, settings->fallback, settings->strict, c->standing, c->is_leader,
		 c->is_meant, c->is_healthy, found ? (int)choice.rule : NOBODY, choice.takes_new,
		 choice.rank, rule, takes_new, rank);
}

static void check_servers(const struct choice_settings *settings, size_t row)
{
	for (int standing = 0; standing < (int)ARRAY_LEN(rules); standing++) {
		for (unsigned i = 0; i < 8; i++) {
			bool is_leader = i & 4;
			check(settings,
			      &(struct candidate){.standing = (enum standing)standing,
						  .is_leader = is_leader,
						  .is_meant = i & 2,
						  .is_healthy = i & 1},
			      (is_leader ? parts[row].leader : parts[row].others)[i & 3]);
		}
	}
}

static void test_every_server_for_every_wish(void **state)
{
	for (size_t row = 0; row < ARRAY_LEN(parts); row++) {
		for (int fallback = 0; fallback <= DIRECT_FALLBACK_ANY; fallback++) {
			for (int strict = 0; strict < 2; strict++)
				check_servers(
					&(struct choice_settings){parts[row].target,
								  (enum direct_fallback)fallback,
								  strict},
					row);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_server_for_every_wish),
	};

	return cmocka_run_group_tests_name("choice", tests, NULL, NULL);
}
