/* A timer that says "done". */
#include "control/unwaited.h"

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct unwaited *u = arg;

	u->cb(0, "", u->arg);
}

void unwaited_init(struct unwaited *unwaited, struct loop *loop)
{
	loop_timer_init(&unwaited->timer, loop, on_turn, unwaited);
}

void unwaited_deinit(struct unwaited *unwaited)
{
	loop_timer_stop(&unwaited->timer);
}

int unwaited_done(struct unwaited *unwaited, store_done_cb *cb, void *arg)
{
	unwaited->cb = cb;
	unwaited->arg = arg;
	loop_timer_start(&unwaited->timer, 0);
	return 0;
}
