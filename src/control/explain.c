/* Turns a stream of checks into few lines: the first of a kind, a reminder now
 * and then, and the end with its duration. */
#include "control/explain.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define REMIND_AFTER_MS 60000

static const struct {
	const char *begins;
	const char *ends;
	const char *stolon;
	const char *stolon_error; /* the prefix of its error field */
} troubles[TROUBLE_COUNT] = {
	[TROUBLE_STORE_READ] = {"store: cannot read the cluster data",
				"store: the cluster data can be read again", "check function error",
				"cannot get cluster data: "},
	[TROUBLE_STORE_WRITE] = {"store: cannot write our proxy info",
				 "store: our proxy info can be written again",
				 "failed to update proxyInfo", ""},
	[TROUBLE_DATA] =
		{"store: the cluster data cannot be decoded, sessions stay until the deadline",
		 "store: the cluster data can be decoded again", "check function error",
		 "cannot get cluster data: "},
};

static const struct {
	const char *text;
	const char *key; /* of the detail */
	const char *stolon;
} situations[SITUATION_COUNT] = {
	[SITUATION_NO_CLUSTER_DATA] = {"nobody is routed: there is no cluster data", NULL,
				       "no clusterdata available, closing connections to master"},
	[SITUATION_BAD_CLUSTER_DATA] = {"nobody is routed: the cluster data is not acceptable",
					"error", "check function error"},
	[SITUATION_NO_PROXY_OBJECT] = {"nobody is routed: the cluster data has no proxy object",
				       NULL,
				       "no proxy object available, closing connections to master"},
	[SITUATION_NO_LEADER] = {"nobody is routed: no leader is named", "db",
				 "no db object available, closing connections to master"},
	[SITUATION_NO_ADDRESS] = {"nobody is routed: the leader's address or port is empty", "db",
				  "no db object available, closing connections to master"},
	[SITUATION_UNRESOLVED] = {"nobody is routed: the leader's address cannot be resolved",
				  "error", "cannot resolve db address"},
	[SITUATION_RESOLVING] = {"nobody is routed: the leader's address is being resolved",
				 "address", "master address"},
	[SITUATION_LOOP] = {"nobody is routed: the leader's address leads back to this proxy",
			    "address", "not proxying to master address since it is our own"},
	[SITUATION_NOT_ENABLED] = {"nobody is routed: the sentinel has not enabled this proxy",
				   "address",
				   "not proxying to master address since we aren't in the enabled "
				   "proxies list"},
	[SITUATION_ROUTED] = {"the leader is known", "address", "master address"},
};

void explain_init(struct explain *explain)
{
	*explain = (struct explain){0};
}

/* True when it is to be logged: new, other than before, or a reminder is due. */
static bool note(struct explain_state *s, const char *text)
{
	int64_t now_ms = clock_boot_ms();
	bool is_new = !s->active || strcmp(s->text, text) != 0;

	if (!s->active) {
		s->active = true;
		s->since_ms = now_ms;
		s->count = 0;
	}
	s->count++;
	if (!is_new && now_ms - s->logged_ms < REMIND_AFTER_MS)
		return false;
	snprintf(s->text, sizeof(s->text), "%s", text);
	s->logged_ms = now_ms;
	return true;
}

void explain_trouble(struct explain *explain, enum trouble trouble, const char *text)
{
	char stolon_error[EXPLAIN_TEXT_SIZE + 32];
	struct explain_state *s = &explain->troubles[trouble];

	if (!note(s, text))
		return;
	snprintf(stolon_error, sizeof(stolon_error), "%s%s", troubles[trouble].stolon_error, text);
	log_error(troubles[trouble].begins, log_stolon(troubles[trouble].stolon),
		  log_text("error", stolon_error), log_number("count", s->count),
		  log_number("since_ms", clock_boot_ms() - s->since_ms));
}

void explain_recovered(struct explain *explain, enum trouble trouble)
{
	struct explain_state *s = &explain->troubles[trouble];

	if (!s->active)
		return;
	s->active = false;
	log_info(troubles[trouble].ends, log_number("failed", s->count),
		 log_number("after_ms", clock_boot_ms() - s->since_ms));
}

static void log_situation(enum situation situation, const char *detail, const char *why,
			  const char *proxy_uid, int64_t generation)
{
	enum log_level level = situation == SITUATION_UNRESOLVED || situation == SITUATION_LOOP ||
					       situation == SITUATION_NO_ADDRESS
				       ? LOG_LEVEL_ERROR
				       : LOG_LEVEL_INFO;
	bool is_uid = situation == SITUATION_NOT_ENABLED;
	const char *key = *why != '\0' ? "why" : situations[situation].key;

	LOG_AT(level, situations[situation].text, log_stolon(situations[situation].stolon),
	       log_text("reason", situation_name(situation)),
	       key == NULL ? log_text("detail", NULL) : log_text(key, *why != '\0' ? why : detail),
	       log_text("uid", is_uid ? proxy_uid : NULL), log_number("generation", generation));
}

void explain_situation(struct explain *explain, enum situation situation, const char *detail,
		       const char *why, const char *proxy_uid, int64_t generation)
{
	struct explain_state *s = &explain->situation;
	bool same = explain->known && explain->current == situation;

	/* A name that is looked up again is no news until there is an answer. */
	if (situation == SITUATION_RESOLVING && explain->current == SITUATION_UNRESOLVED)
		return;
	if (!same && s->active) {
		log_info("that has ended", log_text("reason", situation_name(explain->current)),
			 log_number("checks", s->count),
			 log_number("after_ms", clock_boot_ms() - s->since_ms));
		s->active = false;
	}
	explain->known = true;
	explain->current = situation;
	if (situation == SITUATION_ROUTED) {
		if (!same || strcmp(s->text, detail) != 0)
			log_situation(situation, detail, "", proxy_uid, generation);
		snprintf(s->text, sizeof(s->text), "%s", detail);
		return;
	}
	if (note(s, *why != '\0' ? why : detail))
		log_situation(situation, detail, why, proxy_uid, generation);
}
