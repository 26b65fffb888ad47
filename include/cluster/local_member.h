/* Which member of the cluster runs on this machine.
 *
 * Said by the user, or found: the keeper's UID in its state file, which is not doubted;
 * else the UID that Fly's images make of the machine's own address (fly-local-6pn in
 * the hosts file: the last four groups without colons and without the first zeros of
 * each, fdaa:0:2e26:a7b:775b:4009:bf60:2 gives 775b4009bf602); else, or if that UID is
 * nobody's, the one member whose published address is an IP address of this host.
 * Control thread; reads small local files. */
#ifndef PGSPLICE_CLUSTER_LOCAL_MEMBER_H
#define PGSPLICE_CLUSTER_LOCAL_MEMBER_H

#include "base/cleanup.h"
#include "cluster/view.h"

struct local_member_settings {
	const char *name;        /* member's name, keeper's UID or published address; NULL: found */
	const char *keeper_file; /* NULL: /data/keeperstate */
	const char *hosts;       /* NULL: /etc/hosts */
};

#define LOCAL_MEMBER_TEXT_SIZE 200

/* 0: *ret is the member, which lives as long as view. ERR_NO_NAME, and nothing else:
 * none or more than one; text says for people what was looked for and not found, in
 * printable ASCII. */
MUST_CHECK int local_member_find(const struct local_member_settings *settings,
				 const struct view *view, const struct view_member **ret,
				 char text[static LOCAL_MEMBER_TEXT_SIZE]);

#endif
