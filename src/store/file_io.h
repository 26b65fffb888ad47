/* The system calls of the file store: blocking, for its own thread. Paths are
 * a directory and a key below it. Each returns 0 or a negative error. */
#ifndef PGSPLICE_STORE_FILE_IO_H
#define PGSPLICE_STORE_FILE_IO_H

#include <stdbool.h>

#include "base/strbuf.h"
#include "listing.h"

/* How the names of files begin that are yet to be renamed. */
#define FILE_IO_TEMPORARY ".pgsplice-"

/* More than any store lets a cluster grow to (etcd's limit is 1.5 MB). */
#define FILE_IO_MAX_SIZE (16 * 1024 * 1024)

/* Reads the whole file. *ret_present is false when the directory is there but
 * the file is not; a missing directory is -ENOENT. */
int file_io_read(const char *directory, const char *key, struct strbuf *into, bool *ret_present);

/* Reads all files below the folder that key names, with its slash at the end or ""
 * for the directory itself, and has inotify watch the folders. What vanishes
 * meanwhile is left out; so is what is no file, or has the name of one that is yet
 * to be renamed. ERR_TOO_LARGE beyond the bounds of a listing, or for folders in
 * folders without end. A folder that is not there is an empty tree; a missing
 * directory is -ENOENT. */
int file_io_list(int inotify, const char *directory, const char *key, struct listing *into);

/* Replaces the file by a rename within the directory, and makes the folders
 * between the directory and the file. */
int file_io_write(const char *directory, const char *key, const char *data, size_t size);

/* A file that does not exist is fine. */
int file_io_delete(const char *directory, const char *key);

/* Watches with inotify, which the caller opened: every folder between the
 * directory and the file that exists, or, while the directory itself does not,
 * its nearest parent that does (*watched_parent, -1 if none). Call it again
 * after each event. */
void file_io_arm(int inotify, const char *directory, const char *key, int *watched_parent);

#endif
