/* CancelRequests on the direct port: to whom they go, whole and once. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/resource.h>

#include "../descriptors.h"
#include "base/clock.h"
#include "members.h"
#include "wire/startup.h"

#define SHORTEST 16

static const enum member_rule standbys[MEMBERS_MOST] = {MEMBER_STANDBY};

/* What a server heard, raw: packets are not the pattern of the other tests. */
struct heard {
	int fd;
	uint8_t data[1000];
	size_t size;
	bool ended;
};

static size_t make_cancel(uint8_t *packet, size_t size)
{
	uint32_t header[3] = {htonl((uint32_t)size), htonl(80877102), htonl(4711)};

	for (size_t i = 0; i < size; i++)
		packet[i] = pattern_at(i);
	memcpy(packet, header, sizeof(header));
	return size;
}

static bool hear(void *arg)
{
	struct heard *h = arg;
	ssize_t n;

	while ((n = recv(h->fd, h->data + h->size, sizeof(h->data) - h->size, 0)) > 0)
		h->size += (size_t)n;
	h->ended = n == 0;
	return h->ended;
}

static void assert_heard(const struct heard *h, const uint8_t *data, size_t size)
{
	assert_int_equal(h->size, size);
	assert_memory_equal(h->data, data, size);
}

/* The one that the cancel was sent to, on the client's own session. */
static void hear_first(struct members *m, int client, const uint8_t *data, size_t size)
{
	struct heard h = {.fd = members_accept(m, 0)};

	shutdown(client, SHUT_WR);
	rig_run_until(m->rig, hear, &h);
	assert_heard(&h, data, size);
	close(h.fd);
}

/* Each other one, on a session without a client. */
static void hear_copy(struct members *m, size_t index, const uint8_t *data, size_t size)
{
	struct heard h = {.fd = members_accept(m, index)};

	rig_run_until(m->rig, hear, &h);
	assert_heard(&h, data, size);
	close(h.fd);
	rig_run_for(m->rig, 5);
	assert_true(members_is_quiet(m, index));
}

static void test_a_cancel_goes_to_every_member_once(void **state)
{
	static const size_t sizes[] = {SHORTEST, 12 + 32, STARTUP_MAX_CANCEL};
	struct rig *rig = *state;
	struct members m;
	uint8_t packet[STARTUP_MAX_CANCEL];

	members_init(&m, rig, standbys, 3);
	size_t descriptors = count_descriptors();
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t size = make_cancel(packet, sizes[i]);
		int client = direct_client(&m);

		assert_int_equal(send(client, packet, size, 0), size);
		hear_copy(&m, 1, packet, size);
		hear_copy(&m, 2, packet, size);
		hear_first(&m, client, packet, size);
		close(client);
		rig_run_until_ended(rig, 3 * (unsigned)(i + 1));
		assert_int_equal(rig->asked_for, 2 * (i + 1));
	}
	assert_int_equal(rig_closed(rig, CLOSE_CLIENT_DONE), 9);
	assert_int_equal(count_descriptors(), descriptors);
	assert_counters(&m);
	members_deinit(&m);
}

static void test_a_cancel_in_pieces_waits_until_it_is_whole(void **state)
{
	static const size_t sizes[] = {SHORTEST, 12 + 32, STARTUP_MAX_CANCEL};
	struct rig *rig = *state;
	struct members m;
	uint8_t packet[STARTUP_MAX_CANCEL];

	members_init(&m, rig, standbys, 2);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t size = make_cancel(packet, sizes[i]);
		int client = direct_client(&m);
		int nodelay = 1;

		setsockopt(client, IPPROTO_TCP, 1 /* TCP_NODELAY */, &nodelay, sizeof(nodelay));
		for (size_t sent = 0; sent < size; sent++) {
			assert_true(members_is_quiet(&m, 1));
			assert_int_equal(send(client, packet + sent, 1, 0), 1);
			rig_run_for(rig, 1);
			assert_int_equal(rig_count(rig, SESSION_DRAINING), 0);
		}
		hear_copy(&m, 1, packet, size);
		hear_first(&m, client, packet, size);
		close(client);
		rig_run_until_ended(rig, 2 * (unsigned)(i + 1));
	}
	members_deinit(&m);
}

static void test_a_cancel_after_a_refused_negotiation(void **state)
{
	static const uint8_t ssl[] = {0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f};
	struct rig *rig = *state;
	struct members m;
	uint8_t both[8 + SHORTEST];

	members_init(&m, rig, standbys, 2);
	memcpy(both, ssl, sizeof(ssl));
	make_cancel(both + sizeof(ssl), SHORTEST);
	/* Whole, in two pieces, byte by byte. */
	for (size_t step = 1; step <= 8; step *= 2) {
		int client = direct_client(&m);
		struct heard h = {.fd = members_accept(&m, 0)};
		char answer = 0;

		for (size_t sent = 0; sent < sizeof(both); sent += step) {
			assert_int_equal(send(client, both + sent, step, 0), step);
			rig_run_for(rig, 2);
			if (sent + step == sizeof(ssl))
				assert_int_equal(send(h.fd, "N", 1, 0), 1);
			rig_run_for(rig, 2);
		}
		assert_int_equal(recv(client, &answer, 1, 0), 1);
		assert_int_equal(answer, 'N');
		hear_copy(&m, 1, both + sizeof(ssl), SHORTEST);
		shutdown(client, SHUT_WR);
		rig_run_until(rig, hear, &h);
		assert_heard(&h, both, sizeof(both));
		close(h.fd);
		close(client);
	}
	members_deinit(&m);
}

static void test_what_is_no_cancel_goes_to_one_member(void **state)
{
	static const struct {
		size_t size;
		const char *bytes;
	} cases[] = {
		{4, "\0\0\0\x10"},                                       /* ends in the middle */
		{10, "\0\0\0\x10\x04\xd2\x16\x2e\0\0"},                  /* of a cancel */
		{0, ""},                                                 /* at once */
		{7, "\0\0\0\x08\x04\xd2\x16"},                           /* of an SSLRequest */
		{8, "\0\0\0\x08\x04\xd2\x16\x2f"},                       /* after it */
		{17, "\0\0\0\x11\0\x03\0\0user\0me\0\0"},                /* a session */
		{11, "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"},        /* TLS */
		{16, "\0\0\0\x0f\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x01"},  /* wrong length */
		{16, "\0\0\x01\x0d\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x01"} /* too long */
	};
	struct rig *rig = *state;
	struct members m;

	members_init(&m, rig, standbys, 2);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int client = direct_client(&m);

		assert_int_equal(send(client, cases[i].bytes, cases[i].size, 0), cases[i].size);
		rig_run_for(rig, 5);
		hear_first(&m, client, (const uint8_t *)cases[i].bytes, cases[i].size);
		assert_true(members_is_quiet(&m, 1));
		close(client);
		rig_run_until_ended(rig, (unsigned)i + 1);
	}
	assert_int_equal(rig->asked_for, 0);
	members_deinit(&m);
}

/* A cancel that is whole, and what is behind it, which only its own member hears. */
static void send_cancel(struct members *m, uint8_t *packet)
{
	size_t size = make_cancel(packet, SHORTEST);
	int client = direct_client(m);

	assert_int_equal(send(client, packet, size, 0), size);
	hear_first(m, client, packet, size);
	rig_run_for(m->rig, 10);
	close(client);
}

static void test_to_whom_it_goes(void **state)
{
	static const struct {
		enum member_rule rule;
		bool takes_new;
		bool is_routed;
		bool gets_it;
	} cases[] = {
		{MEMBER_STANDBY, false, false, true}, {MEMBER_TIMED, true, false, true},
		{MEMBER_FENCED, true, true, true},    {MEMBER_FENCED, false, true, true},
		{MEMBER_FENCED, true, false, false},  {MEMBER_HELD, false, true, false},
		{MEMBER_HELD, false, false, false},
	};
	struct rig *rig = *state;
	uint8_t packet[SHORTEST];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct members m;

		members_init(&m, rig, standbys, 2);
		m.entries[1].rule = cases[i].rule;
		m.entries[1].takes_new = cases[i].takes_new;
		assert_int_equal(members_adopt(&m, cases[i].is_routed ? 1 : -1), 0);
		send_cancel(&m, packet);
		if (members_is_quiet(&m, 1) == cases[i].gets_it)
			fail_msg("case %zu", i);
		if (cases[i].gets_it)
			hear_copy(&m, 1, packet, SHORTEST);
		rig_run_until_ended(rig, 1 + rig->asked_for);
		/* Nor is a session begun that could not send it. */
		assert_int_equal(rig_closed(rig, CLOSE_LEADER_CHANGED), 0);
		assert_counters(&m);
		rig->ended = rig->asked_for = 0;
		members_deinit(&m);
	}
}

static void test_after_the_time_it_goes_to_known_standbys(void **state)
{
	struct rig *rig = *state;
	struct members m;
	uint8_t packet[SHORTEST];

	members_init(&m, rig, standbys, 4);
	m.entries[1].rule = MEMBER_FENCED;
	m.entries[2].rule = MEMBER_TIMED;
	rig->valid_until_ms = clock_boot_ms();
	assert_int_equal(members_adopt(&m, 1), 0);
	send_cancel(&m, packet);
	hear_copy(&m, 3, packet, SHORTEST);
	assert_true(members_is_quiet(&m, 1) && members_is_quiet(&m, 2));
	rig_run_until_ended(rig, 1 + rig->asked_for);
	members_deinit(&m);
}

/* A copy for a member that refuses is for nobody else: they have theirs. */
static void test_nobody_gets_the_copy_of_another(void **state)
{
	struct rig *rig = *state;
	struct members m;
	uint8_t packet[SHORTEST];

	members_init(&m, rig, standbys, 4);
	members_refuse(&m, 1);
	members_refuse(&m, 3);
	send_cancel(&m, packet);
	hear_copy(&m, 2, packet, SHORTEST);
	assert_true(members_is_quiet(&m, 0));
	rig_run_until_ended(rig, 4);
	assert_int_equal(rig_closed(rig, CLOSE_CONNECT_REFUSED), 2);
	members_deinit(&m);
}

static void test_so_many_a_second(void **state)
{
	struct rig *rig = *state;
	struct members m;
	uint8_t packet[SHORTEST];

	members_init(&m, rig, standbys, 2);
	for (unsigned used = 98; used <= 100; used++) {
		/* The beginning of a second, in which so many were sent already. */
		while (clock_boot_ms() % MS_PER_S > 500)
			rig_run_for(rig, 50);
		rig->list.cancel_limit =
			(struct cancel_limit){.second = clock_boot_ms() / MS_PER_S, .count = used};
		for (unsigned i = used; i < used + 2; i++) {
			send_cancel(&m, packet);
			if (i < 100)
				hear_copy(&m, 1, packet, SHORTEST);
			assert_true(members_is_quiet(&m, 1));
		}
		/* And the next second is another one. */
		rig->list.cancel_limit.second--;
		send_cancel(&m, packet);
		hear_copy(&m, 1, packet, SHORTEST);
	}
	members_deinit(&m);
}

static void test_without_room_it_goes_to_one_member(void **state)
{
	struct rig *rig = *state;
	struct members m;
	uint8_t packet[SHORTEST];

	members_init(&m, rig, standbys, 3);
	rig->is_full = true;
	send_cancel(&m, packet);
	rig_run_until_ended(rig, 1);
	assert_int_equal(rig->asked_for, 0);
	assert_true(members_is_quiet(&m, 1) && members_is_quiet(&m, 2));
	members_deinit(&m);
}

/* Not even for the pair of sockets, and just for that. */
static void test_without_descriptors_it_goes_to_one_member(void **state)
{
	struct rig *rig = *state;
	struct members m;
	struct rlimit before;
	uint8_t packet[SHORTEST];

	getrlimit(RLIMIT_NOFILE, &before);
	members_init(&m, rig, standbys, 3);
	size_t descriptors = count_descriptors();
	for (rlim_t spare = 0; spare < 2; spare++) {
		int client = direct_client(&m);
		size_t size = make_cancel(packet, SHORTEST);
		int server = members_accept(&m, 0);

		rig_run_for(rig, 5);
		assert_int_equal(send(client, packet, size, 0), size);
		int lowest_free = dup(0);
		close(lowest_free);
		struct rlimit few = {(rlim_t)lowest_free + spare, before.rlim_max};
		setrlimit(RLIMIT_NOFILE, &few);
		struct heard h = {.fd = server};
		shutdown(client, SHUT_WR);
		rig_run_until(rig, hear, &h);
		setrlimit(RLIMIT_NOFILE, &before);
		assert_heard(&h, packet, size);
		close(server);
		close(client);
		rig_run_until_ended(rig, 3 * (unsigned)(spare + 1)); /* the room is given back */
		assert_true(members_is_quiet(&m, 1) && members_is_quiet(&m, 2));
		assert_int_equal(count_descriptors(), descriptors);
	}
	members_deinit(&m);
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_a_cancel_goes_to_every_member_once),
		RIG_TEST(test_a_cancel_in_pieces_waits_until_it_is_whole),
		RIG_TEST(test_a_cancel_after_a_refused_negotiation),
		RIG_TEST(test_what_is_no_cancel_goes_to_one_member),
		RIG_TEST(test_to_whom_it_goes),
		RIG_TEST(test_after_the_time_it_goes_to_known_standbys),
		RIG_TEST(test_nobody_gets_the_copy_of_another),
		RIG_TEST(test_so_many_a_second),
		RIG_TEST(test_without_room_it_goes_to_one_member),
		RIG_TEST(test_without_descriptors_it_goes_to_one_member),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
