/* pthread_create() as this program wants it. */
#include "base/thread.h"

#include <signal.h>
#include <time.h>

#include "base/clock.h"

/* Deep enough for getaddrinfo-like library calls and sanitizers, small enough
 * that a handful of threads stays unnoticed. */
#define STACK_SIZE (512 * 1024)

int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all;
	sigset_t before;
	pthread_t thread;

	int r = pthread_attr_init(&attr);
	if (r != 0)
		return -r;
	r = pthread_attr_setstacksize(&attr, STACK_SIZE);
	if (r == 0) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		r = pthread_create(&thread, &attr, run, arg);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	pthread_attr_destroy(&attr);
	if (r != 0)
		return -r;
	pthread_setname_np(thread, name);
	*ret_thread = thread;
	return 0;
}

/* Looks every millisecond: pthread_timedjoin_np() follows steps of the wall
 * clock, and the thread sanitizer of gcc 12 does not know pthread_clockjoin_np(),
 * so that all that a joined thread has done looks like a race. */
bool thread_join_within(pthread_t thread, int timeout_ms)
{
	struct timespec tick = {.tv_nsec = NS_PER_MS};

	for (int waited_ms = 0; pthread_tryjoin_np(thread, NULL) != 0; waited_ms++) {
		if (waited_ms >= timeout_ms)
			return false;
		nanosleep(&tick, NULL);
	}
	return true;
}
