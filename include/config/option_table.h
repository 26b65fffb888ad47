/* Options as rows: a row says everything about one option, and its flag,
 * variable, default, range, error text and line of --help come from it.
 *
 * A table fills members of one struct, which the file that holds the rows
 * names: #define OPTION_TARGET struct config.
 * Texts are not copied: they point into the rows, argv or the environment. */
#ifndef PGSPLICE_CONFIG_OPTION_TABLE_H
#define PGSPLICE_CONFIG_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"

enum option_kind {
	OPTION_TEXT,   /* const char *; NULL for an empty text */
	OPTION_INT,    /* int */
	OPTION_MSEC,   /* int64_t; a Go duration, cut to whole milliseconds */
	OPTION_NSEC,   /* int64_t; a Go duration */
	OPTION_BOOL,   /* bool */
	OPTION_CHOICE, /* int: the value of one of the choices */
	OPTION_NAME,   /* const char *: the name of one of the choices, or NULL */
	OPTION_LIST,   /* struct option_list */
};

enum {
	OPTION_STOLON = 1 << 0,       /* stolon-proxy has it: also STPROXY_NAME */
	OPTION_HIDDEN = 1 << 1,       /* not in --help */
	OPTION_COMMAND_LINE = 1 << 2, /* has no variable; read before all others */
	OPTION_AUTO = 1 << 3,         /* the default is for --help: the caller sets the target */
	OPTION_NO_URL = 1 << 4,       /* a variable that holds a URL counts as unset */
};

/* Where a value came from; a later one replaces an earlier one. */
enum option_origin {
	OPTION_FROM_DEFAULT,
	OPTION_FROM_STOLON_VARIABLE,
	OPTION_FROM_VARIABLE,
	OPTION_FROM_FLAG,
};

struct option_choice {
	const char *name; /* NULL ends the choices */
	int value;
	bool unlisted; /* accepted, but not offered in texts */
};

/* Owned: ends with option_table_deinit(). A flag given again adds to it. */
struct option_list {
	char **items;
	size_t count;
	enum option_origin origin;
};

struct option {
	enum option_kind kind;
	const char *group; /* the rows of a group stand together */
	const char *name;  /* of the flag, without -- */
	char short_name;   /* '\0' or such as 'h' */
	size_t offset;
	const char *value;    /* what --help calls the value */
	const char *fallback; /* the default as text; NULL leaves zeros */
	int64_t min, max;     /* in the unit of the target */
	const struct option_choice *choices;
	const char *help;
	/* OPTION_TEXT and each item of OPTION_LIST: NULL accepts everything. */
	bool (*accepts)(const char *text);
	const char *allowed; /* what that accepts: "must be " and this */
	/* Before and after the bad value, where stolon has its own words. */
	const char *complaint[2];
	const char *deprecated; /* what to do instead; NULL: nothing wrong with it */
	unsigned marks;
};

struct option_table {
	const struct option *rows;
	size_t count;
	const char *prefix;        /* of the variables: "PGSPLICE_" */
	const char *stolon_prefix; /* of those of OPTION_STOLON rows */
};

/* The offset of a member; does not compile when it has another type. */
#define OPTION_AT(member_, type_)                                                                  \
	(offsetof(OPTION_TARGET, member_) +                                                        \
	 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((OPTION_TARGET *)0)->member_),   \
						      type_)                                       \
				 ? 1                                                               \
				 : -1]))

#define OPTION_ROW(kind_, type_, group_, name_, member_, value_, fallback_, help_, ...)            \
	{                                                                                          \
		.kind = (kind_), .group = (group_), .name = (name_),                               \
		.offset = OPTION_AT(member_, type_), .value = (value_), .fallback = (fallback_),   \
		.help = (help_), __VA_ARGS__                                                       \
	}

/* Whatever else a row has follows its help, as .field = value. */
#define OPT_TEXT(group, name, member, value, fallback, help, ...)                                  \
	OPTION_ROW(OPTION_TEXT, const char *, group, name, member, value, fallback, help,          \
		   __VA_ARGS__)
#define OPT_INT(group, name, member, fallback, min_, max_, help, ...)                              \
	OPTION_ROW(OPTION_INT, int, group, name, member, "N", fallback, help, .min = (min_),       \
		   .max = (max_), __VA_ARGS__)
#define OPT_MSEC(group, name, member, fallback, min_, max_, help, ...)                             \
	OPTION_ROW(OPTION_MSEC, int64_t, group, name, member, "DURATION", fallback, help,          \
		   .min = (min_), .max = (max_), __VA_ARGS__)
#define OPT_NSEC(group, name, member, fallback, min_, max_, help, ...)                             \
	OPTION_ROW(OPTION_NSEC, int64_t, group, name, member, "DURATION", fallback, help,          \
		   .min = (min_), .max = (max_), __VA_ARGS__)
#define OPT_BOOL(group, name, member, fallback, help, ...)                                         \
	OPTION_ROW(OPTION_BOOL, bool, group, name, member, NULL, fallback, help, __VA_ARGS__)
#define OPT_CHOICE(group, name, member, value, fallback, choices_, help, ...)                      \
	OPTION_ROW(OPTION_CHOICE, int, group, name, member, value, fallback, help,                 \
		   .choices = (choices_), __VA_ARGS__)
#define OPT_NAME(group, name, member, value, fallback, choices_, help, ...)                        \
	OPTION_ROW(OPTION_NAME, const char *, group, name, member, value, fallback, help,          \
		   .choices = (choices_), __VA_ARGS__)
#define OPT_LIST(group, name, member, value, fallback, help, ...)                                  \
	OPTION_ROW(OPTION_LIST, struct option_list, group, name, member, value, fallback, help,    \
		   __VA_ARGS__)

/* Sets every target to its default; the target is all zeros before. A default
 * that its own row refuses is our bug. Returns 0 or -ENOMEM. */
MUST_CHECK int option_table_set_defaults(const struct option_table *table, void *target);
/* Frees the lists. */
void option_table_deinit(const struct option_table *table, void *target);

/* Sets one target. source names the flag or variable in what is said on err.
 * ERR_SYNTAX or -ENOMEM, with one line written. */
MUST_CHECK int option_set(const struct option *option, void *target, const char *text,
			  enum option_origin origin, const char *source, FILE *err);

/* The row of a flag, or NULL. name need not be terminated. */
const struct option *option_find(const struct option_table *table, const char *name, size_t length);

/* A value for an error text: control characters escaped, cut when very long,
 * and without the user and password of a URL or the password of a connection string. */
void option_print_value(const char *text, FILE *out);
/* "debug, info, warn or error" */
void option_print_choices(const struct option_choice *choices, FILE *out);

/* The options, group by group, in at most 100 columns. */
void option_table_print(const struct option_table *table, FILE *out);

#endif
