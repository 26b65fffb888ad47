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

static bool four_accepted(void *arg)
{
	return ((struct front *)arg)->accepted == 4;
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

static bool nobody_waits(void *arg)
{
	return !((struct front *)arg)->listener.is_sifting;
}

/* Who waits, and who has closed right after a CancelRequest, as some drivers do. */
static void test_who_gave_up_while_nobody_was_accepted_is_not_accepted(void **state)
{
	static const uint8_t cancel[16] = {0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e};
	static const uint8_t session[9] = {0, 0, 0, 9, 0, 3, 0, 0, 0};
	struct front *f = *state;
	int fds[5];

	listener_pause(&f->listener);
	connect_some(f, fds, 5);
	assert_int_equal(send(fds[1], session, sizeof(session), 0), sizeof(session));
	assert_int_equal(send(fds[2], session, sizeof(session), 0), sizeof(session));
	assert_int_equal(send(fds[3], cancel, sizeof(cancel), 0), sizeof(cancel));
	close(fds[0]);
	close(fds[2]);
	close(fds[3]);
	listener_sift(&f->listener);
	assert_int_equal(listener_resume(&f->listener), 0);
	rig_run_until(f->rig, nobody_waits, f);
	assert_int_equal(f->accepted, 3);
	close(fds[1]);
	close(fds[4]);
	/* Only those who had to wait are looked at. */
	connect_some(f, fds, 1);
	close(fds[0]);
	rig_run_until(f->rig, four_accepted, f);
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
		FRONT_TEST(test_who_gave_up_while_nobody_was_accepted_is_not_accepted),
		FRONT_TEST(test_without_descriptors_it_pauses_and_loses_nobody),
		FRONT_TEST(test_may_be_stopped_in_its_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
