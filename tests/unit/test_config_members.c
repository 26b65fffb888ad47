/* config: the options of a cluster without a store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config_start.h"

#define ALLOWED                                                                                    \
	"\" for --members: must be the host of a server, with or without its port, such as "       \
	"app.internal, 10.0.0.1:5433 or [fdaa::3]:5433, or a comma list of these"

static void start_members(struct start *s, const char *const *more, const char *const *env)
{
	const char *args[ARGS_MAX + 2] = {"--members=a"};

	for (size_t i = 0; more[i] != NULL; i++)
		args[1 + i] = more[i];
	start(s, args, env);
}

/* Joined with blanks. */
static void assert_members(const struct start *s, const char *wanted)
{
	const struct members_settings *m = &s->config.members;
	char joined[200] = "";

	for (size_t i = 0; i < m->count; i++) {
		strcat(joined, i == 0 ? "" : " ");
		strcat(joined, m->members[i]);
	}
	assert_string_equal(joined, wanted);
}

static void test_with_a_store_there_are_none(void **state)
{
	struct start s;

	start_with(&s, (const char *[]){NULL}, NULL);
	assert_runs(&s);
	assert_int_equal(s.config.members.count, 0);
	assert_string_equal(s.config.store.backend, "file");
	end(&s);
	/* How they would be asked has no effect, which nobody is told. */
	start_with(&s, (const char *[]){"--members=", "--probe=postgres", NULL},
		   (const char *[]){"PGSPLICE_MEMBERS=a,b", NULL});
	assert_runs(&s);
	assert_int_equal(s.config.members.count, 0);
	end(&s);
}

static void test_members_alone_are_enough(void **state)
{
	struct start s;
	const struct config *c = &s.config;

	start_members(&s, (const char *[]){NULL}, NULL);
	assert_runs(&s);
	assert_members(&s, "a:5432");
	assert_string_equal(c->store.backend, "postgres");
	assert_string_equal(c->cluster_name, "");
	assert_int_equal(c->members.probing.kind, PROBE_KIND_HTTP);
	assert_null(c->members.probing.conninfo);
	assert_int_equal(c->members.probing.http_port, 5500);
	assert_int_equal(c->members.probing.interval_ms, 1000);
	assert_int_equal(c->members.probing.timeout_ms, 2000);
	assert_int_equal(c->members.probing.fall, 3);
	assert_string_equal(c->listen.addresses.items[0], "127.0.0.1");
	assert_true(c->workers > 0);
	assert_string_equal(c->store_prefix, "stolon/cluster");
	assert_int_equal(c->direct.target, DIRECT_OFF);
	assert_int_equal(c->direct.dns_timeout_ms, 5000);
	end(&s);
}

static void test_values_reach_the_module(void **state)
{
	struct start s;
	const struct members_settings *m = &s.config.members;

	start_members(&s,
		      (const char *[]){"--cluster-name=c", "--store-backend=postgres",
				       "--probe-http-port=8008", "--probe-interval=100ms",
				       "--probe-timeout=1m", "--probe-fall=20", NULL},
		      NULL);
	assert_runs(&s);
	assert_string_equal(s.config.cluster_name, "c");
	assert_string_equal(s.config.store.backend, "postgres");
	assert_int_equal(m->probing.http_port, 8008);
	assert_int_equal(m->probing.interval_ms, 100);
	assert_int_equal(m->probing.timeout_ms, 60000);
	assert_int_equal(m->probing.fall, 20);
	end(&s);
	start(&s,
	      (const char *[]){"--probe-interval=60s", "--probe-timeout=100ms", "--probe-fall=1",
			       "--direct-target=replicas", NULL},
	      (const char *[]){"PGSPLICE_MEMBERS=b:1,c", "PGSPLICE_PROBE_FALL=2",
			       "PGSPLICE_PROBE_CONNINFO=user=x", "STPROXY_MEMBERS=d",
			       /* What Kubernetes says of a Service called pgsplice-probe-http. */
			       "PGSPLICE_PROBE_HTTP_PORT=tcp://10.0.0.1:80", NULL});
	assert_runs(&s);
	assert_members(&s, "b:1 c:5432");
	assert_int_equal(m->probing.kind, PROBE_KIND_POSTGRES);
	assert_string_equal(m->probing.conninfo, "user=x");
	assert_int_equal(m->probing.http_port, 5500);
	assert_int_equal(m->probing.interval_ms, 60000);
	assert_int_equal(m->probing.timeout_ms, 100);
	assert_int_equal(m->probing.fall, 1);
	assert_int_equal(s.config.direct.target, DIRECT_REPLICAS);
	end(&s);
}

static void test_a_member_is_a_host_with_or_without_a_port(void **state)
{
	static const struct {
		const char *text;
		const char *wanted;
	} cases[] = {
		{"db", "db:5432"},
		{"db:1", "db:1"},
		{"db:05433", "db:5433"},
		{"db:65535", "db:65535"},
		{"db.Example_1.internal.:postgresql", "db.example_1.internal.:5432"},
		{"10.0.0.1", "10.0.0.1:5432"},
		{"10.0.0.1:5433", "10.0.0.1:5433"},
		{"[fdaa::3]:5433", "[fdaa::3]:5433"},
		{"[fdaa::3]", "[fdaa::3]:5432"},
		{"fdaa::3", "[fdaa::3]:5432"},
		{"FDAA:0::0003", "[fdaa::3]:5432"},
		/* Without brackets all of it is the address. */
		{"fdaa::3:5433", "[fdaa::3:5433]:5432"},
		{"[fe80::1%lo]:5433", "[fe80::1%lo]:5433"},
		{"fe80::1%lo", "[fe80::1%lo]:5432"},
		{"::ffff:10.0.0.1", "10.0.0.1:5432"},
		{"[::ffff:a00:1]:5433", "10.0.0.1:5433"},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start(&s, (const char *[]){"--members", cases[i].text, NULL}, NULL);
		assert_runs(&s);
		assert_members(&s, cases[i].wanted);
		end(&s);
	}
}

static void test_each_member_is_listed_once(void **state)
{
	static const struct {
		const char *args[4];
		const char *env[2];
		const char *wanted;
	} cases[] = {
		{{"--members=c,a,b"}, {NULL}, "c:5432 a:5432 b:5432"},
		{{"--members=a,b", "--members", "c:1,a:5432"}, {NULL}, "a:5432 b:5432 c:1"},
		{{"--members=a,a:5433,A:05432,a:postgresql"}, {NULL}, "a:5432 a:5433"},
		{{"--members=[fd::1]:5432,fd:0::1,[FD::1]"}, {NULL}, "[fd::1]:5432"},
		{{"--members=10.0.0.1,::ffff:10.0.0.1,[::ffff:10.0.0.1]:5432"},
		 {NULL},
		 "10.0.0.1:5432"},
		{{"--members=fe80::1%lo,fe80::1%1,fe80::1"},
		 {NULL},
		 "[fe80::1%lo]:5432 [fe80::1]:5432"},
		/* A name that ends with a dot is not searched for in other domains. */
		{{"--members=a.b,a.b."}, {NULL}, "a.b:5432 a.b.:5432"},
		{{"--members=a"}, {"PGSPLICE_MEMBERS=b"}, "a:5432"},
		{{"--members=", "--members=a"}, {"PGSPLICE_MEMBERS=b"}, "a:5432"},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start(&s, cases[i].args, cases[i].env);
		assert_runs(&s);
		assert_members(&s, cases[i].wanted);
		end(&s);
	}
}

static void test_members_that_cannot_be_are_refused(void **state)
{
	static const char *const cases[] = {
		"a:",
		"a:0",
		"a:65536",
		"a:no-such-service",
		":5432",
		"a b",
		"a..b",
		"300.1.1.1",
		"127.1:5432",
		"1:2",
		"[a]",
		"[10.0.0.1]:5432",
		"[fdaa::3",
		"[fdaa::3]5433",
		"[fdaa::3]:",
		"1:2:3:4:5:6:7:8:5433",
		"fe80::1%",
		"postgres://a",
		"/run/postgresql",
		/* This machine, but nobody would have meant it. */
		"0.0.0.0",
		"0.0.0.0:5433",
		"::",
		"[::]:5433",
		"::ffff:0.0.0.0",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	char list[200];
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(list, sizeof(list), "--members=b,%s", cases[i]);
		start(&s, (const char *[]){list, NULL}, NULL);
		assert_refused(&s, (const char *[3]){"invalid value \"", cases[i], ALLOWED});
		end(&s);
	}
	start(&s, (const char *[]){"--members=a,", NULL}, NULL);
	assert_refused(&s, (const char *[3]){"invalid value \"a,", ALLOWED});
	end(&s);
}

/* "--members=a0,a1,…", then the first again. */
static void list_members(char *text, int count)
{
	text += sprintf(text, "--members=a0");
	for (int i = 1; i < count; i++)
		text += sprintf(text, ",a%d", i);
	strcpy(text, ",a0");
}

static void test_longest_host_fits_and_a_longer_one_is_refused(void **state)
{
	char host[256];
	char wanted[270];
	struct start s;

	for (size_t i = 0; i < 253; i++)
		host[i] = (i + 1) % 50 == 0 ? '.' : 'a';
	strcpy(host + 253, ":");
	for (int is_longer = 0; is_longer < 2; is_longer++) {
		if (is_longer)
			strcpy(host + 253, "a");
		else
			host[253] = '\0';
		snprintf(wanted, sizeof(wanted), "%s:65535", host);
		start(&s, (const char *[]){"--members", wanted, NULL}, NULL);
		if (is_longer) {
			assert_refused(&s, (const char *[3]){"for --members: must be"});
		} else {
			assert_runs(&s);
			assert_string_equal(s.config.members.members[0], wanted);
		}
		end(&s);
	}
}

static void test_at_most_64_members(void **state)
{
	char list[600];
	struct start s;

	list_members(list, 64);
	start(&s, (const char *[]){list, NULL}, NULL);
	assert_runs(&s);
	assert_int_equal(s.config.members.count, 64);
	assert_string_equal(s.config.members.members[63], "a63:5432");
	end(&s);
	list_members(list, 66);
	start(&s, (const char *[]){list, NULL}, NULL);
	assert_refused(&s, (const char *[3]){"--members: at most 64 servers are possible\n"});
	end(&s);
}

static void test_members_and_the_backend_postgres_go_together(void **state)
{
	static const struct {
		const char *args[ARGS_MAX];
		const char *env[2];
		const char *said;
	} cases[] = {
		{{"--store-backend=postgres"},
		 {NULL},
		 "--store-backend=postgres asks the servers themselves: --members must say "
		 "which\n"},
		{{"--store-backend=postgres", "--cluster-name=c", "--members="},
		 {"PGSPLICE_MEMBERS=a"},
		 "--store-backend=postgres asks the servers themselves: --members must say "
		 "which\n"},
		{{"--members=a", "--store-backend=etcdv3", "--cluster-name=c"},
		 {NULL},
		 "--members asks the servers themselves: it goes with --store-backend=postgres, "
		 "not \"etcdv3\"\n"},
		{{"--members=a", "--store-backend=etcd3"}, {NULL}, "not \"etcd3\"\n"},
		{{"--members=a", "--store-backend=kubernetes"}, {NULL}, "not \"kubernetes\"\n"},
		{{"--members=a"}, {"STPROXY_STORE_BACKEND=consul"}, "not \"consul\"\n"},
		{{NEEDED}, {"PGSPLICE_MEMBERS=a"}, "not \"file\"\n"},
		/* The backend is among those that can be had. */
		{{"--cluster-name=c"}, {NULL}, "etcdv3, consul or postgres\n"},
		/* Without members the old rules hold, in the old order. */
		{{"--members="}, {NULL}, "cluster name required"},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start(&s, cases[i].args, cases[i].env);
		assert_refused(&s, (const char *[3]){cases[i].said});
		end(&s);
	}
	/* A flag beats what the platform says for another program. */
	start_members(
		&s, (const char *[]){"--store-backend=postgres", NULL},
		(const char *[]){"STPROXY_STORE_BACKEND=consul", "STPROXY_CLUSTER_NAME=n", NULL});
	assert_runs(&s);
	assert_string_equal(s.config.cluster_name, "n");
	end(&s);
}

static void test_what_is_about_a_store_has_no_effect(void **state)
{
	static const char *const cases[] = {
		"--store-endpoints=ftp://a,http://b",
		"--store-url=nonsense",
		"--store-password-file=/nowhere",
		"--store-token-file=/nowhere",
		"--store-cert-file=/nowhere",
		"--store-ca-file=/nowhere",
		"--store-key=/nowhere",
		"--kube-resource-kind=pod",
		"--store-prefix=",
	};
	static const char *const env[] = {"FLY_CONSUL_URL=ftp://:t@fly/fp",
					  "CONSUL_URL=nonsense",
					  "FLY_ETCD_URL=nonsense",
					  "ETCD_URL=nonsense",
					  "STPROXY_STORE_URL=ftp://x",
					  "STPROXY_STORE_NODE=sp/uid",
					  NULL};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start_members(&s, (const char *[]){cases[i], NULL}, NULL);
		assert_runs(&s);
		assert_non_null(s.config.store_prefix);
		end(&s);
	}
	start_members(&s, (const char *[]){NULL}, env);
	assert_runs(&s);
	assert_null(s.config.store.endpoints);
	assert_null(s.config.store.token);
	assert_string_equal(s.config.store_prefix, "stolon/cluster");
	end(&s);
}

static void test_how_they_are_asked(void **state)
{
	static const struct way_to_ask cases[] = {
		{{NULL}, {NULL}, PROBE_KIND_HTTP, NULL},
		{{"--probe=http"}, {NULL}, PROBE_KIND_HTTP, NULL},
		{{"--probe-conninfo=user=p"}, {NULL}, PROBE_KIND_POSTGRES, "user=p"},
		{{"--probe=auto", "--probe-conninfo=user=p"},
		 {NULL},
		 PROBE_KIND_POSTGRES,
		 "user=p"},
		{{"--probe=postgres", "--probe-conninfo=user=p"},
		 {NULL},
		 PROBE_KIND_POSTGRES,
		 "user=p"},
		{{"--probe=postgres"},
		 {"PGSPLICE_PROBE_CONNINFO=user=e"},
		 PROBE_KIND_POSTGRES,
		 "user=e"},
		{{"--probe=http", "--probe-conninfo=user=p"}, {NULL}, PROBE_KIND_HTTP, NULL},
		{{"--probe-conninfo="}, {"PGSPLICE_PROBE_CONNINFO=user=e"}, PROBE_KIND_HTTP, NULL},
		/* Whether it is good is libpq's to say, later. */
		{{"--probe-conninfo=nonsense"}, {NULL}, PROBE_KIND_POSTGRES, "nonsense"},
	};
	struct start s;

	assert_each_asked(start_members, &s.config.members.probing, &s, cases, ARRAY_LEN(cases));
}

static void test_sql_needs_to_know_as_whom(void **state)
{
	static const char *const cases[][2] = {{"--probe=postgres", NULL},
					       {"--probe=postgres", "--probe-conninfo="}};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start_members(&s, (const char *[]){cases[i][0], cases[i][1], NULL}, NULL);
		assert_refused(&s,
			       (const char *[3]){"--probe=postgres needs --probe-conninfo, such as "
						 "\"user=probe passfile=/etc/pgsplice/pgpass\"\n"});
		end(&s);
	}
}

static void test_refusals_say_what_is_allowed(void **state)
{
	static const struct refusal cases[] = {
		{"--probe=sql", {"\"sql\" for --probe: must be postgres, http or auto"}},
		{"--probe=", {"\"\" for --probe: must be"}},
		{"--probe-http-port=0", {"\"0\" for --probe-http-port", "1 to 65535"}},
		{"--probe-http-port=65536", {"\"65536\" for --probe-http-port"}},
		{"--probe-interval=99ms", {"\"99ms\" for --probe-interval", "100ms to 1m"}},
		{"--probe-interval=61s", {"\"61s\" for --probe-interval"}},
		{"--probe-timeout=99ms", {"\"99ms\" for --probe-timeout", "100ms to 1m"}},
		{"--probe-timeout=61s", {"\"61s\" for --probe-timeout"}},
		{"--probe-fall=0", {"\"0\" for --probe-fall", "1 to 20"}},
		{"--probe-fall=21", {"\"21\" for --probe-fall"}},
	};

	assert_each_refused(start_members, cases, ARRAY_LEN(cases));
}

static void test_help_has_a_group_for_them(void **state)
{
	static const char *const parts[] = {
		"\nCluster and store:\n",
		"(file, etcdv2, etcdv3, consul or postgres)",
		"\nMembers and probes:\n",
		"--members HOST[:PORT] ",
		"--probe KIND ",
		"(postgres, http or auto; default auto)",
		"--probe-conninfo CONNINFO ",
		"PGPASSFILE.",
		"--probe-http-port N ",
		"(1 to 65535; default 5500)",
		"--probe-interval DURATION ",
		"(100ms to 1m; default 1s)",
		"--probe-timeout DURATION ",
		"(100ms to 1m; default 2s)",
		"--probe-fall N ",
		"(1 to 20; default 3)",
		"\nListening:\n",
	};

	assert_help_has(parts, ARRAY_LEN(parts));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_with_a_store_there_are_none),
		cmocka_unit_test(test_members_alone_are_enough),
		cmocka_unit_test(test_values_reach_the_module),
		cmocka_unit_test(test_a_member_is_a_host_with_or_without_a_port),
		cmocka_unit_test(test_each_member_is_listed_once),
		cmocka_unit_test(test_members_that_cannot_be_are_refused),
		cmocka_unit_test(test_longest_host_fits_and_a_longer_one_is_refused),
		cmocka_unit_test(test_at_most_64_members),
		cmocka_unit_test(test_members_and_the_backend_postgres_go_together),
		cmocka_unit_test(test_what_is_about_a_store_has_no_effect),
		cmocka_unit_test(test_how_they_are_asked),
		cmocka_unit_test(test_sql_needs_to_know_as_whom),
		cmocka_unit_test(test_refusals_say_what_is_allowed),
		cmocka_unit_test(test_help_has_a_group_for_them),
	};

	return cmocka_run_group_tests_name("config_members", tests, NULL, NULL);
}
