/* Recorded Patroni clusters through cluster/patroni_decode and
 * routing/patroni_policy, asking each server as often as the policy wishes. What
 * must not be, and what must be how soon, is found in the recording by itself. */
#include "patroni_trace.h"

#define TICK_MS  10
#define FAST_MS  50
#define SLOW_MS  1000
#define READ_MS  1000
#define BOUND_MS (FAST_MS + TICK_MS) /* what asking in turns costs */

struct replay {
	struct trace t;
	struct patroni_policy policy;
	struct patroni_policy_settings settings;
	int64_t now_ms;
	int64_t asked_ms;
	enum patroni_answer told; /* by the holder, if asked */
	int64_t read_ms;
	/* Found in the recording. */
	char holder[40];
	int64_t holder_since_ms;
	int64_t back_ms;
	bool is_standby;
	bool is_paused;
	int64_t config_since_ms;
	/* Decided. */
	char routed[40];
	int64_t opened_ms;
	unsigned routes;
};

#define require(r, condition)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("%s, %lld ms: not %s", (r)->t.name, (long long)(r)->now_ms,       \
				 #condition);                                                      \
	} while (0)

static void check_number(const struct replay *r, json_t *record, const char *field, uint64_t found)
{
	json_int_t wanted = json_integer_value(json_object_get(record, field));

	if (found != (uint64_t)wanted)
		fail_msg("%s, %lld ms: %s", r->t.name, (long long)r->now_ms, field);
}

/* What was decoded is what is written there. */
static void check_member(struct replay *r, const struct patroni_member *m)
{
	char key[50];
	char conn_url[100];

	snprintf(key, sizeof(key), "members/%s", m->name);
	snprintf(conn_url, sizeof(conn_url), "postgres://%s/postgres", m->address.text);
	json_t *record = trace_json(&r->t, key);
	json_t *tags = json_object_get(record, "tags");
	require(r, m->is_decodable);
	require(r, strcmp(patroni_role_name(m->role), row_text(record, "role")) == 0);
	require(r, strcmp(patroni_state_name(m->state), row_text(record, "state")) == 0);
	require(r, strcmp(conn_url, row_text(record, "conn_url")) == 0);
	require(r, strcmp(m->api_url, row_text(record, "api_url")) == 0);
	require(r, m->version_number == 40105);
	require(r, (m->replication == PATRONI_REPLICATION_STREAMING) ==
			   (strcmp(row_text(record, "replication_state"), "streaming") == 0));
	require(r, m->no_load_balance == json_is_true(json_object_get(tags, "noloadbalance")));
	require(r, m->is_paused == json_is_true(json_object_get(record, "pause")));
	check_number(r, record, "timeline", m->timeline);
	check_number(r, record, "xlog_location", m->wal_position);
	check_number(r, record, "replay_lsn", m->replay_lsn);
	check_number(r, record, "receive_lsn", m->receive_lsn);
	require(r, m->mod_revision == trace_key(&r->t, key)->mod_revision);
	json_decref(record);
}

static void check_view(struct replay *r, const struct patroni_view *view)
{
	json_t *status = trace_json(&r->t, "status");
	json_t *history = trace_json(&r->t, "history");
	json_t *sync = trace_json(&r->t, "sync");
	json_t *failover = trace_json(&r->t, "failover");
	size_t lines = json_array_size(history);
	json_t *last = json_array_get(history, lines > 0 ? lines - 1 : 0);
	const struct patroni_key *id = trace_key(&r->t, "initialize");
	const struct patroni_cluster *c = patroni_view_cluster(view);

	require(r, patroni_view_problem_count(view) == 0);
	check_number(r, status, "optime", c->optime);
	require(r, c->last_ended_timeline == json_integer_value(json_array_get(last, 0)));
	require(r, c->system_id == (id == NULL ? 0 : strtoull(id->data, NULL, 10)));
	require(r, strcmp(patroni_view_sync(view)->leader, row_text(sync, "leader")) == 0);
	require(r, patroni_view_is_sync_standby(view, row_text(sync, "sync_standby")) ==
			   (*row_text(sync, "sync_standby") != '\0'));
	require(r,
		strcmp(patroni_view_failover(view)->candidate, row_text(failover, "member")) == 0);
	require(r, patroni_view_config(view)->standby_cluster == r->is_standby);
	require(r, patroni_view_config(view)->pause == r->is_paused);
	for (size_t i = 0; i < patroni_view_member_count(view); i++)
		check_member(r, patroni_view_member_at(view, i));
	json_decref(status);
	json_decref(history);
	json_decref(sync);
	json_decref(failover);
}

/* Who holds the lock, and in which mode the cluster is, according to the keys. */
static void look_at_keys(struct replay *r)
{
	const struct patroni_key *leader = trace_key(&r->t, "leader");
	const char *holder = leader != NULL && leader->is_held ? leader->data : "";
	json_t *config = trace_json(&r->t, "config");
	bool is_standby = json_is_object(json_object_get(config, "standby_cluster"));

	if (strcmp(holder, r->holder) != 0)
		r->holder_since_ms = r->now_ms;
	snprintf(r->holder, sizeof(r->holder), "%s", holder);
	if (is_standby != r->is_standby)
		r->config_since_ms = r->now_ms;
	r->is_standby = is_standby;
	r->is_paused = json_is_true(json_object_get(config, "pause"));
	json_decref(config);
}

static void show(struct replay *r, bool is_read)
{
	struct patroni_view *view = NULL;

	assert_int_equal(patroni_decode(r->t.keys, r->t.key_count, PATRONI_NO_GROUP, &view), 0);
	look_at_keys(r);
	check_view(r, view);
	patroni_policy_view(&r->policy, view, is_read ? r->now_ms : 0, r->now_ms);
	patroni_view_unref(&view);
	if (is_read)
		r->read_ms = r->now_ms;
}

static void take_rows(struct replay *r)
{
	for (;;) {
		switch (trace_advance(&r->t, r->now_ms)) {
		case TRACE_NOTHING:
			return;
		case TRACE_RANGE:
			show(r, true);
			break;
		case TRACE_CHANGE:
			show(r, false);
			break;
		case TRACE_LOST:
			patroni_policy_store_lost(&r->policy, r->now_ms);
			break;
		case TRACE_BACK:
			patroni_policy_store_back(&r->policy, r->now_ms);
			r->back_ms = r->now_ms;
			show(r, true);
			break;
		case TRACE_SERVER:
			break;
		}
	}
}

static void ask(struct replay *r)
{
	struct patroni_decision d = patroni_policy_decide(&r->policy, r->now_ms);
	bool is_fast = false;

	for (size_t i = 0; i < d.wish_count; i++)
		is_fast = is_fast || d.wishes[i].is_fast;
	if (r->now_ms < r->asked_ms + (is_fast ? FAST_MS : SLOW_MS))
		return;
	r->asked_ms = r->now_ms;
	for (size_t i = 0; i < d.wish_count; i++) {
		const struct trace_server *server = trace_server(&r->t, d.wishes[i].member);
		const struct patroni_probe probe = {
			.member = d.wishes[i].member,
			.address = d.wishes[i].address,
			.answer = server->answer,
			.sent_ms = r->now_ms,
			.timeline = server->timeline,
		};
		if (strcmp(probe.member, r->holder) == 0)
			r->told = probe.answer;
		patroni_policy_probe(&r->policy, &probe, r->now_ms);
	}
}

static bool is_moving_away(struct replay *r)
{
	json_t *failover = trace_json(&r->t, "failover");
	bool is_away = *r->holder != '\0' && strcmp(row_text(failover, "leader"), r->holder) == 0;

	json_decref(failover);
	return is_away;
}

static void check_routed(struct replay *r, const struct patroni_decision *d)
{
	const struct trace_server *server = trace_server(&r->t, d->member);

	/* It restarted, and will be found out; meanwhile nobody new gets in. */
	if (r->settings.confirm != PATRONI_CONFIRM_NEVER &&
	    server->answer == PATRONI_ANSWER_READ_ONLY)
		require(r, d->hold_new_clients && r->now_ms < server->since_ms + BOUND_MS);
	/* Nobody but the holder; here no paused cluster lost its lock alive. */
	require(r, strcmp(d->member, r->holder) == 0);
	require(r, !r->is_standby);
	require(r, *r->routed == '\0' || strcmp(r->routed, d->member) == 0);
	require(r, d->hold_new_clients == (is_moving_away(r) || r->told == PATRONI_ANSWER_REFUSED));
	if (*r->routed == '\0') {
		require(r, d->term == r->routes + 1);
		r->opened_ms = r->now_ms;
		r->routes++;
		if (r->settings.confirm != PATRONI_CONFIRM_NEVER)
			require(r, server->answer == PATRONI_ANSWER_WRITABLE);
	}
	require(r, d->term == r->routes);
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* A holder that is writable is routed to as soon as asking can find out. */
static void check_unrouted(struct replay *r)
{
	char key[50];

	snprintf(key, sizeof(key), "members/%s", r->holder);
	if (r->settings.confirm == PATRONI_CONFIRM_NEVER || *r->holder == '\0' ||
	    trace_key(&r->t, key) == NULL || r->t.is_store_out || r->is_standby)
		return;
	const struct trace_server *server = trace_server(&r->t, r->holder);
	int64_t ready_ms = later(later(server->since_ms, r->holder_since_ms),
				 later(r->back_ms, r->config_since_ms));
	require(r, server->answer != PATRONI_ANSWER_WRITABLE || r->now_ms <= ready_ms + BOUND_MS);
}

static void check(struct replay *r)
{
	struct patroni_decision d = patroni_policy_decide(&r->policy, r->now_ms);

	if (d.look_again_ms <= r->now_ms) {
		patroni_policy_tick(&r->policy, r->now_ms);
		require(r, d.member == NULL);
		*r->routed = '\0';
		d = patroni_policy_decide(&r->policy, r->now_ms);
	}
	if (d.member != NULL)
		check_routed(r, &d);
	else
		check_unrouted(r);
	snprintf(r->routed, sizeof(r->routed), "%s", d.member == NULL ? "" : d.member);
}

struct recorded {
	const char *name;
	const char *scope;
	unsigned routes;     /* opened in all */
	const char *last;    /* routed at the end, or "" */
	int64_t writable_ms; /* when the last one could be opened (the recording's README) */
	/* By records only. */
	unsigned routes_unasked;
	int64_t primary_ms; /* when its record said so */
};

static const struct recorded traces[] = {
	{"a_bootstrap", "pgsplice", 1, "pg1", 5138, 1, 5276},
	{"b_switchover", "pgsplice", 2, "pg2", 5330, 2, 6441},
	{"b2_graceful_stop", "pgsplice", 2, "pg1", 4815, 2, 5860},
	{"b3_postgres_crash_patroni_alive", "pgsplice", 1, "pg3", 50, 1, 18},
	{"c_kill9_leader", "pgsplice", 2, "pg3", 23360, 2, 24460},
	{"c2_kill9_leader_again", "pgsplice", 2, "pg2", 27149, 2, 28266},
	{"d_pause_kill9", "pgsplice", 2, "pg2", 120495, 2, 121576},
	{"d2_pause_patroni_restart", "pgsplice", 1, "pg3", 40, 1, 18},
	{"e_synchronous_mode", "pgsplice", 2, "pg2", 42227, 2, 45496},
	{"f_standby_cluster", "pgsplice", 1, "pg2", 42, 1, 18},
	{"f_standby_cluster", "pgsplice-dr", 1, "", 14990, 1, 16025},
	{"g_tags", "pgsplice", 2, "pg1", 17694, 2, 18803},
	{"h2_leader_cut_off_from_etcd", "pgsplice", 2, "pg3", 25663, 2, 26640},
	{"h3_etcd_stopped_failsafe_mode", "pgsplice", 1, "pg3", 40, 2, 72077},
	{"h_etcd_stopped", "pgsplice", 2, "pg3", 54764, 2, 55905},
};

static void replay(const struct recorded *recorded, enum patroni_confirm confirm,
		   enum patroni_outage outage)
{
	struct replay r = {.settings = {.confirm = confirm, .store_outage = outage}};
	bool is_unasked = confirm == PATRONI_CONFIRM_NEVER;
	unsigned routes = is_unasked ? recorded->routes_unasked : recorded->routes;
	int64_t opens_ms = is_unasked ? recorded->primary_ms : recorded->writable_ms;

	trace_open(&r.t, recorded->name, recorded->scope);
	json_t *end = json_array_get(r.t.rows, json_array_size(r.t.rows) - 1);
	patroni_policy_init(&r.policy, &r.settings);
	for (r.now_ms = TICK_MS; r.now_ms <= row_ms(end); r.now_ms += TICK_MS) {
		take_rows(&r);
		if (!r.t.is_store_out && r.now_ms >= r.read_ms + READ_MS)
			show(&r, true);
		ask(&r);
		check(&r);
	}
	if (r.routes != routes || strcmp(r.routed, recorded->last) != 0 || r.opened_ms < opens_ms ||
	    r.opened_ms > opens_ms + BOUND_MS)
		fail_msg("%s: %u routes, the last to \"%s\" at %lld ms", recorded->name, r.routes,
			 r.routed, (long long)r.opened_ms);
	patroni_policy_deinit(&r.policy);
	trace_close(&r.t);
}

static void test_a_route_opens_when_and_only_when_its_server_is_writable(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(traces); i++) {
		replay(&traces[i], PATRONI_CONFIRM_ALWAYS, PATRONI_OUTAGE_CONFIRM);
		replay(&traces[i], PATRONI_CONFIRM_AUTO, PATRONI_OUTAGE_CONFIRM);
	}
}

static void test_unasked_it_opens_by_the_record(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(traces); i++)
		replay(&traces[i], PATRONI_CONFIRM_NEVER, PATRONI_OUTAGE_CONFIRM);
}

/* The one recording in which that makes a difference: the outage took 45 s. */
static void test_strictly_an_outage_ends_the_route(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(traces); i++) {
		struct recorded recorded = traces[i];
		if (strncmp(recorded.name, "h3_", 3) == 0) {
			recorded.routes = 2;
			recorded.writable_ms = 70293;
		}
		replay(&recorded, PATRONI_CONFIRM_ALWAYS, PATRONI_OUTAGE_STRICT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_route_opens_when_and_only_when_its_server_is_writable),
		cmocka_unit_test(test_unasked_it_opens_by_the_record),
		cmocka_unit_test(test_strictly_an_outage_ends_the_route),
	};

	return cmocka_run_group_tests_name("patroni_traces", tests, NULL, NULL);
}
