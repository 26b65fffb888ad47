/* The file store while its disk is slow: rename() and fstat() of this program
 * stand in for the file system and wait for a gate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "store/store.h"

static atomic_bool gate_closed;
static atomic_int waiting; /* calls at the gate */
static atomic_int renames;

static void pass_gate(void)
{
	atomic_fetch_add(&waiting, 1);
	while (atomic_load(&gate_closed))
		nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
	atomic_fetch_sub(&waiting, 1);
}

int rename(const char *from, const char *to)
{
	pass_gate();
	atomic_fetch_add(&renames, 1);
	return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int fstat(int fd, struct stat *status)
{
	pass_gate();
	return fstatat(fd, "", status, AT_EMPTY_PATH);
}

struct rig {
	char directory[64];
	struct loop loop;
	struct store *store;
	int results; /* callbacks */
	int error;   /* of the last */
	int changes;
	uint64_t revision; /* of the last listing */
	char last[16];     /* value of "b/key" in it; "": there is none */
};

static void clean(const char *directory)
{
	char path[128];
	static const char *const names[] = {"key", "a/b/key"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/a/b", directory);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/a", directory);
	rmdir(path);
	rmdir(directory);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct store_settings settings = {.backend = "file", .timeout_ms = 100};
	const char *problem;

	strcpy(r->directory, "/tmp/pgsplice-store-XXXXXX");
	assert_non_null(mkdtemp(r->directory));
	settings.endpoints = r->directory;
	assert_int_equal(loop_init(&r->loop), 0);
	assert_int_equal(store_open(&settings, &r->loop, NULL, &r->store, &problem), 0);
	atomic_store(&gate_closed, false);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	atomic_store(&gate_closed, false);
	store_close(&r->store);
	loop_deinit(&r->loop);
	clean(r->directory);
	free(r);
	return 0;
}

static void run_until_results(struct rig *r, int results)
{
	int64_t until_ms = clock_boot_ms() + 5000;

	while (r->results < results) {
		assert_true(clock_boot_ms() < until_ms);
		event_base_loop(r->loop.base, EVLOOP_ONCE);
	}
}

static void wait_at_gate(void)
{
	int64_t until_ms = clock_boot_ms() + 5000;

	while (atomic_load(&waiting) == 0) {
		assert_true(clock_boot_ms() < until_ms);
		sched_yield();
	}
}

static void on_done(int error, const char *text, void *arg)
{
	struct rig *r = arg;

	r->results++;
	r->error = error;
}

static void on_get(int error, const char *text, const struct store_value *value, void *arg)
{
	struct rig *r = arg;

	assert_true((error == 0) == (value != NULL));
	on_done(error, text, r);
}

static void put(struct rig *r, const char *text)
{
	struct store_request *request;

	assert_int_equal(
		store_put(r->store, "a/b/key", text, strlen(text), 1000, on_done, r, &request), 0);
}

static void assert_content(struct rig *r, const char *text)
{
	char path[128];
	char content[64] = "";

	snprintf(path, sizeof(path), "%s/a/b/key", r->directory);
	FILE *in = fopen(path, "r");
	assert_non_null(in);
	assert_non_null(fgets(content, sizeof(content), in));
	fclose(in);
	assert_string_equal(content, text);
}

static void test_write_that_hangs_times_out_and_later_ones_keep_their_order(void **state)
{
	struct rig *r = *state;

	atomic_store(&gate_closed, true);
	put(r, "first");
	wait_at_gate();
	run_until_results(r, 1);
	assert_int_equal(r->error, -ETIMEDOUT);
	put(r, "second");
	atomic_store(&gate_closed, false);
	run_until_results(r, 2);
	assert_int_equal(r->error, 0);
	assert_content(r, "second");
}

static void test_read_that_hangs_times_out_once(void **state)
{
	struct rig *r = *state;
	struct store_request *request;

	put(r, "text");
	run_until_results(r, 1);
	atomic_store(&gate_closed, true);
	assert_int_equal(store_get(r->store, "a/b/key", on_get, r, &request), 0);
	wait_at_gate();
	run_until_results(r, 2);
	assert_int_equal(r->error, -ETIMEDOUT);
	atomic_store(&gate_closed, false);
	assert_int_equal(store_get(r->store, "a/b/key", on_get, r, &request), 0);
	run_until_results(r, 3);
	assert_int_equal(r->error, 0);
}

static void test_request_cancelled_while_it_runs_is_not_told(void **state)
{
	struct rig *r = *state;
	struct store_request *request;

	atomic_store(&gate_closed, true);
	assert_int_equal(store_put(r->store, "a/b/key", "x", 1, 1000, on_done, r, &request), 0);
	wait_at_gate();
	store_request_cancel(&request);
	put(r, "y");
	atomic_store(&gate_closed, false);
	run_until_results(r, 1);
	event_base_loop(r->loop.base, EVLOOP_NONBLOCK);
	assert_int_equal(r->results, 1);
	assert_content(r, "y");
}

static void on_change(const struct store_value *value, void *arg)
{
	((struct rig *)arg)->changes++;
}

static void test_closing_while_busy_tells_nobody(void **state)
{
	struct rig *r = *state;
	struct store_watch *watch;
	struct store_request *request;

	assert_int_equal(store_watch_start(r->store, "a/b/key", on_change, r, &watch), 0);
	for (int i = 0; i < 50; i++) {
		put(r, "busy");
		assert_int_equal(store_get(r->store, "a/b/key", on_get, r, &request), 0);
	}
	event_base_loop(r->loop.base, EVLOOP_NONBLOCK);
	int before = r->results;
	store_watch_stop(&watch);
	store_close(&r->store);
	event_base_loop(r->loop.base, EVLOOP_NONBLOCK);
	assert_int_equal(r->results, before);
}

static void take_listing(struct rig *r, const struct store_listing *listing)
{
	assert_true(listing->revision > r->revision);
	assert_true(listing->count <= 1);
	r->revision = listing->revision;
	*r->last = '\0';
	if (listing->count == 0)
		return;
	const struct store_item *item = &listing->items[0];
	assert_string_equal(item->key, "b/key");
	assert_true(item->create_revision <= item->mod_revision);
	assert_true(item->mod_revision <= listing->revision);
	snprintf(r->last, sizeof(r->last), "%s", item->data);
}

static void on_update(const struct store_update *update, void *arg)
{
	struct rig *r = arg;

	assert_true(update->is_fresh == (r->changes == 0));
	take_listing(r, &update->listing);
	r->changes++;
}

static void on_list(int error, const char *text, const struct store_listing *listing, void *arg)
{
	assert_int_equal(error, 0);
	take_listing(arg, listing);
	on_done(error, text, arg);
}

static void test_a_tree_is_listed_and_watched_while_it_is_written(void **state)
{
	struct rig *r = *state;
	struct store_watch *watch;
	struct store_request *request;
	char text[16];

	assert_int_equal(store_watch_tree_start(r->store, "/a/", on_update, r, &watch), 0);
	for (int i = 0; i < 50; i++) {
		snprintf(text, sizeof(text), "%d", i);
		put(r, text);
		assert_int_equal(store_list(r->store, "/a/", on_list, r, &request), 0);
		run_until_results(r, 2 * i + 2);
		assert_string_equal(r->last, text);
	}
	assert_int_equal(store_delete(r->store, "a/b/key", on_done, r, &request), 0);
	int64_t until_ms = clock_boot_ms() + 5000;
	while (*r->last != '\0') {
		assert_true(clock_boot_ms() < until_ms);
		event_base_loop(r->loop.base, EVLOOP_ONCE);
	}
	assert_true(r->changes > 1);
	store_watch_stop(&watch);
}

static void test_only_a_prefix_names_a_tree(void **state)
{
	struct rig *r = *state;
	struct store_watch *watch;
	struct store_request *request;
	static const char *const bad[] = {"", "a", "a/b", "../", "a/../", "a//b/", "a/./"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(store_list(r->store, bad[i], on_list, r, &request), -EINVAL);
		assert_int_equal(store_watch_tree_start(r->store, bad[i], on_update, r, &watch),
				 -EINVAL);
	}
}

/* The last one: what the stuck thread uses stays behind. */
static void test_closing_does_not_wait_for_a_stuck_disk(void **state)
{
	struct rig *r = *state;

	atomic_store(&gate_closed, true);
	put(r, "stuck");
	wait_at_gate();
	int64_t began_ms = clock_boot_ms();
	store_close(&r->store);
	assert_true(clock_boot_ms() - began_ms < 1000);
	int before = atomic_load(&renames);
	atomic_store(&gate_closed, false);
	while (atomic_load(&renames) == before)
		sched_yield();
}

#if defined(__SANITIZE_ADDRESS__)
/* That is what the last test does on purpose. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:file_store_open\nleak:file_start\nleak:store_request_init\nleak:strbuf\nleak:"
	       "file_io\n";
}
#endif
#if defined(__SANITIZE_THREAD__)
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "report_thread_leaks=0";
}
#endif

int main(void)
{
#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_write_that_hangs_times_out_and_later_ones_keep_their_order),
		STORE_TEST(test_read_that_hangs_times_out_once),
		STORE_TEST(test_request_cancelled_while_it_runs_is_not_told),
		STORE_TEST(test_closing_while_busy_tells_nobody),
		STORE_TEST(test_a_tree_is_listed_and_watched_while_it_is_written),
		STORE_TEST(test_only_a_prefix_names_a_tree),
		STORE_TEST(test_closing_does_not_wait_for_a_stuck_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
