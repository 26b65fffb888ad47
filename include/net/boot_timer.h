/* A timer for a moment on CLOCK_BOOTTIME: it fires at once when a suspended
 * machine or a stopped process wakes after that moment. Loop thread only. */
#ifndef PGSPLICE_NET_BOOT_TIMER_H
#define PGSPLICE_NET_BOOT_TIMER_H

#include "net/loop.h"

struct boot_timer {
	int fd;
	struct event event;
	void (*cb)(void *arg);
	void *arg;
};

MUST_CHECK int boot_timer_init(struct boot_timer *timer, struct loop *loop, void (*cb)(void *arg),
			       void *arg);
/* Accepts one with fd -1. */
void boot_timer_deinit(struct boot_timer *timer);

/* Fires once, at or soon after the moment (clock_boot_ms()); a moment that has
 * passed fires in the next turn. Replaces an earlier moment. */
void boot_timer_set(struct boot_timer *timer, int64_t at_ms);
void boot_timer_clear(struct boot_timer *timer);

#endif
