/* The file store's state, shared by its two threads: file.c runs on the loop,
 * file_thread.c makes the system calls. */
#ifndef PGSPLICE_STORE_FILE_PRIVATE_H
#define PGSPLICE_STORE_FILE_PRIVATE_H

#include <pthread.h>

#include "base/list.h"
#include "base/strbuf.h"
#include "listing.h"
#include "net/wakeup.h"
#include "store_private.h"

enum job_kind {
	JOB_READ,
	JOB_PUT,
	JOB_DELETE,
	JOB_CHANGED, /* made by the I/O thread: what is watched has other content */
};

struct file_job {
	struct store_request base;
	struct list node; /* in todo, then done; in neither while it runs */
	bool waiting;     /* in todo; protected by the mutex */
	struct file_store *store;
	enum job_kind kind;
	struct strbuf data;     /* to write */
	struct listing listing; /* as read */
	uint64_t revision;
	bool is_fresh; /* of a change */
	int error;
	struct loop_timer deadline; /* loop thread, as base but for its key */
};

struct file_watch {
	struct store_watch base;
	struct file_store *store;
	char *key;
	/* I/O thread: what was last delivered */
	struct listing seen;
	bool is_blind; /* nothing yet, or it could not be read since, or events were lost */
};

struct file_store {
	struct store base;
	char *directory;
	int64_t timeout_ms;
	struct loop *loop;
	struct wakeup finished; /* the I/O thread rings: `done` has jobs */
	int work;               /* eventfd: `todo` has jobs, or stop */
	int inotify;
	int watched_parent;   /* I/O thread */
	uint64_t reads;       /* I/O thread: the revision, since files have none */
	struct listing known; /* I/O thread: a tree as last read, for its revisions */
	char *known_key;      /* of which prefix; NULL: none */
	pthread_t thread;
	pthread_mutex_t mutex; /* protects the following */
	struct list todo;
	struct list done;
	struct file_watch *watch; /* one key is watched at most */
	bool stopping;
};

void file_job_free(struct file_job *job);

/* The I/O thread, with the store as its argument. */
void *file_thread_run(void *arg);

#endif
