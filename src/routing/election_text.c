/* An election in words, for logs and metrics. */
#include <stdio.h>

#include "base/check.h"
#include "election_private.h"

const char *election_role_name(enum election_role role)
{
	static const char *const names[] = {
		[ELECTION_ROLE_UNKNOWN] = "unknown",
		[ELECTION_ROLE_UNASKABLE] = "unaskable",
		[ELECTION_ROLE_DOWN] = "down",
		[ELECTION_ROLE_STARTING] = "starting",
		[ELECTION_ROLE_READ_ONLY] = "read-only",
		[ELECTION_ROLE_STANDBY] = "standby",
		[ELECTION_ROLE_AHEAD] = "ahead",
		[ELECTION_ROLE_WRITABLE] = "writable",
		[ELECTION_ROLE_STALE] = "stale",
		[ELECTION_ROLE_OTHER_SYSTEM] = "other-system",
		[ELECTION_ROLE_LEADER] = "leader",
	};

	CHECK(role < ARRAY_LEN(names));
	return names[role];
}

bool election_role_is_alarming(enum election_role role)
{
	return role == ELECTION_ROLE_UNASKABLE || role == ELECTION_ROLE_STALE ||
	       role == ELECTION_ROLE_OTHER_SYSTEM;
}

static const struct {
	const char *name;
	bool is_alarming;
} reasons[] = {
	[ELECTION_ROUTED] = {"routed", false},
	[ELECTION_NO_MEMBERS] = {"no-members", false},
	[ELECTION_NO_ANSWERS] = {"no-answers", false},
	[ELECTION_NO_WRITABLE] = {"no-writable", false},
	[ELECTION_ASKING] = {"asking", false},
	[ELECTION_UNCERTAIN] = {"uncertain", false},
	[ELECTION_NO_MAJORITY] = {"no-majority", false},
	[ELECTION_STALE_TIMELINE] = {"stale-timeline", true},
	[ELECTION_OTHER_SYSTEM] = {"other-system", true},
	[ELECTION_SYSTEMS_DIFFER] = {"systems-differ", true},
	[ELECTION_TWO_WRITABLE] = {"two-writable", true},
	[ELECTION_CONTESTED] = {"contested", true},
};

const char *election_reason_name(enum election_reason reason)
{
	CHECK(reason < ARRAY_LEN(reasons));
	return reasons[reason].name;
}

bool election_reason_is_alarming(enum election_reason reason)
{
	CHECK(reason < ARRAY_LEN(reasons));
	return reasons[reason].is_alarming;
}

static void print_member(FILE *out, const char *before, const struct election_member *m)
{
	if (m == NULL)
		return;
	fprintf(out, "%s%s (%s", before, m->name, m->address);
	if (m->timeline != 0)
		fprintf(out, ", timeline %u", (unsigned)m->timeline);
	if (m->role == ELECTION_ROLE_OTHER_SYSTEM)
		fprintf(out, ", system %llu", (unsigned long long)m->system_id);
	fputc(')', out);
}

void election_describe(const struct election *election, char *text, size_t size)
{
	const struct election_decision *d = &election->decision;
	FILE *out = fmemopen(text, size, "w");

	text[0] = '\0';
	if (out == NULL)
		return;
	fputs(election_reason_name(d->reason), out);
	print_member(out, ": ", d->leader);
	print_member(out, ": ", d->about[0]);
	print_member(out, " and ", d->about[1]);
	if (d->reason == ELECTION_NO_MAJORITY)
		fprintf(out, ", %zu of %zu members answer", d->answering, election->count);
	if (d->reason == ELECTION_STALE_TIMELINE)
		fprintf(out, ", timeline %u was writable before", (unsigned)d->timeline);
	if (d->reason == ELECTION_OTHER_SYSTEM)
		fprintf(out, ", ours is %llu", (unsigned long long)d->system_id);
	fclose(out);
	text[size - 1] = '\0';
}
