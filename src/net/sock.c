/* Socket options and connects. */
#include "net/sock.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "base/clock.h"

static void set_option(int fd, int level, int option, int value)
{
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

void sock_abort_on_close(int fd)
{
	struct linger abort = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
}

void sock_allow_graceful_close(int fd)
{
	struct linger graceful = {0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &graceful, sizeof(graceful));
}

int sock_connect_abortive(const struct addr *addr, int *ret_fd)
{
	struct linger abort = {.l_onoff = 1, .l_linger = 0};
	AUTO_CLOSE int fd =
		socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* Without this the promise to the sentinels cannot be kept: no socket then. */
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)) < 0)
		return -errno;
	sock_set_nodelay(fd);
	if (connect(fd, &addr->sa, addr_size(addr)) < 0 && errno != EINPROGRESS)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int sock_connect_result(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return -error;
}

/* A connection that was reset keeps its SIOCOUTQ for ever. */
static bool is_dead(int fd)
{
	struct tcp_info info = {0};
	socklen_t size = offsetof(struct tcp_info, tcpi_state) + sizeof(info.tcpi_state);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
	       info.tcpi_state == TCP_CLOSE;
}

int sock_unacknowledged(int fd)
{
	int bytes = 0;

	if (ioctl(fd, SIOCOUTQ, &bytes) < 0 || bytes <= 0 || is_dead(fd))
		return 0;
	return bytes;
}

static int64_t get_option(int fd, int level, int option)
{
	int value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, level, option, &value, &size) == 0 ? value : 0;
}

bool sock_peer_is_lost(int fd)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	int bytes = 0;

	/* The cheap question first: most sockets have nothing on its way. */
	if (ioctl(fd, SIOCOUTQ, &bytes) < 0 || bytes <= 0 ||
	    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
		return false;
	/* Sent again without an answer, or asked in vain for room: a peer that is
	 * there answers the first probe. */
	bool unanswered =
		(info.tcpi_unacked > 0 && info.tcpi_retransmits > 0) || info.tcpi_probes > 1;
	if (!unanswered || get_option(fd, SOL_SOCKET, SO_KEEPALIVE) == 0)
		return false;
	int64_t limit_s = get_option(fd, IPPROTO_TCP, TCP_KEEPIDLE) +
			  get_option(fd, IPPROTO_TCP, TCP_KEEPINTVL) *
				  get_option(fd, IPPROTO_TCP, TCP_KEEPCNT);
	return info.tcpi_last_ack_recv >= limit_s * MS_PER_S;
}

void sock_set_nodelay(int fd)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

void sock_set_keepalive(int fd, const struct keepalive_settings *settings)
{
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (settings->idle_s > 0)
		set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, settings->idle_s);
	if (settings->interval_s > 0)
		set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, settings->interval_s);
	if (settings->count > 0)
		set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, settings->count);
}

struct addr sock_local_addr(int fd)
{
	struct addr addr = {0};
	socklen_t size = sizeof(addr);

	if (getsockname(fd, &addr.sa, &size) < 0)
		addr = (struct addr){0};
	return addr;
}
