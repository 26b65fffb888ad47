/* c-ares on libevent: its sockets and its timer become events of the loop.
 *
 * c-ares may answer inside the call that asks (hosts file) and cannot give up
 * a single query, so each lookup keeps its own result and timer: the timer runs
 * the callback from the loop, at once after an answer or at the deadline. */
#include "net/dns.h"

#include <ares.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/list.h"

#define MAX_ADDRESSES  64   /* of one family */
#define QUERY_LIMIT_MS 1000 /* one try with one server */
#define QUERY_TRIES    3
/* How long the answer of one family waits for that of the other. */
#define GRACE_MS 200

struct dns {
	struct loop *loop;
	ares_channel channel;
	struct loop_timer timer; /* c-ares' own retries and time-outs */
	struct list sockets;
	struct list lookups;
};

struct dns_socket {
	struct list node;
	struct dns *dns;
	struct event event;
};

/* One family's part of a lookup. */
struct dns_query {
	struct dns_lookup *lookup;
	bool answered; /* c-ares has let go of it */
	int error;
	size_t count;
	struct addr addrs[MAX_ADDRESSES];
};

struct dns_lookup {
	struct list node;
	struct dns *dns;
	dns_cb *cb; /* NULL once told or cancelled: then only c-ares holds the lookup */
	void *arg;
	struct loop_timer timer;
	struct dns_query queries[2]; /* IPv4 first */
};

static void schedule_timer(struct dns *dns)
{
	struct timeval limit = {.tv_sec = 60};
	struct timeval buffer;
	const struct timeval *next = ares_timeout(dns->channel, &limit, &buffer);

	if (list_is_empty(&dns->sockets))
		loop_timer_stop(&dns->timer);
	else
		loop_timer_start(&dns->timer, next->tv_sec * 1000 + next->tv_usec / 1000 + 1);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct dns *dns = arg;

	ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	schedule_timer(dns);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct dns *dns = ((struct dns_socket *)arg)->dns;

	ares_process_fd(dns->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
			what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	schedule_timer(dns);
}

static struct dns_socket *find_socket(struct dns *dns, evutil_socket_t fd)
{
	list_for_each (node, &dns->sockets) {
		struct dns_socket *s = CONTAINER_OF(node, struct dns_socket, node);
		if (event_get_fd(&s->event) == fd)
			return s;
	}
	return NULL;
}

/* c-ares tells which of its sockets it wants to read or write. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns *dns = arg;
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	struct dns_socket *s = find_socket(dns, fd);

	if (s != NULL) {
		event_del(&s->event);
		if (what == 0) {
			list_remove(&s->node);
			free(s);
			return;
		}
	} else {
		if (what == 0)
			return;
		s = calloc(1, sizeof(*s));
		if (s == NULL)
			return; /* the lookup ends at its deadline */
		s->dns = dns;
		list_append(&dns->sockets, &s->node);
	}
	event_assign(&s->event, dns->loop->base, fd, what | EV_PERSIST, on_socket, s);
	event_add(&s->event, NULL);
}

int dns_open(struct loop *loop, struct dns **ret_dns)
{
	struct ares_options options = {0};
	struct dns *dns = calloc(1, sizeof(*dns));

	if (dns == NULL)
		return -ENOMEM;
	dns->loop = loop;
	list_init(&dns->sockets);
	list_init(&dns->lookups);
	loop_timer_init(&dns->timer, loop, on_timer, dns);
	options.timeout = QUERY_LIMIT_MS;
	options.tries = QUERY_TRIES;
	options.sock_state_cb = on_socket_state;
	options.sock_state_cb_data = dns;
	int r = ares_library_init(ARES_LIB_INIT_ALL);
	if (r == ARES_SUCCESS)
		r = ares_init_options(&dns->channel, &options,
				      ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
	if (r != ARES_SUCCESS) {
		free(dns);
		return r == ARES_ENOMEM ? -ENOMEM : ERR_DNS;
	}
	*ret_dns = dns;
	return 0;
}

static bool is_answered(const struct dns_lookup *lookup)
{
	return lookup->queries[0].answered && lookup->queries[1].answered;
}

static void free_if_done(struct dns_lookup *lookup)
{
	if (lookup->cb != NULL || !is_answered(lookup))
		return;
	list_remove(&lookup->node);
	free(lookup);
}

void dns_cancel(struct dns_lookup **lookup)
{
	struct dns_lookup *l = TAKE_PTR(*lookup);

	if (l == NULL)
		return;
	loop_timer_stop(&l->timer);
	l->cb = NULL;
	free_if_done(l);
}

void dns_close(struct dns **dns)
{
	struct dns *d = TAKE_PTR(*dns);

	if (d == NULL)
		return;
	list_for_each_safe (node, &d->lookups) {
		struct dns_lookup *l = CONTAINER_OF(node, struct dns_lookup, node);
		dns_cancel(&l);
	}
	ares_destroy(d->channel); /* answers every lookup: on_answer() frees them */
	loop_timer_stop(&d->timer);
	list_for_each_safe (node, &d->sockets) {
		struct dns_socket *s = CONTAINER_OF(node, struct dns_socket, node);
		event_del(&s->event);
		free(s);
	}
	ares_library_cleanup();
	free(d);
}

static void take_addresses(struct dns_query *q, const struct ares_addrinfo *info)
{
	for (const struct ares_addrinfo_node *n = info->nodes; n != NULL; n = n->ai_next) {
		if (q->count < MAX_ADDRESSES && n->ai_addrlen <= (socklen_t)sizeof(q->addrs[0]))
			memcpy(&q->addrs[q->count++], n->ai_addr, n->ai_addrlen);
	}
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct dns_query *q = arg;
	struct dns_lookup *l = q->lookup;

	q->answered = true;
	if (status == ARES_SUCCESS && info != NULL)
		take_addresses(q, info);
	if (info != NULL)
		ares_freeaddrinfo(info);
	if (q->count > 0)
		q->error = 0;
	else if (status == ARES_SUCCESS || status == ARES_ENOTFOUND || status == ARES_ENODATA)
		q->error = ERR_NO_NAME;
	if (l->cb != NULL && is_answered(l))
		loop_timer_start(&l->timer, 0);
	else if (l->cb != NULL && q->count > 0)
		loop_timer_start(&l->timer, GRACE_MS);
	free_if_done(l);
}

/* Tells what is there: of a family that has not answered, nothing is known. */
static void on_lookup_timer(evutil_socket_t fd, short what, void *arg)
{
	struct dns_lookup *l = arg;
	const struct dns_query *v4 = &l->queries[0];
	const struct dns_query *v6 = &l->queries[1];
	struct addr addrs[2 * MAX_ADDRESSES];
	size_t count = v4->count + v6->count;
	int error = ERR_DNS;

	memcpy(addrs, v4->addrs, v4->count * sizeof(addrs[0]));
	memcpy(addrs + v4->count, v6->addrs, v6->count * sizeof(addrs[0]));
	if (count > 0)
		error = 0;
	else if (v4->error == ERR_NO_NAME && v6->error == ERR_NO_NAME)
		error = ERR_NO_NAME;
	dns_cb *cb = TAKE_PTR(l->cb);
	void *cb_arg = l->arg;
	free_if_done(l);
	cb(error, addrs, count, cb_arg);
}

int dns_lookup(struct dns *dns, const char *name, int64_t timeout_ms, dns_cb *cb, void *arg,
	       struct dns_lookup **ret_lookup)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct dns_lookup *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	l->dns = dns;
	l->cb = cb;
	l->arg = arg;
	list_append(&dns->lookups, &l->node);
	loop_timer_init(&l->timer, dns->loop, on_lookup_timer, l);
	loop_timer_start(&l->timer, timeout_ms);
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		l->queries[i] = (struct dns_query){.lookup = l, .error = ERR_DNS};
	*ret_lookup = l;
	/* Apart, so that a name server which ignores one does not cost the other. */
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT,
						    .ai_family = families[i],
						    .ai_socktype = SOCK_STREAM};
		ares_getaddrinfo(dns->channel, name, NULL, &hints, on_answer, &l->queries[i]);
	}
	schedule_timer(dns);
	return 0;
}
