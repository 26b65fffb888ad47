/* routing/snapshot: what a session of the direct port may do with its member. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "routing/snapshot.h"

#define TERM        4
#define VALID_UNTIL 1000

/* Who is routed. */
enum route {
	THIS,   /* the member */
	OTHER,  /* another one */
	NOBODY, /* the route is closed */
};

static struct member *make_member(const char *ip)
{
	struct addr addr;

	assert_int_equal(addr_parse_ip(ip, 5432, &addr), 0);
	struct target *t = target_new("db1", ip, "5432", &addr, 1);
	assert_non_null(t);
	struct member *m = member_new(t);
	assert_non_null(m);
	target_unref(&t);
	return m;
}

static enum permission ask(enum member_rule rule, enum route route, enum member_rule before,
			   uint64_t term, int64_t now_ms)
{
	struct member *member = make_member("10.0.0.1");
	struct member *other = make_member("10.0.0.2");
	struct member_entry entries[] = {{other, MEMBER_STANDBY, 0, true}, {member, rule, 0, true}};
	struct member_set *set = member_set_new(MEMBER_LEAST, entries, 2);
	struct target *routed[] = {
		[THIS] = member->target, [OTHER] = other->target, [NOBODY] = NULL};
	struct snapshot *s = snapshot_new(1, 1, TERM, VALID_UNTIL, routed[route], NULL);

	snapshot_set_direct(s, set, NULL);
	enum permission permission = snapshot_permits_member(s, member, before, term, now_ms);
	/* What does not depend on the set: who is not in it may do nothing. */
	struct member *stranger = make_member("10.0.0.1");
	assert_int_equal(snapshot_permits_member(s, stranger, before, term, now_ms),
			 PERMISSION_NONE);
	member_unref(&stranger);
	snapshot_unref(&s);
	member_set_unref(&set);
	member_unref(&member);
	member_unref(&other);
	return permission;
}

/* n none, w wait, f full: for this, another and nobody routed, before the end of the
 * snapshot's time and then the same from then on. */
static const struct {
	enum member_rule rule;
	enum member_rule before;
	const char *same_term;
	const char *other_term;
} rows[] = {
	{MEMBER_STANDBY, MEMBER_STANDBY, "ffffff", "ffffff"},
	{MEMBER_STANDBY, MEMBER_TIMED, "ffffff", "ffffff"},
	{MEMBER_STANDBY, MEMBER_FENCED, "ffffff", "ffffff"},
	{MEMBER_STANDBY, MEMBER_HELD, "ffffff", "ffffff"},
	{MEMBER_TIMED, MEMBER_STANDBY, "fffnnn", "fffnnn"},
	{MEMBER_TIMED, MEMBER_TIMED, "fffnnn", "fffnnn"},
	{MEMBER_TIMED, MEMBER_FENCED, "fffnnn", "fffnnn"},
	{MEMBER_TIMED, MEMBER_HELD, "fffnnn", "fffnnn"},
	/* One that was a standby's waits for its member to be the routed one. */
	{MEMBER_FENCED, MEMBER_STANDBY, "fwwwww", "fwwwww"},
	{MEMBER_FENCED, MEMBER_TIMED, "fwwwww", "fwwwww"},
	{MEMBER_FENCED, MEMBER_HELD, "fwwwww", "fwwwww"},
	/* Others belong to a term, whoever is routed by that: the name may lead to it. */
	{MEMBER_FENCED, MEMBER_FENCED, "ffnnnn", "nnnnnn"},
	{MEMBER_HELD, MEMBER_STANDBY, "wwwwww", "wwwwww"},
	{MEMBER_HELD, MEMBER_TIMED, "wwwwww", "wwwwww"},
	{MEMBER_HELD, MEMBER_FENCED, "nnnnnn", "nnnnnn"},
	{MEMBER_HELD, MEMBER_HELD, "wwwwww", "wwwwww"},
};

static void check(size_t row, unsigned column, uint64_t term, char wanted)
{
	static const char letters[] = {
		[PERMISSION_NONE] = 'n', [PERMISSION_WAIT] = 'w', [PERMISSION_FULL] = 'f'};
	enum route route = (enum route)(column % 3);
	int64_t now_ms = column < 3 ? VALID_UNTIL - 1 : VALID_UNTIL;
	char found = letters[ask(rows[row].rule, route, rows[row].before, term, now_ms)];

	if (found != wanted)
		fail_msg("rule %d, before %d, term %d, column %u: %c, wanted %c", rows[row].rule,
			 rows[row].before, (int)term, column, found, wanted);
}

static void test_permission_on_members(void **state)
{
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		for (unsigned column = 0; column < 6; column++) {
			check(row, column, TERM, rows[row].same_term[column]);
			check(row, column, TERM - 1, rows[row].other_term[column]);
			check(row, column, TERM + 1, rows[row].other_term[column]);
		}
	}
}

static void test_without_members_nothing_is_permitted(void **state)
{
	struct member *member = make_member("10.0.0.1");
	struct snapshot *s = snapshot_new(1, 1, TERM, VALID_UNTIL, member->target, NULL);

	assert_int_equal(snapshot_permits_member(s, member, MEMBER_STANDBY, TERM, 0),
			 PERMISSION_NONE);
	assert_int_equal(snapshot_permits_member(s, member, MEMBER_FENCED, TERM, 0),
			 PERMISSION_NONE);
	snapshot_unref(&s);
	member_unref(&member);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_permission_on_members),
		cmocka_unit_test(test_without_members_nothing_is_permitted),
	};

	return cmocka_run_group_tests_name("permission", tests, NULL, NULL);
}
