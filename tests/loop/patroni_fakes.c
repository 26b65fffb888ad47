/* Each keeps what it was given last, for the test to look at, and calls back when the
 * test says so. */
#include "patroni_fakes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

struct fake_observer fake_observer;
struct fake_store fake_store;

void fakes_reset(void)
{
	fake_observer = (struct fake_observer){0};
	fake_store = (struct fake_store){.revision = 100};
}

/* control/observer.h */

struct observer_settings observer_settings_of(const struct probing *probing,
					      enum probe_method by_http,
					      const struct dns_settings *dns)
{
	return (struct observer_settings){
		.probe = {.method = probing->kind == PROBE_KIND_HTTP ? by_http : PROBE_BY_SQL},
		.tls = probing->tls,
		.dns = *dns,
	};
}

int observer_start(const struct observer_settings *settings, struct loop *loop, observer_cb *cb,
		   void *arg, struct observer **ret_observer)
{
	fake_observer.is_running = true;
	fake_observer.method = settings->probe.method;
	fake_observer.cb = cb;
	fake_observer.arg = arg;
	*ret_observer = (struct observer *)&fake_observer;
	return 0;
}

void observer_stop(struct observer **observer)
{
	if (TAKE_PTR(*observer) != NULL)
		fake_observer.is_running = false;
}

int observer_watch(struct observer *observer, const struct observer_place *places, size_t count,
		   bool hurry)
{
	struct fake_observer *o = &fake_observer;

	CHECK(observer == (struct observer *)o && o->is_running && count <= FAKE_PLACES);
	o->plans++;
	o->hurry = hurry;
	o->count = count;
	for (size_t i = 0; i < count; i++) {
		o->places[i] = places[i];
		snprintf(o->hosts[i], sizeof(o->hosts[i]), "%s", places[i].host);
		o->places[i].host = o->hosts[i];
	}
	return 0;
}

const struct observer_place *fake_observer_place(uint16_t port)
{
	for (size_t i = 0; i < fake_observer.count; i++) {
		const struct observer_place *p = &fake_observer.places[i];
		if (p->port == port || addr_port(&p->addr) == port)
			return p;
	}
	return NULL;
}

void fake_observer_says(uint64_t id, const struct probe_result *result)
{
	struct observer_news news = {.id = id, .result = *result};

	if (fake_observer.is_running)
		fake_observer.cb(&news, fake_observer.arg);
}

/* store/store.h */

int store_open(const struct store_settings *settings, struct loop *loop, struct dns *dns,
	       struct store **ret_store, const char **ret_problem)
{
	fake_store.is_open = true;
	*ret_store = (struct store *)&fake_store;
	return 0;
}

void store_close(struct store **store)
{
	if (TAKE_PTR(*store) != NULL)
		fake_store.is_open = false;
}

int store_list(struct store *store, const char *prefix, store_list_cb *cb, void *arg,
	       struct store_request **ret_request)
{
	CHECK(fake_store.list_cb == NULL && strcmp(prefix, fake_store.prefix) == 0);
	fake_store.reads++;
	fake_store.list_cb = cb;
	fake_store.list_arg = arg;
	*ret_request = (struct store_request *)&fake_store;
	return 0;
}

void store_request_cancel(struct store_request **request)
{
	if (TAKE_PTR(*request) != NULL)
		fake_store.list_cb = NULL;
}

int store_watch_tree_start(struct store *store, const char *prefix, store_watch_tree_cb *cb,
			   void *arg, struct store_watch **ret_watch)
{
	snprintf(fake_store.prefix, sizeof(fake_store.prefix), "%s", prefix);
	fake_store.watch_cb = cb;
	fake_store.watch_arg = arg;
	*ret_watch = (struct store_watch *)&fake_store;
	return 0;
}

void store_watch_stop(struct store_watch **watch)
{
	if (TAKE_PTR(*watch) != NULL)
		fake_store.watch_cb = NULL;
}

void fake_store_changes(const struct store_item *items, size_t count, bool is_fresh)
{
	struct store_update update = {{items, count, ++fake_store.revision}, is_fresh};

	if (fake_store.watch_cb != NULL)
		fake_store.watch_cb(&update, fake_store.watch_arg);
}

void fake_store_answers(const struct store_item *items, size_t count)
{
	struct store_listing listing = {items, count, fake_store.revision};
	store_list_cb *cb = TAKE_PTR(fake_store.list_cb);

	CHECK(cb != NULL);
	cb(0, "", &listing, fake_store.list_arg);
}

void fake_store_fails(void)
{
	store_list_cb *cb = TAKE_PTR(fake_store.list_cb);

	CHECK(cb != NULL);
	cb(-ETIMEDOUT, "http://store: no answer", NULL, fake_store.list_arg);
}
