/* The direct port as a whole.
 *
 *   view ------> standings, lag --+
 *   names -----> addresses -------+-> choose() -> damping -> set -> snapshot
 *   roster ----> who answers -----+
 *
 * The set is made anew on every news and given on only if it differs. */
#include "control/direct.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "control/roster.h"
#include "direct_private.h"
#include "routing/suspects.h"

/* With members and addresses of more than this, the rest is left out. */
#define MAX_ENTRIES 256

struct direct {
	const struct direct_settings *settings;
	struct choice_settings choice;
	struct dns *dns;
	const struct listening *leader_port;
	struct listening *listening;
	bool is_in_the_way; /* of PostgreSQL, and that was said */
	bool is_closed;     /* for good: there is no news any more */
	direct_cb *cb;
	void *arg;
	struct view *view; /* NULL before the first */
	struct standings standings;
	struct suspects suspects;
	struct lag_history lag;
	struct damping damping;
	struct loop_timer later; /* a damped member is to be offered, or something to be said */
	struct direct_names *names;
	struct roster *roster;
	struct member_set *set;
	struct direct_log log;
};

/* An entry to be, with what it is sorted by. */
struct slot {
	struct member_entry entry;
	struct nearness nearness;
	size_t place; /* in the order that is to be kept */
};

/* One pass of making a set. */
struct draft {
	struct direct *direct;
	int64_t now_ms;
	const struct view_member *local; /* NULL: not to be found */
	size_t count;
	struct slot slots[MAX_ENTRIES];
	size_t addr_count; /* of members of the view, whatever they are */
	struct addr addrs[MAX_ENTRIES];
	char problem[LOCAL_MEMBER_TEXT_SIZE]; /* why there is nobody */
};

/* Where a member is in the set in force; new ones come last. */
static size_t place_before(const struct direct *d, const struct member *member)
{
	const struct member_entry *e = member_set_find(d->set, member);

	return e == NULL ? SIZE_MAX : (size_t)(e - d->set->entries);
}

static void add_entry(struct draft *draft, struct member *member, const struct choice *choice)
{
	const struct direct *d = draft->direct;

	if (member == NULL || draft->count == MAX_ENTRIES)
		return;
	struct slot *slot = &draft->slots[draft->count++];
	slot->entry = (struct member_entry){member, choice->rule, choice->rank, choice->takes_new};
	slot->nearness = roster_nearness(d->roster, member);
	slot->place = d->settings->balance == DIRECT_NEAREST
			      ? place_before(d, member)
			      : direct_names_place(d->names, &member->target->addrs[0]);
}

/* Who is asked for, but comes and goes, stands behind those who do not. */
static void damp(struct draft *draft, const char *name, const struct member *member,
		 struct damping_look look, struct choice *choice)
{
	struct direct *d = draft->direct;

	bool is_asked_for = choice->rank == CHOICE_TARGET && choice->takes_new;
	if (is_asked_for)
		look.fault = roster_has_failed(d->roster, member) ? DAMPING_FAILED : DAMPING_GOOD;
	else if (look.fault == DAMPING_GOOD)
		look.fault = DAMPING_ABSENT;
	struct damping_verdict verdict = damping_take(&d->damping, name, &look, draft->now_ms);
	if (verdict.left_out_ms > 0)
		direct_log_left_out(member->target, verdict.was, verdict.left_out_ms);
	if (is_asked_for && verdict.is_damped)
		choice->rank = CHOICE_DAMPED;
}

static bool is_own_port(const struct direct *d, const struct addr *addr)
{
	return listening_is_reached_by(d->leader_port, addr) || direct_is_reached_by(d, addr);
}

/* How fit it is for new sessions, of a standby. */
static struct damping_look look_at(const struct draft *draft, const struct view_member *m)
{
	const struct direct *d = draft->direct;
	struct lag lag = lag_of(&d->lag, m->wal_position, draft->now_ms);

	if (m->lag_ms >= 0)
		lag.ms = m->lag_ms;
	if (!lag_is_within(&lag, &d->settings->max_lag))
		return (struct damping_look){.fault = DAMPING_LAGS};
	return (struct damping_look){
		.fault = m->healthy ? DAMPING_GOOD : DAMPING_UNHEALTHY,
		.is_near_limit = lag_is_near(&lag, &d->settings->max_lag),
	};
}

static struct candidate describe(const struct draft *draft, const struct view_member *m,
				 const struct standing_member *standing, const struct addr *addr,
				 const struct damping_look *look)
{
	const struct direct *d = draft->direct;

	return (struct candidate){
		.standing = standing->standing,
		.is_leader = strcmp(m->uid, view_leader_uid(d->view)) == 0,
		.is_meant = d->settings->target == DIRECT_NAME ? direct_names_answer(d->names, addr)
							       : m == draft->local,
		.is_healthy = look->fault == DAMPING_GOOD,
	};
}

static void add_view_member(struct draft *draft, const struct view_member *m)
{
	struct direct *d = draft->direct;
	const struct standing_member *standing = standings_find(&d->standings, m->uid);
	struct choice choice;
	struct addr addr;

	if (standing == NULL || !direct_names_address(d->names, m, &addr))
		return;
	if (draft->addr_count < MAX_ENTRIES)
		draft->addrs[draft->addr_count++] = addr;
	suspects_note(&d->suspects, &addr, standing->standing, strcmp(m->role, "master") == 0);
	if (is_own_port(d, &addr))
		return;
	struct damping_look look = look_at(draft, m);
	struct candidate candidate = describe(draft, m, standing, &addr, &look);
	if (!choose(&d->choice, &candidate, &choice))
		return;
	struct member *member =
		roster_get(d->roster, m->uid, standing->epoch, m->listen_address, m->port, &addr);
	if (member == NULL)
		return;
	damp(draft, m->uid, member, look, &choice);
	/* Who gets no new sessions stays for those that it has. */
	if (choice.takes_new || member_is_in_use(member))
		add_entry(draft, member, &choice);
}

static bool is_in_view(const struct draft *draft, const struct addr *addr)
{
	for (size_t i = 0; i < draft->addr_count; i++) {
		if (addr_equal(addr, &draft->addrs[i]))
			return true;
	}
	return false;
}

/* Addresses of the name that the view knows nothing of: they may be anything, the
 * leader by another address, too. But not where we know a leader has been. */
static void add_stranger(struct draft *draft, const struct addr *addr)
{
	struct direct *d = draft->direct;
	const struct direct_settings *s = d->settings;
	struct choice choice = {.rule = MEMBER_FENCED, .takes_new = true};
	struct member *member = roster_get(d->roster, s->host, 0, s->host, s->port, addr);
	char name[ADDR_TEXT_SIZE];

	if (member == NULL)
		return;
	damp(draft, addr_format(addr, name), member, (struct damping_look){0}, &choice);
	add_entry(draft, member, &choice);
}

static void add_strangers(struct draft *draft)
{
	struct direct *d = draft->direct;
	const struct choice choice = {.rule = MEMBER_FENCED};
	struct member *member;

	for (size_t i = 0; i < direct_names_count(d->names); i++) {
		const struct addr *addr = direct_names_at(d->names, i);
		if (!is_in_view(draft, addr) && !is_own_port(d, addr) &&
		    !suspects_have(&d->suspects, addr))
			add_stranger(draft, addr);
	}
	while ((member = roster_keep_used(d->roster, 0)) != NULL)
		add_entry(draft, member, &choice);
}

static bool comes_before(const struct slot *a, const struct slot *b)
{
	return a->place < b->place;
}

static bool is_clearly_nearer(const struct slot *a, const struct slot *b)
{
	return nearness_is_clearly_less(&a->nearness, &b->nearness);
}

/* Stable, and good enough for an order that is not a total one. */
static void sort(struct draft *draft, bool (*is_less)(const struct slot *a, const struct slot *b))
{
	for (size_t i = 1; i < draft->count; i++) {
		struct slot slot = draft->slots[i];
		size_t j = i;

		for (; j > 0 && is_less(&slot, &draft->slots[j - 1]); j--)
			draft->slots[j] = draft->slots[j - 1];
		draft->slots[j] = slot;
	}
}

/* By nearness only those are exchanged that clearly are nearer than the ones that were
 * before them: the first does not change with every sample. */
static void put_in_order(struct draft *draft)
{
	enum direct_balance balance = draft->direct->settings->balance;

	if (balance == DIRECT_NEAREST || balance == DIRECT_DNS_ORDER)
		sort(draft, comes_before);
	if (balance == DIRECT_NEAREST)
		sort(draft, is_clearly_nearer);
}

static enum member_balance balance_of(const struct direct_settings *settings)
{
	switch (settings->balance) {
	case DIRECT_LEAST:
		return MEMBER_LEAST;
	case DIRECT_RANDOM:
		return MEMBER_RANDOM;
	case DIRECT_NEAREST:
	case DIRECT_DNS_ORDER:
		break;
	}
	return MEMBER_FIRST;
}

static void fill(struct draft *draft)
{
	struct direct *d = draft->direct;
	bool has_view = d->view != NULL && view_status(d->view) == VIEW_OK;

	snprintf(draft->problem, sizeof(draft->problem), "%s",
		 has_view ? "nobody who is known as what is asked for, healthy and near enough to "
			    "the leader's position"
			  : "no acceptable cluster data yet");
	if (has_view && d->settings->target == DIRECT_LOCAL &&
	    local_member_find(&d->settings->local, d->view, &draft->local, draft->problem) < 0)
		draft->local = NULL;
	for (size_t i = 0; has_view && i < view_member_count(d->view); i++)
		add_view_member(draft, view_member_at(d->view, i));
	if (has_view && d->settings->target == DIRECT_NAME)
		add_strangers(draft);
}

static struct member_set *make_set(const struct draft *draft)
{
	struct member_entry entries[MAX_ENTRIES];

	for (size_t i = 0; i < draft->count; i++)
		entries[i] = draft->slots[i].entry;
	return member_set_new(balance_of(draft->direct->settings), entries, draft->count);
}

static void look_again_later(struct direct *d, bool is_said, int64_t now_ms)
{
	int64_t next_ms = damping_next_ms(&d->damping);

	if (!is_said && now_ms + DIRECT_LOG_EVERY_MS < next_ms)
		next_ms = now_ms + DIRECT_LOG_EVERY_MS;
	if (next_ms == INT64_MAX)
		loop_timer_stop(&d->later);
	else
		loop_timer_start(&d->later, next_ms - now_ms);
}

/* Returns whether the set has changed. Without memory it becomes empty: no session goes
 * on with members that may not be what they were. */
static bool rebuild(struct direct *d)
{
	struct draft *draft = calloc(1, sizeof(*draft));
	struct member_set *set = NULL;

	roster_begin(d->roster);
	if (draft != NULL) {
		draft->direct = d;
		draft->now_ms = clock_boot_ms();
		damping_begin(&d->damping);
		fill(draft);
		damping_end(&d->damping, draft->now_ms);
		put_in_order(draft);
		set = make_set(draft);
		bool is_said = direct_log_members(&d->log, set, draft->problem, draft->now_ms);
		look_again_later(d, is_said, draft->now_ms);
	}
	roster_end(d->roster);
	free(draft);
	if (set != NULL && member_sets_are_equal(set, d->set)) {
		member_set_unref(&set);
		return false;
	}
	member_set_unref(&d->set);
	d->set = set;
	return true;
}

static void on_news(void *arg)
{
	struct direct *d = arg;

	if (!d->is_closed && rebuild(d))
		d->cb(d->arg);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	on_news(arg);
}

static void on_listening_changed(void *arg)
{
	struct direct *d = arg;

	d->cb(d->arg);
}

int direct_new(const struct direct_settings *settings, struct loop *loop, struct dns *dns,
	       const struct listening *leader_port, unsigned workers, direct_cb *cb, void *arg,
	       struct direct **ret_direct)
{
	struct direct *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return -ENOMEM;
	d->settings = settings;
	d->choice =
		(struct choice_settings){settings->target, settings->fallback, settings->strict};
	d->dns = dns;
	d->leader_port = leader_port;
	d->cb = cb;
	d->arg = arg;
	d->damping.longest_ms = settings->hold_off_ms;
	loop_timer_init(&d->later, loop, on_later, d);
	standings_init(&d->standings, settings->keeps_promoted);
	int r = direct_names_new(settings, dns, on_news, d, &d->names);
	if (r == 0)
		r = roster_new(loop, settings->balance == DIRECT_NEAREST, on_news, d, &d->roster);
	if (r == 0)
		r = listening_new(&settings->listening, dns, workers, settings->dns_timeout_ms,
				  on_listening_changed, d, &d->listening);
	if (r < 0)
		direct_free(&d);
	else
		*ret_direct = d;
	return r;
}

void direct_free(struct direct **direct)
{
	struct direct *d = TAKE_PTR(*direct);

	if (d == NULL)
		return;
	loop_timer_stop(&d->later);
	listening_free(&d->listening);
	roster_free(&d->roster);
	direct_names_free(&d->names);
	member_set_unref(&d->set);
	standings_deinit(&d->standings);
	view_unref(&d->view);
	free(d);
}

bool direct_take_view(struct direct *direct, struct view *view)
{
	struct direct *d = direct;

	if (d == NULL)
		return false;
	struct view *before = d->view;
	d->view = view_ref(view);
	view_unref(&before);
	lag_note(&d->lag, view, clock_boot_ms());
	/* Without memory nobody is known, and so nobody is led to. */
	if (standings_take(&d->standings, view) < 0)
		log_error("direct port: no memory for the members");
	direct_names_take_view(d->names, view);
	return rebuild(d);
}

/* A PostgreSQL of this machine whose port and address we would take, also if it does not
 * run at this moment. NULL: there is none. */
static const struct view_member *find_in_the_way(const struct direct *d)
{
	struct addr addr;

	for (size_t i = 0; d->view != NULL && i < view_member_count(d->view); i++) {
		const struct view_member *m = view_member_at(d->view, i);
		if (direct_names_address(d->names, m, &addr) &&
		    listening_is_reached_by(d->listening, &addr))
			return m;
	}
	return NULL;
}

void direct_open(struct direct *direct)
{
	struct direct *d = direct;

	if (d == NULL || d->view == NULL)
		return;
	const struct view_member *m = find_in_the_way(d);
	if (m == NULL) {
		d->is_in_the_way = false;
		listening_open(d->listening);
		return;
	}
	if (!d->is_in_the_way)
		log_error("direct port: not opened, since PostgreSQL of this machine is to listen "
			  "there: --direct-port or --direct-listen-address must be another",
			  log_text("address", m->listen_address), log_text("port", m->port),
			  log_text("member", m->uid));
	d->is_in_the_way = true;
	if (listening_set(d->listening) != NULL) {
		listening_close(d->listening);
		d->cb(d->arg);
	}
}

void direct_close(struct direct *direct)
{
	if (direct == NULL)
		return;
	direct->is_closed = true;
	loop_timer_stop(&direct->later);
	listening_close(direct->listening);
	member_set_unref(&direct->set);
}

void direct_closed(struct direct *direct)
{
	if (direct != NULL)
		listening_closed(direct->listening);
}

void direct_look_after_members(struct direct *direct)
{
	if (direct != NULL)
		roster_look_after(direct->roster);
}

struct member_set *direct_members(const struct direct *direct)
{
	return direct == NULL ? NULL : direct->set;
}

struct listen_set *direct_listen_set(const struct direct *direct)
{
	return direct == NULL ? NULL : listening_set(direct->listening);
}

bool direct_is_reached_by(const struct direct *direct, const struct addr *addr)
{
	return direct != NULL && listening_is_reached_by(direct->listening, addr);
}
