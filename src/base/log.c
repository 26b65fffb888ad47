/* The bounded ring between all threads that log and the one that writes.
 *
 * Producers claim a slot by moving `head`; each slot carries the turn at which
 * it may be written or read, so that no lock is needed and a producer that is
 * preempted in its slot delays only the writer (Vyukov's bounded queue). */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/log_line.h"
#include "base/thread.h"

#define SLOT_COUNT 512 /* a power of two */
#define LINE_SIZE  1000

struct slot {
	/* Written by whoever owns the slot in this turn, with release; read by the
	 * next owner with acquire: protects length and the line. */
	atomic_uint turn;
	unsigned length;
};

static struct {
	struct log_settings settings;
	atomic_bool running; /* written by start and stop; release/acquire: the ring is set up */
	atomic_bool stopping;
	atomic_uint head;     /* next slot to claim: every producer, relaxed, order is the slot's */
	unsigned tail;        /* the writer's own */
	atomic_uint lost;     /* lines dropped since last reported; a mere count */
	atomic_bool sleeping; /* the writer is about to wait: seq_cst against the slots' turns */
	int wakeup;
	pthread_t writer;
	struct slot slots[SLOT_COUNT];
	char lines[SLOT_COUNT][LINE_SIZE]; /* apart: untouched until used */
} ring = {.settings = {.level = LOG_LEVEL_INFO, .format = LOG_FORMAT_LOGFMT}, .wakeup = -1};

static void write_fully(const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(STDERR_FILENO, data, size);
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
			(void)poll(&p, 1, -1);
		} else if (n < 0 && errno != EINTR) {
			return; /* stderr is gone: nobody left to tell */
		}
	}
}

/* Formats and writes at once: for who is alone, or the writer. */
static void write_event(const struct log_event *event)
{
	char text[LINE_SIZE];

	write_fully(text, log_line_format(event, (enum log_format)ring.settings.format,
					  ring.settings.color, text, sizeof(text)));
}

static struct slot *claim_slot(unsigned *ret_position)
{
	unsigned position = atomic_load_explicit(&ring.head, memory_order_relaxed);

	for (;;) {
		struct slot *slot = &ring.slots[position % SLOT_COUNT];
		int ahead =
			(int)(atomic_load_explicit(&slot->turn, memory_order_acquire) - position);

		if (ahead < 0)
			return NULL; /* full */
		if (ahead > 0) {
			position = atomic_load_explicit(&ring.head, memory_order_relaxed);
		} else if (atomic_compare_exchange_weak_explicit(&ring.head, &position,
								 position + 1, memory_order_relaxed,
								 memory_order_relaxed)) {
			*ret_position = position;
			return slot;
		}
	}
}

static void wake_writer(void)
{
	if (atomic_exchange(&ring.sleeping, false))
		(void)!write(ring.wakeup, &(uint64_t){1}, sizeof(uint64_t));
}

bool log_enabled(enum log_level level)
{
	return (int)level <= ring.settings.level;
}

void log_write(enum log_level level, const char *file, int line, const char *message,
	       const struct log_field *fields)
{
	struct log_event event = {level, file, line, message, fields, {0}};
	unsigned position;

	if (!log_enabled(level))
		return;
	clock_gettime(CLOCK_REALTIME, &event.wall);
	if (!atomic_load_explicit(&ring.running, memory_order_acquire)) {
		write_event(&event);
		return;
	}
	struct slot *slot = claim_slot(&position);
	if (slot == NULL) {
		atomic_fetch_add_explicit(&ring.lost, 1, memory_order_relaxed);
		return;
	}
	slot->length = (unsigned)log_line_format(&event, (enum log_format)ring.settings.format,
						 ring.settings.color,
						 ring.lines[position % SLOT_COUNT], LINE_SIZE);
	atomic_store(&slot->turn, position + 1);
	wake_writer();
}

static bool write_one(void)
{
	struct slot *slot = &ring.slots[ring.tail % SLOT_COUNT];

	if (atomic_load(&slot->turn) != ring.tail + 1)
		return false;
	write_fully(ring.lines[ring.tail % SLOT_COUNT], slot->length);
	atomic_store_explicit(&slot->turn, ring.tail + SLOT_COUNT, memory_order_release);
	ring.tail++;
	return true;
}

/* Not by way of the ring: when that is full again, the count itself would be lost. */
static void report_lost(void)
{
	unsigned lost = atomic_exchange_explicit(&ring.lost, 0, memory_order_relaxed);
	const struct log_field fields[] = {log_number("count", lost),
					   {LOG_FIELD_END, NULL, NULL, 0}};
	struct log_event event = {LOG_LEVEL_WARN, __FILE__,
				  __LINE__,       "log: lines were lost, stderr was too slow",
				  fields,         {0}};

	if (lost == 0 || !log_enabled(event.level))
		return;
	clock_gettime(CLOCK_REALTIME, &event.wall);
	write_event(&event);
}

static void *run_writer(void *arg)
{
	uint64_t rings;

	for (;;) {
		while (write_one())
			;
		report_lost();
		/* Sleep only if nothing came between the last look and the flag. */
		atomic_store(&ring.sleeping, true);
		if (write_one()) {
			atomic_store(&ring.sleeping, false);
			continue;
		}
		if (atomic_load(&ring.stopping))
			return NULL;
		(void)!read(ring.wakeup, &rings, sizeof(rings));
	}
}

int log_start(const struct log_settings *settings)
{
	ring.settings = *settings;
	for (unsigned i = 0; i < SLOT_COUNT; i++)
		atomic_init(&ring.slots[i].turn, i);
	ring.wakeup = eventfd(0, EFD_CLOEXEC);
	if (ring.wakeup < 0)
		return -errno;
	int r = thread_start(&ring.writer, "log", run_writer, NULL);
	if (r < 0) {
		close_fd(&ring.wakeup);
		return r;
	}
	atomic_store_explicit(&ring.running, true, memory_order_release);
	return 0;
}

void log_stop(int limit_ms)
{
	if (!atomic_load(&ring.running))
		return;
	atomic_store(&ring.stopping, true);
	(void)!write(ring.wakeup, &(uint64_t){1}, sizeof(uint64_t));
	/* A writer that is stuck in stderr keeps its descriptor and its ring. */
	if (thread_join_within(ring.writer, limit_ms))
		atomic_store(&ring.running, false);
}
