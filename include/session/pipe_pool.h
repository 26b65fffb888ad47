/* Empty pipes for pumps that splice, enlarged as far as the user's limits allow.
 * One pool a worker; worker thread only. */
#ifndef PGSPLICE_SESSION_PIPE_POOL_H
#define PGSPLICE_SESSION_PIPE_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

/* Each costs two descriptors while it is open. */
#define PIPE_POOL_MOST 32

struct pump_pipe {
	struct list node; /* among the idle ones */
	int read_fd;
	int write_fd;
	size_t size; /* bytes it holds at most */
};

struct pipe_pool {
	struct list idle;
	unsigned open;
	/* What was tried last: halved whenever the user's limit is reached. */
	size_t size;
	bool exhausted; /* not worth trying again until one comes back */
};

void pipe_pool_init(struct pipe_pool *pool);
/* All pipes must have come back. */
void pipe_pool_deinit(struct pipe_pool *pool);

/* An empty pipe, or NULL if none can be had now: copy then. */
struct pump_pipe *pipe_pool_take(struct pipe_pool *pool);
/* is_empty: it may serve again; otherwise what it holds is discarded with it. */
void pipe_pool_give_back(struct pipe_pool *pool, struct pump_pipe **pipe, bool is_empty);

#endif
