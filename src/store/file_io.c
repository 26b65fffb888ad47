/* Files as keys: whole reads, atomic replacement, inotify on the folders. */
#include "file_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/err.h"

#define MAX_DEPTH 16 /* of folders in each other */

static int join(char path[static PATH_MAX], const char *directory, const char *key)
{
	int length = snprintf(path, PATH_MAX, "%s/%s", directory, key);

	return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int read_all(int fd, struct strbuf *into)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return ERR_NOT_REGULAR;
	for (;;) {
		/* One byte more than the size shows the end without another turn. */
		size_t room = into->size == 0 ? (size_t)status.st_size + 1 : 65536;
		if (into->size + room > FILE_IO_MAX_SIZE)
			return ERR_TOO_LARGE;
		int r = strbuf_reserve(into, room);
		if (r < 0)
			return r;
		ssize_t n = read(fd, into->data + into->size, room);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		if (n > 0)
			into->size += (size_t)n;
	}
	into->data[into->size] = '\0';
	return 0;
}

int file_io_read(const char *directory, const char *key, struct strbuf *into, bool *ret_present)
{
	char path[PATH_MAX];
	struct stat status;

	int r = join(path, directory, key);
	if (r < 0)
		return r;
	/* O_NONBLOCK: a FIFO in the file's place must not hold us. */
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0) {
		*ret_present = true;
		return read_all(fd, into);
	}
	if (errno != ENOENT)
		return -errno;
	if (stat(directory, &status) < 0)
		return -errno;
	*ret_present = false;
	return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

static int add_watch(int inotify, const char *path)
{
	return inotify_add_watch(inotify, path,
				 IN_CREATE | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM |
					 IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}

static int list_folder(int inotify, const char *folder, const char *name, unsigned depth,
		       struct listing *into);

/* name: of the file or folder, from the tree's top. */
static int list_entry(int inotify, const char *folder, const char *name, unsigned depth,
		      struct listing *into)
{
	char path[PATH_MAX];
	struct stat status;
	struct strbuf data = {0};
	bool present = false;

	int r = join(path, folder, name);
	if (r < 0)
		return r;
	if (lstat(path, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(status.st_mode))
		return list_folder(inotify, folder, name, depth + 1, into);
	r = file_io_read(folder, name, &data, &present);
	if (r == 0 && present) {
		struct store_item item = {
			.key = name, .data = data.data, .size = data.size, .is_held = true};
		r = listing_put(into, &item);
	}
	strbuf_deinit(&data);
	return r == ERR_NOT_REGULAR ? 0 : r;
}

static int list_folder(int inotify, const char *folder, const char *name, unsigned depth,
		       struct listing *into)
{
	char path[PATH_MAX];
	char child[PATH_MAX];
	struct dirent *entry;
	int r = join(path, folder, name);

	if (r < 0 || depth == MAX_DEPTH)
		return r < 0 ? r : ERR_TOO_LARGE;
	/* First: what appears after the entries were read is an event. */
	(void)add_watch(inotify, path);
	DIR *open_folder = opendir(path);
	if (open_folder == NULL)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	while (r == 0 && (entry = readdir(open_folder)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    strncmp(entry->d_name, FILE_IO_TEMPORARY, strlen(FILE_IO_TEMPORARY)) == 0)
			continue;
		int length = snprintf(child, sizeof(child), "%s%s%s", name,
				      *name == '\0' ? "" : "/", entry->d_name);
		if (length >= 0 && (size_t)length < sizeof(child))
			r = list_entry(inotify, folder, child, depth, into);
	}
	closedir(open_folder);
	return r;
}

int file_io_list(int inotify, const char *directory, const char *key, struct listing *into)
{
	char path[PATH_MAX];
	struct stat status;

	int r = join(path, directory, key);
	if (r < 0)
		return r;
	if (stat(directory, &status) < 0)
		return -errno;
	if (!S_ISDIR(status.st_mode))
		return -ENOTDIR;
	return list_folder(inotify, path, "", 0, into);
}

/* Makes the folders of path that lie behind its first `existing` bytes. */
static int make_folders(char *path, size_t existing)
{
	for (char *slash = strchr(path + existing + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int r = mkdir(path, 0777);
		*slash = '/';
		if (r < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int file_io_write(const char *directory, const char *key, const char *data, size_t size)
{
	char path[PATH_MAX];
	char temporary[PATH_MAX];

	int r = join(path, directory, key);
	if (r < 0)
		return r;
	/* In the directory itself, so that no reader of a folder meets it. */
	r = join(temporary, directory, FILE_IO_TEMPORARY "XXXXXX");
	if (r < 0)
		return r;
	r = make_folders(path, strlen(directory));
	if (r < 0)
		return r;
	AUTO_CLOSE int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data, size);
	if (r == 0 && fchmod(fd, 0644) < 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}

int file_io_delete(const char *directory, const char *key)
{
	char path[PATH_MAX];

	int r = join(path, directory, key);
	if (r < 0)
		return r;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int watch_nearest_parent(int inotify, const char *directory)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", directory);
	for (char *slash = strrchr(path, '/'); slash != NULL; slash = strrchr(path, '/')) {
		*slash = '\0';
		int watch = add_watch(inotify, *path == '\0' ? "/" : path);
		if (watch >= 0)
			return watch;
	}
	return add_watch(inotify, *directory == '/' ? "/" : ".");
}

void file_io_arm(int inotify, const char *directory, const char *key, int *watched_parent)
{
	char path[PATH_MAX];

	if (join(path, directory, key) < 0)
		return;
	if (add_watch(inotify, directory) < 0) {
		*watched_parent = watch_nearest_parent(inotify, directory);
		return;
	}
	if (*watched_parent >= 0) {
		(void)inotify_rm_watch(inotify, *watched_parent);
		*watched_parent = -1;
	}
	/* From the top down: what appears below meanwhile is seen by the next. */
	for (char *slash = strchr(path + strlen(directory) + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)add_watch(inotify, path);
		*slash = '/';
	}
}
