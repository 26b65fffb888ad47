/* One direction of a session, whichever way it moves its bytes. */
#include "session/pump.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "pump_private.h"

#define SCRATCH_SIZE (64 * 1024)

int pump_tools_init(struct pump_tools *tools, enum splice_mode splice)
{
	pipe_pool_init(&tools->pipes);
	tools->splice = splice;
	tools->scratch_size = SCRATCH_SIZE;
	tools->scratch = malloc(SCRATCH_SIZE);
	return tools->scratch == NULL ? -ENOMEM : 0;
}

void pump_tools_deinit(struct pump_tools *tools)
{
	if (tools->scratch == NULL)
		return;
	pipe_pool_deinit(&tools->pipes);
	free(TAKE_PTR(tools->scratch));
}

void pump_init(struct pump *pump)
{
	*pump = (struct pump){.state = PUMP_MOVING, .way = PUMP_COPIES};
}

void pump_deinit(struct pump *pump, struct pump_tools *tools)
{
	if (pump->way == PUMP_SPLICES)
		pipe_pool_give_back(&tools->pipes, &pump->pipe, pump->in_pipe == 0);
	else
		free(TAKE_PTR(pump->held));
	pump->in_pipe = 0;
	pump->way = PUMP_COPIES;
}

enum pump_result pump_break(const struct pump_run *run)
{
	pump_deinit(run->pump, run->tools);
	run->pump->state = PUMP_BROKEN;
	return PUMP_SINK_FAILED;
}

void pump_start_splicing(const struct pump_run *run)
{
	struct pump *pump = run->pump;

	CHECK(pump->held == NULL);
	pump->streak = 0;
	pump->pipe = pipe_pool_take(&run->tools->pipes);
	if (pump->pipe != NULL)
		pump->way = PUMP_SPLICES;
}

void pump_stop_splicing(const struct pump_run *run, enum pump_way next)
{
	struct pump *pump = run->pump;

	CHECK(pump->in_pipe == 0);
	pipe_pool_give_back(&run->tools->pipes, &pump->pipe, true);
	pump->streak = 0;
	pump->way = next;
}

enum pump_result pump_run(struct pump *pump, int source, int sink, struct pump_tools *tools,
			  pump_gate *gate, void *arg)
{
	struct pump_run run = {pump, source, sink, tools, gate, arg};

	if (tools->splice == SPLICE_ALWAYS && pump->way == PUMP_COPIES && !pump_holds_bytes(pump))
		pump_start_splicing(&run);
	return pump->way == PUMP_SPLICES ? pump_splice(&run) : pump_copy(&run);
}
