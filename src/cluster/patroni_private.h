/* Shared by the files that decode a Patroni cluster: the view's body, and the
 * tools that read fields out of values of any shape. */
#ifndef PGSPLICE_CLUSTER_PATRONI_PRIVATE_H
#define PGSPLICE_CLUSTER_PATRONI_PRIVATE_H

#include <jansson.h>

#include "base/cleanup.h"
#include "base/refcount.h"
#include "cluster/go_json.h"
#include "cluster/patroni_decode.h"
#include "cluster/patroni_view.h"

struct patroni_view {
	struct refcount refs;
	bool is_empty;
	int64_t group;
	struct patroni_leader leader;
	struct patroni_config config;
	struct patroni_failover failover;
	struct patroni_sync sync;
	struct patroni_cluster cluster;
	struct patroni_member *members; /* sorted by name */
	size_t member_count;
	const char *problems[PATRONI_MAX_PROBLEMS];
	size_t problem_count;  /* also those without a text */
	struct go_arena arena; /* owns what the pointers above lead to */
};

/* A decoding under way. Running out of memory is noted, not returned, since all
 * else goes on; patroni_decode() looks at it last. */
struct patroni_decoder {
	struct patroni_view *view;
	const char *key; /* the one that problems are about */
	bool out_of_memory;
};

/* Adds "KEY: ..." to the view's problems. */
void patroni_problem(struct patroni_decoder *d, const char *format, ...) PRINTF_LIKE(2, 3);

/* Zeroed memory of the view, or NULL, which is noted. */
void *patroni_alloc(struct patroni_decoder *d, size_t size);
/* "" without memory. */
const char *patroni_copy(struct patroni_decoder *d, const char *text, size_t size);

/* Whether it can be a member's name: printable ASCII that fits. */
bool patroni_is_name(const char *text, size_t size);

/* The value as JSON, or NULL with a problem. The caller has to json_decref(). */
json_t *patroni_load(struct patroni_decoder *d, const struct patroni_key *key);
/* The same, if it is an object. */
json_t *patroni_load_object(struct patroni_decoder *d, const struct patroni_key *key);

/* Fields of an object. What is absent or null counts as "", fallback or false; so
 * does what has another type, with a problem. */
const char *patroni_text(struct patroni_decoder *d, json_t *object, const char *field);
/* As it is, and only as long as the object lives. */
const char *patroni_string(struct patroni_decoder *d, json_t *object, const char *field);
/* Also a string of digits, as Patroni takes it; out of [min, max] is a problem. */
int64_t patroni_number(struct patroni_decoder *d, json_t *object, const char *field, int64_t min,
		       int64_t max, int64_t fallback);
/* true, or a word or number that Patroni takes for it: on, true, yes, 1. */
bool patroni_flag(struct patroni_decoder *d, json_t *object, const char *field);
/* Python's idea of true: all but null, false, 0 and what is empty. */
bool patroni_is_truthy(json_t *value);

/* Takes "postgres://[account@]host[:port][,host[:port]…][/…]" apart. Returns NULL,
 * or what is wrong with it, in words that say nothing of the text. */
const char *patroni_parse_address(struct patroni_decoder *d, const char *url,
				  struct patroni_address *ret);
/* %XX decoded; %00, and a '%' without two digits, stay as they are: as in a zone
 * that nobody escaped.
 * out has room for the text as it is, and a NUL. */
void patroni_decode_percent(const char *text, size_t size, char *out);
/* A URL without the account in front of its host. */
const char *patroni_copy_url(struct patroni_decoder *d, const char *url);

/* key: "members/NAME". */
void patroni_decode_member(struct patroni_decoder *d, const struct patroni_key *key,
			   const char *name, struct patroni_member *member);

/* One of the keys that a cluster has once, by its name; others are ignored. To be
 * called in the order of the names. */
void patroni_decode_single(struct patroni_decoder *d, const struct patroni_key *key);

#endif
