/* stolon's cluster: the cluster data is watched, our ProxyInfo acknowledges. */
#include <errno.h>
#include <string.h>

#include "cluster/proxy_info.h"
#include "control/source.h"

struct stolon {
	struct source source;
	struct store *store;
	struct watch *watch;
	struct proxy_info *proxy_info;
};

static int stolon_read(struct source *source)
{
	return watch_read(((struct stolon *)source)->watch);
}

static int stolon_acknowledge(struct source *source, int64_t generation, int64_t proxy_timeout_ns,
			      store_done_cb *cb, void *arg)
{
	return proxy_info_write(((struct stolon *)source)->proxy_info, generation, proxy_timeout_ns,
				cb, arg);
}

static int stolon_withdraw(struct source *source, store_done_cb *cb, void *arg)
{
	return proxy_info_delete(((struct stolon *)source)->proxy_info, cb, arg);
}

static void stolon_stop(struct source *source)
{
	watch_stop(&((struct stolon *)source)->watch);
}

static void stolon_free(struct source *source)
{
	struct stolon *s = (struct stolon *)source;

	watch_stop(&s->watch);
	proxy_info_free(&s->proxy_info);
	store_close(&s->store);
	free(s);
}

static const struct source_ops stolon_ops = {
	.read = stolon_read,
	.acknowledge = stolon_acknowledge,
	.withdraw = stolon_withdraw,
	.stop = stolon_stop,
	.free = stolon_free,
};

/* PREFIX/CLUSTER as Go's path.Join makes it: no empty parts. */
static char *join_key(const char *prefix, const char *name)
{
	char *key = malloc(strlen(prefix) + strlen(name) + 2);
	char *end = key;

	if (key == NULL)
		return NULL;
	for (const char *part = prefix; part != NULL; part = part == prefix ? name : NULL) {
		if (end > key)
			*end++ = '/';
		for (const char *p = part; *p != '\0'; p++) {
			if (*p != '/' || end == key || end[-1] != '/')
				*end++ = *p;
		}
		while (end > key + 1 && end[-1] == '/')
			end--;
	}
	*end = '\0';
	return key;
}

static int set_up(struct stolon *s, const struct stolon_settings *settings, struct loop *loop,
		  struct dns *dns, watch_cb *cb, void *arg, const char **ret_problem)
{
	AUTO_FREE char *directory = join_key(settings->store_prefix, settings->cluster_name);
	AUTO_FREE char *key = directory == NULL ? NULL : join_key(directory, "clusterdata");

	if (key == NULL)
		return -ENOMEM;
	int r = store_open(&settings->store, loop, dns, &s->store, ret_problem);
	if (r == 0)
		r = proxy_info_new(s->store, directory, &s->proxy_info);
	if (r < 0)
		return r;
	s->source.proxy_uid = proxy_info_uid(s->proxy_info);
	*ret_problem = "cannot watch the cluster data: bad cluster name or prefix";
	return watch_start(s->store, key, cb, arg, &s->watch);
}

int source_stolon_new(const struct stolon_settings *settings, struct loop *loop, struct dns *dns,
		      watch_cb *cb, void *arg, struct source **ret_source, const char **ret_problem)
{
	struct stolon *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->source.ops = &stolon_ops;
	int r = set_up(s, settings, loop, dns, cb, arg, ret_problem);
	if (r < 0)
		stolon_free(&s->source);
	else
		*ret_source = &s->source;
	return r;
}
