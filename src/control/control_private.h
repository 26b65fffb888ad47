/* The control thread's state, and what check.c (the flow of a check) and control.c
 * (start and end) call of each other. */
#ifndef PGSPLICE_CONTROL_CONTROL_PRIVATE_H
#define PGSPLICE_CONTROL_CONTROL_PRIVATE_H

#include "control/control.h"
#include "control/direct.h"
#include "control/explain.h"
#include "control/source.h"
#include "routing/handover.h"
#include "routing/resolve.h"

enum control_phase {
	CONTROL_RUNNING,
	CONTROL_DRAINING,    /* stopping: waiting for the barrier and a publish under way */
	CONTROL_WITHDRAWING, /* stopping: deleting our proxy info */
	CONTROL_STOPPED,
};

struct control {
	const struct control_settings *settings;
	int done_fd;
	pthread_t thread;
	enum control_phase phase;
	struct loop loop;
	struct wakeup drained; /* rung by workers */
	struct wakeup stop;    /* rung by control_stop() */
	struct boot_timer deadline;
	int64_t deadline_ms;            /* for which it was set last */
	struct loop_timer check;        /* the next read */
	int64_t check_at_ms;            /* when that is */
	struct loop_timer republish;    /* a snapshot could not be made */
	struct loop_timer write_failed; /* a publish could not even be started */
	struct loop_timer stop_limit;
	unsigned failures; /* checks in a row */
	struct dns *dns;
	struct source *source;
	bool acknowledged; /* at least tried */
	struct resolve *resolve;
	struct listening *listening;
	struct direct *direct; /* NULL: there is no direct port */
	struct worker_pool *workers;
	struct handover handover;
	struct handover_route route; /* as published last; holds its target */
	struct explain explain;
	struct view *view;      /* the newest acceptable one */
	int64_t read_sent_ms;   /* of view; 0: from the watch */
	bool holds_new_clients; /* as published last */
};

/* Callbacks of the modules that control.c sets up. */
extern const struct handover_ops check_ops;
void check_on_timer(evutil_socket_t fd, short what, void *arg);
void check_on_republish(evutil_socket_t fd, short what, void *arg);
void check_on_write_failed(evutil_socket_t fd, short what, void *arg);
void check_on_deadline(void *arg);
void check_on_drained(void *arg);
void check_on_resolved(void *arg);
/* Of either port, or of the direct port's members. */
void check_on_ports_changed(void *arg);
void check_on_update(const struct watch_update *update, void *arg);

/* Sets the timer of the deadline to where the handover has it now. */
void check_follow_deadline(struct control *c);

/* While stopping: withdraws from the cluster, once nothing stands in the way. */
void control_withdraw(struct control *c);

#endif
