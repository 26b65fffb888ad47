/* The question in SQL, for every PostgreSQL since 10, and its answer.
 *
 * Whether it is in recovery is found out once, and what differs is asked
 * accordingly: a promotion in between leaves only what standbys tell, which stays
 * callable. Of a server that writes, the newest WAL file's name has the timeline;
 * its control file has the old one until the first checkpoint after a promotion.
 * Of a standby, only roles in pg_read_all_stats see what its receiver does; for
 * others there is the control file, which may lag behind. */
#include "pg_row.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/parse.h"

#define ROLE_COLUMNS                                                                               \
	"SELECT s.recovers, pg_catalog.current_setting('transaction_read_only'),"                  \
	" CASE WHEN NOT s.recovers AND"                                                            \
	" pg_catalog.current_setting('transaction_read_only') = 'on' THEN"                         \
	" (SELECT g.source FROM pg_catalog.pg_settings g"                                          \
	" WHERE g.name = 'default_transaction_read_only') END,"

#define WAL_COLUMNS                                                                                \
	" CASE WHEN NOT s.recovers THEN"                                                           \
	" pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END,"                        \
	" CASE WHEN NOT s.recovers THEN pg_catalog.pg_current_wal_lsn() END,"                      \
	" CASE WHEN s.recovers THEN pg_catalog.pg_last_wal_receive_lsn() END,"                     \
	" CASE WHEN s.recovers THEN pg_catalog.pg_last_wal_replay_lsn() END,"                      \
	" CASE WHEN s.recovers THEN (1000 * pg_catalog.date_part('epoch',"                         \
	" pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()))::bigint"     \
	" END, r.pid IS NOT NULL, r.received_tli,"

#define FROM_ROLE     " FROM (SELECT pg_catalog.pg_is_in_recovery() AS recovers) s"
#define JOIN_RECEIVER " LEFT JOIN pg_catalog.pg_stat_get_wal_receiver() r ON r.pid IS NOT NULL"

const char *const pg_row_queries[PG_ROW_QUERIES] = {
	ROLE_COLUMNS WAL_COLUMNS
	" greatest(c.timeline_id, m.min_recovery_end_timeline), y.system_identifier" FROM_ROLE
		JOIN_RECEIVER " CROSS JOIN pg_catalog.pg_control_checkpoint() c"
	" CROSS JOIN pg_catalog.pg_control_recovery() m"
	" CROSS JOIN pg_catalog.pg_control_system() y",
	ROLE_COLUMNS WAL_COLUMNS " NULL, NULL" FROM_ROLE JOIN_RECEIVER,
	ROLE_COLUMNS " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL" FROM_ROLE,
};

/* "t" "f", "on" "off" */
static int parse_switch(const char *text, const char *yes, const char *no, bool *ret)
{
	if (text == NULL || (strcmp(text, yes) != 0 && strcmp(text, no) != 0))
		return ERR_SYNTAX;
	*ret = strcmp(text, yes) == 0;
	return 0;
}

/* Up to 8 hexadecimal digits. Returns how many there were. */
static size_t parse_hex(const char *text, uint32_t *ret)
{
	size_t length = 0;
	uint32_t value = 0;

	for (; length < 8 && isxdigit((unsigned char)text[length]); length++) {
		char c = text[length];
		int digit =
			isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
		value = value << 4 | (uint32_t)digit;
	}
	*ret = value;
	return length;
}

/* "16/B374D848"; null is 0, which no server is at. */
static int parse_lsn(const char *text, uint64_t *ret)
{
	uint32_t high;
	uint32_t low;

	if (text == NULL)
		return 0;
	size_t length = parse_hex(text, &high);
	if (length == 0 || text[length] != '/')
		return ERR_SYNTAX;
	text += length + 1;
	length = parse_hex(text, &low);
	if (length == 0 || text[length] != '\0')
		return ERR_SYNTAX;
	*ret = (uint64_t)high << 32 | low;
	return 0;
}

static int parse_optional(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	return text == NULL ? 0 : parse_int(text, min, max, ret);
}

static int decode_timeline(const char *const *values, struct probe_result *result)
{
	const char *file = values[PG_ROW_WAL_FILE];
	int64_t received = 0;
	int64_t control = 0;
	uint32_t written = 0;

	if (parse_optional(values[PG_ROW_RECEIVED_TIMELINE], 0, INT32_MAX, &received) < 0 ||
	    parse_optional(values[PG_ROW_CONTROL_TIMELINE], 0, INT32_MAX, &control) < 0 ||
	    (file != NULL && parse_hex(file, &written) < 8))
		return ERR_SYNTAX;
	result->timeline_is_exact = written > 0 || received > 0;
	/* A receiver that has stopped long ago is not seen, one that waits is: what
	 * the control file has may be newer. */
	result->timeline = written > 0          ? written
			   : received > control ? (uint32_t)received
						: (uint32_t)control;
	return 0;
}

static int decode_numbers(const char *const *values, struct probe_result *result)
{
	int64_t system_id = 0;

	if (parse_lsn(values[PG_ROW_CURRENT_LSN], &result->current_lsn) < 0 ||
	    parse_lsn(values[PG_ROW_RECEIVED_LSN], &result->received_lsn) < 0 ||
	    parse_lsn(values[PG_ROW_REPLAYED_LSN], &result->replayed_lsn) < 0 ||
	    parse_optional(values[PG_ROW_REPLAY_DELAY_MS], INT64_MIN, INT64_MAX,
			   &result->replay_delay_ms) < 0 ||
	    parse_optional(values[PG_ROW_SYSTEM_ID], INT64_MIN, INT64_MAX, &system_id) < 0)
		return ERR_SYNTAX;
	if (values[PG_ROW_REPLAY_DELAY_MS] != NULL && result->replay_delay_ms < 0)
		result->replay_delay_ms = 0; /* its clock was set back, or it runs behind */
	/* Beyond half of its range the server shows it as negative. */
	result->system_id = (uint64_t)system_id;
	if (values[PG_ROW_HAS_RECEIVER] != NULL &&
	    parse_switch(values[PG_ROW_HAS_RECEIVER], "t", "f", &result->has_receiver) < 0)
		return ERR_SYNTAX;
	if (result->has_receiver && result->received_lsn != 0 &&
	    result->received_lsn <= result->replayed_lsn)
		result->replay_delay_ms = 0;
	return decode_timeline(values, result);
}

/* A setting of the role that asks, or of this session, does not make the server
 * read-only for others. */
static bool is_of_ourselves(const char *source)
{
	static const char *const ours[] = {"user", "database user", "client", "session"};

	for (size_t i = 0; source != NULL && i < ARRAY_LEN(ours); i++) {
		if (strcmp(source, ours[i]) == 0)
			return true;
	}
	return false;
}

int pg_row_decode(const char *const values[static PG_ROW_COLUMNS], struct probe_result *result)
{
	struct probe_result row = *result;
	bool in_recovery;
	bool read_only;

	if (parse_switch(values[PG_ROW_IN_RECOVERY], "t", "f", &in_recovery) < 0 ||
	    parse_switch(values[PG_ROW_READ_ONLY], "on", "off", &read_only) < 0 ||
	    decode_numbers(values, &row) < 0)
		return ERR_SYNTAX;
	if (in_recovery)
		row.outcome = PROBE_IN_RECOVERY;
	else if (read_only && !is_of_ourselves(values[PG_ROW_READ_ONLY_SOURCE]))
		row.outcome = PROBE_READ_ONLY;
	else
		row.outcome = PROBE_WRITABLE;
	*result = row;
	return 0;
}
