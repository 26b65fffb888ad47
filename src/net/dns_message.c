/* Reads what name servers send (RFC 1035). c-ares has looked at the id and the
 * question; everything else may be anything, so each step is bounded by the
 * message. */
#include "net/dns_message.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"

#define MAX_ALIASES 16
#define MAX_JUMPS   64 /* within one name */

#define TYPE_CNAME 5
#define TYPE_SOA   6
#define CLASS_IN   1

#define RCODE_NAME_ERROR 3

struct reader {
	const uint8_t *data;
	size_t size;
	size_t at;
};

/* Points into the message. */
struct record {
	char owner[DNS_NAME_SIZE];
	unsigned type;
	unsigned class;
	int64_t ttl_s;
	size_t at; /* of its data, for names that point elsewhere */
	size_t size;
};

static int read_u16(struct reader *r, unsigned *ret)
{
	if (r->size - r->at < 2)
		return ERR_SYNTAX;
	*ret = (unsigned)r->data[r->at] << 8 | r->data[r->at + 1];
	r->at += 2;
	return 0;
}

/* Appends a label with a dot behind it. A byte that would make two names of one
 * (a dot, NUL) becomes one that no host's name has. */
static int append_label(char name[static DNS_NAME_SIZE], size_t *used, const uint8_t *label,
			size_t length)
{
	if (*used + length + 2 > DNS_NAME_SIZE)
		return ERR_SYNTAX;
	for (size_t i = 0; i < length; i++)
		name[(*used)++] = (char)(label[i] == '.' || label[i] == '\0' ? '?' : label[i]);
	name[(*used)++] = '.';
	return 0;
}

/* Names end in one 0 byte, or go on elsewhere: two bits say so. */
static int read_name(struct reader *r, char name[static DNS_NAME_SIZE])
{
	size_t at = r->at;
	size_t used = 0;
	size_t behind = 0; /* where reading goes on after the first jump */

	for (unsigned jumps = 0; jumps <= MAX_JUMPS;) {
		if (at >= r->size)
			return ERR_SYNTAX;
		size_t length = r->data[at++];
		if (length == 0) {
			name[used] = '\0';
			r->at = behind != 0 ? behind : at;
			return 0;
		}
		if (length >= 0xc0) {
			if (at >= r->size)
				return ERR_SYNTAX;
			behind = behind != 0 ? behind : at + 1;
			at = (length & 0x3f) << 8 | r->data[at];
			jumps++;
			continue;
		}
		if (length > 63 || r->size - at < length ||
		    append_label(name, &used, r->data + at, length) < 0)
			return ERR_SYNTAX;
		at += length;
	}
	return ERR_SYNTAX;
}

static int read_record(struct reader *r, struct record *ret)
{
	unsigned high;
	unsigned low;
	unsigned size;

	if (read_name(r, ret->owner) < 0 || read_u16(r, &ret->type) < 0 ||
	    read_u16(r, &ret->class) < 0 || read_u16(r, &high) < 0 || read_u16(r, &low) < 0 ||
	    read_u16(r, &size) < 0 || r->size - r->at < size)
		return ERR_SYNTAX;
	/* One with the top bit set counts as 0 (RFC 2181). */
	ret->ttl_s = high & 0x8000 ? 0 : (int64_t)high << 16 | low;
	ret->at = r->at;
	ret->size = size;
	r->at += size;
	return 0;
}

static int take_address(const struct reader *r, const struct record *record,
			struct dns_records *into)
{
	struct addr addr = {0};
	bool is_ipv6 = record->type == DNS_TYPE_AAAA;

	if (record->size != (is_ipv6 ? sizeof(addr.in6.sin6_addr) : sizeof(addr.in.sin_addr)))
		return ERR_SYNTAX;
	addr.sa.sa_family = is_ipv6 ? AF_INET6 : AF_INET;
	memcpy(is_ipv6 ? (void *)&addr.in6.sin6_addr : (void *)&addr.in.sin_addr,
	       r->data + record->at, record->size);
	if (into->count < DNS_MAX_ADDRESSES)
		into->addrs[into->count++] = addr;
	return 0;
}

/* A long text is cut into strings of at most 255 bytes: each with its length. */
static int take_text(const struct reader *r, const struct record *record, struct dns_records *into)
{
	const uint8_t *at = r->data + record->at;
	const uint8_t *end = at + record->size;
	int error = into->count++ > 0 ? strbuf_append(&into->text, ",", 1) : 0;

	while (error == 0 && at < end) {
		size_t length = *at++;
		if ((size_t)(end - at) < length)
			return ERR_SYNTAX;
		if (into->text.size + length <= DNS_MAX_TEXT)
			error = strbuf_append(&into->text, at, length);
		at += length;
	}
	return error;
}

/* Where the message stands, and of which name it is to tell. */
struct search {
	struct reader *reader;
	enum dns_type type;
	char name[DNS_NAME_SIZE];
	char alias[DNS_NAME_SIZE];
	struct dns_records *into;
};

static void lower_ttl(struct search *s, int64_t ttl_s)
{
	if (s->into->ttl_s < 0 || ttl_s < s->into->ttl_s)
		s->into->ttl_s = ttl_s;
}

static int take_record(struct search *s, const struct record *record)
{
	if (record->class != CLASS_IN || strcasecmp(record->owner, s->name) != 0)
		return 0;
	if (record->type == TYPE_CNAME) {
		struct reader at_data = {s->reader->data, s->reader->size, record->at};
		lower_ttl(s, record->ttl_s);
		return read_name(&at_data, s->alias);
	}
	if (record->type != s->type)
		return 0;
	lower_ttl(s, record->ttl_s);
	return s->type == DNS_TYPE_TXT ? take_text(s->reader, record, s->into)
				       : take_address(s->reader, record, s->into);
}

static int read_section(struct search *s, unsigned count, bool *ret_has_soa)
{
	for (unsigned i = 0; i < count; i++) {
		struct record record;

		int r = read_record(s->reader, &record);
		if (r == 0 && ret_has_soa == NULL)
			r = take_record(s, &record);
		if (r < 0)
			return r;
		if (ret_has_soa != NULL && record.type == TYPE_SOA)
			*ret_has_soa = true;
	}
	return 0;
}

/* Each pass finds the records of one name, or the name that it is an alias of:
 * they may stand in any order. */
static int follow_aliases(struct search *s, unsigned answers)
{
	size_t first = s->reader->at;

	for (unsigned i = 0; i <= MAX_ALIASES; i++) {
		s->alias[0] = '\0';
		s->reader->at = first;
		int r = read_section(s, answers, NULL);
		if (r < 0 || s->into->count > 0 || s->alias[0] == '\0')
			return r;
		memcpy(s->name, s->alias, sizeof(s->name));
	}
	return -ELOOP;
}

static int read_answer(struct search *s, unsigned answers, unsigned authorities)
{
	char asked[DNS_NAME_SIZE];
	bool says_no = false; /* the zone itself says that there is no more */

	memcpy(asked, s->name, sizeof(asked));
	int r = follow_aliases(s, answers);
	if (r < 0 || s->into->count > 0)
		return r;
	bool is_alias = strcasecmp(asked, s->name) != 0;
	r = read_section(s, authorities, &says_no);
	if (r < 0)
		return r;
	if (!is_alias || says_no)
		return ERR_NO_NAME;
	memcpy(s->into->alias, s->name, sizeof(s->into->alias));
	return 0;
}

int dns_message_read(const uint8_t *data, size_t size, enum dns_type type, struct dns_records *ret)
{
	struct reader reader = {data, size, 0};
	struct search search = {.reader = &reader, .type = type, .into = ret};
	unsigned id, flags, counts[4], question[2];

	*ret = (struct dns_records){.ttl_s = -1};
	if (read_u16(&reader, &id) < 0 || read_u16(&reader, &flags) < 0)
		return ERR_SYNTAX;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		if (read_u16(&reader, &counts[i]) < 0)
			return ERR_SYNTAX;
	}
	if ((flags & 0x8000) == 0 || counts[0] != 1 || read_name(&reader, search.name) < 0 ||
	    read_u16(&reader, &question[0]) < 0 || read_u16(&reader, &question[1]) < 0)
		return ERR_SYNTAX;
	if ((flags & 0xf) == RCODE_NAME_ERROR)
		return ERR_NO_NAME;
	if ((flags & 0xf) != 0)
		return ERR_DNS;
	return read_answer(&search, counts[1], counts[2]);
}

void dns_records_deinit(struct dns_records *records)
{
	strbuf_deinit(&records->text);
}

static bool is_blank(char c)
{
	return isspace((unsigned char)c) != 0;
}

static void trim(const char **text, size_t *length)
{
	while (*length > 0 && is_blank(**text)) {
		(*text)++;
		(*length)--;
	}
	while (*length > 0 && is_blank((*text)[*length - 1]))
		(*length)--;
}

bool dns_item_next(const char **text, size_t *size, struct dns_item *ret)
{
	while (*size > 0) {
		const char *item = *text;
		const char *comma = memchr(item, ',', *size);
		size_t length = comma == NULL ? *size : (size_t)(comma - item);

		*text += comma == NULL ? length : length + 1;
		*size -= comma == NULL ? length : length + 1;
		trim(&item, &length);
		if (length == 0)
			continue;
		size_t word = 0;
		while (word < length && !is_blank(item[word]))
			word++;
		*ret = (struct dns_item){item, word, item + word, length - word};
		trim(&ret->value, &ret->value_length);
		return true;
	}
	return false;
}
