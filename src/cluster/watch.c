/* From the store's bytes to views, by read and by watch alike. Values older
 * than one already seen are dropped; the same bytes give the same view. */
#include "cluster/watch.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "cluster/view_decode.h"

struct watch {
	struct store *store;
	char *key;
	watch_cb *cb;
	void *arg;
	struct store_watch *store_watch;
	struct store_request *read; /* NULL: none under way */
	int64_t read_sent_ms;
	uint64_t revision;    /* of the newest value seen */
	int64_t changed_ms;   /* when the watch brought a value last (clock_boot_ms()) */
	bool decoded;         /* that value did */
	struct view *view;    /* of the newest value that did; NULL: none */
	struct strbuf source; /* the bytes of view */
};

static int decode(struct watch *w, const struct store_value *value,
		  char error[static VIEW_ERROR_SIZE])
{
	struct view *view = NULL;
	bool same = w->view != NULL && value->present && w->source.size == value->size &&
		    value->size > 0 && memcmp(w->source.data, value->data, value->size) == 0;

	if (same)
		return 0;
	if (!value->present) {
		view = view_absent();
		if (view == NULL)
			return -ENOMEM;
	} else {
		int r = view_decode(value->data, value->size, &view, error);
		if (r < 0)
			return r;
	}
	view_unref(&w->view);
	w->view = view;
	strbuf_clear(&w->source);
	if (value->present && strbuf_append(&w->source, value->data, value->size) < 0)
		strbuf_clear(&w->source); /* decoded anew next time */
	return 0;
}

static void pass_on(struct watch *w, const struct store_value *value, int64_t read_sent_ms)
{
	char error[VIEW_ERROR_SIZE] = "out of memory";
	struct watch_update update = {
		.outcome = WATCH_VIEW, .text = "", .read_sent_ms = read_sent_ms};

	w->revision = value->revision;
	w->decoded = decode(w, value, error) == 0;
	if (!w->decoded) {
		update.outcome = WATCH_UNDECODABLE;
		update.text = error;
	} else {
		update.view = w->view;
	}
	w->cb(&update, w->arg);
}

static void on_read(int error, const char *text, const struct store_value *value, void *arg)
{
	struct watch *w = arg;
	struct watch_update update = {
		.outcome = WATCH_UNREACHABLE, .text = text, .read_sent_ms = w->read_sent_ms};

	w->read = NULL;
	if (error == 0 && value->revision >= w->revision) {
		pass_on(w, value, w->read_sent_ms);
		return;
	}
	if (error == 0)
		update.text = "the store answers with an older state than it had before";
	if (error == 0 && w->decoded && w->changed_ms >= w->read_sent_ms) {
		/* The watch was faster: the store held what it brought after this
		 * read was sent, so the read vouches for that as well. */
		update.outcome = WATCH_VIEW;
		update.view = w->view;
		update.text = "";
	}
	w->cb(&update, w->arg);
}

static void on_change(const struct store_value *value, void *arg)
{
	struct watch *w = arg;

	if (value->revision < w->revision)
		return;
	w->changed_ms = clock_boot_ms();
	pass_on(w, value, 0);
}

int watch_start(struct store *store, const char *key, watch_cb *cb, void *arg,
		struct watch **ret_watch)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->store = store;
	w->cb = cb;
	w->arg = arg;
	w->key = strdup(key);
	int r = w->key == NULL ? -ENOMEM
			       : store_watch_start(store, key, on_change, w, &w->store_watch);
	if (r < 0) {
		watch_stop(&w);
		return r;
	}
	*ret_watch = w;
	return 0;
}

void watch_stop(struct watch **watch)
{
	struct watch *w = TAKE_PTR(*watch);

	if (w == NULL)
		return;
	store_request_cancel(&w->read);
	store_watch_stop(&w->store_watch);
	view_unref(&w->view);
	strbuf_deinit(&w->source);
	free(w->key);
	free(w);
}

int watch_read(struct watch *watch)
{
	if (watch->read != NULL)
		return 0;
	watch->read_sent_ms = clock_boot_ms();
	return store_get(watch->store, watch->key, on_read, watch, &watch->read);
}
