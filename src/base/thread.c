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

bool thread_join_within(pthread_t thread, int timeout_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / MS_PER_S;
	until.tv_nsec += (long)(timeout_ms % MS_PER_S) * NS_PER_MS;
	if (until.tv_nsec >= MS_PER_S * NS_PER_MS) {
		until.tv_sec++;
		until.tv_nsec -= MS_PER_S * NS_PER_MS;
	}
	return pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) == 0;
}
