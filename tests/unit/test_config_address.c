/* config: where it listens, and whom it asks for names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config_start.h"

static void test_listen_addresses_are_listed_once_each(void **state)
{
	static const struct {
		const char *args[4];
		const char *env[3];
		const char *wanted; /* joined with blanks */
	} cases[] = {
		{{"--listen-address=10.0.0.1,db.example_1.net."},
		 {NULL},
		 "10.0.0.1 db.example_1.net."},
		{{"--listen-address=10.0.0.1", "--listen-address", "[::1],/run/pg"},
		 {NULL},
		 "10.0.0.1 ::1 /run/pg"},
		{{"--listen-address=fe80::1%lo,[fe80::2%lo]"}, {NULL}, "fe80::1%lo fe80::2%lo"},
		{{"--listen-address="}, {NULL}, "::"},
		{{"--listen-address=0.0.0.0"}, {NULL}, "::"},
		{{"--listen-address=[::]"}, {NULL}, "::"},
		{{"--listen-address=0:0::0"}, {NULL}, "::"},
		{{"--listen-address=10.0.0.1,/s,::,localhost,0.0.0.0"}, {NULL}, "/s ::"},
		{{"--listen-address=::1,10.0.0.1,[::1]"}, {NULL}, "::1 10.0.0.1"},
		{{NULL}, {"STPROXY_LISTEN_ADDRESS=::1,10.0.0.1"}, "::1 10.0.0.1"},
		{{NULL}, {"STPROXY_LISTEN_ADDRESS=/a", "PGSPLICE_LISTEN_ADDRESS=/b"}, "/b"},
		{{"--listen-address=/a"}, {"PGSPLICE_LISTEN_ADDRESS=::1,10.0.0.1"}, "/a"},
	};
	struct start s;
	char joined[128];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct option_list *list = &s.config.listen.addresses;

		start_with(&s, cases[i].args, cases[i].env);
		assert_runs(&s);
		joined[0] = '\0';
		for (size_t j = 0; j < list->count; j++) {
			strcat(joined, j == 0 ? "" : " ");
			strcat(joined, list->items[j]);
		}
		if (strcmp(joined, cases[i].wanted) != 0)
			fail_msg("case %zu: '%s'", i, joined);
		end(&s);
	}
}

static void test_listen_addresses_that_cannot_be_are_refused(void **state)
{
	static const char *const cases[] = {
		"300.1.1.1",
		"127.1",
		"10.0.0.1:5432",
		"localhost:5432",
		"[::1]:5432",
		"[::1",
		"fe80::1%",
		"a b",
		"a..b",
		".a",
		"10.0.0.1,",
		",",
		"http://a",
		"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aa"
		"aaaaaaaaaaaaaaaaaaaaaaaa",
	};
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start_with(&s, (const char *[]){"--listen-address", cases[i], NULL}, NULL);
		assert_refused(&s, (const char *[3]){" for --listen-address: must be an IP "
						     "address without port, a host name"});
		end(&s);
	}
}

static void test_name_server_is_an_address_with_or_without_a_port(void **state)
{
	static const char *const good[] = {"127.0.0.1", "127.0.0.1:5300", "fdaa::3", "[fdaa::3]",
					   "[fdaa::3]:5300"};
	static const char *const bad[] = {"ns.test",         "127.0.0.1:", "127.0.0.1:0",
					  "127.0.0.1:65536", "[fdaa::3",   "[fdaa::3]5300",
					  "fe80::1%lo",      ":53"};
	char flag[60];
	struct start s;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		snprintf(flag, sizeof(flag), "--dns-server=%s", good[i]);
		start_with(&s, (const char *[]){flag, NULL}, NULL);
		assert_runs(&s);
		assert_string_equal(s.config.dns.server, good[i]);
		end(&s);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(flag, sizeof(flag), "--dns-server=%s", bad[i]);
		start_with(&s, (const char *[]){flag, NULL}, NULL);
		assert_int_equal(s.outcome, CONFIG_REFUSED);
		assert_non_null(strstr(s.err, "--dns-server: must be an IP address"));
		end(&s);
	}
}

static void test_settings_of_names_reach_their_module(void **state)
{
	static const char *const env[] = {"FLY_NAMESERVER=fdaa::3", NULL};
	static const char *const odd[] = {"FLY_NAMESERVER=nowhere", NULL};
	struct start s;
	const struct dns_settings *dns = &s.config.dns;

	start_with(&s, (const char *[]){NULL}, odd);
	assert_runs(&s);
	assert_null(dns->server);
	assert_null(dns->fallback_server);
	assert_int_equal(dns->prefer, DNS_PREFER_UNSET);
	assert_int_equal(dns->max_ttl_ms, 30000);
	assert_int_equal(dns->stale_ms, 300000);
	end(&s);
	start_with(&s,
		   (const char *[]){"--dns-prefer=ipv6-only", "--dns-max-ttl=2s", "--dns-stale=0",
				    NULL},
		   env);
	assert_runs(&s);
	assert_string_equal(dns->fallback_server, "fdaa::3");
	assert_int_equal(dns->prefer, DNS_ONLY_IPV6);
	assert_int_equal(dns->max_ttl_ms, 2000);
	assert_int_equal(dns->stale_ms, 0);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listen_addresses_are_listed_once_each),
		cmocka_unit_test(test_listen_addresses_that_cannot_be_are_refused),
		cmocka_unit_test(test_name_server_is_an_address_with_or_without_a_port),
		cmocka_unit_test(test_settings_of_names_reach_their_module),
	};

	return cmocka_run_group_tests_name("config_address", tests, NULL, NULL);
}
