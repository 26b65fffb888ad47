/* Elections as text. A step is "MS event event : expectation expectation". Events:
 *   =abc     these are the members; a capital letter is a name without an address
 *   a=w2     a's answer: w(ritable), o (read-only), r(ecovery), s(tarting), x (refused),
 *            t(imeout), e (cannot be asked), with its timeline
 *   a=w2/8   of system 8; without: of system 7 if it tells a timeline, else unknown
 *   a=w2@900 asked at 900 ms; without: at this moment
 * Expectations: a leader's letter or a reason's name; a?standby for a role; #2 for the
 * term; <8000 for valid_until; hurry, calm; a! for a member to be asked at once. */
#ifndef PGSPLICE_TESTS_ELECTION_SCRIPT_H
#define PGSPLICE_TESTS_ELECTION_SCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "routing/election.h"

#define SCRIPT_STEPS 12

struct script {
	const char *title;
	const char *steps[SCRIPT_STEPS];
};

static const struct election_settings script_settings = {
	.interval_ms = 1000, .timeout_ms = 2000, .fall = 3};

static inline void script_set_members(struct election *e, const char *letters, int64_t now_ms)
{
	struct election_place places[16];
	char texts[16][2][8];
	size_t count = strlen(letters);

	assert_true(count <= ARRAY_LEN(places));
	for (size_t i = 0; i < count; i++) {
		bool has_address = letters[i] >= 'a';
		snprintf(texts[i][0], sizeof(texts[i][0]), "%c", letters[i]);
		snprintf(texts[i][1], sizeof(texts[i][1]), has_address ? "%c:1" : "", letters[i]);
		places[i] = (struct election_place){texts[i][0], texts[i][1]};
	}
	assert_int_equal(election_set_members(e, places, count, now_ms), 0);
}

static inline enum election_outcome script_outcome(char letter)
{
	static const char letters[] = "worsxte";
	const char *found = strchr(letters, letter);

	assert_true(found != NULL && letter != '\0');
	return (enum election_outcome)(found - letters);
}

static inline void script_answer(struct election *e, const char *event, int64_t now_ms)
{
	char address[4] = {event[0], ':', '1', '\0'};
	struct election_answer answer = {.address = address, .sent_ms = now_ms};
	unsigned timeline = 0;
	unsigned long long system = 0;
	long long sent = 0;
	const char *slash = strchr(event, '/');
	const char *at = strchr(event, '@');

	assert_int_equal(event[1], '=');
	answer.outcome = script_outcome(event[2]);
	if (sscanf(event + 3, "%u", &timeline) == 1)
		system = 7;
	if (slash != NULL)
		assert_int_equal(sscanf(slash + 1, "%llu", &system), 1);
	if (at != NULL && sscanf(at + 1, "%lld", &sent) == 1)
		answer.sent_ms = sent;
	answer.timeline = timeline;
	answer.system_id = system;
	election_take_answer(e, &answer, now_ms);
}

static inline const struct election_member *script_member(const struct election *e, char letter)
{
	for (size_t i = 0; i < election_member_count(e); i++) {
		if (election_member_at(e, i)->name[0] == letter)
			return election_member_at(e, i);
	}
	fail_msg("no member %c", letter);
	return NULL;
}

static inline bool script_is_met(const struct election *e, const char *expected)
{
	const struct election_decision *d = election_decision(e);
	long long number = 0;

	if (sscanf(expected, "#%lld", &number) == 1)
		return d->term == (uint64_t)number;
	if (sscanf(expected, "<%lld", &number) == 1)
		return d->valid_until_ms == number;
	if (strcmp(expected, "hurry") == 0 || strcmp(expected, "calm") == 0)
		return d->hurry == (expected[0] == 'h');
	if (expected[1] == '?') {
		const struct election_member *m = script_member(e, expected[0]);
		return strcmp(election_role_name(m->role), expected + 2) == 0;
	}
	if (expected[1] == '!')
		return script_member(e, expected[0])->ask_now;
	if (expected[1] == '\0')
		return d->reason == ELECTION_ROUTED && d->leader != NULL &&
		       d->leader->name[0] == expected[0];
	return d->leader == NULL && strcmp(election_reason_name(d->reason), expected) == 0;
}

static inline void script_step(struct election *e, const struct script *s, const char *step)
{
	char words[200];
	char text[200];
	char *rest = NULL;
	bool expects = false;
	long long now_ms = 0;

	assert_true(strlen(step) < sizeof(words));
	snprintf(words, sizeof(words), "%s", step);
	const char *word = strtok_r(words, " ", &rest);
	assert_int_equal(sscanf(word, "%lld", &now_ms), 1);
	election_tick(e, now_ms);
	while ((word = strtok_r(NULL, " ", &rest)) != NULL) {
		if (strcmp(word, ":") == 0)
			expects = true;
		else if (!expects && word[0] == '=')
			script_set_members(e, word + 1, now_ms);
		else if (!expects)
			script_answer(e, word, now_ms);
		else if (!script_is_met(e, word)) {
			election_describe(e, text, sizeof(text));
			fail_msg("%s, \"%s\": not %s but %s", s->title, step, word, text);
		}
	}
	assert_true(expects);
}

static inline void scripts_run(const struct script *scripts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct election *e = election_new(&script_settings);

		assert_non_null(e);
		for (size_t n = 0; n < SCRIPT_STEPS && scripts[i].steps[n] != NULL; n++)
			script_step(e, &scripts[i], scripts[i].steps[n]);
		election_free(&e);
	}
}

#endif
