/* Cuts: what is true the moment session_list_adopt() returns. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "../src/session/session_private.h"
#include "base/clock.h"
#include "rig.h"

#define SESSIONS 5

/* On loopback a reset has arrived when close() returns. */
static void assert_reset_now(int server)
{
	char byte[4096];
	ssize_t n;

	while ((n = recv(server, byte, sizeof(byte), 0)) > 0)
		;
	assert_int_equal(n, -1);
	assert_int_equal(errno, ECONNRESET);
}

static void test_adopting_aborts_every_server_before_it_returns(void **state)
{
	struct rig *rig = *state;
	int clients[SESSIONS];
	int servers[SESSIONS];
	struct list cut;

	for (int i = 0; i < SESSIONS; i++)
		rig_open(rig, &clients[i], &servers[i]);
	rig_publish(rig, NULL);
	assert_int_equal(session_list_adopt(&rig->list, rig->news, &cut), SESSIONS);
	assert_int_equal(atomic_load(&rig->list.servers), 0);
	for (int i = 0; i < SESSIONS; i++) {
		assert_reset_now(servers[i]);
		close(servers[i]);
	}
	/* The clients come second. */
	for (int i = 0; i < SESSIONS; i++) {
		char byte;
		assert_int_equal(recv(clients[i], &byte, 1, 0), -1);
		assert_int_equal(errno, EAGAIN);
	}
	session_list_finish_cut(&rig->list, &cut);
	for (int i = 0; i < SESSIONS; i++) {
		assert_reset_now(clients[i]);
		close(clients[i]);
	}
	assert_int_equal(rig_closed(rig, CLOSE_LEADER_CHANGED), SESSIONS);
	snapshot_unref(&rig->news);
}

static void test_adopting_aborts_connects_in_progress(void **state)
{
	struct rig *rig = *state;
	struct addr addr;
	int fds[8];
	int full = listen_on_loopback(0, &addr);
	size_t count = fill_queue(&addr, fds);
	struct list cut;

	target_unref(&rig->target);
	rig->target = target_of(&addr, 1);
	rig->term++;
	rig_publish(rig, rig->target);
	(void)!rig_adopt(rig);
	int client = rig_client(rig);
	rig_run_for(rig, 5);
	assert_int_equal(rig_count(rig, SESSION_CONNECTING), 1);
	struct session *s = CONTAINER_OF(list_first(&rig->list.by_state[SESSION_CONNECTING]),
					 struct session, node);
	int fd = *connector_fd(s->connector);
	assert_true(fd >= 0);
	rig_publish(rig, NULL);
	assert_int_equal(session_list_adopt(&rig->list, rig->news, &cut), 1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(atomic_load(&rig->list.servers), 0);
	session_list_finish_cut(&rig->list, &cut);
	assert_int_equal(rig->ended, 1);
	snapshot_unref(&rig->news);
	close(client);
	close(full);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/* A connect that failed at once reports in the next turn: cut before that. */
static void test_connect_that_waits_to_report_its_failure_can_be_cut(void **state)
{
	struct rig *rig = *state;
	struct addr addr = {.in = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(0xf0000001),
				   .sin_port = htons(1)}}; /* no route: fails in connect() */

	target_unref(&rig->target);
	rig->target = target_of(&addr, 1);
	rig->term++;
	rig_publish(rig, rig->target);
	(void)!rig_adopt(rig);
	int client = rig_client(rig);
	assert_int_equal(rig_count(rig, SESSION_CONNECTING), 1);
	rig_publish(rig, NULL);
	assert_int_equal(rig_adopt(rig), 1);
	assert_int_equal(rig->ended, 1);
	rig_run_for(rig, 10);
	assert_int_equal(rig->ended, 1);
	close(client);
}

static void test_what_stays_permitted_stays_open(void **state)
{
	struct rig *rig = *state;
	int client;
	int server;

	rig_open(rig, &client, &server);
	rig->valid_until_ms += 1000;
	rig_publish(rig, rig->target);
	assert_int_equal(rig_adopt(rig), 0);
	assert_int_equal(rig_count(rig, SESSION_OPEN), 1);
	/* The same server in a later term is another session's. */
	rig->term++;
	rig_publish(rig, rig->target);
	assert_int_equal(rig_adopt(rig), 1);
	assert_reset_now(server);
	close(client);
	close(server);
}

static bool is_stuck(void *arg)
{
	struct peer *client = arg;
	size_t before = client->sent;
	int left = 0;

	peer_send(client, 1u << 30);
	ioctl(client->fd, TIOCOUTQ, &left);
	return client->sent == before && left > 0;
}

static void test_server_that_stopped_reading_gets_nothing_after_a_cut(void **state)
{
	struct rig *rig = *state;
	struct peer client = {0};
	struct peer server = {0};
	struct list cut;
	int held;

	rig_open(rig, &client.fd, &server.fd);
	rig_run_until(rig, is_stuck, &client);
	rig_publish(rig, NULL);
	assert_int_equal(session_list_adopt(&rig->list, rig->news, &cut), 1);
	assert_int_equal(ioctl(server.fd, FIONREAD, &held), 0);
	assert_true(held > 0);
	session_list_finish_cut(&rig->list, &cut);
	while (server.end == PEER_OPEN)
		peer_receive(&server, 1 << 20);
	assert_int_equal(server.end, PEER_RESET);
	assert_int_equal(server.received, held);
	snapshot_unref(&rig->news);
	close_fd(&client.fd);
	close_fd(&server.fd);
}

/* News that arrives between the read of a client's bytes and their way on. */
static void test_news_is_adopted_before_any_byte_goes_to_the_server(void **state)
{
	struct rig *rig = *state;
	struct peer client = {0};
	struct peer server = {0};

	rig_open(rig, &client.fd, &server.fd);
	rig_publish(rig, NULL);
	peer_send(&client, 100);
	rig_run_until_ended(rig, 1);
	peer_receive(&server, 1000);
	assert_int_equal(server.received, 0);
	assert_int_equal(server.end, PEER_RESET);
	close_fd(&client.fd);
	close_fd(&server.fd);
}

/* One session's byte brings the news that ends all: also those whose events
 * wait in the same turn. */
static void test_sessions_with_events_in_the_same_turn_are_cut_once(void **state)
{
	struct rig *rig = *state;
	struct peer clients[SESSIONS] = {0};
	struct peer servers[SESSIONS] = {0};

	for (int i = 0; i < SESSIONS; i++)
		rig_open(rig, &clients[i].fd, &servers[i].fd);
	for (int i = 0; i < SESSIONS; i++) {
		peer_send(&clients[i], 100);
		peer_send(&servers[i], 100);
	}
	rig_publish(rig, NULL);
	rig_run_until_ended(rig, SESSIONS);
	for (int i = 0; i < SESSIONS; i++) {
		peer_receive(&servers[i], 1000);
		assert_int_equal(servers[i].received, 0);
		close_fd(&clients[i].fd);
		close_fd(&servers[i].fd);
	}
}

static void test_time_that_is_over_cuts_without_news(void **state)
{
	struct rig *rig = *state;
	struct peer client = {0};
	struct peer server = {0};

	rig_open(rig, &client.fd, &server.fd);
	rig->valid_until_ms = clock_boot_ms() + 50;
	rig_publish(rig, rig->target);
	assert_int_equal(rig_adopt(rig), 0);
	rig_run_for(rig, 60);
	assert_int_equal(rig_count(rig, SESSION_OPEN), 1); /* no timer here: the worker's */
	peer_send(&client, 100);
	rig_run_until_ended(rig, 1);
	assert_int_equal(rig_closed(rig, CLOSE_DEADLINE), 1);
	peer_receive(&server, 1000);
	assert_int_equal(server.received, 0);
	assert_int_equal(server.end, PEER_RESET);
	close_fd(&client.fd);
	close_fd(&server.fd);
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_adopting_aborts_every_server_before_it_returns),
		RIG_TEST(test_adopting_aborts_connects_in_progress),
		RIG_TEST(test_connect_that_waits_to_report_its_failure_can_be_cut),
		RIG_TEST(test_what_stays_permitted_stays_open),
		RIG_TEST(test_server_that_stopped_reading_gets_nothing_after_a_cut),
		RIG_TEST(test_news_is_adopted_before_any_byte_goes_to_the_server),
		RIG_TEST(test_sessions_with_events_in_the_same_turn_are_cut_once),
		RIG_TEST(test_time_that_is_over_cuts_without_news),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
