/* The file store's own thread: jobs in order, and the watched file. */
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/check.h"
#include "file_io.h"
#include "file_private.h"

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
		file_job_free(job);
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

void *file_thread_run(void *arg)
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
