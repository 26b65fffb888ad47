/* One timer asks whoever is due. What a member answers is never more than a hint for
 * the balance: sessions find out by themselves. */
#include "control/roster.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/pace.h"
#include "probe/reach.h"

#define ASK_TIMEOUT_MS 2000
/* With measuring: each member so often, but no more than so many in a second. */
#define MEASURE_EVERY_MS 1000
#define ASKED_PER_SECOND 20
#define FAILED_FIRST_MS  100
#define FAILED_MOST_MS   5000
/* So that a hundred members do not hold up the thread. */
#define ASKED_AT_ONCE  8
#define LEAST_PAUSE_MS 10
/* Of one member: that it failed is said so often in a row, then every so many ms. */
#define LINES_AT_ONCE 4
#define LINE_EVERY_MS 10000

struct entry {
	struct list node;
	struct roster *roster;
	struct member *member;
	uint64_t epoch;
	bool is_wanted; /* asked for in this pass */
	bool is_failed; /* as we know it, */
	bool is_said;   /* and have said it */
	struct pace pace;
	unsigned failures;
	int64_t ask_at_ms;   /* INT64_MAX: no reason to */
	struct reach *reach; /* under way */
	struct nearness nearness;
};

struct roster {
	struct loop *loop;
	bool measures;
	roster_cb *cb;
	void *arg;
	struct list entries;
	size_t count;
	struct loop_timer timer;
};

static int64_t measure_every_ms(const struct roster *r)
{
	int64_t all_ms = (int64_t)r->count * MS_PER_S / ASKED_PER_SECOND;

	return all_ms > MEASURE_EVERY_MS ? all_ms : MEASURE_EVERY_MS;
}

static int64_t retry_after_ms(const struct entry *e)
{
	int64_t delay_ms = FAILED_FIRST_MS;

	for (unsigned i = 1; i < e->failures && delay_ms < FAILED_MOST_MS; i++)
		delay_ms *= 2;
	return delay_ms < FAILED_MOST_MS ? delay_ms : FAILED_MOST_MS;
}

static void schedule(struct roster *r)
{
	int64_t next_ms = INT64_MAX;

	list_for_each (node, &r->entries) {
		const struct entry *e = CONTAINER_OF(node, struct entry, node);
		if (e->reach == NULL && e->ask_at_ms < next_ms)
			next_ms = e->ask_at_ms;
	}
	if (next_ms == INT64_MAX) {
		loop_timer_stop(&r->timer);
		return;
	}
	int64_t delay_ms = next_ms - clock_boot_ms();
	loop_timer_start(&r->timer, delay_ms > LEAST_PAUSE_MS ? delay_ms : LEAST_PAUSE_MS);
}

static void plan(struct entry *e)
{
	int64_t now_ms = clock_boot_ms();

	if (e->is_failed)
		e->ask_at_ms = now_ms + retry_after_ms(e);
	else
		e->ask_at_ms =
			e->roster->measures ? now_ms + measure_every_ms(e->roster) : INT64_MAX;
}

/* What was not said, because it fails and answers all the time, has no end to be said. */
static void say(struct entry *e, int error)
{
	const struct target *t = e->member->target;

	if (e->is_said == e->is_failed ||
	    (e->is_failed && !pace_allows(&e->pace, clock_boot_ms(), LINE_EVERY_MS, LINES_AT_ONCE)))
		return;
	e->is_said = e->is_failed;
	if (e->is_failed)
		log_warn("direct port: a member cannot be connected to, others are preferred",
			 log_text("member", t->member), log_text("address", t->published),
			 log_text("error", error < 0 ? err_text(error) : "by a session"));
	else
		log_info("direct port: a member answers again", log_text("member", t->member),
			 log_text("address", t->published));
}

static void set_failed(struct entry *e, bool is_failed, int error)
{
	if (e->is_failed != is_failed)
		e->failures = 0;
	e->is_failed = is_failed;
	say(e, error);
}

static void tell_workers(struct member *member, bool is_failed)
{
	atomic_store_explicit(&member->failed, is_failed, memory_order_relaxed);
}

static void on_answer(int error, int64_t took_us, void *arg)
{
	struct entry *e = arg;
	struct roster *r = e->roster;
	bool was_failed = e->is_failed;
	struct member *member = member_ref(e->member);

	e->reach = NULL;
	if (error == ERR_SYNTAX)
		error = 0; /* something answers: whether it is of use, sessions find out */
	set_failed(e, error < 0, error);
	if (error < 0) {
		tell_workers(member, true);
		e->failures++;
	}
	nearness_note(&e->nearness, error < 0 ? NEARNESS_UNREACHABLE : took_us);
	plan(e);
	schedule(r);
	if (r->measures || e->is_failed != was_failed)
		r->cb(r->arg);
	/* Last, and e may be gone: by now the set has it where it belongs, which may be
	 * behind others. */
	if (error == 0)
		tell_workers(member, false);
	member_unref(&member);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct roster *r = arg;
	int64_t now_ms = clock_boot_ms();
	unsigned asked = 0;

	list_for_each (node, &r->entries) {
		struct entry *e = CONTAINER_OF(node, struct entry, node);
		if (e->reach != NULL || now_ms < e->ask_at_ms || asked++ >= ASKED_AT_ONCE)
			continue;
		int error = reach_start(r->loop, &e->member->target->addrs[0], ASK_TIMEOUT_MS,
					on_answer, e, &e->reach);
		if (error < 0) { /* ours, not the member's */
			e->failures++;
			e->ask_at_ms = now_ms + retry_after_ms(e);
		}
	}
	schedule(r);
}

int roster_new(struct loop *loop, bool measures, roster_cb *cb, void *arg,
	       struct roster **ret_roster)
{
	struct roster *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->loop = loop;
	r->measures = measures;
	r->cb = cb;
	r->arg = arg;
	list_init(&r->entries);
	loop_timer_init(&r->timer, loop, on_timer, r);
	*ret_roster = r;
	return 0;
}

static void entry_free(struct entry *e)
{
	list_remove(&e->node);
	e->roster->count--;
	reach_cancel(&e->reach);
	member_unref(&e->member);
	free(e);
}

void roster_free(struct roster **roster)
{
	struct roster *r = TAKE_PTR(*roster);

	if (r == NULL)
		return;
	list_for_each_safe (node, &r->entries)
		entry_free(CONTAINER_OF(node, struct entry, node));
	loop_timer_stop(&r->timer);
	free(r);
}

void roster_begin(struct roster *roster)
{
	list_for_each (node, &roster->entries)
		CONTAINER_OF(node, struct entry, node)->is_wanted = false;
}

static struct entry *find(struct roster *r, const char *uid, uint64_t epoch,
			  const struct addr *addr)
{
	list_for_each (node, &r->entries) {
		struct entry *e = CONTAINER_OF(node, struct entry, node);
		const struct target *t = e->member->target;
		if (e->epoch == epoch && addr_equal(&t->addrs[0], addr) &&
		    strcmp(t->member, uid) == 0)
			return e;
	}
	return NULL;
}

static struct entry *entry_new(struct roster *r, const char *uid, uint64_t epoch, const char *host,
			       const char *port, const struct addr *addr)
{
	struct target *target = target_new(uid, host, port, addr, 1);
	struct member *member = target == NULL ? NULL : member_new(target);
	struct entry *e = member == NULL ? NULL : calloc(1, sizeof(*e));

	target_unref(&target);
	if (e == NULL) {
		member_unref(&member);
		return NULL;
	}
	e->roster = r;
	e->member = member;
	e->epoch = epoch;
	e->ask_at_ms = r->measures ? clock_boot_ms() : INT64_MAX;
	list_append(&r->entries, &e->node);
	r->count++;
	return e;
}

struct member *roster_get(struct roster *roster, const char *uid, uint64_t epoch, const char *host,
			  const char *port, const struct addr *addr)
{
	struct entry *e = find(roster, uid, epoch, addr);

	if (e == NULL)
		e = entry_new(roster, uid, epoch, host, port, addr);
	if (e == NULL)
		return NULL;
	e->is_wanted = true;
	return e->member;
}

void roster_end(struct roster *roster)
{
	list_for_each_safe (node, &roster->entries) {
		struct entry *e = CONTAINER_OF(node, struct entry, node);
		if (!e->is_wanted)
			entry_free(e);
	}
	schedule(roster);
}

struct member *roster_keep_used(struct roster *roster, uint64_t epoch)
{
	list_for_each (node, &roster->entries) {
		struct entry *e = CONTAINER_OF(node, struct entry, node);
		if (e->is_wanted || e->epoch != epoch || !member_is_in_use(e->member))
			continue;
		e->is_wanted = true;
		return e->member;
	}
	return NULL;
}

static const struct entry *entry_of(const struct roster *r, const struct member *member)
{
	list_for_each (node, &r->entries) {
		const struct entry *e = CONTAINER_OF(node, struct entry, node);
		if (e->member == member)
			return e;
	}
	return NULL;
}

struct nearness roster_nearness(const struct roster *roster, const struct member *member)
{
	const struct entry *e = entry_of(roster, member);

	return e == NULL ? (struct nearness){0} : e->nearness;
}

bool roster_has_failed(const struct roster *roster, const struct member *member)
{
	const struct entry *e = entry_of(roster, member);

	return e != NULL && e->is_failed;
}

void roster_look_after(struct roster *roster)
{
	bool any = false;

	list_for_each (node, &roster->entries) {
		struct entry *e = CONTAINER_OF(node, struct entry, node);
		if (e->is_failed || !atomic_load_explicit(&e->member->failed, memory_order_relaxed))
			continue;
		set_failed(e, true, 0);
		plan(e);
		any = true;
	}
	if (!any)
		return;
	schedule(roster);
	roster->cb(roster->arg);
}
