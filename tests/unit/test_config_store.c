/* config: the options of a store, its URL and its secrets. */
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

static void test_backends_not_built_are_told_from_unknown_ones(void **state)
{
	static const char *const names[] = {"kubernetes"};
	char wanted[96];
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		start(&s,
		      (const char *[]){"--cluster-name=c", "--store-backend", names[i],
				       "--kube-resource-kind=configmap", NULL},
		      NULL);
		snprintf(wanted, sizeof(wanted),
			 "store backend \"%s\" is not in this version of pgsplice: use file",
			 names[i]);
		assert_refused(&s, (const char *[3]){wanted, "--store-backend"});
		end(&s);
	}
}

static void test_no_password_is_repeated(void **state)
{
	static const char *const cases[] = {
		"--store-endpoints=http://me:hunter2@a,https://b",
		"--store-endpoints=me:hunter2@a,https://b",
		"--store-endpoints=http://a,https://me:h@unter,hunter2@b",
		"--listen-address=https://me:hunter2@a",
		"--store-endpoint=hunter2",
		"http://me:hunter2@a",
		"--log-level=http://me:hunter2@a",
		"--store-url=ftp://me:hunter2@a/b",
		"--store-url=http://me:hunter2@a b",
		/* A connection string that nobody put in quotes. */
		"password=hunter2",
		"sslpassword = 'hunter2'",
		"password=h@unter2",
		"--listen-address=password_of=x password=hunter2",
		"--listen-address=postgres://me:h@a/b?password=hunter2",
		"--listen-address=postgres://me:h@a/b?password=hunter2&x=@unter2",
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start(&s,
		      (const char *[]){"--cluster-name=c", "--store-backend=etcdv3", cases[i],
				       NULL},
		      NULL);
		assert_refused(&s, (const char *[3]){NULL});
		if (strstr(s.err, "unter") != NULL)
			fail_msg("%s", s.err);
		end(&s);
	}
}

static const struct config *start_by_url(struct start *s, const char *backend, const char *arg,
					 const char *const *env)
{
	start(s, (const char *[]){"--cluster-name=c", "--store-backend", backend, arg, NULL}, env);
	assert_runs(s);
	return &s->config;
}

static void test_one_url_says_all_of_a_store(void **state)
{
	static const struct {
		const char *url;
		const char *endpoint;
		const char *token; /* NULL: none */
		const char *prefix;
	} cases[] = {
		{"--store-url=https://x:secret@a/my/prefix/", "https://a:443", "secret",
		 "my/prefix"},
		{"--store-url=http://:secret@a:1//my-prefix", "http://a:1", "secret", "my-prefix"},
		{"--store-url=http://[::1]:8500/p?x=y", "http://[::1]:8500", NULL, "p"},
		/* Fly's fork crashes here. */
		{"--store-url=http://a:8500", "http://a:8500", NULL, "stolon/cluster"},
		{"--store-url=http://a:8500/", "http://a:8500", NULL, "stolon/cluster"},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct config *c = start_by_url(&s, "consul", cases[i].url, NULL);
		assert_string_equal(c->store.endpoints, cases[i].endpoint);
		assert_string_equal(c->store_prefix, cases[i].prefix);
		if (cases[i].token == NULL)
			assert_null(c->store.token);
		else
			assert_string_equal(c->store.token, cases[i].token);
		end(&s);
	}
	const struct config *c =
		start_by_url(&s, "etcdv3", "--store-url=http://me:p%40ss@a:2379/p", NULL);
	assert_string_equal(c->store.user, "me");
	assert_string_equal(c->store.password, "p@ss");
	assert_string_equal(c->store_prefix, "p");
	end(&s);
}

static void test_flys_variables_count_where_nothing_else_says_it(void **state)
{
	static const char *const all[] = {"FLY_CONSUL_URL=http://:t@fly/fp",
					  "CONSUL_URL=http://plain/pp",
					  "FLY_ETCD_URL=http://etcd/ep", NULL};
	static const char *const plain[] = {"CONSUL_URL=http://plain/pp", "FLY_CONSUL_URL=", NULL};
	static const char *const stolon[] = {"FLY_CONSUL_URL=http://fly",
					     "STPROXY_STORE_URL=http://st/sp",
					     "STPROXY_STORE_NODE=sp/uid", NULL};
	static const char *const ours[] = {"STPROXY_STORE_URL=http://st/sp",
					   "PGSPLICE_STORE_URL=http://our/op", NULL};
	static const struct {
		const char *backend;
		const char *arg;
		const char *const *env;
		const char *endpoint;
		const char *prefix;
	} cases[] = {
		{"consul", "--port=5432", all, "http://fly:80", "fp"},
		{"consul", "--port=5432", plain, "http://plain:80", "pp"},
		{"consul", "--port=5432", stolon, "http://st:80", "sp"},
		{"consul", "--port=5432", ours, "http://our:80", "op"},
		{"consul", "--store-url=http://flag/x", ours, "http://flag:80", "x"},
		{"consul", "--store-endpoints=http://flag", all, "http://flag", "stolon/cluster"},
		{"etcdv3", "--port=5432", all, "http://etcd:80", "ep"},
		{"etcdv3", "--port=5432", plain, "http://127.0.0.1:2379", "stolon/cluster"},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct config *c =
			start_by_url(&s, cases[i].backend, cases[i].arg, cases[i].env);
		assert_string_equal(c->store.endpoints, cases[i].endpoint);
		assert_string_equal(c->store_prefix, cases[i].prefix);
		end(&s);
	}
}

static void test_a_token_comes_from_the_flag_then_its_file_then_the_url(void **state)
{
	char path[] = "/tmp/test-token-XXXXXX";
	char file[64];
	int fd = mkstemp(path);
	struct start s;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "filed\nx\n", 8), 8);
	close(fd);
	snprintf(file, sizeof(file), "--store-token-file=%s", path);
#define BASE "--cluster-name=c", "--store-backend=consul", "--store-url=http://:url@a/p"
	start(&s, (const char *[]){BASE, file, "--store-token=flag", NULL}, NULL);
	assert_runs(&s);
	assert_string_equal(s.config.store.token, "flag");
	assert_null(s.config.store.token_file);
	end(&s);
	start(&s, (const char *[]){BASE, file, NULL}, NULL);
	assert_runs(&s);
	assert_string_equal(s.config.store.token, "filed");
	assert_string_equal(s.config.store.token_file, path);
	end(&s);
	start(&s, (const char *[]){BASE, NULL},
	      (const char *[]){"STPROXY_STORE_TOKEN=stolons", NULL});
	assert_runs(&s);
	assert_string_equal(s.config.store.token, "stolons");
	end(&s);
	start(&s, (const char *[]){BASE, "--store-token-file=/nowhere", NULL}, NULL);
	assert_refused(&s, (const char *[3]){"--store-token-file", "/nowhere", "No such file"});
	end(&s);
	unlink(path);
}

static void test_a_certificate_that_cannot_be_used_is_named(void **state)
{
	static const struct {
		const char *args[ARGS_MAX];
		const char *parts[3];
	} cases[] = {
		{{"--store-ca-file=/nowhere.pem"},
		 {"/nowhere.pem", "No such file", "--store-ca-file"}},
		{{"--store-ca-file=/dev/null"}, {"/dev/null", "empty"}},
		{{"--store-ca-file=/etc/passwd"}, {"CA file /etc/passwd"}},
		{{"--store-cert-file=/nowhere.pem", "--store-key=/etc/passwd"},
		 {"certificate file /nowhere.pem"}},
		{{"--store-cert-file=/etc/passwd", "--store-key=/nowhere.key"},
		 {"key file /nowhere.key"}},
		{{"--store-cert-file=/etc/passwd", "--store-key=/etc/passwd"},
		 {"certificate file /etc/passwd"}},
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *const *more = cases[i].args;
		start(&s,
		      (const char *[]){"--cluster-name=c", "--store-backend=consul",
				       "--store-endpoints=https://a", more[0], more[1], NULL},
		      NULL);
		assert_refused(&s, cases[i].parts);
		end(&s);
		/* Without https nobody needs them. */
		start(&s,
		      (const char *[]){"--cluster-name=c", "--store-backend=consul",
				       "--store-endpoints=http://a", more[0], more[1], NULL},
		      NULL);
		assert_runs(&s);
		end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backends_not_built_are_told_from_unknown_ones),
		cmocka_unit_test(test_no_password_is_repeated),
		cmocka_unit_test(test_one_url_says_all_of_a_store),
		cmocka_unit_test(test_flys_variables_count_where_nothing_else_says_it),
		cmocka_unit_test(test_a_token_comes_from_the_flag_then_its_file_then_the_url),
		cmocka_unit_test(test_a_certificate_that_cannot_be_used_is_named),
	};

	return cmocka_run_group_tests_name("config_store", tests, NULL, NULL);
}
