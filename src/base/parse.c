/* Numbers, booleans and durations, with the exact rules of Go where stolon's
 * flags and cluster data follow them. Sizes are PostgreSQL's. */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"

int parse_int(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	const char *digits = text + (*text == '-' || *text == '+');
	char *end;

	if (!isdigit((unsigned char)*digits))
		return ERR_SYNTAX;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (*end != '\0')
		return ERR_SYNTAX;
	if (errno == ERANGE || value < min || value > max)
		return ERR_RANGE;
	*ret = value;
	return 0;
}

int parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(text, yes[i]) == 0) {
			*ret = true;
			return 0;
		}
		if (strcmp(text, no[i]) == 0) {
			*ret = false;
			return 0;
		}
	}
	return ERR_SYNTAX;
}

static const struct duration_unit {
	const char *name;
	uint64_t ns;
} duration_units[] = {
	{"ns", 1},           {"us", 1000},      {"\xc2\xb5s", 1000}, /* micro sign */
	{"\xce\xbcs", 1000},                                         /* Greek mu */
	{"ms", 1000000},     {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000},
};

/* The unit that is exactly the text up to the next digit or point, or NULL. */
static const struct duration_unit *find_unit(const char *text, size_t *ret_length)
{
	size_t length = strcspn(text, ".0123456789");

	*ret_length = length;
	for (size_t i = 0; i < ARRAY_LEN(duration_units); i++) {
		if (strlen(duration_units[i].name) == length &&
		    memcmp(duration_units[i].name, text, length) == 0)
			return &duration_units[i];
	}
	return NULL;
}

/* A number such as 12.5: part / scale is what follows the point. */
struct decimal {
	uint64_t whole;
	uint64_t part;
	double scale;
};

/* Reads one without sign; advances *at past it. */
static int parse_decimal(const char **at, struct decimal *ret)
{
	const char *p = *at;
	struct decimal d = {.scale = 1};
	bool digits = false;

	for (; isdigit((unsigned char)*p); p++, digits = true) {
		if (__builtin_mul_overflow(d.whole, (uint64_t)10, &d.whole) ||
		    __builtin_add_overflow(d.whole, (uint64_t)(*p - '0'), &d.whole))
			return ERR_RANGE;
	}
	if (*p == '.') {
		for (p++; isdigit((unsigned char)*p); p++, digits = true) {
			if (d.part > INT64_MAX / 10)
				continue; /* digits beyond any nanosecond */
			d.part = d.part * 10 + (uint64_t)(*p - '0');
			d.scale *= 10;
		}
	}
	if (!digits)
		return ERR_SYNTAX;
	*at = p;
	*ret = d;
	return 0;
}

/* Times a unit, rounded down. */
static int scale_decimal(const struct decimal *d, uint64_t unit, uint64_t *ret)
{
	uint64_t part = (uint64_t)((double)d->part * ((double)unit / d->scale));
	uint64_t whole;

	if (__builtin_mul_overflow(d->whole, unit, &whole) ||
	    __builtin_add_overflow(whole, part, &whole))
		return ERR_RANGE;
	*ret = whole;
	return 0;
}

/* One "12.5s" of a duration; advances *at past it and adds to *sum. */
static int parse_duration_part(const char **at, uint64_t *sum)
{
	const char *p = *at;
	struct decimal number;
	uint64_t ns;
	size_t length;

	int r = parse_decimal(&p, &number);
	if (r < 0)
		return r;
	const struct duration_unit *unit = find_unit(p, &length);
	if (unit == NULL)
		return length == 0 ? ERR_UNIT : ERR_SYNTAX;
	r = scale_decimal(&number, unit->ns, &ns);
	if (r < 0)
		return r;
	if (__builtin_add_overflow(*sum, ns, sum))
		return ERR_RANGE;
	*at = p + length;
	return 0;
}

int parse_duration(const char *text, int64_t *ret_ns)
{
	bool negative = *text == '-';
	const char *p = text + (*text == '-' || *text == '+');
	uint64_t sum = 0;

	if (strcmp(p, "0") == 0) {
		*ret_ns = 0;
		return 0;
	}
	if (*p == '\0')
		return ERR_SYNTAX;
	while (*p != '\0') {
		int r = parse_duration_part(&p, &sum);
		if (r < 0)
			return r;
		if (sum > INT64_MAX)
			return ERR_RANGE;
	}
	*ret_ns = negative ? -(int64_t)sum : (int64_t)sum;
	return 0;
}

int parse_bytes(const char *text, uint64_t *ret_bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	const char *p = text;
	struct decimal number;
	uint64_t bytes;

	int r = parse_decimal(&p, &number);
	if (r < 0)
		return r;
	p += strspn(p, " ");
	if (*p == '\0')
		return ERR_UNIT;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcasecmp(p, units[i]) != 0)
			continue;
		r = scale_decimal(&number, UINT64_C(1) << (10 * i), &bytes);
		if (r < 0)
			return r;
		if (bytes > INT64_MAX)
			return ERR_RANGE;
		*ret_bytes = bytes;
		return 0;
	}
	return ERR_SYNTAX;
}
