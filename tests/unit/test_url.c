/* net/url: what names a store, with and without its parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/url.h"

static const struct {
	const char *text;
	uint16_t default_port;
	bool is_https;
	const char *user;
	const char *password;
	const char *host;
	uint16_t port;
	const char *path;
	const char *origin;
} good[] = {
	{"http://127.0.0.1:2379", 0, false, NULL, NULL, "127.0.0.1", 2379, "",
	 "http://127.0.0.1:2379"},
	{"127.0.0.1:2379", 0, false, NULL, NULL, "127.0.0.1", 2379, "", "http://127.0.0.1:2379"},
	{"etcd-1", 2379, false, NULL, NULL, "etcd-1", 2379, "", "http://etcd-1:2379"},
	{"etcd-1", 0, false, NULL, NULL, "etcd-1", 80, "", "http://etcd-1:80"},
	{"https://etcd-1/", 0, true, NULL, NULL, "etcd-1", 443, "/", "https://etcd-1:443"},
	{"HTTPS://Etcd-1:65535/a?b#c", 0, true, NULL, NULL, "Etcd-1", 65535, "/a?b#c",
	 "https://Etcd-1:65535"},
	{"http://[::1]:2379/x", 0, false, NULL, NULL, "::1", 2379, "/x", "http://[::1]:2379"},
	{"[fe80::1%lo]", 2379, false, NULL, NULL, "fe80::1%lo", 2379, "",
	 "http://[fe80::1%lo]:2379"},
	{"http://u@h", 0, false, "u", NULL, "h", 80, "", "http://h:80"},
	{"http://u:@h", 0, false, "u", "", "h", 80, "", "http://h:80"},
	{"http://:p@h", 0, false, "", "p", "h", 80, "", "http://h:80"},
	{"http://u:p:q@h", 0, false, "u", "p:q", "h", 80, "", "http://h:80"},
	{"http://u:p@ss@h:1", 0, false, "u", "p@ss", "h", 1, "", "http://h:1"},
	{"http://a%40b:%3a%2F%25@h", 0, false, "a@b", ":/%", "h", 80, "", "http://h:80"},
	{"u:p@[::1]:5", 0, false, "u", "p", "::1", 5, "", "http://[::1]:5"},
	/* An @ in the path is none of the account's. */
	{"http://h/a@b", 0, false, NULL, NULL, "h", 80, "/a@b", "http://h:80"},
	{"http://h?a@b:c", 0, false, NULL, NULL, "h", 80, "?a@b:c", "http://h:80"},
};

static void assert_text(const char *text, const char *expected)
{
	if (expected == NULL)
		assert_null(text);
	else
		assert_string_equal(text, expected);
}

static void test_all_parts_are_found(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct url url;
		char origin[URL_TEXT_SIZE];

		if (url_parse(good[i].text, good[i].default_port, &url) != 0)
			fail_msg("%s", good[i].text);
		assert_int_equal(url.is_https, good[i].is_https);
		assert_text(url.user, good[i].user);
		assert_text(url.password, good[i].password);
		assert_text(url.host, good[i].host);
		assert_int_equal(url.port, good[i].port);
		assert_text(url.path, good[i].path);
		assert_text(url_format_origin(&url, origin), good[i].origin);
		url_deinit(&url);
		assert_null(url.host);
	}
}

static void test_the_origin_shows_no_account_and_fits(void **state)
{
	struct url url;
	char text[600] = "http://user:secret@";
	char origin[URL_TEXT_SIZE];
	size_t head = strlen(text);

	memset(text + head, 'h', 500);
	text[head + 500] = '\0';
	assert_int_equal(url_parse(text, 0, &url), 0);
	url_format_origin(&url, origin);
	assert_true(strlen(origin) < URL_TEXT_SIZE);
	assert_null(strstr(origin, "secret"));
	assert_null(strstr(origin, "user"));
	url_deinit(&url);
}

static void test_what_is_no_url_of_a_store_is_refused(void **state)
{
	static const struct {
		const char *text;
		int error; /* 0: any */
	} bad[] = {
		{"", ERR_SYNTAX},
		{"http://", ERR_SYNTAX},
		{"http:///x", ERR_SYNTAX},
		{"ftp://h", ERR_SYNTAX},
		{"unix:///run/etcd", ERR_SYNTAX},
		{"httpss://h", ERR_SYNTAX},
		{"://h", ERR_SYNTAX},
		{"h:", 0},
		{"h:0", ERR_RANGE},
		{"h:65536", ERR_RANGE},
		{"h:99999999999999999999", 0},
		{"h:2379x", ERR_SYNTAX},
		{"h:-1", 0},
		{"::1", 0},
		{"a:b:c", ERR_SYNTAX},
		{"[::1", ERR_SYNTAX},
		{"[::1]x", ERR_SYNTAX},
		{"[::1]:", 0},
		{"[]", ERR_SYNTAX},
		{":2379", ERR_SYNTAX},
		{"u:p@", ERR_SYNTAX},
		{"a b", ERR_SYNTAX},
		{"h\r\nX: y", ERR_SYNTAX},
		{"u%4@h", ERR_SYNTAX},
		{"u%@h", ERR_SYNTAX},
		{"u%gg@h", ERR_SYNTAX},
		{"u:%4@h", ERR_SYNTAX},
		/* A NUL would silently end the name or the password. */
		{"u%00x:p@h", ERR_SYNTAX},
		{"u:p%00x@h", ERR_SYNTAX},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct url url = {.port = 7};
		int error = url_parse(bad[i].text, 0, &url);

		if (error >= 0 || (bad[i].error != 0 && error != bad[i].error))
			fail_msg("%s: %d", bad[i].text, error);
		assert_int_equal(url.port, 7); /* written on success only */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_parts_are_found),
		cmocka_unit_test(test_the_origin_shows_no_account_and_fits),
		cmocka_unit_test(test_what_is_no_url_of_a_store_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
