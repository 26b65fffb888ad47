/* From the texts of --listen-address to one open listen set. Names are looked
 * up anew for each attempt, and all of them before anything is opened. */
#include "control/listening.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/log.h"

/* One of the addresses asked for, and what it means now. */
struct place {
	struct listening *owner;
	const char *text;
	struct listen_address address;
	struct dns_lookup *lookup; /* NULL: none under way */
};

struct listening {
	const struct listening_settings *settings;
	struct dns *dns;
	unsigned workers;
	int64_t dns_timeout_ms;
	listening_cb *cb;
	void *arg;
	uint16_t port;
	struct listen_set *set;     /* NULL: closed */
	struct listen_set *closing; /* let go, but workers may still hold it */
	size_t pending;             /* lookups under way */
	int lookup_error;           /* of this attempt */
	int logged_error;           /* 0: none since the last success */
	size_t count;
	struct place places[];
};

int listening_new(const struct listening_settings *settings, struct dns *dns, unsigned workers,
		  int64_t dns_timeout_ms, listening_cb *cb, void *arg,
		  struct listening **ret_listening)
{
	uint16_t port;
	int r = addr_parse_port(settings->port, &port);

	if (r < 0)
		return r;
	struct listening *l = calloc(1, sizeof(*l) + settings->count * sizeof(l->places[0]));
	if (l == NULL)
		return -ENOMEM;
	l->settings = settings;
	l->dns = dns;
	l->workers = workers;
	l->dns_timeout_ms = dns_timeout_ms;
	l->cb = cb;
	l->arg = arg;
	l->port = port;
	l->count = settings->count;
	for (size_t i = 0; i < l->count; i++) {
		struct place *p = &l->places[i];
		*p = (struct place){.owner = l, .text = settings->addresses[i]};
		/* Whom it would be in the way of can be asked before it is opened. */
		if (*p->text != '/' && addr_parse_ip(p->text, port, &p->address.addr) < 0)
			p->address.addr = (struct addr){0};
	}
	*ret_listening = l;
	return 0;
}

static void cancel_lookups(struct listening *l)
{
	for (size_t i = 0; i < l->count; i++)
		dns_cancel(&l->places[i].lookup);
	l->pending = 0;
}

void listening_free(struct listening **listening)
{
	struct listening *l = TAKE_PTR(*listening);

	if (l == NULL)
		return;
	cancel_lookups(l);
	listen_set_unref(&l->set);
	listen_set_unref(&l->closing);
	free(l);
}

static void report_failure(struct listening *l, const char *address, int error)
{
	char text[LISTEN_TEXT_SIZE + 200];
	const char *hint = l->settings->in_use_hint;

	if (l->logged_error == error)
		return;
	l->logged_error = error;
	if (error != -EADDRINUSE || hint == NULL)
		hint = "";
	snprintf(text, sizeof(text), "failed to start proxy: listen %s: %s%s", address,
		 err_text(error), hint);
	log_error("cannot listen, tried again at every check", log_stolon("check function error"),
		  log_text("error", text));
}

/* Names may turn out to be addresses that were given as well. */
static bool is_covered(const struct listening *l, size_t index)
{
	const struct listen_address *a = &l->places[index].address;

	for (size_t i = 0; i < index; i++) {
		const struct listen_address *b = &l->places[i].address;
		if (a->addr.sa.sa_family == AF_UNIX ? strcmp(a->path, b->path) == 0
						    : addr_equal(&a->addr, &b->addr))
			return true;
	}
	return false;
}

static int open_set(struct listening *l)
{
	char text[LISTEN_TEXT_SIZE];
	size_t count = 0;
	size_t failed;
	struct listen_address *addresses = calloc(l->count, sizeof(*addresses));

	if (addresses == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < l->count; i++) {
		if (!is_covered(l, i))
			addresses[count++] = l->places[i].address;
	}
	int r = listen_set_open(addresses, count, l->workers, &l->settings->keepalive, &l->set,
				&failed);
	if (r < 0)
		report_failure(l, listen_address_format(&addresses[failed], text), r);
	free(addresses);
	return r;
}

static void report_open(const struct listening *l)
{
	char text[LISTEN_TEXT_SIZE];

	for (size_t i = 0; i < l->count; i++) {
		if (!is_covered(l, i))
			log_info("listening", log_stolon("Starting proxying"),
				 log_text("address",
					  listen_address_format(&l->places[i].address, text)));
	}
}

static void try_to_open(struct listening *l)
{
	if (open_set(l) < 0)
		return;
	l->logged_error = 0;
	report_open(l);
	l->cb(l->arg);
}

/* A name gives its first address. */
static void on_answer(int error, const struct dns_answer *answer, void *arg)
{
	struct place *p = arg;
	struct listening *l = p->owner;

	p->lookup = NULL;
	l->pending--;
	if (error < 0) {
		l->lookup_error = error;
		report_failure(l, p->text, error);
	} else {
		p->address.addr = answer->addrs[0];
		addr_set_port(&p->address.addr, l->port);
	}
	if (l->pending == 0 && l->lookup_error == 0)
		try_to_open(l);
}

/* PostgreSQL's clients look for a socket by its folder and the port. */
static void set_path(struct place *p)
{
	struct stat status;
	bool is_folder = stat(p->text, &status) == 0 && S_ISDIR(status.st_mode);
	struct listen_address *a = &p->address;

	a->addr.sa.sa_family = AF_UNIX;
	if (is_folder)
		snprintf(a->path, sizeof(a->path), "%s/.s.PGSQL.%u", p->text, p->owner->port);
	else
		snprintf(a->path, sizeof(a->path), "%s", p->text);
}

static int find_address(struct place *p)
{
	struct listening *l = p->owner;

	if (*p->text == '/') {
		set_path(p);
		return 0;
	}
	if (addr_parse_ip(p->text, l->port, &p->address.addr) == 0)
		return 0;
	struct dns_request request = {.name = p->text, .timeout_ms = l->dns_timeout_ms};
	int r = dns_lookup(l->dns, &request, on_answer, p, &p->lookup);
	if (r == 0)
		l->pending++;
	return r;
}

void listening_open(struct listening *listening)
{
	struct listening *l = listening;

	if (l->set != NULL || l->pending > 0)
		return;
	if (l->closing != NULL) {
		/* The sockets are still open: a second set would collide with them. */
		l->set = TAKE_PTR(l->closing);
		report_open(l);
		l->cb(l->arg);
		return;
	}
	l->lookup_error = 0;
	for (size_t i = 0; i < l->count && l->lookup_error == 0; i++)
		l->lookup_error = find_address(&l->places[i]);
	if (l->pending == 0 && l->lookup_error == 0)
		try_to_open(l);
}

void listening_close(struct listening *listening)
{
	cancel_lookups(listening);
	if (listening->set == NULL)
		return;
	log_info("listening no more", log_stolon("Stopping listening"));
	listen_set_unref(&listening->closing);
	listening->closing = TAKE_PTR(listening->set);
}

void listening_closed(struct listening *listening)
{
	listen_set_unref(&listening->closing);
}

struct listen_set *listening_set(const struct listening *listening)
{
	return listening->set;
}

bool listening_is_reached_by(const struct listening *listening, const struct addr *addr)
{
	for (size_t i = 0; i < listening->count; i++) {
		if (listen_address_is_reached_by(&listening->places[i].address, addr))
			return true;
	}
	return false;
}
