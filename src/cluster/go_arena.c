/* Memory of one decoded document, and the maps in it. One malloc a piece: a
 * document is decoded every few seconds, and tools then see each overrun. */
#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "cluster/go_json.h"
#include "go_json_private.h"

struct go_arena_block {
	struct go_arena_block *next;
	alignas(max_align_t) char data[];
};

void go_arena_init(struct go_arena *arena)
{
	arena->blocks = NULL;
}

void go_arena_deinit(struct go_arena *arena)
{
	while (arena->blocks != NULL) {
		struct go_arena_block *block = arena->blocks;
		arena->blocks = block->next;
		free(block);
	}
}

void *go_arena_alloc(struct go_arena *arena, size_t size)
{
	struct go_arena_block *block;

	if (size > SIZE_MAX - sizeof(*block))
		return NULL;
	block = calloc(1, sizeof(*block) + size);
	if (block == NULL)
		return NULL;
	block->next = arena->blocks;
	arena->blocks = block;
	return block->data;
}

static int compare_key(const void *key, const void *entry)
{
	return strcmp(key, ((const struct go_map_entry *)entry)->key);
}

const struct go_map_entry *go_map_find(const struct go_map *map, const char *key)
{
	if (map->count == 0)
		return NULL;
	return bsearch(key, map->entries, map->count, sizeof(*map->entries), compare_key);
}

static int compare_entries(const void *a, const void *b)
{
	return compare_key(((const struct go_map_entry *)a)->key, b);
}

/* Sorted arrays, not a lookup per key: a hostile document may have many. */
int go_map_merge(struct go_map *map, struct go_map *added, struct go_arena *arena)
{
	struct go_map merged = {NULL, 0};
	size_t i = 0;
	size_t j = 0;

	if (added->count == 0)
		return 0;
	qsort(added->entries, added->count, sizeof(*added->entries), compare_entries);
	if (map->count == 0) {
		*map = *added;
		return 0;
	}
	merged.entries =
		go_arena_alloc(arena, (map->count + added->count) * sizeof(*merged.entries));
	if (merged.entries == NULL)
		return -ENOMEM;
	while (i < map->count || j < added->count) {
		int order = i == map->count ? 1
			    : j == added->count
				    ? -1
				    : compare_entries(&map->entries[i], &added->entries[j]);

		merged.entries[merged.count++] = order < 0 ? map->entries[i] : added->entries[j];
		i += order <= 0;
		j += order >= 0;
	}
	*map = merged;
	return 0;
}
