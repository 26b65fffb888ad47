/* Each file is watched, and its folder: in containers such files are mounts of
 * their own, rewritten in place, of which the folder hears nothing; elsewhere
 * they are replaced by a rename, after which the watch is on the old one. */
#include "net/file_watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#define MAX_PATHS 4
#define SETTLE_MS 20 /* for what comes in several steps */

#define FILE_EVENTS   (IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
#define FOLDER_EVENTS (IN_MOVED_TO | IN_CREATE | IN_ONLYDIR)

struct watched_file {
	const char *path;
	const char *name; /* within its folder */
	int folder;       /* watches; -1: none */
	int file;
};

struct file_watch {
	int fd;
	struct event event;
	struct loop_timer settle;
	file_watch_cb *cb;
	void *arg;
	size_t count;
	struct watched_file files[MAX_PATHS];
};

static void arm(struct file_watch *w)
{
	for (size_t i = 0; i < w->count; i++) {
		struct watched_file *f = &w->files[i];
		int before = f->file;
		f->file = inotify_add_watch(w->fd, f->path, FILE_EVENTS);
		if (before >= 0 && before != f->file)
			inotify_rm_watch(w->fd, before); /* the file that was there before */
	}
}

static void on_settled(evutil_socket_t fd, short what, void *arg)
{
	struct file_watch *w = arg;

	arm(w);
	w->cb(w->arg);
}

static bool is_ours(const struct file_watch *w, const struct inotify_event *event)
{
	if (event->mask & IN_Q_OVERFLOW)
		return true;
	for (size_t i = 0; i < w->count; i++) {
		const struct watched_file *f = &w->files[i];
		if ((event->mask & FILE_EVENTS) && event->wd == f->file)
			return true;
		if (event->wd == f->folder && event->len > 0 && strcmp(event->name, f->name) == 0)
			return true;
	}
	return false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct file_watch *w = arg;
	union {
		struct inotify_event event; /* for its alignment */
		char bytes[4096];
	} buffer;
	bool changed = false;
	ssize_t size;

	while ((size = read(fd, &buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < size;) {
			const struct inotify_event *event = (const void *)(buffer.bytes + at);
			changed = changed || is_ours(w, event);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	if (changed && !loop_timer_is_running(&w->settle))
		loop_timer_start(&w->settle, SETTLE_MS);
}

static void add_file(struct file_watch *w, const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct watched_file *f = &w->files[w->count++];

	*f = (struct watched_file){path, slash == NULL ? path : slash + 1, -1, -1};
	int length = snprintf(folder, sizeof(folder), "%.*s",
			      slash == NULL ? 1 : (int)(slash - path) + 1, slash ? path : ".");
	if (length > 0 && (size_t)length < sizeof(folder))
		f->folder = inotify_add_watch(w->fd, folder, FOLDER_EVENTS);
}

int file_watch_new(struct loop *loop, const char *const *paths, size_t count, file_watch_cb *cb,
		   void *arg, struct file_watch **ret_watch)
{
	struct file_watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->cb = cb;
	w->arg = arg;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0) {
		int r = -errno;
		free(w);
		return r;
	}
	for (size_t i = 0; i < count && i < MAX_PATHS; i++)
		add_file(w, paths[i]);
	arm(w);
	loop_timer_init(&w->settle, loop, on_settled, w);
	event_assign(&w->event, loop->base, w->fd, EV_READ | EV_PERSIST, on_readable, w);
	if (event_add(&w->event, NULL) < 0) {
		close(w->fd);
		free(w);
		return -ENOMEM;
	}
	*ret_watch = w;
	return 0;
}

void file_watch_free(struct file_watch **watch)
{
	struct file_watch *w = TAKE_PTR(*watch);

	if (w == NULL)
		return;
	event_del(&w->event);
	loop_timer_stop(&w->settle);
	close(w->fd);
	free(w);
}
