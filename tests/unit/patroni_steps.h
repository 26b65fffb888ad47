/* Tables of events for routing/patroni_policy, what it decides after each, and the
 * clusters that they are about. */
#ifndef PGSPLICE_UNIT_PATRONI_STEPS_H
#define PGSPLICE_UNIT_PATRONI_STEPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "patroni_keys.h"
#include "routing/patroni_policy.h"

#define RECORD(name, host, revision, state, role, timeline)                                        \
	"members/" name "@2:" revision " {\"conn_url\":\"postgres://" host                         \
	"/x\",\"state\":\"" state "\",\"role\":\"" role "\",\"timeline\":" timeline                \
	",\"version\":\"4.1.5\"}\n"
#define MEMBER(name, revision, role, timeline)                                                     \
	RECORD(name, name ".db", revision, "running", role, timeline)
#define ID      "initialize 77\n"
#define PG1     MEMBER("pg1", "20", "primary", "2")
#define PG2     MEMBER("pg2", "21", "replica", "2")
#define BOTH    ID PG1 PG2
#define LED     "leader@8 pg1\n" BOTH
#define OTHER   "leader@30 pg2\n" BOTH
#define NO_LOCK BOTH
#define GONE    ID PG2
#define PAUSE   "config {\"pause\":true}\n"

enum kind {
	END,
	READ,  /* a read that was sent now brings these keys */
	WATCH, /* a watch does */
	LOST,
	BACK,
	SAYS, /* "pg1 writable", and perhaps timeline, ms ago, system: "pg1 writable 2 0 77" */
	TICK,
};

struct step {
	int64_t at_ms;
	enum kind kind;
	const char *what;
	enum patroni_reason reason;
	const char *routed; /* NULL: nobody */
};

#define MAX_STEPS 20

struct sequence {
	const char *title;
	enum patroni_confirm confirm;
	enum patroni_outage outage;
	int64_t debounce_ms;
	struct step steps[MAX_STEPS];
};

static const char *const answers[] = {"none", "unreachable", "refused", "read-only", "writable"};

static struct patroni_policy policy;

static inline void say(const char *what, int64_t now_ms)
{
	char member[20];
	char address[40];
	char answer[20];
	unsigned timeline = 0;
	unsigned system_id = 0;
	unsigned ago_ms = 0;
	struct patroni_probe probe = {.member = member, .address = address};

	assert_true(sscanf(what, "%19s %19s %u %u %u", member, answer, &timeline, &ago_ms,
			   &system_id) >= 2);
	snprintf(address, sizeof(address), "%s.db:5432", member);
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		if (strcmp(answer, answers[i]) == 0)
			probe.answer = (enum patroni_answer)i;
	}
	probe.timeline = timeline;
	probe.system_id = system_id;
	probe.sent_ms = now_ms - ago_ms;
	patroni_policy_probe(&policy, &probe, now_ms);
}

static inline void show(const char *keys, int64_t read_sent_ms, int64_t now_ms)
{
	struct patroni_view *view = keys_view(keys);

	patroni_policy_view(&policy, view, read_sent_ms, now_ms);
	patroni_view_unref(&view);
}

static inline void take(const struct step *step)
{
	switch (step->kind) {
	case READ:
		show(step->what, step->at_ms, step->at_ms);
		break;
	case WATCH:
		show(step->what, 0, step->at_ms);
		break;
	case LOST:
		patroni_policy_store_lost(&policy, step->at_ms);
		break;
	case BACK:
		patroni_policy_store_back(&policy, step->at_ms);
		break;
	case SAYS:
		say(step->what, step->at_ms);
		break;
	case TICK:
		patroni_policy_tick(&policy, step->at_ms);
		break;
	case END:
		break;
	}
}

static inline void check_step(const struct sequence *s, size_t index)
{
	const struct step *step = &s->steps[index];
	struct patroni_decision d;

	take(step);
	d = patroni_policy_decide(&policy, step->at_ms);
	if (d.reason != step->reason || (d.member == NULL) != (step->routed == NULL) ||
	    (d.member != NULL && strcmp(d.member, step->routed) != 0))
		fail_msg("%s, step %zu: %s, routed to %s", s->title, index,
			 patroni_reason_name(d.reason), d.member == NULL ? "nobody" : d.member);
	assert_true(d.valid_until_ms > step->at_ms && d.look_again_ms >= step->at_ms);
	assert_int_equal(d.member == NULL, d.reason >= PATRONI_NO_VIEW);
	assert_int_equal(d.address == NULL, d.member == NULL);
	if (s->confirm == PATRONI_CONFIRM_NEVER)
		assert_int_equal(d.wish_count, 0);
}

static inline void check_sequences(const struct sequence *sequences, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct patroni_policy_settings settings = {
			sequences[i].confirm, sequences[i].outage, sequences[i].debounce_ms};
		patroni_policy_init(&policy, &settings);
		for (size_t j = 0; j < MAX_STEPS && sequences[i].steps[j].kind != END; j++)
			check_step(&sequences[i], j);
		patroni_policy_deinit(&policy);
	}
}

#define ALWAYS PATRONI_CONFIRM_ALWAYS, PATRONI_OUTAGE_CONFIRM
#define STRICT PATRONI_CONFIRM_ALWAYS, PATRONI_OUTAGE_STRICT
#define AUTO   PATRONI_CONFIRM_AUTO, PATRONI_OUTAGE_CONFIRM
#define NEVER  PATRONI_CONFIRM_NEVER, PATRONI_OUTAGE_CONFIRM

/* How most sequences begin: pg1 is routed at 1100. */
#define OPENS                                                                                      \
	{1000, READ, LED, PATRONI_UNCONFIRMED, NULL},                                              \
	{                                                                                          \
		1100, SAYS, "pg1 writable 2", PATRONI_ROUTED, "pg1"                                \
	}

#endif
