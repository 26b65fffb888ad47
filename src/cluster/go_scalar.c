/* The values of JSON that hold no others, and the texts of what is wrong with
 * them. Pure. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/parse.h"
#include "go_json_private.h"

/* Map keys come from the document: a long one must not push out the reason. */
#define PATH_NAME_MAX 40

static size_t path_write(const struct go_path *at, char *out, size_t size)
{
	size_t used = 0;

	if (at->up == NULL)
		return 0;
	used = path_write(at->up, out, size);
	if (used >= size)
		return used;
	if (at->name == NULL)
		used += (size_t)snprintf(out + used, size - used, "[%zu]", at->index);
	else
		used += (size_t)snprintf(out + used, size - used, "%s%.*s", used > 0 ? "." : "",
					 PATH_NAME_MAX, at->name);
	return used;
}

int go_fail(struct go_decoder *d, const struct go_path *at, int code, const char *format, ...)
{
	size_t used = path_write(at, d->error, d->error_size);
	va_list args;

	if (used < d->error_size)
		used += (size_t)snprintf(d->error + used, d->error_size - used, "%s",
					 at->up == NULL ? "" : ": ");
	if (used < d->error_size) {
		va_start(args, format);
		vsnprintf(d->error + used, d->error_size - used, format, args);
		va_end(args);
	}
	return code;
}

int go_fail_type(struct go_decoder *d, const struct go_path *at, json_t *value, const char *wanted)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "object",  [JSON_ARRAY] = "list",  [JSON_STRING] = "string",
		[JSON_INTEGER] = "number", [JSON_REAL] = "number", [JSON_TRUE] = "boolean",
		[JSON_FALSE] = "boolean",  [JSON_NULL] = "null",
	};

	return go_fail(d, at, ERR_TYPE, "%s, but %s is wanted", names[json_typeof(value)], wanted);
}

int go_fail_memory(struct go_decoder *d)
{
	snprintf(d->error, d->error_size, "%s", err_text(-ENOMEM));
	return -ENOMEM;
}

const char *go_copy_string(struct go_decoder *d, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = go_arena_alloc(d->arena, size);

	return copy == NULL ? NULL : memcpy(copy, text, size);
}

int go_decode_string(struct go_decoder *d, json_t *value, const char **target,
		     const struct go_path *at)
{
	if (json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return go_fail_type(d, at, value, "a string");
	if (target == NULL)
		return 0;
	const char *copy = go_copy_string(d, json_string_value(value));
	if (copy == NULL)
		return go_fail_memory(d);
	*target = copy;
	return 0;
}

int go_decode_bool(struct go_decoder *d, json_t *value, bool *target, const struct go_path *at)
{
	if (json_is_null(value))
		return 0;
	if (!json_is_boolean(value))
		return go_fail_type(d, at, value, "a boolean");
	if (target != NULL)
		*target = json_is_true(value);
	return 0;
}

int go_decode_number(struct go_decoder *d, enum go_kind kind, json_t *value, int64_t *target,
		     const struct go_path *at)
{
	int64_t min = kind == GO_INT64 ? INT64_MIN : 0;
	int64_t max = kind == GO_UINT16 ? UINT16_MAX : kind == GO_UINT32 ? UINT32_MAX : INT64_MAX;

	if (json_is_null(value))
		return 0;
	if (json_is_real(value))
		return go_fail(d, at, ERR_TYPE, "%g is not written as an integer",
			       json_real_value(value));
	if (!json_is_integer(value))
		return go_fail_type(d, at, value, "an integer");
	int64_t number = json_integer_value(value);
	if (number < min || number > max)
		return go_fail(d, at, ERR_RANGE, "%lld is not within %lld to %lld",
			       (long long)number, (long long)min, (long long)max);
	if (target != NULL)
		*target = number;
	return 0;
}

/* stolon reads a duration from the raw bytes of the value, so that 0 passes and
 * a null that meets no pointer does not. */
int go_decode_duration(struct go_decoder *d, json_t *value, int64_t *target,
		       const struct go_path *at)
{
	int64_t ns = 0;
	const char *text = json_string_value(value);

	if (json_is_integer(value) && json_integer_value(value) != 0)
		return go_fail(d, at, ERR_UNIT, "missing unit in duration \"%lld\"",
			       (long long)json_integer_value(value));
	if (json_is_real(value))
		return go_fail(d, at, ERR_UNIT, "missing unit in duration \"%g\"",
			       json_real_value(value));
	if (text != NULL) {
		int r = parse_duration(text, &ns);
		if (r < 0)
			return go_fail(d, at, r, "%s duration \"%.40s\"",
				       r == ERR_UNIT ? "missing unit in" : "invalid", text);
	} else if (!json_is_integer(value)) {
		return go_fail_type(d, at, value, "a duration");
	}
	if (target != NULL)
		*target = ns;
	return 0;
}

int go_check_time(struct go_decoder *d, json_t *value, const struct go_path *at)
{
	if (json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return go_fail_type(d, at, value, "a time");
	if (!go_time_is_valid(json_string_value(value)))
		return go_fail(d, at, ERR_SYNTAX, "\"%.40s\" is not an RFC 3339 time",
			       json_string_value(value));
	return 0;
}
