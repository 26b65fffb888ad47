/* ProxyInfo in stolon's words: the key proxies/info/UID and its JSON. */
#include "cluster/proxy_info.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/strbuf.h"

#define MIN_TTL_MS 20000

struct proxy_info {
	struct store *store;
	char uid[PROXY_UID_SIZE];
	struct strbuf key;
	struct store_request *request; /* NULL: none under way */
	store_done_cb *cb;
	void *arg;
};

static int draw_uid(char uid[static PROXY_UID_SIZE])
{
	uint32_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -errno;
	snprintf(uid, PROXY_UID_SIZE, "%08" PRIx32, number);
	return 0;
}

int proxy_info_new(struct store *store, const char *directory, struct proxy_info **ret_info)
{
	struct proxy_info *info = calloc(1, sizeof(*info));

	if (info == NULL)
		return -ENOMEM;
	info->store = store;
	int r = draw_uid(info->uid);
	if (r == 0)
		r = strbuf_printf(&info->key, "%s/proxies/info/%s", directory, info->uid);
	if (r < 0) {
		proxy_info_free(&info);
		return r;
	}
	*ret_info = info;
	return 0;
}

void proxy_info_free(struct proxy_info **info)
{
	struct proxy_info *p = TAKE_PTR(*info);

	if (p == NULL)
		return;
	store_request_cancel(&p->request);
	strbuf_deinit(&p->key);
	free(p);
}

const char *proxy_info_uid(const struct proxy_info *info)
{
	return info->uid;
}

static void on_done(int error, const char *text, void *arg)
{
	struct proxy_info *p = arg;

	p->request = NULL;
	p->cb(error, text, p->arg);
}

int proxy_info_write(struct proxy_info *info, int64_t generation, int64_t timeout_ns,
		     store_done_cb *cb, void *arg)
{
	char json[160];
	char info_uid[PROXY_UID_SIZE];
	int64_t ttl_ms = timeout_ns / NS_PER_MS * 2;

	CHECK(info->request == NULL);
	int r = draw_uid(info_uid);
	if (r < 0)
		return r;
	int length = snprintf(json, sizeof(json),
			      "{\"infoUID\":\"%s\",\"UID\":\"%s\",\"Generation\":%" PRId64
			      ",\"ProxyTimeout\":%" PRId64 "}",
			      info_uid, info->uid, generation, timeout_ns);
	info->cb = cb;
	info->arg = arg;
	return store_put(info->store, info->key.data, json, (size_t)length,
			 ttl_ms < MIN_TTL_MS ? MIN_TTL_MS : ttl_ms, on_done, info, &info->request);
}

int proxy_info_delete(struct proxy_info *info, store_done_cb *cb, void *arg)
{
	CHECK(info->request == NULL);
	info->cb = cb;
	info->arg = arg;
	return store_delete(info->store, info->key.data, on_done, info, &info->request);
}
