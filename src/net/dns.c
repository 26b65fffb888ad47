/* Names, who waits for them, and when they are asked for.
 *
 * A name is asked for in rounds: a question for each part (A and AAAA apart, so
 * that a server which ignores one does not cost the other, nor make its next round
 * late) unless one is under way. The answers go into the cache, whoever waits is
 * told from a timer. A name in use
 * has its next round before the answer expires; one out of use is forgotten. */
#include "net/dns.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/err.h"
#include "net/dns_channel.h"
#include "net/dns_hosts.h"
#include "net/file_watch.h"

#define KEEP_MS   (5 * 60 * 1000) /* a name that nobody asks for any more */
#define MAX_NAMES 256
/* How long the answer of one family waits for that of the other. */
#define GRACE_MS 200
/* Between two rounds of one, while the other is silent. */
#define ROUND_LEAST_MS 800
/* And a lookup with an expired answer for a new one. */
#define EXPIRED_WAIT_MS 1000

struct dns {
	struct loop *loop;
	struct dns_settings settings;
	const char *files[2]; /* hosts, resolv.conf */
	struct dns_channel *channel;
	struct file_watch *watch; /* NULL: changes show at the next lookup or start */
	struct list names;
	size_t name_count;
};

/* Of one name: different kinds are different names. */
enum kind {
	KIND_BOTH,
	KIND_IPV4,
	KIND_IPV6,
	KIND_TEXT,
};

struct dns_name;

struct question {
	struct dns_name *name;
	struct dns_part *part;
	bool asked;    /* under way */
	bool outdated; /* the hosts file has the name meanwhile */
};

struct dns_name {
	struct list node;
	struct dns *dns;
	enum kind kind;
	struct dns_cached cached;
	struct question questions[DNS_MAX_PARTS];
	size_t asking;    /* questions under way */
	bool again;       /* as soon as they have ended */
	bool outdated;    /* resolv.conf or hosts have changed */
	bool used;        /* a lookup was answered from the cache */
	int64_t asked_ms; /* begin of the last round */
	int64_t used_ms;  /* begin or end of the last lookup */
	struct list lookups;
	struct loop_timer timer; /* the next round, or the end */
	char text[];
};

struct dns_lookup {
	struct list node;
	struct dns_name *name;
	dns_cb *cb;
	void *arg;
	bool follows;
	bool ready; /* its timer runs for what is there */
	bool keeps_gone;
	enum dns_prefer prefer;
	struct loop_timer timer;
};

static enum kind kind_of(const struct dns_request *request, enum dns_prefer prefer)
{
	if (request->is_text)
		return KIND_TEXT;
	if (prefer == DNS_ONLY_IPV4)
		return KIND_IPV4;
	return prefer == DNS_ONLY_IPV6 ? KIND_IPV6 : KIND_BOTH;
}

static bool is_fresh(const struct dns_name *n)
{
	return !n->outdated && n->asked_ms > 0 &&
	       clock_boot_ms() < dns_cached_expires_ms(&n->cached);
}

static bool is_followed(const struct dns_name *n)
{
	/* Others are told at the end of a round. */
	return !list_is_empty(&n->lookups);
}

static void name_free(struct dns_name *n)
{
	list_remove(&n->node);
	n->dns->name_count--;
	loop_timer_stop(&n->timer);
	dns_cached_deinit(&n->cached);
	free(n);
}

/* Rounds */

/* When the next one may begin: at once, or while a part is still asked for, some
 * time after the last one; INT64_MAX while all are. */
static int64_t next_round_ms(const struct dns_name *n)
{
	if (n->asking == 0)
		return 0;
	return n->asking < n->cached.count ? n->asked_ms + ROUND_LEAST_MS : INT64_MAX;
}

static void schedule(struct dns_name *n)
{
	bool in_use = n->used || is_followed(n);
	int64_t at_ms =
		in_use ? dns_cached_refresh_ms(&n->cached, n->asked_ms) : n->used_ms + KEEP_MS;

	int64_t next_ms = next_round_ms(n);

	if (next_ms == INT64_MAX)
		return;
	loop_timer_start(&n->timer, (at_ms > next_ms ? at_ms : next_ms) - clock_boot_ms());
}

static void start_round(struct dns_name *n);

static void tell_within(struct dns_name *n, int64_t delay_ms)
{
	list_for_each (node, &n->lookups) {
		struct dns_lookup *l = CONTAINER_OF(node, struct dns_lookup, node);
		if (!l->ready || delay_ms == 0)
			loop_timer_start(&l->timer, delay_ms);
		l->ready = true;
	}
}

static void finish_round(struct dns_name *n)
{
	tell_within(n, 0);
	if (n->again)
		start_round(n);
	else
		schedule(n);
}

static void on_part(int error, struct dns_records *records, void *arg)
{
	struct question *q = arg;
	struct dns_name *n = q->name;

	if (!q->outdated)
		dns_part_take(q->part, error, records, clock_boot_ms(),
			      n->dns->settings.max_ttl_ms);
	q->asked = false;
	n->asking--;
	if (n->asking == 0) {
		finish_round(n);
	} else if (error == 0) {
		tell_within(n, GRACE_MS);
		schedule(n);
	}
}

/* A name that is in the hosts file is not asked for, in no family. */
static bool find_in_hosts(struct dns_name *n)
{
	struct strbuf text = {0};
	struct dns_records found[DNS_MAX_PARTS] = {0};
	size_t count = 0;

	dns_hosts_read(n->dns->files[0], &text);
	for (size_t i = 0; i < n->cached.count && text.size > 0; i++) {
		bool is_ipv6 = n->cached.parts[i].type == DNS_TYPE_AAAA;
		dns_hosts_find(text.data, text.size, n->text, is_ipv6 ? AF_INET6 : AF_INET,
			       &found[i]);
		count += found[i].count;
	}
	strbuf_deinit(&text);
	for (size_t i = 0; i < n->cached.count && count > 0; i++) {
		/* It holds until the file changes, and is looked at now and then. */
		found[i].ttl_s = INT32_MAX;
		dns_part_take(&n->cached.parts[i], found[i].count > 0 ? 0 : ERR_NO_NAME, &found[i],
			      clock_boot_ms(), n->dns->settings.max_ttl_ms);
		n->questions[i].outdated = true;
	}
	return count > 0;
}

static void start_round(struct dns_name *n)
{
	n->asked_ms = clock_boot_ms();
	n->again = n->outdated = n->used = false;
	loop_timer_stop(&n->timer);
	if (n->kind != KIND_TEXT && find_in_hosts(n)) {
		finish_round(n);
		return;
	}
	/* First all are counted: an answer may come inside the call that asks. */
	bool was_asked[DNS_MAX_PARTS];
	for (size_t i = 0; i < n->cached.count; i++) {
		was_asked[i] = n->questions[i].asked;
		if (!was_asked[i])
			n->questions[i] = (struct question){n, &n->cached.parts[i], true, false};
	}
	n->asking = n->cached.count;
	for (size_t i = 0; i < n->cached.count; i++) {
		if (!was_asked[i])
			dns_channel_ask(n->dns->channel, n->text, n->cached.parts[i].type, on_part,
					&n->questions[i]);
	}
}

static void on_name_timer(evutil_socket_t fd, short what, void *arg)
{
	struct dns_name *n = arg;

	if (n->used || is_followed(n))
		start_round(n);
	else if (n->asking == 0 && clock_boot_ms() >= n->used_ms + KEEP_MS)
		name_free(n);
	else
		schedule(n);
}

/* Names */

static struct dns_name *find_name(struct dns *dns, const char *text, enum kind kind)
{
	list_for_each (node, &dns->names) {
		struct dns_name *n = CONTAINER_OF(node, struct dns_name, node);
		if (n->kind == kind && strcasecmp(n->text, text) == 0)
			return n;
	}
	return NULL;
}

/* Names come from cluster data too: however many there were, few stay. */
static void make_room(struct dns *dns)
{
	struct dns_name *oldest = NULL;

	list_for_each (node, &dns->names) {
		struct dns_name *n = CONTAINER_OF(node, struct dns_name, node);
		if (n->asking == 0 && list_is_empty(&n->lookups) &&
		    (oldest == NULL || n->used_ms < oldest->used_ms))
			oldest = n;
	}
	if (oldest != NULL)
		name_free(oldest);
}

static struct dns_name *name_new(struct dns *dns, const char *text, enum kind kind)
{
	size_t size = strlen(text) + 1;
	struct dns_name *n = calloc(1, sizeof(*n) + size);
	enum dns_prefer prefer = kind == KIND_IPV4   ? DNS_ONLY_IPV4
				 : kind == KIND_IPV6 ? DNS_ONLY_IPV6
						     : DNS_PREFER_IPV4;

	if (n == NULL)
		return NULL;
	if (dns->name_count >= MAX_NAMES)
		make_room(dns);
	n->dns = dns;
	n->kind = kind;
	memcpy(n->text, text, size);
	list_init(&n->lookups);
	loop_timer_init(&n->timer, dns->loop, on_name_timer, n);
	if (kind == KIND_TEXT)
		dns_cached_init_text(&n->cached);
	else
		dns_cached_init(&n->cached, prefer);
	list_append(&dns->names, &n->node);
	dns->name_count++;
	return n;
}

/* Lookups */

static int read_answer(const struct dns_lookup *l, struct dns_answer *ret)
{
	const struct dns_settings *settings = &l->name->dns->settings;

	return dns_cached_read(&l->name->cached, l->prefer, l->keeps_gone ? settings->stale_ms : -1,
			       clock_boot_ms(), ret);
}

static void lookup_free(struct dns_lookup *l)
{
	struct dns_name *n = l->name;

	list_remove(&l->node);
	loop_timer_stop(&l->timer);
	free(l);
	n->used_ms = clock_boot_ms();
	schedule(n);
}

/* Tells what is there: of a family that has not answered, nothing is known. */
static void on_lookup_timer(evutil_socket_t fd, short what, void *arg)
{
	struct dns_lookup *l = arg;
	dns_cb *cb = l->cb;
	void *cb_arg = l->arg;
	struct dns_answer answer;
	int error = read_answer(l, &answer);

	l->ready = false;
	if (!l->follows)
		lookup_free(l);
	cb(error == -EINPROGRESS ? ERR_DNS : error, &answer, cb_arg);
}

/* Who has an old answer does not wait for the new one for long. */
static int64_t wait_limit_ms(const struct dns_lookup *l, int64_t timeout_ms)
{
	struct dns_answer last;

	if (l->follows || read_answer(l, &last) < 0)
		return timeout_ms;
	return timeout_ms / 4 < EXPIRED_WAIT_MS ? timeout_ms / 4 : EXPIRED_WAIT_MS;
}

static int start_lookup(struct dns *dns, const struct dns_request *request, bool follows,
			dns_cb *cb, void *arg, struct dns_lookup **ret_lookup)
{
	struct dns_lookup *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	l->prefer = request->prefer != DNS_PREFER_UNSET ? request->prefer : dns->settings.prefer;
	enum kind kind = kind_of(request, l->prefer);
	struct dns_name *n = find_name(dns, request->name, kind);
	if (n == NULL)
		n = name_new(dns, request->name, kind);
	if (n == NULL) {
		free(l);
		return -ENOMEM;
	}
	l->name = n;
	l->cb = cb;
	l->arg = arg;
	l->follows = follows;
	l->keeps_gone = request->keeps_gone;
	loop_timer_init(&l->timer, dns->loop, on_lookup_timer, l);
	list_append(&n->lookups, &l->node);
	n->used_ms = clock_boot_ms();
	n->used = true;
	l->ready = is_fresh(n);
	loop_timer_start(&l->timer, l->ready ? 0 : wait_limit_ms(l, request->timeout_ms));
	if (!l->ready && clock_boot_ms() >= next_round_ms(n))
		start_round(n);
	else
		schedule(n);
	*ret_lookup = l;
	return 0;
}

int dns_lookup(struct dns *dns, const struct dns_request *request, dns_cb *cb, void *arg,
	       struct dns_lookup **ret_lookup)
{
	return start_lookup(dns, request, false, cb, arg, ret_lookup);
}

int dns_follow(struct dns *dns, const struct dns_request *request, dns_cb *cb, void *arg,
	       struct dns_lookup **ret_lookup)
{
	return start_lookup(dns, request, true, cb, arg, ret_lookup);
}

void dns_cancel(struct dns_lookup **lookup)
{
	struct dns_lookup *l = TAKE_PTR(*lookup);

	if (l != NULL)
		lookup_free(l);
}

int dns_peek(const struct dns_lookup *lookup, struct dns_answer *ret)
{
	return is_fresh(lookup->name) ? read_answer(lookup, ret) : -EINPROGRESS;
}

void dns_refresh(struct dns_lookup *lookup)
{
	struct dns_name *n = lookup->name;

	int64_t now_ms = clock_boot_ms();

	if (now_ms >= next_round_ms(n) && now_ms >= dns_cached_refresh_ms(&n->cached, n->asked_ms))
		start_round(n);
}

/* The whole */

static void on_files_changed(void *arg)
{
	struct dns *dns = arg;

	dns_channel_rebuild(dns->channel);
	list_for_each (node, &dns->names) {
		struct dns_name *n = CONTAINER_OF(node, struct dns_name, node);
		n->outdated = true;
		n->again = n->asking > 0;
		if (n->asking < n->cached.count && is_followed(n))
			start_round(n);
	}
}

int dns_open(struct loop *loop, const struct dns_settings *settings, struct dns **ret_dns)
{
	struct dns *dns = calloc(1, sizeof(*dns));

	if (dns == NULL)
		return -ENOMEM;
	dns->loop = loop;
	dns->settings = *settings;
	dns->files[0] = settings->hosts != NULL ? settings->hosts : "/etc/hosts";
	dns->files[1] = settings->resolv_conf != NULL ? settings->resolv_conf : "/etc/resolv.conf";
	list_init(&dns->names);
	struct dns_channel_settings channel = {settings->server, settings->fallback_server,
					       dns->files[1]};
	int r = dns_channel_open(loop, &channel, &dns->channel);
	if (r < 0) {
		free(dns);
		return r;
	}
	/* The kernel may have no more of them: names work without. */
	if (file_watch_new(loop, dns->files, ARRAY_LEN(dns->files), on_files_changed, dns,
			   &dns->watch) < 0)
		dns->watch = NULL;
	*ret_dns = dns;
	return 0;
}

void dns_close(struct dns **dns)
{
	struct dns *d = TAKE_PTR(*dns);

	if (d == NULL)
		return;
	file_watch_free(&d->watch);
	dns_channel_close(&d->channel);
	list_for_each_safe (name_node, &d->names) {
		struct dns_name *n = CONTAINER_OF(name_node, struct dns_name, node);
		list_for_each_safe (node, &n->lookups) {
			struct dns_lookup *l = CONTAINER_OF(node, struct dns_lookup, node);
			loop_timer_stop(&l->timer);
			free(l);
		}
		name_free(n);
	}
	free(d);
}
