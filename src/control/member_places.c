/* Names are followed, and what they have becomes places; a place that stays keeps its
 * id and its data. */
#include "control/member_places.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"

#define HOST_TEXT_SIZE 256

struct named {
	struct member_places *owner;
	const char *text;
	char host[HOST_TEXT_SIZE];
	uint16_t port;
	struct dns_lookup *lookup; /* NULL for an IP address */
	size_t count;
	struct addr *addrs; /* of one family, with the port */
};

struct member_places {
	size_t data_size;
	member_places_cb *cb;
	void *arg;
	uint64_t last_id;
	size_t count;
	struct member_place *places[MEMBER_MAX_PLACES];
	size_t named_count;
	struct named named[];
};

size_t member_places_count(const struct member_places *places)
{
	return places->count;
}

struct member_place *member_places_at(struct member_places *places, size_t index)
{
	return places->places[index];
}

struct member_place *member_places_find(struct member_places *places, const char *text)
{
	for (size_t i = 0; i < places->count; i++) {
		if (strcmp(places->places[i]->text, text) == 0)
			return places->places[i];
	}
	return NULL;
}

struct member_place *member_places_find_id(struct member_places *places, uint64_t id)
{
	for (size_t i = 0; i < places->count; i++) {
		if (places->places[i]->id == id)
			return places->places[i];
	}
	return NULL;
}

const char *member_places_lost(const struct member_places *places, size_t index)
{
	for (size_t i = 0; i < places->named_count; i++) {
		if (places->named[i].count == 0 && index-- == 0)
			return places->named[i].text;
	}
	return NULL;
}

/* Whether a name has the address still. */
static bool is_there(const struct member_places *p, const struct addr *addr)
{
	for (size_t i = 0; i < p->named_count; i++) {
		for (size_t j = 0; j < p->named[i].count; j++) {
			if (addr_equal(&p->named[i].addrs[j], addr))
				return true;
		}
	}
	return false;
}

static void remove_lost(struct member_places *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->count; i++) {
		struct member_place *place = p->places[i];
		if (is_there(p, &place->addr))
			p->places[kept++] = place;
		else
			free(place);
	}
	p->count = kept;
}

static void add_new(struct member_places *p, const struct named *n, const struct addr *addr)
{
	char text[ADDR_TEXT_SIZE];

	addr_format(addr, text);
	if (p->count == MEMBER_MAX_PLACES || member_places_find(p, text) != NULL)
		return;
	struct member_place *place = calloc(1, sizeof(*place) + p->data_size);
	if (place == NULL)
		return; /* the next answer brings it again */
	place->id = ++p->last_id;
	place->name = n->text;
	place->host = n->host;
	place->addr = *addr;
	memcpy(place->text, text, sizeof(text));
	place->data = place + 1; /* a place is aligned for anything */
	p->places[p->count++] = place;
}

static void renew(struct member_places *p)
{
	remove_lost(p);
	for (size_t i = 0; i < p->named_count; i++) {
		for (size_t j = 0; j < p->named[i].count; j++)
			add_new(p, &p->named[i], &p->named[i].addrs[j]);
	}
}

/* Of one family: a server with addresses of both would count twice. */
static int take_answer(struct named *n, const struct dns_answer *answer)
{
	struct addr *addrs = calloc(answer->count, sizeof(*addrs));

	if (addrs == NULL)
		return -ENOMEM;
	free(n->addrs);
	n->addrs = addrs;
	n->count = 0;
	for (size_t i = 0; i < answer->count; i++) {
		if (answer->addrs[i].sa.sa_family != answer->addrs[0].sa.sa_family)
			break;
		addrs[n->count] = answer->addrs[i];
		addr_set_port(&addrs[n->count++], n->port);
	}
	return 0;
}

static void on_answer(int error, const struct dns_answer *answer, void *arg)
{
	struct named *n = arg;
	bool was_known = n->count > 0;

	if (error == 0)
		error = take_answer(n, answer);
	else
		n->count = 0;
	if (error < 0 && was_known)
		log_warn("members: a name has no address any more", log_text("name", n->text),
			 log_text("error", err_text(error)));
	renew(n->owner);
	n->owner->cb(n->owner->arg);
}

static int split(struct named *n)
{
	const char *colon = strrchr(n->text, ':');
	size_t length = colon == NULL ? 0 : (size_t)(colon - n->text);

	if (length < 1 || length >= sizeof(n->host) || addr_parse_port(colon + 1, &n->port) < 0)
		return ERR_SYNTAX;
	if (n->text[0] == '[' && n->text[length - 1] == ']')
		snprintf(n->host, sizeof(n->host), "%.*s", (int)length - 2, n->text + 1);
	else
		snprintf(n->host, sizeof(n->host), "%.*s", (int)length, n->text);
	return 0;
}

static int follow(struct named *n, struct dns *dns, int64_t dns_timeout_ms)
{
	struct dns_answer literal = {.count = 1};

	int r = split(n);
	if (r < 0)
		return r;
	if (addr_parse_ip(n->host, n->port, &literal.addrs[0]) == 0)
		return take_answer(n, &literal);
	struct dns_request request = {.name = n->host, .timeout_ms = dns_timeout_ms};
	return dns_follow(dns, &request, on_answer, n, &n->lookup);
}

int member_places_new(char *const *texts, size_t count, struct dns *dns, int64_t dns_timeout_ms,
		      size_t data_size, member_places_cb *cb, void *arg,
		      struct member_places **ret_places)
{
	struct member_places *p = calloc(1, sizeof(*p) + count * sizeof(p->named[0]));
	int r = 0;

	if (p == NULL)
		return -ENOMEM;
	p->data_size = data_size;
	p->cb = cb;
	p->arg = arg;
	for (; p->named_count < count && r == 0; p->named_count++) {
		struct named *n = &p->named[p->named_count];
		n->owner = p;
		n->text = texts[p->named_count];
		r = follow(n, dns, dns_timeout_ms);
	}
	if (r < 0) {
		member_places_free(&p);
		return r;
	}
	renew(p);
	*ret_places = p;
	return 0;
}

void member_places_free(struct member_places **places)
{
	struct member_places *p = TAKE_PTR(*places);

	if (p == NULL)
		return;
	for (size_t i = 0; i < p->named_count; i++) {
		dns_cancel(&p->named[i].lookup);
		free(p->named[i].addrs);
		p->named[i].count = 0;
	}
	remove_lost(p);
	free(p);
}
