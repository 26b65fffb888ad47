/* conn_url and its like to hosts and ports. Pure.
 *
 * Reads what libpq and Patroni read, as far as a server can be reached by it. An
 * account is dropped and never repeated, not even in an error. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "base/strbuf.h"
#include "patroni_private.h"

#define DEFAULT_PORT  5432
#define MAX_HOST_SIZE 256 /* with its NUL */

/* Past "scheme://", or NULL. */
static const char *skip_scheme(const char *url)
{
	static const char *const schemes[] = {"postgres://", "postgresql://"};

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (strncasecmp(url, schemes[i], strlen(schemes[i])) == 0)
			return url + strlen(schemes[i]);
	}
	return NULL;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = c == '\0' ? NULL : strchr(digits, tolower((unsigned char)c));

	return found == NULL ? -1 : (int)(found - digits);
}

void patroni_decode_percent(const char *text, size_t size, char *out)
{
	for (size_t i = 0; i < size; i++) {
		int high = text[i] == '%' && i + 2 < size ? hex_digit(text[i + 1]) : -1;
		int low = high < 0 ? -1 : hex_digit(text[i + 2]);

		if (low < 0 || high + low == 0) {
			*out++ = text[i];
			continue;
		}
		*out++ = (char)(high * 16 + low);
		i += 2;
	}
	*out = '\0';
}

static bool is_host(const char *host, bool is_bracketed)
{
	if (*host == '\0')
		return false;
	for (; *host != '\0'; host++) {
		bool is_plain = isalnum((unsigned char)*host) || strchr("-._", *host) != NULL;
		if (!is_plain && !(is_bracketed && (*host == ':' || *host == '%')))
			return false;
	}
	return true;
}

/* One "host[:port]" of the list. */
static const char *parse_one(struct patroni_decoder *d, const char *text, size_t size,
			     struct patroni_host *ret, struct strbuf *shown)
{
	char host[MAX_HOST_SIZE];
	char digits[8];
	const char *end = text + size;
	bool is_bracketed = size > 0 && *text == '[';
	const char *host_end = memchr(text, is_bracketed ? ']' : ':', size);
	int64_t port = DEFAULT_PORT;

	if (is_bracketed && host_end == NULL)
		return "no bracket closes the host";
	text += is_bracketed;
	if (host_end == NULL)
		host_end = end;
	if ((size_t)(host_end - text) >= sizeof(host))
		return "the host is too long";
	patroni_decode_percent(text, (size_t)(host_end - text), host);
	if (!is_host(host, is_bracketed))
		return "no usable host";
	host_end += is_bracketed;
	if (host_end < end) {
		size_t length = (size_t)(end - host_end) - 1;
		if (*host_end != ':' || length >= sizeof(digits))
			return "no usable port";
		memcpy(digits, host_end + 1, length);
		digits[length] = '\0';
		if (length > 0 && parse_int(digits, 1, UINT16_MAX, &port) < 0)
			return "no usable port";
	}
	*ret = (struct patroni_host){patroni_copy(d, host, strlen(host)), (uint16_t)port};
	if (strbuf_printf(shown, strchr(host, ':') != NULL ? "%s[%s]:%u" : "%s%s:%u",
			  shown->size > 0 ? "," : "", host, (unsigned)port) < 0)
		d->out_of_memory = true;
	return NULL;
}

static const char *parse_list(struct patroni_decoder *d, const char *text, size_t size,
			      struct patroni_address *address, struct strbuf *shown)
{
	struct patroni_host hosts[PATRONI_MAX_HOSTS];
	size_t count = 0;

	for (;;) {
		const char *comma = memchr(text, ',', size);
		size_t length = comma != NULL ? (size_t)(comma - text) : size;
		if (count == PATRONI_MAX_HOSTS)
			return "too many hosts";
		const char *problem = parse_one(d, text, length, &hosts[count++], shown);
		if (problem != NULL)
			return problem;
		if (comma == NULL)
			break;
		text += length + 1;
		size -= length + 1;
	}
	if (shown->size >= PATRONI_ADDRESS_SIZE)
		return "the list of hosts is too long";
	struct patroni_host *kept = patroni_alloc(d, count * sizeof(*kept));
	if (kept == NULL || shown->data == NULL)
		return NULL; /* noted */
	memcpy(kept, hosts, count * sizeof(*kept));
	*address = (struct patroni_address){kept, count, patroni_copy(d, shown->data, shown->size)};
	return NULL;
}

const char *patroni_parse_address(struct patroni_decoder *d, const char *url,
				  struct patroni_address *ret)
{
	const char *text = skip_scheme(url);
	struct strbuf shown;

	if (text == NULL)
		return "no postgres:// URL";
	size_t size = strcspn(text, "/?#");
	/* An account with one of these in it would leak into the host. */
	if (strchr(text + size, '@') != NULL)
		return "an @ behind the address";
	const char *at = memrchr(text, '@', size);
	if (at != NULL) {
		size -= (size_t)(at + 1 - text);
		text = at + 1;
	}
	strbuf_init(&shown);
	const char *problem = parse_list(d, text, size, ret, &shown);
	strbuf_deinit(&shown);
	return problem;
}

const char *patroni_copy_url(struct patroni_decoder *d, const char *url)
{
	const char *host = strstr(url, "://");

	if (host == NULL)
		return "";
	host += 3;
	size_t scheme = (size_t)(host - url);
	size_t size = strcspn(host, "/?#");
	if (strchr(host + size, '@') != NULL)
		return "";
	const char *at = memrchr(host, '@', size);
	const char *rest = at != NULL ? at + 1 : host;
	size_t rest_size = strlen(rest);
	char *copy = patroni_alloc(d, scheme + rest_size + 1);
	if (copy == NULL)
		return "";
	memcpy(copy, url, scheme);
	memcpy(copy + scheme, rest, rest_size);
	go_json_make_printable(copy);
	return copy;
}
