/* Absolute timers over a timerfd, because libevent's stand still in suspend. */
#include "net/boot_timer.h"

#include <errno.h>
#include <sys/timerfd.h>

#include "base/check.h"
#include "base/clock.h"

static void on_expired(evutil_socket_t fd, short what, void *arg)
{
	struct boot_timer *t = arg;
	uint64_t count;

	if (read(t->fd, &count, sizeof(count)) == sizeof(count))
		t->cb(t->arg);
}

int boot_timer_init(struct boot_timer *timer, struct loop *loop, void (*cb)(void *arg), void *arg)
{
	timer->cb = cb;
	timer->arg = arg;
	timer->fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (timer->fd < 0)
		return -errno;
	if (event_assign(&timer->event, loop->base, timer->fd, EV_READ | EV_PERSIST, on_expired,
			 timer) < 0 ||
	    event_priority_set(&timer->event, LOOP_URGENT) < 0 ||
	    event_add(&timer->event, NULL) < 0) {
		close_fd(&timer->fd);
		return -ENOMEM;
	}
	return 0;
}

void boot_timer_deinit(struct boot_timer *timer)
{
	if (timer->fd < 0)
		return;
	event_del(&timer->event);
	close_fd(&timer->fd);
}

static void set_moment(struct boot_timer *timer, const struct timespec *moment)
{
	struct itimerspec spec = {.it_value = *moment};
	int r = timerfd_settime(timer->fd, TFD_TIMER_ABSTIME, &spec, NULL);

	CHECK(r == 0);
}

void boot_timer_set(struct boot_timer *timer, int64_t at_ms)
{
	/* Zero would disarm it. */
	struct timespec moment = {.tv_sec = at_ms / MS_PER_S,
				  .tv_nsec = (long)(at_ms % MS_PER_S) * NS_PER_MS + 1};

	if (at_ms < 0)
		moment = (struct timespec){.tv_nsec = 1};
	set_moment(timer, &moment);
}

void boot_timer_clear(struct boot_timer *timer)
{
	set_moment(timer, &(struct timespec){0});
}
