/* Pipes are kept once they were made: enlarging one allocates its ring anew. */
#include "session/pipe_pool.h"

#include <errno.h>
#include <fcntl.h>

#include "base/check.h"
#include "base/cleanup.h"

/* The larger the pipe, the fewer wakeups a megabyte costs; past this size nothing
 * is won. It is also what the kernel allows an ordinary user for one pipe. */
#define SIZE_MOST (1024 * 1024)
/* Smaller ones are slower than copying: the kernel hands out pipes of one or two
 * pages once a user's soft limit is spent. */
#define SIZE_LEAST (64 * 1024)

void pipe_pool_init(struct pipe_pool *pool)
{
	list_init(&pool->idle);
	pool->open = 0;
	pool->size = SIZE_MOST;
	pool->exhausted = false;
}

static void close_pipe(struct pipe_pool *pool, struct pump_pipe *pipe)
{
	close_fd(&pipe->read_fd);
	close_fd(&pipe->write_fd);
	free(pipe);
	pool->open--;
	pool->exhausted = false;
}

void pipe_pool_deinit(struct pipe_pool *pool)
{
	list_for_each_safe (node, &pool->idle)
		close_pipe(pool, CONTAINER_OF(node, struct pump_pipe, node));
	CHECK(pool->open == 0);
}

/* The largest size the user may have still, 0 if that is too little. */
static size_t enlarge(struct pipe_pool *pool, int fd)
{
	for (; pool->size >= SIZE_LEAST; pool->size /= 2) {
		int size = fcntl(fd, F_SETPIPE_SZ, (int)pool->size);
		if (size > 0)
			return (size_t)size;
	}
	pool->size = SIZE_LEAST; /* once some have come back */
	int size = fcntl(fd, F_GETPIPE_SZ);
	return size >= SIZE_LEAST ? (size_t)size : 0;
}

static struct pump_pipe *make_pipe(struct pipe_pool *pool)
{
	int fds[2];
	struct pump_pipe *pipe = calloc(1, sizeof(*pipe));

	if (pipe == NULL || pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
		free(pipe);
		return NULL;
	}
	list_init(&pipe->node);
	pipe->read_fd = fds[0];
	pipe->write_fd = fds[1];
	pool->open++;
	pipe->size = enlarge(pool, pipe->write_fd);
	if (pipe->size == 0) {
		close_pipe(pool, pipe);
		return NULL;
	}
	return pipe;
}

struct pump_pipe *pipe_pool_take(struct pipe_pool *pool)
{
	struct list *node = list_first(&pool->idle);

	if (node != NULL) {
		list_remove(node);
		return CONTAINER_OF(node, struct pump_pipe, node);
	}
	if (pool->exhausted || pool->open >= PIPE_POOL_MOST)
		return NULL;
	struct pump_pipe *pipe = make_pipe(pool);
	pool->exhausted = pipe == NULL;
	return pipe;
}

void pipe_pool_give_back(struct pipe_pool *pool, struct pump_pipe **pipe, bool is_empty)
{
	struct pump_pipe *back = TAKE_PTR(*pipe);

	if (back == NULL)
		return;
	pool->exhausted = false;
	if (is_empty)
		list_append(&pool->idle, &back->node);
	else
		close_pipe(pool, back);
}
