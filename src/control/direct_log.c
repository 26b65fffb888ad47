/* What is said of the direct port's members. They may change with every answer of a
 * server: what has changed often is said later, as it is then. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "direct_private.h"
#include "routing/choice.h"

#define LINES_AT_ONCE 8

static size_t add(char text[static DIRECT_TEXT_SIZE], size_t size, const char *word)
{
	int n = snprintf(text + size, DIRECT_TEXT_SIZE - size, "%s%s", size > 0 ? "," : "", word);

	if (n > 0 && size + (size_t)n < DIRECT_TEXT_SIZE)
		return size + (size_t)n;
	text[size] = '\0';
	return size;
}

/* The addresses of those that get new sessions, damped or not. Returns how many. */
static int list(const struct member_set *set, bool is_damped, char text[static DIRECT_TEXT_SIZE])
{
	char address[ADDR_TEXT_SIZE];
	size_t size = 0;
	int count = 0;

	*text = '\0';
	for (size_t i = 0; set != NULL && i < set->count; i++) {
		const struct member_entry *e = &set->entries[i];
		if (!e->takes_new || (e->rank == CHOICE_DAMPED) != is_damped)
			continue;
		size = add(text, size, addr_format(&e->member->target->addrs[0], address));
		count++;
	}
	return count;
}

bool direct_log_members(struct direct_log *log, const struct member_set *set, const char *problem,
			int64_t now_ms)
{
	char text[DIRECT_TEXT_SIZE];
	char damped[DIRECT_TEXT_SIZE];
	char both[2 * DIRECT_TEXT_SIZE];
	char unsaid[16];
	int count = list(set, false, text) + list(set, true, damped);

	snprintf(both, sizeof(both), "%s;%s", count > 0 ? text : problem, damped);
	if (strcmp(both, log->said) == 0) {
		log->unsaid = 0;
		return true;
	}
	if (!pace_allows(&log->pace, now_ms, DIRECT_LOG_EVERY_MS, LINES_AT_ONCE)) {
		log->unsaid++;
		return false;
	}
	memcpy(log->said, both, sizeof(both));
	snprintf(unsaid, sizeof(unsaid), "%u", log->unsaid);
	if (count > 0)
		log_info("direct port: members", log_text("addresses", *text != '\0' ? text : NULL),
			 log_text("left_out", *damped != '\0' ? damped : NULL),
			 log_number("count", count),
			 log_text("changes_unsaid", log->unsaid > 0 ? unsaid : NULL));
	else
		log_warn("direct port: there is no member to lead to", log_text("reason", problem),
			 log_text("changes_unsaid", log->unsaid > 0 ? unsaid : NULL));
	log->unsaid = 0;
	return true;
}

void direct_log_left_out(const struct target *target, enum damping_fault was, int64_t for_ms)
{
	log_warn("direct port: a member keeps coming and going, others are preferred",
		 log_text("member", target->member), log_text("address", target->published),
		 log_text("reason", damping_fault_name(was)), log_number("for_ms", for_ms));
}
