/* Servers of the direct port. */
#include "members.h"

#include <fcntl.h>
#include <poll.h>

#include "../src/session/session_private.h"
#include "base/clock.h"

void members_init(struct members *m, struct rig *rig, const enum member_rule *rules, size_t count)
{
	*m = (struct members){.rig = rig, .balance = MEMBER_FIRST, .count = count};
	for (size_t i = 0; i < count; i++) {
		struct addr addr;
		m->listeners[i] = listen_on_loopback(128, &addr);
		struct target *target = target_of(&addr, 1);
		struct member *member = member_new(target);
		assert_non_null(member);
		target_unref(&target);
		m->entries[i] = (struct member_entry){member, rules[i], 0, true};
	}
	assert_int_equal(members_adopt(m, -1), 0);
}

void members_deinit(struct members *m)
{
	m->rig->members = NULL;
	rig_publish(m->rig, NULL);
	(void)!rig_adopt(m->rig);
	member_set_unref(&m->set);
	assert_int_equal(atomic_load(&m->rig->list.servers), 0);
	assert_int_equal(atomic_load(&m->rig->list.fenced), 0);
	for (size_t i = 0; i < m->count; i++) {
		assert_int_equal(members_sessions(m, i), 0);
		close_fd(&m->listeners[i]);
		member_unref(&m->entries[i].member);
	}
}

void members_refuse(struct members *m, size_t index)
{
	close_fd(&m->listeners[index]);
}

void members_publish(struct members *m, int index)
{
	struct member_entry entries[MEMBERS_MOST];
	size_t count = 0;

	for (size_t i = 0; i < m->count; i++) {
		if (!m->is_out[i])
			entries[count++] = m->entries[i];
	}
	member_set_unref(&m->set);
	m->set = member_set_new(m->balance, entries, count);
	assert_non_null(m->set);
	m->rig->members = m->set;
	rig_publish(m->rig, index < 0 ? NULL : m->entries[index].member->target);
}

unsigned members_adopt(struct members *m, int index)
{
	members_publish(m, index);
	return rig_adopt(m->rig);
}

int direct_client(struct members *m)
{
	struct addr peer;
	int accepted;
	int client = connect_client(&accepted, &peer);

	assert_true(session_start_direct(&m->rig->list, accepted, &peer));
	return client;
}

bool members_is_quiet(const struct members *m, size_t index)
{
	struct pollfd p = {.fd = m->listeners[index], .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

struct wanted_connection {
	struct members *members;
	size_t index;
};

static bool has_connection(void *arg)
{
	struct wanted_connection *w = arg;

	return !members_is_quiet(w->members, w->index);
}

int members_accept(struct members *m, size_t index)
{
	rig_run_until(m->rig, has_connection, &(struct wanted_connection){m, index});
	int fd = accept4(m->listeners[index], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static bool none_connects(void *arg)
{
	return rig_count(arg, SESSION_CONNECTING) == 0;
}

void direct_open(struct members *m, size_t index, struct peer *ret_client, struct peer *ret_server)
{
	*ret_client = (struct peer){.fd = direct_client(m)};
	*ret_server = (struct peer){.fd = members_accept(m, index)};
	rig_run_until(m->rig, none_connects, m->rig);
}

int members_sessions(const struct members *m, size_t index)
{
	return atomic_load(&m->entries[index].member->sessions);
}

struct wanted_bytes {
	struct peer *peer;
	size_t size;
};

static bool has_received(void *arg)
{
	struct wanted_bytes *w = arg;

	peer_receive(w->peer, w->size - w->peer->received);
	return w->peer->received >= w->size;
}

void receive_all(struct rig *rig, struct peer *peer, size_t size)
{
	rig_run_until(rig, has_received, &(struct wanted_bytes){peer, size});
}

static bool has_ended(void *arg)
{
	struct peer *peer = arg;

	peer_receive(peer, 1 << 20);
	return peer->end != PEER_OPEN;
}

void receive_end(struct rig *rig, struct peer *peer, enum peer_end wanted)
{
	rig_run_until(rig, has_ended, peer);
	assert_int_equal(peer->end, wanted);
}

void assert_counters(struct members *m)
{
	struct session_list *list = &m->rig->list;
	int servers = 0;
	int fenced = 0;
	int on[MEMBERS_MOST] = {0};

	for (int state = 0; state < SESSION_CLOSED; state++) {
		list_for_each (node, &list->by_state[state]) {
			struct session *s = CONTAINER_OF(node, struct session, node);
			bool is_open = s->connector != NULL || s->server.fd >= 0;
			assert_int_equal(s->state, state);
			assert_int_equal(s->counted, is_open);
			servers += is_open;
			fenced += is_open && (s->rule == MEMBER_FENCED || s->rule == MEMBER_TIMED);
			assert_int_equal(s->state == SESSION_HELD,
					 is_open && s->rule == MEMBER_HELD);
			for (size_t i = 0; i < m->count; i++)
				on[i] += is_open && s->is_direct &&
					 s->member == m->entries[i].member;
		}
	}
	assert_int_equal(atomic_load(&list->servers), servers);
	assert_int_equal(atomic_load(&list->fenced), fenced);
	for (size_t i = 0; i < m->count; i++)
		assert_int_equal(members_sessions(m, i), on[i]);
}
