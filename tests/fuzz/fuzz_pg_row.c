/* Any texts in place of the row that answers a probe, and of libpq's account of a
 * failure. Fields are ended by newlines; one that is "-" stands for null. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "fuzz_target.h"
#include "pg_private.h"
#include "pg_row.h"

static void check_row(char *text)
{
	const char *values[PG_ROW_COLUMNS] = {NULL};
	struct probe_result result;

	for (int i = 0; i < PG_ROW_COLUMNS && text != NULL; i++) {
		char *field = strsep(&text, "\n");
		values[i] = strcmp(field, "-") == 0 ? NULL : field;
	}
	probe_result_init(&result);
	if (pg_row_decode(values, &result) < 0) {
		CHECK(result.outcome == PROBE_ERROR && result.timeline == 0);
		return;
	}
	CHECK(probe_outcome_verdict(result.outcome) == PROBE_ANSWERED);
	CHECK((result.outcome == PROBE_IN_RECOVERY) == (strcmp(values[0], "t") == 0));
	CHECK(result.replay_delay_ms >= -1);
	CHECK(!result.timeline_is_exact || result.timeline > 0);
}

static void check_failure(const char *text, bool was_connected)
{
	const struct pg_failure failure = {text, "secret", was_connected, false};
	struct probe_result result;

	probe_result_init(&result);
	pg_failure_read(&failure, &result);
	CHECK(probe_outcome_verdict(result.outcome) != PROBE_ANSWERED);
	CHECK(memchr(result.text, '\0', sizeof(result.text)) != NULL);
	CHECK(strlen(result.sqlstate) == 0 || strlen(result.sqlstate) == SQLSTATE_SIZE - 1);
	CHECK(strstr(result.text, "secret") == NULL);
	for (const char *c = result.text; *c != '\0'; c++)
		CHECK((unsigned char)*c >= ' ' && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	check_failure(text, false);
	check_failure(text, true);
	check_row(text);
	free(text);
	return 0;
}
