/* Event loops. libevent is configured without locks, since a base belongs to
 * one thread, and turns are run one by one so that memory can be freed between
 * them. */
#include "net/loop.h"

#include <errno.h>

#include "base/check.h"

int loop_init(struct loop *loop)
{
	struct event_config *config = event_config_new();

	if (config == NULL)
		return -ENOMEM;
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	if (loop->base == NULL)
		return -ENOMEM;
	if (event_base_priority_init(loop->base, LOOP_PRIORITIES) < 0) {
		event_base_free(loop->base);
		loop->base = NULL;
		return -ENOMEM;
	}
	list_init(&loop->garbage);
	loop->stopping = false;
	return 0;
}

static void collect_garbage(struct loop *loop)
{
	struct list *node;

	while ((node = list_first(&loop->garbage)) != NULL) {
		struct loop_garbage *garbage = CONTAINER_OF(node, struct loop_garbage, node);
		list_remove(node);
		garbage->free(garbage);
	}
}

void loop_deinit(struct loop *loop)
{
	if (loop->base == NULL)
		return;
	collect_garbage(loop);
	event_base_free(loop->base);
	loop->base = NULL;
}

int loop_run(struct loop *loop)
{
	while (!loop->stopping) {
		if (event_base_loop(loop->base, EVLOOP_ONCE) < 0)
			return errno != 0 ? -errno : -EIO;
		collect_garbage(loop);
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
	event_base_loopbreak(loop->base);
}

void loop_free_later(struct loop *loop, struct loop_garbage *garbage,
		     void (*free)(struct loop_garbage *garbage))
{
	garbage->free = free;
	list_append(&loop->garbage, &garbage->node);
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop, event_callback_fn cb, void *arg)
{
	int r = event_assign(&timer->event, loop->base, -1, 0, cb, arg);

	CHECK(r == 0);
}

void loop_timer_start(struct loop_timer *timer, int64_t delay_ms)
{
	if (delay_ms < 0)
		delay_ms = 0;
	struct timeval delay = {.tv_sec = delay_ms / 1000,
				.tv_usec = (suseconds_t)(delay_ms % 1000) * 1000};
	int r = event_add(&timer->event, &delay);

	CHECK(r == 0); /* fails only when the timer heap cannot grow */
}

void loop_timer_stop(struct loop_timer *timer)
{
	event_del(&timer->event);
}

bool loop_timer_is_running(const struct loop_timer *timer)
{
	return event_pending(&timer->event, EV_TIMEOUT, NULL) != 0;
}
