/* routing/standing: what a member is known to be after a sequence of views. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/view_decode.h"
#include "routing/standing.h"

#define ABSENT "absent"
#define BAD    "bad"

enum epoch {
	NEW,  /* none that there was before */
	SAME, /* as in the step before */
	GONE, /* the member is not in the view, or nobody is */
};

/* One view: the leader it names, and a member beside db1, which always is a master. */
struct step {
	const char *leader; /* or ABSENT, BAD */
	const char *uid;    /* NULL: it is not there */
	const char *role;
	const char *follows; /* NULL: an external server */
	int generation;
	int current;
	const char *address;
	enum epoch epoch;
	enum standing standing;
};

struct sequence {
	const char *name;
	bool follows_promotions;
	struct step steps[6];
};

/* The member, db2, in the roles that most sequences need. */
#define STANDBY(generation, current) "db2", "standby", "db1", generation, current, "10.0.0.2"
#define MASTER(generation, current)  "db2", "master", "", generation, current, "10.0.0.2"

static const struct sequence sequences[] = {
	{"a standby that has carried out its role is known at once",
	 false,
	 {{"db1", STANDBY(2, 2), NEW, STANDING_STANDBY}}},
	{"one that has not is known only then, as another",
	 false,
	 {{"db1", STANDBY(1, 0), NEW, STANDING_UNKNOWN},
	  {"db1", STANDBY(2, 1), SAME, STANDING_UNKNOWN},
	  {"db1", STANDBY(2, 2), NEW, STANDING_STANDBY}}},
	{"a known one stays so through later generations",
	 false,
	 {{"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {"db1", STANDBY(3, 2), SAME, STANDING_STANDBY},
	  {"", STANDBY(4, 2), SAME, STANDING_STANDBY},
	  {"db3", "db2", "standby", "db3", 5, 3, "10.0.0.2", SAME, STANDING_STANDBY},
	  {"db3", "db2", "standby", "db3", 5, 5, "10.0.0.2", SAME, STANDING_STANDBY}}},
	{"a former leader that is to be a standby is unknown until it is one",
	 false,
	 {{"db2", MASTER(3, 3), NEW, STANDING_LEADER},
	  {"", STANDBY(4, 3), NEW, STANDING_UNKNOWN},
	  {"db1", STANDBY(4, 3), SAME, STANDING_UNKNOWN},
	  {"db1", STANDBY(4, 4), NEW, STANDING_STANDBY}}},
	{"also where promotions are followed",
	 true,
	 {{"db2", MASTER(3, 3), NEW, STANDING_LEADER},
	  {"db1", STANDBY(4, 3), NEW, STANDING_UNKNOWN},
	  {"db1", STANDBY(4, 4), NEW, STANDING_STANDBY}}},
	{"a leader that is deposed is unknown, and another one when it is back",
	 false,
	 {{"db2", MASTER(3, 3), NEW, STANDING_LEADER},
	  {"db2", MASTER(4, 3), SAME, STANDING_LEADER},
	  {"", MASTER(5, 3), NEW, STANDING_UNKNOWN},
	  {"db1", MASTER(5, 3), SAME, STANDING_UNKNOWN},
	  {"db2", MASTER(5, 3), NEW, STANDING_LEADER}}},
	{"a standby that is promoted is another one",
	 false,
	 {{"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {"", MASTER(3, 2), NEW, STANDING_UNKNOWN},
	  {"db2", MASTER(3, 2), NEW, STANDING_LEADER},
	  {"db2", MASTER(4, 4), SAME, STANDING_LEADER}}},
	{"where promotions are followed it stays the same",
	 true,
	 {{"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {"", MASTER(3, 2), SAME, STANDING_PROMOTED},
	  {"", MASTER(3, 3), SAME, STANDING_PROMOTED},
	  {"db2", MASTER(3, 3), SAME, STANDING_PROMOTED},
	  {"db2", MASTER(4, 4), SAME, STANDING_PROMOTED}}},
	{"and is another one once it no longer leads",
	 true,
	 {{"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {"", MASTER(3, 2), SAME, STANDING_PROMOTED},
	  {"db2", MASTER(3, 3), SAME, STANDING_PROMOTED},
	  {"", MASTER(4, 3), NEW, STANDING_UNKNOWN},
	  {"db1", MASTER(4, 3), SAME, STANDING_UNKNOWN},
	  {"db2", MASTER(4, 3), NEW, STANDING_LEADER}}},
	{"also if it never was seen between standby and leader",
	 true,
	 {{"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {"db2", MASTER(3, 3), SAME, STANDING_PROMOTED},
	  {"db1", MASTER(4, 3), NEW, STANDING_UNKNOWN}}},
	{"a promotion that comes to nothing: it is to be a standby again",
	 true,
	 {{"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {"", MASTER(3, 2), SAME, STANDING_PROMOTED},
	  {"db1", STANDBY(4, 3), NEW, STANDING_UNKNOWN},
	  {"db1", STANDBY(4, 4), NEW, STANDING_STANDBY}}},
	{"a master that was no standby before is no promotion",
	 true,
	 {{"db1", STANDBY(1, 0), NEW, STANDING_UNKNOWN},
	  {"", MASTER(2, 0), SAME, STANDING_UNKNOWN},
	  {"db2", MASTER(2, 2), NEW, STANDING_LEADER}}},
	{"another address is another server",
	 true,
	 {{"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {"db1", "db2", "standby", "db1", 3, 2, "10.0.0.9", NEW, STANDING_UNKNOWN},
	  {"db1", "db2", "standby", "db1", 3, 3, "10.0.0.9", NEW, STANDING_STANDBY},
	  {"db1", "db2", "standby", "db1", 3, 3, "10.0.0.8", NEW, STANDING_STANDBY},
	  {"", "db2", "master", "", 4, 3, "10.0.0.7", NEW, STANDING_UNKNOWN}}},
	{"one that was gone in between is another one",
	 true,
	 {{"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {"db1", .epoch = GONE},
	  {"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {"db1", .epoch = GONE},
	  {"db1", STANDBY(3, 2), NEW, STANDING_UNKNOWN}}},
	{"a clone at the same address is another one",
	 true,
	 {{"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {"db1", "db3", "standby", "db1", 1, 0, "10.0.0.2", NEW, STANDING_UNKNOWN},
	  {"db1", "db3", "standby", "db1", 1, 1, "10.0.0.2", NEW, STANDING_STANDBY}}},
	{"the leader of a standby cluster is the leader",
	 true,
	 {{"", "db2", "standby", NULL, 1, 1, "10.0.0.2", NEW, STANDING_UNKNOWN},
	  {"db2", "db2", "standby", NULL, 1, 1, "10.0.0.2", NEW, STANDING_LEADER},
	  {"db2", MASTER(2, 1), SAME, STANDING_LEADER},
	  {"", "db2", "standby", NULL, 3, 3, "10.0.0.2", NEW, STANDING_UNKNOWN}}},
	{"a leader that has the role of a standby is the leader",
	 false,
	 {{"db2", STANDBY(2, 2), NEW, STANDING_LEADER},
	  {"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {"db2", STANDBY(2, 2), NEW, STANDING_LEADER}}},
	{"without cluster data nobody is known, and everybody is another one later",
	 true,
	 {{"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {ABSENT, .epoch = GONE},
	  {"db1", STANDBY(2, 2), NEW, STANDING_STANDBY},
	  {BAD, .epoch = GONE},
	  {"db1", STANDBY(3, 2), NEW, STANDING_UNKNOWN}}},
};

static struct view *make_view(const struct step *step)
{
	char json[1000];
	char follow[60];
	char member[400] = "";
	char error[VIEW_ERROR_SIZE] = "";
	struct view *view = NULL;

	if (strcmp(step->leader, ABSENT) == 0)
		return view_absent();
	snprintf(follow, sizeof(follow),
		 step->follows == NULL ? "{\"type\":\"external\"}"
				       : "{\"type\":\"internal\",\"dbuid\":\"%s\"}",
		 step->follows);
	if (step->uid != NULL)
		snprintf(member, sizeof(member),
			 ",\"%s\":{\"uid\":\"%s\",\"generation\":%d,\"spec\":{\"role\":\"%s\","
			 "\"followConfig\":%s},\"status\":{\"currentGeneration\":%d,"
			 "\"listenAddress\":\"%s\",\"port\":\"5432\"}}",
			 step->uid, step->uid, step->generation, step->role, follow, step->current,
			 step->address);
	snprintf(json, sizeof(json),
		 "{\"formatVersion\":%d,\"cluster\":{\"spec\":{\"initMode\":\"new\"}},\"proxy\":"
		 "{\"generation\":1,\"spec\":{\"masterDbUid\":\"%s\"}},\"dbs\":{\"db1\":{\"uid\":"
		 "\"db1\",\"generation\":1,\"spec\":{\"role\":\"master\"},\"status\":"
		 "{\"currentGeneration\":1,\"listenAddress\":\"10.0.0.1\",\"port\":\"5432\"}}%s}}",
		 strcmp(step->leader, BAD) == 0 ? 2 : 1, step->leader, member);
	if (view_decode(json, strlen(json), &view, error) < 0)
		fail_msg("%s: %s", json, error);
	return view;
}

static void check_step(const char *where, const struct standings *s, const struct step *step,
		       uint64_t last_epoch, uint64_t *epoch)
{
	const struct standing_member *m =
		step->uid == NULL ? standings_find(s, "db2") : standings_find(s, step->uid);

	if (step->epoch == GONE) {
		if (m != NULL)
			fail_msg("%s: still known", where);
		return;
	}
	if (m == NULL)
		fail_msg("%s: not known", where);
	if (m->standing != step->standing)
		fail_msg("%s: standing %d, wanted %d", where, m->standing, step->standing);
	if (step->epoch == NEW ? m->epoch <= last_epoch : m->epoch != *epoch)
		fail_msg("%s: epoch %llu after %llu", where, (unsigned long long)m->epoch,
			 (unsigned long long)*epoch);
	*epoch = m->epoch;
}

static void run_sequence(const struct sequence *sequence)
{
	struct standings s;
	char where[200];
	uint64_t epoch = 0;

	standings_init(&s, sequence->follows_promotions);
	for (size_t i = 0; i < ARRAY_LEN(sequence->steps) && sequence->steps[i].leader; i++) {
		struct view *view = make_view(&sequence->steps[i]);
		uint64_t last_epoch = s.last_epoch;

		snprintf(where, sizeof(where), "%s, view %zu", sequence->name, i + 1);
		assert_int_equal(standings_take(&s, view), 0);
		check_step(where, &s, &sequence->steps[i], last_epoch, &epoch);
		view_unref(&view);
	}
	standings_deinit(&s);
}

static void test_what_a_member_is_known_to_be(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(sequences); i++)
		run_sequence(&sequences[i]);
}

static void test_each_member_has_an_epoch_of_its_own(void **state)
{
	struct view *view = make_view(&(struct step){"db1", STANDBY(2, 2), NEW, STANDING_STANDBY});
	struct standings s;

	standings_init(&s, false);
	assert_null(standings_find(&s, "db1"));
	assert_int_equal(standings_take(&s, view), 0);
	assert_int_equal(s.count, 2);
	assert_int_equal(standings_find(&s, "db1")->standing, STANDING_LEADER);
	assert_int_not_equal(standings_find(&s, "db1")->epoch, standings_find(&s, "db2")->epoch);
	assert_null(standings_find(&s, "db"));
	standings_deinit(&s);
	assert_null(standings_find(&s, "db1"));
	view_unref(&view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_member_is_known_to_be),
		cmocka_unit_test(test_each_member_has_an_epoch_of_its_own),
	};

	return cmocka_run_group_tests_name("standing", tests, NULL, NULL);
}
