/* A look at the text before jansson spends memory on it. */
#include "json_load.h"

#include "base/err.h"

/* Jansson spends up to a hundred times the bytes of "{}," on what they stand for.
 * A store's answers have few parts; a frame with ten thousand events fits as well. */
#define MAX_PARTS 100000

static bool has_too_many_parts(const char *json, size_t size)
{
	size_t parts = 0;
	bool in_string = false;

	for (size_t i = 0; i < size; i++) {
		if (json[i] == '"')
			in_string = !in_string;
		else if (in_string && json[i] == '\\')
			i++;
		else if (!in_string && (json[i] == ',' || json[i] == '{' || json[i] == '['))
			parts++;
	}
	return parts > MAX_PARTS;
}

int json_load_bounded(const char *json, size_t size, json_t **ret_root)
{
	if (has_too_many_parts(json, size))
		return ERR_TOO_LARGE;
	json_t *root = json_loadb(json, size, JSON_ALLOW_NUL, NULL);
	if (root == NULL)
		return ERR_SYNTAX;
	*ret_root = root;
	return 0;
}
