/* Sessions of the direct port whose member cannot be connected to: the next one's turn. */
#include "base/clock.h"
#include "members.h"

static const enum member_rule standbys[MEMBERS_MOST] = {MEMBER_STANDBY};

static bool is_failed(const struct members *m, size_t index)
{
	return atomic_load(&m->entries[index].member->failed);
}

static void set_failed(struct members *m, size_t index, bool failed)
{
	atomic_store(&m->entries[index].member->failed, failed);
}

static void assert_served_by(struct members *m, size_t index)
{
	struct peer client = {.fd = direct_client(m)};

	peer_send(&client, 1000);
	struct peer server = {.fd = members_accept(m, index)};
	receive_all(m->rig, &server, 1000);
	assert_counters(m);
	close_fd(&server.fd);
	close_fd(&client.fd);
}

static void test_a_member_that_refuses_costs_nothing(void **state)
{
	struct rig *rig = *state;
	struct members m;

	members_init(&m, rig, standbys, 3);
	members_refuse(&m, 0);
	members_refuse(&m, 1);
	assert_served_by(&m, 2);
	assert_int_equal(rig->members_failed, 2); /* once for each */
	assert_true(is_failed(&m, 0) && is_failed(&m, 1) && !is_failed(&m, 2));
	assert_served_by(&m, 2); /* at once now */
	assert_int_equal(rig->members_failed, 2);
	assert_int_equal(rig_closed(rig, CLOSE_CONNECT_REFUSED), 0);
	members_deinit(&m);
}

static void test_all_that_refuse_are_tried_once_each(void **state)
{
	static const enum member_balance balances[] = {MEMBER_FIRST, MEMBER_LEAST, MEMBER_RANDOM};
	struct rig *rig = *state;

	for (size_t i = 0; i < ARRAY_LEN(balances); i++) {
		struct members m;

		members_init(&m, rig, standbys, 4);
		m.balance = balances[i];
		for (size_t j = 0; j < 4; j++)
			members_refuse(&m, j);
		assert_int_equal(members_adopt(&m, -1), 0);
		rig->members_failed = 0;
		for (unsigned round = 0; round < 2; round++) {
			struct peer client = {.fd = direct_client(&m)};
			receive_end(rig, &client, PEER_FIN);
			close_fd(&client.fd);
			assert_int_equal(rig->members_failed, 4);
		}
		rig_run_until_ended(rig, 2 * (unsigned)(i + 1));
		assert_int_equal(rig_closed(rig, CLOSE_CONNECT_REFUSED), 2 * (i + 1));
		assert_counters(&m);
		members_deinit(&m);
	}
}

/* All were marked, and one answers again before the roster has asked it. */
static void test_one_of_many_that_failed_is_found(void **state)
{
	static const enum member_balance balances[] = {MEMBER_FIRST, MEMBER_LEAST, MEMBER_RANDOM};
	struct rig *rig = *state;

	for (size_t i = 0; i < ARRAY_LEN(balances); i++) {
		struct members m;

		members_init(&m, rig, standbys, 5);
		m.balance = balances[i];
		assert_int_equal(members_adopt(&m, -1), 0);
		for (size_t j = 0; j < 5; j++) {
			set_failed(&m, j, true);
			if (j != 3)
				members_refuse(&m, j);
		}
		for (int round = 0; round < 20; round++)
			assert_served_by(&m, 3);
		members_deinit(&m);
	}
	assert_int_equal(rig_closed(rig, CLOSE_CONNECT_REFUSED), 0);
}

static void test_who_takes_no_new_sessions_gets_none_by_a_retry(void **state)
{
	struct rig *rig = *state;
	struct members m;

	members_init(&m, rig, standbys, 4);
	m.entries[0].takes_new = m.entries[2].takes_new = false;
	m.entries[3].rule = MEMBER_HELD;
	members_refuse(&m, 1);
	assert_int_equal(members_adopt(&m, -1), 0);
	struct peer client = {.fd = direct_client(&m)};
	receive_end(rig, &client, PEER_FIN);
	close_fd(&client.fd);
	rig_run_until_ended(rig, 1);
	assert_true(members_is_quiet(&m, 0) && members_is_quiet(&m, 2) && members_is_quiet(&m, 3));
	members_deinit(&m);
}

static void test_fallback_is_used_when_all_others_refuse(void **state)
{
	struct rig *rig = *state;
	struct members m;

	members_init(&m, rig, standbys, 3);
	m.entries[0].rank = 1;
	members_refuse(&m, 1);
	members_refuse(&m, 2);
	assert_int_equal(members_adopt(&m, -1), 0);
	assert_served_by(&m, 0);
	members_deinit(&m);
}

static void test_a_connect_that_hangs_goes_on_at_its_limit(void **state)
{
	struct rig *rig = *state;
	struct members m;
	int fds[8];

	rig->settings.connect_timeout_ms = 100;
	members_init(&m, rig, standbys, 3);
	listen(m.listeners[0], 0);
	size_t count = fill_queue(&m.entries[0].member->target->addrs[0], fds);
	members_refuse(&m, 1);
	int64_t began_ms = clock_boot_ms();
	assert_served_by(&m, 2);
	assert_in_range(clock_boot_ms() - began_ms, 100 / 3, 1000);
	assert_true(is_failed(&m, 0) && is_failed(&m, 1));
	assert_int_equal(rig_closed(rig, CLOSE_CONNECT_TIMEOUT), 0);
	/* With nobody else it ends there. */
	m.is_out[1] = m.is_out[2] = true;
	(void)!members_adopt(&m, -1);
	struct peer client = {.fd = direct_client(&m)};
	receive_end(rig, &client, PEER_FIN);
	close_fd(&client.fd);
	rig_run_until_ended(rig, 2);
	assert_int_equal(rig_closed(rig, CLOSE_CONNECT_TIMEOUT), 1);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	members_deinit(&m);
}

/* A retry obeys the rule of the member that it goes to. */
static void test_a_retry_on_the_leader_is_fenced(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct peer client = {0};
	struct peer server = {0};

	members_init(&m, rig, standbys, 2);
	m.entries[1].rule = MEMBER_FENCED;
	m.entries[1].rank = 2;
	members_refuse(&m, 0);
	assert_int_equal(members_adopt(&m, 1), 0);
	direct_open(&m, 1, &client, &server);
	assert_int_equal(atomic_load(&rig->list.fenced), 1);
	rig->term++;
	assert_int_equal(members_adopt(&m, 1), 1);
	receive_end(rig, &server, PEER_RESET);
	close_fd(&server.fd);
	close_fd(&client.fd);
	members_deinit(&m);
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_a_member_that_refuses_costs_nothing),
		RIG_TEST(test_all_that_refuse_are_tried_once_each),
		RIG_TEST(test_one_of_many_that_failed_is_found),
		RIG_TEST(test_who_takes_no_new_sessions_gets_none_by_a_retry),
		RIG_TEST(test_fallback_is_used_when_all_others_refuse),
		RIG_TEST(test_a_connect_that_hangs_goes_on_at_its_limit),
		RIG_TEST(test_a_retry_on_the_leader_is_fenced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
