/* Copying: reads into the worker's scratch buffer and writes at once, so that an
 * idle or fast session owns no buffer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "pump_private.h"

/* Reads in one run: bounded, so that a stream does not starve the others. */
#define READS_PER_RUN 4
/* Runs with at least one full read that make a stream, unless one with next to
 * nothing comes between. */
#define STREAK_TO_SPLICE 4

/* Sends what the sink takes now: the count, 0 when it takes nothing, or -1. */
static ssize_t send_some(const struct pump_run *run, const uint8_t *data, size_t size)
{
	ssize_t n;

	do {
		n = send(run->sink, data, size, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	run->pump->bytes += (uint64_t)n;
	return n;
}

static enum pump_result send_held(const struct pump_run *run)
{
	struct pump_held *held = run->pump->held;

	if (pump_ask_gate(run) != PUMP_GATE_OPEN)
		return PUMP_NOT_PERMITTED;
	ssize_t n = send_some(run, held->data + held->sent, held->size - held->sent);
	if (n < 0)
		return pump_break(run);
	held->sent += (uint32_t)n;
	if (held->sent == held->size)
		free(TAKE_PTR(run->pump->held));
	return PUMP_RAN;
}

static enum pump_result hold(struct pump *pump, const uint8_t *data, size_t size)
{
	pump->held = malloc(sizeof(*pump->held) + size);
	if (pump->held == NULL)
		return PUMP_NO_MEMORY;
	pump->held->size = (uint32_t)size;
	pump->held->sent = 0;
	memcpy(pump->held->data, data, size);
	return PUMP_RAN;
}

static enum pump_result forward(const struct pump_run *run, size_t size)
{
	const uint8_t *data = run->tools->scratch;
	enum pump_result kept;

	switch (pump_ask_gate(run)) {
	case PUMP_GATE_OPEN:
		break;
	case PUMP_GATE_WAITS:
		kept = hold(run->pump, data, size);
		return kept == PUMP_RAN ? PUMP_NOT_PERMITTED : kept;
	case PUMP_GATE_SHUT:
		return PUMP_NOT_PERMITTED;
	}
	ssize_t n = send_some(run, data, size);
	if (n < 0)
		return pump_break(run);
	return (size_t)n < size ? hold(run->pump, data + n, size - (size_t)n) : PUMP_RAN;
}

/* After a run that read so much: a stream goes over to splicing. */
static void note_run(const struct pump_run *run, size_t size)
{
	struct pump *pump = run->pump;

	if (size < run->tools->scratch_size / 4)
		pump->streak = 0;
	else if (size >= run->tools->scratch_size && pump->streak < STREAK_TO_SPLICE)
		pump->streak++;
	if (pump->streak == STREAK_TO_SPLICE && pump->way == PUMP_COPIES && pump_wants_read(pump) &&
	    run->tools->splice == SPLICE_AUTO)
		pump_start_splicing(run);
}

enum pump_result pump_copy(const struct pump_run *run)
{
	struct pump *pump = run->pump;
	enum pump_result result = pump->held != NULL ? send_held(run) : PUMP_RAN;
	size_t total = 0;

	for (int i = 0; result == PUMP_RAN && i < READS_PER_RUN && pump_wants_read(pump); i++) {
		ssize_t n = recv(run->source, run->tools->scratch, run->tools->scratch_size, 0);
		if (n == 0)
			pump->state = PUMP_FINISHED;
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			return PUMP_SOURCE_FAILED;
		if (n <= 0)
			break;
		total += (size_t)n;
		result = forward(run, (size_t)n);
		if ((size_t)n < run->tools->scratch_size)
			break; /* most likely all there was; the loop tells of more */
	}
	if (result == PUMP_RAN && total > 0)
		note_run(run, total);
	return result;
}
