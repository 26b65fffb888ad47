/* Shared by the parts of the JSON decoder. */
#ifndef PGSPLICE_CLUSTER_GO_JSON_PRIVATE_H
#define PGSPLICE_CLUSTER_GO_JSON_PRIVATE_H

#include <jansson.h>

#include "base/cleanup.h"
#include "cluster/go_json.h"

/* Where in the document we are: one frame a level, innermost first. */
struct go_path {
	const struct go_path *up; /* NULL for the document itself */
	const char *name;         /* NULL: an element of a list */
	size_t index;
};

struct go_decoder {
	struct go_arena *arena;
	char *error;
	size_t error_size;
};

/* Bytes to a tree, which the caller has to json_decref(). */
MUST_CHECK int go_parse(const char *json, size_t size, json_t **ret_root, char *error,
			size_t error_size);

/* Each writes "PATH: reason" and returns the code. */
int go_fail(struct go_decoder *d, const struct go_path *at, int code, const char *format, ...)
	PRINTF_LIKE(4, 5);
int go_fail_type(struct go_decoder *d, const struct go_path *at, json_t *value, const char *wanted);
int go_fail_memory(struct go_decoder *d);

/* In the arena; NULL without memory. */
const char *go_copy_string(struct go_decoder *d, const char *text);

/* Each takes null as "leave it alone", except for a duration, and may have a
 * NULL target. */
MUST_CHECK int go_decode_string(struct go_decoder *d, json_t *value, const char **target,
				const struct go_path *at);
MUST_CHECK int go_decode_bool(struct go_decoder *d, json_t *value, bool *target,
			      const struct go_path *at);
MUST_CHECK int go_decode_number(struct go_decoder *d, enum go_kind kind, json_t *value,
				int64_t *target, const struct go_path *at);
MUST_CHECK int go_decode_duration(struct go_decoder *d, json_t *value, int64_t *target,
				  const struct go_path *at);
MUST_CHECK int go_check_time(struct go_decoder *d, json_t *value, const struct go_path *at);

/* Sorts what was added and puts it into the map, over entries of equal keys. */
MUST_CHECK int go_map_merge(struct go_map *map, struct go_map *added, struct go_arena *arena);

#endif
