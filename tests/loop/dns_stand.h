/* A name server that the test plays, and who asks it: for test_dns.c. */
#ifndef PGSPLICE_TESTS_LOOP_DNS_STAND_H
#define PGSPLICE_TESTS_LOOP_DNS_STAND_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/dns.h"
#include "rig.h"

#define SERVFAIL   2
#define NXDOMAIN   3
#define TYPE_CNAME 5

/* What the server says of each name; the first match counts. */
struct entry {
	const char *name; /* ends with a dot */
	unsigned type;    /* of the record; TYPE_CNAME answers every question */
	unsigned ttl;
	const char *value; /* address, alias with a dot at its end, or text */
};

struct told {
	unsigned count;
	int error;
	struct dns_answer answer;
	char text[600];
	struct dns_lookup *lookup;
	bool cancels; /* in the callback */
};

struct stand {
	struct rig *rig;
	struct dns *dns;
	struct dns_settings settings;
	int server;
	struct event event;
	char address[ADDR_TEXT_SIZE];
	char hosts[60];
	struct entry entries[8];
	unsigned rcode;
	bool silent;
	unsigned silent_type; /* of questions that get no answer */
	unsigned asked;
	unsigned asked_types[100];
	struct told told;
	struct told other;
};

static inline void put(uint8_t **at, const void *data, size_t size)
{
	memcpy(*at, data, size);
	*at += size;
}

static inline void put_u16(uint8_t **at, unsigned value)
{
	put(at, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

static inline void put_name(uint8_t **at, const char *name)
{
	while (*name != '\0') {
		size_t length = strcspn(name, ".");
		put(at, &(uint8_t){(uint8_t)length}, 1);
		put(at, name, length);
		name += length + 1;
	}
	put(at, "", 1);
}

/* The record's owner is always the name asked for. */
static inline void put_record(uint8_t **at, const struct entry *e)
{
	struct addr addr;

	put(at, "\xc0\x0c", 2);
	put_u16(at, e->type);
	put_u16(at, 1);
	put_u16(at, e->ttl >> 16);
	put_u16(at, e->ttl);
	uint8_t *size_at = *at;
	put_u16(at, 0);
	if (e->type == TYPE_CNAME) {
		put_name(at, e->value);
	} else if (e->type == DNS_TYPE_TXT) {
		put(at, &(uint8_t){(uint8_t)strlen(e->value)}, 1);
		put(at, e->value, strlen(e->value));
	} else {
		assert_int_equal(addr_parse_ip(e->value, 0, &addr), 0);
		if (e->type == DNS_TYPE_A)
			put(at, &addr.in.sin_addr, 4);
		else
			put(at, &addr.in6.sin6_addr, 16);
	}
	size_t size = (size_t)(*at - size_at - 2);
	put_u16(&size_at, (unsigned)size);
}

static inline size_t make_answer(struct stand *s, const uint8_t *question, size_t size,
				 uint8_t *answer)
{
	char name[DNS_NAME_SIZE] = "";
	const uint8_t *at = question + 12;
	uint8_t *end = answer;
	unsigned count = 0;

	for (; *at != 0; at += *at + 1) {
		strncat(name, (const char *)at + 1, *at);
		strcat(name, ".");
	}
	unsigned type = (unsigned)at[1] << 8 | at[2];
	s->asked_types[s->asked++ % ARRAY_LEN(s->asked_types)] = type;
	if (type == s->silent_type)
		return 0;
	put(&end, question, 2);
	put_u16(&end, 0x8180 | s->rcode);
	put(&end, "\0\1\0\0\0\0\0\0", 8);
	put(&end, question + 12, (size_t)(at + 5 - question) - 12);
	for (size_t i = 0; i < ARRAY_LEN(s->entries) && s->rcode == 0; i++) {
		const struct entry *e = &s->entries[i];
		if (e->name == NULL || strcasecmp(e->name, name) != 0 ||
		    (e->type != type && e->type != TYPE_CNAME))
			continue;
		put_record(&end, e);
		count++;
	}
	answer[7] = (uint8_t)count;
	return (size_t)(end - answer);
}

static inline void on_question(evutil_socket_t fd, short what, void *arg)
{
	struct stand *s = arg;
	uint8_t question[600];
	uint8_t answer[4096];
	struct addr peer;
	socklen_t peer_size = sizeof(peer);
	ssize_t size = recvfrom(fd, question, sizeof(question), 0, &peer.sa, &peer_size);

	if (size < 17)
		return;
	size_t answer_size = make_answer(s, question, (size_t)size, answer);
	if (!s->silent && answer_size > 0)
		sendto(fd, answer, answer_size, 0, &peer.sa, peer_size);
}

static inline void open_server(struct stand *s)
{
	struct addr addr;
	socklen_t size = sizeof(addr);

	assert_int_equal(addr_parse_ip("127.0.0.1", 0, &addr), 0);
	s->server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->server, &addr.sa, addr_size(&addr)), 0);
	assert_int_equal(getsockname(s->server, &addr.sa, &size), 0);
	addr_format(&addr, s->address);
	event_assign(&s->event, s->rig->loop.base, s->server, EV_READ | EV_PERSIST, on_question, s);
	assert_int_equal(event_add(&s->event, NULL), 0);
}

static inline void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static inline void write_hosts(struct stand *s, const char *text)
{
	write_file(s->hosts, text);
}

static inline int setup(void **state)
{
	struct stand *s = calloc(1, sizeof(*s));

	assert_int_equal(rig_setup((void **)&s->rig), 0);
	open_server(s);
	snprintf(s->hosts, sizeof(s->hosts), "/tmp/pgsplice-test-hosts-%d", (int)getpid());
	write_hosts(s, "127.0.0.1 localhost\n");
	s->settings = (struct dns_settings){
		.server = s->address, .max_ttl_ms = 30000, .stale_ms = 60000, .hosts = s->hosts};
	assert_int_equal(dns_open(&s->rig->loop, &s->settings, &s->dns), 0);
	*state = s;
	return 0;
}

static inline int teardown(void **state)
{
	struct stand *s = *state;

	dns_close(&s->dns);
	event_del(&s->event);
	close(s->server);
	unlink(s->hosts);
	rig_teardown((void **)&s->rig);
	free(s);
	return 0;
}

#endif
