/* Start, signals, stop. The main thread only waits: for a signal, and for the
 * control thread to be done. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"
#include "config/config.h"
#include "control/control.h"
#include "control/observer.h"

#define DEFAULT_KEEPALIVE_S 15 /* idle and interval, as Go's, hence stolon-proxy's */

/* For the whole end, whatever hangs. */
#define STOP_LIMIT_MS 1800

/* For the last lines, should stderr be slow. */
#define LOG_LIMIT_MS 300

static struct keepalive_settings with_defaults(struct keepalive_settings keepalive)
{
	if (keepalive.idle_s == 0)
		keepalive.idle_s = DEFAULT_KEEPALIVE_S;
	if (keepalive.interval_s == 0)
		keepalive.interval_s = DEFAULT_KEEPALIVE_S;
	return keepalive;
}

/* One is kept to each server that is asked: none that leads may be lost because all
 * descriptors are the clients'. */
static int kept_descriptors(const struct config *config)
{
	bool asks = config->members.count > 0 || config->cluster_format == CLUSTER_FORMAT_PATRONI;

	return asks ? OBSERVER_MOST_SERVERS : 0;
}

static struct control_settings settings_of(const struct config *config)
{
	struct direct_settings direct = config->direct;

	direct.listening.keepalive = with_defaults(config->client_keepalive);
	direct.listening.in_use_hint =
		" (by PostgreSQL? See --direct-port and --direct-listen-address)";
	return (struct control_settings){
		.stolon = {config->cluster_name, config->store_prefix, config->store},
		.members = config->members,
		.format = (enum cluster_format)config->cluster_format,
		.patroni = config->patroni,
		.dns = config->dns,
		.listening = {.addresses = config->listen.addresses.items,
			      .count = config->listen.addresses.count,
			      .port = config->listen.port,
			      .keepalive = with_defaults(config->client_keepalive)},
		.direct = direct,
		.stop_listening = config->stop_listening,
		.workers = {.workers = (unsigned)config->workers,
			    .kept_descriptors = kept_descriptors(config),
			    .session = {.connect_timeout_ms = config->connect_timeout_ms,
					.splice = (enum splice_mode)config->splice,
					.server_keepalive =
						with_defaults((struct keepalive_settings){0})}},
	};
}

static int write_pidfile(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	return dprintf(fd, "%d\n", (int)getpid()) < 0 ? -errno : 0;
}

/* Blocks the signals that stop us, and the one that others reload at, in all threads to
 * come, and returns a descriptor to read them from. */
static int take_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Ends the process if the orderly way takes too long: the kernel then aborts
 * what is left. */
static void *limit_the_end(void *arg)
{
	struct timespec limit = {.tv_sec = STOP_LIMIT_MS / MS_PER_S,
				 .tv_nsec = STOP_LIMIT_MS % MS_PER_S * NS_PER_MS};

	nanosleep(&limit, NULL);
	_exit(EXIT_SUCCESS);
}

/* Returns when the control thread is done; ends the process at a second signal. */
static void wait_for_the_end(struct control *control, int signals, int done)
{
	struct pollfd fds[] = {{.fd = done, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	struct signalfd_siginfo info;
	pthread_t limit;
	bool stopping = false;

	while (fds[0].revents == 0) {
		if (poll(fds, 2, -1) < 0 || fds[1].revents == 0 ||
		    read(signals, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo == SIGHUP) {
			log_warn("there is nothing to reload: other options need a restart",
				 log_text("signal", "HUP"));
			continue;
		}
		if (stopping)
			_exit(EXIT_FAILURE);
		stopping = true;
		log_info("stopping", log_text("signal", sigabbrev_np((int)info.ssi_signo)));
		control_stop(control);
		if (thread_start(&limit, "end", limit_the_end, NULL) == 0)
			pthread_detach(limit);
	}
}

/* Before any other thread runs: it takes variables out of the environment. */
static int read_account(const struct config *config, struct pg_conninfo **ret)
{
	char problem[PG_CONNINFO_TEXT_SIZE];
	const char *text = config->members.count > 0 ? config->members.probing.conninfo
						     : config->patroni.probing.conninfo;
	int r = 0;

	*ret = NULL;
	if (text != NULL)
		r = pg_conninfo_new(text, ret, problem);
	if (r < 0)
		fprintf(stderr, "--probe-conninfo: %s\n", problem);
	return r;
}

static int run(const struct config *config, const struct pg_conninfo *account)
{
	struct control_settings settings = settings_of(config);
	struct control *control;
	const char *problem;
	AUTO_CLOSE int signals = take_signals();
	AUTO_CLOSE int done = eventfd(0, EFD_CLOEXEC);

	settings.members.probing.account = account;
	settings.patroni.probing.account = account;
	settings.members.dns_timeout_ms = config->store.timeout_ms;
	int r = signals < 0 || done < 0 ? -errno : log_start(&config->log);
	if (r < 0) {
		fprintf(stderr, "pgsplice: cannot start: %s\n", err_text(r));
		return EXIT_FAILURE;
	}
	log_info("pgsplice starts", log_text("version", PGSPLICE_VERSION),
		 log_text("cluster", *config->cluster_name != '\0' ? config->cluster_name : NULL),
		 log_number("workers", config->workers));
	if (config->metrics_listen_address != NULL)
		log_warn("--metrics-listen-address has no effect in this version");
	r = config->pidfile == NULL ? 0 : write_pidfile(config->pidfile);
	if (r < 0) {
		log_error("cannot write --pidfile", log_text("path", config->pidfile),
			  log_text("error", err_text(r)));
		log_stop(LOG_LIMIT_MS);
		return EXIT_FAILURE;
	}
	r = control_start(&settings, done, &control, &problem);
	if (r < 0) {
		log_error(problem, log_text("error", err_text(r)));
	} else {
		wait_for_the_end(control, signals, done);
		control_join(&control);
		log_info("stopped");
	}
	if (config->pidfile != NULL)
		unlink(config->pidfile);
	log_stop(LOG_LIMIT_MS);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct config config;
	struct pg_conninfo *account = NULL;
	int status = EXIT_FAILURE;

	switch (config_load(&config, argc, argv, environ, stdout, stderr)) {
	case CONFIG_RUN:
		if (read_account(&config, &account) == 0)
			status = run(&config, account);
		pg_conninfo_free(&account);
		break;
	case CONFIG_DONE:
		status = EXIT_SUCCESS;
		break;
	case CONFIG_REFUSED:
		break;
	}
	config_deinit(&config);
	return status;
}
