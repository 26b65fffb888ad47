/* The direct port in random storms: control publishes sets as fast as it can while
 * sessions of all rules begin, talk and end on several workers.
 *
 * Each member has an address of its own, and there are ever new ones. Once the barrier
 * says that all workers have carried out the newest set, nobody may connect or send to
 * a member that it forbids: connect() and send() are this program's, and know. */
#include "storm.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/syscall.h>

#define SLOTS   4
#define MEMBERS 0x7f020000 /* 127.2.0.0 + number */
#define MANY    65536

static atomic_bool forbidden[MANY];
static atomic_uint late_calls;

/* A delay between the permission and the act, at times. */
static void check_peer(const struct addr *peer)
{
	if (peer->sa.sa_family != AF_INET || addr_port(peer) != storm_server_port)
		return;
	storm_dawdle();
	uint32_t number = ntohl(peer->in.sin_addr.s_addr) - MEMBERS;
	if (number < MANY && atomic_load(&forbidden[number]))
		atomic_fetch_add(&late_calls, 1);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	struct addr peer = {0};
	socklen_t peer_size = sizeof(peer);

	if (getpeername(fd, &peer.sa, &peer_size) == 0)
		check_peer(&peer);
	return storm_send(fd, data, size, flags);
}

int connect(int fd, const struct sockaddr *addr, socklen_t size)
{
	struct addr peer = {0};

	memcpy(&peer, addr, size < sizeof(peer) ? size : sizeof(peer));
	check_peer(&peer);
	return (int)syscall(SYS_connect, fd, addr, size);
}

static void talk(int fd, unsigned *seed)
{
	static const uint8_t cancel[16] = {0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e};
	int messages = rand_r(seed) % 400;
	uint8_t data[200] = {1};

	if (rand_r(seed) % 8 == 0)
		(void)!send(fd, cancel, sizeof(cancel), MSG_NOSIGNAL);
	for (int i = 0; i < messages && !atomic_load(&storm_over); i++) {
		if (send(fd, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
		    errno != EAGAIN)
			break;
		while (recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
			;
		if (rand_r(seed) % 8 == 0)
			sched_yield();
	}
}

struct slot {
	struct member *member; /* NULL: not in the set */
	uint32_t number;
	enum member_rule rule;
};

/* What is published. */
struct sky {
	struct storm storm;
	uint64_t term;
	uint32_t numbers; /* of members so far */
	int routed;       /* a slot; -1: nobody */
	int64_t valid_until_ms;
	struct slot slots[SLOTS];
};

static unsigned draw(struct sky *s, unsigned limit)
{
	return (unsigned)rand_r(&s->storm.seed) % limit;
}

static struct member *make_member(uint32_t number)
{
	struct addr addr = {.in = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(MEMBERS + number),
				   .sin_port = htons(storm_server_port)}};
	struct target *target = target_new("db", "member", "5432", &addr, 1);
	struct member *member = member_new(target);

	target_unref(&target);
	assert_non_null(member);
	return member;
}

static bool is_permitted(const struct sky *s, const struct slot *slot, int64_t now_ms)
{
	switch (slot->rule) {
	case MEMBER_STANDBY:
		return true;
	case MEMBER_TIMED:
		return now_ms < s->valid_until_ms;
	case MEMBER_FENCED:
		return s->routed >= 0 && now_ms < s->valid_until_ms;
	case MEMBER_HELD:
		break;
	}
	return false;
}

static void publish(struct sky *s, bool listens)
{
	struct member_entry entries[SLOTS];
	size_t count = 0;

	for (size_t i = 0; i < SLOTS; i++) {
		const struct slot *slot = &s->slots[i];
		if (slot->member == NULL)
			continue;
		/* Whoever may be permitted by this. */
		atomic_store(&forbidden[slot->number], false);
		entries[count++] =
			(struct member_entry){slot->member, slot->rule, 0, draw(s, 4) > 0};
	}
	struct member_set *set =
		member_set_new((enum member_balance)draw(s, MEMBER_FIRST + 1), entries, count);
	struct snapshot *snapshot =
		snapshot_new(++s->storm.drop_generation, 1, s->term, s->valid_until_ms,
			     s->routed < 0 ? NULL : s->slots[s->routed].member->target, NULL);
	assert_non_null(snapshot);
	snapshot_set_direct(snapshot, set, listens ? s->storm.listen : NULL);
	storm_publish(&s->storm, snapshot);
	member_set_unref(&set);
}

/* Another one in its place, nobody, or the same by another rule. */
static void change_slot(struct sky *s, struct slot *slot, struct member **ret_left)
{
	unsigned what = draw(s, 8);

	if (what < 2 || slot->member == NULL) {
		if (*ret_left == NULL)
			*ret_left = TAKE_PTR(slot->member); /* else it was made in this burst */
		member_unref(&slot->member);
		if (what > 0 && s->numbers < MANY - 1) {
			slot->number = s->numbers++;
			slot->member = make_member(slot->number);
		}
	}
	slot->rule = (enum member_rule)draw(s, MEMBER_HELD + 1);
}

static void change_route(struct sky *s)
{
	int routed = (int)draw(s, SLOTS + 2) - 2;

	s->routed = routed >= 0 && s->slots[routed].member != NULL ? routed : -1;
	s->term++;
	s->valid_until_ms = clock_boot_ms() + (draw(s, 6) == 0 ? -1 : 60000);
}

static void run_burst(struct sky *s)
{
	struct member *left[SLOTS] = {NULL};
	uint32_t numbers[SLOTS];
	bool was_there[SLOTS];

	for (size_t i = 0; i < SLOTS; i++) {
		numbers[i] = s->slots[i].number;
		was_there[i] = s->slots[i].member != NULL;
	}
	for (unsigned i = draw(s, 5); i < 6; i++) {
		size_t slot = draw(s, SLOTS);
		if (!was_there[slot] || s->slots[slot].number != numbers[slot])
			continue; /* one change to another member a burst */
		change_slot(s, &s->slots[slot], &left[slot]);
		change_route(s);
		publish(s, draw(s, 8) > 0);
	}
	for (size_t i = 0; i < SLOTS; i++) {
		if (s->slots[i].member == NULL)
			change_slot(s, &s->slots[i], &left[i]);
	}
	change_route(s);
	publish(s, true);
	storm_wait_for_barrier(&s->storm);
	for (size_t i = 0; i < SLOTS; i++) {
		const struct slot *slot = &s->slots[i];
		if (left[i] != NULL) {
			assert_false(member_is_in_use(left[i]));
			atomic_store(&forbidden[numbers[i]], true);
			member_unref(&left[i]);
		}
		if (slot->member != NULL && !is_permitted(s, slot, clock_boot_ms()))
			atomic_store(&forbidden[slot->number], true);
	}
	nanosleep(&(struct timespec){.tv_nsec = (long)draw(s, 3000000)}, NULL);
}

/* A snapshot in which there is nobody. */
static void close_all(struct sky *s)
{
	storm_publish(&s->storm,
		      snapshot_new(++s->storm.drop_generation, 1, ++s->term, 0, NULL, NULL));
	storm_wait_for_barrier(&s->storm);
}

static void stop(struct sky *s)
{
	storm_stop_clients(&s->storm);
	for (size_t i = 0; i < SLOTS; i++) {
		if (s->slots[i].member != NULL)
			atomic_store(&forbidden[s->slots[i].number], true);
	}
	storm_stop_workers(&s->storm);
	for (size_t i = 0; i < SLOTS; i++) {
		if (s->slots[i].member != NULL)
			assert_false(member_is_in_use(s->slots[i].member));
		member_unref(&s->slots[i].member);
	}
}

static void test_no_call_reaches_a_forbidden_member_after_the_barrier(void **state)
{
	struct sky s = {.routed = -1};
	unsigned bursts = 0;

	storm_init(&s.storm, talk, NULL);
	int64_t until_ms = storm_until_ms();
	for (; clock_boot_ms() < until_ms && s.numbers < MANY - SLOTS; bursts++)
		run_burst(&s);
	close_all(&s);
	stop(&s);
	print_message("%u bursts, %u snapshots, %u members, %u sessions\n", bursts,
		      (unsigned)s.storm.drop_generation, s.numbers, atomic_load(&storm_sessions));
	assert_int_equal(atomic_load(&late_calls), 0);
	assert_true(atomic_load(&storm_sessions) > bursts / 4);
	storm_deinit(&s.storm);
}

int main(void)
{
	return storm_main(&(struct CMUnitTest)cmocka_unit_test(
		test_no_call_reaches_a_forbidden_member_after_the_barrier));
}
