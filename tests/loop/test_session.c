/* Bytes and ends of stream through open sessions. */
#include <malloc.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include "../src/session/session_private.h"
#include "rig.h"

#define TOTAL (3u << 20)

struct talk {
	struct peer client;
	struct peer server;
	size_t client_total; /* what each is to send, then it ends its side */
	size_t server_total;
	size_t client_step; /* what each reads in a look */
	size_t server_step;
	bool client_ended;
	bool server_ended;
};

static void end_side(struct peer *peer, size_t total, bool *ended)
{
	if (*ended || peer->sent < total)
		return;
	*ended = true;
	shutdown(peer->fd, SHUT_WR);
}

static bool talk_is_over(void *arg)
{
	struct talk *t = arg;

	peer_send(&t->client, t->client_total);
	end_side(&t->client, t->client_total, &t->client_ended);
	peer_send(&t->server, t->server_total);
	end_side(&t->server, t->server_total, &t->server_ended);
	peer_receive(&t->client, t->client_step);
	peer_receive(&t->server, t->server_step);
	return t->client.end != PEER_OPEN && t->server.end != PEER_OPEN;
}

static void run_talk(struct rig *rig, struct talk *t)
{
	rig_open(rig, &t->client.fd, &t->server.fd);
	rig_run_until(rig, talk_is_over, t);
	assert_int_equal(t->client.end, PEER_FIN);
	assert_int_equal(t->server.end, PEER_FIN);
	assert_int_equal(t->client.received, t->server_total);
	assert_int_equal(t->server.received, t->client_total);
	close_fd(&t->client.fd);
	close_fd(&t->server.fd);
	rig_run_until_ended(rig, 1);
}

static void test_slow_server_gets_every_byte(void **state)
{
	struct talk t = {.client_total = TOTAL, .client_step = 1 << 20, .server_step = 8000};

	run_talk(*state, &t);
}

static void test_slow_client_gets_every_byte(void **state)
{
	struct talk t = {.server_total = TOTAL, .client_step = 8000, .server_step = 1 << 20};

	run_talk(*state, &t);
}

static void test_both_ways_at_once_lose_nothing(void **state)
{
	struct talk t = {.client_total = TOTAL,
			 .server_total = TOTAL + 17,
			 .client_step = 50000,
			 .server_step = 9000};

	run_talk(*state, &t);
}

static bool server_got_fin(void *arg)
{
	struct talk *t = arg;

	peer_receive(&t->server, 1 << 20);
	return t->server.end == PEER_FIN;
}

static bool client_got_fin(void *arg)
{
	struct talk *t = arg;

	peer_receive(&t->client, 1 << 20);
	return t->client.end == PEER_FIN;
}

static bool client_got_total(void *arg)
{
	struct talk *t = arg;

	peer_receive(&t->client, 1 << 20);
	peer_send(&t->server, t->server_total);
	return t->client.received == t->server_total;
}

static bool server_got_total(void *arg)
{
	struct talk *t = arg;

	peer_receive(&t->server, 1 << 20);
	peer_send(&t->client, t->client_total);
	return t->server.received == t->client_total;
}

static void test_client_may_end_first_and_still_hears_the_server(void **state)
{
	struct rig *rig = *state;
	struct talk t = {.client_total = 1000, .server_total = TOTAL};

	rig_open(rig, &t.client.fd, &t.server.fd);
	peer_send(&t.client, t.client_total);
	shutdown(t.client.fd, SHUT_WR);
	rig_run_until(rig, server_got_fin, &t);
	assert_int_equal(t.server.received, 1000);
	assert_int_equal(rig_count(rig, SESSION_OPEN), 1);
	rig_run_until(rig, client_got_total, &t);
	assert_int_equal(t.client.end, PEER_OPEN);
	close_fd(&t.server.fd);
	rig_run_until(rig, client_got_fin, &t);
	rig_run_until_ended(rig, 1);
	assert_int_equal(rig_closed(rig, CLOSE_CLIENT_DONE), 1);
	close_fd(&t.client.fd);
}

static void test_server_may_end_first_and_still_hears_the_client(void **state)
{
	struct rig *rig = *state;
	struct talk t = {.client_total = TOTAL, .server_total = 1000};

	rig_open(rig, &t.client.fd, &t.server.fd);
	peer_send(&t.server, t.server_total);
	shutdown(t.server.fd, SHUT_WR);
	rig_run_until(rig, client_got_fin, &t);
	assert_int_equal(t.client.received, 1000);
	rig_run_until(rig, server_got_total, &t);
	assert_int_equal(t.server.end, PEER_OPEN);
	close_fd(&t.client.fd);
	rig_run_until(rig, server_got_fin, &t);
	rig_run_until_ended(rig, 1);
	assert_int_equal(rig_closed(rig, CLOSE_SERVER_DONE), 1);
	close_fd(&t.server.fd);
}

static void test_empty_session_ends_normally(void **state)
{
	struct talk t = {.client_step = 1, .server_step = 1};

	run_talk(*state, &t);
}

static bool client_is_stuck(void *arg)
{
	struct peer *client = arg;
	size_t before = client->sent;

	peer_send(client, 1u << 30);
	int left = 0;
	ioctl(client->fd, TIOCOUTQ, &left);
	return client->sent == before && left > 0;
}

/* Memory: one held buffer a direction, whatever a client sends. */
static void test_server_that_does_not_read_costs_one_buffer(void **state)
{
	struct rig *rig = *state;
	struct talk t = {0};

	rig_open(rig, &t.client.fd, &t.server.fd);
	size_t before = mallinfo2().uordblks;
	rig_run_until(rig, client_is_stuck, &t.client);
	rig_run_for(rig, 50);
	size_t used = mallinfo2().uordblks - before;
	assert_true(used <= rig->list.tools.scratch_size + 4096);
	/* And it goes on once the server reads. */
	t.client_total = t.client.sent;
	rig_run_until(rig, server_got_total, &t);
	abort_socket(&t.client.fd);
	rig_run_until_ended(rig, 1);
	close_fd(&t.server.fd);
}

/* Stages of a reset */

static bool server_ended(void *arg)
{
	struct talk *t = arg;

	peer_receive(&t->server, 1 << 20);
	return t->server.end != PEER_OPEN;
}

static bool client_ended(void *arg)
{
	struct talk *t = arg;

	peer_receive(&t->client, 1 << 20);
	return t->client.end != PEER_OPEN;
}

static void test_reset_client_resets_the_server(void **state)
{
	struct rig *rig = *state;
	struct talk t = {0};

	rig_open(rig, &t.client.fd, &t.server.fd);
	peer_send(&t.client, 500);
	abort_socket(&t.client.fd);
	rig_run_until(rig, server_ended, &t);
	assert_int_equal(t.server.end, PEER_RESET);
	rig_run_until_ended(rig, 1);
	assert_int_equal(rig_closed(rig, CLOSE_CLIENT_RESET), 1);
	close_fd(&t.server.fd);
}

static void test_client_reset_after_its_end_resets_the_server(void **state)
{
	struct rig *rig = *state;
	struct talk t = {0};

	rig_open(rig, &t.client.fd, &t.server.fd);
	shutdown(t.client.fd, SHUT_WR);
	rig_run_until(rig, server_got_fin, &t);
	abort_socket(&t.client.fd);
	/* The session learns of it when it has something for the client. */
	t.server.end = PEER_OPEN;
	while (rig->ended == 0) {
		peer_send(&t.server, t.server.sent + 100);
		rig_run_for(rig, 2);
	}
	assert_int_equal(rig_closed(rig, CLOSE_CLIENT_RESET), 1);
	close_fd(&t.server.fd);
}

static void test_bytes_before_a_server_reset_reach_the_client(void **state)
{
	struct rig *rig = *state;
	struct talk t = {0};

	rig_open(rig, &t.client.fd, &t.server.fd);
	peer_send(&t.server, 700);
	abort_socket(&t.server.fd);
	rig_run_until(rig, client_ended, &t);
	rig_run_until_ended(rig, 1);
	assert_int_equal(rig_closed(rig, CLOSE_SERVER_RESET), 1);
	close_fd(&t.client.fd);
}

/* The last words of a server that closes on us, as PostgreSQL does after FATAL:
 * the client's own bytes are refused, but it hears them. */
static void test_last_words_of_a_closing_server_reach_the_client(void **state)
{
	struct rig *rig = *state;
	struct talk t = {0};

	rig_open(rig, &t.client.fd, &t.server.fd);
	peer_send(&t.server, 50000);
	size_t total = t.server.sent;
	close_fd(&t.server.fd);
	peer_send(&t.client, 100);
	rig_run_until(rig, client_ended, &t);
	assert_int_equal(t.client.received, total);
	abort_socket(&t.client.fd);
	rig_run_until_ended(rig, 1);
}

static bool has_settled(void *arg)
{
	return rig_count(arg, SESSION_SETTLED) == 1;
}

static int keepalive_idle_s(const struct session *s)
{
	int on = 0;
	int idle_s = 0;
	socklen_t size = sizeof(int);

	assert_int_equal(getsockopt(s->server.fd, SOL_SOCKET, SO_KEEPALIVE, &on, &size), 0);
	assert_int_equal(getsockopt(s->server.fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, &size), 0);
	return on ? idle_s : 0;
}

/* And goes on as before. */
static void test_session_that_lives_on_gets_keepalive(void **state)
{
	struct rig *rig = *state;
	struct peer client = {0};
	struct peer server = {0};

	rig->settings.server_keepalive.idle_s = 77;
	rig_open(rig, &client.fd, &server.fd);
	struct session *s =
		CONTAINER_OF(list_first(&rig->list.by_state[SESSION_OPEN]), struct session, node);
	assert_int_equal(keepalive_idle_s(s), 0);
	rig_run_until(rig, has_settled, rig);
	assert_int_equal(keepalive_idle_s(s), 77);
	peer_send(&client, 1000);
	rig_run_for(rig, 50);
	peer_receive(&server, 2000);
	assert_int_equal(server.received, 1000);
	rig_publish(rig, NULL);
	assert_int_equal(rig_adopt(rig), 1);
	assert_int_equal(rig_closed(rig, CLOSE_LEADER_CHANGED), 1);
	close_fd(&client.fd);
	close_fd(&server.fd);
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_slow_server_gets_every_byte),
		RIG_TEST(test_slow_client_gets_every_byte),
		RIG_TEST(test_both_ways_at_once_lose_nothing),
		RIG_TEST(test_client_may_end_first_and_still_hears_the_server),
		RIG_TEST(test_server_may_end_first_and_still_hears_the_client),
		RIG_TEST(test_empty_session_ends_normally),
		RIG_TEST(test_server_that_does_not_read_costs_one_buffer),
		RIG_TEST(test_reset_client_resets_the_server),
		RIG_TEST(test_client_reset_after_its_end_resets_the_server),
		RIG_TEST(test_bytes_before_a_server_reset_reach_the_client),
		RIG_TEST(test_last_words_of_a_closing_server_reach_the_client),
		RIG_TEST(test_session_that_lives_on_gets_keepalive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
