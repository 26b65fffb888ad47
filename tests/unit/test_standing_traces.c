/* routing/standing along the recorded histories of real clusters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "cluster/view_decode.h"
#include "routing/standing.h"

#define MANY 32

/* What the test knows of a member from the views so far, by rules of its own. */
struct history {
	char uid[40];
	char address[80];
	bool has_reported_standby; /* at this address, since it is there */
};

struct replay {
	struct standings standings;
	struct view *view;
	size_t views;
	size_t known; /* standbys, over all views */
	size_t count;
	struct history members[MANY];
};

/* Called after each view of a trace. */
typedef void replay_check(const struct replay *replay, void *arg);

static struct history *history_of(struct replay *r, const struct view_member *m)
{
	char address[80];
	struct history *h = r->members;

	snprintf(address, sizeof(address), "%s:%s", m->listen_address, m->port);
	while (h < r->members + r->count && strcmp(h->uid, m->uid) != 0)
		h++;
	assert_true(h < r->members + MANY);
	if (h == r->members + r->count)
		r->count++;
	if (strcmp(h->address, address) != 0)
		*h = (struct history){0};
	snprintf(h->uid, sizeof(h->uid), "%s", m->uid);
	snprintf(h->address, sizeof(h->address), "%s", address);
	return h;
}

static void check_member(struct replay *r, const struct view_member *m)
{
	const struct standing_member *standing = standings_find(&r->standings, m->uid);
	struct history *h = history_of(r, m);
	bool is_standby = strcmp(m->role, "standby") == 0 && *m->followed_uid != '\0' &&
			  strcmp(m->uid, view_leader_uid(r->view)) != 0;

	if (!is_standby)
		h->has_reported_standby = false;
	else if (m->generation > 0 && m->generation == m->current_generation)
		h->has_reported_standby = true;
	assert_non_null(standing);
	assert_int_equal(standing->standing == STANDING_STANDBY, h->has_reported_standby);
	r->known += h->has_reported_standby;
	if (strcmp(m->uid, view_leader_uid(r->view)) == 0)
		assert_true(standing->standing == STANDING_LEADER ||
			    standing->standing == STANDING_PROMOTED);
}

static void take(struct replay *r, const char *value, replay_check *check, void *arg)
{
	char error[VIEW_ERROR_SIZE];

	if (view_decode(value, strlen(value), &r->view, error) < 0)
		fail_msg("%s", error);
	r->views++;
	assert_int_equal(standings_take(&r->standings, r->view), 0);
	for (size_t i = 0; i < view_member_count(r->view); i++)
		check_member(r, view_member_at(r->view, i));
	if (check != NULL)
		check(r, arg);
	view_unref(&r->view);
}

static struct replay replay(const char *name, bool follows_promotions, replay_check *check,
			    void *arg)
{
	struct replay r = {0};
	char path[1000];
	char *line = NULL;
	size_t capacity = 0;

	standings_init(&r.standings, follows_promotions);
	snprintf(path, sizeof(path), "%s/%s.jsonl", TRACE_DIR, name);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		fail_msg("cannot open %s", path);
	while (getline(&line, &capacity, file) > 0) {
		json_t *row = json_loads(line, 0, NULL);
		const char *key = json_string_value(json_object_get(row, "key"));
		const char *value = json_string_value(json_object_get(row, "value"));
		if (key != NULL && value != NULL && strstr(key, "/clusterdata") != NULL)
			take(&r, value, check, arg);
		json_decref(row);
	}
	free(line);
	fclose(file);
	standings_deinit(&r.standings);
	return r;
}

static void test_only_who_has_reported_it_is_known_as_a_standby(void **state)
{
	static const struct {
		const char *name;
		size_t views;
		size_t known;
	} traces[] = {
		{"a-init-first-leader", 12, 6},
		{"b-failkeeper-planned", 12, 18},
		{"c-kill9-master", 22, 33},
		{"d-proxy-frozen-failover", 16, 26},
		{"d2-two-proxies-one-frozen", 17, 28},
		{"e-update-proxy-timings", 17, 34},
		{"e2-standby-cluster-promote", 21, 10},
	};

	for (size_t i = 0; i < ARRAY_LEN(traces); i++) {
		for (int follows = 0; follows < 2; follows++) {
			struct replay r = replay(traces[i].name, follows, NULL, NULL);
			if (r.views != traces[i].views || r.known != traces[i].known)
				fail_msg("%s: %zu standbys in %zu views", traces[i].name, r.known,
					 r.views);
		}
	}
}

/* A failover: where the old leader was, and what happened there. */
struct failover {
	const char *old_uid;
	const char *old_port;
	const char *new_uid;
	bool follows_promotions;
	bool is_over;      /* the new one has been named */
	uint64_t epoch;    /* of the new one, as a standby */
	size_t known_from; /* the view in which the old one's server is a standby; 0: not yet */
};

static void check_failover(const struct replay *r, void *arg)
{
	struct failover *f = arg;
	const struct standing_member *now = standings_find(&r->standings, f->new_uid);

	f->is_over = f->is_over || strcmp(view_leader_uid(r->view), f->new_uid) == 0;
	if (now->standing == STANDING_STANDBY)
		f->epoch = now->epoch;
	if (f->is_over)
		assert_int_equal(now->standing,
				 f->follows_promotions ? STANDING_PROMOTED : STANDING_LEADER);
	if (f->is_over || now->standing == STANDING_PROMOTED)
		assert_int_equal(now->epoch == f->epoch, f->follows_promotions);
	for (size_t i = 0; i < view_member_count(r->view); i++) {
		const struct view_member *m = view_member_at(r->view, i);
		bool is_known = standings_find(&r->standings, m->uid)->standing == STANDING_STANDBY;
		if (strcmp(m->uid, f->old_uid) == 0)
			assert_false(is_known);
		if (strcmp(m->port, f->old_port) == 0 && is_known && f->known_from == 0) {
			f->known_from = r->views;
			assert_int_equal(m->generation, m->current_generation);
		}
	}
}

static void test_an_old_leader_is_no_standby_before_its_keeper_says_so(void **state)
{
	static const struct {
		const char *name;
		struct failover failover;
		size_t known_from;
	} cases[] = {
		{"b-failkeeper-planned",
		 {.old_uid = "6154b3d1", .old_port = "21102", .new_uid = "ee61908f"},
		 11},
		{"c-kill9-master",
		 {.old_uid = "ee61908f", .old_port = "21101", .new_uid = "71e79a3d"},
		 20},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int follows = 0; follows < 2; follows++) {
			struct failover f = cases[i].failover;
			f.follows_promotions = follows;
			(void)replay(cases[i].name, follows, check_failover, &f);
			assert_true(f.is_over);
			assert_int_equal(f.known_from, cases[i].known_from);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_who_has_reported_it_is_known_as_a_standby),
		cmocka_unit_test(test_an_old_leader_is_no_standby_before_its_keeper_says_so),
	};

	return cmocka_run_group_tests_name("standing_traces", tests, NULL, NULL);
}
