/* config: the options of the direct port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_start.h"

static void test_without_a_target_the_port_is_off_and_the_rest_has_defaults(void **state)
{
	struct start s;
	const struct direct_settings *d = &s.config.direct;

	start_with(&s, (const char *[]){NULL}, NULL);
	assert_runs(&s);
	assert_int_equal(d->target, DIRECT_OFF);
	assert_null(d->host);
	assert_null(d->port);
	assert_int_equal(d->prefer, DNS_PREFER_IPV6);
	assert_int_equal(d->balance, DIRECT_LEAST);
	assert_int_equal(d->fallback, DIRECT_FALLBACK_NONE);
	assert_int_equal(d->max_lag.bytes, 0);
	assert_int_equal(d->max_lag.ms, 0);
	assert_int_equal(d->hold_off_ms, 60000);
	assert_false(d->strict);
	assert_int_equal(d->dns_timeout_ms, 5000);
	assert_null(d->local.name);
	assert_string_equal(d->local.keeper_file, "/data/keeperstate");
	assert_null(d->local.hosts);
	assert_int_equal(d->listening.count, 1);
	assert_string_equal(d->listening.addresses[0], "127.0.0.1");
	assert_string_equal(d->listening.port, "5433");
	end(&s);
}

static void test_values_reach_the_module(void **state)
{
	struct start s;
	const struct direct_settings *d = &s.config.direct;

	start_with(&s,
		   (const char *[]){"--direct-target=any", "--direct-port=6000",
				    "--direct-balance=nearest", "--direct-fallback=leader",
				    "--direct-outage=strict", "--local-member=keeper1",
				    "--keeper-state-file=/k", "--store-timeout=7s", NULL},
		   NULL);
	assert_runs(&s);
	assert_int_equal(d->target, DIRECT_ANY);
	assert_string_equal(d->listening.port, "6000");
	assert_int_equal(d->balance, DIRECT_NEAREST);
	assert_int_equal(d->fallback, DIRECT_FALLBACK_LEADER);
	assert_true(d->strict);
	assert_string_equal(d->local.name, "keeper1");
	assert_string_equal(d->local.keeper_file, "/k");
	assert_int_equal(d->dns_timeout_ms, 7000);
	end(&s);
	start_with(&s, (const char *[]){"--direct-target=any", "--direct-hold-off=10s", NULL},
		   (const char *[]){"PGSPLICE_DIRECT_HOLD_OFF=0", NULL});
	assert_runs(&s);
	assert_int_equal(d->hold_off_ms, 10000);
	end(&s);
	/* Without a target they have no effect, which nobody is told. */
	start_with(&s,
		   (const char *[]){"--direct-balance=random", "--direct-fallback=any",
				    "--direct-outage=keep", NULL},
		   NULL);
	assert_runs(&s);
	assert_int_equal(d->target, DIRECT_OFF);
	assert_int_equal(d->balance, DIRECT_RANDOM);
	assert_int_equal(d->fallback, DIRECT_FALLBACK_ANY);
	assert_false(d->strict);
	end(&s);
	start_with(&s,
		   (const char *[]){"--direct-balance=dns-order", "--direct-fallback=none", NULL},
		   (const char *[]){"PGSPLICE_DIRECT_BALANCE=least", "PGSPLICE_DIRECT_TARGET=local",
				    "STPROXY_DIRECT_TARGET=x", NULL});
	assert_runs(&s);
	assert_int_equal(d->target, DIRECT_LOCAL);
	assert_int_equal(d->balance, DIRECT_DNS_ORDER);
	assert_int_equal(d->fallback, DIRECT_FALLBACK_NONE);
	end(&s);
}

static void test_target_is_a_word_or_a_host_with_its_port(void **state)
{
	static const struct {
		const char *text;
		enum direct_target target;
		const char *host;
		const char *port;
	} cases[] = {
		{"replicas", DIRECT_REPLICAS, NULL, NULL},
		{"local", DIRECT_LOCAL, NULL, NULL},
		{"any", DIRECT_ANY, NULL, NULL},
		{"", DIRECT_OFF, NULL, NULL},
		{"top1.nearest.of.app.internal:5433", DIRECT_NAME, "top1.nearest.of.app.internal",
		 "5433"},
		{"db.:postgresql", DIRECT_NAME, "db.", "postgresql"},
		{"replicas:1", DIRECT_NAME, "replicas", "1"},
		{"10.0.0.1:5432", DIRECT_NAME, "10.0.0.1", "5432"},
		{"[fdaa::3]:65535", DIRECT_NAME, "fdaa::3", "65535"},
		{"[fe80::1%lo]:1", DIRECT_NAME, "fe80::1%lo", "1"},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct direct_settings *d = &s.config.direct;

		start_with(&s, (const char *[]){"--direct-target", cases[i].text, NULL},
			   (const char *[]){"PGSPLICE_DIRECT_TARGET=any", NULL});
		assert_runs(&s);
		if (d->target != cases[i].target)
			fail_msg("%s: %d", cases[i].text, (int)d->target);
		if (cases[i].host == NULL) {
			assert_null(d->host);
			assert_null(d->port);
		} else {
			assert_string_equal(d->host, cases[i].host);
			assert_string_equal(d->port, cases[i].port);
		}
		end(&s);
	}
}

static void test_targets_that_cannot_be_are_refused(void **state)
{
	static const char *const cases[] = {
		"replica",
		"Replicas",
		"none",
		"host",
		"host:",
		":5433",
		"host:0",
		"host:65536",
		"host:no-such-service",
		"fdaa::3:5433",
		"[fdaa::3]",
		"[fdaa::3]5433",
		"[]:5433",
		"[:5433",
		"[fdaa::3:5433",
		"[[fdaa::3]]:5433",
		"[10.0.0.1]:5433",
		"[host]:5433",
		"300.1.1.1:5433",
		"host :5433",
		"a..b:5433",
		"postgres://host:5433",
		"host:5433,other:5433",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1",
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start_with(&s, (const char *[]){"--direct-target", cases[i], NULL}, NULL);
		assert_refused(&s,
			       (const char *[3]){cases[i],
						 "\" for --direct-target: must be replicas, local, "
						 "any or a host with its port, such as "
						 "top1.nearest.of.app.internal:5433"});
		end(&s);
	}
	char name[300];
	memset(name, 'a', sizeof(name));
	for (size_t i = 60; i < 290; i += 60)
		name[i] = '.';
	strcpy(name + 290, ":5433");
	start_with(&s, (const char *[]){"--direct-target", name, NULL}, NULL);
	assert_refused(&s, (const char *[3]){"for --direct-target: must be"});
	end(&s);
}

static void test_refusals_say_what_is_allowed(void **state)
{
	static const struct refusal cases[] = {
		{"--direct-port=0",
		 {"\"0\" for --direct-port", "1 to 65535 or the name of a service"}},
		{"--direct-port=no-such-service", {"\"no-such-service\" for --direct-port"}},
		{"--direct-port=", {"\"\" for --direct-port"}},
		{"--direct-listen-address=127.0.0.1:5433",
		 {"\"127.0.0.1:5433\" for --direct-listen-address",
		  "an IP address without port, a host name or the path of a unix socket"}},
		{"--direct-listen-address=a,,b", {"\"a,,b\" for --direct-listen-address"}},
		{"--direct-balance=most",
		 {"\"most\" for --direct-balance: must be least, random, nearest or dns-order"}},
		{"--direct-fallback=replicas",
		 {"\"replicas\" for --direct-fallback: must be none, leader or any"}},
		{"--direct-on-promote=wait",
		 {"\"wait\" for --direct-on-promote: must be cut or keep"}},
		{"--direct-outage=cut", {"\"cut\" for --direct-outage: must be keep or strict"}},
	};

	assert_each_refused(start_with, cases, ARRAY_LEN(cases));
}

static void test_lag_is_limited_in_bytes_or_in_time(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
		int64_t ms;
	} good[] = {
		{"16MB", 16777216, 0}, {"1.5 gb", 1610612736, 0},
		{"1B", 1, 0},          {"10s", 0, 10000},
		{"1m30s", 0, 90000},   {"100ms", 0, 100},
		{"24h", 0, 86400000},  {"", 0, 0},
	};
	static const char *const bad[] = {"16",  "0",     "0B",  "0s",   "99ms",
					  "-1s", "24h1s", "16M", "10 s", "16MB10s"};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		const struct lag_limit *lag = &s.config.direct.max_lag;

		start_with(&s, (const char *[]){"--direct-max-lag", good[i].text, NULL}, NULL);
		assert_runs(&s);
		if (lag->bytes != good[i].bytes || lag->ms != good[i].ms)
			fail_msg("%s: %llu bytes, %lld ms", good[i].text,
				 (unsigned long long)lag->bytes, (long long)lag->ms);
		end(&s);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char said[60];

		snprintf(said, sizeof(said), "\"%s\" for --direct-max-lag: must be a size", bad[i]);
		start_with(&s, (const char *[]){"--direct-max-lag", bad[i], NULL}, NULL);
		assert_refused(&s, (const char *[3]){said, "such as 16MB (B, kB, MB, GB or TB)",
						     "10s (100ms to 24h); it needs a unit"});
		end(&s);
	}
}

static void test_sessions_of_a_promoted_standby_depend_on_the_target(void **state)
{
	static const struct {
		const char *target;
		const char *given;
		bool keeps;
	} cases[] = {
		{"--direct-target=replicas", NULL, false},
		{"--direct-target=local", NULL, true},
		{"--direct-target=any", NULL, true},
		{"--direct-target=a:1", NULL, true},
		{"--direct-target=replicas", "--direct-on-promote=keep", true},
		{"--direct-target=a:1", "--direct-on-promote=cut", false},
		{"--direct-target=any", "--direct-on-promote=keep", true},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start_with(&s, (const char *[]){cases[i].target, cases[i].given, NULL}, NULL);
		assert_runs(&s);
		if (s.config.direct.keeps_promoted != cases[i].keeps)
			fail_msg("case %zu", i);
		end(&s);
	}
}

static void test_ipv6_comes_first_for_the_name_unless_told_otherwise(void **state)
{
	struct start s;

	start_with(&s, (const char *[]){"--direct-target=a:1", NULL}, NULL);
	assert_runs(&s);
	assert_int_equal(s.config.direct.prefer, DNS_PREFER_IPV6);
	assert_int_equal(s.config.dns.prefer, DNS_PREFER_UNSET); /* of the leader's name */
	end(&s);
	start_with(&s, (const char *[]){"--direct-target=a:1", "--dns-prefer=ipv4-only", NULL},
		   NULL);
	assert_runs(&s);
	assert_int_equal(s.config.direct.prefer, DNS_ONLY_IPV4);
	end(&s);
}

static void test_addresses_are_those_of_the_leaders_port_unless_given(void **state)
{
	static const struct {
		const char *args[3];
		const char *wanted; /* joined with blanks */
	} cases[] = {
		{{NULL}, "127.0.0.1"},
		{{"--listen-address=0.0.0.0"}, "::"},
		{{"--listen-address=[::1],/run/pg,a"}, "::1 /run/pg a"},
		{{"--listen-address=::1", "--direct-listen-address=10.0.0.1"}, "10.0.0.1"},
		{{"--direct-listen-address=0.0.0.0"}, "0.0.0.0"},
		{{"--direct-listen-address=::ffff:0.0.0.0"}, "0.0.0.0"},
		{{"--direct-listen-address="}, "::"},
		{{"--direct-listen-address=[::]"}, "::"},
		{{"--direct-listen-address=0:0::0,0.0.0.0,a,10.0.0.1,/s"}, ":: /s"},
		/* What is of IPv6, or may be, stays beside the wildcard of IPv4. */
		{{"--direct-listen-address=10.0.0.1,0.0.0.0,a,[::1],/s,10.0.0.2"},
		 "0.0.0.0 a ::1 /s"},
		{{"--direct-listen-address=::1,0:0::1", "--direct-listen-address=[::1]"}, "::1"},
	};
	struct start s;
	char joined[128];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct listening_settings *listening = &s.config.direct.listening;

		start_with(&s, cases[i].args, NULL);
		assert_runs(&s);
		joined[0] = '\0';
		for (size_t j = 0; j < listening->count; j++) {
			strcat(joined, j == 0 ? "" : " ");
			strcat(joined, listening->addresses[j]);
		}
		if (strcmp(joined, cases[i].wanted) != 0)
			fail_msg("case %zu: '%s'", i, joined);
		end(&s);
	}
}

static void test_one_port_cannot_serve_both(void **state)
{
	static const struct {
		const char *args[ARGS_MAX];
		bool refused;
	} cases[] = {
		{{"--direct-port=5432"}, true},
		{{"--direct-port=05432", "--port=postgresql"}, true},
		{{"--direct-port=postgresql"}, true},
		{{"--port=5433"}, true},
		{{"--port=5433", "--direct-port=5432"}, false},
		{{"--direct-port=5432", "--direct-listen-address=127.0.0.2"}, false},
		{{"--direct-port=5432", "--direct-listen-address=127.0.0.2,127.0.0.1"}, true},
		{{"--direct-port=5432", "--direct-listen-address="}, true},
		{{"--direct-port=5432", "--direct-listen-address=0.0.0.0"}, true},
		{{"--direct-port=5432", "--listen-address=::", "--direct-listen-address=127.0.0.2"},
		 true},
		{{"--direct-port=5432", "--listen-address=::", "--direct-listen-address=a"}, true},
		{{"--direct-port=5432", "--listen-address=a", "--direct-listen-address=0.0.0.0"},
		 true},
		{{"--direct-port=5432", "--listen-address=::1", "--direct-listen-address=0.0.0.0"},
		 false},
		{{"--direct-port=5432", "--listen-address=::1", "--direct-listen-address=0:0::1"},
		 true},
		{{"--direct-port=5432", "--listen-address=a,b", "--direct-listen-address=b"}, true},
		{{"--direct-port=5432", "--listen-address=a", "--direct-listen-address=b"}, false},
		{{"--direct-port=5432", "--listen-address=/tmp", "--direct-listen-address=/tmp"},
		 true},
		{{"--direct-port=5432", "--listen-address=/tmp", "--direct-listen-address=::"},
		 false},
		{{"--direct-port=5432", "--listen-address=/tmp", "--direct-listen-address=0.0.0.0"},
		 false},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *const *a = cases[i].args;

		start_with(&s, (const char *[]){"--direct-target=any", a[0], a[1], a[2], NULL},
			   NULL);
		if (cases[i].refused)
			assert_refused(&s, (const char *[3]){i == 3 ? "--direct-port and --port "
								      "are both 5433: "
								    : "--direct-port and --port "
								      "are both 5432: ",
							     "--direct-listen-address"});
		else
			assert_runs(&s);
		end(&s);
		/* Without a target nobody listens there. */
		start_with(&s, a, NULL);
		assert_runs(&s);
		end(&s);
	}
}

static void test_one_socket_cannot_serve_both_but_a_folder_can(void **state)
{
	static const char *const said[3] = {
		"\"/nowhere/socket\" is a single socket, not a folder: --direct-listen-address "
		"and --listen-address cannot both be it"};
	struct start s;

	start_with(&s,
		   (const char *[]){"--direct-target=any", "--listen-address=::1,/nowhere/socket",
				    NULL},
		   NULL);
	assert_refused(&s, said);
	end(&s);
	start_with(&s,
		   (const char *[]){"--direct-target=any", "--listen-address=/nowhere/socket",
				    "--direct-listen-address=a,/nowhere/socket", NULL},
		   NULL);
	assert_refused(&s, said);
	end(&s);
	start_with(&s,
		   (const char *[]){"--direct-target=any", "--listen-address=/nowhere/socket",
				    "--direct-listen-address=/nowhere/other", NULL},
		   NULL);
	assert_runs(&s);
	end(&s);
	start_with(&s, (const char *[]){"--direct-target=any", "--listen-address=/tmp", NULL},
		   NULL);
	assert_runs(&s);
	assert_string_equal(s.config.direct.listening.addresses[0], "/tmp");
	end(&s);
}

/* What Kubernetes says of a Service called pgsplice-direct. */
static void test_a_variable_with_a_url_is_no_port(void **state)
{
	struct start s;

	start_with(&s, (const char *[]){"--direct-target=any", NULL},
		   (const char *[]){"PGSPLICE_DIRECT_PORT=tcp://10.0.0.1:5433", NULL});
	assert_runs(&s);
	assert_string_equal(s.config.direct.listening.port, "5433");
	end(&s);
}

static void test_help_has_a_group_for_it(void **state)
{
	static const char *const parts[] = {
		"\nDirect port:\n",
		"--direct-target TARGET ",
		"--direct-port PORT ",
		"(default 5433)",
		"--direct-listen-address ADDRESS ",
		"--direct-balance MODE ",
		"(least, random, nearest or dns-order; default least)",
		"--direct-fallback MODE ",
		"(none, leader or any; default none)",
		"--direct-max-lag LAG ",
		"--direct-on-promote MODE ",
		"--direct-outage MODE ",
		"(keep or strict; default keep)",
		"--local-member NAME ",
		"--keeper-state-file FILE ",
		"(default /data/keeperstate)",
		"\nHost names:\n",
	};

	assert_help_has(parts, ARRAY_LEN(parts));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_a_target_the_port_is_off_and_the_rest_has_defaults),
		cmocka_unit_test(test_values_reach_the_module),
		cmocka_unit_test(test_target_is_a_word_or_a_host_with_its_port),
		cmocka_unit_test(test_targets_that_cannot_be_are_refused),
		cmocka_unit_test(test_refusals_say_what_is_allowed),
		cmocka_unit_test(test_lag_is_limited_in_bytes_or_in_time),
		cmocka_unit_test(test_sessions_of_a_promoted_standby_depend_on_the_target),
		cmocka_unit_test(test_ipv6_comes_first_for_the_name_unless_told_otherwise),
		cmocka_unit_test(test_addresses_are_those_of_the_leaders_port_unless_given),
		cmocka_unit_test(test_one_port_cannot_serve_both),
		cmocka_unit_test(test_one_socket_cannot_serve_both_but_a_folder_can),
		cmocka_unit_test(test_a_variable_with_a_url_is_no_port),
		cmocka_unit_test(test_help_has_a_group_for_it),
	};

	return cmocka_run_group_tests_name("config_direct", tests, NULL, NULL);
}
