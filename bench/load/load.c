/* The clients of bench/run: one thread, one loop, all connections of a kind.
 *
 *	bench_load rtt|bulk|mixed|setups|idle --port=P [options]
 *
 * Talks to bench_server, directly or through what is to be measured. Warms up,
 * measures for a while, and prints one line of JSON. --pid names programs whose
 * processor time in just that while is to be told too. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "conn.h"
#include "cpu.h"

#define MAX_PIDS  64
#define MAX_CONNS 60000

enum mode {
	MODE_RTT,
	MODE_BULK,
	MODE_MIXED,
	MODE_SETUPS,
	MODE_IDLE,
};

static const char *const mode_names[] = {"rtt", "bulk", "mixed", "setups", "idle"};

static struct options {
	enum mode mode;
	int connections;
	bool to_server;
	int64_t warm_up_ns;
	int64_t duration_ns;
	pid_t pids[MAX_PIDS];
	int pid_count;
} options = {.connections = 1, .warm_up_ns = 300000000, .duration_ns = 2000000000};

static struct load load = {.size = 100};
static struct conn conns[MAX_CONNS];
static int count;

static void open_conns(enum role role, int number)
{
	for (int i = 0; i < number; i++)
		conn_open(&load, &conns[count++], role);
}

static void open_all(void)
{
	enum role stream = options.to_server ? ROLE_PUSH : ROLE_PULL;

	switch (options.mode) {
	case MODE_RTT:
		open_conns(ROLE_PING, options.connections);
		break;
	case MODE_BULK:
		open_conns(stream, options.connections);
		break;
	case MODE_MIXED:
		open_conns(ROLE_PING, options.connections);
		open_conns(stream, 1);
		break;
	case MODE_SETUPS:
		open_conns(ROLE_OPEN, options.connections);
		break;
	case MODE_IDLE:
		open_conns(ROLE_HOLD, options.connections);
		break;
	}
}

/* The clock is read once a turn: turns are short. Returns when it ended. */
static int64_t run_until(int64_t end_ns)
{
	struct epoll_event events[256];

	for (;;) {
		int n = epoll_wait(load.epoll, events, 256, 10);
		for (int i = 0; i < n; i++)
			conn_run(&load, events[i].data.ptr);
		int64_t now_ns = net_now_ns();
		if (now_ns >= end_ns)
			return now_ns;
	}
}

static void print_latency(const char *name, double fraction)
{
	printf(", \"%s\": %.2f", name, histogram_quantile(&load.latency, fraction) / 1000);
}

static void measure(void)
{
	for (int i = 0; i < count; i++)
		conn_begin(&load, &conns[i]);
	int64_t began_ns = run_until(net_now_ns() + options.warm_up_ns);
	uint64_t turns = load.turns;
	uint64_t bytes = load.bytes;
	int64_t cpu_began_ns = cpu_ns(options.pids, options.pid_count);
	load.measuring = true;
	int64_t ended_ns = run_until(began_ns + options.duration_ns);
	int64_t spent_ns = cpu_ns(options.pids, options.pid_count) - cpu_began_ns;
	double seconds = (double)(ended_ns - began_ns) / 1e9;

	turns = load.turns - turns;
	bytes = load.bytes - bytes;
	printf("{\"seconds\": %.4f, \"turns\": %llu, \"bytes\": %llu, \"cpu_s\": %.6f", seconds,
	       (unsigned long long)turns, (unsigned long long)bytes, (double)spent_ns / 1e9);
	if (load.latency.total > 0) {
		print_latency("p50_us", 0.5);
		print_latency("p99_us", 0.99);
		print_latency("p999_us", 0.999);
	}
	printf("}\n");
}

/* Holds what is open until stdin ends. */
static void hold(void)
{
	char byte;

	printf("{\"opened\": %d}\n", count);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

static void usage(void)
{
	fprintf(stderr, "usage: bench_load rtt|bulk|mixed|setups|idle --port=P\n"
			"  --connections=N  small ones, streams, or set-ups at a time (1)\n"
			"  --size=BYTES     of a message, each way (100)\n"
			"  --to-server      the stream's direction; else to the client\n"
			"  --warm-up-ms=MS  (300)\n"
			"  --duration-ms=MS (2000)\n"
			"  --pid=PID        tell its processor time; may be repeated\n");
	exit(2);
}

static void parse_option(int option)
{
	switch (option) {
	case 'p':
		load.port = (int)net_number(optarg, 1, 65535);
		break;
	case 'c':
		options.connections = (int)net_number(optarg, 1, MAX_CONNS - 1);
		break;
	case 's':
		load.size = (uint32_t)net_number(optarg, 1, 1 << 24);
		break;
	case 't':
		options.to_server = true;
		break;
	case 'w':
		options.warm_up_ns = net_number(optarg, 0, 60000) * INT64_C(1000000);
		break;
	case 'd':
		options.duration_ns = net_number(optarg, 1, 600000) * INT64_C(1000000);
		break;
	case 'i':
		if (options.pid_count == MAX_PIDS)
			usage();
		options.pids[options.pid_count++] = (pid_t)net_number(optarg, 1, 1 << 30);
		break;
	default:
		usage();
	}
}

static void parse(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"port", required_argument, NULL, 'p'},
		{"connections", required_argument, NULL, 'c'},
		{"size", required_argument, NULL, 's'},
		{"to-server", no_argument, NULL, 't'},
		{"warm-up-ms", required_argument, NULL, 'w'},
		{"duration-ms", required_argument, NULL, 'd'},
		{"pid", required_argument, NULL, 'i'},
		{0},
	};
	int option;
	size_t mode = 0;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		parse_option(option);
	if (optind != argc - 1 || load.port == 0)
		usage();
	while (mode < sizeof(mode_names) / sizeof(*mode_names) &&
	       strcmp(argv[optind], mode_names[mode]) != 0)
		mode++;
	if (mode == sizeof(mode_names) / sizeof(*mode_names))
		usage();
	options.mode = (enum mode)mode;
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	net_raise_limit();
	load.data = calloc(1, load.size > NET_CHUNK ? load.size : NET_CHUNK);
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load.data == NULL || load.epoll < 0)
		die("load");
	open_all();
	if (options.mode == MODE_IDLE)
		hold();
	else
		measure();
	return 0;
}
