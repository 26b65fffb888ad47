/* Accepting: pauses, resumes, and what may happen inside the callbacks. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>

#include "rig.h"
#include "worker/listener.h"

struct front {
	struct rig *rig;
	struct listener listener;
	struct addr addr;
	int fd;
	int allowed; /* how many more may be accepted */
	unsigned accepted;
	unsigned unused;
	unsigned paused;
	int error;       /* of the last pause */
	bool stop_in_cb; /* in accepted() */
};

static bool may_accept(void *arg)
{
	struct front *f = arg;

	return f->allowed-- > 0;
}

static void on_unused(int error, void *arg)
{
	((struct front *)arg)->unused++;
}

static void on_accepted(int fd, const struct addr *addr, void *arg)
{
	struct front *f = arg;

	f->accepted++;
	close(fd);
	if (f->stop_in_cb)
		listener_stop(&f->listener);
}

static void on_paused(int error, void *arg)
{
	struct front *f = arg;

	f->paused++;
	f->error = error;
}

static const struct listener_ops ops = {may_accept, on_unused, on_accepted, on_paused};

static int setup(void **state)
{
	struct front *f = calloc(1, sizeof(*f));

	rig_setup((void **)&f->rig);
	f->fd = listen_on_loopback(64, &f->addr);
	fcntl(f->fd, F_SETFL, O_NONBLOCK);
	f->allowed = 1000;
	assert_int_equal(listener_start(&f->listener, &f->rig->loop, f->fd, &ops, f), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct front *f = *state;

	if (f->listener.fd >= 0)
		listener_stop(&f->listener);
	close_fd(&f->fd);
	rig_teardown((void **)&f->rig);
	free(f);
	return 0;
}

static void connect_some(struct front *f, int fds[], int count)
{
	for (int i = 0; i < count; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], &f->addr.sa, addr_size(&f->addr)), 0);
	}
}

static void close_all(int fds[], int count)
{
	for (int i = 0; i < count; i++)
		close(fds[i]);
}

static bool three_accepted(void *arg)
{
	return ((struct front *)arg)->accepted == 3;
}

static bool is_paused(void *arg)
{
	return ((struct front *)arg)->paused > 0;
}

static void test_accepts_all_that_wait(void **state)
{
	struct front *f = *state;
	int fds[3];

	connect_some(f, fds, 3);
	rig_run_until(f->rig, three_accepted, f);
	close_all(fds, 3);
}

static void test_pauses_once_and_goes_on_when_told(void **state)
{
	struct front *f = *state;
	int fds[3];

	f->allowed = 1;
	connect_some(f, fds, 3);
	rig_run_until(f->rig, is_paused, f);
	rig_run_for(f->rig, 30);
	assert_int_equal(f->paused, 1); /* no spinning */
	assert_int_equal(f->error, 0);
	assert_int_equal(f->accepted, 1);
	f->allowed = 10;
	assert_int_equal(listener_resume(&f->listener), 0);
	rig_run_until(f->rig, three_accepted, f);
	close_all(fds, 3);
}

static void test_without_descriptors_it_pauses_and_loses_nobody(void **state)
{
	struct front *f = *state;
	struct rlimit before;
	int fds[3];

	connect_some(f, fds, 3);
	getrlimit(RLIMIT_NOFILE, &before);
	int lowest_free = dup(0);
	close(lowest_free);
	struct rlimit none = {(rlim_t)lowest_free, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	rig_run_until(f->rig, is_paused, f);
	rig_run_for(f->rig, 30);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(f->paused, 1);
	assert_int_equal(f->error, -EMFILE);
	assert_int_equal(f->unused, 1);
	assert_int_equal(listener_resume(&f->listener), 0);
	rig_run_until(f->rig, three_accepted, f);
	close_all(fds, 3);
}

static void test_may_be_stopped_in_its_callback(void **state)
{
	struct front *f = *state;
	int fds[3];

	f->stop_in_cb = true;
	connect_some(f, fds, 3);
	rig_run_for(f->rig, 30);
	assert_int_equal(f->accepted, 1);
	close_all(fds, 3);
}

int main(void)
{
#define FRONT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		FRONT_TEST(test_accepts_all_that_wait),
		FRONT_TEST(test_pauses_once_and_goes_on_when_told),
		FRONT_TEST(test_without_descriptors_it_pauses_and_loses_nobody),
		FRONT_TEST(test_may_be_stopped_in_its_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
