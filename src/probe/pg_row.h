/* The one question to a server, and the row that answers it. */
#ifndef PGSPLICE_SRC_PROBE_PG_ROW_H
#define PGSPLICE_SRC_PROBE_PG_ROW_H

#include "base/cleanup.h"
#include "probe/probe_result.h"

enum pg_row_column {
	PG_ROW_IN_RECOVERY,
	PG_ROW_READ_ONLY,
	PG_ROW_READ_ONLY_SOURCE, /* what makes it so when it is no standby */
	PG_ROW_WAL_FILE,         /* not in recovery: its name begins with the timeline */
	PG_ROW_CURRENT_LSN,
	PG_ROW_RECEIVED_LSN,
	PG_ROW_REPLAYED_LSN,
	PG_ROW_REPLAY_DELAY_MS,
	PG_ROW_HAS_RECEIVER,
	PG_ROW_RECEIVED_TIMELINE,
	PG_ROW_CONTROL_TIMELINE,
	PG_ROW_SYSTEM_ID,
	PG_ROW_COLUMNS,
};

/* The same question, each time with less that a server may refuse to tell: all;
 * without pg_control_*(); only its role. All give the same columns. */
#define PG_ROW_QUERIES 3
extern const char *const pg_row_queries[PG_ROW_QUERIES];

/* Pure. values as text, NULL for null. Returns 0 and sets the outcome and what is
 * known, or ERR_SYNTAX for a row that cannot be an answer. */
MUST_CHECK int pg_row_decode(const char *const values[static PG_ROW_COLUMNS],
			     struct probe_result *result);

#endif
