/* The floor under bench/failover: the least that ending N sessions can cost.
 *
 *	floor LISTEN_PORT SERVER_PORT THREADS
 *
 * Holds socket pairs as a proxy does (accepted from clients, connected to a
 * server, one greeting byte passed on) and on a line on stdin closes all server
 * sides, then all client sides. All abort (SO_LINGER {1,0} from birth), so that
 * there is nothing but close(). End of stdin ends it. Prints "ready", and "cut N"
 * after each cut. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_THREADS 64
#define MAX_PAIRS   65536

struct thread {
	pthread_t id;
	int listener;
	int order; /* eventfd: cut */
	int done;  /* eventfd: has cut */
	int server_port;
	int count;
	int servers[MAX_PAIRS];
	int clients[MAX_PAIRS];
};

static struct thread *threads[MAX_THREADS];

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static struct sockaddr_in local(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static void set(int fd, int level, int option)
{
	int on = 1;

	if (setsockopt(fd, level, option, &on, sizeof(on)) < 0)
		die("setsockopt");
}

static int open_listener(int port)
{
	struct sockaddr_in addr = local(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	set(fd, SOL_SOCKET, SO_REUSEADDR);
	set(fd, SOL_SOCKET, SO_REUSEPORT);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

static void accept_pair(struct thread *t)
{
	struct sockaddr_in addr = local(t->server_port);
	struct linger abort_on_close = {1, 0};
	char greeting;
	int client = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (client < 0 || server < 0 || t->count == MAX_PAIRS)
		die("accept");
	setsockopt(server, SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof(abort_on_close));
	setsockopt(client, SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof(abort_on_close));
	set(server, IPPROTO_TCP, TCP_NODELAY);
	if (connect(server, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("connect");
	if (recv(server, &greeting, 1, 0) != 1 || send(client, &greeting, 1, MSG_NOSIGNAL) != 1)
		die("greeting");
	t->servers[t->count] = server;
	t->clients[t->count++] = client;
}

static void cut(struct thread *t)
{
	for (int i = 0; i < t->count; i++)
		close(t->servers[i]);
	for (int i = 0; i < t->count; i++)
		close(t->clients[i]);
}

static void *run(void *arg)
{
	struct thread *t = arg;
	struct pollfd fds[] = {{.fd = t->order, .events = POLLIN},
			       {.fd = t->listener, .events = POLLIN}};
	eventfd_t value;

	for (;;) {
		if (poll(fds, 2, -1) < 0)
			die("poll");
		if (fds[0].revents) {
			eventfd_read(t->order, &value);
			cut(t);
			eventfd_write(t->done, 1);
		} else if (fds[1].revents) {
			accept_pair(t);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	char line[80];
	eventfd_t value;

	if (argc != 4 || atoi(argv[3]) < 1 || atoi(argv[3]) > MAX_THREADS) {
		fprintf(stderr, "usage: floor LISTEN_PORT SERVER_PORT THREADS\n");
		return 2;
	}
	int count = atoi(argv[3]);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (int i = 0; i < count; i++) {
		struct thread *t = threads[i] = calloc(1, sizeof(*t));
		if (t == NULL)
			die("calloc");
		t->listener = open_listener(atoi(argv[1]));
		t->server_port = atoi(argv[2]);
		t->order = eventfd(0, EFD_CLOEXEC);
		t->done = eventfd(0, EFD_CLOEXEC);
		if (pthread_create(&t->id, NULL, run, t) != 0)
			die("pthread_create");
	}
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		int pairs = 0;
		for (int i = 0; i < count; i++)
			eventfd_write(threads[i]->order, 1);
		for (int i = 0; i < count; i++) {
			eventfd_read(threads[i]->done, &value);
			pairs += threads[i]->count;
			threads[i]->count = 0;
		}
		printf("cut %d\n", pairs);
		fflush(stdout);
	}
	return 0;
}
