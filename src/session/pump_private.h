/* What pump.c shares with the two ways to move bytes. */
#ifndef PGSPLICE_SESSION_PUMP_PRIVATE_H
#define PGSPLICE_SESSION_PUMP_PRIVATE_H

#include "session/pump.h"

/* One run of a pump: its ends, and what it may use. */
struct pump_run {
	struct pump *pump;
	int source;
	int sink;
	struct pump_tools *tools;
	pump_gate *gate;
	void *arg;
};

static inline enum pump_gate_answer pump_ask_gate(const struct pump_run *run)
{
	return run->gate == NULL ? PUMP_GATE_OPEN : run->gate(run->arg);
}

/* The sink has failed: gives up what is held and ends the direction. */
enum pump_result pump_break(const struct pump_run *run);

/* Each moves what it can and may change the way for the next time. */
enum pump_result pump_copy(const struct pump_run *run);
enum pump_result pump_splice(const struct pump_run *run);

/* From copying to splicing, if a pipe is to be had; and back, when it is empty. */
void pump_start_splicing(const struct pump_run *run);
void pump_stop_splicing(const struct pump_run *run, enum pump_way next);

#endif
