/* One name with its last good answer. A cut never waits for it: while a new
 * name is looked up, the leader has no address, so nobody is routed. */
#include "routing/resolve.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

#define MAX_ADDRESSES 64

struct resolve {
	struct dns *dns;
	int64_t timeout_ms;
	resolve_cb *cb;
	void *arg;
	char *host; /* NULL: none yet */
	uint16_t port;
	bool is_literal;
	struct dns_lookup *lookup; /* NULL: none under way */
	int error;                 /* -EINPROGRESS before the first answer */
	size_t count;              /* of the last good answer */
	struct addr addrs[MAX_ADDRESSES];
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

static void take_answer(struct resolve *r, int error, const struct addr *addrs, size_t count)
{
	bool keeps_last_answer = error == ERR_DNS && r->count > 0;

	if (keeps_last_answer)
		return;
	r->error = error;
	r->count = 0;
	if (error < 0)
		return;
	r->count = count < MAX_ADDRESSES ? count : MAX_ADDRESSES;
	memcpy(r->addrs, addrs, r->count * sizeof(*addrs));
	set_ports(r);
}

static void on_answer(int error, const struct addr *addrs, size_t count, void *arg)
{
	struct resolve *r = arg;

	r->lookup = NULL;
	take_answer(r, error, addrs, count);
	r->cb(r->arg);
}

void resolve_refresh(struct resolve *resolve)
{
	if (resolve->host == NULL || resolve->is_literal || resolve->lookup != NULL)
		return;
	/* Only what was good is kept meanwhile. */
	if (resolve->count == 0)
		resolve->error = -EINPROGRESS;
	int r = dns_lookup(resolve->dns, resolve->host, resolve->timeout_ms, on_answer, resolve,
			   &resolve->lookup);
	if (r < 0)
		take_answer(resolve, ERR_DNS, NULL, 0);
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
	r->is_literal = addr_parse_ip(host, 0, &r->addrs[0]) == 0;
	if (r->is_literal) {
		r->error = 0;
		r->count = 1;
	} else {
		resolve_refresh(r);
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
