/* http and https URLs, as stores are named by. */
#ifndef PGSPLICE_NET_URL_H
#define PGSPLICE_NET_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

struct url {
	bool is_https;
	char *user;     /* NULL: none; percent-decoded, as the password */
	char *password; /* NULL: none */
	char *host;     /* IPv6 without brackets */
	uint16_t port;
	char *path; /* with its first slash, "" if none */
};

/* [http[s]://][user[:password]@]host[:port][/path]; http without a scheme.
 * default_port 0: 80 or 443. Returns 0, ERR_SYNTAX, ERR_RANGE or -ENOMEM. */
MUST_CHECK int url_parse(const char *text, uint16_t default_port, struct url *ret);
void url_deinit(struct url *url);

/* "http://host:port", without anything secret, into text. */
#define URL_TEXT_SIZE 300
const char *url_format_origin(const struct url *url, char text[static URL_TEXT_SIZE]);

/* Appends bytes for a path or query: letters, digits and those in plain as they
 * are, all others as %XX. */
MUST_CHECK int url_append_escaped(struct strbuf *into, const char *data, size_t size,
				  const char *plain);

#endif
