/* Copying pump: reads into the worker's scratch buffer and writes at once, so
 * that an idle or fast session owns no buffer. */
#include "session/pump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

/* Reads in one run: bounded, so that a stream does not starve the others. */
#define READS_PER_RUN 4

void pump_init(struct pump *pump)
{
	*pump = (struct pump){.state = PUMP_MOVING};
}

void pump_deinit(struct pump *pump)
{
	free(TAKE_PTR(pump->held));
}

void pump_break(struct pump *pump)
{
	free(TAKE_PTR(pump->held));
	pump->state = PUMP_BROKEN;
}

/* Sends what the sink takes now: the count, 0 when it takes nothing, or -1. */
static ssize_t send_some(struct pump *pump, int sink, const uint8_t *data, size_t size)
{
	ssize_t n;

	do {
		n = send(sink, data, size, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	pump->bytes += (uint64_t)n;
	return n;
}

static enum pump_result send_held(struct pump *pump, int sink)
{
	ssize_t n = send_some(pump, sink, pump->held + pump->held_sent,
			      pump->held_size - pump->held_sent);

	if (n < 0) {
		pump_break(pump);
		return PUMP_SINK_FAILED;
	}
	pump->held_sent += (uint32_t)n;
	if (pump->held_sent == pump->held_size)
		free(TAKE_PTR(pump->held));
	return PUMP_RAN;
}

static enum pump_result hold(struct pump *pump, const uint8_t *data, size_t size)
{
	pump->held = malloc(size);
	if (pump->held == NULL)
		return PUMP_NO_MEMORY;
	memcpy(pump->held, data, size);
	pump->held_size = (uint32_t)size;
	pump->held_sent = 0;
	return PUMP_RAN;
}

static enum pump_result forward(struct pump *pump, int sink, const uint8_t *data, size_t size)
{
	ssize_t n = send_some(pump, sink, data, size);

	if (n < 0) {
		pump_break(pump);
		return PUMP_SINK_FAILED;
	}
	return (size_t)n < size ? hold(pump, data + n, size - (size_t)n) : PUMP_RAN;
}

enum pump_result pump_run(struct pump *pump, int source, int sink, struct pump_scratch *scratch,
			  pump_gate *gate, void *arg)
{
	if (pump->held != NULL) {
		if (gate != NULL && !gate(arg))
			return PUMP_NOT_PERMITTED;
		enum pump_result result = send_held(pump, sink);
		if (result != PUMP_RAN)
			return result;
	}
	for (int i = 0; i < READS_PER_RUN && pump_wants_read(pump); i++) {
		ssize_t n = recv(source, scratch->data, scratch->size, 0);
		if (n == 0) {
			pump->state = PUMP_FINISHED;
			return PUMP_RAN;
		}
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? PUMP_RAN : PUMP_SOURCE_FAILED;
		if (gate != NULL && !gate(arg))
			return PUMP_NOT_PERMITTED;
		enum pump_result result = forward(pump, sink, scratch->data, (size_t)n);
		if (result != PUMP_RAN)
			return result;
		if ((size_t)n < scratch->size)
			break; /* most likely all there was; the loop tells of more */
	}
	return PUMP_RAN;
}
