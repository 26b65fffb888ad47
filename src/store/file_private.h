/* The file store's state, shared by its two threads: file.c runs on the loop,
 * file_thread.c makes the system calls. */
#ifndef PGSPLICE_STORE_FILE_PRIVATE_H
#define PGSPLICE_STORE_FILE_PRIVATE_H

#include <pthread.h>

#include "base/list.h"
#include "base/strbuf.h"
#include "net/wakeup.h"
#include "store_private.h"

enum job_kind {
	JOB_GET,
	JOB_PUT,
	JOB_DELETE,
	JOB_CHANGED, /* made by the I/O thread: a watched file has other content */
};

struct file_job {
	struct store_request base;
	struct list node; /* in todo, then done; in neither while it runs */
	bool waiting;     /* in todo; protected by the mutex */
	struct file_store *store;
	enum job_kind kind;
	char *key;
	struct strbuf data; /* to write, or as read */
	bool present;
	uint64_t revision;
	int error;
	/* Loop thread: */
	store_get_cb *get_cb; /* this or done_cb; NULL once told or cancelled */
	store_done_cb *done_cb;
	void *arg;
	struct loop_timer deadline;
};

struct file_watch {
	struct store_watch base;
	struct file_store *store;
	char *key;
	store_watch_cb *cb;
	void *arg;
	/* I/O thread: what was last delivered */
	struct strbuf seen;
	bool seen_present;
	bool seen_any;
};

struct file_store {
	struct store base;
	char *directory;
	int64_t timeout_ms;
	struct loop *loop;
	struct wakeup finished; /* the I/O thread rings: `done` has jobs */
	int work;               /* eventfd: `todo` has jobs, or stop */
	int inotify;
	int watched_parent; /* I/O thread */
	uint64_t reads;     /* I/O thread: the revision, since files have none */
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
