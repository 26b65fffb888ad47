/* Reads flags and variables into the targets of an option table. The rules are
 * those of Go's pflag, since the command lines of stolon-proxy have to work. */
#include "config/option_source.h"

#include <ctype.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/parse.h"

#define LONGEST_NAME 48 /* of flags and variables, with prefix */

struct flag_walk {
	const struct option_table *table;
	int argc;
	char *const *argv;
	int at;
};

struct flag {
	const struct option *option;
	const char *value;
};

/* How many characters to insert, delete or replace to turn a into b. */
static size_t edit_distance(const char *a, size_t a_length, const char *b)
{
	size_t row[LONGEST_NAME + 1];
	size_t b_length = strlen(b);

	CHECK(b_length <= LONGEST_NAME);
	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[b_length];
}

/* The flag that was probably meant: a few slips away, or begun right. */
static const struct option *nearest_flag(const struct option_table *table, const char *name,
					 size_t length)
{
	const struct option *nearest = NULL;
	size_t limit = 1 + length / 5;

	if (length < 3 || length > LONGEST_NAME)
		return NULL;
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->rows[i];

		if (o->marks & OPTION_HIDDEN)
			continue;
		size_t distance = edit_distance(name, length, o->name);
		if (distance <= limit) {
			nearest = o;
			limit = distance - (distance > 0); /* only better ones from now on */
		} else if (nearest == NULL && strncmp(o->name, name, length) == 0) {
			nearest = o;
		}
	}
	return nearest;
}

/* What follows a = may be a secret, and is not repeated. */
static int refuse_flag(const struct flag_walk *walk, const char *argument, FILE *err)
{
	const char *name = argument + strspn(argument, "-");
	size_t length = strcspn(name, "=");
	const struct option *meant = nearest_flag(walk->table, name, length);
	AUTO_FREE char *shown = strndup(argument, (size_t)(name - argument) + length);

	fputs("unknown flag: ", err);
	option_print_value(shown != NULL ? shown : "", err);
	if (meant != NULL)
		fprintf(err, ", did you mean --%s?", meant->name);
	fputs(" (see --help)\n", err);
	return ERR_SYNTAX;
}

static int refuse_positional(const char *argument, FILE *err)
{
	bool value;

	fputs("unexpected argument \"", err);
	option_print_value(argument, err);
	fprintf(err, "\": only flags are allowed%s (see --help)\n",
		parse_bool(argument, &value) == 0 ? ", with booleans as --name=false" : "");
	return ERR_SYNTAX;
}

static const struct option *find_short(const struct option_table *table, const char *argument)
{
	if (argument[1] == '\0' || argument[2] != '\0')
		return NULL;
	for (size_t i = 0; i < table->count; i++) {
		if (table->rows[i].short_name == argument[1])
			return &table->rows[i];
	}
	return NULL;
}

/* Reads the next flag. 1 with *ret set, 0 at the end, or a negative error. */
static int next_flag(struct flag_walk *walk, struct flag *ret, FILE *err)
{
	if (walk->at >= walk->argc)
		return 0;
	const char *argument = walk->argv[walk->at++];
	if (strcmp(argument, "--") == 0) {
		if (walk->at >= walk->argc)
			return 0;
		return refuse_positional(walk->argv[walk->at], err);
	}
	if (argument[0] != '-' || argument[1] == '\0')
		return refuse_positional(argument, err);

	const char *name = argument + 2;
	size_t length = 0;
	if (argument[1] == '-') {
		length = strcspn(name, "=");
		ret->option = option_find(walk->table, name, length);
	} else {
		ret->option = find_short(walk->table, argument);
	}
	if (ret->option == NULL)
		return refuse_flag(walk, argument, err);
	if (argument[1] == '-' && name[length] == '=') {
		ret->value = name + length + 1;
	} else if (ret->option->kind == OPTION_BOOL) {
		ret->value = "true";
	} else if (walk->at < walk->argc) {
		ret->value = walk->argv[walk->at++];
	} else {
		fprintf(err, "flag needs an argument: --%s %s (see --help)\n", ret->option->name,
			ret->option->value);
		return ERR_SYNTAX;
	}
	return 1;
}

/* Walks all flags and sets those of one half of the table. */
static int set_flags(const struct option_table *table, void *target, int argc, char *const *argv,
		     unsigned half, FILE *err)
{
	struct flag_walk walk = {table, argc, argv, 1};
	struct flag flag = {0};
	int r;

	while ((r = next_flag(&walk, &flag, err)) > 0) {
		char source[LONGEST_NAME];

		if ((flag.option->marks & OPTION_COMMAND_LINE) != half)
			continue;
		snprintf(source, sizeof(source), "--%s", flag.option->name);
		r = option_set(flag.option, target, flag.value, OPTION_FROM_FLAG, source, err);
		if (r < 0)
			return r;
	}
	return r;
}

int option_scan_flags(const struct option_table *table, void *target, int argc, char *const *argv,
		      FILE *err)
{
	return set_flags(table, target, argc, argv, OPTION_COMMAND_LINE, err);
}

int option_read_flags(const struct option_table *table, void *target, int argc, char *const *argv,
		      FILE *err)
{
	return set_flags(table, target, argc, argv, 0, err);
}

const char *option_variable(char *const *envp, const char *name)
{
	size_t length = strlen(name);

	for (; *envp != NULL; envp++) {
		if (strncmp(*envp, name, length) == 0 && (*envp)[length] == '=')
			return (*envp)[length + 1] != '\0' ? *envp + length + 1 : NULL;
	}
	return NULL;
}

static int read_variable(const struct option *o, void *target, char *const *envp,
			 const char *prefix, enum option_origin origin, FILE *err)
{
	char name[LONGEST_NAME];
	int length = snprintf(name, sizeof(name), "%s%s", prefix, o->name);

	CHECK(length > 0 && (size_t)length < sizeof(name));
	for (char *c = name; *c != '\0'; c++)
		*c = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
	const char *value = option_variable(envp, name);
	if (value == NULL)
		return 0;
	/* Kubernetes describes a Service called pgsplice to all pods around it,
	 * with PGSPLICE_PORT=tcp://10.0.0.1:5432 among others. That is not for us
	 * and must not keep us from starting. */
	if ((o->marks & OPTION_NO_URL) && strstr(value, "://") != NULL)
		return 0;
	return option_set(o, target, value, origin, name, err);
}

int option_read_environment(const struct option_table *table, void *target, char *const *envp,
			    FILE *err)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->rows[i];
		int r = 0;

		if (o->marks & OPTION_COMMAND_LINE)
			continue;
		if (o->marks & OPTION_STOLON)
			r = read_variable(o, target, envp, table->stolon_prefix,
					  OPTION_FROM_STOLON_VARIABLE, err);
		if (r == 0)
			r = read_variable(o, target, envp, table->prefix, OPTION_FROM_VARIABLE,
					  err);
		if (r < 0)
			return r;
	}
	return 0;
}
