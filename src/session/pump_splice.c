/* Splicing: bytes go from socket to socket through a pipe and never enter this
 * process. The pipe is filled only when it is empty, so that an end or a failure
 * of the source never finds bytes in it. */
#include <errno.h>
#include <fcntl.h>

#include "pump_private.h"

/* Moves smaller than this are cheaper copied ... */
#define SMALL_MOVE (16 * 1024)
/* ... and so many of them in a row mean that the stream is over. */
#define STREAK_TO_COPY 8

/* From the pipe to the sink, as far as it takes. */
static enum pump_result empty_pipe(const struct pump_run *run)
{
	struct pump *pump = run->pump;

	while (pump->in_pipe > 0) {
		if (pump_ask_gate(run) != PUMP_GATE_OPEN)
			return PUMP_NOT_PERMITTED;
		ssize_t n = splice(pump->pipe->read_fd, NULL, run->sink, NULL, pump->in_pipe,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return PUMP_RAN;
		if (n <= 0)
			return pump_break(run);
		pump->in_pipe -= (uint32_t)n;
		pump->bytes += (uint64_t)n;
	}
	return PUMP_RAN;
}

static void note_size(const struct pump_run *run, size_t size)
{
	struct pump *pump = run->pump;

	if (size >= SMALL_MOVE)
		pump->streak = 0;
	else if (pump->streak < STREAK_TO_COPY)
		pump->streak++;
}

static bool is_quiet(const struct pump_run *run)
{
	return run->pump->streak == STREAK_TO_COPY && run->tools->splice == SPLICE_AUTO &&
	       run->pump->in_pipe == 0;
}

/* Fills the empty pipe and empties it again, once: a run is bounded by its size. */
static enum pump_result fill_pipe(const struct pump_run *run)
{
	struct pump *pump = run->pump;
	ssize_t n = splice(run->source, NULL, pump->pipe->write_fd, NULL, pump->pipe->size,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n > 0) {
		pump->in_pipe = (uint32_t)n;
		note_size(run, (size_t)n);
		return empty_pipe(run);
	}
	if (n == 0) {
		pump->state = PUMP_FINISHED;
		pump_stop_splicing(run, PUMP_COPIES);
	} else if (errno == EINVAL) {
		pump_stop_splicing(run, PUMP_COPIES_ONLY); /* the loop reports the bytes again */
	} else if (errno != EAGAIN && errno != EINTR) {
		return PUMP_SOURCE_FAILED;
	}
	return PUMP_RAN;
}

enum pump_result pump_splice(const struct pump_run *run)
{
	enum pump_result result = empty_pipe(run);

	if (result == PUMP_RAN && pump_wants_read(run->pump))
		result = fill_pipe(run);
	if (result == PUMP_RAN && run->pump->way == PUMP_SPLICES && is_quiet(run))
		pump_stop_splicing(run, PUMP_COPIES);
	return result;
}
