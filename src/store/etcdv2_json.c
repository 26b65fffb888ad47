/* Nodes and errors of the keys API, with jansson. */
#include "etcdv2_json.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

void etcdv2_node_deinit(struct etcdv2_node *node)
{
	strbuf_deinit(&node->value);
	*node = (struct etcdv2_node){0};
}

static int take_node(const json_t *root, struct etcdv2_node *node)
{
	const json_t *object = json_object_get(root, "node");
	const json_t *value = json_object_get(object, "value");
	const json_t *modified = json_object_get(object, "modifiedIndex");

	if (!json_is_integer(modified) || json_integer_value(modified) <= 0)
		return ERR_SYNTAX;
	node->modified = (uint64_t)json_integer_value(modified);
	if (!json_is_string(value))
		return 0; /* deleted or expired, or a folder */
	node->present = true;
	return strbuf_append(&node->value, json_string_value(value), json_string_length(value));
}

int etcdv2_json_node(const char *json, size_t size, struct etcdv2_node *ret)
{
	struct etcdv2_node node = {0};
	json_t *root = json_loadb(json, size, JSON_ALLOW_NUL, NULL);
	int r = take_node(root, &node);

	json_decref(root);
	if (r == 0)
		*ret = node;
	else
		etcdv2_node_deinit(&node);
	return r;
}

void etcdv2_json_error(const char *json, size_t size, struct etcdv2_error *ret)
{
	json_t *root = json_loadb(json, size, JSON_ALLOW_NUL, NULL);
	const char *message = json_string_value(json_object_get(root, "message"));

	*ret = (struct etcdv2_error){
		.code = (int)json_integer_value(json_object_get(root, "errorCode")),
		.index = (uint64_t)json_integer_value(json_object_get(root, "index")),
	};
	snprintf(ret->message, sizeof(ret->message), "%s", message != NULL ? message : "");
	json_decref(root);
}
