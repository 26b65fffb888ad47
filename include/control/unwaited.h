/* Acknowledging where nobody waits for this proxy: it is done in the next turn. Control
 * thread. */
#ifndef PGSPLICE_CONTROL_UNWAITED_H
#define PGSPLICE_CONTROL_UNWAITED_H

#include "net/loop.h"
#include "store/store.h"

struct unwaited {
	struct loop_timer timer;
	store_done_cb *cb;
	void *arg;
};

void unwaited_init(struct unwaited *unwaited, struct loop *loop);
void unwaited_deinit(struct unwaited *unwaited);
/* cb runs once, from the loop. One at a time. Returns 0. */
MUST_CHECK int unwaited_done(struct unwaited *unwaited, store_done_cb *cb, void *arg);

#endif
