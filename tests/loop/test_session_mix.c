/* Sessions of both ports in random mixes: after each step the counters are what a
 * recount of the sessions says, and at the end they are 0. */
#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "members.h"

#define STEPS   2000
#define SERVERS 5
#define PEERS   64

struct mix {
	struct rig *rig;
	struct members members;
	unsigned seed;
	unsigned begun;
	size_t client_count;
	size_t server_count;
	int clients[PEERS];
	int servers[PEERS];
};

static unsigned draw(struct mix *x, unsigned limit)
{
	return (unsigned)rand_r(&x->seed) % limit;
}

static void end_one(struct mix *x, int *fds, size_t *count)
{
	if (*count == 0)
		return;
	size_t i = draw(x, (unsigned)*count);
	switch (draw(x, 4)) {
	case 0:
		shutdown(fds[i], SHUT_WR);
		return;
	case 1:
		sock_abort_on_close(fds[i]);
		break;
	default:
		break;
	}
	close(fds[i]);
	fds[i] = fds[--*count];
}

/* Something that is no packet, a cancel, or a part of one. */
static void say(struct mix *x, int fd)
{
	static const uint8_t cancel[16] = {0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e, 1, 2, 3, 4, 5};
	static const uint8_t bulk[20000] = {1};

	switch (draw(x, 4)) {
	case 0:
		(void)!send(fd, cancel, 1 + draw(x, sizeof(cancel)), MSG_NOSIGNAL);
		break;
	case 1:
		(void)!send(fd, cancel, sizeof(cancel), MSG_NOSIGNAL);
		break;
	case 2:
		(void)!send(fd, bulk, sizeof(bulk), MSG_NOSIGNAL);
		break;
	default:
		break;
	}
}

static void begin(struct mix *x)
{
	struct session_list *list = &x->rig->list;
	struct addr peer;
	int accepted;

	if (x->client_count == PEERS)
		end_one(x, x->clients, &x->client_count);
	if (x->client_count == PEERS)
		return;
	int client = connect_client(&accepted, &peer);
	x->clients[x->client_count++] = client;
	say(x, client);
	session_list_refresh(list);
	x->begun++;
	if (draw(x, 4) == 0 && snapshot_is_open(list->snapshot, clock_boot_ms())) {
		session_start(list, accepted, &peer);
	} else if (!session_start_direct(list, accepted, &peer)) {
		close(accepted);
		x->begun--;
	}
}

static void change_world(struct mix *x)
{
	struct members *m = &x->members;
	int routed = (int)draw(x, SERVERS + 2) - 2; /* the last one refuses */

	for (int changes = (int)draw(x, 3); changes >= 0; changes--) {
		size_t i = draw(x, SERVERS);
		m->entries[i].rule = (enum member_rule)draw(x, MEMBER_HELD + 1);
		m->entries[i].takes_new = draw(x, 4) > 0;
		m->entries[i].rank = draw(x, 2);
		m->is_out[i] = draw(x, 5) == 0;
	}
	m->balance = (enum member_balance)draw(x, MEMBER_FIRST + 1);
	x->rig->term += draw(x, 2);
	x->rig->valid_until_ms = clock_boot_ms() + (draw(x, 4) == 0 ? (int)draw(x, 3) : 60000);
	members_publish(m, routed < 0 ? -1 : routed);
	if (draw(x, 2) == 0)
		(void)!rig_adopt(x->rig);
	else
		session_list_refresh(&x->rig->list);
}

static void take_connections(struct mix *x)
{
	for (size_t i = 0; i < SERVERS - 1; i++) {
		while (!members_is_quiet(&x->members, i)) {
			int fd = members_accept(&x->members, i);
			if (x->server_count == PEERS)
				close(fd);
			else
				x->servers[x->server_count++] = fd;
		}
	}
}

static void read_and_talk(struct mix *x)
{
	uint8_t data[4096];

	for (size_t i = 0; i < x->server_count; i++) {
		while (recv(x->servers[i], data, sizeof(data), 0) > 0)
			;
		if (draw(x, 3) == 0)
			(void)!send(x->servers[i], data, sizeof(data), MSG_NOSIGNAL);
	}
	for (size_t i = 0; i < x->client_count; i++) {
		if (draw(x, 3) == 0)
			say(x, x->clients[i]);
		while (draw(x, 2) == 0 && recv(x->clients[i], data, sizeof(data), 0) > 0)
			;
	}
}

static void step(struct mix *x)
{
	switch (draw(x, 8)) {
	case 0:
	case 1:
		begin(x);
		break;
	case 2:
		change_world(x);
		break;
	case 3:
		take_connections(x);
		break;
	case 4:
		read_and_talk(x);
		break;
	case 5:
		end_one(x, x->clients, &x->client_count);
		break;
	case 6:
		end_one(x, x->servers, &x->server_count);
		break;
	default:
		rig_run_for(x->rig, draw(x, 2));
		break;
	}
	assert_counters(&x->members);
}

static void run_mix(struct rig *rig, unsigned seed)
{
	static const enum member_rule rules[MEMBERS_MOST] = {MEMBER_STANDBY};
	struct mix x = {.rig = rig, .seed = seed};
	unsigned held = 0;

	rig->ended = rig->asked_for = 0;

	members_init(&x.members, rig, rules, SERVERS);
	members_refuse(&x.members, SERVERS - 1);
	for (int i = 0; i < STEPS; i++) {
		step(&x);
		held += rig_count(rig, SESSION_HELD) > 0;
	}
	while (x.client_count > 0)
		close(x.clients[--x.client_count]);
	while (x.server_count > 0)
		close(x.servers[--x.server_count]);
	members_deinit(&x.members);
	/* And all the room that was taken is given back. */
	rig_run_until_ended(rig, x.begun + rig->asked_for);
	print_message("seed %u: %u sessions, %u for cancels, %u steps with held ones\n", seed,
		      x.begun, rig->asked_for, held);
	assert_true(x.begun > STEPS / 20 && rig->asked_for > 20 && held > STEPS / 20);
}

static void test_counters_are_what_there_is(void **state)
{
	struct rig *rig = *state;

	for (unsigned seed = 1; seed <= 4; seed++) {
		rig->list.tools.splice = seed % 2 == 0 ? SPLICE_ALWAYS : SPLICE_OFF;
		run_mix(rig, seed);
	}
}

int main(void)
{
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_counters_are_what_there_is),
	};

	struct log_settings quiet = {.level = LOG_LEVEL_ERROR, .format = LOG_FORMAT_LOGFMT};

	signal(SIGPIPE, SIG_IGN); /* as in the program: splice(2) has no flag against it */
	if (log_start(&quiet) < 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	log_stop(60000);
	return failed;
}
