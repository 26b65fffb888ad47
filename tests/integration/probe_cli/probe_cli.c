/* Asks servers by hand, for test_probe.py: each result is a line of JSON.
 *
 *   probe_cli sql|fly|patroni IP PORT CONNINFO TIMEOUT_MS INTERVAL_MS SECONDS [COUNT]
 *
 * It follows the schedule of probe/probe.h for so long, or with 0 until the first
 * result. A byte on stdin hurries it. COUNT is how many times the server is added;
 * with more than one only a summary is printed, of what it cost. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/parse.h"
#include "probe/probe.h"

struct cli {
	struct loop loop;
	struct probe *probe;
	struct pg_conninfo *conninfo;
	unsigned count;
	bool once;
	unsigned results;
	unsigned answers;
};

static void put(json_t *line, const char *key, uint64_t value)
{
	json_object_set_new(line, key, json_integer((json_int_t)value));
}

static void print_news(const struct probe_news *news)
{
	const struct probe_result *r = news->result;
	json_t *line = json_object();

	json_object_set_new(line, "outcome", json_string(probe_outcome_name(r->outcome)));
	json_object_set_new(line, "text", json_string(r->text));
	json_object_set_new(line, "sqlstate", json_string(r->sqlstate));
	json_object_set_new(line, "timeline_is_exact", json_boolean(r->timeline_is_exact));
	json_object_set_new(line, "has_receiver", json_boolean(r->has_receiver));
	json_object_set_new(line, "is_down", json_boolean(news->is_down));
	put(line, "failures", news->failures);
	put(line, "timeline", r->timeline);
	put(line, "system_id", r->system_id);
	put(line, "server_version", (uint64_t)r->server_version);
	put(line, "current_lsn", r->current_lsn);
	put(line, "received_lsn", r->received_lsn);
	put(line, "replayed_lsn", r->replayed_lsn);
	put(line, "replay_delay_ms", (uint64_t)r->replay_delay_ms);
	put(line, "sent_ms", (uint64_t)r->sent_ms);
	put(line, "answered_ms", (uint64_t)r->answered_ms);
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(line);
}

static void on_news(const struct probe_news *news, void *arg)
{
	struct cli *c = arg;

	c->results++;
	c->answers += probe_outcome_verdict(news->result->outcome) == PROBE_ANSWERED;
	if (c->count == 1)
		print_news(news);
	if (c->once)
		loop_stop(&c->loop);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	loop_stop(&((struct cli *)arg)->loop);
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
	char byte;

	if (read(STDIN_FILENO, &byte, 1) == 1)
		probe_hurry(((struct cli *)arg)->probe, true);
}

static long anonymous_kb(void)
{
	char line[200];
	long kb = -1;
	FILE *status = fopen("/proc/self/status", "re");

	while (status != NULL && fgets(line, sizeof(line), status) != NULL)
		(void)!sscanf(line, "RssAnon: %ld", &kb);
	if (status != NULL)
		fclose(status);
	return kb;
}

static int64_t cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000000) +
	       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static int number(const char *text)
{
	int64_t value;

	if (parse_int(text, 0, 1000000, &value) < 0) {
		fprintf(stderr, "probe_cli: %s is no number\n", text);
		exit(2);
	}
	return (int)value;
}

static struct probe_settings settings_of(struct cli *c, char **argv)
{
	char problem[PG_CONNINFO_TEXT_SIZE];
	struct probe_settings settings = {
		.method = strcmp(argv[1], "fly") == 0       ? PROBE_BY_FLY
			  : strcmp(argv[1], "patroni") == 0 ? PROBE_BY_PATRONI
							    : PROBE_BY_SQL,
		.timeout_ms = number(argv[5]),
		.interval_ms = number(argv[6]),
		.hurry_ms = 50,
		.max_age_ms = 30000,
		.fall = 2,
		.max_connects = 16,
	};

	if (settings.method == PROBE_BY_SQL) {
		if (pg_conninfo_new(argv[4], &c->conninfo, problem) < 0) {
			fprintf(stderr, "probe_cli: %s\n", problem);
			exit(2);
		}
		settings.conninfo = c->conninfo;
	}
	return settings;
}

static int run(struct cli *c, char **argv)
{
	struct probe_settings settings = settings_of(c, argv);
	struct probe_place place = {.host = argv[2], .port = (uint16_t)number(argv[3])};
	int seconds = number(argv[7]);
	struct probe_server *server;
	struct loop_timer end;
	struct event *input = event_new(c->loop.base, STDIN_FILENO, EV_READ, on_input, c);

	loop_timer_init(&end, &c->loop, on_end, c);
	c->once = seconds == 0;
	if (!c->once) {
		event_add(input, NULL);
		loop_timer_start(&end, (int64_t)seconds * MS_PER_S);
	}
	long kb_before = anonymous_kb();
	int64_t cpu_before = cpu_us();
	int r = addr_parse_ip(argv[2], place.port, &place.addr);
	if (r == 0)
		r = probe_new(&c->loop, &settings, on_news, &c->probe);
	for (unsigned i = 0; r == 0 && i < c->count; i++)
		r = probe_add(c->probe, &place, c, &server);
	if (r == 0)
		r = loop_run(&c->loop);
	if (c->count > 1)
		printf("{\"results\":%u,\"answers\":%u,\"kb\":%ld,\"cpu_us\":%ld}\n", c->results,
		       c->answers, anonymous_kb() - kb_before, (long)(cpu_us() - cpu_before));
	loop_timer_stop(&end);
	event_free(input);
	probe_free(&c->probe);
	pg_conninfo_free(&c->conninfo);
	return r;
}

int main(int argc, char **argv)
{
	struct cli c = {.count = 1};

	if (argc < 8) {
		fprintf(stderr, "usage: probe_cli sql|fly|patroni IP PORT CONNINFO TIMEOUT_MS "
				"INTERVAL_MS SECONDS [COUNT]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (argc > 8)
		c.count = (unsigned)number(argv[8]);
	int r = loop_init(&c.loop);
	if (r == 0)
		r = run(&c, argv);
	loop_deinit(&c.loop);
	return r < 0;
}
