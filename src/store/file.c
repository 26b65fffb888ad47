/* The file backend: keys are files below a directory, changes come by inotify.
 *
 * All system calls on files happen on a thread of the store's own, since a disk
 * or a network file system may block for any time; a job whose deadline passes
 * is reported as timed out and forgotten when it ends. Jobs run in order, so a
 * delete takes effect after the puts before it. The loop and the thread share
 * `todo`, `done` and the watches under one mutex, held for list moves only. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "file_io.h"
#include "net/wakeup.h"
#include "store_private.h"

#define STOP_LIMIT_MS 200

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

static struct file_store *as_file_store(struct store *store)
{
	return CONTAINER_OF(store, struct file_store, base);
}

static void job_free(struct file_job *job)
{
	strbuf_deinit(&job->data);
	free(job->key);
	free(job);
}

/* I/O thread */

static void finish_job(struct file_store *s, struct file_job *job)
{
	pthread_mutex_lock(&s->mutex);
	list_append(&s->done, &job->node);
	pthread_mutex_unlock(&s->mutex);
	wakeup_ring(&s->finished);
}

static void run_job(struct file_store *s, struct file_job *job)
{
	switch (job->kind) {
	case JOB_GET:
		/* Also mends the watches, should an event have been missed. */
		file_io_arm(s->inotify, s->directory, job->key, &s->watched_parent);
		job->revision = ++s->reads;
		job->error = file_io_read(s->directory, job->key, &job->data, &job->present);
		break;
	case JOB_PUT:
		job->error = file_io_write(s->directory, job->key, job->data.data, job->data.size);
		break;
	case JOB_DELETE:
		job->error = file_io_delete(s->directory, job->key);
		break;
	case JOB_CHANGED:
		CHECK(false);
	}
	finish_job(s, job);
}

static struct file_job *take_job(struct file_store *s, bool *ret_stopping)
{
	struct file_job *job = NULL;

	pthread_mutex_lock(&s->mutex);
	struct list *node = list_first(&s->todo);
	if (node != NULL) {
		job = CONTAINER_OF(node, struct file_job, node);
		job->waiting = false;
		list_remove(node);
	}
	*ret_stopping = s->stopping;
	pthread_mutex_unlock(&s->mutex);
	return job;
}

/* Reads the watched file and reports it if it differs from last time. A read
 * that fails is left to the next regular read, which reports errors. */
static void look_at_watched_file(struct file_store *s, struct file_watch *watch)
{
	struct file_job *job = calloc(1, sizeof(*job));

	file_io_arm(s->inotify, s->directory, watch->key, &s->watched_parent);
	if (job == NULL)
		return;
	job->kind = JOB_CHANGED;
	job->store = s;
	job->revision = ++s->reads;
	int r = file_io_read(s->directory, watch->key, &job->data, &job->present);
	bool same = watch->seen_any && watch->seen_present == job->present &&
		    watch->seen.size == job->data.size &&
		    (job->data.size == 0 ||
		     memcmp(watch->seen.data, job->data.data, job->data.size) == 0);
	if (r < 0 || same) {
		job_free(job);
		return;
	}
	strbuf_clear(&watch->seen);
	watch->seen_any = strbuf_append(&watch->seen, job->data.data ? job->data.data : "",
					job->data.size) == 0;
	watch->seen_present = job->present;
	finish_job(s, job);
}

/* True if anything happened besides our own writing, which goes through files
 * of a known name. */
static bool drain_inotify(int fd)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool something = false;
	ssize_t size;

	while ((size = read(fd, buffer, sizeof(buffer))) > 0) {
		const struct inotify_event *e;
		for (char *at = buffer; at < buffer + size; at += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(void *)at;
			if (e->len == 0 ||
			    strncmp(e->name, FILE_IO_TEMPORARY, strlen(FILE_IO_TEMPORARY)) != 0)
				something = true;
		}
	}
	return something;
}

static struct file_watch *current_watch(struct file_store *s)
{
	pthread_mutex_lock(&s->mutex);
	struct file_watch *watch = s->watch;
	pthread_mutex_unlock(&s->mutex);
	return watch;
}

static void *run_io(void *arg)
{
	struct file_store *s = arg;
	bool stopping = false;
	uint64_t rings;

	while (!stopping) {
		struct pollfd fds[] = {{.fd = s->work, .events = POLLIN},
				       {.fd = s->inotify, .events = POLLIN}};
		struct file_job *job;

		if (poll(fds, 2, -1) < 0)
			continue;
		(void)!read(s->work, &rings, sizeof(rings));
		bool changed = drain_inotify(s->inotify);
		struct file_watch *watch = current_watch(s);
		if (watch != NULL && (changed || !watch->seen_any))
			look_at_watched_file(s, watch);
		while ((job = take_job(s, &stopping)) != NULL)
			run_job(s, job);
	}
	return NULL;
}

/* Loop thread */

static void tell(struct file_job *job, int error)
{
	char text[600];
	struct store_value value = {0};
	store_get_cb *get_cb = TAKE_PTR(job->get_cb);
	store_done_cb *done_cb = TAKE_PTR(job->done_cb);

	snprintf(text, sizeof(text), "%s/%s: %s", job->store->directory, job->key,
		 error == -ETIMEDOUT ? "store timeout" : err_text(error));
	/* After a timeout the I/O thread still works on it. */
	if (error == 0)
		value = (struct store_value){job->present, job->data.data, job->data.size,
					     job->revision};
	if (get_cb != NULL)
		get_cb(error, error < 0 ? text : "", error < 0 ? NULL : &value, job->arg);
	else if (done_cb != NULL)
		done_cb(error, error < 0 ? text : "", job->arg);
}

/* A job that has not begun never will; one that runs is freed when it ends. */
static void give_up(struct file_job *job)
{
	pthread_mutex_lock(&job->store->mutex);
	bool waiting = job->waiting;
	if (waiting)
		list_remove(&job->node);
	pthread_mutex_unlock(&job->store->mutex);
	job->get_cb = NULL;
	job->done_cb = NULL;
	if (waiting)
		job_free(job);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	tell(arg, -ETIMEDOUT);
	give_up(arg);
}

static void deliver(struct file_store *s, struct file_job *job)
{
	if (job->kind == JOB_CHANGED) {
		struct store_value value = {job->present, job->data.data, job->data.size,
					    job->revision};
		if (s->watch->cb != NULL)
			s->watch->cb(&value, s->watch->arg);
	} else {
		loop_timer_stop(&job->deadline);
		tell(job, job->error);
	}
	job_free(job);
}

static void on_finished(void *arg)
{
	struct file_store *s = arg;

	for (;;) {
		pthread_mutex_lock(&s->mutex);
		struct list *node = list_first(&s->done);
		if (node != NULL)
			list_remove(node);
		pthread_mutex_unlock(&s->mutex);
		if (node == NULL)
			return;
		deliver(s, CONTAINER_OF(node, struct file_job, node));
	}
}

static void ring_io_thread(struct file_store *s)
{
	(void)!write(s->work, &(uint64_t){1}, sizeof(uint64_t));
}

/* No way out of the directory, whatever the cluster is called. */
static bool key_is_valid(const char *key)
{
	if (*key == '\0' || *key == '/')
		return false;
	for (const char *part = key; part != NULL; part = strchr(part, '/')) {
		part += *part == '/';
		size_t length = strcspn(part, "/");
		if (length == 0 || (length <= 2 && strncmp(part, "..", length) == 0))
			return false;
	}
	return true;
}

static int start_job(struct file_store *s, enum job_kind kind, const char *key, const char *data,
		     size_t size, struct file_job **ret_job)
{
	if (!key_is_valid(key))
		return -EINVAL;
	struct file_job *job = calloc(1, sizeof(*job));
	if (job == NULL)
		return -ENOMEM;
	job->base.ops = s->base.ops;
	job->store = s;
	job->kind = kind;
	job->key = strdup(key);
	if (job->key == NULL || (size > 0 && strbuf_append(&job->data, data, size) < 0)) {
		job_free(job);
		return -ENOMEM;
	}
	loop_timer_init(&job->deadline, s->loop, on_deadline, job);
	loop_timer_start(&job->deadline, s->timeout_ms);
	*ret_job = job;
	return 0;
}

static void queue_job(struct file_store *s, struct file_job *job)
{
	pthread_mutex_lock(&s->mutex);
	job->waiting = true;
	list_append(&s->todo, &job->node);
	pthread_mutex_unlock(&s->mutex);
	ring_io_thread(s);
}

static int file_get(struct store *store, const char *key, store_get_cb *cb, void *arg,
		    struct store_request **ret_request)
{
	struct file_store *s = as_file_store(store);
	struct file_job *job;

	int r = start_job(s, JOB_GET, key, NULL, 0, &job);
	if (r < 0)
		return r;
	job->get_cb = cb;
	job->arg = arg;
	*ret_request = &job->base;
	queue_job(s, job);
	return 0;
}

static int start_change(struct store *store, enum job_kind kind, const char *key, const char *data,
			size_t size, store_done_cb *cb, void *arg,
			struct store_request **ret_request)
{
	struct file_store *s = as_file_store(store);
	struct file_job *job;

	int r = start_job(s, kind, key, data, size, &job);
	if (r < 0)
		return r;
	job->done_cb = cb;
	job->arg = arg;
	*ret_request = &job->base;
	queue_job(s, job);
	return 0;
}

/* A directory has no expiry: the reader tells stale values by their content. */
static int file_put(struct store *store, const char *key, const char *data, size_t size,
		    int64_t ttl_ms, store_done_cb *cb, void *arg,
		    struct store_request **ret_request)
{
	return start_change(store, JOB_PUT, key, data, size, cb, arg, ret_request);
}

static int file_remove(struct store *store, const char *key, store_done_cb *cb, void *arg,
		       struct store_request **ret_request)
{
	return start_change(store, JOB_DELETE, key, NULL, 0, cb, arg, ret_request);
}

static void file_cancel(struct store_request *request)
{
	struct file_job *job = CONTAINER_OF(request, struct file_job, base);

	loop_timer_stop(&job->deadline);
	give_up(job);
}

static int file_watch_start(struct store *store, const char *key, store_watch_cb *cb, void *arg,
			    struct store_watch **ret_watch)
{
	struct file_store *s = as_file_store(store);

	CHECK(s->watch == NULL);
	if (!key_is_valid(key))
		return -EINVAL;
	struct file_watch *watch = calloc(1, sizeof(*watch));
	if (watch == NULL)
		return -ENOMEM;
	watch->base.ops = s->base.ops;
	watch->store = s;
	watch->cb = cb;
	watch->arg = arg;
	watch->key = strdup(key);
	if (watch->key == NULL) {
		free(watch);
		return -ENOMEM;
	}
	pthread_mutex_lock(&s->mutex);
	s->watch = watch;
	pthread_mutex_unlock(&s->mutex);
	ring_io_thread(s);
	*ret_watch = &watch->base;
	return 0;
}

static void file_watch_stop(struct store_watch *watch)
{
	/* The I/O thread may be reading the key: the watch lives as long as the
	 * store, and only its callback ends. */
	struct file_watch *w = CONTAINER_OF(watch, struct file_watch, base);

	w->cb = NULL;
}

static void free_jobs(struct list *jobs)
{
	struct list *node;

	while ((node = list_first(jobs)) != NULL) {
		struct file_job *job = CONTAINER_OF(node, struct file_job, node);
		list_remove(node);
		if (job->kind != JOB_CHANGED)
			loop_timer_stop(&job->deadline);
		job_free(job);
	}
}

static void file_store_free(struct file_store *s)
{
	free_jobs(&s->todo);
	free_jobs(&s->done);
	if (s->watch != NULL) {
		strbuf_deinit(&s->watch->seen);
		free(s->watch->key);
		free(s->watch);
	}
	wakeup_deinit(&s->finished);
	close_fd(&s->work);
	close_fd(&s->inotify);
	pthread_mutex_destroy(&s->mutex);
	free(s->directory);
	free(s);
}

static void file_close(struct store *store)
{
	struct file_store *s = as_file_store(store);

	pthread_mutex_lock(&s->mutex);
	s->stopping = true;
	pthread_mutex_unlock(&s->mutex);
	ring_io_thread(s);
	/* A thread that hangs in the file system keeps what it uses. */
	if (thread_join_within(s->thread, STOP_LIMIT_MS))
		file_store_free(s);
}

static const struct store_ops file_ops = {
	.close = file_close,
	.get = file_get,
	.put = file_put,
	.remove = file_remove,
	.cancel = file_cancel,
	.watch_start = file_watch_start,
	.watch_stop = file_watch_stop,
};

static char *copy_directory(const char *endpoint)
{
	const char *path = strncmp(endpoint, "file://", 7) == 0 ? endpoint + 7 : endpoint;
	char *copy = strdup(path);

	for (size_t n = copy ? strlen(copy) : 0; n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = '\0';
	return copy;
}

int file_store_open(const struct store_settings *settings, struct loop *loop, struct dns *dns,
		    struct store **ret_store, const char **ret_problem)
{
	struct file_store *s = calloc(1, sizeof(*s));
	int r = -ENOMEM;

	*ret_problem = "cannot set up the file store";
	if (s == NULL)
		return r;
	s->base.ops = &file_ops;
	s->timeout_ms = settings->timeout_ms;
	s->loop = loop;
	s->watched_parent = -1;
	s->finished.fd = -1;
	pthread_mutex_init(&s->mutex, NULL);
	list_init(&s->todo);
	list_init(&s->done);
	s->directory = copy_directory(settings->endpoints);
	s->work = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s->directory == NULL)
		goto fail;
	r = s->work < 0 || s->inotify < 0 ? -errno
					  : wakeup_init(&s->finished, loop, on_finished, s);
	if (r == 0)
		r = thread_start(&s->thread, "store", run_io, s);
	if (r < 0)
		goto fail;
	*ret_store = &s->base;
	return 0;
fail:
	file_store_free(s);
	return r;
}
