/* What the files of the direct port share: the names behind it (direct_names.c), that of
 * its target and those that members have in place of addresses; and what is said of its
 * members (direct_log.c). Control thread. */
#ifndef PGSPLICE_CONTROL_DIRECT_PRIVATE_H
#define PGSPLICE_CONTROL_DIRECT_PRIVATE_H

#include "base/pace.h"
#include "control/direct.h"
#include "routing/damping.h"
#include "routing/member_set.h"

struct direct_names;

/* Called from the loop when an answer has changed. */
typedef void direct_names_cb(void *arg);

MUST_CHECK int direct_names_new(const struct direct_settings *settings, struct dns *dns,
				direct_names_cb *cb, void *arg, struct direct_names **ret_names);
void direct_names_free(struct direct_names **names);

/* Follows the names of this view's members, and no others any more. */
void direct_names_take_view(struct direct_names *names, const struct view *view);

/* The address of a member, with the port. Of a name with several it is the first, and
 * stays the same one as long as the name has it. False: not known yet, or none. */
bool direct_names_address(const struct direct_names *names, const struct view_member *member,
			  struct addr *ret);

/* The answer for the target's name, with the port. */
size_t direct_names_count(const struct direct_names *names);
const struct addr *direct_names_at(const struct direct_names *names, size_t index);
bool direct_names_answer(const struct direct_names *names, const struct addr *addr);
/* Where in it an address is; behind all if it is not. */
size_t direct_names_place(const struct direct_names *names, const struct addr *addr);

#define DIRECT_TEXT_SIZE    300
#define DIRECT_LOG_EVERY_MS 10000

/* All zeros to begin with. */
struct direct_log {
	char said[2 * DIRECT_TEXT_SIZE]; /* of the members, last */
	struct pace pace;
	unsigned unsaid; /* changes since */
};

/* Who gets new sessions, if that is not what was said last. problem: why nobody does.
 * False: not now, since that was said too often already. */
bool direct_log_members(struct direct_log *log, const struct member_set *set, const char *problem,
			int64_t now_ms);
/* A member is back, but left out for a while. */
void direct_log_left_out(const struct target *target, enum damping_fault was, int64_t for_ms);

#endif
