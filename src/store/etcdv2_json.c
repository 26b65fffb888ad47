/* Nodes and errors of the keys API, with jansson. */
#include "etcdv2_json.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "json_load.h"

/* Of folders in each other; below a cluster there are three at most. */
#define MAX_DEPTH 16

void etcdv2_node_deinit(struct etcdv2_node *node)
{
	strbuf_deinit(&node->key);
	strbuf_deinit(&node->value);
	*node = (struct etcdv2_node){0};
}

void etcdv2_nodes_deinit(struct etcdv2_nodes *nodes)
{
	for (size_t i = 0; i < nodes->count; i++)
		etcdv2_node_deinit(&nodes->all[i]);
	free(nodes->all);
	*nodes = (struct etcdv2_nodes){0};
}

static uint64_t index_of(const json_t *object, const char *name)
{
	json_int_t index = json_integer_value(json_object_get(object, name));

	return index > 0 ? (uint64_t)index : 0;
}

static int take_node(const json_t *object, struct etcdv2_node *node)
{
	const json_t *value = json_object_get(object, "value");

	node->created = index_of(object, "createdIndex");
	node->modified = index_of(object, "modifiedIndex");
	node->has_ttl = json_object_get(object, "expiration") != NULL;
	if (node->modified == 0)
		return ERR_SYNTAX;
	if (!json_is_string(value))
		return 0; /* deleted or expired, or a folder */
	node->present = true;
	return strbuf_append(&node->value, json_string_value(value), json_string_length(value));
}

int etcdv2_json_node(const char *json, size_t size, struct etcdv2_node *ret)
{
	struct etcdv2_node node = {0};
	json_t *root;

	if (json_load_bounded(json, size, &root) < 0)
		return ERR_SYNTAX;
	int r = take_node(json_object_get(root, "node"), &node);
	json_decref(root);
	if (r == 0)
		*ret = node;
	else
		etcdv2_node_deinit(&node);
	return r;
}

static int add_node(const json_t *object, struct etcdv2_nodes *nodes, unsigned depth);

static int add_folder(const json_t *object, struct etcdv2_nodes *nodes, unsigned depth)
{
	const json_t *children = json_object_get(object, "nodes");
	uint64_t modified = index_of(object, "modifiedIndex");
	int r = depth == MAX_DEPTH ? ERR_TOO_LARGE : 0;

	if (children != NULL && !json_is_array(children))
		return ERR_SYNTAX;
	if (nodes->modified < modified)
		nodes->modified = modified;
	for (size_t i = 0; r == 0 && i < json_array_size(children); i++)
		r = add_node(json_array_get(children, i), nodes, depth + 1);
	return r;
}

static int add_key(const json_t *object, struct etcdv2_nodes *nodes)
{
	const json_t *key = json_object_get(object, "key");
	struct etcdv2_node *node = &nodes->all[nodes->count];

	/* A NUL would make it another key. */
	if (!json_is_string(key) || *json_string_value(key) != '/' ||
	    strlen(json_string_value(key)) != json_string_length(key))
		return ERR_SYNTAX;
	nodes->count++;
	int r = take_node(object, node);
	if (r == 0 && !node->present)
		r = ERR_SYNTAX;
	if (r == 0)
		r = strbuf_append(&node->key, json_string_value(key), json_string_length(key));
	if (r == 0 && nodes->modified < node->modified)
		nodes->modified = node->modified;
	return r;
}

static int add_node(const json_t *object, struct etcdv2_nodes *nodes, unsigned depth)
{
	size_t capacity = nodes->count > 0 ? nodes->count * 2 : 1;

	if (!json_is_object(object))
		return ERR_SYNTAX;
	if (json_is_true(json_object_get(object, "dir")))
		return add_folder(object, nodes, depth);
	/* Room is doubled whenever the count is a power of two. */
	if ((nodes->count & (nodes->count - 1)) == 0) {
		struct etcdv2_node *all = reallocarray(nodes->all, capacity, sizeof(*all));
		if (all == NULL)
			return -ENOMEM;
		nodes->all = all;
		memset(all + nodes->count, 0, (capacity - nodes->count) * sizeof(*all));
	}
	return add_key(object, nodes);
}

int etcdv2_json_nodes(const char *json, size_t size, struct etcdv2_nodes *ret)
{
	struct etcdv2_nodes nodes = {0};
	json_t *root;

	int r = json_load_bounded(json, size, &root);
	if (r < 0)
		return r;
	r = add_node(json_object_get(root, "node"), &nodes, 0);
	json_decref(root);
	if (r == 0)
		*ret = nodes;
	else
		etcdv2_nodes_deinit(&nodes);
	return r;
}

void etcdv2_json_error(const char *json, size_t size, struct etcdv2_error *ret)
{
	json_t *root = NULL;

	*ret = (struct etcdv2_error){0};
	if (json_load_bounded(json, size, &root) < 0)
		return;
	const char *message = json_string_value(json_object_get(root, "message"));

	*ret = (struct etcdv2_error){
		.code = (int)json_integer_value(json_object_get(root, "errorCode")),
		.index = (uint64_t)json_integer_value(json_object_get(root, "index")),
	};
	snprintf(ret->message, sizeof(ret->message), "%s", message != NULL ? message : "");
	json_decref(root);
}
