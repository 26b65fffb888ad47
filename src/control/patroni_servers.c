/* Members come and go with the views; a server that moves is asked anew, and what it
 * said where it was is forgotten. */
#include "control/patroni_servers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "control/observer.h"
#include "net/url.h"
#include "routing/resolve.h"

struct server {
	struct patroni_server known; /* what others see */
	struct list node;
	struct patroni_servers *owner;
	uint64_t id;
	struct resolve *resolve; /* of the host; SQL only */
	char port[8];
	char *host;    /* to resolve, and in its certificate; of the check server with HTTP */
	char *api_url; /* as published; HTTP only */
	uint16_t api_port;
	bool api_is_https;
	bool is_wanted;
	bool was_asked; /* and that came of it: */
	enum probe_outcome said;
};

struct patroni_servers {
	const struct probing *settings;
	struct dns *dns;
	int64_t dns_timeout_ms;
	patroni_servers_news_cb *news;
	patroni_servers_moved_cb *moved;
	void *arg;
	struct observer *observer;
	struct list servers;
	uint64_t last_id;
	bool hurry;
	bool has_plan;
	uint64_t plan; /* a digest of the one in force */
};

static void server_free(struct server *s)
{
	list_remove(&s->node);
	resolve_free(&s->resolve);
	free(s->known.name);
	free(s->known.address);
	free(s->host);
	free(s->api_url);
	free(s);
}

static struct server *find(const struct patroni_servers *p, const char *name)
{
	list_for_each (node, &p->servers) {
		struct server *s = CONTAINER_OF(node, struct server, node);
		if (strcmp(s->known.name, name) == 0)
			return s;
	}
	return NULL;
}

const struct patroni_server *patroni_servers_find(const struct patroni_servers *servers,
						  const char *name)
{
	const struct server *s = find(servers, name);

	return s == NULL ? NULL : &s->known;
}

/* What it said */

static void log_change(struct server *s, const struct probe_result *r)
{
	if (s->was_asked && s->said == r->outcome)
		return;
	s->was_asked = true;
	s->said = r->outcome;
	LOG_AT(probe_outcome_verdict(r->outcome) == PROBE_ANSWERED ? LOG_LEVEL_INFO
								   : LOG_LEVEL_WARN,
	       "patroni: a server has another answer", log_text("member", s->known.name),
	       log_text("address", s->known.address),
	       log_text("answer", probe_outcome_name(r->outcome)),
	       log_text("error", *r->text == '\0' ? NULL : r->text));
}

static void on_news(const struct observer_news *news, void *arg)
{
	struct patroni_servers *p = arg;
	const struct probe_result *r = &news->result;

	list_for_each (node, &p->servers) {
		struct server *s = CONTAINER_OF(node, struct server, node);
		if (s->id != news->id)
			continue;
		log_change(s, r);
		if (probe_outcome_verdict(r->outcome) == PROBE_ANSWERED) {
			s->known.has_answered = true;
			s->known.is_in_recovery = r->outcome == PROBE_IN_RECOVERY;
			s->known.position =
				s->known.is_in_recovery ? r->replayed_lsn : r->current_lsn;
			s->known.delay_ms = s->known.is_in_recovery ? r->replay_delay_ms : -1;
		}
		p->news(&s->known, r, p->arg);
		return;
	}
}

/* Where it is */

static void on_resolved(void *arg)
{
	struct server *s = arg;

	s->owner->moved(s->owner->arg);
}

/* The host and port of its REST interface. */
static int take_api(struct server *s, const char *api_url)
{
	struct url url;

	if (s->api_url != NULL && strcmp(s->api_url, api_url) == 0)
		return 0;
	free(s->api_url);
	s->api_url = strdup(api_url);
	if (s->api_url == NULL)
		return -ENOMEM;
	free(TAKE_PTR(s->host));
	s->api_port = 0;
	int r = url_parse(api_url, 0, &url);
	if (r < 0)
		return r;
	s->host = TAKE_PTR(url.host);
	s->api_port = url.port;
	s->api_is_https = url.is_https;
	url_deinit(&url);
	return 0;
}

static int take_host(struct server *s, const struct patroni_address *address)
{
	const char *host = address->count > 0 ? address->hosts[0].host : "";

	if (s->host == NULL || strcmp(s->host, host) != 0) {
		free(s->host);
		s->host = strdup(host);
	}
	snprintf(s->port, sizeof(s->port), "%u", address->count > 0 ? address->hosts[0].port : 0);
	return s->host == NULL ? -ENOMEM : 0;
}

/* It is elsewhere than before: what it said there does not count. */
static int take_address(struct server *s, const struct patroni_member *m)
{
	const char *text = m->is_decodable ? m->address.text : "";

	if (s->known.address != NULL && strcmp(s->known.address, text) == 0)
		return 0;
	free(s->known.address);
	s->known.address = strdup(text);
	s->was_asked = false;
	s->known.has_answered = s->known.is_in_recovery = false;
	s->known.position = 0;
	s->known.delay_ms = -1;
	s->id = ++s->owner->last_id;
	return s->known.address == NULL ? -ENOMEM : 0;
}

static struct server *server_new(struct patroni_servers *p, const char *name)
{
	struct server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->owner = p;
	s->known.delay_ms = -1;
	list_append(&p->servers, &s->node);
	s->known.name = strdup(name);
	if (s->known.name == NULL ||
	    resolve_new(p->dns, p->dns_timeout_ms, on_resolved, s, &s->resolve) < 0) {
		server_free(s);
		return NULL;
	}
	return s;
}

/* Without memory it is not asked, and tried again with the next view. */
static void follow_member(struct patroni_servers *p, const struct patroni_member *m)
{
	struct server *s = find(p, m->name);
	int r;

	if (s == NULL)
		s = server_new(p, m->name);
	if (s == NULL)
		return;
	s->is_wanted = true;
	r = take_address(s, m);
	if (r == 0 && m->is_decodable)
		r = p->settings->kind == PROBE_KIND_HTTP ? take_api(s, m->api_url)
							 : take_host(s, &m->address);
	if (r == -ENOMEM)
		server_free(s);
}

/* Plans */

static bool place_of(struct server *s, struct observer_place *place)
{
	const struct addr *addrs;
	size_t count;

	*place = (struct observer_place){
		.id = s->id, .host = s->host, .port = s->api_port, .is_https = s->api_is_https};
	if (s->host == NULL || *s->host == '\0')
		return false;
	if (s->owner->settings->kind == PROBE_KIND_HTTP)
		return s->api_port != 0;
	if (resolve_get(s->resolve, s->host, s->port, &addrs, &count) < 0 || count == 0)
		return false;
	place->addr = addrs[0];
	return true;
}

static uint64_t add_to_digest(uint64_t sum, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

uint64_t patroni_servers_digest(const struct patroni_servers *servers)
{
	uint64_t sum = servers->plan;

	list_for_each (node, &servers->servers) {
		const struct server *s = CONTAINER_OF(node, struct server, node);
		sum = add_to_digest(sum, &s->id, sizeof(s->id));
		sum = add_to_digest(sum, &s->known.has_answered, sizeof(s->known.has_answered));
		sum = add_to_digest(sum, &s->known.is_in_recovery, sizeof(s->known.is_in_recovery));
	}
	return sum;
}

static void plan(struct patroni_servers *p, bool hurry)
{
	struct observer_place places[OBSERVER_MOST_SERVERS];
	size_t count = 0;
	uint64_t digest = hurry;

	list_for_each (node, &p->servers) {
		struct server *s = CONTAINER_OF(node, struct server, node);
		if (count == OBSERVER_MOST_SERVERS || !place_of(s, &places[count]))
			continue;
		digest = add_to_digest(digest, &places[count].id, sizeof(places[count].id));
		digest = add_to_digest(digest, &places[count].addr, sizeof(places[count].addr));
		digest = add_to_digest(digest, s->host, strlen(s->host));
		digest = add_to_digest(digest, &s->api_port, sizeof(s->api_port));
		digest = add_to_digest(digest, &s->api_is_https, sizeof(s->api_is_https));
		count++;
	}
	if (p->has_plan && p->plan == digest)
		return;
	p->has_plan = observer_watch(p->observer, places, count, hurry) == 0;
	p->plan = digest;
}

void patroni_servers_follow(struct patroni_servers *servers, const struct patroni_view *view,
			    const struct patroni_member *kept, const struct patroni_wish *wishes,
			    size_t wish_count)
{
	struct patroni_servers *p = servers;
	bool hurry = false;

	list_for_each (node, &p->servers)
		CONTAINER_OF(node, struct server, node)->is_wanted = false;
	if (kept != NULL)
		follow_member(p, kept);
	for (size_t i = 0; view != NULL && i < patroni_view_member_count(view); i++) {
		const struct patroni_member *m = patroni_view_member_at(view, i);
		if (kept == NULL || strcmp(kept->name, m->name) != 0)
			follow_member(p, m);
	}
	list_for_each_safe (node, &p->servers) {
		struct server *s = CONTAINER_OF(node, struct server, node);
		if (!s->is_wanted)
			server_free(s);
	}
	for (size_t i = 0; i < wish_count; i++)
		hurry = hurry || wishes[i].is_fast;
	plan(p, hurry);
}

int patroni_servers_new(const struct probing *settings, struct loop *loop, struct dns *dns,
			const struct dns_settings *dns_settings, int64_t dns_timeout_ms,
			patroni_servers_news_cb *news, patroni_servers_moved_cb *moved, void *arg,
			struct patroni_servers **ret_servers)
{
	struct patroni_servers *p = calloc(1, sizeof(*p));
	struct observer_settings observer =
		observer_settings_of(settings, PROBE_BY_PATRONI, dns_settings);

	if (p == NULL)
		return -ENOMEM;
	p->settings = settings;
	p->dns = dns;
	p->dns_timeout_ms = dns_timeout_ms;
	p->news = news;
	p->moved = moved;
	p->arg = arg;
	list_init(&p->servers);
	int r = observer_start(&observer, loop, on_news, p, &p->observer);
	if (r < 0)
		patroni_servers_free(&p);
	else
		*ret_servers = p;
	return r;
}

void patroni_servers_free(struct patroni_servers **servers)
{
	struct patroni_servers *p = TAKE_PTR(*servers);

	if (p == NULL)
		return;
	observer_stop(&p->observer);
	list_for_each_safe (node, &p->servers)
		server_free(CONTAINER_OF(node, struct server, node));
	free(p);
}
