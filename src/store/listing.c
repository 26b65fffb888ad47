/* A sorted array; key and value of an item are one block. */
#include "listing.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

static void free_item(const struct store_item *item)
{
	free((void *)(uintptr_t)item->key);
}

void listing_deinit(struct listing *l)
{
	for (size_t i = 0; i < l->count; i++)
		free_item(&l->items[i]);
	free(l->items);
	*l = (struct listing){.has_no_bounds = l->has_no_bounds};
}

void listing_take(struct listing *l, struct listing *from)
{
	listing_deinit(l);
	*l = *from;
	*from = (struct listing){.has_no_bounds = l->has_no_bounds};
}

/* The key's place, or where it would go. */
static size_t place_of(const struct listing *l, const char *key, bool *ret_found)
{
	size_t low = 0;
	size_t high = l->count;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(l->items[middle].key, key);
		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t bytes_of(const struct store_item *item)
{
	return strlen(item->key) + item->size;
}

static int make_room(struct listing *l)
{
	size_t capacity = l->capacity > 0 ? l->capacity * 2 : 1;

	if (l->count < l->capacity)
		return 0;
	struct store_item *items = reallocarray(l->items, capacity, sizeof(*items));
	if (items == NULL)
		return -ENOMEM;
	l->items = items;
	l->capacity = capacity;
	return 0;
}

static int copy_item(const struct store_item *item, struct store_item *ret)
{
	size_t key = strlen(item->key) + 1;
	char *block = malloc(key + item->size + 1);

	if (block == NULL)
		return -ENOMEM;
	memcpy(block, item->key, key);
	if (item->size > 0)
		memcpy(block + key, item->data, item->size);
	block[key + item->size] = '\0';
	*ret = *item;
	ret->key = block;
	ret->data = block + key;
	return 0;
}

int listing_put(struct listing *l, const struct store_item *item)
{
	struct store_item copy;
	bool found;
	size_t at = place_of(l, item->key, &found);
	size_t bytes = l->bytes + bytes_of(item) - (found ? bytes_of(&l->items[at]) : 0);

	if (!l->has_no_bounds &&
	    (bytes > STORE_TREE_MAX_BYTES || (!found && l->count == STORE_TREE_MAX_KEYS)))
		return ERR_TOO_LARGE;
	int r = found ? 0 : make_room(l);
	if (r == 0)
		r = copy_item(item, &copy);
	if (r < 0)
		return r;
	if (found) {
		free_item(&l->items[at]);
	} else {
		memmove(l->items + at + 1, l->items + at, (l->count - at) * sizeof(copy));
		l->count++;
	}
	l->items[at] = copy;
	l->bytes = bytes;
	return 0;
}

void listing_remove(struct listing *l, const char *key)
{
	bool found;
	size_t at = place_of(l, key, &found);

	if (!found)
		return;
	l->bytes -= bytes_of(&l->items[at]);
	free_item(&l->items[at]);
	l->count--;
	memmove(l->items + at, l->items + at + 1, (l->count - at) * sizeof(l->items[0]));
}

const struct store_item *listing_find(const struct listing *l, const char *key)
{
	bool found;
	size_t at = place_of(l, key, &found);

	return found ? &l->items[at] : NULL;
}

int listing_copy(struct listing *l, const struct store_listing *from)
{
	struct listing copy = {.has_no_bounds = l->has_no_bounds};

	for (size_t i = 0; i < from->count; i++) {
		int r = listing_put(&copy, &from->items[i]);
		if (r < 0) {
			listing_deinit(&copy);
			return r;
		}
	}
	listing_take(l, &copy);
	return 0;
}

static bool is_same(const struct store_item *a, const struct store_item *b)
{
	return a->mod_revision == b->mod_revision && a->create_revision == b->create_revision &&
	       a->is_held == b->is_held && a->size == b->size && strcmp(a->key, b->key) == 0 &&
	       (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

bool listing_is(const struct listing *l, const struct store_listing *other)
{
	if (l->count != other->count)
		return false;
	for (size_t i = 0; i < l->count; i++) {
		if (!is_same(&l->items[i], &other->items[i]))
			return false;
	}
	return true;
}

struct store_listing listing_at(const struct listing *l, uint64_t revision)
{
	return (struct store_listing){l->items, l->count, revision};
}

const char *listing_error_text(int error)
{
	return error == ERR_TOO_LARGE ? "more than 4096 keys, or than 4 MiB of them"
				      : err_text(error);
}
