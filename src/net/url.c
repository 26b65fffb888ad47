/* URLs taken apart. */
#include "net/url.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/parse.h"

void url_deinit(struct url *url)
{
	free(url->user);
	free(url->password);
	free(url->host);
	free(url->path);
	*url = (struct url){0};
}

static int hex_digit(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode(const char *text, size_t size, char **ret)
{
	AUTO_FREE char *out = malloc(size + 1);
	size_t length = 0;

	if (out == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < size; i++) {
		if (text[i] != '%') {
			out[length++] = text[i];
			continue;
		}
		bool is_whole = i + 2 < size;
		int high = is_whole ? hex_digit(text[i + 1]) : -1;
		int low = is_whole ? hex_digit(text[i + 2]) : -1;
		if (high < 0 || low < 0 || high + low == 0)
			return ERR_SYNTAX; /* also a NUL, which would end the text */
		out[length++] = (char)(high * 16 + low);
		i += 2;
	}
	out[length] = '\0';
	*ret = TAKE_PTR(out);
	return 0;
}

static int parse_account(const char *text, size_t size, struct url *url)
{
	const char *colon = memchr(text, ':', size);
	size_t user = colon != NULL ? (size_t)(colon - text) : size;

	int r = decode(text, user, &url->user);
	if (r == 0 && colon != NULL)
		r = decode(colon + 1, size - user - 1, &url->password);
	return r;
}

static int parse_host(const char *text, size_t size, struct url *url)
{
	const char *port = NULL;
	int64_t number = url->port;

	if (size > 0 && *text == '[') {
		const char *end = memchr(text, ']', size);
		if (end == NULL)
			return ERR_SYNTAX;
		url->host = strndup(text + 1, (size_t)(end - text) - 1);
		if (end + 1 < text + size) {
			if (end[1] != ':')
				return ERR_SYNTAX;
			port = end + 2;
		}
	} else {
		const char *colon = memchr(text, ':', size);
		size_t host = colon != NULL ? (size_t)(colon - text) : size;
		if (host == 0)
			return ERR_SYNTAX;
		url->host = strndup(text, host);
		port = colon != NULL ? colon + 1 : NULL;
	}
	if (url->host == NULL)
		return -ENOMEM;
	if (port != NULL) {
		AUTO_FREE char *digits = strndup(port, (size_t)(text + size - port));
		int r = digits == NULL ? -ENOMEM : parse_int(digits, 1, UINT16_MAX, &number);
		if (r < 0)
			return r;
	}
	url->port = (uint16_t)number;
	return strpbrk(url->host, " \t\r\n/?#") != NULL || *url->host == '\0' ? ERR_SYNTAX : 0;
}

static int parse_parts(const char *text, struct url *url)
{
	size_t authority = strcspn(text, "/?#");
	const char *at = memrchr(text, '@', authority);
	const char *host = at != NULL ? at + 1 : text;
	int r = 0;

	if (at != NULL)
		r = parse_account(text, (size_t)(at - text), url);
	if (r == 0)
		r = parse_host(host, authority - (size_t)(host - text), url);
	if (r < 0)
		return r;
	url->path = strdup(text + authority);
	return url->path == NULL ? -ENOMEM : 0;
}

int url_parse(const char *text, uint16_t default_port, struct url *ret)
{
	struct url url = {0};
	const char *scheme_end = strstr(text, "://");

	if (scheme_end != NULL) {
		size_t length = (size_t)(scheme_end - text);
		url.is_https = length == 5 && strncasecmp(text, "https", 5) == 0;
		if (!url.is_https && !(length == 4 && strncasecmp(text, "http", 4) == 0))
			return ERR_SYNTAX;
		text = scheme_end + 3;
	}
	url.port = default_port != 0 ? default_port : url.is_https ? 443 : 80;
	int r = parse_parts(text, &url);
	if (r < 0) {
		url_deinit(&url);
		return r;
	}
	*ret = url;
	return 0;
}

const char *url_format_origin(const struct url *url, char text[static URL_TEXT_SIZE])
{
	bool is_ipv6 = strchr(url->host, ':') != NULL;

	snprintf(text, URL_TEXT_SIZE, "%s://%s%.250s%s:%u", url->is_https ? "https" : "http",
		 is_ipv6 ? "[" : "", url->host, is_ipv6 ? "]" : "", url->port);
	return text;
}

int url_append_escaped(struct strbuf *into, const char *data, size_t size, const char *plain)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < size; i++) {
		unsigned char c = (unsigned char)data[i];
		if (isalnum(c) || (c != '\0' && strchr(plain, c) != NULL))
			r = strbuf_append(into, &data[i], 1);
		else
			r = strbuf_printf(into, "%%%02X", c);
	}
	return r;
}
