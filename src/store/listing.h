/* A tree's keys that are kept: sorted, bounded, each with a copy of its bytes. A
 * single key is kept as a tree of one, by the name "". */
#ifndef PGSPLICE_STORE_LISTING_H
#define PGSPLICE_STORE_LISTING_H

#include "store/store.h"

struct listing {
	struct store_item *items;
	size_t count;
	size_t capacity;
	size_t bytes;       /* of keys and values */
	bool has_no_bounds; /* a single key, which the store bounds */
};

void listing_deinit(struct listing *l);
/* What `from` has, in place of what was there; `from` is empty then. */
void listing_take(struct listing *l, struct listing *from);

/* Puts a copy, in place of what had the key. ERR_TOO_LARGE beyond the bounds of a
 * tree, -ENOMEM; then it is as it was. */
MUST_CHECK int listing_put(struct listing *l, const struct store_item *item);
/* One that is not there is fine. */
void listing_remove(struct listing *l, const char *key);
/* NULL: not there. */
const struct store_item *listing_find(const struct listing *l, const char *key);
/* In place of what was there, a copy. */
MUST_CHECK int listing_copy(struct listing *l, const struct store_listing *from);
/* Same keys, revisions and bytes. */
bool listing_is(const struct listing *l, const struct store_listing *other);

/* As callers see it, until the next change. */
struct store_listing listing_at(const struct listing *l, uint64_t revision);

/* err_text(), or for ERR_TOO_LARGE what the bounds are. */
const char *listing_error_text(int error);

#endif
