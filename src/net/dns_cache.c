/* The rules for one name. The parts are told apart because servers fail for one
 * family and not for the other: what is known of each stays by itself. */
#include "net/dns_cache.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

static void add_part(struct dns_cached *c, enum dns_type type)
{
	struct dns_part *part = &c->parts[c->count++];

	part->type = type;
	part->error = -EINPROGRESS;
}

void dns_cached_init(struct dns_cached *cached, enum dns_prefer prefer)
{
	cached->count = 0;
	if (prefer != DNS_ONLY_IPV6)
		add_part(cached, DNS_TYPE_A);
	if (prefer != DNS_ONLY_IPV4)
		add_part(cached, DNS_TYPE_AAAA);
}

void dns_cached_init_text(struct dns_cached *cached)
{
	cached->count = 0;
	add_part(cached, DNS_TYPE_TXT);
}

void dns_cached_deinit(struct dns_cached *cached)
{
	for (size_t i = 0; i < cached->count; i++)
		strbuf_deinit(&cached->parts[i].text);
}

int64_t dns_ttl_ms(int64_t ttl_s, int64_t max_ttl_ms)
{
	if (ttl_s >= max_ttl_ms / 1000)
		return max_ttl_ms > DNS_MIN_TTL_MS ? max_ttl_ms : DNS_MIN_TTL_MS;
	return ttl_s * 1000 > DNS_MIN_TTL_MS ? ttl_s * 1000 : DNS_MIN_TTL_MS;
}

void dns_part_take(struct dns_part *part, int error, struct dns_records *records, int64_t now_ms,
		   int64_t max_ttl_ms)
{
	part->error = error;
	if (error < 0) {
		part->expires_ms =
			now_ms + (error == ERR_NO_NAME ? DNS_NEGATIVE_TTL_MS : DNS_RETRY_MS);
		return;
	}
	part->good_ms = now_ms;
	part->expires_ms = now_ms + dns_ttl_ms(records->ttl_s, max_ttl_ms);
	part->count = records->count;
	memcpy(part->addrs, records->addrs, sizeof(part->addrs));
	struct strbuf before = part->text;
	part->text = records->text;
	records->text = before;
}

/* Whether a part has a say in when to ask again: a family that never was there
 * does not make the other one be asked for every second. */
static bool is_relied_on(const struct dns_part *part)
{
	return part->error == 0 || (part->error == ERR_DNS && part->good_ms > 0);
}

int64_t dns_cached_expires_ms(const struct dns_cached *cached)
{
	int64_t of_good = INT64_MAX;
	int64_t of_all = INT64_MAX;

	for (size_t i = 0; i < cached->count; i++) {
		const struct dns_part *part = &cached->parts[i];
		if (part->expires_ms < of_all)
			of_all = part->expires_ms;
		if (is_relied_on(part) && part->expires_ms < of_good)
			of_good = part->expires_ms;
	}
	return of_good != INT64_MAX ? of_good : of_all;
}

/* A fifth early, so that the next answer is there when this one expires. */
int64_t dns_cached_refresh_ms(const struct dns_cached *cached, int64_t asked_ms)
{
	int64_t expires_ms = dns_cached_expires_ms(cached);

	return expires_ms > asked_ms ? expires_ms - (expires_ms - asked_ms) / 5 : expires_ms;
}

bool dns_cached_is_complete(const struct dns_cached *cached)
{
	for (size_t i = 0; i < cached->count; i++) {
		if (cached->parts[i].error == -EINPROGRESS)
			return false;
	}
	return true;
}

static void add_answer(const struct dns_part *part, struct dns_answer *answer)
{
	size_t room = DNS_MAX_ADDRESSES - answer->count;

	if (part->type == DNS_TYPE_TXT) {
		answer->count = part->count;
		answer->text = part->text.data == NULL ? "" : part->text.data;
		answer->text_size = part->text.size;
		return;
	}
	size_t count = part->count < room ? part->count : room;
	memcpy(answer->addrs + answer->count, part->addrs, count * sizeof(part->addrs[0]));
	answer->count += count;
}

/* Only what is good (stale_ms < 0), or also what was until so long ago. */
static void collect(const struct dns_cached *cached, bool last_first, int64_t stale_ms,
		    int64_t now_ms, struct dns_answer *answer)
{
	for (size_t i = 0; i < cached->count; i++) {
		const struct dns_part *part =
			&cached->parts[last_first ? cached->count - 1 - i : i];
		bool is_kept = stale_ms >= 0 && now_ms - part->good_ms < stale_ms;
		if (part->good_ms > 0 && (is_relied_on(part) || is_kept))
			add_answer(part, answer);
	}
}

int dns_cached_read(const struct dns_cached *cached, enum dns_prefer prefer, int64_t stale_ms,
		    int64_t now_ms, struct dns_answer *ret)
{
	bool last_first = prefer == DNS_PREFER_IPV6;
	int error = ERR_NO_NAME;

	ret->count = 0;
	ret->text = NULL;
	ret->text_size = 0;
	collect(cached, last_first, -1, now_ms, ret);
	if (ret->count == 0)
		collect(cached, last_first, stale_ms, now_ms, ret);
	if (ret->count > 0)
		return 0;
	for (size_t i = 0; i < cached->count; i++) {
		if (cached->parts[i].error == -EINPROGRESS)
			return -EINPROGRESS;
		if (cached->parts[i].error == ERR_DNS)
			error = ERR_DNS;
	}
	return error;
}
