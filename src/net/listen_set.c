/* Opens listening sockets for all workers at once.
 *
 * SO_REUSEPORT spreads connections over our workers, but would also let a second
 * instance of the same user share the port, and each would then get half of the
 * clients. So the first socket of an address is bound and put to listen without
 * it, which fails beside any other listener, and joins the group afterwards. */
#include "net/listen_set.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/refcount.h"
#include "net/sock.h"

/* The kernel cuts it down to net.core.somaxconn. */
#define BACKLOG 65535

struct listen_set {
	struct refcount refs;
	unsigned workers;
	size_t count;
	struct listen_address *addresses; /* count, for the paths to remove */
	int fds[];                        /* count times workers */
};

const char *listen_address_format(const struct listen_address *address,
				  char text[static LISTEN_TEXT_SIZE])
{
	char ip[ADDR_TEXT_SIZE];

	if (address->addr.sa.sa_family == AF_UNIX)
		snprintf(text, LISTEN_TEXT_SIZE, "%s", address->path);
	else
		snprintf(text, LISTEN_TEXT_SIZE, "%s", addr_format(&address->addr, ip));
	return text;
}

static int set_flag(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int bind_tcp(const struct addr *addr, bool join_group, int *ret_fd)
{
	AUTO_CLOSE int fd =
		socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int r = set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (r == 0 && addr->sa.sa_family == AF_INET6)
		r = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, !addr_is_any(addr));
	if (r == 0 && join_group)
		r = set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r < 0)
		return r;
	if (bind(fd, &addr->sa, addr_size(addr)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	if (!join_group)
		r = set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int listen_tcp(struct listen_set *set, size_t index)
{
	struct addr addr = set->addresses[index].addr;
	int *fds = &set->fds[index * set->workers];

	int r = bind_tcp(&addr, false, &fds[0]);
	if (r == -EAFNOSUPPORT && addr.sa.sa_family == AF_INET6 && addr_is_any(&addr)) {
		struct addr any = {.in = {.sin_family = AF_INET}};
		addr_set_port(&any, addr_port(&addr));
		addr = any;
		r = bind_tcp(&addr, false, &fds[0]);
	}
	for (unsigned i = 1; i < set->workers && r == 0; i++)
		r = bind_tcp(&addr, true, &fds[i]);
	return r;
}

/* True if nobody listens behind the socket file: left by a process that died.
 * A connect to any other file is refused as well. */
static bool is_stale_socket(const struct sockaddr_un *name)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stat status;

	if (lstat(name->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
		return false;
	return fd >= 0 && connect(fd, (const struct sockaddr *)name, sizeof(*name)) < 0 &&
	       errno == ECONNREFUSED;
}

static int listen_unix(struct listen_set *set, size_t index)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memcpy(name.sun_path, set->addresses[index].path, sizeof(name.sun_path));
	int r = bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ? -errno : 0;
	if (r == -EADDRINUSE && is_stale_socket(&name) && unlink(name.sun_path) == 0)
		r = bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ? -errno : 0;
	if (r < 0)
		return r;
	if (listen(fd, BACKLOG) < 0)
		return -errno;
	set->fds[index * set->workers] = TAKE_FD(fd);
	return 0;
}

static void listen_set_free(struct listen_set *set)
{
	for (size_t i = 0; i < set->count * set->workers; i++) {
		bool owns_path = i % set->workers == 0 && set->fds[i] >= 0 &&
				 set->addresses[i / set->workers].addr.sa.sa_family == AF_UNIX;
		if (owns_path)
			unlink(set->addresses[i / set->workers].path);
		close_fd(&set->fds[i]);
	}
	free(set->addresses);
	free(set);
}

int listen_set_open(const struct listen_address *addresses, size_t count, unsigned workers,
		    const struct keepalive_settings *keepalive, struct listen_set **ret_set,
		    size_t *ret_failed)
{
	struct listen_set *set = malloc(sizeof(*set) + count * workers * sizeof(int));
	int r = -ENOMEM;

	*ret_failed = 0;
	if (set == NULL)
		return r;
	refcount_init(&set->refs);
	set->workers = workers;
	set->count = count;
	for (size_t i = 0; i < count * workers; i++)
		set->fds[i] = -1;
	set->addresses = calloc(count, sizeof(*addresses));
	if (set->addresses == NULL)
		goto fail;
	memcpy(set->addresses, addresses, count * sizeof(*addresses));
	for (size_t i = 0; i < count; i++) {
		*ret_failed = i;
		r = addresses[i].addr.sa.sa_family == AF_UNIX ? listen_unix(set, i)
							      : listen_tcp(set, i);
		if (r < 0)
			goto fail;
	}
	for (size_t i = 0; i < count * workers; i++) {
		sock_set_nodelay(set->fds[i]);
		sock_set_keepalive(set->fds[i], keepalive);
	}
	*ret_set = set;
	return 0;
fail:
	listen_set_free(set);
	return r;
}

struct listen_set *listen_set_ref(struct listen_set *set)
{
	if (set != NULL)
		refcount_take(&set->refs);
	return set;
}

void listen_set_unref(struct listen_set **set)
{
	struct listen_set *dropped = TAKE_PTR(*set);

	if (dropped != NULL && refcount_drop(&dropped->refs))
		listen_set_free(dropped);
}

size_t listen_set_count(const struct listen_set *set)
{
	return set->count;
}

int listen_set_fd(const struct listen_set *set, size_t index, unsigned worker)
{
	bool shared = set->addresses[index].addr.sa.sa_family == AF_UNIX;

	return set->fds[index * set->workers + (shared ? 0 : worker)];
}

bool listen_address_is_reached_by(const struct listen_address *address, const struct addr *target)
{
	const struct addr *own = &address->addr;

	if (own->sa.sa_family == AF_UNIX || addr_port(own) != addr_port(target))
		return false;
	if (addr_equal(own, target))
		return true;
	if (addr_is_any(target)) /* the kernel turns it into a loopback address */
		return addr_is_any(own) || addr_is_local(own);
	/* 0.0.0.0 leaves the IPv6 addresses to others, :: takes all. */
	bool covers_family = own->sa.sa_family == AF_INET6 || target->sa.sa_family == AF_INET;
	return addr_is_any(own) && covers_family && addr_is_local(target);
}
