/* The RFC 3339 times that Go's time.Time accepts from JSON, which are a few
 * more than the RFC has: an hour of one digit, a comma before the fraction,
 * offsets up to 24:60. Pure; only the check, the time itself is used nowhere. */
#include <ctype.h>
#include <string.h>

#include "cluster/go_json.h"

/* A number of min_digits to max_digits within [low, high]; advances *at. */
static bool take_number(const char **at, int min_digits, int max_digits, int low, int high,
			int *ret)
{
	int value = 0;
	int digits = 0;

	for (; digits < max_digits && isdigit((unsigned char)**at); digits++, (*at)++)
		value = value * 10 + (**at - '0');
	*ret = value;
	return digits >= min_digits && value >= low && value <= high;
}

static bool take_char(const char **at, char wanted)
{
	if (**at != wanted)
		return false;
	(*at)++;
	return true;
}

static int days_in(int month, int year)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

static bool take_date(const char **at)
{
	int year;
	int month;
	int day;

	return take_number(at, 4, 4, 0, 9999, &year) && take_char(at, '-') &&
	       take_number(at, 2, 2, 1, 12, &month) && take_char(at, '-') &&
	       take_number(at, 2, 2, 1, days_in(month, year), &day);
}

static bool take_clock(const char **at)
{
	int ignored;

	if (!take_number(at, 1, 2, 0, 23, &ignored) || !take_char(at, ':') ||
	    !take_number(at, 2, 2, 0, 59, &ignored) || !take_char(at, ':') ||
	    !take_number(at, 2, 2, 0, 59, &ignored))
		return false;
	if ((**at == '.' || **at == ',') && isdigit((unsigned char)(*at)[1])) {
		(*at)++;
		*at += strspn(*at, "0123456789");
	}
	return true;
}

static bool take_offset(const char **at)
{
	int ignored;

	if (take_char(at, 'Z'))
		return true;
	return (take_char(at, '+') || take_char(at, '-')) &&
	       take_number(at, 2, 2, 0, 24, &ignored) && take_char(at, ':') &&
	       take_number(at, 2, 2, 0, 60, &ignored);
}

bool go_time_is_valid(const char *text)
{
	const char *p = text;

	return take_date(&p) && take_char(&p, 'T') && take_clock(&p) && take_offset(&p) &&
	       *p == '\0';
}
