/* control/source_patroni: what the store and the servers say, and what control is told
 * of it, when. Store and observer are fakes; time is real. */
#include "rig.h"

#include <string.h>

#include "base/clock.h"
#include "control/source.h"
#include "patroni_fakes.h"

#define TTL_MS     30000
#define CONFIG     "{\"ttl\":30,\"loop_wait\":10,\"retry_timeout\":10}"
#define ITEMS_MOST 8

static const struct dns_settings dns_settings = {.max_ttl_ms = 30000};

struct stand {
	struct rig *rig;
	struct dns *dns;
	struct patroni_settings settings;
	struct source *source;
	/* The keys: config, leader, members. */
	const char *config;
	const char *leader; /* NULL: no key */
	uint64_t leader_revision;
	unsigned members;      /* bits: pg1 is 1 << 1 */
	const char *pg2_state; /* by its record */
	bool nobody_streams;   /* by the records */
	/* What control was told last. */
	unsigned told;
	struct view *view;
	int64_t read_sent_ms;
	unsigned acknowledged;
	unsigned told_unreachable;
};

/* Control */

static void on_update(const struct watch_update *update, void *arg)
{
	struct stand *s = arg;

	if (update->outcome == WATCH_UNREACHABLE) {
		s->told_unreachable++;
		return;
	}
	assert_int_equal(update->outcome, WATCH_VIEW);
	view_unref(&s->view);
	s->view = view_ref(update->view);
	s->read_sent_ms = update->read_sent_ms;
	s->told++;
}

static const char *leader(const struct stand *s)
{
	return s->view == NULL ? "" : view_leader_uid(s->view);
}

/* Until when it may be routed to: the deadline that control makes of it. */
static int64_t valid_until_ms(const struct stand *s)
{
	return s->read_sent_ms + view_proxy_timeout_ns(s->view) / NS_PER_MS;
}

static const char *role(const struct stand *s, const char *name)
{
	const struct view_member *m = view_find_member(s->view, name);

	return m == NULL ? "not there" : m->role;
}

/* The store */

static size_t list_keys(const struct stand *s, struct store_item items[static ITEMS_MOST])
{
	static char names[ITEMS_MOST][20];
	static char records[ITEMS_MOST][300];
	size_t count = 0;

	items[count++] = (struct store_item){"config", s->config, strlen(s->config), 1, 1, false};
	if (s->leader != NULL)
		items[count++] = (struct store_item){"leader",           s->leader,
						     strlen(s->leader),  s->leader_revision,
						     s->leader_revision, true};
	for (unsigned i = 1; i <= 3; i++) {
		if (!(s->members & 1U << i))
			continue;
		snprintf(names[i], sizeof(names[i]), "members/pg%u", i);
		snprintf(records[i], sizeof(records[i]),
			 "{\"conn_url\":\"postgres://10.0.0.%u:543%u/x\",\"state\":\"%s\","
			 "\"role\":\"%s\",\"version\":\"4.1.5\",\"timeline\":1,"
			 "\"replication_state\":%s}",
			 i, i, i == 2 ? s->pg2_state : "running", i == 1 ? "primary" : "replica",
			 s->nobody_streams ? "null" : "\"streaming\"");
		items[count++] =
			(struct store_item){names[i], records[i], strlen(records[i]), 2, 2, true};
	}
	return count;
}

static void change(struct stand *s)
{
	struct store_item items[ITEMS_MOST];

	fake_store_changes(items, list_keys(s, items), false);
}

static bool is_reading(void *arg)
{
	return fake_store.list_cb != NULL;
}

static void answer_read(struct stand *s)
{
	struct store_item items[ITEMS_MOST];

	if (fake_store.list_cb == NULL)
		assert_int_equal(source_read(s->source), 0);
	rig_run_until(s->rig, is_reading, NULL);
	fake_store_answers(items, list_keys(s, items));
}

/* The reads come by themselves. */
static void fail_read(struct stand *s)
{
	rig_run_until(s->rig, is_reading, NULL);
	fake_store_fails();
}

/* The servers */

static uint64_t id_of(unsigned member)
{
	const struct observer_place *place = fake_observer_place((uint16_t)(5430 + member));

	if (place == NULL)
		fail_msg("pg%u is not asked", member);
	return place == NULL ? 0 : place->id;
}

static int64_t say(unsigned member, enum probe_outcome outcome)
{
	int64_t now_ms = clock_boot_ms();

	fake_observer_says(id_of(member), &(struct probe_result){.outcome = outcome,
								 .sent_ms = now_ms,
								 .answered_ms = now_ms,
								 .replay_delay_ms = -1});
	return now_ms;
}

/* Tests */

static void start(struct stand *s, const struct patroni_settings *settings)
{
	const char *problem = "";

	source_free(&s->source);
	view_unref(&s->view);
	fakes_reset();
	s->settings = *settings;
	s->settings.scope = "main";
	s->settings.namespace_ = "/service/";
	s->settings.citus_group = -1;
	s->settings.probing = (struct probing){.kind = PROBE_KIND_POSTGRES, .fall = 3};
	if (s->settings.store.backend == NULL)
		s->settings.store.backend = "etcdv3";
	s->settings.store.timeout_ms = 5000;
	if (source_patroni_new(&s->settings, &s->rig->loop, s->dns, &dns_settings, on_update, s,
			       &s->source, &problem) < 0)
		fail_msg("%s", problem);
	assert_string_equal(fake_store.prefix, "/service/main/");
}

/* pg1 is routed to, and was told. */
static void start_routed(struct stand *s, const struct patroni_settings *settings)
{
	start(s, settings);
	answer_read(s);
	say(2, PROBE_IN_RECOVERY);
	say(1, PROBE_WRITABLE);
	assert_string_equal(leader(s), "pg1");
}

static int setup(void **state)
{
	struct stand *s = calloc(1, sizeof(*s));

	assert_int_equal(rig_setup((void **)&s->rig), 0);
	assert_int_equal(dns_open(&s->rig->loop, &dns_settings, &s->dns), 0);
	s->config = CONFIG;
	s->leader = "pg1";
	s->leader_revision = 10;
	s->members = 1U << 1 | 1U << 2;
	s->pg2_state = "running";
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stand *s = *state;

	source_free(&s->source);
	assert_false(fake_observer.is_running || fake_store.is_open);
	view_unref(&s->view);
	dns_close(&s->dns);
	rig_teardown((void **)&s->rig);
	free(s);
	return 0;
}

static void test_servers_are_asked_for_as_long_as_the_store_has_them(void **state)
{
	struct stand *s = *state;

	start(s, &(struct patroni_settings){0});
	assert_int_equal(fake_observer.count, 0);
	answer_read(s);
	assert_int_equal(fake_observer.count, 2);
	assert_true(id_of(1) != id_of(2));
	s->members |= 1U << 3;
	change(s);
	assert_int_equal(fake_observer.count, 3);
	uint64_t gone = id_of(3);
	s->members = 1U << 1;
	change(s);
	assert_int_equal(fake_observer.count, 1);
	assert_non_null(fake_observer_place(5431));
	assert_string_equal(role(s, "pg2"), "not there");
	unsigned told = s->told;
	fake_observer_says(gone, &(struct probe_result){.outcome = PROBE_WRITABLE});
	assert_int_equal(s->told, told);
	s->members = 0;
	s->leader = NULL;
	change(s);
	assert_int_equal(fake_observer.count, 0);
}

static void test_holder_is_routed_once_it_says_so_and_asked_often_until_then(void **state)
{
	struct stand *s = *state;

	start(s, &(struct patroni_settings){.confirm = CONFIRM_ALWAYS});
	answer_read(s);
	assert_true(fake_observer.hurry);
	assert_string_equal(leader(s), "");
	say(2, PROBE_WRITABLE); /* does not hold the lock */
	say(1, PROBE_IN_RECOVERY);
	say(1, PROBE_TIMEOUT);
	assert_string_equal(leader(s), "");
	say(2, PROBE_IN_RECOVERY);
	int64_t sent_ms = say(1, PROBE_WRITABLE);
	assert_string_equal(leader(s), "pg1");
	assert_string_equal(role(s, "pg1"), "master");
	assert_string_equal(role(s, "pg2"), "standby");
	assert_in_range(valid_until_ms(s), sent_ms, sent_ms + TTL_MS);
	assert_false(fake_observer.hurry);
	say(1, PROBE_READ_ONLY);
	assert_string_equal(leader(s), "");
	assert_true(fake_observer.hurry);
}

static void test_other_holder_is_told_before_anybody_is_asked(void **state)
{
	struct stand *s = *state;

	start_routed(s, &(struct patroni_settings){.confirm = CONFIRM_ALWAYS});
	unsigned told = s->told;
	s->leader = "pg2";
	s->leader_revision = 30;
	change(s);
	assert_int_equal(s->told, told + 1);
	assert_string_equal(leader(s), "");
	assert_true(fake_observer.hurry);
	/* What was asked before the lock was seen does not open it. */
	fake_observer_says(id_of(2), &(struct probe_result){.outcome = PROBE_WRITABLE,
							    .sent_ms = clock_boot_ms() - 1000});
	assert_string_equal(leader(s), "");
	say(2, PROBE_WRITABLE);
	assert_string_equal(leader(s), "pg2");
	/* Not a standby any more by its record alone: it is to say that it is one. */
	assert_string_equal(role(s, "pg1"), "");
}

static void test_lock_that_is_gone_is_told_at_once(void **state)
{
	struct stand *s = *state;

	start_routed(s, &(struct patroni_settings){0});
	s->leader = NULL;
	change(s);
	assert_string_equal(leader(s), "");
	/* With Consul it may come back; but the deadline is near at once. */
	s->leader = "pg1";
	start_routed(s, &(struct patroni_settings){.store.backend = "consul"});
	int64_t now_ms = clock_boot_ms();
	assert_true(valid_until_ms(s) > now_ms + TTL_MS / 2);
	s->leader = NULL;
	unsigned told = s->told;
	change(s);
	assert_int_equal(s->told, told + 1);
	assert_string_equal(leader(s), "pg1");
	assert_true(view_holds_new_clients(s->view));
	assert_true(valid_until_ms(s) <= clock_boot_ms() + 2000);
}

static void test_deadline_that_comes_nearer_is_told_at_once(void **state)
{
	struct stand *s = *state;

	start_routed(s, &(struct patroni_settings){0});
	int64_t before_ms = valid_until_ms(s);
	unsigned told = s->told;
	s->config = "{\"ttl\":5,\"loop_wait\":2,\"retry_timeout\":1}";
	change(s);
	assert_int_equal(s->told, told + 1);
	assert_string_equal(leader(s), "pg1");
	assert_int_equal(valid_until_ms(s), before_ms - (TTL_MS - 5000));
}

/* While the store is out, by the servers' word or not at all. */

static int64_t outage(struct stand *s, const struct patroni_settings *settings)
{
	start_routed(s, settings);
	int64_t before_ms = valid_until_ms(s);
	assert_int_equal(source_read(s->source), 0);
	unsigned told = s->told;
	/* The next read is due in 5 s; a watch that begins anew is an outage, too. */
	struct store_item items[ITEMS_MOST];
	fake_store_changes(items, list_keys(s, items), true);
	assert_string_equal(leader(s), "pg1");
	assert_true(s->told > told);
	assert_true(fake_observer.hurry); /* to be confirmed anew */
	return before_ms;
}

static void test_its_own_word_moves_the_deadline_on_unless_strict(void **state)
{
	struct stand *s = *state;

	int64_t before_ms = outage(s, &(struct patroni_settings){0});
	rig_run_for(s->rig, 20);
	int64_t sent_ms = say(1, PROBE_WRITABLE);
	rig_run_for(s->rig, 600); /* it is told every half a second */
	say(1, PROBE_WRITABLE);
	assert_string_equal(leader(s), "pg1");
	assert_true(valid_until_ms(s) >= sent_ms + TTL_MS);
	assert_true(valid_until_ms(s) > before_ms);
	before_ms = outage(s, &(struct patroni_settings){.strict_outage = true});
	rig_run_for(s->rig, 600);
	say(1, PROBE_WRITABLE);
	assert_string_equal(leader(s), "pg1");
	assert_int_equal(valid_until_ms(s), before_ms);
}

static bool is_nobody_routed(void *arg)
{
	return *leader(arg) == '\0';
}

static void test_strict_ends_a_ttl_after_the_last_good_read(void **state)
{
	struct stand *s = *state;
	static const bool strict[] = {true, false};

	s->config = "{\"ttl\":1,\"loop_wait\":1,\"retry_timeout\":1}";
	for (size_t i = 0; i < ARRAY_LEN(strict); i++) {
		start_routed(s, &(struct patroni_settings){.strict_outage = strict[i]});
		int64_t began_ms = clock_boot_ms();
		while (clock_boot_ms() - began_ms < 1500 && *leader(s) != '\0') {
			rig_run_for(s->rig, 20);
			say(1, PROBE_WRITABLE);
		}
		assert_string_equal(leader(s), strict[i] ? "" : "pg1");
	}
	/* And by itself: its last word is a ttl ago. */
	rig_run_until(s->rig, is_nobody_routed, s);
}

static void test_reads_go_on_by_themselves_and_soon_after_one_that_failed(void **state)
{
	struct stand *s = *state;

	start(s, &(struct patroni_settings){0});
	assert_int_equal(source_read(s->source), 0);
	fail_read(s);
	int64_t failed_ms = clock_boot_ms();
	assert_int_equal(fake_store.reads, 1);
	assert_int_equal(s->told_unreachable, 1); /* so that nobody listens yet */
	rig_run_until(s->rig, is_reading, NULL);
	assert_in_range(clock_boot_ms() - failed_ms, 450, 2000);
	answer_read(s);
	say(1, PROBE_WRITABLE);
	assert_string_equal(leader(s), "pg1");
	/* A check of control's does not read by itself then, and has its outcome. */
	unsigned told = s->told;
	rig_run_for(s->rig, 600);
	assert_int_equal(source_read(s->source), 0);
	rig_run_for(s->rig, 50);
	assert_true(s->told > told);
	assert_int_equal(fake_store.reads, 2);
}

static bool is_healthy(const struct stand *s, const char *name)
{
	return view_find_member(s->view, name)->healthy;
}

/* It cannot stream from nobody; but who cannot while there is a leader has no reads. */
static void test_standbys_serve_reads_through_a_change_of_leader(void **state)
{
	struct stand *s = *state;

	s->config = "{\"ttl\":5,\"loop_wait\":1,\"retry_timeout\":1}";
	s->members = 1U << 1 | 1U << 2 | 1U << 3;
	start_routed(s, &(struct patroni_settings){0});
	say(3, PROBE_IN_RECOVERY);
	assert_true(is_healthy(s, "pg3"));
	s->nobody_streams = true;
	change(s);
	assert_false(is_healthy(s, "pg3"));
	s->leader = NULL;
	change(s);
	assert_true(is_healthy(s, "pg3"));
	s->leader = "pg2";
	s->leader_revision = 20;
	change(s);
	say(2, PROBE_WRITABLE);
	assert_string_equal(leader(s), "pg2");
	assert_true(is_healthy(s, "pg3"));
	rig_run_for(s->rig, 2100); /* two of loop_wait */
	say(2, PROBE_WRITABLE);
	assert_false(is_healthy(s, "pg3"));
}

/* Nobody is routed without a read; the watch proves nothing. */
static void test_first_check_reads_also_if_the_watch_was_faster(void **state)
{
	struct stand *s = *state;

	start(s, &(struct patroni_settings){0});
	change(s);
	say(1, PROBE_WRITABLE);
	assert_string_equal(leader(s), "");
	assert_int_equal(source_read(s->source), 0);
	rig_run_until(s->rig, is_reading, NULL);
	answer_read(s);
	say(1, PROBE_WRITABLE);
	assert_string_equal(leader(s), "pg1");
}

static void test_older_listing_than_was_taken_is_dropped(void **state)
{
	struct stand *s = *state;
	struct store_item items[ITEMS_MOST];

	start_routed(s, &(struct patroni_settings){0});
	s->leader = "pg2";
	s->leader_revision = 30;
	change(s);
	assert_string_equal(leader(s), "");
	s->leader = "pg1";
	s->leader_revision = 10;
	fake_store.revision -= 2; /* one was added by change(), as one is by this */
	fake_store_changes(items, list_keys(s, items), false);
	say(1, PROBE_WRITABLE);
	assert_string_equal(leader(s), "");
}

static void test_what_is_new_is_told_at_once_and_time_now_and_then(void **state)
{
	struct stand *s = *state;

	start_routed(s, &(struct patroni_settings){0});
	unsigned told = s->told;
	for (int i = 0; i < 20; i++)
		say(1, PROBE_WRITABLE);
	assert_true(s->told - told <= 1); /* unless half a second has passed */
	told = s->told;
	say(2, PROBE_WRITABLE); /* a standby that says it is none */
	assert_int_equal(s->told, told + 1);
	assert_string_equal(role(s, "pg2"), "");
	say(2, PROBE_IN_RECOVERY);
	assert_string_equal(role(s, "pg2"), "standby");
	told = s->told;
	s->pg2_state = "stopping";
	change(s);
	assert_int_equal(s->told, told + 1);
	assert_string_equal(role(s, "pg2"), "");
	rig_run_for(s->rig, 550);
	told = s->told;
	say(1, PROBE_WRITABLE);
	assert_int_equal(s->told, told + 1);
}

static void on_acknowledged(int error, const char *text, void *arg)
{
	assert_int_equal(error, 0);
	((struct stand *)arg)->acknowledged++;
}

static bool is_acknowledged(void *arg)
{
	return ((struct stand *)arg)->acknowledged > 0;
}

static void test_nothing_comes_after_the_stop_but_what_was_asked_for(void **state)
{
	struct stand *s = *state;

	start_routed(s, &(struct patroni_settings){0});
	uint64_t pg1 = id_of(1);
	source_stop(s->source);
	assert_false(fake_observer.is_running);
	assert_null(fake_store.watch_cb);
	assert_null(fake_store.list_cb);
	unsigned told = s->told;
	change(s);
	fake_observer_says(pg1, &(struct probe_result){.outcome = PROBE_READ_ONLY});
	rig_run_for(s->rig, 50);
	assert_int_equal(s->told, told);
	/* Nobody waits for an acknowledgement, so it is done in the next turn. */
	assert_int_equal(source_acknowledge(s->source, 7, NS_PER_MS, on_acknowledged, s), 0);
	assert_int_equal(s->acknowledged, 0);
	rig_run_until(s->rig, is_acknowledged, s);
	s->acknowledged = 0;
	assert_int_equal(source_withdraw(s->source, on_acknowledged, s), 0);
	rig_run_until(s->rig, is_acknowledged, s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_servers_are_asked_for_as_long_as_the_store_has_them),
		TEST(test_holder_is_routed_once_it_says_so_and_asked_often_until_then),
		TEST(test_other_holder_is_told_before_anybody_is_asked),
		TEST(test_lock_that_is_gone_is_told_at_once),
		TEST(test_deadline_that_comes_nearer_is_told_at_once),
		TEST(test_its_own_word_moves_the_deadline_on_unless_strict),
		TEST(test_strict_ends_a_ttl_after_the_last_good_read),
		TEST(test_reads_go_on_by_themselves_and_soon_after_one_that_failed),
		TEST(test_standbys_serve_reads_through_a_change_of_leader),
		TEST(test_first_check_reads_also_if_the_watch_was_faster),
		TEST(test_older_listing_than_was_taken_is_dropped),
		TEST(test_what_is_new_is_told_at_once_and_time_now_and_then),
		TEST(test_nothing_comes_after_the_stop_but_what_was_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
