/* Snapshots in random storms over several workers with real sessions.
 *
 * Time is counted in phases. In each, one leader is opened, at an address of
 * its own, and withdrawn again; the phase ends once the barrier says that all
 * workers have carried that out. Clients send the number of the phase as they
 * see it just before the send: a server that hears a later number than its own
 * was sent a byte that its client wrote after the barrier. And send() is this
 * program's: it is slow at times, and knows whose phase is over. */
#include "storm.h"

#include <arpa/inet.h>

#define LEADERS 0x7f010000 /* 127.1.0.0 + phase */

static atomic_uint phase;
static atomic_uint late_bytes;
static atomic_uint late_sends;

/* A delay where a byte has its permission but is not sent yet. */
static void check_send(int fd)
{
	struct addr peer = {0};
	socklen_t size = sizeof(peer);

	if (getpeername(fd, &peer.sa, &size) < 0 || peer.sa.sa_family != AF_INET ||
	    addr_port(&peer) != storm_server_port)
		return;
	storm_dawdle();
	if (atomic_load(&phase) > ntohl(peer.in.sin_addr.s_addr) - LEADERS)
		atomic_fetch_add(&late_sends, 1);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	check_send(fd);
	return storm_send(fd, data, size, flags);
}

static void hear(struct storm_connection *c, const uint8_t *data, ssize_t size)
{
	for (ssize_t i = 0; i < size; i++) {
		c->tag |= (uint32_t)data[i] << (8 * c->tag_bytes);
		if (++c->tag_bytes < 4)
			continue;
		if (c->tag > c->ip - LEADERS)
			atomic_fetch_add(&late_bytes, 1);
		c->tag = 0;
		c->tag_bytes = 0;
	}
}

static void talk(int fd, unsigned *seed)
{
	int tags = rand_r(seed) % 400;
	uint8_t echo[4096];

	for (int i = 0; i < tags && !atomic_load(&storm_over); i++) {
		uint32_t tag = htole32(atomic_load(&phase));
		if (send(fd, &tag, sizeof(tag), MSG_NOSIGNAL) < 0)
			break;
		while (recv(fd, echo, sizeof(echo), MSG_DONTWAIT) > 0)
			;
		if (rand_r(seed) % 8 == 0)
			sched_yield();
	}
}

static void publish(struct storm *s, uint64_t term, int64_t valid_until_ms, struct target *target,
		    bool listens)
{
	struct snapshot *snapshot =
		snapshot_new(++s->drop_generation, (int64_t)term, term, valid_until_ms, target,
			     listens ? s->listen : NULL);

	assert_non_null(snapshot);
	storm_publish(s, snapshot);
}

static void let_sessions_run(struct storm *s)
{
	struct timespec some = {.tv_nsec = rand_r(&s->seed) % 2000000};

	nanosleep(&some, NULL);
}

static void run_phase(struct storm *s, unsigned number)
{
	struct addr leader = {.in = {.sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(LEADERS + number),
				     .sin_port = htons(storm_server_port)}};
	struct target *target = target_new("db", "leader", "5432", &leader, 1);
	int renewals = rand_r(&s->seed) % 6;

	publish(s, number + 1, clock_boot_ms() + 60000, target, true);
	for (int i = 0; i < renewals; i++) {
		bool short_lived = rand_r(&s->seed) % 6 == 0;
		publish(s, number + 1, clock_boot_ms() + (short_lived ? 2 : 60000), target,
			rand_r(&s->seed) % 3 > 0);
		let_sessions_run(s);
	}
	publish(s, number + 1, clock_boot_ms() + 60000, NULL, rand_r(&s->seed) % 4 > 0);
	storm_wait_for_barrier(s);
	target_unref(&target);
}

static void test_no_byte_reaches_a_leader_after_the_barrier(void **state)
{
	struct storm s;
	unsigned number = 0;

	storm_init(&s, talk, hear);
	int64_t until_ms = storm_until_ms();
	while (clock_boot_ms() < until_ms && number < 65000) {
		run_phase(&s, number++);
		atomic_store(&phase, number);
	}
	publish(&s, number + 1, 0, NULL, false);
	storm_wait_for_barrier(&s);
	storm_stop_clients(&s);
	storm_stop_workers(&s);
	print_message("%u phases, %u sessions\n", number, atomic_load(&storm_sessions));
	assert_int_equal(atomic_load(&late_bytes), 0);
	assert_int_equal(atomic_load(&late_sends), 0);
	assert_true(atomic_load(&storm_sessions) > number / 4);
	storm_deinit(&s);
}

int main(void)
{
	return storm_main(&(struct CMUnitTest)cmocka_unit_test(
		test_no_byte_reaches_a_leader_after_the_barrier));
}
