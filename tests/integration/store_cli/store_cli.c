/* Watches and reads a tree of a store, and prints each listing as a line of JSON:
 *
 *	store_cli BACKEND ENDPOINTS PREFIX [READ_EVERY_MS [TIMEOUT_MS]]
 *
 *	{"from": "watch", "fresh": true, "revision": 7,
 *	 "items": {"leader": {"value": "pg1", "create": 5, "mod": 7, "held": true}}}
 *	{"from": "read", "error": "…"}
 *
 * It reads once, or again and again; it ends with SIGTERM. A prefix without a slash
 * at the end is a key, which is watched only: its line has "value" or null. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "store/store.h"

struct cli {
	struct loop loop;
	struct dns *dns;
	struct store *store;
	struct store_watch *watch;
	struct store_request *read;
	struct loop_timer next_read;
	const char *prefix;
	int64_t read_every_ms; /* 0: once */
};

static void print_line(json_t *line)
{
	char *text = json_dumps(line, JSON_COMPACT);

	puts(text != NULL ? text : "{}");
	fflush(stdout);
	free(text);
	json_decref(line);
}

/* NULL: large, or not UTF-8. */
static json_t *value_of(const struct store_item *item)
{
	return item->size <= 200000 ? json_stringn(item->data, item->size) : NULL;
}

static json_t *pack_items(const struct store_listing *listing)
{
	json_t *items = json_object();

	for (size_t i = 0; i < listing->count; i++) {
		const struct store_item *item = &listing->items[i];
		json_object_set_new(
			items, item->key,
			json_pack("{s:o*, s:i, s:I, s:I, s:b}", "value", value_of(item), "size",
				  (int)item->size, "create", (json_int_t)item->create_revision,
				  "mod", (json_int_t)item->mod_revision, "held", item->is_held));
	}
	return items;
}

static void on_update(const struct store_update *update, void *arg)
{
	print_line(json_pack("{s:s, s:b, s:I, s:o}", "from", "watch", "fresh", update->is_fresh,
			     "revision", (json_int_t)update->listing.revision, "items",
			     pack_items(&update->listing)));
}

static void on_value(const struct store_value *value, void *arg)
{
	json_t *data = value->present ? json_stringn(value->data, value->size) : json_null();

	print_line(json_pack("{s:s, s:I, s:o}", "from", "watch", "revision",
			     (json_int_t)value->revision, "value", data));
}

static void on_list(int error, const char *text, const struct store_listing *listing, void *arg)
{
	struct cli *c = arg;

	c->read = NULL;
	if (error < 0)
		print_line(json_pack("{s:s, s:s}", "from", "read", "error", text));
	else
		print_line(json_pack("{s:s, s:I, s:o}", "from", "read", "revision",
				     (json_int_t)listing->revision, "items", pack_items(listing)));
	if (c->read_every_ms > 0)
		loop_timer_start(&c->next_read, c->read_every_ms);
}

static void on_next_read(evutil_socket_t fd, short what, void *arg)
{
	struct cli *c = arg;
	int r = store_list(c->store, c->prefix, on_list, c, &c->read);

	if (r < 0)
		print_line(json_pack("{s:s, s:s}", "from", "read", "error", err_text(r)));
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	loop_stop(arg);
}

static int start(struct cli *c)
{
	size_t length = strlen(c->prefix);

	if (length == 0 || c->prefix[length - 1] != '/')
		return store_watch_start(c->store, c->prefix, on_value, c, &c->watch);
	loop_timer_start(&c->next_read, 0);
	return store_watch_tree_start(c->store, c->prefix, on_update, c, &c->watch);
}

static int run(struct cli *c, const struct store_settings *settings)
{
	struct dns_settings dns = {.max_ttl_ms = 30000};
	const char *problem = "";
	struct event ended;

	if (loop_init(&c->loop) < 0 || dns_open(&c->loop, &dns, &c->dns) < 0)
		return 1;
	loop_timer_init(&c->next_read, &c->loop, on_next_read, c);
	event_assign(&ended, c->loop.base, SIGTERM, EV_SIGNAL | EV_PERSIST, on_signal, &c->loop);
	event_add(&ended, NULL);
	int r = store_open(settings, &c->loop, c->dns, &c->store, &problem);
	if (r == 0)
		r = start(c);
	if (r == 0)
		r = loop_run(&c->loop);
	if (r < 0)
		fprintf(stderr, "%s %s\n", err_text(r), problem);
	loop_timer_stop(&c->next_read);
	store_watch_stop(&c->watch);
	store_close(&c->store);
	dns_close(&c->dns);
	/* What libevent has put off, such as the end of connections. */
	(void)event_base_loop(c->loop.base, EVLOOP_NONBLOCK);
	event_del(&ended);
	loop_deinit(&c->loop);
	return r < 0;
}

int main(int argc, char **argv)
{
	struct cli c = {0};

	if (argc < 4) {
		fputs("usage: store_cli BACKEND ENDPOINTS PREFIX [READ_EVERY_MS [TIMEOUT_MS]]\n",
		      stderr);
		return 2;
	}
	struct store_settings settings = {.backend = argv[1], .endpoints = argv[2]};
	c.prefix = argv[3];
	c.read_every_ms = argc > 4 ? atoi(argv[4]) : 0;
	settings.timeout_ms = argc > 5 ? atoi(argv[5]) : 2000;
	return run(&c, &settings);
}
