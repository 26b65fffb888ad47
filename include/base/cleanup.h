/* Attributes that tie a resource to its scope, and the macros that hand it on.
 *
 * Use them for single values; an initialiser with several steps uses one
 * `goto fail` ladder instead. */
#ifndef PGSPLICE_BASE_CLEANUP_H
#define PGSPLICE_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

/* The descriptor is closed, or the memory freed, when the scope ends. */
#define AUTO_CLOSE __attribute__((cleanup(cleanup_close)))
#define AUTO_FREE  __attribute__((cleanup(cleanup_free)))

/* Takes the value out of an AUTO_ variable: the caller owns it now. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}
#define TAKE_FD(fd) take_fd(&(fd))
#define TAKE_PTR(pointer)                                                                          \
	({                                                                                         \
		__typeof__(pointer) taken_ = (pointer);                                            \
		(pointer) = NULL;                                                                  \
		taken_;                                                                            \
	})

/* Closes a descriptor that may be -1 and forgets it. */
static inline void close_fd(int *fd)
{
	int taken = take_fd(fd);

	cleanup_close(&taken);
}

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
