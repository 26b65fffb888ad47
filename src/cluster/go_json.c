/* Walks a JSON tree along a table of fields; see the header for the rules.
 * Pure. The depth of the recursion is that of the tables, not of the input.
 *
 * A target of NULL means: check the type, keep nothing. */
#include "cluster/go_json.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "go_json_private.h"

static int decode_field(struct go_decoder *d, const struct go_field *field, json_t *value,
			void *out, const struct go_path *at);

static int decode_list(struct go_decoder *d, json_t *value, struct go_list *target,
		       const struct go_path *at)
{
	const char **items = NULL;
	size_t i;
	json_t *item;

	if (!json_is_null(value) && !json_is_array(value))
		return go_fail_type(d, at, value, "a list");
	if (target != NULL && json_array_size(value) > 0) {
		items = go_arena_alloc(d->arena, json_array_size(value) * sizeof(*items));
		if (items == NULL)
			return go_fail_memory(d);
	}
	json_array_foreach (value, i, item) {
		/* null leaves an element as an earlier key of the field had it. */
		bool had = target != NULL && i < target->count;
		const char *text = had ? target->items[i] : "";
		struct go_path here = {at, NULL, i};
		int r = go_decode_string(d, item, items == NULL ? NULL : &text, &here);
		if (r < 0)
			return r;
		if (items != NULL)
			items[i] = text;
	}
	if (target != NULL)
		*target = (struct go_list){items, json_array_size(value)};
	return 0;
}

static int check_string_map(struct go_decoder *d, json_t *value, const struct go_path *at)
{
	const char *key;
	json_t *item;

	if (json_is_null(value))
		return 0;
	if (!json_is_object(value))
		return go_fail_type(d, at, value, "an object");
	json_object_foreach (value, key, item) {
		struct go_path here = {at, key, 0};
		int r = go_decode_string(d, item, NULL, &here);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The field that a key means: letters match in either case, and so do the two
 * characters outside of ASCII that Unicode folds to a letter, as in Go. */
static bool key_matches(const char *key, const char *name)
{
	for (; *name != '\0'; name++) {
		char letter = (char)(*name | ('A' <= *name && *name <= 'Z' ? 0x20 : 0));

		if (letter == 's' && strncmp(key, "\xc5\xbf", 2) == 0)
			key += 2; /* long s */
		else if (letter == 'k' && strncmp(key, "\xe2\x84\xaa", 3) == 0)
			key += 3; /* Kelvin sign */
		else if ((*key | ('A' <= *key && *key <= 'Z' ? 0x20 : 0)) == letter)
			key++;
		else
			return false;
	}
	return *key == '\0';
}

static const struct go_field *find_field(const struct go_table *table, const char *key)
{
	for (size_t i = 0; i < table->count; i++) {
		if (key_matches(key, table->fields[i].name))
			return &table->fields[i];
	}
	return NULL;
}

static int decode_struct(struct go_decoder *d, const struct go_table *table, json_t *value,
			 void *out, const struct go_path *at)
{
	const char *key;
	json_t *item;

	if (json_is_null(value))
		return 0;
	if (!json_is_object(value))
		return go_fail_type(d, at, value, "an object");
	json_object_foreach (value, key, item) {
		const struct go_field *field = find_field(table, key);
		if (field == NULL)
			continue;
		struct go_path here = {at, field->name, 0};
		int r = decode_field(d, field, item, out, &here);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Gives the strings of a zeroed struct their "". */
static void init_struct(const struct go_table *table, char *object)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct go_field *field = &table->fields[i];

		if (field->offset == GO_UNUSED || field->pointer)
			continue;
		if (field->kind == GO_STRING)
			*(const char **)(void *)(object + field->offset) = "";
		else if (field->kind == GO_STRUCT)
			init_struct(field->table, object + field->offset);
	}
}

static void *new_struct(struct go_decoder *d, const struct go_table *table)
{
	void *object = go_arena_alloc(d->arena, table->size);

	if (object != NULL)
		init_struct(table, object);
	return object;
}

static int check_struct_list(struct go_decoder *d, const struct go_table *table, json_t *value,
			     const struct go_path *at)
{
	size_t i;
	json_t *item;

	if (!json_is_null(value) && !json_is_array(value))
		return go_fail_type(d, at, value, "a list");
	json_array_foreach (value, i, item) {
		struct go_path here = {at, NULL, i};
		int r = decode_struct(d, table, item, NULL, &here);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A key's value is made anew, never merged into the one it replaces. */
static int decode_map_entries(struct go_decoder *d, const struct go_table *table, json_t *value,
			      struct go_map_entry *entries, const struct go_path *at)
{
	const char *key;
	json_t *item;
	size_t i = 0;

	json_object_foreach (value, key, item) {
		struct go_path here = {at, key, 0};
		void *object = NULL;

		if (entries != NULL) {
			entries[i].key = go_copy_string(d, key);
			if (entries[i].key == NULL)
				return go_fail_memory(d);
			if (!json_is_null(item)) {
				object = new_struct(d, table);
				if (object == NULL)
					return go_fail_memory(d);
			}
			entries[i++].value = object;
		}
		int r = decode_struct(d, table, item, object, &here);
		if (r < 0)
			return r;
	}
	return 0;
}

static int decode_map(struct go_decoder *d, const struct go_table *table, json_t *value,
		      struct go_map *target, const struct go_path *at)
{
	struct go_map found = {NULL, 0};

	if (!json_is_null(value) && !json_is_object(value))
		return go_fail_type(d, at, value, "an object");
	if (target != NULL && json_object_size(value) > 0) {
		found.count = json_object_size(value);
		found.entries = go_arena_alloc(d->arena, found.count * sizeof(struct go_map_entry));
		if (found.entries == NULL)
			return go_fail_memory(d);
	}
	int r = decode_map_entries(d, table, value, found.entries, at);
	if (r < 0 || target == NULL)
		return r;
	if (json_is_null(value)) {
		*target = found;
		return 0;
	}
	r = go_map_merge(target, &found, d->arena);
	return r < 0 ? go_fail_memory(d) : 0;
}

static int decode_value(struct go_decoder *d, const struct go_field *field, json_t *value,
			void *target, const struct go_path *at)
{
	switch (field->kind) {
	case GO_STRING:
		return go_decode_string(d, value, target, at);
	case GO_BOOL:
		return go_decode_bool(d, value, target, at);
	case GO_INT64:
	case GO_UINT16:
	case GO_UINT32:
	case GO_UINT64:
		return go_decode_number(d, field->kind, value, target, at);
	case GO_DURATION:
		return go_decode_duration(d, value, target, at);
	case GO_TIME:
		return go_check_time(d, value, at);
	case GO_STRUCT:
		return decode_struct(d, field->table, value, target, at);
	case GO_LIST:
		return decode_list(d, value, target, at);
	case GO_MAP:
		return decode_map(d, field->table, value, target, at);
	case GO_STRING_MAP:
		return check_string_map(d, value, at);
	case GO_STRUCT_LIST:
		return check_struct_list(d, field->table, value, at);
	}
	CHECK(!"kind of a field");
	return ERR_TYPE;
}

/* What a pointer field points to, made on first use. */
static void *new_pointee(struct go_decoder *d, const struct go_field *field)
{
	if (field->kind == GO_STRUCT)
		return new_struct(d, field->table);
	void *pointee = go_arena_alloc(d->arena, sizeof(int64_t));
	if (pointee != NULL && field->kind == GO_STRING)
		*(const char **)pointee = "";
	return pointee;
}

static int decode_field(struct go_decoder *d, const struct go_field *field, json_t *value,
			void *out, const struct go_path *at)
{
	bool kept = out != NULL && field->offset != GO_UNUSED;
	void *target = kept ? (char *)out + field->offset : NULL;

	if (!field->pointer)
		return decode_value(d, field, value, target, at);
	void **pointer = target;
	if (json_is_null(value)) {
		if (pointer != NULL)
			*pointer = NULL;
		return 0;
	}
	if (pointer == NULL)
		return decode_value(d, field, value, NULL, at);
	if (*pointer == NULL) {
		*pointer = new_pointee(d, field);
		if (*pointer == NULL)
			return go_fail_memory(d);
	}
	return decode_value(d, field, value, *pointer, at);
}

void go_json_make_printable(char *text)
{
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

int go_json_decode(const char *json, size_t size, const struct go_table *table,
		   struct go_arena *arena, void **ret_object, char *error, size_t error_size)
{
	struct go_decoder d = {arena, error, error_size};
	const struct go_path document = {NULL, NULL, 0};
	json_t *root;
	void *object = NULL;

	CHECK(error_size > 0);
	int r = go_parse(json, size, &root, error, error_size);
	if (r == 0) {
		if (!json_is_null(root)) {
			object = new_struct(&d, table);
			r = object == NULL ? go_fail_memory(&d)
					   : decode_struct(&d, table, root, object, &document);
		}
		json_decref(root);
	}
	if (r < 0) {
		go_json_make_printable(error);
		return r;
	}
	*ret_object = object;
	return 0;
}
