/* Fields out of values of any shape, and problem texts. Pure.
 *
 * Patroni reads its own keys leniently: what it does not understand counts as
 * absent. So do we, field by field, but we say so. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/parse.h"
#include "go_json_private.h"
#include "patroni_private.h"

#define PROBLEM_SIZE 240

void *patroni_alloc(struct patroni_decoder *d, size_t size)
{
	void *memory = go_arena_alloc(&d->view->arena, size);

	if (memory == NULL)
		d->out_of_memory = true;
	return memory;
}

const char *patroni_copy(struct patroni_decoder *d, const char *text, size_t size)
{
	char *copy = patroni_alloc(d, size + 1);

	if (copy == NULL)
		return "";
	memcpy(copy, text, size);
	return copy;
}

bool patroni_is_name(const char *text, size_t size)
{
	if (size == 0 || size >= PATRONI_NAME_SIZE)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return true;
}

void patroni_problem(struct patroni_decoder *d, const char *format, ...)
{
	struct patroni_view *view = d->view;
	char text[PROBLEM_SIZE];
	va_list args;

	view->problem_count++;
	if (view->problem_count >= PATRONI_MAX_PROBLEMS)
		return; /* the last place is for their number */
	int length = snprintf(text, sizeof(text), "%.120s: ", d->key);
	va_start(args, format);
	vsnprintf(text + length, sizeof(text) - (size_t)length, format, args);
	va_end(args);
	go_json_make_printable(text);
	view->problems[view->problem_count - 1] = patroni_copy(d, text, strlen(text));
}

json_t *patroni_load(struct patroni_decoder *d, const struct patroni_key *key)
{
	char error[PROBLEM_SIZE / 2];
	json_t *root;

	if (key->size > PATRONI_MAX_VALUE) {
		patroni_problem(d, "%zu bytes are more than is looked into", key->size);
		return NULL;
	}
	int r = go_parse(key->data == NULL ? "" : key->data, key->size, &root, error,
			 sizeof(error));
	if (r == 0)
		return root;
	if (r == -ENOMEM)
		d->out_of_memory = true;
	/* Not go_parse()'s whole text: it quotes the value, account and all. */
	char *quote = strstr(error, " near '");
	if (quote != NULL)
		*quote = '\0';
	patroni_problem(d, "%s", error);
	return NULL;
}

static const char *type_name(json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "object";
	case JSON_ARRAY:
		return "list";
	case JSON_STRING:
		return "string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

json_t *patroni_load_object(struct patroni_decoder *d, const struct patroni_key *key)
{
	json_t *root = patroni_load(d, key);

	if (root == NULL || json_is_object(root))
		return root;
	patroni_problem(d, "%s, but an object is wanted", type_name(root));
	json_decref(root);
	return NULL;
}

static void wrong_type(struct patroni_decoder *d, const char *field, json_t *value,
		       const char *wanted)
{
	patroni_problem(d, "%s: %s, but %s is wanted", field, type_name(value), wanted);
}

const char *patroni_string(struct patroni_decoder *d, json_t *object, const char *field)
{
	json_t *value = json_object_get(object, field);

	if (value == NULL || json_is_null(value))
		return "";
	if (json_is_string(value))
		return json_string_value(value); /* whole: JSON with a NUL does not load */
	wrong_type(d, field, value, "a string");
	return "";
}

const char *patroni_text(struct patroni_decoder *d, json_t *object, const char *field)
{
	const char *text = patroni_string(d, object, field);
	char *copy = patroni_alloc(d, strlen(text) + 1);

	if (copy == NULL)
		return "";
	strcpy(copy, text);
	go_json_make_printable(copy);
	return copy;
}

int64_t patroni_number(struct patroni_decoder *d, json_t *object, const char *field, int64_t min,
		       int64_t max, int64_t fallback)
{
	json_t *value = json_object_get(object, field);
	int64_t number = 0;
	int r = 0;

	if (value == NULL || json_is_null(value))
		return fallback;
	if (json_is_integer(value))
		number = json_integer_value(value);
	else if (json_is_string(value))
		r = parse_int(json_string_value(value), INT64_MIN, INT64_MAX, &number);
	else
		r = ERR_TYPE;
	if (r == ERR_TYPE || r == ERR_SYNTAX) {
		wrong_type(d, field, value, "a number");
		return fallback;
	}
	if (r < 0 || number < min || number > max) {
		patroni_problem(d, "%s: out of range", field);
		return fallback;
	}
	return number;
}

bool patroni_flag(struct patroni_decoder *d, json_t *object, const char *field)
{
	static const char *const yes[] = {"on", "true", "yes", "1"};
	static const char *const no[] = {"off", "false", "no", "0"};
	json_t *value = json_object_get(object, field);

	if (value == NULL || json_is_null(value))
		return false;
	if (json_is_boolean(value))
		return json_is_true(value);
	if (json_is_integer(value) && (json_integer_value(value) | 1) == 1)
		return json_integer_value(value) == 1;
	for (size_t i = 0; json_is_string(value) && i < ARRAY_LEN(yes); i++) {
		if (strcasecmp(json_string_value(value), yes[i]) == 0)
			return true;
		if (strcasecmp(json_string_value(value), no[i]) == 0)
			return false;
	}
	wrong_type(d, field, value, "a boolean");
	return false;
}

bool patroni_is_truthy(json_t *value)
{
	if (value == NULL || json_is_null(value) || json_is_false(value))
		return false;
	if (json_is_number(value))
		return fpclassify(json_number_value(value)) != FP_ZERO;
	if (json_is_string(value))
		return json_string_length(value) > 0;
	if (json_is_object(value))
		return json_object_size(value) > 0;
	return !json_is_array(value) || json_array_size(value) > 0;
}
