/* Sessions of the direct port: what each obeys, and where it goes if a member cannot be
 * connected to. */
#include "base/clock.h"
#include "members.h"

#define PERMITTED(...) ((const enum member_rule[]){__VA_ARGS__})

static void assert_talks(struct rig *rig, struct peer *client, struct peer *server)
{
	peer_send(client, client->sent + 100);
	receive_all(rig, server, client->sent);
	peer_send(server, server->sent + 100);
	receive_all(rig, client, server->sent);
}

/* Cut by the adoption that just returned: nothing of the client gets through. */
static void assert_cut(struct rig *rig, struct peer *client, struct peer *server,
		       enum close_reason reason)
{
	receive_end(rig, server, PEER_RESET);
	receive_end(rig, client, PEER_RESET);
	assert_int_equal(rig_closed(rig, reason), 1);
	close_fd(&client->fd);
	close_fd(&server->fd);
}

static void close_both(struct peer *client, struct peer *server)
{
	close_fd(&client->fd);
	close_fd(&server->fd);
}

static void test_standby_outlives_time_and_route(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer client;
	struct peer server;

	members_init(&m, rig, PERMITTED(MEMBER_STANDBY, MEMBER_FENCED), 2);
	direct_open(&m, 0, &client, &server); /* nobody is routed at all */
	assert_int_equal(atomic_load(&rig->list.fenced), 0);
	assert_int_equal(members_adopt(&m, 1), 0);
	rig->term++;
	assert_int_equal(members_adopt(&m, 1), 0);
	rig->valid_until_ms = clock_boot_ms();
	assert_int_equal(members_adopt(&m, 1), 0);
	session_list_refresh(&rig->list);
	assert_talks(rig, &client, &server);
	assert_int_equal(members_adopt(&m, -1), 0);
	assert_talks(rig, &client, &server);
	m.is_out[0] = true;
	assert_int_equal(members_adopt(&m, -1), 1);
	assert_cut(rig, &client, &server, CLOSE_MEMBER_CHANGED);
	members_deinit(&m);
}

static void test_standby_that_gets_no_new_sessions_keeps_its_own(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer client;
	struct peer server;
	struct addr peer;
	int accepted;

	members_init(&m, rig, PERMITTED(MEMBER_STANDBY), 1);
	direct_open(&m, 0, &client, &server);
	m.entries[0].takes_new = false;
	assert_int_equal(members_adopt(&m, -1), 0);
	assert_talks(rig, &client, &server);
	int other = connect_client(&accepted, &peer);
	assert_false(session_start_direct(&rig->list, accepted, &peer));
	close(accepted);
	close(other);
	close_both(&client, &server);
	members_deinit(&m);
}

/* What is to cut a session on the leader. */
enum blow {
	CLOSED_ROUTE,
	NEW_TERM,
	END_OF_TIME,
	OUT_OF_SET,
	BLOWS,
};

static unsigned strike(struct members *m, enum blow blow)
{
	switch (blow) {
	case CLOSED_ROUTE:
		return members_adopt(m, -1);
	case NEW_TERM:
		m->rig->term++;
		return members_adopt(m, 0);
	case END_OF_TIME:
		m->rig->valid_until_ms = clock_boot_ms();
		return members_adopt(m, 0);
	case OUT_OF_SET:
		m->is_out[0] = true;
		return members_adopt(m, 0);
	case BLOWS:
		break;
	}
	return 0;
}

static void test_fenced_obeys_route_term_time_and_set(void **state)
{
	/* It is the one routed: when only the set has lost it, the route is about to. */
	static const enum close_reason reasons[] = {CLOSE_LEADER_CHANGED, CLOSE_LEADER_CHANGED,
						    CLOSE_DEADLINE, CLOSE_LEADER_CHANGED};
	struct rig *rig = *state;
	int64_t valid_until_ms = rig->valid_until_ms;

	for (int blow = 0; blow < BLOWS; blow++) {
		struct members m;
		struct peer client;
		struct peer server;

		members_init(&m, rig, PERMITTED(MEMBER_FENCED), 1);
		assert_int_equal(members_adopt(&m, 0), 0);
		direct_open(&m, 0, &client, &server);
		assert_talks(rig, &client, &server);
		assert_int_equal(atomic_load(&rig->list.fenced), 1);
		rig->valid_until_ms += 1000;
		assert_int_equal(members_adopt(&m, 0), 0);
		unsigned before = rig_closed(rig, reasons[blow]);
		assert_int_equal(strike(&m, (enum blow)blow), 1);
		assert_int_equal(rig_closed(rig, reasons[blow]), before + 1);
		receive_end(rig, &server, PEER_RESET);
		receive_end(rig, &client, PEER_RESET);
		close_both(&client, &server);
		members_deinit(&m);
		rig->valid_until_ms = valid_until_ms;
	}
}

/* No news comes: the byte itself brings the look at the clock. */
static void test_time_that_is_over_stops_the_next_byte(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer clients[3];
	struct peer servers[3];

	members_init(&m, rig, PERMITTED(MEMBER_FENCED, MEMBER_TIMED, MEMBER_STANDBY), 3);
	rig->valid_until_ms = clock_boot_ms() + 150;
	for (size_t i = 0; i < 3; i++) {
		for (size_t j = 0; j < 3; j++)
			m.entries[j].takes_new = i == j;
		assert_int_equal(members_adopt(&m, 0), 0);
		direct_open(&m, i, &clients[i], &servers[i]);
	}
	assert_int_equal(atomic_load(&rig->list.fenced), 2);
	rig_run_for(rig, 160);
	assert_int_equal(rig_count(rig, SESSION_OPEN) + rig_count(rig, SESSION_SETTLED),
			 3); /* no timer here: the worker's */
	for (size_t i = 0; i < 3; i++)
		peer_send(&clients[i], 100);
	rig_run_until_ended(rig, 2);
	assert_int_equal(rig_closed(rig, CLOSE_DEADLINE), 2);
	for (size_t i = 0; i < 2; i++) {
		receive_end(rig, &servers[i], PEER_RESET);
		assert_int_equal(servers[i].received, 0);
	}
	receive_all(rig, &servers[2], 100);
	assert_counters(&m);
	for (size_t i = 0; i < 3; i++)
		close_both(&clients[i], &servers[i]);
	members_deinit(&m);
}

static void test_timed_obeys_nothing_but_the_time(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer client;
	struct peer server;

	members_init(&m, rig, PERMITTED(MEMBER_TIMED), 1);
	direct_open(&m, 0, &client, &server);
	rig->term++;
	assert_int_equal(members_adopt(&m, 0), 0);
	assert_int_equal(members_adopt(&m, -1), 0);
	assert_talks(rig, &client, &server);
	rig->valid_until_ms = clock_boot_ms();
	assert_int_equal(members_adopt(&m, -1), 1);
	assert_cut(rig, &client, &server, CLOSE_DEADLINE);
	members_deinit(&m);
}

/* Who may begin at all: a letter for each member of the set, in the order of the rules. */
static void test_nobody_for_a_new_session_leaves_it_to_the_caller(void **state)
{
	static const struct {
		enum member_rule rule;
		bool routed;
		bool in_time;
		bool begins;
	} cases[] = {
		{MEMBER_STANDBY, false, false, true}, {MEMBER_TIMED, true, false, false},
		{MEMBER_TIMED, false, true, true},    {MEMBER_FENCED, false, true, false},
		{MEMBER_FENCED, true, false, false},  {MEMBER_FENCED, true, true, true},
		{MEMBER_HELD, true, true, false},
	};
	struct rig *rig = *state;
	int64_t valid_until_ms = rig->valid_until_ms;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct members m;
		struct addr peer;
		int accepted;
		int client = connect_client(&accepted, &peer);

		members_init(&m, rig, &cases[i].rule, 1);
		rig->valid_until_ms = cases[i].in_time ? valid_until_ms : clock_boot_ms();
		assert_int_equal(members_adopt(&m, cases[i].routed ? 0 : -1), 0);
		uint64_t opened = atomic_load(&rig->list.stats.opened);
		bool begins = session_start_direct(&rig->list, accepted, &peer);
		if (begins != cases[i].begins)
			fail_msg("case %zu", i);
		if (!begins) {
			assert_int_equal(atomic_load(&rig->list.stats.opened), opened);
			assert_int_equal(send(accepted, "x", 1, 0), 1); /* still ours */
			close(accepted);
		}
		assert_counters(&m);
		close(client);
		members_deinit(&m);
		rig->valid_until_ms = valid_until_ms;
	}
	rig->members = NULL;
	rig_publish(rig, rig->target);
	(void)!rig_adopt(rig);
	struct addr peer = {0};
	assert_false(session_start_direct(&rig->list, -1, &peer)); /* no set at all */
}

/* The look at the first packet must not hide it. */
static void test_client_that_breaks_before_its_first_packet_is_noticed(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer client;
	struct peer server;

	members_init(&m, rig, PERMITTED(MEMBER_STANDBY), 1);
	direct_open(&m, 0, &client, &server);
	abort_socket(&client.fd);
	receive_end(rig, &server, PEER_RESET);
	rig_run_until_ended(rig, 1);
	assert_int_equal(rig_closed(rig, CLOSE_CLIENT_RESET), 1);
	close_fd(&server.fd);
	members_deinit(&m);
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_standby_outlives_time_and_route),
		RIG_TEST(test_standby_that_gets_no_new_sessions_keeps_its_own),
		RIG_TEST(test_fenced_obeys_route_term_time_and_set),
		RIG_TEST(test_time_that_is_over_stops_the_next_byte),
		RIG_TEST(test_timed_obeys_nothing_but_the_time),
		RIG_TEST(test_client_that_breaks_before_its_first_packet_is_noticed),
		RIG_TEST(test_nobody_for_a_new_session_leaves_it_to_the_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
