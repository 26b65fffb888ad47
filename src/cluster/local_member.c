/* From what this machine says of itself to one member of the view. Each source is
 * asked only if those before it know nothing; whatever names a keeper for certain
 * (the user, its state file) is not overruled by a guess. */
#include "cluster/local_member.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "cluster/go_json.h"
#include "net/addr.h"
#include "net/dns_hosts.h"

#define KEEPER_FILE     "/data/keeperstate"
#define HOSTS_FILE      "/etc/hosts"
#define FILE_MAX_SIZE   65536
#define FLY_NAME        "fly-local-6pn"
#define FLY_UID_SIZE    17 /* four groups of four digits */
#define FLY_FIRST_GROUP 4
#define PROBLEM_SIZE    80

/* Members by one property */

typedef bool member_matches(const struct view_member *member, const void *what);

/* How many there are; *ret is one of them. */
static size_t find(const struct view *view, member_matches *matches, const void *what,
		   const struct view_member **ret)
{
	size_t count = 0;

	for (size_t i = 0; i < view_member_count(view); i++) {
		const struct view_member *member = view_member_at(view, i);
		if (matches(member, what)) {
			*ret = member;
			count++;
		}
	}
	return count;
}

static bool has_uid(const struct view_member *member, const void *uid)
{
	return strcmp(member->uid, uid) == 0;
}

static bool has_keeper(const struct view_member *member, const void *uid)
{
	return *member->keeper_uid != '\0' && strcmp(member->keeper_uid, uid) == 0;
}

/* An address may be written in several ways. */
static bool has_host(const struct view_member *member, const void *host)
{
	struct addr given;
	struct addr published;

	if (*member->listen_address == '\0')
		return false;
	if (strcasecmp(member->listen_address, host) == 0)
		return true;
	return addr_parse_ip(host, 0, &given) == 0 &&
	       addr_parse_ip(member->listen_address, 0, &published) == 0 &&
	       addr_equal(&given, &published);
}

static bool has_host_and_port(const struct view_member *member, const void *text)
{
	size_t length = strlen(text);
	size_t port_length = strlen(member->port);
	const char *port = (const char *)text + length - port_length;

	if (port_length == 0 || length <= port_length || port[-1] != ':' ||
	    strcmp(port, member->port) != 0)
		return false;
	AUTO_FREE char *host = strndup(text, length - port_length - 1);
	return host != NULL && has_host(member, host);
}

/* A name is not looked up. */
static bool is_here(const struct view_member *member, const void *unused)
{
	struct addr addr;

	return addr_parse_ip(member->listen_address, 0, &addr) == 0 && !addr_is_any(&addr) &&
	       addr_is_local(&addr);
}

static size_t find_here(const struct view *view, const struct view_member **ret)
{
	return find(view, is_here, NULL, ret);
}

/* What the files say */

static int read_file(const char *path, struct strbuf *into)
{
	/* O_NONBLOCK: whatever is in the file's place must not hold us. */
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char piece[4096];
	ssize_t size;

	if (fd < 0)
		return -errno;
	while ((size = read(fd, piece, sizeof(piece))) > 0) {
		if (into->size + (size_t)size > FILE_MAX_SIZE)
			return ERR_TOO_LARGE;
		int r = strbuf_append(into, piece, (size_t)size);
		if (r < 0)
			return r;
	}
	return size < 0 ? -errno : 0;
}

struct keeper_state {
	const char *uid;
};

static const struct go_field keeper_fields[] = {
	{"UID", offsetof(struct keeper_state, uid), NULL, GO_STRING, false},
};
static const struct go_table keeper_table = {sizeof(struct keeper_state), keeper_fields,
					     ARRAY_LEN(keeper_fields)};

/* The UID in the keeper's state, in the arena. NULL: `problem` says why there is none. */
static const char *read_keeper_uid(const char *path, struct go_arena *arena,
				   char problem[static PROBLEM_SIZE])
{
	struct strbuf json = {0};
	void *object = NULL;
	int r = read_file(path, &json);

	if (r < 0)
		snprintf(problem, PROBLEM_SIZE, "%s", err_text(r));
	else
		r = go_json_decode(json.size > 0 ? json.data : "", json.size, &keeper_table, arena,
				   &object, problem, PROBLEM_SIZE);
	strbuf_deinit(&json);
	if (r < 0)
		return NULL;
	const struct keeper_state *keeper = object;
	if (keeper != NULL && *keeper->uid != '\0')
		return keeper->uid;
	snprintf(problem, PROBLEM_SIZE, "no UID");
	return NULL;
}

/* As Fly's images do it: the address as text, what is between its colons from the
 * fifth piece on. With "::" in it these are not the last four groups. */
static void make_fly_uid(const struct addr *addr, char uid[static FLY_UID_SIZE])
{
	char text[INET6_ADDRSTRLEN];
	unsigned group = 0;
	size_t size = 0;

	inet_ntop(AF_INET6, &addr->in6.sin6_addr, text, sizeof(text));
	for (const char *c = text; *c != '\0'; c++) {
		if (*c == ':')
			group++;
		else if (group >= FLY_FIRST_GROUP && size < FLY_UID_SIZE - 1)
			uid[size++] = *c;
	}
	uid[size] = '\0';
}

/* "" if the machine is not one of Fly's. */
static void read_fly_uid(const char *path, char uid[static FLY_UID_SIZE])
{
	struct strbuf text = {0};
	struct dns_records found = {0};

	uid[0] = '\0';
	dns_hosts_read(path, &text);
	if (text.size > 0)
		dns_hosts_find(text.data, text.size, FLY_NAME, AF_INET6, &found);
	strbuf_deinit(&text);
	if (found.count > 0)
		make_fly_uid(&found.addrs[0], uid);
}

/* The order of sources */

static size_t find_named(const struct view *view, const char *name, const struct view_member **ret,
			 char text[static LOCAL_MEMBER_TEXT_SIZE])
{
	static const struct {
		member_matches *matches;
		const char *of;
	} ways[] = {
		{has_uid, "named"},
		{has_keeper, "of keeper"},
		{has_host, "at address"},
		{has_host_and_port, "at address"},
	};

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		size_t count = find(view, ways[i].matches, name, ret);
		if (count > 1)
			snprintf(text, LOCAL_MEMBER_TEXT_SIZE, "several members are %s %s",
				 ways[i].of, name);
		if (count > 0)
			return count;
	}
	snprintf(text, LOCAL_MEMBER_TEXT_SIZE, "no member, keeper or published address is %s",
		 name);
	return 0;
}

/* The same for a keeper that the state file names: who else could it be? */
static size_t find_keeper(const struct view *view, const char *uid, const char *path,
			  const struct view_member **ret, char text[static LOCAL_MEMBER_TEXT_SIZE])
{
	size_t count = find(view, has_keeper, uid, ret);

	if (count != 1)
		snprintf(text, LOCAL_MEMBER_TEXT_SIZE, "%s of keeper %s, which is the one in %s",
			 count == 0 ? "no member is" : "several members are", uid, path);
	return count;
}

static size_t find_by_place(const struct view *view, const char *hosts, const char *keeper_file,
			    const char *problem, const struct view_member **ret,
			    char text[static LOCAL_MEMBER_TEXT_SIZE])
{
	char uid[FLY_UID_SIZE];

	read_fly_uid(hosts, uid);
	size_t count = find(view, has_keeper, uid, ret);
	if (count != 1)
		count = find_here(view, ret);
	if (count > 1)
		snprintf(text, LOCAL_MEMBER_TEXT_SIZE,
			 "several members are at addresses of this machine");
	else if (count == 0)
		snprintf(text, LOCAL_MEMBER_TEXT_SIZE,
			 "no member is at an address of this machine; %s: %s; %s: no %s%s",
			 keeper_file, problem, hosts, *uid == '\0' ? "" : "member of keeper ",
			 *uid == '\0' ? FLY_NAME : uid);
	return count;
}

int local_member_find(const struct local_member_settings *settings, const struct view *view,
		      const struct view_member **ret, char text[static LOCAL_MEMBER_TEXT_SIZE])
{
	const char *keeper_file =
		settings->keeper_file != NULL ? settings->keeper_file : KEEPER_FILE;
	const char *hosts = settings->hosts != NULL ? settings->hosts : HOSTS_FILE;
	const struct view_member *found = NULL;
	char problem[PROBLEM_SIZE];
	struct go_arena arena;
	size_t count;

	go_arena_init(&arena);
	if (settings->name != NULL) {
		count = find_named(view, settings->name, &found, text);
	} else {
		const char *uid = read_keeper_uid(keeper_file, &arena, problem);
		count = uid != NULL
				? find_keeper(view, uid, keeper_file, &found, text)
				: find_by_place(view, hosts, keeper_file, problem, &found, text);
	}
	go_arena_deinit(&arena);
	if (count != 1) {
		go_json_make_printable(text);
		return ERR_NO_NAME;
	}
	*ret = found;
	return 0;
}
