/* JSON into C structs by tables, with the rules of Go's encoding/json.
 *
 * What stolon writes, stolon reads with that package, and so what it accepts
 * is what we have to accept: keys match without regard to case, unknown ones
 * are skipped, null leaves a value alone and clears a pointer, list or map,
 * several keys of one field are applied in their order, and a field of another
 * type fails the whole document, whether anybody uses it or not.
 *
 * Stricter than Go, in what stolon never writes: text that is not UTF-8, lone
 * surrogates, \u0000, numbers past an int64 or a double, nesting deeper than
 * GO_JSON_MAX_DEPTH. Looser: of several keys equal to the letter only the last
 * one is seen. */
#ifndef PGSPLICE_CLUSTER_GO_JSON_H
#define PGSPLICE_CLUSTER_GO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define GO_JSON_MAX_DEPTH 64

/* Holds everything one document was decoded to; freed as a whole. */
struct go_arena {
	struct go_arena_block *blocks;
};

void go_arena_init(struct go_arena *arena);
void go_arena_deinit(struct go_arena *arena);
/* Zeroed memory, or NULL. */
void *go_arena_alloc(struct go_arena *arena, size_t size);

struct go_list {
	const char *const *items;
	size_t count;
};

struct go_map_entry {
	const char *key;
	void *value; /* a struct of the field's table; NULL: the JSON value was null */
};

/* Sorted by key, each key once. */
struct go_map {
	struct go_map_entry *entries;
	size_t count;
};

/* NULL if there is no such key. */
const struct go_map_entry *go_map_find(const struct go_map *map, const char *key);

/* In brackets what the field of the C struct is. */
enum go_kind {
	GO_STRING, /* (const char *), "" unless set: never NULL */
	GO_BOOL,   /* (bool) */
	GO_INT64,  /* (int64_t), as all numbers are */
	GO_UINT16,
	GO_UINT32,
	GO_UINT64,      /* values past an int64 are refused */
	GO_DURATION,    /* (int64_t) nanoseconds, from a string such as "1m30s", or 0 */
	GO_TIME,        /* RFC 3339; only ever checked */
	GO_STRUCT,      /* (the struct itself) */
	GO_LIST,        /* (struct go_list) strings */
	GO_MAP,         /* (struct go_map) strings to pointers to structs */
	GO_STRING_MAP,  /* strings to strings; only ever checked */
	GO_STRUCT_LIST, /* pointers to structs; only ever checked */
};

/* The offset of a field that is checked but not kept. */
#define GO_UNUSED SIZE_MAX

struct go_field {
	const char *name;
	size_t offset;
	const struct go_table *table; /* of what has structs in it */
	enum go_kind kind;
	/* The C field points to the kind, NULL unless set: scalars and structs only. */
	bool pointer;
};

struct go_table {
	size_t size; /* of the C struct; 0 if none of its fields is kept */
	const struct go_field *fields;
	size_t count;
};

/* Decodes one document, an object, into a new struct of the table; *ret_object
 * is NULL for the JSON value null. The arena owns all of it, and after a failure
 * what had been decoded so far. Returns 0 or a negative error with a text in
 * `error` that says what and where, in printable ASCII. */
MUST_CHECK int go_json_decode(const char *json, size_t size, const struct go_table *table,
			      struct go_arena *arena, void **ret_object, char *error,
			      size_t error_size);

/* Replaces whatever a log line or terminal could choke on by '?'. */
void go_json_make_printable(char *text);

/* Whether Go's time.Time takes it as a JSON string. */
bool go_time_is_valid(const char *text);

#endif
