/* The control thread: it watches the store, decides, publishes snapshots to the
 * workers and acknowledges to the sentinels. It joins the modules; each rule is
 * in one of them. */
#ifndef PGSPLICE_CONTROL_CONTROL_H
#define PGSPLICE_CONTROL_CONTROL_H

#include "control/direct.h"
#include "control/source.h"
#include "worker/worker_pool.h"

struct control_settings {
	struct members_settings members; /* count 0: one of the others, by format */
	enum cluster_format format;
	struct stolon_settings stolon;
	struct patroni_settings patroni;
	struct dns_settings dns;
	struct listening_settings listening;
	struct direct_settings direct;
	bool stop_listening; /* when the deadline passes */
	struct worker_pool_settings workers;
};

struct control;

/* Starts workers, watchdog and the control thread. done_fd is an eventfd that
 * becomes readable when the thread has ended. settings must outlive it all.
 * On failure *ret_problem says in a static text what could not be done. */
MUST_CHECK int control_start(const struct control_settings *settings, int done_fd,
			     struct control **ret_control, const char **ret_problem);

/* Any thread: stop listening, abort every session, withdraw our proxy info, end;
 * within 1.5 s whatever the store does. */
void control_stop(struct control *control);

/* After done_fd became readable: frees everything, unless a worker hangs. */
void control_join(struct control **control);

#endif
