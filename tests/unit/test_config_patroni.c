/* config: the options of a Patroni cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config_start.h"

#define PATRONI "--cluster-format=patroni"

static void start_patroni(struct start *s, const char *const *more, const char *const *env)
{
	const char *args[ARGS_MAX + 2] = {PATRONI};

	for (size_t i = 0; more[i] != NULL; i++)
		args[1 + i] = more[i];
	start_with(s, args, env);
}

static void test_stolon_is_the_default(void **state)
{
	static const char *const cases[][4] = {
		{NULL},
		{"--cluster-format=stolon"},
		{"--confirm-leader=never", "--store-outage=strict"},
		{"--confirm-leader=auto"},
		/* How servers are asked has no effect. */
		{"--probe=postgres"},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start_with(&s, cases[i], NULL);
		assert_runs(&s);
		assert_int_equal(s.config.cluster_format, CLUSTER_FORMAT_STOLON);
		assert_string_equal(s.config.store_prefix, "stolon/cluster");
		assert_null(s.config.patroni.scope);
		end(&s);
	}
}

static void test_what_patroni_needs_is_enough(void **state)
{
	struct start s;
	const struct patroni_settings *p = &s.config.patroni;

	start_patroni(&s, (const char *[]){NULL}, NULL);
	assert_runs(&s);
	assert_int_equal(s.config.cluster_format, CLUSTER_FORMAT_PATRONI);
	assert_int_equal(s.config.members.count, 0);
	assert_string_equal(p->scope, "c");
	assert_string_equal(p->namespace_, "/service");
	assert_string_equal(p->store.backend, "file");
	assert_string_equal(p->store.endpoints, "/store");
	assert_int_equal(p->store.timeout_ms, 5000);
	assert_int_equal(p->citus_group, -1);
	assert_int_equal(p->confirm, CONFIRM_AUTO);
	assert_false(p->strict_outage);
	assert_int_equal(p->probing.kind, PROBE_KIND_HTTP);
	assert_null(p->probing.conninfo);
	assert_null(p->probing.account);
	assert_int_equal(p->probing.http_port, 5500);
	assert_int_equal(p->probing.interval_ms, 1000);
	assert_int_equal(p->probing.timeout_ms, 2000);
	assert_int_equal(p->probing.fall, 3);
	assert_null(p->probing.tls.ca_file);
	assert_null(p->probing.tls.cert_file);
	assert_null(p->probing.tls.key_file);
	assert_false(p->probing.tls.skip_verify);
	end(&s);
}

/* Files are looked at only where anybody may be asked over https. */
static void test_certificates_of_rest_interfaces(void **state)
{
	static const char *const options[] = {"--probe-ca-file=/none", "--probe-cert-file=/none"};
	struct start s;
	const struct tls_settings *tls = &s.config.patroni.probing.tls;

	start_patroni(&s,
		      (const char *[]){"--probe-conninfo=user=p", "--probe-ca-file=/ca",
				       "--probe-cert-file=/cert", "--probe-key=/key",
				       "--probe-skip-tls-verify", NULL},
		      NULL);
	assert_runs(&s);
	assert_string_equal(tls->ca_file, "/ca");
	assert_string_equal(tls->cert_file, "/cert");
	assert_string_equal(tls->key_file, "/key");
	assert_true(tls->skip_verify);
	end(&s);
	start_patroni(&s, (const char *[]){"--probe-skip-tls-verify", NULL}, NULL);
	assert_runs(&s);
	assert_true(tls->skip_verify);
	end(&s);
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		start_patroni(&s, (const char *[]){options[i], "--probe-key=/k", NULL}, NULL);
		assert_refused(&s, (const char *[]){"file /none: No such file or directory",
						    "--probe-ca-file", "--probe-key"});
		end(&s);
	}
}

static void test_values_reach_the_module(void **state)
{
	struct start s;
	const struct patroni_settings *p = &s.config.patroni;

	start(&s,
	      (const char *[]){"--store-timeout=1s", "--citus-group=2147483647",
			       "--confirm-leader=always", "--store-outage=strict",
			       "--probe-conninfo=user=p", "--probe-http-port=8008", NULL},
	      (const char *[]){"PGSPLICE_CLUSTER_FORMAT=patroni", "STPROXY_CLUSTER_NAME=scope",
			       "PGSPLICE_STORE_BACKEND=etcd3", "PGSPLICE_STORE_PREFIX=/ns/",
			       "PGSPLICE_PROBE_INTERVAL=100ms", "PGSPLICE_PROBE_TIMEOUT=1m",
			       "PGSPLICE_PROBE_FALL=20", "PGSPLICE_CITUS_GROUP=1", NULL});
	assert_runs(&s);
	assert_string_equal(p->scope, "scope");
	assert_string_equal(p->namespace_, "/ns/");
	assert_string_equal(p->store.backend, "etcdv3");
	assert_string_equal(p->store.endpoints, "http://127.0.0.1:2379");
	assert_int_equal(p->store.timeout_ms, 1000);
	assert_int_equal(p->citus_group, INT32_MAX);
	assert_int_equal(p->confirm, CONFIRM_ALWAYS);
	assert_true(p->strict_outage);
	assert_int_equal(p->probing.kind, PROBE_KIND_POSTGRES);
	assert_string_equal(p->probing.conninfo, "user=p");
	assert_int_equal(p->probing.http_port, 8008);
	assert_int_equal(p->probing.interval_ms, 100);
	assert_int_equal(p->probing.timeout_ms, 60000);
	assert_int_equal(p->probing.fall, 20);
	end(&s);
	start_patroni(&s, (const char *[]){"--citus-group=0", NULL}, NULL);
	assert_runs(&s);
	assert_int_equal(p->citus_group, 0);
	end(&s);
}

static void test_namespace_is_patronis_unless_given(void **state)
{
	static const struct {
		const char *args[3];
		const char *env[2];
		const char *wanted;
	} cases[] = {
		{{"--store-endpoints=http://a"}, {NULL}, "/service"},
		{{"--store-prefix=service"}, {NULL}, "service"},
		{{"--store-prefix=//a//b/"}, {NULL}, "//a//b/"},
		{{"--store-prefix=/"}, {NULL}, "/"},
		/* The clusters are at the root. */
		{{"--store-prefix="}, {"PGSPLICE_STORE_PREFIX=x"}, ""},
		{{"--cluster-name=d"}, {"PGSPLICE_STORE_PREFIX="}, "/service"},
		{{"--cluster-name=d"}, {"STPROXY_STORE_PREFIX=p"}, "p"},
		/* Whoever gives stolon's default means it. */
		{{"--store-prefix=stolon/cluster"}, {NULL}, "stolon/cluster"},
		{{"--cluster-name=d"}, {"STPROXY_STORE_PREFIX=stolon/cluster"}, "stolon/cluster"},
		{{"--store-url=http://:t@a/p/q/"}, {NULL}, "p/q"},
		{{"--store-url=http://:t@a/"}, {NULL}, "/service"},
		{{"--store-url=http://:t@a/", "--store-prefix=x"}, {NULL}, "x"},
		{{"--cluster-name=d"}, {"FLY_CONSUL_URL=http://:t@fly/fp"}, "fp"},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start(&s,
		      (const char *[]){PATRONI, "--cluster-name=c", "--store-backend=consul",
				       cases[i].args[0], cases[i].args[1], NULL},
		      cases[i].env);
		assert_runs(&s);
		assert_string_equal(s.config.patroni.namespace_, cases[i].wanted);
		assert_string_equal(s.config.store_prefix, cases[i].wanted);
		end(&s);
	}
}

static void test_backends_that_patroni_has(void **state)
{
	static const struct {
		const char *args[3];
		const char *wanted;
	} cases[] = {
		{{"--store-backend=etcdv3"}, "etcdv3"},
		{{"--store-backend=etcd3"}, "etcdv3"},
		{{"--store-backend=etcdv2"}, "etcdv2"},
		{{"--store-backend=etcd"}, "etcdv2"},
		{{"--store-backend=consul"}, "consul"},
		{{"--store-backend=file", "--store-endpoints=/s"}, "file"},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start(&s,
		      (const char *[]){PATRONI, "--cluster-name=c", cases[i].args[0],
				       cases[i].args[1], NULL},
		      (const char *[]){"PGSPLICE_MEMBERS=", NULL});
		assert_runs(&s);
		assert_string_equal(s.config.patroni.store.backend, cases[i].wanted);
		end(&s);
	}
	/* Secrets and the URL have been seen to before. */
	start(&s,
	      (const char *[]){PATRONI, "--cluster-name=c", "--store-backend=consul",
			       "--store-url=http://:secret@a/p", "--members=", NULL},
	      (const char *[]){"PGSPLICE_MEMBERS=x", NULL});
	assert_runs(&s);
	assert_string_equal(s.config.patroni.store.endpoints, "http://a:80");
	assert_string_equal(s.config.patroni.store.token, "secret");
	end(&s);
}

#define NO_MEMBERS                                                                                 \
	"--members does not go with --cluster-format=patroni, where the store says who the "       \
	"servers are\n"
#define NO_BACKEND(name)                                                                           \
	"--store-backend=" name " does not go with --cluster-format=patroni: use file, etcdv2, "   \
	"etcdv3 or consul\n"
#define NO_ANSWERS                                                                                 \
	"--store-outage=confirm goes by the servers' own answers: it does not go with "            \
	"--confirm-leader=never\n"

static void test_what_patroni_does_not_go_with(void **state)
{
	static const struct {
		const char *args[ARGS_MAX];
		const char *env[2];
		const char *said;
	} cases[] = {
		{{"--members=a"}, {NULL}, NO_MEMBERS},
		{{"--members=", "--members=a"}, {NULL}, NO_MEMBERS},
		{{NEEDED}, {"PGSPLICE_MEMBERS=a"}, NO_MEMBERS},
		{{"--members=a", "--store-backend=postgres"}, {NULL}, NO_MEMBERS},
		{{"--store-backend=postgres", "--cluster-name=c"}, {NULL}, NO_BACKEND("postgres")},
		/* Also where nothing else is right. */
		{{"--store-backend=postgres", "--members="}, {NULL}, NO_BACKEND("postgres")},
		{{"--store-backend=kubernetes"}, {NULL}, NO_BACKEND("kubernetes")},
		{{"--store-backend=kubernetes", "--cluster-name=c",
		  "--kube-resource-kind=configmap"},
		 {NULL},
		 NO_BACKEND("kubernetes")},
		{{NEEDED, "--confirm-leader=never", "--store-outage=confirm"}, {NULL}, NO_ANSWERS},
		/* The rest is as with stolon. */
		{{"--store-backend=consul"},
		 {NULL},
		 "cluster name required: --cluster-name must not be empty\n"},
		{{"--cluster-name=c"},
		 {NULL},
		 "store backend type required: --store-backend must be file, etcdv2, etcdv3 or "
		 "consul\n"},
		{{NEEDED, "--store-endpoints="}, {NULL}, "store endpoints required"},
		{{NEEDED, "--probe=postgres"},
		 {NULL},
		 "--probe=postgres needs --probe-conninfo, such as \"user=probe "
		 "passfile=/etc/pgsplice/pgpass\"\n"},
	};
	const char *args[ARGS_MAX + 1] = {PATRONI};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		memcpy(args + 1, cases[i].args, sizeof(cases[i].args));
		start(&s, args, cases[i].env);
		assert_refused(&s, (const char *[3]){cases[i].said});
		end(&s);
	}
}

static void test_what_goes_only_with_patroni(void **state)
{
	static const struct {
		const char *arg;
		const char *said;
	} cases[] = {
		{"--confirm-leader=always",
		 "--confirm-leader=always goes with --cluster-format=patroni\n"},
		{"--store-outage=confirm",
		 "--store-outage=confirm goes with --cluster-format=patroni: stolon's sentinels "
		 "count on sessions being cut while the store is out of reach\n"},
		{"--citus-group=0", "--citus-group goes with --cluster-format=patroni\n"},
		{"--citus-group=7", "--citus-group goes with --cluster-format=patroni\n"},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start_with(&s, (const char *[]){cases[i].arg, NULL}, NULL);
		assert_refused(&s, (const char *[3]){cases[i].said});
		end(&s);
		/* Neither with members. */
		start(&s, (const char *[]){"--members=a", cases[i].arg, NULL}, NULL);
		assert_refused(&s, (const char *[3]){cases[i].said});
		end(&s);
		start_patroni(&s, (const char *[]){cases[i].arg, NULL}, NULL);
		assert_runs(&s);
		end(&s);
	}
}

static void test_who_vouches_for_the_leader(void **state)
{
	static const struct {
		const char *args[3];
		enum confirm_leader confirm;
		bool strict_outage;
	} cases[] = {
		{{NULL}, CONFIRM_AUTO, false},
		{{"--confirm-leader=auto"}, CONFIRM_AUTO, false},
		{{"--confirm-leader=always"}, CONFIRM_ALWAYS, false},
		{{"--store-outage=confirm"}, CONFIRM_AUTO, false},
		{{"--store-outage=strict"}, CONFIRM_AUTO, true},
		{{"--confirm-leader=always", "--store-outage=confirm"}, CONFIRM_ALWAYS, false},
		{{"--confirm-leader=always", "--store-outage=strict"}, CONFIRM_ALWAYS, true},
		/* With nobody asked there are no answers to go by. */
		{{"--confirm-leader=never"}, CONFIRM_NEVER, true},
		{{"--confirm-leader=never", "--store-outage=strict"}, CONFIRM_NEVER, true},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start_patroni(&s, cases[i].args, NULL);
		assert_runs(&s);
		if (s.config.patroni.confirm != cases[i].confirm ||
		    s.config.patroni.strict_outage != cases[i].strict_outage)
			fail_msg("case %zu: %d, %d", i, (int)s.config.patroni.confirm,
				 s.config.patroni.strict_outage);
		end(&s);
	}
}

static void test_how_it_is_asked(void **state)
{
	static const struct way_to_ask cases[] = {
		{{NULL}, {NULL}, PROBE_KIND_HTTP, NULL},
		{{"--probe=http"}, {NULL}, PROBE_KIND_HTTP, NULL},
		{{"--probe-conninfo=user=p"}, {NULL}, PROBE_KIND_POSTGRES, "user=p"},
		{{"--probe=postgres"},
		 {"PGSPLICE_PROBE_CONNINFO=user=e"},
		 PROBE_KIND_POSTGRES,
		 "user=e"},
		{{"--probe=http", "--probe-conninfo=user=p"}, {NULL}, PROBE_KIND_HTTP, NULL},
		{{"--probe-conninfo="}, {"PGSPLICE_PROBE_CONNINFO=user=e"}, PROBE_KIND_HTTP, NULL},
	};
	struct start s;

	assert_each_asked(start_patroni, &s.config.patroni.probing, &s, cases, ARRAY_LEN(cases));
}

static void test_refusals_say_what_is_allowed(void **state)
{
	static const struct refusal cases[] = {
		{"--cluster-format=x", {"\"x\" for --cluster-format: must be stolon or patroni\n"}},
		{"--cluster-format=", {"\"\" for --cluster-format: must be"}},
		{"--confirm-leader=x",
		 {"\"x\" for --confirm-leader: must be auto, always or never\n"}},
		{"--store-outage=keep",
		 {"\"keep\" for --store-outage: must be confirm or strict\n"}},
		{"--citus-group=-1",
		 {"\"-1\" for --citus-group: must be a whole number, 0 to "
		  "2147483647\n"}},
		{"--citus-group=2147483648", {"\"2147483648\" for --citus-group"}},
		{"--citus-group=none", {"\"none\" for --citus-group"}},
		{"--citus-group=", {"\"\" for --citus-group"}},
	};

	assert_each_refused(start_patroni, cases, ARRAY_LEN(cases));
}

static void test_help_has_them(void **state)
{
	static const char *const parts[] = {
		"\nCluster and store:\n",
		"--cluster-format FORMAT ",
		"(stolon or patroni; default stolon)",
		"--confirm-leader MODE ",
		"(auto, always or never; default auto)",
		"--store-outage MODE ",
		"(confirm or strict)",
		"--citus-group N ",
		"(0 to 2147483647; default none)",
		"\nMembers and probes:\n",
	};

	assert_help_has(parts, ARRAY_LEN(parts));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stolon_is_the_default),
		cmocka_unit_test(test_what_patroni_needs_is_enough),
		cmocka_unit_test(test_values_reach_the_module),
		cmocka_unit_test(test_certificates_of_rest_interfaces),
		cmocka_unit_test(test_namespace_is_patronis_unless_given),
		cmocka_unit_test(test_backends_that_patroni_has),
		cmocka_unit_test(test_what_patroni_does_not_go_with),
		cmocka_unit_test(test_what_goes_only_with_patroni),
		cmocka_unit_test(test_who_vouches_for_the_leader),
		cmocka_unit_test(test_how_it_is_asked),
		cmocka_unit_test(test_refusals_say_what_is_allowed),
		cmocka_unit_test(test_help_has_them),
	};

	return cmocka_run_group_tests_name("config_patroni", tests, NULL, NULL);
}
