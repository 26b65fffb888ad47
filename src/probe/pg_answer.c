/* From libpq's results to ours. */
#include <string.h>

#include "base/err.h"
#include "pg_private.h"
#include "pg_row.h"

static int read_row(const PGresult *answer, const PGconn *conn, struct probe_result *result)
{
	const char *values[PG_ROW_COLUMNS];

	if (PQntuples(answer) != 1 || PQnfields(answer) != PG_ROW_COLUMNS)
		return ERR_SYNTAX;
	for (int i = 0; i < PG_ROW_COLUMNS; i++) {
		if (PQfformat(answer, i) != 0)
			return ERR_SYNTAX;
		values[i] = PQgetisnull(answer, 0, i) ? NULL : PQgetvalue(answer, 0, i);
	}
	result->server_version = PQserverVersion(conn);
	int r = pg_row_decode(values, result);
	return r < 0 ? r : PG_ANSWER_ROW;
}

static void read_error(const PGresult *answer, const PGconn *conn, struct probe_result *result)
{
	const char *state = PQresultErrorField(answer, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(answer, PG_DIAG_MESSAGE_PRIMARY);

	result->outcome = PROBE_ERROR;
	if (state != NULL && strlen(state) == SQLSTATE_SIZE - 1) {
		memcpy(result->sqlstate, state, SQLSTATE_SIZE);
		result->outcome = pg_failure_outcome(state);
	}
	if (text == NULL)
		text = PQresultErrorMessage(answer);
	probe_result_set_text(result, text, strlen(text), PQpass(conn));
}

int pg_answer_read(const PGresult *answer, const PGconn *conn, struct probe_result *result)
{
	switch (PQresultStatus(answer)) {
	case PGRES_TUPLES_OK:
		return read_row(answer, conn, result);
	case PGRES_FATAL_ERROR:
		read_error(answer, conn, result);
		return PG_ANSWER_ERROR;
	default: /* of libpq, whose list grows; a copy among them would never end */
		return ERR_SYNTAX;
	}
}
