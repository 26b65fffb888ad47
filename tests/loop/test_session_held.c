/* Sessions of the direct port whose member is being promoted: they stay and wait. */
#include <fcntl.h>
#include <signal.h>

#include "../src/session/session_private.h"
#include "base/clock.h"
#include "members.h"

static const enum member_rule standbys[MEMBERS_MOST] = {MEMBER_STANDBY};

static struct session *first_of(struct rig *rig, enum session_state state)
{
	assert_true(rig_count(rig, state) > 0);
	return CONTAINER_OF(list_first(&rig->list.by_state[state]), struct session, node);
}

/* The next snapshot holds the member's sessions, resp. routes it. */
static unsigned hold(struct members *m)
{
	m->entries[0].rule = MEMBER_HELD;
	m->entries[0].takes_new = false;
	return members_adopt(m, -1);
}

static unsigned route(struct members *m)
{
	m->entries[0].rule = MEMBER_FENCED;
	m->rig->term++;
	return members_adopt(m, 0);
}

static void assert_held(struct members *m, size_t count)
{
	assert_int_equal(rig_count(m->rig, SESSION_HELD), count);
	assert_counters(m);
}

static void close_both(struct peer *client, struct peer *server)
{
	close_fd(&client->fd);
	close_fd(&server->fd);
}

/* Both peers send and do not read, until we have bytes in our own hands, too. */
struct flood {
	struct session *session;
	struct peer *client;
	struct peer *server;
	uint64_t before;
	int64_t still_since_ms;
};

static bool is_stuck(void *arg)
{
	struct flood *f = arg;
	const struct session *s = f->session;
	uint64_t now = s->to_server.bytes + s->to_client.bytes;

	peer_send(f->client, 1u << 30);
	peer_send(f->server, 1u << 30);
	if (now != f->before)
		f->still_since_ms = clock_boot_ms();
	f->before = now;
	return clock_boot_ms() - f->still_since_ms > 20 && pump_holds_bytes(&s->to_server) &&
	       pump_holds_bytes(&s->to_client);
}

static bool all_is_there(void *arg)
{
	struct flood *f = arg;

	peer_receive(f->client, 1 << 20);
	peer_receive(f->server, 1 << 20);
	return f->client->received == f->server->sent && f->server->received == f->client->sent;
}

static void assert_nothing_moves(struct rig *rig, const struct flood *f)
{
	uint64_t to_server = f->session->to_server.bytes;
	uint64_t to_client = f->session->to_client.bytes;

	/* The kernels deliver what they had before. */
	receive_all(rig, f->server, to_server);
	receive_all(rig, f->client, to_client);
	rig_run_for(rig, 50);
	peer_receive(f->server, 1 << 20);
	peer_receive(f->client, 1 << 20);
	assert_int_equal(f->server->received, to_server);
	assert_int_equal(f->client->received, to_client);
	assert_int_equal(f->session->to_server.bytes, to_server);
	assert_int_equal(f->session->to_client.bytes, to_client);
}

static void test_no_byte_moves_and_none_is_lost(void **state)
{
	static const enum splice_mode modes[] = {SPLICE_OFF, SPLICE_ALWAYS, SPLICE_AUTO};
	struct rig *rig = *state;

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct members m;
		struct peer client;
		struct peer server;

		rig->list.tools.splice = modes[i];
		members_init(&m, rig, standbys, 1);
		direct_open(&m, 0, &client, &server);
		struct flood f = {.session = first_of(rig, SESSION_OPEN),
				  .client = &client,
				  .server = &server};
		rig_run_until(rig, is_stuck, &f);
		assert_int_equal(hold(&m), 0);
		assert_held(&m, 1);
		assert_nothing_moves(rig, &f);
		assert_int_equal(route(&m), 0);
		assert_int_equal(rig_count(rig, SESSION_HELD), 0);
		rig_run_until(rig, all_is_there, &f);
		close_both(&client, &server);
		members_deinit(&m);
	}
}

/* The byte itself brings the news: it was read, and is kept. */
static void test_bytes_that_were_read_before_the_news_are_kept(void **state)
{
	static const enum splice_mode modes[] = {SPLICE_OFF, SPLICE_ALWAYS};
	struct rig *rig = *state;

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct members m;
		struct peer client;
		struct peer server;

		rig->list.tools.splice = modes[i];
		members_init(&m, rig, standbys, 1);
		direct_open(&m, 0, &client, &server);
		m.entries[0].rule = MEMBER_HELD;
		members_publish(&m, -1);
		peer_send(&client, 100);
		shutdown(client.fd, SHUT_WR);
		rig_run_for(rig, 20);
		assert_held(&m, 1);
		assert_true(pump_holds_bytes(&first_of(rig, SESSION_HELD)->to_server));
		peer_send(&client, 100);
		peer_send(&server, 100);
		rig_run_for(rig, 20);
		peer_receive(&server, 1000);
		peer_receive(&client, 1000);
		assert_int_equal(server.received + client.received, 0);
		assert_int_equal(route(&m), 0);
		receive_end(rig, &server, PEER_FIN);
		receive_all(rig, &client, 100);
		assert_int_equal(server.received, 100);
		close_both(&client, &server);
		members_deinit(&m);
	}
}

static void test_a_connect_that_succeeds_into_the_news_is_cut_or_kept(void **state)
{
	struct rig *rig = *state;
	struct members m;

	members_init(&m, rig, standbys, 1);
	struct peer client = {.fd = direct_client(&m)};
	peer_send(&client, 100);
	m.entries[0].rule = MEMBER_HELD;
	members_publish(&m, -1); /* adopted by the gate, once it is connected */
	struct peer server = {.fd = members_accept(&m, 0)};
	rig_run_for(rig, 10);
	assert_held(&m, 1);
	peer_receive(&server, 1000);
	assert_int_equal(server.received, 0);
	assert_int_equal(route(&m), 0);
	receive_all(rig, &server, 100);
	close_both(&client, &server);
	members_deinit(&m);
}

static void test_goes_on_in_the_new_term_and_ends_with_it(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer client;
	struct peer server;

	members_init(&m, rig, standbys, 2);
	direct_open(&m, 0, &client, &server);
	assert_int_equal(hold(&m), 0);
	assert_int_equal(atomic_load(&rig->list.fenced), 0);
	assert_int_equal(route(&m), 0);
	assert_int_equal(atomic_load(&rig->list.fenced), 1);
	peer_send(&client, 100);
	receive_all(rig, &server, 100);
	rig->valid_until_ms += 1000;
	assert_int_equal(members_adopt(&m, 0), 0);
	rig->term++;
	assert_int_equal(members_adopt(&m, 0), 1);
	receive_end(rig, &server, PEER_RESET);
	assert_int_equal(rig_closed(rig, CLOSE_LEADER_CHANGED), 1);
	close_both(&client, &server);
	members_deinit(&m);
}

/* Routed without ever having been held: its snapshot was skipped for a newer one. */
static void test_also_if_the_wait_was_skipped(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer client;
	struct peer server;

	members_init(&m, rig, standbys, 1);
	direct_open(&m, 0, &client, &server);
	assert_int_equal(route(&m), 0);
	assert_held(&m, 0);
	assert_int_equal(atomic_load(&rig->list.fenced), 1);
	peer_send(&client, 100);
	receive_all(rig, &server, 100);
	assert_int_equal(members_adopt(&m, -1), 1);
	close_both(&client, &server);
	members_deinit(&m);
}

static void test_waits_while_another_one_is_routed(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer client;
	struct peer server;

	members_init(&m, rig, standbys, 2);
	direct_open(&m, 0, &client, &server);
	assert_int_equal(hold(&m), 0);
	m.entries[0].rule = MEMBER_FENCED;
	rig->term++;
	assert_int_equal(members_adopt(&m, 1), 0);
	assert_held(&m, 1);
	rig->valid_until_ms = clock_boot_ms();
	assert_int_equal(members_adopt(&m, 0), 0); /* routed, but its time is over */
	session_list_refresh(&rig->list);
	assert_held(&m, 1);
	peer_send(&client, 100);
	rig_run_for(rig, 10);
	peer_receive(&server, 1000);
	assert_int_equal(server.received, 0);
	rig->valid_until_ms = clock_boot_ms() + 60000;
	assert_int_equal(route(&m), 0);
	receive_all(rig, &server, 100);
	close_both(&client, &server);
	members_deinit(&m);
}

static void test_goes_on_if_the_member_stays_a_standby(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer client;
	struct peer server;

	members_init(&m, rig, standbys, 1);
	direct_open(&m, 0, &client, &server);
	assert_int_equal(hold(&m), 0);
	peer_send(&client, 100);
	m.entries[0].rule = MEMBER_STANDBY;
	assert_int_equal(members_adopt(&m, -1), 0);
	assert_held(&m, 0);
	receive_all(rig, &server, 100);
	close_both(&client, &server);
	members_deinit(&m);
}

static void test_a_session_of_a_leader_is_never_held(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer client;
	struct peer server;

	members_init(&m, rig, (const enum member_rule[]){MEMBER_FENCED}, 1);
	assert_int_equal(members_adopt(&m, 0), 0);
	direct_open(&m, 0, &client, &server);
	m.entries[0].rule = MEMBER_HELD;
	assert_int_equal(members_adopt(&m, 0), 1); /* even with its term still open */
	receive_end(rig, &server, PEER_RESET);
	close_both(&client, &server);
	members_deinit(&m);
}

static void test_is_cut_after_half_a_minute(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer client;
	struct peer server;

	members_init(&m, rig, standbys, 1);
	direct_open(&m, 0, &client, &server);
	int64_t before_ms = clock_boot_ms();
	assert_int_equal(hold(&m), 0);
	struct session *s = first_of(rig, SESSION_HELD);
	assert_in_range(s->until_ms, before_ms + 30000, clock_boot_ms() + 30000);
	assert_int_equal(hold(&m), 0); /* news of the same does not begin it anew */
	assert_in_range(s->until_ms, before_ms + 30000, before_ms + 30050);
	s->until_ms = clock_boot_ms() + 100;
	rig_run_for(rig, 50);
	assert_held(&m, 1);
	receive_end(rig, &server, PEER_RESET);
	receive_end(rig, &client, PEER_RESET);
	assert_int_equal(rig_closed(rig, CLOSE_MEMBER_CHANGED), 1);
	close_both(&client, &server);
	members_deinit(&m);
}

/* What happened to the peers meanwhile is seen afterwards. */
static void test_ends_that_came_meanwhile_are_seen_afterwards(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer clients[4];
	struct peer servers[4];

	members_init(&m, rig, standbys, 1);
	for (size_t i = 0; i < 4; i++)
		direct_open(&m, 0, &clients[i], &servers[i]);
	assert_int_equal(hold(&m), 0);
	assert_held(&m, 4);
	shutdown(clients[0].fd, SHUT_WR);
	abort_socket(&clients[1].fd);
	shutdown(servers[2].fd, SHUT_WR);
	abort_socket(&servers[3].fd);
	rig_run_for(rig, 50);
	assert_held(&m, 4);
	assert_int_equal(route(&m), 0);
	receive_end(rig, &servers[0], PEER_FIN);
	receive_end(rig, &servers[1], PEER_RESET);
	receive_end(rig, &clients[2], PEER_FIN);
	receive_end(rig, &clients[3], PEER_FIN);
	for (size_t i = 0; i < 4; i++)
		close_both(&clients[i], &servers[i]);
	members_deinit(&m);
}

/* Connects in progress, and what is over but not delivered: nothing to keep. */
static void test_what_is_not_open_is_cut(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct list cut;
	int fds[8];

	members_init(&m, rig, standbys, 1);
	int client = direct_client(&m);
	set_small_buffers(m.listeners[0]); /* what it accepts takes little */
	struct peer server = {.fd = members_accept(&m, 0)};
	struct peer drained = {.fd = client};
	peer_send(&drained, 300000);
	assert_int_equal(drained.sent, 300000);
	shutdown(server.fd, SHUT_WR);
	shutdown(client, SHUT_WR);
	rig_run_for(rig, 50);
	assert_int_equal(rig_count(rig, SESSION_DRAINING), 1);
	int draining_fd = first_of(rig, SESSION_DRAINING)->server.fd;
	assert_true(draining_fd >= 0);
	listen(m.listeners[0], 0);
	size_t count = fill_queue(&m.entries[0].member->target->addrs[0], fds);
	int connecting = direct_client(&m);
	rig_run_for(rig, 5);
	int connecting_fd = *connector_fd(first_of(rig, SESSION_CONNECTING)->connector);

	m.entries[0].rule = MEMBER_HELD;
	members_publish(&m, -1);
	assert_int_equal(session_list_adopt(&rig->list, rig->news, &cut), 2);
	assert_int_equal(fcntl(draining_fd, F_GETFD), -1);
	assert_int_equal(fcntl(connecting_fd, F_GETFD), -1);
	assert_int_equal(atomic_load(&rig->list.servers), 0);
	assert_int_equal(members_sessions(&m, 0), 0);
	session_list_finish_cut(&rig->list, &cut);
	snapshot_unref(&rig->news);
	assert_int_equal(rig->ended, 2);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	close(connecting);
	close_both(&drained, &server);
	members_deinit(&m);
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_no_byte_moves_and_none_is_lost),
		RIG_TEST(test_bytes_that_were_read_before_the_news_are_kept),
		RIG_TEST(test_a_connect_that_succeeds_into_the_news_is_cut_or_kept),
		RIG_TEST(test_goes_on_in_the_new_term_and_ends_with_it),
		RIG_TEST(test_also_if_the_wait_was_skipped),
		RIG_TEST(test_waits_while_another_one_is_routed),
		RIG_TEST(test_goes_on_if_the_member_stays_a_standby),
		RIG_TEST(test_a_session_of_a_leader_is_never_held),
		RIG_TEST(test_is_cut_after_half_a_minute),
		RIG_TEST(test_ends_that_came_meanwhile_are_seen_afterwards),
		RIG_TEST(test_what_is_not_open_is_cut),
	};

	signal(SIGPIPE, SIG_IGN); /* as in the program: splice(2) has no flag against it */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
