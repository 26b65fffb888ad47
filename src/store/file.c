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
	listing_deinit(&job->listing);
	store_request_deinit(&job->base);
	free(job);
}

/* After a timeout the I/O thread still works on it. */
static void tell(struct file_job *job, int error)
{
	char text[600];
	struct store_listing found;

	snprintf(text, sizeof(text), "%s/%s: %s", job->store->directory,
		 job->base.is_tree ? "" : job->base.key,
		 error == -ETIMEDOUT ? "store timeout" : listing_error_text(error));
	if (error == 0 && job->kind == JOB_READ)
		found = listing_at(&job->listing, job->revision);
	store_request_tell(&job->base, error, error < 0 ? text : "",
			   error == 0 && job->kind == JOB_READ ? &found : NULL);
}

static void be_told_nothing(struct file_job *job)
{
	job->base.get_cb = NULL;
	job->base.list_cb = NULL;
	job->base.done_cb = NULL;
}

/* A job that has not begun never will; one that runs is freed when it ends. */
static void give_up(struct file_job *job)
{
	pthread_mutex_lock(&job->store->mutex);
	bool waiting = job->waiting;
	if (waiting)
		list_remove(&job->node);
	pthread_mutex_unlock(&job->store->mutex);
	be_told_nothing(job);
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
		struct store_update update = {listing_at(&job->listing, job->revision),
					      job->is_fresh};
		store_watch_tell(&s->watch->base, &update);
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

/* No way out of the directory, whatever the cluster is called. A prefix may begin
 * with a slash, and has one at the end. */
static bool key_is_valid(const char *key, bool is_tree)
{
	if (is_tree)
		key += strspn(key, "/");
	else if (*key == '\0' || *key == '/')
		return false;
	for (const char *part = key; part != NULL; part = strchr(part, '/')) {
		part += *part == '/';
		if (is_tree && *part == '\0')
			return true;
		size_t length = strcspn(part, "/");
		if (length == 0 || (length <= 2 && strncmp(part, "..", length) == 0))
			return false;
	}
	return true;
}

static void queue_job(struct file_store *s, struct file_job *job)
{
	pthread_mutex_lock(&s->mutex);
	job->waiting = true;
	list_append(&s->todo, &job->node);
	pthread_mutex_unlock(&s->mutex);
	ring_io_thread(s);
}

/* A directory has no expiry: the reader tells stale values by their content. */
static int file_start(struct store *store, const struct store_call *call,
		      struct store_request **ret_request)
{
	static const enum job_kind kinds[] = {
		[STORE_READ] = JOB_READ, [STORE_PUT] = JOB_PUT, [STORE_DELETE] = JOB_DELETE};
	struct file_store *s = as_file_store(store);

	if (!key_is_valid(call->key, call->is_tree))
		return -EINVAL;
	struct file_job *job = calloc(1, sizeof(*job));
	if (job == NULL)
		return -ENOMEM;
	job->store = s;
	job->kind = kinds[call->verb];
	int r = store_request_init(&job->base, store, call);
	if (r == 0 && call->size > 0)
		r = strbuf_append(&job->data, call->data, call->size);
	if (r < 0) {
		file_job_free(job);
		return r;
	}
	loop_timer_init(&job->deadline, s->loop, on_deadline, job);
	loop_timer_start(&job->deadline, s->timeout_ms);
	*ret_request = &job->base;
	queue_job(s, job);
	return 0;
}

static void file_cancel(struct store_request *request)
{
	struct file_job *job = CONTAINER_OF(request, struct file_job, base);

	loop_timer_stop(&job->deadline);
	give_up(job);
}

static int file_watch_start(struct store *store, const struct store_watch *watch,
			    struct store_watch **ret_watch)
{
	struct file_store *s = as_file_store(store);

	CHECK(s->watch == NULL);
	if (!key_is_valid(watch->key, watch->is_tree))
		return -EINVAL;
	struct file_watch *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	w->base = *watch;
	w->store = s;
	w->is_blind = true;
	w->seen.has_no_bounds = !watch->is_tree;
	w->key = strdup(watch->key);
	if (w->key == NULL) {
		free(w);
		return -ENOMEM;
	}
	w->base.key = w->key;
	pthread_mutex_lock(&s->mutex);
	s->watch = w;
	pthread_mutex_unlock(&s->mutex);
	ring_io_thread(s);
	*ret_watch = &w->base;
	return 0;
}

static void file_watch_stop(struct store_watch *watch)
{
	/* The I/O thread may be reading the key: the watch lives as long as the
	 * store, and only its callback ends. */
	watch->value_cb = NULL;
	watch->tree_cb = NULL;
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
		listing_deinit(&s->watch->seen);
		free(s->watch->key);
		free(s->watch);
	}
	wakeup_deinit(&s->finished);
	close_fd(&s->work);
	close_fd(&s->inotify);
	listing_deinit(&s->known);
	free(s->known_key);
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
	.start = file_start,
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
