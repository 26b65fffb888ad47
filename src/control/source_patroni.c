/* A Patroni cluster: its keys in the store say who holds the lock, the servers say
 * themselves what they are, and the policy makes one of both.
 *
 *   store --> keys -> patroni_decode --+
 *                                      +-> policy -> view
 *   servers --> observer --> answers --+
 *
 * There is nobody to acknowledge to. The deadline of a route is the policy's: a view
 * counts as read so long before it that control's deadline is the same. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "cluster/patroni_decode.h"
#include "patroni_private.h"

#define READ_RETRY_MS 500
#define TELL_EVERY_MS 500
/* Patroni on Consul renews a lost session by deleting its keys and putting them anew. */
#define CONSUL_DEBOUNCE_MS 2000

/* While a change is pending, servers answer many times a second: what is new is told at
 * once, that time goes on now and then. */
static bool is_worth_telling(struct patroni *p, const struct patroni_decision *d)
{
	int64_t now_ms = clock_boot_ms();
	uint64_t servers = patroni_servers_digest(p->servers);

	if (p->told_ms != 0 && p->told_listing == p->listings && p->told_servers == servers &&
	    p->held == d->hold_new_clients && p->told_term == d->term &&
	    p->told_route == (d->member != NULL) && d->valid_until_ms >= p->told_valid_until_ms &&
	    now_ms - p->told_ms < TELL_EVERY_MS)
		return false;
	p->told_listing = p->listings;
	p->told_servers = servers;
	p->held = d->hold_new_clients;
	p->told_term = d->term;
	p->told_route = d->member != NULL;
	p->told_ms = now_ms;
	p->told_valid_until_ms = d->valid_until_ms;
	return true;
}

static void tell(struct patroni *p, const struct patroni_decision *d)
{
	struct watch_update update = {.outcome = WATCH_VIEW, .text = ""};

	update.read_sent_ms =
		d->member == NULL ? clock_boot_ms() : d->valid_until_ms - patroni_source_ttl_ms(p);
	update.view = patroni_make_view(p, d);
	if (update.view == NULL) {
		/* Nothing new: the route that there is ends by itself. */
		update.outcome = WATCH_UNREACHABLE;
		update.text = err_text(-ENOMEM);
	}
	view_unref(&p->view);
	p->view = update.view;
	p->cb(&update, p->arg);
}

static void log_decision(struct patroni *p, const struct patroni_decision *d)
{
	char term[24];

	if (p->has_decided && p->reason == d->reason && p->term == d->term)
		return;
	p->has_decided = true;
	p->reason = d->reason;
	p->term = d->term;
	snprintf(term, sizeof(term), "%" PRIu64, d->term);
	LOG_AT(patroni_reason_is_alarming(d->reason) ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "patroni",
	       log_text("reason", patroni_reason_name(d->reason)),
	       log_text("holder", p->keys == NULL ? NULL : patroni_view_leader(p->keys)->name),
	       log_text("member", d->member), log_text("address", d->address),
	       log_text("term", term));
}

static void keep_record(struct patroni *p, const struct patroni_decision *d)
{
	const struct patroni_member *record =
		d->member == NULL ? NULL : patroni_view_find_member(p->keys, d->member);
	bool is_usable = record != NULL && record->is_decodable && record->address.count > 0;

	if (d->member != NULL && !is_usable)
		return;
	patroni_view_unref(&p->recorded);
	if (is_usable)
		p->recorded = patroni_view_ref(p->keys);
}

static void note_unrest(struct patroni *p, const struct patroni_decision *d)
{
	bool is_calm = d->member != NULL && !d->hold_new_clients;

	if (!is_calm && p->had_leader)
		p->restless_ms = clock_boot_ms();
	p->had_leader = p->had_leader || is_calm;
}

static void react(struct patroni *p)
{
	struct patroni_decision d = patroni_policy_decide(&p->policy, clock_boot_ms());
	int64_t delay_ms = d.look_again_ms - clock_boot_ms();

	log_decision(p, &d);
	note_unrest(p, &d);
	keep_record(p, &d);
	patroni_servers_follow(p->servers, p->keys, patroni_kept_record(p, &d), d.wishes,
			       d.wish_count);
	if (d.look_again_ms != INT64_MAX)
		loop_timer_start(&p->tick, delay_ms);
	else
		loop_timer_stop(&p->tick);
	/* Before anything was read there is nothing to tell, nor to be listened for. */
	if (p->keys != NULL && is_worth_telling(p, &d))
		tell(p, &d);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct patroni *p = arg;

	patroni_policy_tick(&p->policy, clock_boot_ms());
	react(p);
}

/* What servers answer */

/* That nobody listens where a REST interface was says nothing of PostgreSQL. */
static enum patroni_answer no_answer(const struct patroni *p)
{
	return p->settings->probing.kind == PROBE_KIND_HTTP ? PATRONI_ANSWER_UNREACHABLE
							    : PATRONI_ANSWER_REFUSED;
}

static enum patroni_answer answer_of(const struct patroni *p, const struct probe_result *result)
{
	switch (result->outcome) {
	case PROBE_WRITABLE:
		return PATRONI_ANSWER_WRITABLE;
	case PROBE_READ_ONLY:
	case PROBE_IN_RECOVERY:
		return PATRONI_ANSWER_READ_ONLY;
	case PROBE_STARTING:
		return PATRONI_ANSWER_REFUSED;
	case PROBE_REFUSED:
	case PROBE_LOST:
		return no_answer(p);
	case PROBE_UNREACHABLE:
	case PROBE_TIMEOUT:
		return PATRONI_ANSWER_UNREACHABLE;
	case PROBE_AUTH:
	case PROBE_PROTOCOL:
	case PROBE_ERROR:
		break;
	}
	return PATRONI_ANSWER_NONE;
}

static void on_server_news(const struct patroni_server *server, const struct probe_result *result,
			   void *arg)
{
	struct patroni *p = arg;
	struct patroni_probe probe = {
		.member = server->name,
		.address = server->address,
		.answer = answer_of(p, result),
		.sent_ms = result->sent_ms,
		.timeline = result->timeline_is_exact ? result->timeline : 0,
		.system_id = result->system_id,
	};

	patroni_policy_probe(&p->policy, &probe, clock_boot_ms());
	react(p);
}

static void on_servers_changed(void *arg)
{
	react(arg);
}

/* What the store has */

static void log_problems(struct patroni *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < patroni_view_problem_count(p->keys); i++) {
		for (const char *c = patroni_view_problem_at(p->keys, i); *c != '\0'; c++)
			sum = sum * 31 + (unsigned char)*c;
	}
	if (sum == p->problems)
		return;
	p->problems = sum;
	for (size_t i = 0; i < patroni_view_problem_count(p->keys); i++)
		log_warn("patroni: a key cannot be understood",
			 log_text("problem", patroni_view_problem_at(p->keys, i)));
}

/* Keys in the store's order: what is older than what was taken already is dropped. */
static void take_listing(struct patroni *p, const struct store_listing *listing,
			 int64_t read_sent_ms)
{
	struct patroni_key *keys = calloc(listing->count + 1, sizeof(*keys));
	struct patroni_view *view = NULL;

	if (listing->revision < p->revision || keys == NULL) {
		free(keys);
		return;
	}
	p->revision = listing->revision;
	p->taken_ms = clock_boot_ms();
	for (size_t i = 0; i < listing->count; i++) {
		const struct store_item *item = &listing->items[i];
		keys[i] = (struct patroni_key){item->key,          item->data,
					       item->size,         item->create_revision,
					       item->mod_revision, item->is_held};
	}
	int r = patroni_decode(keys, listing->count, p->settings->citus_group, &view);
	free(keys);
	if (r < 0)
		return; /* as if it had not been read */
	patroni_view_unref(&p->keys);
	p->keys = view;
	p->listings++;
	log_problems(p);
	patroni_policy_view(&p->policy, view, read_sent_ms, clock_boot_ms());
	react(p);
}

/* Not once there was something: then the leader may vouch for itself. */
static void tell_unreachable(struct patroni *p, const char *text)
{
	struct watch_update update = {
		.outcome = WATCH_UNREACHABLE, .text = text, .read_sent_ms = p->read_sent_ms};

	p->cb(&update, p->arg);
}

static void read_again(struct patroni *p, int64_t delay_ms)
{
	loop_timer_start(&p->read_timer, delay_ms);
}

/* Older than what was known when it was asked for: what it says is not of now, and must
 * not pass in silence for a store that agrees. */
static bool is_of_before(const struct patroni *p, const struct store_listing *listing)
{
	return listing->revision < p->revision && p->taken_ms < p->read_sent_ms;
}

static void on_listed(int error, const char *text, const struct store_listing *listing, void *arg)
{
	struct patroni *p = arg;

	p->read = NULL;
	if (error == 0 && is_of_before(p, listing)) {
		error = ERR_OTHER_STORE;
		text = "it answers with an older state than it had before";
	}
	read_again(p, error < 0 ? READ_RETRY_MS : PATRONI_READ_EVERY_MS);
	if (error == 0) {
		if (p->is_store_out)
			log_info("patroni: the store answers again");
		p->is_store_out = false;
		take_listing(p, listing, p->read_sent_ms);
		return;
	}
	if (!p->is_store_out)
		log_error("patroni: the store cannot be read", log_text("error", text));
	p->is_store_out = true;
	patroni_policy_store_lost(&p->policy, clock_boot_ms());
	react(p);
	if (p->keys == NULL)
		tell_unreachable(p, text);
}

static void on_read_timer(evutil_socket_t fd, short what, void *arg)
{
	struct patroni *p = arg;

	if (p->read != NULL)
		return;
	p->read_sent_ms = clock_boot_ms();
	if (store_list(p->store, p->prefix.data, on_listed, p, &p->read) < 0)
		read_again(p, READ_RETRY_MS);
}

static void on_changed(const struct store_update *update, void *arg)
{
	struct patroni *p = arg;

	if (update->is_fresh) {
		patroni_policy_store_back(&p->policy, clock_boot_ms());
		/* Nothing opens before a read has followed. */
		read_again(p, 0);
	}
	take_listing(p, &update->listing, 0);
}

/* The seam to control */

/* Reads go by a clock of their own: an outage of the store is no failed check as long
 * as the leader vouches for itself. */
static int patroni_read(struct source *source)
{
	struct patroni *p = (struct patroni *)source;

	/* The first one: the watch may have brought keys already, which prove nothing. */
	if (p->read == NULL && p->read_sent_ms == 0)
		read_again(p, 0);
	else
		loop_timer_start(&p->tick, 0);
	return 0;
}

static int patroni_acknowledge(struct source *source, int64_t generation, int64_t proxy_timeout_ns,
			       store_done_cb *cb, void *arg)
{
	return unwaited_done(&((struct patroni *)source)->unwaited, cb, arg);
}

static int patroni_withdraw(struct source *source, store_done_cb *cb, void *arg)
{
	return unwaited_done(&((struct patroni *)source)->unwaited, cb, arg);
}

static void patroni_stop(struct source *source)
{
	struct patroni *p = (struct patroni *)source;

	patroni_servers_free(&p->servers);
	store_request_cancel(&p->read);
	store_watch_stop(&p->watch);
	loop_timer_stop(&p->tick);
	loop_timer_stop(&p->read_timer);
}

static void patroni_free(struct source *source)
{
	struct patroni *p = (struct patroni *)source;

	patroni_stop(source);
	unwaited_deinit(&p->unwaited);
	store_close(&p->store);
	patroni_policy_deinit(&p->policy);
	patroni_view_unref(&p->keys);
	patroni_view_unref(&p->recorded);
	view_unref(&p->view);
	strbuf_deinit(&p->prefix);
	free(p);
}

static const struct source_ops patroni_ops = {
	.read = patroni_read,
	.acknowledge = patroni_acknowledge,
	.withdraw = patroni_withdraw,
	.stop = patroni_stop,
	.free = patroni_free,
};

/* "/service/SCOPE/", with one slash between parts. */
static int make_prefix(struct patroni *p)
{
	const struct patroni_settings *s = p->settings;
	char *end;

	int r = strbuf_printf(&p->prefix, "/%s/%s/", s->namespace_, s->scope);
	if (r < 0)
		return r;
	end = p->prefix.data;
	for (const char *c = p->prefix.data; *c != '\0'; c++) {
		if (*c != '/' || end == p->prefix.data || end[-1] != '/')
			*end++ = *c;
	}
	*end = '\0';
	p->prefix.size = (size_t)(end - p->prefix.data);
	return 0;
}

static void init_policy(struct patroni *p)
{
	static const enum patroni_confirm confirm[] = {
		[CONFIRM_AUTO] = PATRONI_CONFIRM_AUTO,
		[CONFIRM_ALWAYS] = PATRONI_CONFIRM_ALWAYS,
		[CONFIRM_NEVER] = PATRONI_CONFIRM_NEVER,
	};
	const struct patroni_settings *s = p->settings;
	struct patroni_policy_settings settings = {
		.confirm = confirm[s->confirm],
		.store_outage = s->strict_outage ? PATRONI_OUTAGE_STRICT : PATRONI_OUTAGE_CONFIRM,
		.debounce_ms = strcmp(s->store.backend, "consul") == 0 ? CONSUL_DEBOUNCE_MS : 0,
	};

	patroni_policy_init(&p->policy, &settings);
}

static int set_up(struct patroni *p, struct dns *dns, const struct dns_settings *dns_settings,
		  const char **ret_problem)
{
	int r = make_prefix(p);

	if (r == 0)
		r = patroni_servers_new(&p->settings->probing, p->loop, dns, dns_settings,
					p->settings->store.timeout_ms, on_server_news,
					on_servers_changed, p, &p->servers);
	if (r == 0)
		r = store_open(&p->settings->store, p->loop, dns, &p->store, ret_problem);
	if (r < 0)
		return r;
	*ret_problem = "cannot watch Patroni's keys: bad scope or namespace";
	return store_watch_tree_start(p->store, p->prefix.data, on_changed, p, &p->watch);
}

int source_patroni_new(const struct patroni_settings *settings, struct loop *loop, struct dns *dns,
		       const struct dns_settings *dns_settings, watch_cb *cb, void *arg,
		       struct source **ret_source, const char **ret_problem)
{
	struct patroni *p = calloc(1, sizeof(*p));

	*ret_problem = "cannot start asking Patroni's members";
	if (p == NULL)
		return -ENOMEM;
	p->source.ops = &patroni_ops;
	p->source.proxy_uid = "";
	p->settings = settings;
	p->loop = loop;
	p->cb = cb;
	p->arg = arg;
	loop_timer_init(&p->tick, loop, on_tick, p);
	loop_timer_init(&p->read_timer, loop, on_read_timer, p);
	unwaited_init(&p->unwaited, loop);
	init_policy(p);
	int r = set_up(p, dns, dns_settings, ret_problem);
	if (r < 0)
		patroni_free(&p->source);
	else
		*ret_source = &p->source;
	return r;
}
