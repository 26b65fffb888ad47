/* The file backend: keys are files below a directory, changes come by inotify.
 *
 * All system calls on files happen on a thread of the store's own, since a disk
 * or a network file system may block for any time; a job whose deadline passes
 * is reported as timed out and forgotten when it ends. Jobs run in order, so a
 * delete takes effect after the puts before it. The loop and the thread share
 * `todo`, `done` and the watches under one mutex, held for list moves only. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "base/check.h"
#include "base/err.h"
#include "base/thread.h"
#include "file_private.h"

#define STOP_LIMIT_MS 200

static struct file_store *as_file_store(struct store *store)
{
	return CONTAINER_OF(store, struct file_store, base);
}

void file_job_free(struct file_job *job)
{
	strbuf_deinit(&job->data);
	free(job->key);
	free(job);
}

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
		file_job_free(job);
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
	file_job_free(job);
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
		file_job_free(job);
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
		file_job_free(job);
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
		r = thread_start(&s->thread, "store", file_thread_run, s);
	if (r < 0)
		goto fail;
	*ret_store = &s->base;
	return 0;
fail:
	file_store_free(s);
	return r;
}
