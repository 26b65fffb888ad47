/* Preloaded into pgsplice by tests: delays or blocks its system calls, and
 * notes when it connected, sent, closed, and published its ProxyInfo.
 *
 * SHIM_RULES is a file that the test maps: one struct rule an operation, read
 * at every call. SHIM_NOTES is a file to which notes are appended. SHIM_KEEPALIVE
 * makes TCP keepalive shorter: so many seconds, and as many between two probes. A
 * server socket is one that this process has connected. Times are CLOCK_MONOTONIC. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum operation {
	OP_SEND,     /* to a server, splice included */
	OP_CLOSE,    /* of a server socket */
	OP_SHUTDOWN, /* of a server socket */
	OP_RENAME,
	OP_OPEN,
	OP_READ,
	OP_LOG,   /* a write to standard error */
	OP_EPOLL, /* before events are handed to an event loop */
	OP_CONNECT,
	OP_WRITE, /* any other write, the rings between threads: after it */
	OP_COUNT,
};

struct rule {
	_Atomic uint32_t permille; /* of the calls that are delayed */
	_Atomic uint32_t min_us;
	_Atomic uint32_t max_us;
	_Atomic uint32_t blocked; /* calls wait while this is set */
	_Atomic uint32_t held;    /* calls that wait now */
	uint32_t unused;
	char thread[16]; /* only of threads whose name begins like this */
};

struct note {
	uint64_t before_ns;
	uint64_t after_ns;
	uint32_t operation;
	int32_t fd;
	int64_t result;
	int64_t number; /* of the connection; of a rename: the generation */
	uint32_t port;  /* of the server */
	uint32_t spliced;
};

#define MAX_FD 65536

static struct rule *rules;
static int notes = -1;
static atomic_int connections;
/* Connection number and port of a server socket; 0: none. */
static _Atomic int64_t servers[MAX_FD];

__attribute__((constructor)) static void start(void)
{
	const char *rules_path = getenv("SHIM_RULES");
	const char *notes_path = getenv("SHIM_NOTES");

	if (rules_path != NULL) {
		int fd = (int)syscall(SYS_openat, AT_FDCWD, rules_path, O_RDWR | O_CLOEXEC);
		void *map = mmap(NULL, OP_COUNT * sizeof(*rules), PROT_READ | PROT_WRITE,
				 MAP_SHARED, fd, 0);
		rules = map == MAP_FAILED ? NULL : map;
		syscall(SYS_close, fd);
	}
	if (notes_path != NULL)
		notes = (int)syscall(SYS_openat, AT_FDCWD, notes_path,
				     O_WRONLY | O_APPEND | O_CLOEXEC);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void sleep_us(uint32_t us)
{
	struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000};

	syscall(SYS_nanosleep, &time, NULL);
}

static uint32_t random_below(uint32_t limit)
{
	static _Thread_local uint64_t state;

	if (state == 0)
		state = now_ns() ^ (uint64_t)syscall(SYS_gettid) << 32;
	state = state * 6364136223846793005u + 1442695040888963407u;
	return limit == 0 ? 0 : (uint32_t)(state >> 33) % limit;
}

static void delay(enum operation operation)
{
	struct rule *r = rules + operation;
	char name[16] = "";

	if (rules == NULL || (r->permille == 0 && r->blocked == 0))
		return;
	if (r->thread[0] != '\0') {
		prctl(PR_GET_NAME, name);
		if (strncmp(name, r->thread, strlen(r->thread)) != 0)
			return;
	}
	if (r->blocked) {
		r->held++;
		while (r->blocked)
			sleep_us(500);
		r->held--;
	}
	if (random_below(1000) < r->permille)
		sleep_us(r->min_us + random_below(r->max_us - r->min_us + 1));
}

static int64_t server_at(int fd)
{
	return fd >= 0 && fd < MAX_FD ? servers[fd] : 0;
}

static void note_call(enum operation operation, int fd, int64_t server, int64_t number,
		      uint64_t before_ns, int64_t result, bool spliced)
{
	struct note note = {.before_ns = before_ns,
			    .after_ns = now_ns(),
			    .operation = operation,
			    .fd = fd,
			    .result = result,
			    .number = server != 0 ? server >> 16 : number,
			    .port = (uint32_t)(server & 0xffff),
			    .spliced = spliced};

	if (notes >= 0)
		(void)syscall(SYS_write, notes, &note, sizeof(note));
}

static void take_note(enum operation operation, int fd, int64_t server, int64_t number,
		      uint64_t before_ns, int64_t result)
{
	note_call(operation, fd, server, number, before_ns, result, false);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int connect(int fd, const struct sockaddr *addr, socklen_t size)
{
	static __typeof__(&connect) real;
	int64_t server = 0;

	if (real == NULL)
		real = REAL(connect);
	if (addr->sa_family != AF_INET || fd < 0 || fd >= MAX_FD)
		return real(fd, addr, size);
	delay(OP_CONNECT);
	server = (int64_t)++connections << 16 |
		 ntohs(((const struct sockaddr_in *)(const void *)addr)->sin_port);
	servers[fd] = server;
	uint64_t before = now_ns();
	int r = real(fd, addr, size);
	take_note(OP_CONNECT, fd, server, 0, before, r);
	return r;
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	static __typeof__(&send) real;
	int64_t server = server_at(fd);

	if (real == NULL)
		real = REAL(send);
	if (server == 0)
		return real(fd, data, size, flags);
	delay(OP_SEND);
	uint64_t before = now_ns();
	ssize_t n = real(fd, data, size, flags);
	take_note(OP_SEND, fd, server, 0, before, n);
	return n;
}

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned flags)
{
	static __typeof__(&splice) real;
	int64_t server = server_at(out);

	if (real == NULL)
		real = REAL(splice);
	if (server == 0)
		return real(in, in_at, out, out_at, size, flags);
	delay(OP_SEND);
	uint64_t before = now_ns();
	ssize_t n = real(in, in_at, out, out_at, size, flags);
	note_call(OP_SEND, out, server, 0, before, n, true);
	return n;
}

int close(int fd)
{
	static __typeof__(&close) real;
	int64_t server = server_at(fd);

	if (real == NULL)
		real = REAL(close);
	if (server == 0)
		return real(fd);
	delay(OP_CLOSE);
	servers[fd] = 0;
	uint64_t before = now_ns();
	int r = real(fd);
	take_note(OP_CLOSE, fd, server, 0, before, r);
	return r;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
	static __typeof__(&setsockopt) real;
	const char *text = getenv("SHIM_KEEPALIVE");
	int seconds = text != NULL ? atoi(text) : 0;
	int probes = 2;

	if (real == NULL)
		real = REAL(setsockopt);
	if (seconds == 0 || level != IPPROTO_TCP ||
	    (option != TCP_KEEPIDLE && option != TCP_KEEPINTVL))
		return real(fd, level, option, value, size);
	real(fd, level, TCP_KEEPCNT, &probes, sizeof(probes));
	return real(fd, level, option, &seconds, sizeof(seconds));
}

int shutdown(int fd, int how)
{
	static __typeof__(&shutdown) real;

	if (real == NULL)
		real = REAL(shutdown);
	if (server_at(fd) != 0)
		delay(OP_SHUTDOWN);
	return real(fd, how);
}

/* Of the ProxyInfo about to be published; -1 for other files. */
static int64_t generation_in(const char *path)
{
	char text[512] = "";
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	(void)!syscall(SYS_read, fd, text, sizeof(text) - 1);
	syscall(SYS_close, fd);
	const char *found = strstr(text, "\"Generation\":");
	return found == NULL ? -1 : strtoll(found + strlen("\"Generation\":"), NULL, 10);
}

int rename(const char *from, const char *to)
{
	static __typeof__(&rename) real;

	if (real == NULL)
		real = REAL(rename);
	int64_t generation = strstr(to, "proxies/info") != NULL ? generation_in(from) : -1;
	delay(OP_RENAME);
	uint64_t before = now_ns();
	int r = real(from, to);
	if (generation >= 0)
		take_note(OP_RENAME, -1, 0, generation, before, r);
	/* Also after: the caller learns of it late. */
	delay(OP_RENAME);
	return r;
}

static int open_with(__typeof__(&open) real, const char *path, int flags, va_list list)
{
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;

	delay(OP_OPEN);
	return real(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	static __typeof__(&open) real;
	va_list list;

	if (real == NULL)
		real = REAL(open);
	va_start(list, flags);
	int fd = open_with(real, path, flags, list);
	va_end(list);
	return fd;
}

int open64(const char *path, int flags, ...)
{
	static __typeof__(&open64) real;
	va_list list;

	if (real == NULL)
		real = REAL(open64);
	va_start(list, flags);
	int fd = open_with(real, path, flags, list);
	va_end(list);
	return fd;
}

ssize_t read(int fd, void *data, size_t size)
{
	static __typeof__(&read) real;

	if (real == NULL)
		real = REAL(read);
	delay(OP_READ);
	return real(fd, data, size);
}

ssize_t write(int fd, const void *data, size_t size)
{
	static __typeof__(&write) real;

	if (real == NULL)
		real = REAL(write);
	if (fd == STDERR_FILENO)
		delay(OP_LOG);
	ssize_t n = real(fd, data, size);
	if (fd != STDERR_FILENO)
		delay(OP_WRITE);
	return n;
}

int epoll_wait(int fd, struct epoll_event *events, int size, int timeout)
{
	static __typeof__(&epoll_wait) real;

	if (real == NULL)
		real = REAL(epoll_wait);
	int n = real(fd, events, size, timeout);
	delay(OP_EPOLL);
	return n;
}
