/* c-ares' sockets and its timer become events of the loop. It does the ids, the
 * ports, EDNS, the retries and TCP; its answers are read by dns_message. */
#include "net/dns_channel.h"

/* ares_search() and ares_query() are what 1.18 has; newer ones prefer others. */
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/parse.h"

#define QUERY_LIMIT_MS 1000 /* one try with one server; the second one twice that */
#define QUERY_TRIES    2
#define EDNS_SIZE      1232 /* fits into any packet, so that none is put together from parts */
#define MAX_ALIASES    8    /* each asked for by itself */
#define CLASS_IN       1

#define RESOLV_CONF      "/etc/resolv.conf"
#define RESOLV_CONF_SIZE 65536

struct dns_channel {
	struct loop *loop;
	struct dns_channel_settings settings;
	ares_channel ares;
	struct loop_timer timer; /* c-ares' own retries and time-outs */
	struct list sockets;
	struct list again; /* questions of a channel that was replaced */
	bool closing;
};

struct dns_socket {
	struct list node;
	struct dns_channel *channel;
	struct event event;
};

struct dns_question {
	struct list node; /* in `again`, or alone */
	struct dns_channel *channel;
	char name[DNS_NAME_SIZE];
	enum dns_type type;
	unsigned aliases; /* followed so far */
	int64_t ttl_s;    /* of these */
	dns_channel_cb *cb;
	void *arg;
};

static void schedule_timer(struct dns_channel *c)
{
	struct timeval limit = {.tv_sec = 60};
	struct timeval buffer;
	const struct timeval *next = ares_timeout(c->ares, &limit, &buffer);

	if (list_is_empty(&c->sockets))
		loop_timer_stop(&c->timer);
	else
		loop_timer_start(&c->timer, next->tv_sec * 1000 + next->tv_usec / 1000 + 1);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct dns_channel *c = arg;

	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	schedule_timer(c);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct dns_channel *c = ((struct dns_socket *)arg)->channel;

	ares_process_fd(c->ares, what & EV_READ ? fd : ARES_SOCKET_BAD,
			what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	schedule_timer(c);
}

static struct dns_socket *find_socket(struct dns_channel *c, evutil_socket_t fd)
{
	list_for_each (node, &c->sockets) {
		struct dns_socket *s = CONTAINER_OF(node, struct dns_socket, node);
		if (event_get_fd(&s->event) == fd)
			return s;
	}
	return NULL;
}

/* c-ares tells which of its sockets it wants to read or write. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns_channel *c = arg;
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	struct dns_socket *s = find_socket(c, fd);

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
			return; /* the question ends by c-ares' time-outs */
		s->channel = c;
		list_append(&c->sockets, &s->node);
	}
	event_assign(&s->event, c->loop->base, fd, what | EV_PERSIST, on_socket, s);
	event_add(&s->event, NULL);
}

int dns_parse_server(const char *text, struct addr *ret)
{
	const char *colon = strrchr(text, ':');
	bool is_bare_ipv6 = *text != '[' && colon != NULL && strchr(text, ':') != colon;
	char host[ADDR_TEXT_SIZE];
	int64_t port = DNS_SERVER_PORT;
	size_t length = strlen(text);

	if (colon != NULL && !is_bare_ipv6 && (*text != '[' || colon[-1] == ']')) {
		length = (size_t)(colon - text);
		if (parse_int(colon + 1, 1, UINT16_MAX, &port) < 0)
			return ERR_SYNTAX;
	}
	if (length >= sizeof(host))
		return ERR_SYNTAX;
	memcpy(host, text, length);
	host[length] = '\0';
	/* A zone is nothing that c-ares understands. */
	if (strchr(host, '%') != NULL)
		return ERR_SYNTAX;
	return addr_parse_ip(host, (uint16_t)port, ret);
}

/* Whether a file names a server; c-ares would ask 127.0.0.1 otherwise. */
static bool names_servers(const char *path)
{
	static const char word[] = "nameserver";
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	AUTO_FREE char *text = malloc(RESOLV_CONF_SIZE);

	ssize_t size = fd < 0 || text == NULL ? -1 : read(fd, text, RESOLV_CONF_SIZE - 1);
	if (size < 0)
		return false;
	text[size] = '\0';
	for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
		line += strspn(line, "\n");
		if (strncmp(line, word, strlen(word)) == 0 && strchr(" \t", line[strlen(word)]))
			return true;
	}
	return false;
}

static int use_server(ares_channel ares, const char *text)
{
	struct addr addr;
	char csv[ADDR_TEXT_SIZE];

	int r = dns_parse_server(text, &addr);
	if (r < 0)
		return r;
	r = ares_set_servers_ports_csv(ares, addr_format(&addr, csv));
	return r == ARES_SUCCESS ? 0 : ERR_DNS;
}

static int open_ares(struct dns_channel *c, ares_channel *ret)
{
	/* c-ares wants a text that it may change, but does not. */
	char path[] = RESOLV_CONF;
	AUTO_FREE char *copy =
		strdup(c->settings.resolv_conf != NULL ? c->settings.resolv_conf : path);
	struct ares_options options = {.flags = ARES_FLAG_EDNS,
				       .ednspsz = EDNS_SIZE,
				       .timeout = QUERY_LIMIT_MS,
				       .tries = QUERY_TRIES,
				       .sock_state_cb = on_socket_state,
				       .sock_state_cb_data = c,
				       .resolvconf_path = copy};
	const char *server = c->settings.server;

	if (copy == NULL)
		return -ENOMEM;
	int set = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
		  ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF;
#ifdef ARES_OPT_QUERY_CACHE
	set |= ARES_OPT_QUERY_CACHE; /* 0 s: a second cache would make ours late */
#endif
	int r = ares_init_options(ret, &options, set);
	if (r != ARES_SUCCESS)
		return r == ARES_ENOMEM ? -ENOMEM : ERR_DNS;
	if (server == NULL && !names_servers(copy))
		server = c->settings.fallback;
	r = server == NULL ? 0 : use_server(*ret, server);
	if (r < 0)
		ares_destroy(*ret);
	return r;
}

int dns_channel_open(struct loop *loop, const struct dns_channel_settings *settings,
		     struct dns_channel **ret_channel)
{
	struct dns_channel *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->loop = loop;
	c->settings = *settings;
	list_init(&c->sockets);
	list_init(&c->again);
	loop_timer_init(&c->timer, loop, on_timer, c);
	int r = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS ? 0 : -ENOMEM;
	if (r == 0) {
		r = open_ares(c, &c->ares);
		if (r < 0)
			ares_library_cleanup();
	}
	if (r < 0) {
		free(c);
		return r;
	}
	*ret_channel = c;
	return 0;
}

void dns_channel_close(struct dns_channel **channel)
{
	struct dns_channel *c = TAKE_PTR(*channel);

	if (c == NULL)
		return;
	c->closing = true;
	ares_destroy(c->ares); /* ends every question: on_answer() frees them */
	loop_timer_stop(&c->timer);
	list_for_each_safe (node, &c->sockets) {
		struct dns_socket *s = CONTAINER_OF(node, struct dns_socket, node);
		event_del(&s->event);
		free(s);
	}
	ares_library_cleanup();
	free(c);
}

static void send_question(struct dns_question *q);

static void finish(struct dns_question *q, int error, struct dns_records *records)
{
	dns_channel_cb *cb = q->cb;
	void *arg = q->arg;

	free(q);
	cb(error, records, arg);
}

/* The alias is asked for as it is: what it is an alias of was found. */
static bool follow_alias(struct dns_question *q, const struct dns_records *records)
{
	if (records->alias[0] == '\0' || q->aliases >= MAX_ALIASES)
		return false;
	if (q->aliases++ == 0 || records->ttl_s < q->ttl_s)
		q->ttl_s = records->ttl_s;
	memcpy(q->name, records->alias, sizeof(q->name));
	send_question(q);
	return true;
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *data, int size)
{
	struct dns_question *q = arg;
	struct dns_records records = {0};
	int error = ERR_DNS;

	if (status == ARES_EDESTRUCTION) {
		if (q->channel->closing)
			free(q);
		else
			list_append(&q->channel->again, &q->node);
		return;
	}
	if (status == ARES_SUCCESS && data != NULL && size > 0)
		error = dns_message_read(data, (size_t)size, q->type, &records);
	else if (status == ARES_ENOTFOUND || status == ARES_ENODATA)
		error = ERR_NO_NAME;
	bool goes_on = error == 0 && follow_alias(q, &records);
	if (!goes_on) {
		if (error == 0 && q->aliases > 0 && q->ttl_s < records.ttl_s)
			records.ttl_s = q->ttl_s;
		bool is_good = error == 0 && records.alias[0] == '\0';
		finish(q, is_good || error == ERR_NO_NAME ? error : ERR_DNS, &records);
	}
	dns_records_deinit(&records);
}

static void send_question(struct dns_question *q)
{
	ares_channel ares = q->channel->ares;

	if (q->aliases > 0)
		ares_query(ares, q->name, CLASS_IN, q->type, on_answer, q);
	else
		ares_search(ares, q->name, CLASS_IN, q->type, on_answer, q);
}

void dns_channel_ask(struct dns_channel *channel, const char *name, enum dns_type type,
		     dns_channel_cb *cb, void *arg)
{
	struct dns_question *q = calloc(1, sizeof(*q));

	if (q == NULL || strlen(name) >= sizeof(q->name)) {
		free(q);
		cb(ERR_DNS, NULL, arg);
		return;
	}
	list_init(&q->node);
	q->channel = channel;
	memcpy(q->name, name, strlen(name) + 1);
	q->type = type;
	q->cb = cb;
	q->arg = arg;
	send_question(q);
	schedule_timer(channel);
}

void dns_channel_rebuild(struct dns_channel *channel)
{
	ares_channel fresh;
	struct list *node;

	if (open_ares(channel, &fresh) < 0)
		return;
	ares_channel old = channel->ares;
	channel->ares = fresh;
	ares_destroy(old);
	while ((node = list_first(&channel->again)) != NULL) {
		list_remove(node);
		send_question(CONTAINER_OF(node, struct dns_question, node));
	}
	schedule_timer(channel);
}
