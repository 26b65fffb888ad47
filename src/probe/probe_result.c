/* Results: their names, and texts from outside that may be logged. */
#include "probe/probe_result.h"

#include <string.h>

#include "base/cleanup.h"

static const struct {
	const char *name;
	enum probe_verdict verdict;
} outcomes[] = {
	[PROBE_WRITABLE] = {"writable", PROBE_ANSWERED},
	[PROBE_READ_ONLY] = {"read-only", PROBE_ANSWERED},
	[PROBE_IN_RECOVERY] = {"in-recovery", PROBE_ANSWERED},
	[PROBE_STARTING] = {"starting", PROBE_DOWN},
	[PROBE_REFUSED] = {"refused", PROBE_DOWN},
	[PROBE_UNREACHABLE] = {"unreachable", PROBE_DOWN},
	[PROBE_TIMEOUT] = {"timeout", PROBE_DOWN},
	[PROBE_LOST] = {"lost", PROBE_DOWN},
	[PROBE_AUTH] = {"auth", PROBE_UNSURE},
	[PROBE_PROTOCOL] = {"protocol", PROBE_UNSURE},
	[PROBE_ERROR] = {"error", PROBE_UNSURE},
};

void probe_result_init(struct probe_result *result)
{
	*result = (struct probe_result){.outcome = PROBE_ERROR, .replay_delay_ms = -1};
}

const char *probe_outcome_name(enum probe_outcome outcome)
{
	return outcomes[outcome].name;
}

enum probe_verdict probe_outcome_verdict(enum probe_outcome outcome)
{
	return outcomes[outcome].verdict;
}

/* The length of the UTF-8 character at text, 0 if there is none. Overlong forms
 * and surrogates pass: they do no harm in a log. */
static size_t utf8_length(const unsigned char *text, size_t size)
{
	size_t length = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : 3;

	if (text[0] >= 0xf0)
		length = text[0] < 0xf5 ? 4 : 0;
	if (length > size)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

/* What stands for the character at text, of which *ret_used bytes are passed. */
static size_t clean_character(const unsigned char *text, size_t size, char out[static 4],
			      size_t *ret_used)
{
	size_t length = utf8_length(text, size);

	*ret_used = length > 0 ? length : 1;
	/* C1 controls are two bytes that a terminal may obey. */
	bool is_control = length == 2 && text[0] == 0xc2 && text[1] < 0xa0;
	if (length == 0 || is_control || text[0] == 0x7f)
		out[0] = '?';
	else if (text[0] < 0x20)
		out[0] = ' ';
	else
		memcpy(out, text, length);
	return length < 2 || is_control ? 1 : length;
}

void probe_result_set_text(struct probe_result *result, const char *text, size_t size,
			   const char *secret)
{
	const size_t secret_size = secret != NULL ? strlen(secret) : 0;
	size_t length = 0;

	for (size_t i = 0; i < size && text[i] != '\n' && text[i] != '\0';) {
		char out[4] = "***";
		size_t used = secret_size;
		size_t out_size = 3;
		if (secret_size == 0 || size - i < secret_size ||
		    memcmp(text + i, secret, secret_size) != 0)
			out_size = clean_character((const unsigned char *)text + i, size - i, out,
						   &used);
		i += used;
		if (out[0] == ' ' && (length == 0 || result->text[length - 1] == ' '))
			continue; /* blanks in a row */
		if (length + out_size >= PROBE_TEXT_SIZE)
			break;
		memcpy(result->text + length, out, out_size);
		length += out_size;
	}
	result->text[length] = '\0';
}
