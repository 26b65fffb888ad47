/* Many threads that log, and a reader of stderr that comes late and is slow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define PRODUCERS 6
#define LINES     4000

static int stderr_before;
static int reader_end;

/* Standard error becomes a small pipe. */
static void redirect(void)
{
	int fds[2];

	stderr_before = dup(STDERR_FILENO);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	(void)fcntl(fds[1], F_SETPIPE_SZ, 4096);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	reader_end = fds[0];
}

static void restore(void)
{
	dup2(stderr_before, STDERR_FILENO);
	close(stderr_before);
}

static void *produce(void *arg)
{
	int64_t producer = (int64_t)(intptr_t)arg;

	for (int64_t i = 0; i < LINES; i++)
		log_info("line of a producer", log_number("producer", producer),
			 log_number("number", i), log_text("more", "text \"quoted\""));
	return NULL;
}

struct heard {
	int64_t next[PRODUCERS]; /* the least number that may come now */
	int64_t lines;
	int64_t lost;
	int64_t broken;
};

static void hear_line(struct heard *h, const char *line)
{
	const char *found = strstr(line, " producer=");
	long long producer;
	long long number;

	if (found != NULL &&
	    sscanf(found, " producer=%lld number=%lld more=", &producer, &number) == 2 &&
	    producer < PRODUCERS && number >= h->next[producer] &&
	    strstr(found, "more=\"text \\\"quoted\\\"\"") != NULL) {
		h->next[producer] = number + 1;
		h->lines++;
		return;
	}
	found = strstr(line, "lines were lost");
	if (found != NULL && sscanf(strstr(found, "count="), "count=%lld", &number) == 1)
		h->lost += number;
	else
		h->broken++;
}

static void *consume(void *arg)
{
	struct heard *h = arg;
	FILE *in = fdopen(reader_end, "r");
	char line[2000];

	while (fgets(line, sizeof(line), in) != NULL) {
		hear_line(h, line);
		if (h->lines % 64 == 0)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	fclose(in);
	return NULL;
}

static void run_producers(intptr_t first, intptr_t end)
{
	pthread_t threads[PRODUCERS];

	for (intptr_t i = first; i < end; i++)
		pthread_create(&threads[i], NULL, produce, (void *)i);
	for (intptr_t i = first; i < end; i++)
		pthread_join(threads[i], NULL);
}

static void test_every_line_arrives_whole_or_is_counted_as_lost(void **state)
{
	struct log_settings settings = {.level = LOG_LEVEL_INFO, .format = LOG_FORMAT_LOGFMT};
	struct heard heard = {0};
	pthread_t consumer;

	redirect();
	assert_int_equal(log_start(&settings), 0);
	/* Nobody reads yet: who logs is not held up. */
	run_producers(0, PRODUCERS / 2);
	pthread_create(&consumer, NULL, consume, &heard);
	run_producers(PRODUCERS / 2, PRODUCERS);
	log_stop(60000);
	restore(); /* the last writer: the consumer sees the end */
	pthread_join(consumer, NULL);
	print_message("%lld lines, %lld lost\n", (long long)heard.lines, (long long)heard.lost);
	assert_int_equal(heard.broken, 0);
	assert_int_equal(heard.lines + heard.lost, PRODUCERS * LINES);
	assert_true(heard.lines >= 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_line_arrives_whole_or_is_counted_as_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
