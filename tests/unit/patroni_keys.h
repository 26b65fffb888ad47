/* The keys of a scope as lines of text: "NAME[@CREATE[:MOD]][!] VALUE". Without
 * revisions both are 10, without MOD it is CREATE; '!': no lease. Used by the
 * tests of the Patroni modules and by the fuzz target, so any bytes will do. */
#ifndef PGSPLICE_UNIT_PATRONI_KEYS_H
#define PGSPLICE_UNIT_PATRONI_KEYS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cluster/patroni_decode.h"

#define KEYS_MAX 4000

static inline void keys_parse_name(char *name, struct patroni_key *key)
{
	char *at = strchr(name, '@');
	size_t length = strlen(name);
	char *end;

	key->name = name;
	key->create_revision = 10;
	key->mod_revision = 10;
	key->is_held = length == 0 || name[length - 1] != '!';
	if (!key->is_held)
		name[length - 1] = '\0';
	if (at == NULL)
		return;
	*at = '\0';
	key->create_revision = strtoull(at + 1, &end, 10);
	key->mod_revision = *end == ':' ? strtoull(end + 1, NULL, 10) : key->create_revision;
}

/* Each value in a block of exactly its size, so that sanitizers see overruns. */
static inline struct patroni_view *keys_decode(const char *text, size_t size, int64_t group)
{
	struct patroni_key *keys = calloc(KEYS_MAX, sizeof(*keys));
	struct patroni_view *view = NULL;
	const char *end = text + size;
	size_t count = 0;

	CHECK(keys != NULL);
	while (text < end && count < KEYS_MAX) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text));
		line_end = line_end == NULL ? end : line_end;
		const char *space = memchr(text, ' ', (size_t)(line_end - text));
		space = space == NULL ? line_end : space;
		keys_parse_name(strndup(text, (size_t)(space - text)), &keys[count]);
		if (space < line_end) {
			char *data = malloc((size_t)(line_end - space));
			keys[count].size = (size_t)(line_end - space) - 1;
			memcpy(data, space + 1, keys[count].size);
			keys[count].data = data;
		}
		count++;
		text = line_end + 1;
	}
	CHECK(patroni_decode(keys, count, group, &view) == 0);
	for (size_t i = 0; i < count; i++) {
		free((void *)(uintptr_t)keys[i].name);
		free((void *)(uintptr_t)keys[i].data);
	}
	free(keys);
	return view;
}

static inline struct patroni_view *keys_view(const char *text)
{
	return keys_decode(text, strlen(text), PATRONI_NO_GROUP);
}

/* All problems in one text, each behind a "|". */
static inline const char *problems_of(const struct patroni_view *view)
{
	static char text[5000];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < patroni_view_problem_count(view); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "|%s",
					 patroni_view_problem_at(view, i));
	return text;
}

#endif
