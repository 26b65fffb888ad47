/* config: the command line that stolon-proxy users have, and our own. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "config/option_source.h"
#include "config_start.h"

static void test_defaults_are_those_of_stolon(void **state)
{
	struct start s;
	const struct config *c = &s.config;

	start_with(&s, (const char *[]){NULL}, NULL);
	assert_runs(&s);
	assert_string_equal(c->cluster_name, "c");
	assert_string_equal(c->store.backend, "file");
	assert_string_equal(c->store.endpoints, "/store");
	assert_string_equal(c->store_prefix, "stolon/cluster");
	assert_int_equal(c->store.timeout_ms, 5000);
	assert_null(c->store.cert_file);
	assert_null(c->store.key_file);
	assert_null(c->store.ca_file);
	assert_false(c->store.skip_tls_verify);
	assert_null(c->store.kube_resource_kind);
	assert_int_equal(c->listen.addresses.count, 1);
	assert_string_equal(c->listen.addresses.items[0], "127.0.0.1");
	assert_string_equal(c->listen.port, "5432");
	assert_true(c->stop_listening);
	assert_null(c->metrics_listen_address);
	assert_int_equal(c->client_keepalive.idle_s, 0);
	assert_int_equal(c->client_keepalive.interval_s, 0);
	assert_int_equal(c->client_keepalive.count, 0);
	assert_int_equal(c->log.level, LOG_LEVEL_INFO);
	assert_int_equal(c->log.format, LOG_FORMAT_LOGFMT);
	assert_int_equal(c->connect_timeout_ms, 5000);
	assert_null(c->pidfile);
	end(&s);
}

static void test_values_reach_their_module(void **state)
{
	struct start s;
	const struct config *c = &s.config;

	start_with(&s,
		   (const char *[]){"--store-timeout", "1m30s", "--tcp-keepalive-idle=7",
				    "--tcp-keepalive-interval=8", "--tcp-keepalive-count=9",
				    "--store-skip-tls-verify", "--stop-listening=false", NULL},
		   NULL);
	assert_runs(&s);
	assert_int_equal(c->store.timeout_ms, 90000);
	assert_int_equal(c->client_keepalive.idle_s, 7);
	assert_int_equal(c->client_keepalive.interval_s, 8);
	assert_int_equal(c->client_keepalive.count, 9);
	assert_true(c->store.skip_tls_verify);
	assert_false(c->stop_listening);
	end(&s);
	start_with(&s,
		   (const char *[]){"--store-cert-file=/c", "--store-key=/k", "--store-ca-file=/a",
				    "--store-prefix=", "--metrics-listen-address=:9", "--port=6432",
				    "--pidfile=/p", "--connect-timeout=100ms", NULL},
		   NULL);
	assert_runs(&s);
	assert_string_equal(c->store.cert_file, "/c");
	assert_string_equal(c->store.key_file, "/k");
	assert_string_equal(c->store.ca_file, "/a");
	assert_string_equal(c->store_prefix, "");
	assert_string_equal(c->metrics_listen_address, ":9");
	assert_string_equal(c->listen.port, "6432");
	assert_string_equal(c->pidfile, "/p");
	assert_int_equal(c->connect_timeout_ms, 100);
	end(&s);
	start_with(&s,
		   (const char *[]){"--log-level=warn", "--log-format=stolon", "--log-color=true",
				    "--store-endpoints=file:///there", "--workers=64", "--", NULL},
		   NULL);
	assert_runs(&s);
	assert_int_equal(c->log.level, LOG_LEVEL_WARN);
	assert_int_equal(c->log.format, LOG_FORMAT_STOLON);
	assert_true(c->log.color);
	assert_string_equal(c->store.endpoints, "/there");
	assert_int_equal(c->workers, 64);
	end(&s);
}

static void test_refusals_have_stolons_words_and_name_the_flag(void **state)
{
	static const struct {
		const char *args[ARGS_MAX];
		const char *parts[3];
	} cases[] = {
		{{NULL}, {"cluster name required", "--cluster-name"}},
		{{"--cluster-name="}, {"cluster name required"}},
		{{"--cluster-name=c"}, {"store backend type required", "--store-backend"}},
		{{"--cluster-name=c", "--store-backend="}, {"store backend type required"}},
		{{"--cluster-name=c", "--store-backend=x"},
		 {"Unknown store backend: \"x\"", "--store-backend must be file"}},
		{{NEEDED, "--log-level=x"},
		 {"invalid log level: x ", "--log-level must be debug, info, warn or error"}},
		{{NEEDED, "--tcp-keepalive-idle=-1"},
		 {"tcp keepalive idle value must be greater or equal to 0", "\"-1\"",
		  "--tcp-keepalive-idle must be a whole number, 0 to 32767"}},
		{{NEEDED, "--tcp-keepalive-interval=-1"},
		 {"tcp keepalive interval value must be greater or equal to 0"}},
		{{NEEDED, "--tcp-keepalive-count=-1"},
		 {"tcp keepalive count value must be greater or equal to 0"}},
		{{"--cluster-name=c", "--store-backend=kubernetes"},
		 {"unspecified kubernetes resource kind", "--kube-resource-kind"}},
		{{"--cluster-name=c", "--store-backend=kubernetes", "--kube-resource-kind=x"},
		 {"wrong kubernetes resource kind: \"x\"", "--kube-resource-kind", "configmap"}},
		{{"--cluster-name=c", "--store-backend=etcd",
		  "--store-endpoints=http://a,https://b"},
		 {"all the endpoints must have the same scheme", "--store-endpoints",
		  "\"http://a,https://b\""}},
		{{"--cluster-name=c", "--store-backend=etcdv3", "--store-endpoints=a:1,https://b"},
		 {"all the endpoints must have the same scheme"}},
		{{"--cluster-name=c", "--store-backend=etcdv3",
		  "--store-endpoints=https://a,http://b"},
		 {"all the endpoints must have the same scheme"}},
		{{"--cluster-name=c", "--store-backend=etcdv3", "--store-endpoints=ftp://a"},
		 {"endpoints scheme must be http or https"}},
		{{"--cluster-name=c", "--store-backend=consul", "--store-endpoints=a,b"},
		 {"consul does not support multiple endpoints"}},
		{{NEEDED, "--store-timeout=5"},
		 {"invalid value \"5\" for --store-timeout: must be a duration with its unit",
		  "1ms to 1h"}},
		{{NEEDED, "--store-timeout=0s"}, {"\"0s\" for --store-timeout"}},
		{{NEEDED, "--store-timeout=-5s"}, {"\"-5s\" for --store-timeout"}},
		{{NEEDED, "--store-timeout=500us"}, {"\"500us\" for --store-timeout"}},
		{{NEEDED, "--stop-listening=no"},
		 {"\"no\" for --stop-listening: must be true or false"}},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start(&s, cases[i].args, NULL);
		assert_refused(&s, cases[i].parts);
		end(&s);
	}
}

static void test_refusals_of_our_own_options_say_what_is_allowed(void **state)
{
	static const struct {
		const char *arg;
		const char *parts[3];
	} cases[] = {
		{"--store-endpoints=", {"store endpoints required", "--store-endpoints"}},
		{"--store-endpoints=file://", {"store endpoints required"}},
		{"--store-endpoints=/a,/b", {"exactly one", "--store-endpoints", "/a,/b"}},
		{"--workers=65", {"\"65\" for --workers", "0 to 64"}},
		{"--workers=-1", {"\"-1\" for --workers", "0 to 64"}},
		{"--workers=two", {"\"two\" for --workers", "0 to 64"}},
		{"--connect-timeout=99ms", {"\"99ms\" for --connect-timeout", "100ms to 1h"}},
		{"--connect-timeout=61m", {"\"61m\" for --connect-timeout", "100ms to 1h"}},
		{"--log-format=xml", {"\"xml\" for --log-format", "logfmt, json or stolon"}},
		{"--log-color=auto", {"\"auto\" for --log-color"}},
		{"--port=0", {"\"0\" for --port", "1 to 65535 or the name of a service"}},
		{"--port=65536", {"\"65536\" for --port"}},
		{"--port=", {"\"\" for --port"}},
		{"--port=no-such-service", {"\"no-such-service\" for --port"}},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start_with(&s, (const char *[]){cases[i].arg, NULL}, NULL);
		assert_refused(&s, cases[i].parts);
		end(&s);
	}
}

static void test_flags_follow_gnu_syntax(void **state)
{
	static const struct {
		const char *args[ARGS_MAX];
		const char *parts[3];
	} cases[] = {
		{{"--cluster-nam=x"}, {"unknown flag: --cluster-nam,", "mean --cluster-name?"}},
		{{"--store-backnd"}, {"mean --store-backend?", "(see --help)"}},
		{{"--metrics"}, {"mean --metrics-listen-address?"}},
		{{"-store-backend"}, {"unknown flag: -store-backend,", "mean --store-backend?"}},
		{{"--bogus"}, {"unknown flag: --bogus (see --help)"}},
		{{"--debu"}, {"unknown flag: --debu (see --help)"}}, /* hidden: not suggested */
		{{"-v"}, {"unknown flag: -v (see --help)"}},
		{{"--=x"}, {"unknown flag"}},
		{{"--cluster-name"}, {"flag needs an argument: --cluster-name NAME"}},
		{{NEEDED, "extra"}, {"unexpected argument \"extra\"", "(see --help)"}},
		{{NEEDED, "-"}, {"unexpected argument \"-\""}},
		{{NEEDED, "password_of=x"}, {"unexpected argument \"password_of=x\""}},
		{{NEEDED, "--stop-listening", "false"},
		 {"unexpected argument \"false\"", "--name=false"}},
		{{NEEDED, "--", "--workers=2"}, {"unexpected argument \"--workers=2\""}},
		{{"--cluster-name", "--store-backend", "file"}, {"unexpected argument \"file\""}},
		{{"--bogus\nline"}, {"--bogus\\x0aline"}},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start(&s, cases[i].args, NULL);
		assert_refused(&s, cases[i].parts);
		end(&s);
	}
	start_with(&s, (const char *[]){"--workers=2", "--workers", "3", NULL}, NULL);
	assert_runs(&s);
	assert_int_equal(s.config.workers, 3); /* the last one counts */
	end(&s);
}

static void test_flag_beats_our_variable_beats_stolons_beats_default(void **state)
{
	static const struct {
		const char *flag;
		const char *env[3];
		const char *port;
	} cases[] = {
		{NULL, {NULL}, "5432"},
		{NULL, {"STPROXY_PORT=1"}, "1"},
		{NULL, {"STPROXY_PORT=1", "PGSPLICE_PORT=2"}, "2"},
		{NULL, {"PGSPLICE_PORT=2", "STPROXY_PORT=1"}, "2"},
		{"--port=3", {"STPROXY_PORT=1", "PGSPLICE_PORT=2"}, "3"},
		{NULL, {"STPROXY_PORT=1", "PGSPLICE_PORT="}, "1"},
		{NULL, {"STPROXY_PORT=", "PGSPLICE_PORTS=2"}, "5432"},
		/* what Kubernetes says of a Service called pgsplice */
		{NULL, {"PGSPLICE_PORT=tcp://10.0.0.1:5432", "STPROXY_PORT=1"}, "1"},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start_with(&s, (const char *[]){cases[i].flag, NULL}, cases[i].env);
		assert_runs(&s);
		if (strcmp(s.config.listen.port, cases[i].port) != 0)
			fail_msg("case %zu: port %s", i, s.config.listen.port);
		end(&s);
	}
}

static void test_wrong_variables_are_fatal_even_where_overridden(void **state)
{
	static const struct {
		const char *flag;
		const char *env[3];
		const char *parts[3];
	} cases[] = {
		{"--store-timeout=1s",
		 {"STPROXY_STORE_TIMEOUT=5"},
		 {"\"5\" for STPROXY_STORE_TIMEOUT", "1ms to 1h"}},
		{"--workers=1", {"PGSPLICE_WORKERS=x"}, {"\"x\" for PGSPLICE_WORKERS"}},
		{NULL,
		 {"PGSPLICE_LOG_LEVEL=info", "STPROXY_LOG_LEVEL=x"},
		 {"invalid log level: x", "STPROXY_LOG_LEVEL must be"}},
		{"--listen-address=::",
		 {"PGSPLICE_LISTEN_ADDRESS=a,,b"},
		 {"\"a,,b\" for PGSPLICE_LISTEN_ADDRESS"}},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start_with(&s, (const char *[]){cases[i].flag, NULL}, cases[i].env);
		assert_refused(&s, cases[i].parts);
		end(&s);
	}
}

static void test_only_stolons_flags_have_stolons_variables(void **state)
{
	struct start s;

	start_with(&s, (const char *[]){NULL},
		   (const char *[]){"STPROXY_WORKERS=x", "STPROXY_CONNECT_TIMEOUT=x",
				    "PGSPLICE_VERSION=1.0", "PGSPLICE_HELP=x", NULL});
	assert_runs(&s);
	end(&s);
	/* The settings of an etcd that stolon uses do not bind us. */
	start(&s, (const char *[]){"--store-backend=file", "--store-endpoints=/mine", NULL},
	      (const char *[]){"STPROXY_STORE_BACKEND=etcdv3", "STPROXY_CLUSTER_NAME=n", NULL});
	assert_runs(&s);
	assert_string_equal(s.config.cluster_name, "n");
	assert_string_equal(s.config.store.backend, "file");
	end(&s);
}

static void test_debug_is_told_as_deprecated_and_works(void **state)
{
	struct start s;

	start_with(&s, (const char *[]){"--debug", "--log-level=error", NULL}, NULL);
	assert_int_equal(s.outcome, CONFIG_RUN);
	assert_string_equal(s.err,
			    "Flag --debug has been deprecated, use --log-level=debug instead\n");
	assert_int_equal(s.config.log.level, LOG_LEVEL_DEBUG);
	end(&s);
	start_with(&s, (const char *[]){NULL}, (const char *[]){"STPROXY_DEBUG=1", NULL});
	assert_int_equal(s.outcome, CONFIG_RUN);
	assert_non_null(strstr(s.err, "STPROXY_DEBUG has been deprecated"));
	assert_int_equal(s.config.log.level, LOG_LEVEL_DEBUG);
	end(&s);
}

/* Starts with stderr on fd, and tells what became of the color. */
static bool color_with_stderr(int fd, const char *flag)
{
	int saved = dup(STDERR_FILENO);
	struct start s;

	assert_true(saved >= 0 && fd >= 0);
	dup2(fd, STDERR_FILENO);
	start_with(&s, (const char *[]){flag, NULL}, NULL);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fd);
	assert_runs(&s);
	bool color = s.config.log.color;
	end(&s);
	return color;
}

static void test_color_depends_on_the_terminal_unless_given(void **state)
{
	/* The terminal side of a pseudo terminal exists while the other is open. */
	AUTO_CLOSE int terminal = posix_openpt(O_RDWR | O_NOCTTY);

	assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
	const char *name = ptsname(terminal);
	assert_true(color_with_stderr(open(name, O_RDWR | O_NOCTTY), NULL));
	assert_false(color_with_stderr(open(name, O_RDWR | O_NOCTTY), "--log-color=false"));
	assert_false(color_with_stderr(open("/dev/null", O_WRONLY), NULL));
	assert_true(color_with_stderr(open("/dev/null", O_WRONLY), "--log-color"));
}

static void test_workers_default_to_the_cores_we_may_use(void **state)
{
	cpu_set_t all;
	cpu_set_t one;
	struct start s;

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	start_with(&s, (const char *[]){"--workers=0", NULL}, NULL);
	assert_runs(&s);
	assert_int_equal(s.config.workers, CPU_COUNT(&all) > 8 ? 8 : CPU_COUNT(&all));
	end(&s);

	CPU_ZERO(&one);
	for (int i = 0; CPU_COUNT(&one) == 0; i++) {
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	start_with(&s, (const char *[]){NULL}, NULL);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	assert_runs(&s);
	assert_int_equal(s.config.workers, 1);
	end(&s);
}

static void test_help_shows_every_flag_within_100_columns(void **state)
{
	static const char *const parts[] = {
		"\nCluster and store:\n",
		"\nListening:\n",
		"\nSessions:\n",
		"\nLogging:\n",
		"\nProcess:\n",
		"--cluster-name NAME ",
		"--store-backend NAME ",
		"--store-endpoints LIST ",
		"--store-prefix PREFIX ",
		"(default stolon/cluster)",
		"--store-timeout DURATION ",
		"(1ms to 1h; default 5s)",
		"--store-cert-file FILE ",
		"--store-key FILE ",
		"--store-ca-file FILE ",
		"--store-skip-tls-verify[=BOOL] ",
		"--kube-resource-kind KIND ",
		"--listen-address ADDRESS ",
		"(default 127.0.0.1)",
		"--port PORT ",
		"--stop-listening[=BOOL] ",
		"--metrics-listen-address HOST:PORT",
		"--tcp-keepalive-idle N ",
		"--tcp-keepalive-interval N ",
		"--tcp-keepalive-count N ",
		"--connect-timeout DURATION ",
		"(100ms to 1h; default 5s)",
		"--log-level LEVEL ",
		"(debug, info, warn or error; default info)",
		"--log-format FORMAT ",
		"--log-color[=BOOL] ",
		"--workers N ",
		"(0 to 64; default 0)",
		"--pidfile FILE ",
		"  -h, --help ",
		"--version ",
		"PGSPLICE_NAME",
		"STPROXY_NAME",
	};
	struct start s;

	/* Help is there for those whose settings are wrong. */
	start(&s, (const char *[]){"--workers=x", "--help", NULL},
	      (const char *[]){"PGSPLICE_PORT=x", NULL});
	assert_int_equal(s.outcome, CONFIG_DONE);
	assert_string_equal(s.err, "");
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (strstr(s.out, parts[i]) == NULL)
			fail_msg("no '%s'", parts[i]);
	}
	assert_null(strstr(s.out, "--debug"));
	for (const char *line = s.out; *line != '\0'; line += strcspn(line, "\n") + 1) {
		if (strcspn(line, "\n") > 100)
			fail_msg("too long: %s", line);
	}
	end(&s);
	start(&s, (const char *[]){"-h", NULL}, NULL);
	assert_int_equal(s.outcome, CONFIG_DONE);
	end(&s);
}

static void test_version_is_one_line(void **state)
{
	struct start s;

	start(&s, (const char *[]){"--version", NULL}, NULL);
	assert_int_equal(s.outcome, CONFIG_DONE);
	assert_string_equal(s.out, "pgsplice version " PGSPLICE_VERSION "\n");
	assert_string_equal(s.err, "");
	end(&s);
}

/* A table of its own, for what the rows of pgsplice do not use. */
struct sample {
	int64_t ns;
	const char *name;
};
#define OPTION_TARGET struct sample

static void test_a_row_chooses_the_unit_and_the_form_of_its_value(void **state)
{
	static const struct option_choice names[] = {{"a", 1, false}, {NULL, 0, false}};
	static const struct option rows[] = {
		OPT_NSEC("G", "time", ns, "2us", 0, 5000, "A time."),
		OPT_NAME("G", "name", name, "NAME", "a", names, "A name."),
	};
	static const struct option_table table = {rows, ARRAY_LEN(rows), "X_", "Y_"};
	struct sample sample = {0};
	char *const env[] = {(char *)(uintptr_t) "X_TIME=5us", NULL};

	assert_int_equal(option_table_set_defaults(&table, &sample), 0);
	assert_int_equal(sample.ns, 2000);
	assert_string_equal(sample.name, "a");
	assert_int_equal(option_read_environment(&table, &sample, env, stderr), 0);
	assert_int_equal(sample.ns, 5000);
	option_table_deinit(&table, &sample);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_are_those_of_stolon),
		cmocka_unit_test(test_values_reach_their_module),
		cmocka_unit_test(test_refusals_have_stolons_words_and_name_the_flag),
		cmocka_unit_test(test_refusals_of_our_own_options_say_what_is_allowed),
		cmocka_unit_test(test_flags_follow_gnu_syntax),
		cmocka_unit_test(test_flag_beats_our_variable_beats_stolons_beats_default),
		cmocka_unit_test(test_wrong_variables_are_fatal_even_where_overridden),
		cmocka_unit_test(test_only_stolons_flags_have_stolons_variables),
		cmocka_unit_test(test_debug_is_told_as_deprecated_and_works),
		cmocka_unit_test(test_color_depends_on_the_terminal_unless_given),
		cmocka_unit_test(test_workers_default_to_the_cores_we_may_use),
		cmocka_unit_test(test_help_shows_every_flag_within_100_columns),
		cmocka_unit_test(test_version_is_one_line),
		cmocka_unit_test(test_a_row_chooses_the_unit_and_the_form_of_its_value),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
