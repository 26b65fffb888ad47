/* CancelRequests on the direct port.
 *
 * A cancel comes on a connection of its own and carries a process id and a key, but not
 * the member whose backend it means. So it goes to every member: the client's own
 * session carries it to the one that the balance picked, and a session without a client
 * to each other one. Those wait for nothing: their client's side is one end of a
 * socket pair that holds the packet and has been closed behind it. */
#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "session_private.h"
#include "wire/startup.h"

/* Each client can cause one connection to every member. More in a second go to one
 * member only, which is what any proxy that knows nothing of cancels does. */
#define CANCELS_PER_SECOND 100

/* An end of a stream that consists of the packet; -1 without descriptors. */
static int packet_as_client(const uint8_t *packet, size_t size)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	ssize_t n = send(pair[1], packet, size, MSG_NOSIGNAL);
	close(pair[1]);
	if (n == (ssize_t)size)
		return pair[0];
	close(pair[0]);
	return -1;
}

static bool within_limit(struct cancel_limit *limit)
{
	int64_t second = clock_boot_ms() / MS_PER_S;

	if (second != limit->second)
		*limit = (struct cancel_limit){.second = second};
	if (limit->count == CANCELS_PER_SECOND)
		log_warn("direct port: too many cancel requests, the rest of this second go to "
			 "one member only");
	return limit->count++ < CANCELS_PER_SECOND;
}

static void send_to_others(struct session *s, const uint8_t *packet, size_t size)
{
	struct session_list *list = s->list;
	const struct session_host *host = list->host;
	/* No news is taken in here; and if it were, this set would still exist. */
	struct member_set *set = member_set_ref(list->snapshot->members);

	for (size_t i = 0; set != NULL && i < set->count; i++) {
		if (set->entries[i].member == s->member || !host->takes_one_more(host->arg))
			continue;
		int fd = packet_as_client(packet, size);
		if (fd < 0)
			host->ended(host->arg);
		else
			session_start_cancel(list, &set->entries[i], fd, &s->client_addr);
	}
	member_set_unref(&set);
}

/* The loop tells only once so many bytes are there, or the client has ended. */
static void wait_for(struct session *s, size_t size)
{
	int value = (int)size;

	s->awaited = (uint32_t)size;
	(void)setsockopt(s->client.fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value));
}

static void stop_looking(struct session *s)
{
	s->is_first = false;
	if (s->awaited > 0)
		wait_for(s, 1);
}

bool session_look_at_start(struct session *s)
{
	uint8_t packet[STARTUP_MAX_CANCEL];
	size_t needed;
	ssize_t n = recv(s->client.fd, packet, sizeof(packet), MSG_PEEK);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0) {
		session_end(s, CLOSE_CLIENT_RESET); /* told once: the pump would see an end */
		return false;
	}
	switch (n == 0 ? STARTUP_OTHER : startup_classify(packet, (size_t)n, &needed)) {
	case STARTUP_SHORT:
		if (s->awaited == needed)
			break; /* no more comes: the client has ended in the middle */
		wait_for(s, needed);
		return false;
	case STARTUP_NEGOTIATION:
		return true; /* the client's next packet may be the one */
	case STARTUP_CANCEL:
		if (within_limit(&s->list->cancel_limit))
			send_to_others(s, packet, needed);
		break;
	case STARTUP_OTHER:
		break;
	}
	stop_looking(s);
	return true;
}
