/* One name with its last answer. A cut never waits for it: while a new name is
 * looked up, the leader has no address, so nobody is routed. */
#include "routing/resolve.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

struct resolve {
	struct dns *dns;
	int64_t timeout_ms;
	resolve_cb *cb;
	void *arg;
	char *host; /* NULL: none yet */
	uint16_t port;
	struct dns_lookup *lookup; /* follows the host; NULL for an IP address */
	int error;                 /* -EINPROGRESS before the first answer */
	size_t count;
	struct addr addrs[DNS_MAX_ADDRESSES]; /* with the port */
};

int resolve_new(struct dns *dns, int64_t timeout_ms, resolve_cb *cb, void *arg,
		struct resolve **ret_resolve)
{
	struct resolve *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->dns = dns;
	r->timeout_ms = timeout_ms;
	r->cb = cb;
	r->arg = arg;
	*ret_resolve = r;
	return 0;
}

void resolve_free(struct resolve **resolve)
{
	struct resolve *r = TAKE_PTR(*resolve);

	if (r == NULL)
		return;
	dns_cancel(&r->lookup);
	free(r->host);
	free(r);
}

static void set_ports(struct resolve *r)
{
	for (size_t i = 0; i < r->count; i++)
		addr_set_port(&r->addrs[i], r->port);
}

/* Whether each of a is in b, whatever the ports. */
static bool all_in(const struct addr *a, const struct addr *b, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct addr addr = a[i];
		size_t j = 0;
		while (j < count) {
			addr_set_port(&addr, addr_port(&b[j]));
			if (addr_equal(&addr, &b[j]))
				break;
			j++;
		}
		if (j == count)
			return false;
	}
	return true;
}

/* Returns whether anything has changed. */
static bool take_answer(struct resolve *r, int error, const struct dns_answer *answer)
{
	size_t count = error < 0 ? 0 : answer->count;

	if (r->error == error && r->count == count && all_in(answer->addrs, r->addrs, count) &&
	    all_in(r->addrs, answer->addrs, count))
		return false;
	r->error = error;
	r->count = count;
	memcpy(r->addrs, answer->addrs, count * sizeof(answer->addrs[0]));
	set_ports(r);
	return true;
}

static void on_answer(int error, const struct dns_answer *answer, void *arg)
{
	struct resolve *r = arg;

	if (take_answer(r, error, answer))
		r->cb(r->arg);
}

static void follow_name(struct resolve *r)
{
	struct dns_request request = {.name = r->host, .timeout_ms = r->timeout_ms};
	struct dns_answer answer;
	int error = dns_follow(r->dns, &request, on_answer, r, &r->lookup);

	if (error == 0)
		error = dns_peek(r->lookup, &answer);
	take_answer(r, error == -ENOMEM ? ERR_DNS : error, &answer);
}

void resolve_refresh(struct resolve *resolve)
{
	if (resolve->lookup != NULL)
		dns_refresh(resolve->lookup);
	else if (resolve->error == ERR_DNS)
		follow_name(resolve); /* there was no memory to */
}

static int follow_host(struct resolve *r, const char *host)
{
	char *copy = strdup(host);

	if (copy == NULL)
		return -ENOMEM;
	dns_cancel(&r->lookup);
	free(r->host);
	r->host = copy;
	r->count = 0;
	r->error = -EINPROGRESS;
	if (addr_parse_ip(host, 0, &r->addrs[0]) == 0) {
		r->error = 0;
		r->count = 1;
	} else {
		follow_name(r);
	}
	return 0;
}

int resolve_get(struct resolve *resolve, const char *host, const char *port,
		const struct addr **ret_addrs, size_t *ret_count)
{
	uint16_t number;

	int r = addr_parse_port(port, &number);
	if (r < 0)
		return r;
	if (resolve->host == NULL || strcmp(resolve->host, host) != 0) {
		r = follow_host(resolve, host);
		if (r < 0)
			return r;
	}
	if (resolve->error < 0)
		return resolve->error;
	resolve->port = number;
	set_ports(resolve);
	*ret_addrs = resolve->addrs;
	*ret_count = resolve->count;
	return 0;
}
