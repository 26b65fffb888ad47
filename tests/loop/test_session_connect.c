/* Sessions on their way to a server. */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/err.h"
#include "rig.h"

static bool client_ended(void *arg)
{
	struct peer *client = arg;

	peer_receive(client, 1000);
	return client->end != PEER_OPEN;
}

static void route_to(struct rig *rig, const struct addr *addrs, size_t count)
{
	target_unref(&rig->target);
	rig->target = target_of(addrs, count);
	rig->term++;
	rig_publish(rig, rig->target);
	(void)!rig_adopt(rig);
}

static void test_refused_client_is_closed(void **state)
{
	struct rig *rig = *state;
	struct addr addr = refusing_addr();
	struct peer client = {0};

	route_to(rig, &addr, 1);
	client.fd = rig_client(rig);
	rig_run_until(rig, client_ended, &client);
	assert_int_equal(client.end, PEER_FIN);
	rig_run_until_ended(rig, 1);
	assert_int_equal(rig_closed(rig, CLOSE_CONNECT_REFUSED), 1);
	assert_int_equal(atomic_load(&rig->list.servers), 0);
	close_fd(&client.fd);
}

static void test_second_address_serves_when_the_first_refuses(void **state)
{
	struct rig *rig = *state;
	struct addr addrs[2] = {refusing_addr(), rig->server};

	route_to(rig, addrs, 2);
	int client = rig_client(rig);
	int server = rig_accept(rig);
	assert_int_equal(rig_closed(rig, CLOSE_CONNECT_REFUSED), 0);
	/* And the session belongs to that address: losing it cuts. */
	struct target *without = target_of(addrs, 1);
	rig_run_for(rig, 10);
	rig_publish(rig, without);
	assert_int_equal(rig_adopt(rig), 1);
	assert_int_equal(rig_closed(rig, CLOSE_ADDRESS_GONE), 1);
	target_unref(&without);
	close(client);
	close(server);
}

static void test_connect_that_hangs_ends_at_its_limit(void **state)
{
	struct rig *rig = *state;
	struct addr addr;
	int fds[8];
	int full = listen_on_loopback(0, &addr);
	size_t count = fill_queue(&addr, fds);
	struct peer client = {0};

	route_to(rig, &addr, 1);
	rig->settings.connect_timeout_ms = 100;
	int64_t began_ms = clock_boot_ms();
	client.fd = rig_client(rig);
	rig_run_until(rig, client_ended, &client);
	int64_t took_ms = clock_boot_ms() - began_ms;
	assert_true(took_ms >= 100 && took_ms < 1000);
	assert_int_equal(client.end, PEER_FIN);
	rig_run_until_ended(rig, 1);
	assert_int_equal(rig_closed(rig, CLOSE_CONNECT_TIMEOUT), 1);
	close_fd(&client.fd);
	close_fd(&full);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/* What the client sends meanwhile is forwarded, its end included. */
static void test_bytes_sent_before_the_connect_are_forwarded(void **state)
{
	struct rig *rig = *state;
	struct peer client = {.fd = rig_client(rig)};
	struct peer server = {0};

	peer_send(&client, 5000);
	shutdown(client.fd, SHUT_WR);
	server.fd = rig_accept(rig);
	rig_run_until(rig, client_ended, &server);
	assert_int_equal(server.received, 5000);
	assert_int_equal(server.end, PEER_FIN);
	close_fd(&server.fd);
	close_fd(&client.fd);
	rig_run_until_ended(rig, 1);
}

static void test_client_that_left_meanwhile_is_noticed(void **state)
{
	struct rig *rig = *state;
	struct peer server = {0};
	int client = rig_client(rig);

	abort_socket(&client);
	server.fd = rig_accept(rig);
	rig_run_until_ended(rig, 1);
	assert_int_equal(rig_closed(rig, CLOSE_CLIENT_RESET), 1);
	rig_run_until(rig, client_ended, &server);
	assert_int_equal(server.end, PEER_RESET);
	close_fd(&server.fd);
}

/* In the turn in which the time of the snapshot is over, a connect that
 * succeeds just then sends nothing. */
static void test_connect_that_succeeds_too_late_sends_nothing(void **state)
{
	struct rig *rig = *state;
	struct peer client = {.fd = rig_client(rig)};
	struct peer server = {0};

	peer_send(&client, 100);
	rig->valid_until_ms = clock_boot_ms();
	rig_publish(rig, rig->target); /* not adopted before the connect is done */
	server.fd = rig_accept(rig);
	rig_run_until(rig, client_ended, &server);
	assert_int_equal(server.received, 0);
	assert_int_equal(server.end, PEER_RESET);
	assert_int_equal(rig_closed(rig, CLOSE_DEADLINE), 1);
	close_fd(&client.fd);
	close_fd(&server.fd);
}

static void test_no_descriptor_for_the_server_ends_the_session_only(void **state)
{
	struct rig *rig = *state;
	struct rlimit before;
	struct peer client = {.fd = -1};
	struct addr front;
	struct addr peer = {0};
	int listener = listen_on_loopback(1, &front);

	client.fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client.fd, &front.sa, addr_size(&front)), 0);
	int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_int_equal(fcntl(client.fd, F_SETFL, O_NONBLOCK), 0);
	getrlimit(RLIMIT_NOFILE, &before);
	int lowest_free = dup(0);
	close(lowest_free);
	struct rlimit none = {(rlim_t)lowest_free, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	session_start(&rig->list, accepted, &peer);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	rig_run_until(rig, client_ended, &client);
	rig_run_until_ended(rig, 1);
	assert_int_equal(rig_closed(rig, CLOSE_EXHAUSTED), 1);
	assert_int_equal(atomic_load(&rig->list.servers), 0);
	close_fd(&client.fd);
	close_fd(&listener);
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_refused_client_is_closed),
		RIG_TEST(test_second_address_serves_when_the_first_refuses),
		RIG_TEST(test_connect_that_hangs_ends_at_its_limit),
		RIG_TEST(test_bytes_sent_before_the_connect_are_forwarded),
		RIG_TEST(test_client_that_left_meanwhile_is_noticed),
		RIG_TEST(test_connect_that_succeeds_too_late_sends_nothing),
		RIG_TEST(test_no_descriptor_for_the_server_ends_the_session_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
