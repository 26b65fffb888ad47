/* Threads with a name, a small stack and every signal blocked: signals are
 * the main thread's business. */
#ifndef PGSPLICE_BASE_THREAD_H
#define PGSPLICE_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#include "base/cleanup.h"

/* name is copied, at most 15 characters. Returns 0 or a negative error. */
MUST_CHECK int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *),
			    void *arg);

/* Waits until the thread has ended, at most timeout_ms. False: it still runs. */
MUST_CHECK bool thread_join_within(pthread_t thread, int timeout_ms);

#endif
