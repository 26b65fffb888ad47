/* Bytes to a JSON tree: the part of decoding that must survive anything a
 * store may hold. jansson checks the syntax; its recursion is bounded here,
 * since the thread that decodes has a small stack. */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "cluster/go_json.h"
#include "go_json_private.h"

/* Whether brackets nest deeper than allowed. What is not JSON may be counted
 * wrongly, but never too low: outside of a string every opening bracket counts,
 * and the parser sees strings begin and end at the same quotes. */
static bool nests_too_deep(const char *json, size_t size)
{
	size_t depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < size; i++) {
		char c = json[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > GO_JSON_MAX_DEPTH)
				return true;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return false;
}

int go_parse(const char *json, size_t size, json_t **ret_root, char *error, size_t error_size)
{
	json_error_t at;

	if (nests_too_deep(json, size)) {
		snprintf(error, error_size, "nested deeper than %d levels", GO_JSON_MAX_DEPTH);
		return ERR_TOO_LARGE;
	}
	json_t *root = json_loadb(json, size, JSON_DECODE_ANY, &at);
	if (root != NULL) {
		*ret_root = root;
		return 0;
	}
	switch (json_error_code(&at)) {
	case json_error_out_of_memory:
		snprintf(error, error_size, "%s", err_text(-ENOMEM));
		return -ENOMEM;
	case json_error_premature_end_of_input:
		snprintf(error, error_size, "unexpected end of JSON input");
		return ERR_SYNTAX;
	default:
		snprintf(error, error_size, "invalid JSON at byte %d: %s", at.position, at.text);
		return ERR_SYNTAX;
	}
}
