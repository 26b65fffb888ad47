/* The end of a session whose bytes are still on their way. */
#include <errno.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "rig.h"

struct talk {
	struct peer client;
	struct peer server;
	struct rig *rig;
};

static bool is_draining(void *arg)
{
	return rig_count(arg, SESSION_DRAINING) == 1;
}

/* Brings one session to the state in which both sides have ended, all bytes
 * were read by us, and the server's kernel has not confirmed them. */
static void drain_to_a_deaf_server(struct rig *rig, struct talk *t)
{
	int small = 4096;

	t->rig = rig;
	/* Inherited by what is accepted: the window stays small. */
	setsockopt(rig->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	rig_open(rig, &t->client.fd, &t->server.fd);
	peer_send(&t->client, 200000);
	shutdown(t->server.fd, SHUT_WR);
	shutdown(t->client.fd, SHUT_WR);
	rig_run_until(rig, is_draining, rig);
	assert_int_equal(t->client.sent, 200000);
	assert_int_equal(atomic_load(&rig->list.servers), 1);
}

static bool server_ended(void *arg)
{
	struct talk *t = arg;

	peer_receive(&t->server, 1 << 20);
	return t->server.end != PEER_OPEN;
}

static void test_server_socket_stays_open_until_all_is_confirmed(void **state)
{
	struct rig *rig = *state;
	struct talk t = {0};

	drain_to_a_deaf_server(rig, &t);
	rig_run_for(rig, 100);
	assert_int_equal(atomic_load(&rig->list.servers), 1);
	assert_int_equal(rig->ended, 0);
	rig_run_until(rig, server_ended, &t);
	assert_int_equal(t.server.end, PEER_FIN);
	assert_int_equal(t.server.received, 200000);
	rig_run_until_ended(rig, 1);
	close_fd(&t.server.fd);
	close_fd(&t.client.fd);
}

static void test_cut_while_draining_aborts(void **state)
{
	struct rig *rig = *state;
	struct talk t = {0};
	int held;

	drain_to_a_deaf_server(rig, &t);
	rig_publish(rig, NULL);
	assert_int_equal(rig_adopt(rig), 1);
	assert_int_equal(ioctl(t.server.fd, FIONREAD, &held), 0);
	while (t.server.end == PEER_OPEN)
		peer_receive(&t.server, 1 << 20);
	assert_int_equal(t.server.end, PEER_RESET);
	assert_int_equal(t.server.received, held);
	assert_true(t.server.received < 200000);
	assert_int_equal(rig->ended, 1);
	close_fd(&t.server.fd);
	close_fd(&t.client.fd);
}

/* Nothing more can be delivered then: the descriptors are given back at once. */
static void test_server_that_resets_while_draining_ends_the_session(void **state)
{
	struct rig *rig = *state;
	struct talk t = {0};

	drain_to_a_deaf_server(rig, &t);
	abort_socket(&t.server.fd);
	int64_t began_ms = clock_boot_ms();
	rig_run_until_ended(rig, 1);
	assert_true(clock_boot_ms() - began_ms < 1000);
	close_fd(&t.client.fd);
}

static void test_server_that_closes_while_draining_ends_the_session(void **state)
{
	struct rig *rig = *state;
	struct talk t = {0};

	drain_to_a_deaf_server(rig, &t);
	close_fd(&t.server.fd); /* with unread bytes: a reset as well */
	rig_run_until_ended(rig, 1);
	close_fd(&t.client.fd);
}

static bool has_left(void *arg)
{
	struct talk *t = arg;

	peer_receive(&t->client, 1 << 20);
	return t->client.end != PEER_OPEN;
}

/* Unread input would turn our close into a reset that overtakes the last bytes. */
static void test_client_that_talks_on_still_gets_the_last_bytes(void **state)
{
	struct rig *rig = *state;
	struct talk t = {.rig = rig};
	int small = 4096;

	rig_open(rig, &t.client.fd, &t.server.fd);
	setsockopt(t.client.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	peer_send(&t.server, 100000);
	size_t total = t.server.sent;
	rig_run_for(rig, 20);
	/* A reset of the server while the client goes on talking. */
	close_fd(&t.server.fd);
	for (int i = 0; i < 20; i++) {
		peer_send(&t.client, t.client.sent + 5000);
		rig_run_for(rig, 1);
	}
	rig_run_until(rig, has_left, &t);
	assert_int_equal(t.client.received, total);
	assert_int_equal(t.client.end, PEER_FIN);
	abort_socket(&t.client.fd);
	rig_run_until_ended(rig, 1);
}

static void test_bytes_of_a_client_that_is_gone_do_not_hold_the_server_for_long(void **state)
{
	struct rig *rig = *state;
	struct talk t = {.rig = rig};
	int small = 4096;

	setsockopt(rig->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	rig_open(rig, &t.client.fd, &t.server.fd);
	peer_send(&t.client, 200000);
	rig_run_for(rig, 20);
	abort_socket(&t.client.fd);
	int64_t began_ms = clock_boot_ms();
	rig_run_until(rig, is_draining, rig);
	assert_int_equal(rig->ended, 0);
	rig_run_until_ended(rig, 1);
	int64_t took_ms = clock_boot_ms() - began_ms;
	assert_true(took_ms >= 1500 && took_ms < 4000);
	close_fd(&t.server.fd);
}

/* What drains is no leak when the list ends without a cut. */
static void test_list_ends_with_a_client_that_still_drains(void **state)
{
	struct rig *rig = *state;
	struct talk t = {.rig = rig};
	struct addr addr = refusing_addr();

	target_unref(&rig->target);
	rig->target = target_of(&addr, 1);
	rig->term++;
	rig_publish(rig, rig->target);
	(void)!rig_adopt(rig);
	t.client.fd = rig_client(rig);
	set_small_buffers(t.client.fd);
	rig_run_until(rig, is_draining, rig);
	close_fd(&t.client.fd);
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_server_socket_stays_open_until_all_is_confirmed),
		RIG_TEST(test_cut_while_draining_aborts),
		RIG_TEST(test_server_that_resets_while_draining_ends_the_session),
		RIG_TEST(test_server_that_closes_while_draining_ends_the_session),
		RIG_TEST(test_client_that_talks_on_still_gets_the_last_bytes),
		RIG_TEST(test_bytes_of_a_client_that_is_gone_do_not_hold_the_server_for_long),
		RIG_TEST(test_list_ends_with_a_client_that_still_drains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
