/* stolon's cluster data (JSON) to a view. Pure: no I/O, no clock. */
#ifndef PGSPLICE_CLUSTER_VIEW_DECODE_H
#define PGSPLICE_CLUSTER_VIEW_DECODE_H

#include "base/cleanup.h"
#include "cluster/view.h"

#define VIEW_ERROR_SIZE 200

/* Decodes as Go does for stolon-proxy: unknown fields are ignored, keys match
 * without regard to case, null is absent, the last of several equal keys wins,
 * a known field of the wrong type fails the whole document. Where we are
 * stricter is said in go_json.h.
 *
 * Returns 0 and a new reference; an empty or undecodable document returns a
 * negative error, and `error` says what and where ("dbs.ab12.status.port: number,
 * but a string is wanted"). A document that decodes but cannot be accepted is no
 * error here: its view has VIEW_BAD_FORMAT or VIEW_BAD_SPEC. */
MUST_CHECK int view_decode(const char *json, size_t size, struct view **ret_view,
			   char error[static VIEW_ERROR_SIZE]);

/* The view of a key that does not exist. NULL only without memory. */
struct view *view_absent(void);

#endif
