#include "floor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static int listen_port;
static int server_port;

int floor_listen(void)
{
	return net_listen(listen_port, true);
}

/* On loopback a connect does not wait for anything but the kernel's own work. */
int floor_connect(int client)
{
	int fd = net_connect(server_port);

	if (fd < 0)
		die("connect");
	net_prepare(fd);
	net_set(client, IPPROTO_TCP, TCP_NODELAY, 1);
	return fd;
}

int floor_main(int argc, char **argv, void *(*run)(void *arg))
{
	pthread_t id;

	if (argc < 3 || argc > 5) {
		fprintf(stderr, "usage: %s LISTEN_PORT SERVER_PORT [THREADS [BYTES]]\n", argv[0]);
		return 2;
	}
	listen_port = (int)net_number(argv[1], 1, 65535);
	server_port = (int)net_number(argv[2], 1, 65535);
	net_raise_limit();
	signal(SIGPIPE, SIG_IGN); /* splice() knows no MSG_NOSIGNAL */
	for (long i = argc > 3 ? net_number(argv[3], 1, 64) : 1; i > 1; i--) {
		if (pthread_create(&id, NULL, run, NULL) != 0)
			die("pthread_create");
	}
	run(NULL);
	return 0;
}
