/* worker/drop_barrier: the minimum over all workers, and a ring for each mark. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "worker/drop_barrier.h"

static void test_drained_is_what_the_slowest_worker_has_carried_out(void **state)
{
	static const struct {
		unsigned worker;
		uint64_t mark;
		uint64_t drained;
	} steps[] = {
		{0, 1, 0}, {1, 1, 0}, {2, 1, 1}, {2, 7, 1}, {0, 2, 1},          {1, 3, 2},
		{0, 7, 3}, {0, 7, 3}, {1, 8, 7}, {2, 9, 7}, {0, UINT64_MAX, 8},
	};
	struct drop_barrier barrier;
	struct wakeup control = {.fd = eventfd(0, EFD_NONBLOCK)};

	drop_barrier_init(&barrier, 3, &control);
	assert_int_equal(drop_barrier_drained(&barrier), 0);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		drop_barrier_mark(&barrier, steps[i].worker, steps[i].mark);
		assert_int_equal(drop_barrier_drained(&barrier), steps[i].drained);
	}
	close_fd(&control.fd);
}

static void test_each_mark_rings_control(void **state)
{
	struct drop_barrier barrier;
	struct wakeup control = {.fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE)};
	uint64_t rings;

	drop_barrier_init(&barrier, 2, &control);
	drop_barrier_mark(&barrier, 0, 1);
	drop_barrier_mark(&barrier, 1, 1);
	assert_int_equal(read(control.fd, &rings, sizeof(rings)), sizeof(rings));
	assert_int_equal(read(control.fd, &rings, sizeof(rings)), sizeof(rings));
	assert_int_equal(read(control.fd, &rings, sizeof(rings)), -1);
	close_fd(&control.fd);
}

static void test_the_most_workers_count_too(void **state)
{
	struct drop_barrier barrier;
	struct wakeup control = {.fd = eventfd(0, EFD_NONBLOCK)};

	drop_barrier_init(&barrier, DROP_BARRIER_MAX_WORKERS, &control);
	for (unsigned i = 0; i < DROP_BARRIER_MAX_WORKERS; i++) {
		assert_int_equal(drop_barrier_drained(&barrier), 0);
		drop_barrier_mark(&barrier, i, 5);
	}
	assert_int_equal(drop_barrier_drained(&barrier), 5);
	close_fd(&control.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drained_is_what_the_slowest_worker_has_carried_out),
		cmocka_unit_test(test_each_mark_rings_control),
		cmocka_unit_test(test_the_most_workers_count_too),
	};

	return cmocka_run_group_tests_name("drop_barrier", tests, NULL, NULL);
}
