/* A cluster that nobody keeps a record of: its servers are asked, and the election says
 * who leads.
 *
 *   names -> places -> observer -> answers -> election -> view
 *
 * There is nobody to acknowledge to. The deadline of a route is that of the election:
 * a view counts as read so long before it that control's deadline is the same. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "members_private.h"

/* Every answer may change positions and move the deadline on; once in a while is often
 * enough for that. */
static bool is_worth_telling(const struct members *m, const struct election_decision *d)
{
	int64_t pause_ms = m->settings->probing.interval_ms / 2;

	return m->is_read_due || m->told_ms == 0 || members_digest(m, d) != m->told ||
	       d->valid_until_ms < m->valid_until_ms || clock_boot_ms() - m->told_ms >= pause_ms;
}

/* Tells control what is now. */
static void tell(struct members *m)
{
	const struct election_decision *d = election_decision(m->election);
	struct watch_update update = {.outcome = WATCH_VIEW, .text = ""};

	update.read_sent_ms =
		d->leader == NULL ? clock_boot_ms() : d->valid_until_ms - members_window_ms(m);
	update.view = members_make_view(m, d);
	if (update.view == NULL) {
		/* Nothing new: the route that there is ends by itself. */
		update.outcome = WATCH_UNREACHABLE;
		update.text = err_text(-ENOMEM);
	}
	view_unref(&m->view);
	m->view = update.view;
	m->told = members_digest(m, d);
	m->told_ms = clock_boot_ms();
	m->valid_until_ms = d->valid_until_ms;
	m->is_read_due = false;
	m->cb(&update, m->arg);
}

static void log_decision(struct members *m, const struct election_decision *d)
{
	char text[MEMBERS_TEXT_SIZE];

	if (m->reason == d->reason && m->term == d->term && m->has_logged)
		return;
	m->has_logged = true;
	m->reason = d->reason;
	m->term = d->term;
	election_describe(m->election, text, sizeof(text));
	LOG_AT(election_reason_is_alarming(d->reason) ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "members",
	       log_text("state", text), log_text("reason", election_reason_name(d->reason)),
	       log_number("answering", (int64_t)d->answering), log_number("timeline", d->timeline));
}

/* What a human has to see to, whoever is routed meanwhile. */
static void log_alarms(struct members *m)
{
	for (size_t i = 0; i < election_member_count(m->election); i++) {
		const struct election_member *member = election_member_at(m->election, i);
		const struct member_place *p = members_place_of(m, i);
		struct server *server = p == NULL ? NULL : p->data;
		bool is_alarming = election_role_is_alarming(member->role);

		if (server == NULL || (is_alarming && server->alarm == member->role))
			continue;
		server->alarm = is_alarming ? member->role : ELECTION_ROLE_UNKNOWN;
		if (is_alarming)
			log_error("members: a server is not what it should be",
				  log_text("member", p->name), log_text("address", p->text),
				  log_text("role", election_role_name(member->role)),
				  log_number("timeline", member->timeline));
	}
}

/* Whom to ask */

static void watch_places(struct members *m, bool hurry)
{
	struct observer_place places[MEMBER_MAX_PLACES];
	char hosts[MEMBER_MAX_PLACES][ADDR_TEXT_SIZE];
	size_t count = member_places_count(m->places);

	for (size_t i = 0; i < count; i++) {
		const struct member_place *p = member_places_at(m->places, i);
		bool by_http = m->settings->probing.kind == PROBE_KIND_HTTP;

		addr_format_ip(&p->addr, hosts[i]);
		places[i] = (struct observer_place){
			.id = p->id,
			.addr = p->addr,
			/* The name in a certificate; a check server is at the address. */
			.host = by_http ? hosts[i] : p->host,
			.port = m->settings->probing.http_port,
			.ask_now = ((struct server *)p->data)->is_asked,
		};
	}
	m->hurry = hurry;
	if (observer_watch(m->observer, places, count, hurry) < 0)
		log_warn("members: no memory to ask them");
}

static void follow_wishes(struct members *m, const struct election_decision *d)
{
	bool changed = d->hurry != m->hurry;

	for (size_t i = 0; i < election_member_count(m->election); i++) {
		const struct election_member *member = election_member_at(m->election, i);
		struct member_place *p = members_place_of(m, i);
		struct server *server = p == NULL ? NULL : p->data;
		if (server == NULL || server->is_asked == member->ask_now)
			continue;
		server->is_asked = member->ask_now;
		changed = changed || server->is_asked;
	}
	if (changed)
		watch_places(m, d->hurry);
}

static void react(struct members *m)
{
	const struct election_decision *d = election_decision(m->election);
	int64_t now_ms = clock_boot_ms();

	log_decision(m, d);
	log_alarms(m);
	follow_wishes(m, d);
	if (d->look_again_ms != INT64_MAX)
		loop_timer_start(&m->tick, d->look_again_ms - now_ms);
	else
		loop_timer_stop(&m->tick);
	/* Nobody is told before the first look round: clients would be sent away. */
	m->has_decided = m->has_decided ||
			 (d->reason != ELECTION_NO_ANSWERS && d->reason != ELECTION_ASKING);
	if (m->has_decided && is_worth_telling(m, d))
		tell(m);
}

static enum election_outcome outcome_of(const struct probe_result *result)
{
	switch (result->outcome) {
	case PROBE_WRITABLE:
		return ELECTION_WRITABLE;
	case PROBE_READ_ONLY:
		return ELECTION_READ_ONLY;
	case PROBE_IN_RECOVERY:
		return ELECTION_IN_RECOVERY;
	case PROBE_STARTING:
		return ELECTION_STARTING;
	case PROBE_REFUSED:
	case PROBE_LOST:
		return ELECTION_REFUSED;
	case PROBE_UNREACHABLE:
	case PROBE_TIMEOUT:
		return ELECTION_SILENT;
	case PROBE_AUTH:
	case PROBE_PROTOCOL:
	case PROBE_ERROR:
		break;
	}
	return ELECTION_CANNOT_ASK;
}

static void log_change(const struct member_place *p, const struct probe_result *r)
{
	struct server *server = p->data;

	if (server->has_said && r->outcome == server->said)
		return;
	server->has_said = true;
	server->said = r->outcome;
	LOG_AT(probe_outcome_verdict(r->outcome) == PROBE_ANSWERED ? LOG_LEVEL_INFO
								   : LOG_LEVEL_WARN,
	       "members: a server has another answer", log_text("member", p->name),
	       log_text("address", p->text), log_text("answer", probe_outcome_name(r->outcome)),
	       log_text("error", *r->text == '\0' ? NULL : r->text));
}

static void on_news(const struct observer_news *news, void *arg)
{
	struct members *m = arg;
	const struct probe_result *r = &news->result;
	struct member_place *p = member_places_find_id(m->places, news->id);

	if (p == NULL)
		return; /* asked before it left */
	struct server *server = p->data;
	struct election_answer answer = {.address = p->text,
					 .outcome = outcome_of(r),
					 .sent_ms = r->sent_ms,
					 .system_id = r->system_id};
	bool is_writable = answer.outcome == ELECTION_WRITABLE;
	if (!is_writable || r->timeline_is_exact)
		answer.timeline = r->timeline;
	answer.position = is_writable ? r->current_lsn : r->replayed_lsn;
	if (answer.position != 0)
		server->position = answer.position;
	server->is_asked = false;
	server->has_delay = answer.outcome == ELECTION_IN_RECOVERY && r->replay_delay_ms >= 0;
	server->delay_ms = r->replay_delay_ms;
	log_change(p, r);
	election_take_answer(m->election, &answer, clock_boot_ms());
	react(m);
}

static int set_members(struct members *m)
{
	struct election_place places[2 * MEMBER_MAX_PLACES];
	size_t count = 0;
	const char *lost;

	for (; count < member_places_count(m->places); count++) {
		const struct member_place *p = member_places_at(m->places, count);
		places[count] = (struct election_place){p->name, p->text};
	}
	/* A name that leads nowhere counts among those of which a majority must answer. */
	for (size_t i = 0;
	     count < ARRAY_LEN(places) && (lost = member_places_lost(m->places, i)) != NULL; i++)
		places[count++] = (struct election_place){lost, ""};
	return election_set_members(m->election, places, count, clock_boot_ms());
}

static void on_places_changed(void *arg)
{
	struct members *m = arg;

	if (set_members(m) < 0)
		log_warn("members: no memory for other addresses");
	watch_places(m, election_decision(m->election)->hurry);
	react(m);
}

/* The seam to control */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct members *m = arg;

	election_tick(m->election, clock_boot_ms());
	react(m);
}

static void on_read_done(evutil_socket_t fd, short what, void *arg)
{
	struct members *m = arg;

	if (!m->is_read_due)
		return;
	election_tick(m->election, clock_boot_ms());
	react(m);
}

static int members_read(struct source *source)
{
	struct members *m = (struct members *)source;

	m->is_read_due = true;
	if (m->has_decided)
		loop_timer_start(&m->read_done, 0);
	return 0;
}

static int members_acknowledge(struct source *source, int64_t generation, int64_t proxy_timeout_ns,
			       store_done_cb *cb, void *arg)
{
	return unwaited_done(&((struct members *)source)->unwaited, cb, arg);
}

static int members_withdraw(struct source *source, store_done_cb *cb, void *arg)
{
	return unwaited_done(&((struct members *)source)->unwaited, cb, arg);
}

static void members_stop(struct source *source)
{
	struct members *m = (struct members *)source;

	observer_stop(&m->observer);
	loop_timer_stop(&m->tick);
	loop_timer_stop(&m->read_done);
}

static void members_free(struct source *source)
{
	struct members *m = (struct members *)source;

	members_stop(source);
	unwaited_deinit(&m->unwaited);
	member_places_free(&m->places);
	election_free(&m->election);
	view_unref(&m->view);
	free(m);
}

static const struct source_ops members_ops = {
	.read = members_read,
	.acknowledge = members_acknowledge,
	.withdraw = members_withdraw,
	.stop = members_stop,
	.free = members_free,
};

static int start_observer(struct members *m, const struct dns_settings *dns)
{
	struct observer_settings settings =
		observer_settings_of(&m->settings->probing, PROBE_BY_FLY, dns);

	return observer_start(&settings, m->loop, on_news, m, &m->observer);
}

static int set_up(struct members *m, struct dns *dns, const struct dns_settings *dns_settings)
{
	const struct members_settings *s = m->settings;
	struct election_settings election = {s->probing.interval_ms, s->probing.timeout_ms,
					     (unsigned)s->probing.fall};
	int r;

	m->election = election_new(&election);
	if (m->election == NULL)
		return -ENOMEM;
	r = member_places_new(s->members, s->count, dns, s->dns_timeout_ms, sizeof(struct server),
			      on_places_changed, m, &m->places);
	if (r == 0)
		r = set_members(m);
	if (r == 0)
		r = start_observer(m, dns_settings);
	if (r == 0)
		watch_places(m, true);
	return r;
}

int source_members_new(const struct members_settings *settings, struct loop *loop, struct dns *dns,
		       const struct dns_settings *dns_settings, watch_cb *cb, void *arg,
		       struct source **ret_source, const char **ret_problem)
{
	struct members *m = calloc(1, sizeof(*m));

	*ret_problem = "cannot start asking the members";
	if (m == NULL)
		return -ENOMEM;
	m->source.ops = &members_ops;
	m->source.proxy_uid = "";
	m->settings = settings;
	m->loop = loop;
	m->cb = cb;
	m->arg = arg;
	loop_timer_init(&m->tick, loop, on_tick, m);
	loop_timer_init(&m->read_done, loop, on_read_done, m);
	unwaited_init(&m->unwaited, loop);
	int r = set_up(m, dns, dns_settings);
	if (r < 0)
		members_free(&m->source);
	else
		*ret_source = &m->source;
	return r;
}
