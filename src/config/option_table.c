/* Rows of options: setting their targets, refusing values, printing --help.
 * Main thread, before anything else runs. */
#include "config/option_table.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/parse.h"

#define LONGEST_VALUE   160 /* bytes of a value that an error text shows */
#define HELP_COLUMNS    100
#define HELP_LEFT_WIDTH 38

static int64_t duration_unit(const struct option *o)
{
	return o->kind == OPTION_MSEC ? NS_PER_MS : 1;
}

/* Where the password of a connection string of libpq begins, or NULL. */
static const char *find_password(const char *text)
{
	while ((text = strstr(text, "password")) != NULL) {
		text += strlen("password");
		const char *sign = text + strspn(text, " ");
		if (*sign == '=')
			return sign + 1;
	}
	return NULL;
}

/* The password of a URL may hold any character, also @ and a comma: all up to
 * the last @ goes. Where one of libpq's ends is not worth knowing: all of the rest
 * goes. */
void option_print_value(const char *text, FILE *out)
{
	const char *at = strrchr(text, '@');
	const char *scheme_end = strstr(text, "://");
	const char *password = find_password(text);
	size_t printed = 0;

	if (at != NULL) {
		if (scheme_end != NULL && scheme_end < at)
			fprintf(out, "%.*s://", (int)strcspn(text, ":@"), text);
		fputs("***", out);
		text = at;
		if (password != NULL && password <= at)
			return; /* what follows may be the rest of it */
	}
	for (; *text != '\0'; text++, printed++) {
		unsigned char c = (unsigned char)*text;

		if (text == password) {
			fputs("***", out);
			return;
		}
		/* Never cut inside of a UTF-8 character. */
		if (printed >= LONGEST_VALUE && (c & 0xc0) != 0x80) {
			fputs("...", out);
			return;
		}
		if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else
			fputc(c, out);
	}
}

void option_print_choices(const struct option_choice *choices, FILE *out)
{
	const struct option_choice *last = NULL;
	bool first = true;

	/* Each is printed once the next is known: the last one takes an "or". */
	for (const struct option_choice *c = choices;; c++) {
		if (c->name != NULL && c->unlisted)
			continue;
		if (last != NULL) {
			const char *joint = c->name == NULL ? " or " : ", ";
			fprintf(out, "%s%s", first ? "" : joint, last->name);
			first = false;
		}
		last = c;
		if (c->name == NULL)
			return;
	}
}

/* As Go would, for the round values that ranges have: "100ms", "1h". */
static void print_duration(int64_t ns, FILE *out)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {{"h", 3600000000000}, {"m", 60000000000}, {"s", 1000000000},
		     {"ms", 1000000},      {"us", 1000},       {"ns", 1}};
	size_t i = 0;

	while (ns % units[i].ns != 0)
		i++;
	fprintf(out, "%lld%s", (long long)(ns / units[i].ns), units[i].name);
}

static void print_range(const struct option *o, FILE *out)
{
	if (o->kind == OPTION_INT) {
		fprintf(out, "%lld to %lld", (long long)o->min, (long long)o->max);
		return;
	}
	print_duration(o->min * duration_unit(o), out);
	fputs(" to ", out);
	print_duration(o->max * duration_unit(o), out);
}

static void print_allowed(const struct option *o, FILE *out)
{
	switch (o->kind) {
	case OPTION_TEXT:
	case OPTION_LIST:
		fputs(o->allowed, out);
		break;
	case OPTION_INT:
		fputs("a whole number, ", out);
		print_range(o, out);
		break;
	case OPTION_MSEC:
	case OPTION_NSEC:
		fputs("a duration with its unit such as 5s, ", out);
		print_range(o, out);
		break;
	case OPTION_BOOL:
		fputs("true or false", out);
		break;
	case OPTION_CHOICE:
	case OPTION_NAME:
		option_print_choices(o->choices, out);
		break;
	}
}

static int refuse(const struct option *o, const char *text, const char *source, FILE *err)
{
	bool stolon = o->complaint[0] != NULL;

	fputs(stolon ? o->complaint[0] : "invalid value \"", err);
	option_print_value(text, err);
	if (stolon)
		fprintf(err, "%s (%s must be ", o->complaint[1], source);
	else
		fprintf(err, "\" for %s: must be ", source);
	print_allowed(o, err);
	fputs(stolon ? ")\n" : "\n", err);
	return ERR_SYNTAX;
}

static int parse_number(const struct option *o, const char *text, int64_t *ret)
{
	int64_t ns;

	if (o->kind == OPTION_INT)
		return parse_int(text, o->min, o->max, ret);
	int r = parse_duration(text, &ns);
	if (r < 0)
		return r;
	if (ns < o->min * duration_unit(o) || ns > o->max * duration_unit(o))
		return ERR_RANGE;
	*ret = ns / duration_unit(o);
	return 0;
}

static const struct option_choice *find_choice(const struct option *o, const char *text)
{
	for (const struct option_choice *c = o->choices; c->name != NULL; c++) {
		if (strcmp(c->name, text) == 0)
			return c;
	}
	return NULL;
}

static void clear_list(struct option_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct option_list){0};
}

static int append_item(struct option_list *list, char *item)
{
	char **items = realloc(list->items, (list->count + 1) * sizeof(*items));

	if (items == NULL)
		return -ENOMEM;
	list->items = items;
	items[list->count] = strdup(item);
	if (items[list->count] == NULL)
		return -ENOMEM;
	list->count++;
	return 0;
}

static int set_list(const struct option *o, struct option_list *list, const char *text,
		    enum option_origin origin, const char *source, FILE *err)
{
	AUTO_FREE char *copy = strdup(text);
	char *rest = copy;
	char *item;
	bool alone = strchr(text, ',') == NULL;

	if (copy == NULL)
		return -ENOMEM;
	if (origin != list->origin)
		clear_list(list);
	list->origin = origin;
	while ((item = strsep(&rest, ",")) != NULL) {
		/* An empty text may mean something, an empty place between commas
		 * is a slip. */
		if (*item == '\0' && !alone)
			return refuse(o, text, source, err);
		if (o->accepts != NULL && !o->accepts(item))
			return refuse(o, item, source, err);
		int r = append_item(list, item);
		if (r < 0)
			return r;
	}
	return 0;
}

static int set_value(const struct option *o, void *at, const char *text, enum option_origin origin,
		     const char *source, FILE *err)
{
	const struct option_choice *choice;
	int64_t number;

	switch (o->kind) {
	case OPTION_TEXT:
		if (o->accepts != NULL && !o->accepts(text))
			return refuse(o, text, source, err);
		*(const char **)at = *text == '\0' ? NULL : text;
		return 0;
	case OPTION_INT:
	case OPTION_MSEC:
	case OPTION_NSEC:
		if (parse_number(o, text, &number) < 0)
			return refuse(o, text, source, err);
		if (o->kind == OPTION_INT)
			*(int *)at = (int)number;
		else
			*(int64_t *)at = number;
		return 0;
	case OPTION_BOOL:
		return parse_bool(text, at) < 0 ? refuse(o, text, source, err) : 0;
	case OPTION_CHOICE:
	case OPTION_NAME:
		if (o->kind == OPTION_NAME && *text == '\0') {
			*(const char **)at = NULL;
			return 0;
		}
		choice = find_choice(o, text);
		if (choice == NULL)
			return refuse(o, text, source, err);
		if (o->kind == OPTION_CHOICE)
			*(int *)at = choice->value;
		else
			*(const char **)at = choice->name;
		return 0;
	case OPTION_LIST:
		return set_list(o, at, text, origin, source, err);
	}
	return ERR_SYNTAX;
}

int option_set(const struct option *option, void *target, const char *text,
	       enum option_origin origin, const char *source, FILE *err)
{
	int r = set_value(option, (char *)target + option->offset, text, origin, source, err);

	if (r == -ENOMEM)
		fprintf(err, "%s: %s\n", source, err_text(r));
	if (r == 0 && option->deprecated != NULL && origin != OPTION_FROM_DEFAULT)
		fprintf(err, "%s %s has been deprecated, %s\n",
			origin == OPTION_FROM_FLAG ? "Flag" : "Variable", source,
			option->deprecated);
	return r;
}

int option_table_set_defaults(const struct option_table *table, void *target)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->rows[i];

		if (o->fallback == NULL || (o->marks & OPTION_AUTO))
			continue;
		int r = option_set(o, target, o->fallback, OPTION_FROM_DEFAULT, o->name, stderr);
		CHECK(r == 0 || r == -ENOMEM);
		if (r < 0)
			return r;
	}
	return 0;
}

void option_table_deinit(const struct option_table *table, void *target)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->rows[i];

		if (o->kind == OPTION_LIST)
			clear_list((void *)((char *)target + o->offset));
	}
}

const struct option *option_find(const struct option_table *table, const char *name, size_t length)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->rows[i];

		if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
			return o;
	}
	return NULL;
}

/* Prints text that stands at column, and wraps it there, but not in brackets. */
static void print_wrapped(const char *text, int column, FILE *out)
{
	int at = column;

	while (*text != '\0') {
		size_t brackets = *text == '(' ? strcspn(text, ")") : 0;
		int length = (int)(brackets + strcspn(text + brackets, " "));
		bool first = at == column;

		if (!first && at + 1 + length > HELP_COLUMNS) {
			fprintf(out, "\n%*s", column, "");
			at = column;
			first = true;
		}
		at += fprintf(out, "%s%.*s", first ? "" : " ", length, text);
		text += length;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

/* What a value may be, and the default: behind the help text, in brackets. */
static void print_limits(const struct option *o, FILE *out)
{
	bool ranged = o->kind == OPTION_INT || o->kind == OPTION_MSEC || o->kind == OPTION_NSEC;
	bool has_default = o->fallback != NULL && !(o->marks & OPTION_COMMAND_LINE);

	if (!ranged && o->choices == NULL && !has_default)
		return;
	fputs(" (", out);
	if (ranged)
		print_range(o, out);
	else if (o->choices != NULL)
		option_print_choices(o->choices, out);
	if (has_default)
		fprintf(out, "%sdefault %s", ranged || o->choices != NULL ? "; " : "", o->fallback);
	fputc(')', out);
}

static void print_option(const struct option *o, FILE *out)
{
	char left[64];
	char dash[8] = "    ";
	AUTO_FREE char *text = NULL;
	size_t size = 0;
	FILE *right = open_memstream(&text, &size);

	if (right == NULL)
		return;
	fputs(o->help, right);
	print_limits(o, right);
	if (fclose(right) != 0)
		return;
	if (o->short_name != '\0')
		snprintf(dash, sizeof(dash), "-%c, ", o->short_name);
	if (o->value != NULL)
		snprintf(left, sizeof(left), "  %s--%s %s", dash, o->name, o->value);
	else
		snprintf(left, sizeof(left), "  %s--%s%s", dash, o->name,
			 o->marks & OPTION_COMMAND_LINE ? "" : "[=BOOL]");
	if (strlen(left) > HELP_LEFT_WIDTH)
		fprintf(out, "%s\n%*s", left, HELP_LEFT_WIDTH + 2, "");
	else
		fprintf(out, "%-*s  ", HELP_LEFT_WIDTH, left);
	print_wrapped(text, HELP_LEFT_WIDTH + 2, out);
}

void option_table_print(const struct option_table *table, FILE *out)
{
	const char *group = NULL;

	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->rows[i];

		if (o->marks & OPTION_HIDDEN)
			continue;
		if (group == NULL || strcmp(group, o->group) != 0)
			fprintf(out, "\n%s:\n", o->group);
		group = o->group;
		print_option(o, out);
	}
}
