/* cluster/local_member: which source is believed, and what is said when none is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/err.h"
#include "cluster/local_member.h"
#include "cluster/view_decode.h"

#define DB(uid, keeper, address, port)                                                             \
	"\"" uid "\":{\"spec\":{\"keeperUID\":\"" keeper                                           \
	"\"},\"status\":{\"listenAddress\":\"" address "\",\"port\":\"" port "\"}}"
#define AND ","
#define FLY_HOSTS                                                                                  \
	"127.0.0.1 localhost\n::1 localhost\nfdaa:0:2e26:a7b:775b:4009:bf60:2 fly-local-6pn\n"
/* Addresses of nobody's machine (RFC 5737, RFC 3849). */
#define ELSEWHERE "192.0.2.1"
#define FAR       "2001:db8::1"

struct files {
	char folder[40];
	char keeper[60];
	char hosts[60];
	struct view *view;
	const struct view_member *found;
	char text[LOCAL_MEMBER_TEXT_SIZE];
};

static int setup(void **state)
{
	struct files *f = calloc(1, sizeof(*f));

	strcpy(f->folder, "/tmp/pgsplice-local-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->keeper, sizeof(f->keeper), "%s/keeperstate", f->folder);
	snprintf(f->hosts, sizeof(f->hosts), "%s/hosts", f->folder);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct files *f = *state;

	view_unref(&f->view);
	remove(f->keeper);
	remove(f->hosts);
	rmdir(f->folder);
	free(f);
	return 0;
}

static void write_file(const char *path, const char *data, size_t size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static void write_text(const char *path, const char *text)
{
	write_file(path, text, strlen(text));
}

static void use_members(struct files *f, const char *members)
{
	char json[4096];
	char error[VIEW_ERROR_SIZE] = "";

	snprintf(json, sizeof(json),
		 "{\"formatVersion\":1,\"cluster\":{\"spec\":{\"initMode\":\"new\"}},\"dbs\":{%s}}",
		 members);
	view_unref(&f->view);
	if (view_decode(json, strlen(json), &f->view, error) < 0)
		fail_msg("%s: %s", json, error);
}

static int look(struct files *f, const char *name)
{
	struct local_member_settings settings = {name, f->keeper, f->hosts};

	f->found = NULL;
	f->text[0] = '\0';
	return local_member_find(&settings, f->view, &f->found, f->text);
}

static void check_found(struct files *f, const char *name, const char *uid)
{
	int r = look(f, name);

	if (r != 0)
		fail_msg("%s: %d, \"%s\"", name == NULL ? "-" : name, r, f->text);
	assert_string_equal(f->found->uid, uid);
}

static void check_not_found(struct files *f, const char *name, const char *text)
{
	assert_int_equal(look(f, name), ERR_NO_NAME);
	assert_null(f->found);
	if (strstr(f->text, text) == NULL)
		fail_msg("\"%s\" does not have \"%s\"", f->text, text);
}

/* Named by the user */

static void test_a_name_is_uid_keeper_or_address(void **state)
{
	struct files *f = *state;

	use_members(f, DB("db1", "keeper1", "10.0.0.1", "5432")
			       AND DB("db2", "keeper2", "2001:DB8:0::2", "5433")
				       AND DB("db3", "keeper3", "pg3.example", "postgresql"));
	check_found(f, "db1", "db1");
	check_found(f, "keeper2", "db2");
	check_found(f, "10.0.0.1", "db1");
	check_found(f, "10.0.0.1:5432", "db1");
	check_found(f, "2001:db8::2", "db2");
	check_found(f, "[2001:db8::2]", "db2");
	check_found(f, "[2001:db8::2]:5433", "db2");
	check_found(f, "pg3.example", "db3");
	check_found(f, "PG3.Example", "db3");
	check_found(f, "pg3.example:postgresql", "db3");
	check_not_found(f, "10.0.0.1:5433", "no member, keeper or published address is 10.0.0.1:");
	check_not_found(f, "10.0.0.1x5432", "no member");
	check_not_found(f, ":5432", "no member");
	check_not_found(f, "5432", "no member");
	check_not_found(f, "db", "no member");
	check_not_found(f, "DB1", "no member");
	check_not_found(f, "", "no member");
}

static void test_a_uid_goes_before_a_keeper_before_an_address(void **state)
{
	struct files *f = *state;

	use_members(f,
		    DB("a", "b", "c", "1") AND DB("b", "c", "a", "1") AND DB("d", "a", "b", "1"));
	check_found(f, "a", "a");
	check_found(f, "b", "b");
	check_found(f, "c", "b");
}

static void test_a_name_of_several_members_is_nobody_s(void **state)
{
	struct files *f = *state;

	use_members(f, DB("db1", "keeper1", "127.0.0.1", "5432")
			       AND DB("db2", "keeper1", "127.0.0.1", "5433"));
	check_not_found(f, "127.0.0.1", "several members are at address 127.0.0.1");
	check_found(f, "127.0.0.1:5433", "db2");
	check_not_found(f, "keeper1", "several members are of keeper keeper1");
}

static void test_nothing_published_matches_nothing(void **state)
{
	struct files *f = *state;

	use_members(f, DB("db1", "", "", "") AND DB("db2", "", ELSEWHERE, ""));
	check_not_found(f, "", "no member");
	check_not_found(f, ":", "no member");
	check_not_found(f, ELSEWHERE ":", "no member");
	check_not_found(f, NULL, "no member is at an address of this machine");
}

static void test_a_name_is_all_that_counts_if_given(void **state)
{
	struct files *f = *state;

	use_members(f, DB("db1", "keeper1", "127.0.0.1", "5432")
			       AND DB("db2", "keeper2", ELSEWHERE, "5432"));
	write_text(f->keeper, "{\"UID\":\"keeper1\"}");
	check_found(f, "db2", "db2");
	check_not_found(f, "db3", "is db3");
}

/* The keeper's state */

static void test_the_keeper_s_state_goes_before_all_else(void **state)
{
	static const char *const states[] = {
		"{\"UID\":\"keeper2\",\"ClusterUID\":\"0123\"}",
		"{\"ClusterUID\":\"0123\",\"uid\":\"keeper2\"}\n",
		"{\"UID\":\"keeper2\",\"Later\":[{\"x\":1}]}",
	};
	struct files *f = *state;

	use_members(f, DB("db1", "775b4009bf602", "127.0.0.1", "5432")
			       AND DB("db2", "keeper2", ELSEWHERE, "5432")
				       AND DB("keeper2", "keeper3", ELSEWHERE, "5433"));
	write_text(f->hosts, FLY_HOSTS);
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		write_text(f->keeper, states[i]);
		check_found(f, NULL, "db2");
	}
}

static void test_the_keeper_s_state_is_not_doubted(void **state)
{
	struct files *f = *state;

	use_members(f, DB("db1", "775b4009bf602", "127.0.0.1", "5432"));
	write_text(f->hosts, FLY_HOSTS);
	write_text(f->keeper, "{\"UID\":\"keeper9\"}");
	check_not_found(f, NULL, "no member is of keeper keeper9, which is the one in /tmp/pgs");
	use_members(f, DB("db1", "keeper9", "127.0.0.1", "5432")
			       AND DB("db2", "keeper9", ELSEWHERE, "5432"));
	check_not_found(f, NULL, "several members are of keeper keeper9");
}

static void test_a_state_that_names_nobody_is_as_none(void **state)
{
	static const struct {
		const char *state;
		const char *problem;
	} cases[] = {
		{"", "unexpected end of JSON input"},
		{"{}", "no UID"},
		{"null", "no UID"},
		{"{\"UID\":\"\"}", "no UID"},
		{"{\"UID\":null}", "no UID"},
		{"{\"UID\":7}", "UID: number, but a string is wanted"},
		{"[]", "list, but an object is wanted"},
		{"{\"UID\":\"keeper2\"", "unexpected end of JSON input"},
		{"keeper2", "invalid JSON"},
	};
	struct files *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		write_text(f->keeper, cases[i].state);
		use_members(f, DB("db1", "keeper1", "127.0.0.1", "5432"));
		check_found(f, NULL, "db1");
		use_members(f, DB("db1", "keeper1", ELSEWHERE, "5432"));
		check_not_found(f, NULL, cases[i].problem);
	}
}

static void test_a_state_of_64_kib_is_read_and_no_more(void **state)
{
	static char text[65537];
	struct files *f = *state;

	use_members(f, DB("db1", "keeper1", ELSEWHERE, "5432"));
	memset(text, ' ', sizeof(text));
	memcpy(text, "{\"UID\":\"keeper1\"}", 17);
	write_file(f->keeper, text, sizeof(text) - 1);
	check_found(f, NULL, "db1");
	write_file(f->keeper, text, sizeof(text));
	check_not_found(f, NULL, err_text(ERR_TOO_LARGE));
}

static void test_no_file_in_its_place(void **state)
{
	struct files *f = *state;

	use_members(f, DB("db1", "keeper1", ELSEWHERE, "5432"));
	check_not_found(f, NULL, "keeperstate: No such file or directory; ");
	assert_int_equal(mkdir(f->keeper, 0700), 0);
	check_not_found(f, NULL, "keeperstate: Is a directory; ");
	assert_int_equal(rmdir(f->keeper), 0);
	assert_int_equal(mkfifo(f->keeper, 0600), 0); /* and nobody writes to it */
	check_not_found(f, NULL, "keeperstate: unexpected end of JSON input; ");
}

/* Fly's machines */

static void test_the_uid_of_fly_s_images(void **state)
{
	static const struct {
		const char *address;
		const char *uid;
	} cases[] = {
		{"fdaa:0:2e26:a7b:775b:4009:bf60:2", "775b4009bf602"},
		{"FDAA:0000:2E26:0A7B:775B:4009:BF60:0002", "775b4009bf602"},
		{"fdaa:0:1:a7b:6b:0:1e7a:2", "6b01e7a2"},       /* from their own test */
		{"fdaa:0:1a:a7b:7b:0:21e9:2", "7b021e92"},      /* this too */
		{"fdaa:0:2e26:a7b:0:0:bf60:2", "bf602"},        /* a7b::bf60:2 */
		{"fdaa:0:0:a7b:775b:4009:bf60:2", "4009bf602"}, /* fdaa::a7b:775b:... */
	};
	struct files *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char members[300];
		char hosts[200];
		snprintf(members, sizeof(members),
			 DB("db1", "%s", ELSEWHERE, "5433")
				 AND DB("db2", "other", ELSEWHERE, "5433"),
			 cases[i].uid);
		snprintf(hosts, sizeof(hosts), "127.0.0.1 localhost\n%s fly-local-6pn # own\n",
			 cases[i].address);
		use_members(f, members);
		write_text(f->hosts, hosts);
		check_found(f, NULL, "db1");
	}
}

static void test_a_uid_of_fly_goes_before_addresses_but_may_be_nobody_s(void **state)
{
	struct files *f = *state;

	write_text(f->hosts, FLY_HOSTS);
	use_members(f, DB("db1", "keeper1", "127.0.0.1", "5432")
			       AND DB("db2", "775b4009bf602", ELSEWHERE, "5432"));
	check_found(f, NULL, "db2");
	use_members(f, DB("db1", "keeper1", "127.0.0.1", "5432"));
	check_found(f, NULL, "db1");
	use_members(f, DB("db1", "keeper1", ELSEWHERE, "5432"));
	check_not_found(f, NULL, "hosts: no member of keeper 775b4009bf602");
	write_text(f->hosts, "127.0.0.1 localhost fly-local-6pn\n");
	check_not_found(f, NULL, "hosts: no fly-local-6pn");
}

/* Addresses of this machine */

static void test_the_one_member_at_an_address_of_this_machine(void **state)
{
	static const char *const addresses[] = {"127.0.0.1", "127.0.1.1", "::ffff:127.0.0.1"};
	struct files *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		char members[500];
		snprintf(members, sizeof(members),
			 DB("db1", "keeper1", ELSEWHERE, "5432")
				 AND DB("db2", "keeper2", "%s", "5432")
					 AND DB("db3", "keeper3", FAR, "5432"),
			 addresses[i]);
		use_members(f, members);
		check_found(f, NULL, "db2");
	}
}

static void test_several_members_at_addresses_of_this_machine(void **state)
{
	struct files *f = *state;

	use_members(f, DB("db1", "keeper1", "127.0.0.1", "5432")
			       AND DB("db2", "keeper2", "127.0.0.1", "5433"));
	check_not_found(f, NULL, "several members are at addresses of this machine");
}

static void test_what_is_no_address_of_this_machine(void **state)
{
	struct files *f = *state;

	use_members(f, DB("db1", "k1", ELSEWHERE, "1") AND DB("db2", "k2", FAR, "1")
			       AND DB("db3", "k3", "localhost", "1") AND DB("db4", "k4", "", "1"));
	check_not_found(f, NULL, "no member is at an address of this machine");
	/* Every machine is at these, and so it says nothing about one. */
	use_members(f, DB("db1", "k1", "0.0.0.0", "1"));
	check_not_found(f, NULL, "no member is at an address of this machine");
	use_members(f, DB("db1", "k1", "::", "1"));
	check_not_found(f, NULL, "no member is at an address of this machine");
}

static void test_a_view_without_members(void **state)
{
	struct files *f = *state;

	f->view = view_absent();
	assert_non_null(f->view);
	check_not_found(f, NULL, "no member");
	check_not_found(f, "db1", "no member");
}

static void test_the_text_is_bounded_and_printable(void **state)
{
	char name[1000];
	struct files *f = *state;

	use_members(f, DB("db1", "keeper1", ELSEWHERE, "5432"));
	memset(name, '\n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	check_not_found(f, name, "????");
	assert_null(strchr(f->text, '\n'));
	assert_int_equal(strlen(f->text), LOCAL_MEMBER_TEXT_SIZE - 1);
}

int main(void)
{
#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_FILES(test_a_name_is_uid_keeper_or_address),
		WITH_FILES(test_a_uid_goes_before_a_keeper_before_an_address),
		WITH_FILES(test_a_name_of_several_members_is_nobody_s),
		WITH_FILES(test_nothing_published_matches_nothing),
		WITH_FILES(test_a_name_is_all_that_counts_if_given),
		WITH_FILES(test_the_keeper_s_state_goes_before_all_else),
		WITH_FILES(test_the_keeper_s_state_is_not_doubted),
		WITH_FILES(test_a_state_that_names_nobody_is_as_none),
		WITH_FILES(test_a_state_of_64_kib_is_read_and_no_more),
		WITH_FILES(test_no_file_in_its_place),
		WITH_FILES(test_the_uid_of_fly_s_images),
		WITH_FILES(test_a_uid_of_fly_goes_before_addresses_but_may_be_nobody_s),
		WITH_FILES(test_the_one_member_at_an_address_of_this_machine),
		WITH_FILES(test_several_members_at_addresses_of_this_machine),
		WITH_FILES(test_what_is_no_address_of_this_machine),
		WITH_FILES(test_a_view_without_members),
		WITH_FILES(test_the_text_is_bounded_and_printable),
	};

	return cmocka_run_group_tests_name("local_member", tests, NULL, NULL);
}
