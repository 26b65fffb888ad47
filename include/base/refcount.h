/* Counts the holders of an immutable object that several threads share. */
#ifndef PGSPLICE_BASE_REFCOUNT_H
#define PGSPLICE_BASE_REFCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>

struct refcount {
	/* Written by every holder. Taking a reference needs no order, since the
	 * taker already holds one or was handed one through an ordered exchange;
	 * giving one up releases, and the last one acquires, so that whoever frees
	 * sees all that the others did. */
	atomic_uint holders;
};

static inline void refcount_init(struct refcount *r)
{
	atomic_init(&r->holders, 1);
}

static inline void refcount_take(struct refcount *r)
{
	atomic_fetch_add_explicit(&r->holders, 1, memory_order_relaxed);
}

/* True for the last holder, who then frees the object. */
static inline bool refcount_drop(struct refcount *r)
{
	return atomic_fetch_sub_explicit(&r->holders, 1, memory_order_acq_rel) == 1;
}

#endif
