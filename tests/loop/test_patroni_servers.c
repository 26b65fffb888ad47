/* control/patroni_servers: who is asked where, and what of their answers is kept. The
 * observer is a fake; names are looked up for real, in the hosts file. */
#include "rig.h"

#include <string.h>

#include "../unit/patroni_keys.h"
#include "base/clock.h"
#include "control/patroni_servers.h"
#include "patroni_fakes.h"

#define SQL(name, place) "members/" name " {\"conn_url\":\"postgres://" place "/x\"}\n"
#define REST(name, port, url)                                                                      \
	"members/" name " {\"conn_url\":\"postgres://10.0.0.1:" port "/x\",\"api_url\":\"" url     \
	"\"}\n"

static const struct dns_settings dns_settings = {.max_ttl_ms = 30000};

struct stand {
	struct rig *rig;
	struct dns *dns;
	struct probing probing;
	struct patroni_servers *servers;
	unsigned moved;
	/* The last news. */
	unsigned told;
	char name[20];
	enum probe_outcome outcome;
};

static void on_news(const struct patroni_server *server, const struct probe_result *result,
		    void *arg)
{
	struct stand *s = arg;

	s->told++;
	snprintf(s->name, sizeof(s->name), "%s", server->name);
	s->outcome = result->outcome;
}

static void on_moved(void *arg)
{
	((struct stand *)arg)->moved++;
}

static void start(struct stand *s, enum probe_kind kind)
{
	patroni_servers_free(&s->servers);
	fakes_reset();
	s->probing = (struct probing){.kind = kind, .fall = 3};
	assert_int_equal(patroni_servers_new(&s->probing, &s->rig->loop, s->dns, &dns_settings,
					     2000, on_news, on_moved, s, &s->servers),
			 0);
}

static int setup(void **state)
{
	struct stand *s = calloc(1, sizeof(*s));

	assert_int_equal(rig_setup((void **)&s->rig), 0);
	assert_int_equal(dns_open(&s->rig->loop, &dns_settings, &s->dns), 0);
	start(s, PROBE_KIND_POSTGRES);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stand *s = *state;

	patroni_servers_free(&s->servers);
	assert_false(fake_observer.is_running);
	dns_close(&s->dns);
	rig_teardown((void **)&s->rig);
	free(s);
	return 0;
}

static void follow_wish(struct stand *s, const char *keys, bool is_fast)
{
	const struct patroni_wish wish = {"pg1", "10.0.0.1:5432", is_fast};
	struct patroni_view *view = keys_view(keys);

	patroni_servers_follow(s->servers, view, NULL, &wish, 1);
	patroni_view_unref(&view);
}

static void follow(struct stand *s, const char *keys)
{
	follow_wish(s, keys, false);
}

static uint64_t id_at(uint16_t port)
{
	const struct observer_place *place = fake_observer_place(port);

	if (place == NULL)
		fail_msg("nobody is asked at port %u", port);
	return place == NULL ? 0 : place->id;
}

static void say(uint64_t id, enum probe_outcome outcome)
{
	fake_observer_says(id, &(struct probe_result){.outcome = outcome,
						      .current_lsn = 700,
						      .received_lsn = 600,
						      .replayed_lsn = 500,
						      .replay_delay_ms = 40});
}

static const struct patroni_server *find(const struct stand *s, const char *name)
{
	const struct patroni_server *server = patroni_servers_find(s->servers, name);

	if (server == NULL)
		fail_msg("%s is not known", name);
	return server;
}

static void test_members_are_asked_from_when_they_come_until_they_go(void **state)
{
	struct stand *s = *state;

	assert_int_equal(fake_observer.method, PROBE_BY_SQL);
	follow(s, SQL("pg1", "10.0.0.1:1111") SQL("pg2", "[fd00::2]:2222"));
	assert_int_equal(fake_observer.count, 2);
	uint64_t pg1 = id_at(1111);
	uint64_t pg2 = id_at(2222);
	assert_true(pg1 != pg2);
	assert_string_equal(fake_observer_place(2222)->host, "fd00::2");
	assert_false(fake_observer.hurry || fake_observer_place(1111)->is_https);
	/* The same once more is no news. */
	follow(s, SQL("pg1", "10.0.0.1:1111") SQL("pg2", "[fd00::2]:2222"));
	assert_int_equal(fake_observer.plans, 1);
	follow(s, SQL("pg2", "[fd00::2]:2222") SQL("pg3", "10.0.0.3:3333"));
	assert_int_equal(fake_observer.plans, 2);
	assert_int_equal(fake_observer.count, 2);
	assert_null(fake_observer_place(1111));
	assert_null(patroni_servers_find(s->servers, "pg1"));
	assert_int_equal(id_at(2222), pg2);
	/* Its last word may still be on the way. */
	say(pg1, PROBE_WRITABLE);
	assert_int_equal(s->told, 0);
	patroni_servers_follow(s->servers, NULL, NULL, NULL, 0);
	assert_int_equal(fake_observer.count, 0);
}

static void test_all_are_asked_often_while_there_is_a_fast_wish(void **state)
{
	static const char keys[] = SQL("pg1", "10.0.0.1:1111");
	struct stand *s = *state;

	follow_wish(s, keys, true);
	assert_true(fake_observer.hurry);
	follow_wish(s, keys, false);
	assert_false(fake_observer.hurry);
	follow_wish(s, keys, false);
	assert_int_equal(fake_observer.plans, 2);
}

static void test_what_it_said_is_known_until_it_is_elsewhere(void **state)
{
	struct stand *s = *state;

	follow(s, SQL("pg1", "10.0.0.1:1111") SQL("pg2", "10.0.0.2:2222"));
	assert_false(find(s, "pg1")->has_answered);
	uint64_t pg1 = id_at(1111);
	say(pg1, PROBE_IN_RECOVERY);
	assert_int_equal(s->told, 1);
	assert_string_equal(s->name, "pg1");
	assert_int_equal(s->outcome, PROBE_IN_RECOVERY);
	const struct patroni_server *server = find(s, "pg1");
	assert_true(server->has_answered && server->is_in_recovery);
	assert_int_equal(server->position, 500);
	assert_int_equal(server->delay_ms, 40);
	/* Silence takes nothing back. */
	say(pg1, PROBE_TIMEOUT);
	assert_int_equal(s->told, 2);
	assert_true(server->is_in_recovery);
	assert_int_equal(server->position, 500);
	say(pg1, PROBE_WRITABLE);
	assert_false(server->is_in_recovery);
	assert_int_equal(server->position, 700);
	assert_int_equal(server->delay_ms, -1);
	say(pg1, PROBE_IN_RECOVERY);
	follow(s, SQL("pg1", "10.0.0.1:1112") SQL("pg2", "10.0.0.2:2222"));
	server = find(s, "pg1");
	assert_false(server->has_answered || server->is_in_recovery);
	assert_int_equal(server->position, 0);
	assert_int_equal(server->delay_ms, -1);
	assert_true(id_at(1112) != pg1);
	say(pg1, PROBE_WRITABLE); /* where it was */
	assert_false(server->has_answered);
}

static void test_digest_changes_with_what_a_server_is_and_not_with_its_position(void **state)
{
	struct stand *s = *state;

	follow(s, SQL("pg1", "10.0.0.1:1111"));
	uint64_t unheard = patroni_servers_digest(s->servers);
	say(id_at(1111), PROBE_IN_RECOVERY);
	uint64_t standby = patroni_servers_digest(s->servers);
	assert_true(standby != unheard);
	fake_observer_says(id_at(1111), &(struct probe_result){.outcome = PROBE_IN_RECOVERY,
							       .replayed_lsn = 9999});
	say(id_at(1111), PROBE_LOST);
	assert_true(patroni_servers_digest(s->servers) == standby);
	say(id_at(1111), PROBE_WRITABLE);
	assert_true(patroni_servers_digest(s->servers) != standby);
	say(id_at(1111), PROBE_IN_RECOVERY);
	follow(s, SQL("pg1", "10.0.0.2:1111"));
	assert_true(patroni_servers_digest(s->servers) != standby);
}

static void test_rest_interfaces_are_asked_where_the_records_have_them(void **state)
{
	struct stand *s = *state;

	start(s, PROBE_KIND_HTTP);
	assert_int_equal(fake_observer.method, PROBE_BY_PATRONI);
	follow(s, REST("pg1", "1", "http://pg1.internal:8001/patroni")
			  REST("pg2", "2", "https://pg2.internal:8002/patroni")
				  REST("pg3", "3", "https://10.0.0.3/patroni") REST("pg4", "4", "")
					  REST("pg5", "5", "ftp://10.0.0.5:8005/")
						  SQL("pg6", "10.0.0.6:6666"));
	assert_int_equal(fake_observer.count, 3);
	assert_string_equal(fake_observer_place(8001)->host, "pg1.internal");
	assert_false(fake_observer_place(8001)->is_https);
	assert_string_equal(fake_observer_place(8002)->host, "pg2.internal");
	assert_true(fake_observer_place(8002)->is_https);
	assert_true(fake_observer_place(443)->is_https);
	/* From https to http and back is another place, as is another port. */
	follow(s, REST("pg2", "2", "http://pg2.internal:8002/patroni"));
	assert_int_equal(fake_observer.count, 1);
	assert_false(fake_observer_place(8002)->is_https);
	follow(s, REST("pg2", "2", "https://pg2.internal:8002/patroni"));
	assert_true(fake_observer_place(8002)->is_https);
	follow(s, REST("pg2", "2", "https://pg2.internal:8003/patroni"));
	assert_non_null(fake_observer_place(8003));
	assert_int_equal(fake_observer.plans, 4);
}

static bool is_asked_by_name(void *arg)
{
	follow(arg, SQL("pg1", "localhost:1111") SQL("pg2", "10.0.0.2:2222"));
	return fake_observer_place(1111) != NULL;
}

static void test_name_is_asked_at_its_address(void **state)
{
	struct stand *s = *state;
	struct addr addr;

	rig_run_until(s->rig, is_asked_by_name, s);
	assert_string_equal(fake_observer_place(1111)->host, "localhost");
	assert_int_equal(addr_parse_ip("127.0.0.1", 1111, &addr), 0);
	assert_true(addr_equal(&fake_observer_place(1111)->addr, &addr));
	assert_int_equal(fake_observer.count, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_members_are_asked_from_when_they_come_until_they_go),
		TEST(test_all_are_asked_often_while_there_is_a_fast_wish),
		TEST(test_what_it_said_is_known_until_it_is_elsewhere),
		TEST(test_digest_changes_with_what_a_server_is_and_not_with_its_position),
		TEST(test_rest_interfaces_are_asked_where_the_records_have_them),
		TEST(test_name_is_asked_at_its_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
