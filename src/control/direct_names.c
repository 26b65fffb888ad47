/* Names are followed by net/dns: each is asked for again before its answer expires, and
 * the last answer stays while name servers fail. */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "direct_private.h"

/* A member of the view that has a name in place of an address. */
struct named_member {
	struct list node;
	struct direct_names *owner;
	struct dns_lookup *lookup;
	bool is_wanted;
	bool has_address;
	struct addr addr; /* without a port */
	char host[];
};

struct direct_names {
	const struct direct_settings *settings;
	struct dns *dns;
	direct_names_cb *cb;
	void *arg;
	struct list members;
	uint16_t port; /* of the target's name */
	struct dns_lookup *lookup;
	int logged_error; /* of the target's name; 0: it has an answer */
	size_t count;
	struct addr addrs[2 * DNS_MAX_ADDRESSES];
};

/* The target's name */

static void log_answer(struct direct_names *n, int error)
{
	if (error == n->logged_error)
		return;
	n->logged_error = error;
	if (error < 0)
		log_warn("direct port: the target's name has no address",
			 log_text("name", n->settings->host), log_text("error", err_text(error)));
	else
		log_info("direct port: the target's name is known",
			 log_text("name", n->settings->host), log_number("count", n->count));
}

static bool take_answer(struct direct_names *n, int error, const struct dns_answer *answer)
{
	size_t count = error < 0 ? 0 : answer->count;
	bool is_same = count == n->count;

	if (count > ARRAY_LEN(n->addrs))
		count = ARRAY_LEN(n->addrs);
	for (size_t i = 0; i < count; i++) {
		struct addr addr = answer->addrs[i];
		addr_set_port(&addr, n->port);
		is_same = is_same && addr_equal(&addr, &n->addrs[i]);
		n->addrs[i] = addr;
	}
	n->count = count;
	log_answer(n, error);
	return !is_same;
}

static void on_target_answer(int error, const struct dns_answer *answer, void *arg)
{
	struct direct_names *n = arg;

	if (take_answer(n, error, answer))
		n->cb(n->arg);
}

static int follow_target(struct direct_names *n)
{
	const struct direct_settings *s = n->settings;

	int r = addr_parse_port(s->port, &n->port);
	if (r < 0)
		return r;
	if (addr_parse_ip(s->host, n->port, &n->addrs[0]) == 0) {
		n->count = 1;
		return 0;
	}
	struct dns_request request = {.name = s->host,
				      .timeout_ms = s->dns_timeout_ms,
				      .prefer = s->prefer,
				      .keeps_gone = true};
	return dns_follow(n->dns, &request, on_target_answer, n, &n->lookup);
}

int direct_names_new(const struct direct_settings *settings, struct dns *dns, direct_names_cb *cb,
		     void *arg, struct direct_names **ret_names)
{
	struct direct_names *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return -ENOMEM;
	n->settings = settings;
	n->dns = dns;
	n->cb = cb;
	n->arg = arg;
	list_init(&n->members);
	int r = settings->target == DIRECT_NAME ? follow_target(n) : 0;
	if (r < 0)
		direct_names_free(&n);
	else
		*ret_names = n;
	return r;
}

size_t direct_names_count(const struct direct_names *names)
{
	return names->count;
}

const struct addr *direct_names_at(const struct direct_names *names, size_t index)
{
	return &names->addrs[index];
}

size_t direct_names_place(const struct direct_names *names, const struct addr *addr)
{
	size_t i = 0;

	while (i < names->count && !addr_equal(&names->addrs[i], addr))
		i++;
	return i;
}

bool direct_names_answer(const struct direct_names *names, const struct addr *addr)
{
	return direct_names_place(names, addr) < names->count;
}

/* Members' names */

static bool has_addr(const struct dns_answer *answer, const struct addr *addr)
{
	for (size_t i = 0; i < answer->count; i++) {
		if (addr_equal(&answer->addrs[i], addr))
			return true;
	}
	return false;
}

static void on_member_answer(int error, const struct dns_answer *answer, void *arg)
{
	struct named_member *m = arg;

	if (error == 0 && m->has_address && has_addr(answer, &m->addr))
		return;
	if (error < 0 && !m->has_address)
		return;
	m->has_address = error == 0;
	if (error == 0)
		m->addr = answer->addrs[0];
	m->owner->cb(m->owner->arg);
}

static struct named_member *find_member(const struct direct_names *n, const char *host)
{
	list_for_each (node, &n->members) {
		struct named_member *m = CONTAINER_OF(node, struct named_member, node);
		if (strcmp(m->host, host) == 0)
			return m;
	}
	return NULL;
}

static void member_free(struct named_member *m)
{
	dns_cancel(&m->lookup);
	list_remove(&m->node);
	free(m);
}

/* A member that is not followed for lack of memory has no address. */
static void follow_member(struct direct_names *n, const char *host)
{
	struct dns_request request = {
		.name = host, .timeout_ms = n->settings->dns_timeout_ms, .keeps_gone = true};
	size_t size = strlen(host) + 1;
	struct named_member *m = calloc(1, sizeof(*m) + size);

	if (m == NULL)
		return;
	m->owner = n;
	m->is_wanted = true;
	memcpy(m->host, host, size);
	list_append(&n->members, &m->node);
	if (dns_follow(n->dns, &request, on_member_answer, m, &m->lookup) < 0)
		member_free(m);
}

void direct_names_take_view(struct direct_names *names, const struct view *view)
{
	size_t count = view_status(view) == VIEW_OK ? view_member_count(view) : 0;
	struct addr addr;

	list_for_each (node, &names->members)
		CONTAINER_OF(node, struct named_member, node)->is_wanted = false;
	for (size_t i = 0; i < count; i++) {
		const char *host = view_member_at(view, i)->listen_address;
		struct named_member *m = find_member(names, host);
		if (m != NULL)
			m->is_wanted = true;
		else if (*host != '\0' && addr_parse_ip(host, 0, &addr) < 0)
			follow_member(names, host);
	}
	list_for_each_safe (node, &names->members) {
		struct named_member *m = CONTAINER_OF(node, struct named_member, node);
		if (!m->is_wanted)
			member_free(m);
	}
}

bool direct_names_address(const struct direct_names *names, const struct view_member *member,
			  struct addr *ret)
{
	uint16_t port;

	if (addr_parse_port(member->port, &port) < 0)
		return false;
	if (addr_parse_ip(member->listen_address, port, ret) == 0)
		return true;
	const struct named_member *m = find_member(names, member->listen_address);
	if (m == NULL || !m->has_address)
		return false;
	*ret = m->addr;
	addr_set_port(ret, port);
	return true;
}

void direct_names_free(struct direct_names **names)
{
	struct direct_names *n = TAKE_PTR(*names);

	if (n == NULL)
		return;
	dns_cancel(&n->lookup);
	list_for_each_safe (node, &n->members)
		member_free(CONTAINER_OF(node, struct named_member, node));
	free(n);
}
