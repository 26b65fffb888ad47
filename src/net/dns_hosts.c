/* Lines of "address name name ... # remark". */
#include "net/dns_hosts.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>

/* Takes the next word off a line; an empty one ends it. */
static size_t take_word(const char **at, const char *end, const char **ret_word)
{
	while (*at < end && strchr(" \t\r", **at) != NULL && **at != '\0')
		(*at)++;
	*ret_word = *at;
	while (*at < end && (**at == '\0' || strchr(" \t\r#", **at) == NULL))
		(*at)++;
	return (size_t)(*at - *ret_word);
}

static bool has_name(const char *at, const char *end, const char *name, size_t length)
{
	const char *word;
	size_t size;

	while ((size = take_word(&at, end, &word)) > 0) {
		if (size > 1 && word[size - 1] == '.')
			size--;
		if (size == length && strncasecmp(word, name, length) == 0)
			return true;
	}
	return false;
}

static void take_line(const char *at, const char *end, const char *name, size_t length, int family,
		      struct dns_records *into)
{
	char text[ADDR_TEXT_SIZE];
	struct addr addr;
	const char *word;
	size_t size = take_word(&at, end, &word);

	if (size == 0 || size >= sizeof(text) || !has_name(at, end, name, length))
		return;
	memcpy(text, word, size);
	text[size] = '\0';
	if (addr_parse_ip(text, 0, &addr) < 0 || addr.sa.sa_family != family)
		return;
	for (size_t i = 0; i < into->count; i++) {
		if (addr_equal(&into->addrs[i], &addr))
			return;
	}
	if (into->count < DNS_MAX_ADDRESSES)
		into->addrs[into->count++] = addr;
}

void dns_hosts_find(const char *text, size_t size, const char *name, int family,
		    struct dns_records *into)
{
	const char *end = text + size;
	size_t length = strlen(name);

	if (length > 1 && name[length - 1] == '.')
		length--;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline == NULL ? end : newline;
		take_line(text, line_end, name, length, family, into);
		text = newline == NULL ? end : newline + 1;
	}
}

void dns_hosts_read(const char *path, struct strbuf *into)
{
	/* O_NONBLOCK: whatever is in the file's place must not hold us. */
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char piece[4096];
	ssize_t size;

	while (fd >= 0 && into->size < DNS_HOSTS_MAX_SIZE &&
	       (size = read(fd, piece, sizeof(piece))) > 0) {
		if (strbuf_append(into, piece, (size_t)size) < 0)
			return;
	}
}
