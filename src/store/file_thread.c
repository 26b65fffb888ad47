/* The file store's own thread: jobs in order, and what is watched. */
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

/* Files have no revisions: those of a tree are counted while it is read again and
 * again, by when a key was seen to be there and to have other bytes. */
static void count_revisions(struct file_store *s, const char *key, struct listing *tree)
{
	bool is_known = s->known_key != NULL && strcmp(s->known_key, key) == 0;

	for (size_t i = 0; i < tree->count; i++) {
		struct store_item *item = &tree->items[i];
		const struct store_item *known =
			is_known ? listing_find(&s->known, item->key) : NULL;
		bool is_same = known != NULL && known->size == item->size &&
			       memcmp(known->data, item->data, item->size) == 0;
		item->create_revision = known != NULL ? known->create_revision : s->reads;
		item->mod_revision = is_same ? known->mod_revision : s->reads;
	}
}

static void keep_revisions(struct file_store *s, const char *key, const struct listing *tree)
{
	struct store_listing as_read = listing_at(tree, s->reads);

	if (s->known_key == NULL || strcmp(s->known_key, key) != 0) {
		free(s->known_key);
		s->known_key = strdup(key);
	}
	if (listing_copy(&s->known, &as_read) < 0)
		free(TAKE_PTR(s->known_key));
}

static int read_tree(struct file_store *s, const char *key, struct listing *into)
{
	const char *relative = key + strspn(key, "/");

	int r = file_io_list(s->inotify, s->directory, relative, into);
	if (r < 0)
		return r;
	count_revisions(s, key, into);
	keep_revisions(s, key, into);
	return 0;
}

static int read_key(struct file_store *s, const char *key, struct listing *into)
{
	struct strbuf data = {0};
	bool present = false;

	into->has_no_bounds = true;
	int r = file_io_read(s->directory, key, &data, &present);
	if (r == 0 && present) {
		struct store_item item = {
			.key = "", .data = data.data, .size = data.size, .is_held = true};
		r = listing_put(into, &item);
	}
	strbuf_deinit(&data);
	return r;
}

/* Also mends the watches, should an event have been missed. */
static int read_scope(struct file_store *s, const char *key, bool is_tree, struct listing *into)
{
	file_io_arm(s->inotify, s->directory, key + strspn(key, "/"), &s->watched_parent);
	s->reads++;
	return is_tree ? read_tree(s, key, into) : read_key(s, key, into);
}

static void run_job(struct file_store *s, struct file_job *job)
{
	switch (job->kind) {
	case JOB_READ:
		job->error = read_scope(s, job->base.key, job->base.is_tree, &job->listing);
		job->revision = s->reads;
		break;
	case JOB_PUT:
		job->error =
			file_io_write(s->directory, job->base.key, job->data.data, job->data.size);
		break;
	case JOB_DELETE:
		job->error = file_io_delete(s->directory, job->base.key);
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

/* Reads what is watched and reports it if it differs from last time. A read that
 * fails is left to the next regular read, which reports errors. */
static void look_at_watched(struct file_store *s, struct file_watch *watch)
{
	struct file_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return;
	job->kind = JOB_CHANGED;
	job->store = s;
	int r = read_scope(s, watch->key, watch->base.is_tree, &job->listing);
	job->revision = s->reads;
	job->is_fresh = watch->is_blind;
	struct store_listing now = listing_at(&job->listing, job->revision);
	if (r < 0 || (!watch->is_blind && listing_is(&watch->seen, &now))) {
		watch->is_blind = watch->is_blind || r < 0;
		file_job_free(job);
		return;
	}
	watch->is_blind = listing_copy(&watch->seen, &now) < 0;
	finish_job(s, job);
}

/* True if anything happened besides our own writing, which goes through files of a
 * known name. *ret_overflow: and there was more than is told. */
static bool drain_inotify(int fd, bool *ret_overflow)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool something = false;
	ssize_t size;

	*ret_overflow = false;
	while ((size = read(fd, buffer, sizeof(buffer))) > 0) {
		const struct inotify_event *e;
		for (char *at = buffer; at < buffer + size; at += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(void *)at;
			*ret_overflow = *ret_overflow || (e->mask & IN_Q_OVERFLOW);
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
	bool overflow;
	uint64_t rings;

	while (!stopping) {
		struct pollfd fds[] = {{.fd = s->work, .events = POLLIN},
				       {.fd = s->inotify, .events = POLLIN}};
		struct file_job *job;

		if (poll(fds, 2, -1) < 0)
			continue;
		(void)!read(s->work, &rings, sizeof(rings));
		bool changed = drain_inotify(s->inotify, &overflow);
		struct file_watch *watch = current_watch(s);
		if (watch != NULL) {
			watch->is_blind = watch->is_blind || overflow;
			if (changed || watch->is_blind)
				look_at_watched(s, watch);
		}
		while ((job = take_job(s, &stopping)) != NULL)
			run_job(s, job);
	}
	return NULL;
}
