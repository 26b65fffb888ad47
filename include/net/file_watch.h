/* Tells when one of a few files has changed or was replaced: inotify on a loop.
 * Loop thread. */
#ifndef PGSPLICE_NET_FILE_WATCH_H
#define PGSPLICE_NET_FILE_WATCH_H

#include "net/loop.h"

struct file_watch;

/* Called from the loop, once a while after several changes. */
typedef void file_watch_cb(void *arg);

/* The paths must outlive it. */
MUST_CHECK int file_watch_new(struct loop *loop, const char *const *paths, size_t count,
			      file_watch_cb *cb, void *arg, struct file_watch **ret_watch);
void file_watch_free(struct file_watch **watch);

#endif
