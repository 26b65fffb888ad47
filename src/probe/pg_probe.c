/* One server's connection and the question under way.
 *
 * CLOSED or IDLE, then ASKED until the next turn of the loop, CONNECTING where
 * there is no connection, QUERYING, and IDLE again; after a failure CLOSED. The
 * one timer starts the question and then limits it.
 *
 * libpq may change its socket in each step of a connect (it tries without TLS what
 * failed with it), so the event is taken off before every step. */
#include "probe/pg_probe.h"

#include <errno.h>
#include <linux/tcp.h>
#include <openssl/ssl.h>
#include <stddef.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "pg_private.h"
#include "pg_row.h"

/* What a connect, or one answer, may bring in all: certificates and settings in
 * the one case, a row of 200 bytes in the other. libpq makes room for whatever
 * length a server announces, so it must not get to read more. */
#define MAX_BYTES (64 * 1024)
/* libpq keeps some of what it is told for as long as the connection lives. */
#define MAX_CONNECTION_BYTES (1024 * 1024)

enum pg_state {
	PG_CLOSED,
	PG_IDLE,
	PG_ASKED,
	PG_CONNECTING,
	PG_QUERYING,
};

struct pg_probe {
	struct loop_garbage garbage;
	struct loop *loop;
	struct pg_probe_settings settings;
	const struct pg_probe_ops *ops;
	void *arg;
	enum pg_state state;
	struct addr addr;
	char *host;
	PGconn *conn; /* in CONNECTING, QUERYING and IDLE, and maybe in ASKED */
	struct event event;
	struct loop_timer timer;
	int64_t connected_ms;
	uint64_t bytes_before; /* of the connection, when this step began */
	bool was_kept;         /* from an earlier question: it may have died since */
	unsigned allowed;      /* the fullest of the queries that this server takes */
	unsigned query;        /* the one under way */
	bool has_row;
	struct probe_result result;
};

static void set_state(struct pg_probe *p, enum pg_state next)
{
	static const unsigned allowed_moves[] = {
		[PG_CLOSED] = BIT(PG_ASKED),
		[PG_IDLE] = BIT(PG_ASKED) | BIT(PG_CLOSED),
		[PG_ASKED] = BIT(PG_CONNECTING) | BIT(PG_QUERYING) | BIT(PG_CLOSED),
		[PG_CONNECTING] = BIT(PG_QUERYING) | BIT(PG_CLOSED) | BIT(PG_ASKED),
		[PG_QUERYING] = BIT(PG_IDLE) | BIT(PG_QUERYING) | BIT(PG_CONNECTING) |
				BIT(PG_CLOSED) | BIT(PG_ASKED),
	};

	CHECK(allowed_moves[p->state] & BIT(next));
	p->state = next;
}

/* Bytes that have come on this socket, read or not; 0 if the kernel cannot say:
 * then only time limits them. */
static uint64_t bytes_received(const struct pg_probe *p)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	if (getsockopt(PQsocket(p->conn), IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ||
	    size < offsetof(struct tcp_info, tcpi_bytes_received) +
			    sizeof(info.tcpi_bytes_received))
		return 0;
	return info.tcpi_bytes_received;
}

static bool sends_too_much(const struct pg_probe *p)
{
	uint64_t bytes = bytes_received(p);

	/* Less than before: libpq has made a new socket. */
	return bytes > MAX_BYTES && bytes - p->bytes_before > MAX_BYTES;
}

static void drop_connection(struct pg_probe *p)
{
	if (p->conn == NULL)
		return;
	event_del(&p->event);
	/* An idle one is ended politely; of others nothing may be waited for. */
	if (p->state != PG_IDLE && PQsocket(p->conn) >= 0)
		shutdown(PQsocket(p->conn), SHUT_RDWR);
	PQfinish(p->conn);
	p->conn = NULL;
}

/* The question is answered, or has failed for good. p may be gone afterwards. */
static void conclude(struct pg_probe *p)
{
	loop_timer_stop(&p->timer);
	if (probe_outcome_verdict(p->result.outcome) == PROBE_ANSWERED) {
		/* Those of a fuller question, or of a connection that is replaced. */
		p->result.sqlstate[0] = '\0';
		p->result.text[0] = '\0';
		p->was_kept = true;
		set_state(p, PG_IDLE);
	} else {
		drop_connection(p);
		set_state(p, PG_CLOSED);
	}
	p->result.answered_ms = clock_boot_ms();
	struct probe_result result = p->result;
	p->ops->answered(&result, p->arg);
}

static void fail(struct pg_probe *p, enum probe_outcome outcome, const char *text)
{
	p->result.outcome = outcome;
	probe_result_set_text(&p->result, text, strlen(text), NULL);
	conclude(p);
}

static void on_ready(evutil_socket_t fd, short what, void *arg);

static bool wait_for(struct pg_probe *p, short what)
{
	const short events = (short)(what | EV_PERSIST);

	/* The kept connection's mostly is what is wanted. */
	if (event_pending(&p->event, EV_READ | EV_WRITE, NULL) != 0 &&
	    event_get_events(&p->event) == events)
		return true;
	event_del(&p->event);
	event_assign(&p->event, p->loop->base, PQsocket(p->conn), events, on_ready, p);
	return event_add(&p->event, NULL) == 0;
}

static void read_connect_failure(struct pg_probe *p, bool was_connected)
{
	const struct pg_failure failure = {
		.message = PQerrorMessage(p->conn),
		.password = PQpass(p->conn),
		.was_connected = was_connected,
		.needs_password = PQconnectionNeedsPassword(p->conn) != 0,
	};

	pg_failure_read(&failure, &p->result);
	conclude(p);
}

static void ignore_notice(void *arg, const PGresult *result)
{
}

static void start_connecting(struct pg_probe *p)
{
	set_state(p, PG_CONNECTING);
	p->result.sqlstate[0] = '\0';
	p->was_kept = false;
	p->bytes_before = 0;
	p->conn = pg_conninfo_connect(p->settings.conninfo, &p->addr, p->host);
	if (p->conn == NULL) {
		fail(p, PROBE_ERROR, err_text(-ENOMEM));
		return;
	}
	PQsetErrorVerbosity(p->conn, PQERRORS_VERBOSE);
	PQsetNoticeReceiver(p->conn, ignore_notice, NULL);
	if (PQstatus(p->conn) == CONNECTION_BAD)
		read_connect_failure(p, false);
	else if (!wait_for(p, EV_WRITE))
		fail(p, PROBE_ERROR, err_text(-ENOMEM));
}

/* A kept connection that turns out to be dead is replaced once. */
static void handle_loss(struct pg_probe *p)
{
	if (!p->was_kept) {
		read_connect_failure(p, true);
		return;
	}
	drop_connection(p);
	start_connecting(p);
}

static void send_query(struct pg_probe *p)
{
	set_state(p, PG_QUERYING);
	p->has_row = false;
	p->result.sent_ms = clock_boot_ms();
	p->bytes_before = bytes_received(p);
	if (PQsendQuery(p->conn, pg_row_queries[p->query]) == 0) {
		handle_loss(p);
		return;
	}
	short more = PQflush(p->conn) > 0 ? EV_WRITE : 0;
	if (!wait_for(p, (short)(EV_READ | more)))
		fail(p, PROBE_ERROR, err_text(-ENOMEM));
}

/* TLS keeps 34 KB of buffers a connection, which rests nearly all of the time. */
static void save_memory(PGconn *conn)
{
	SSL *ssl = PQsslStruct(conn, "OpenSSL");

	if (ssl != NULL)
		SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
}

static void step_connect(struct pg_probe *p)
{
	bool was_connected = PQstatus(p->conn) != CONNECTION_STARTED;
	bool waits = true;

	if (sends_too_much(p)) {
		fail(p, PROBE_PROTOCOL, "it sends more than any connect needs");
		return;
	}
	event_del(&p->event);
	switch (PQconnectPoll(p->conn)) {
	case PGRES_POLLING_READING:
		waits = wait_for(p, EV_READ);
		break;
	case PGRES_POLLING_WRITING:
		waits = wait_for(p, EV_WRITE);
		break;
	case PGRES_POLLING_OK:
		p->connected_ms = clock_boot_ms();
		save_memory(p->conn);
		if (PQsetnonblocking(p->conn, 1) < 0)
			handle_loss(p);
		else
			send_query(p);
		return;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE:
		read_connect_failure(p, was_connected);
		return;
	}
	if (!waits)
		fail(p, PROBE_ERROR, err_text(-ENOMEM));
}

/* The answer */

/* No right to some function, or not having it, lasts; other errors may be of the
 * moment. */
static bool is_lasting(const char *sqlstate)
{
	return strncmp(sqlstate, "42", 2) == 0 || strncmp(sqlstate, "0A", 2) == 0;
}

static void finish_answer(struct pg_probe *p)
{
	if (p->has_row) {
		conclude(p);
	} else if (PQstatus(p->conn) != CONNECTION_OK) {
		handle_loss(p);
	} else if (p->query + 1 < PG_ROW_QUERIES) {
		p->query++;
		if (is_lasting(p->result.sqlstate))
			p->allowed = p->query;
		send_query(p);
	} else if (p->result.sqlstate[0] != '\0') {
		conclude(p);
	} else {
		fail(p, PROBE_PROTOCOL, "it answers nothing");
	}
}

/* libpq has nothing more to give until it can read, or the answer is over. */
static void read_answer(struct pg_probe *p)
{
	while (PQisBusy(p->conn) == 0) {
		PGresult *answer = PQgetResult(p->conn);
		if (answer == NULL) {
			finish_answer(p);
			return;
		}
		int r = p->has_row ? ERR_SYNTAX : pg_answer_read(answer, p->conn, &p->result);
		PQclear(answer);
		p->has_row = r == PG_ANSWER_ROW;
		if (r < 0) {
			fail(p, PROBE_PROTOCOL, "its answer makes no sense");
			return;
		}
	}
}

static void handle_readable(struct pg_probe *p, short what)
{
	if (sends_too_much(p)) {
		fail(p, PROBE_PROTOCOL, "it sends more than any answer has");
		return;
	}
	if ((what & EV_WRITE) && PQflush(p->conn) == 0 && !wait_for(p, EV_READ)) {
		fail(p, PROBE_ERROR, err_text(-ENOMEM));
		return;
	}
	if (PQconsumeInput(p->conn) == 0)
		handle_loss(p);
	else
		read_answer(p);
}

/* Something comes though nobody has asked: settings that have changed, or the end. */
static void handle_idle(struct pg_probe *p)
{
	bool is_asked = p->state == PG_ASKED;

	if (!sends_too_much(p) && PQconsumeInput(p->conn) != 0 && PQisBusy(p->conn) == 0 &&
	    PQstatus(p->conn) == CONNECTION_OK) {
		PGnotify *notification = PQnotifies(p->conn);
		if (notification == NULL)
			return;
		PQfreemem(notification); /* never wanted: it is out of step */
	}
	drop_connection(p);
	if (is_asked)
		return;
	set_state(p, PG_CLOSED);
	if (p->ops->lost != NULL)
		p->ops->lost(p->arg);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct pg_probe *p = arg;

	switch (p->state) {
	case PG_CONNECTING:
		step_connect(p);
		break;
	case PG_QUERYING:
		handle_readable(p, what);
		break;
	case PG_IDLE:
	case PG_ASKED:
		if (p->conn != NULL)
			handle_idle(p);
		break;
	case PG_CLOSED:
		break;
	}
}

static void begin(struct pg_probe *p)
{
	int64_t now = clock_boot_ms();

	probe_result_init(&p->result);
	p->result.sent_ms = now;
	p->query = p->allowed;
	loop_timer_start(&p->timer, p->settings.timeout_ms);
	if (p->conn != NULL && (now - p->connected_ms >= p->settings.max_age_ms ||
				p->bytes_before > MAX_CONNECTION_BYTES))
		drop_connection(p);
	if (p->conn != NULL)
		send_query(p);
	else
		start_connecting(p);
}

static const char *explain_timeout(const struct pg_probe *p)
{
	if (p->state == PG_QUERYING)
		return "no answer to the query";
	return PQstatus(p->conn) == CONNECTION_STARTED ? "connecting takes too long"
						       : "connected, but no session begins";
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct pg_probe *p = arg;

	switch (p->state) {
	case PG_ASKED:
		begin(p);
		break;
	case PG_CONNECTING:
	case PG_QUERYING:
		fail(p, PROBE_TIMEOUT, explain_timeout(p));
		break;
	case PG_CLOSED:
	case PG_IDLE:
		break;
	}
}

/* Life */

static void ask(struct pg_probe *p)
{
	set_state(p, PG_ASKED);
	loop_timer_start(&p->timer, 0);
}

void pg_probe_ask(struct pg_probe *probe)
{
	CHECK(!pg_probe_is_asking(probe) && probe->addr.sa.sa_family != AF_UNSPEC);
	ask(probe);
}

bool pg_probe_is_asking(const struct pg_probe *probe)
{
	return probe->state != PG_CLOSED && probe->state != PG_IDLE;
}

bool pg_probe_is_connected(const struct pg_probe *probe)
{
	return probe->conn != NULL && probe->state != PG_CONNECTING &&
	       clock_boot_ms() - probe->connected_ms < probe->settings.max_age_ms;
}

int pg_probe_set_address(struct pg_probe *probe, const struct addr *addr, const char *host)
{
	struct pg_probe *p = probe;
	bool same_host =
		host == NULL ? p->host == NULL : p->host != NULL && strcmp(host, p->host) == 0;

	if (same_host && addr_equal(addr, &p->addr))
		return 0;
	char *copy = host != NULL ? strdup(host) : NULL;
	if (host != NULL && copy == NULL)
		return -ENOMEM;
	free(p->host);
	p->host = copy;
	p->addr = *addr;
	p->allowed = 0;
	drop_connection(p);
	if (p->state == PG_IDLE)
		set_state(p, PG_CLOSED);
	if (p->state == PG_CONNECTING || p->state == PG_QUERYING)
		ask(p);
	return 0;
}

int pg_probe_new(struct loop *loop, const struct pg_probe_settings *settings,
		 const struct pg_probe_ops *ops, void *arg, struct pg_probe **ret_probe)
{
	struct pg_probe *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	p->loop = loop;
	p->settings = *settings;
	p->ops = ops;
	p->arg = arg;
	event_assign(&p->event, loop->base, -1, 0, on_ready, p);
	loop_timer_init(&p->timer, loop, on_timer, p);
	*ret_probe = p;
	return 0;
}

static void free_memory(struct loop_garbage *garbage)
{
	struct pg_probe *p = CONTAINER_OF(garbage, struct pg_probe, garbage);

	free(p->host);
	free(p);
}

void pg_probe_free(struct pg_probe **probe)
{
	struct pg_probe *p = TAKE_PTR(*probe);

	if (p == NULL)
		return;
	drop_connection(p);
	loop_timer_stop(&p->timer);
	loop_free_later(p->loop, &p->garbage, free_memory);
}
