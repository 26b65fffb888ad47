/* Descriptors as sessions. A session is let in only if both of its sockets are
 * sure to get one, so that accepting stops before connecting fails. */
#include "worker/capacity.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/resource.h>

#include "base/err.h"
#include "base/log.h"
#include "session/pipe_pool.h"

/* The store's and name servers' sockets, and some air. */
#define RESERVED 16
/* Of each worker: its loop, wakeup and deadline, and a few listeners. */
#define RESERVED_A_WORKER 6

/* How many are open now, by this process. */
static int count_open(void)
{
	int count = 0;
	DIR *dir = opendir("/proc/self/fd");

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

/* What sessions cannot have. */
static int reserve(int descriptors, unsigned workers, int kept)
{
	int pipes = 2 * PIPE_POOL_MOST * (int)workers;

	/* Where there are few, bulk is copied rather than clients refused. */
	if (pipes > descriptors / 8)
		pipes = descriptors / 8;
	return count_open() + kept + RESERVED + RESERVED_A_WORKER * (int)workers + pipes;
}

int capacity_init(struct capacity *capacity, unsigned workers, int kept)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) < 0)
			return -errno;
	}
	int descriptors = limit.rlim_cur > INT_MAX ? INT_MAX : (int)limit.rlim_cur;
	int sessions = (descriptors - reserve(descriptors, workers, kept)) / 2;
	capacity->limit = sessions > 1 ? sessions : 1;
	atomic_init(&capacity->free, capacity->limit);
	atomic_init(&capacity->paused, 0);
	log_info("capacity", log_number("descriptors", descriptors),
		 log_number("sessions", capacity->limit));
	return 0;
}

bool capacity_take(struct capacity *capacity)
{
	if (atomic_fetch_sub_explicit(&capacity->free, 1, memory_order_relaxed) > 0)
		return true;
	capacity_give_back(capacity);
	return false;
}

void capacity_give_back(struct capacity *capacity)
{
	atomic_fetch_add_explicit(&capacity->free, 1, memory_order_relaxed);
}

void capacity_paused(struct capacity *capacity, int error)
{
	if (atomic_fetch_add_explicit(&capacity->paused, 1, memory_order_relaxed) == 0)
		log_error("accepting is paused, new clients wait",
			  log_text("reason", error < 0 ? err_text(error) : "all sessions in use"),
			  log_number("sessions", capacity->limit));
}

void capacity_resumed(struct capacity *capacity)
{
	if (atomic_fetch_sub_explicit(&capacity->paused, 1, memory_order_relaxed) == 1)
		log_info("accepting again");
}
