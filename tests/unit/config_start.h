/* Starts config_load() as main would, for its tests. cmocka's includes come first. */
#ifndef PGSPLICE_UNIT_CONFIG_START_H
#define PGSPLICE_UNIT_CONFIG_START_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

#define ARGS_MAX 8
#define NEEDED   "--cluster-name=c", "--store-backend=file", "--store-endpoints=/store"

/* One start of the program: what it said, and what it would do. */
struct start {
	struct config config;
	enum config_outcome outcome;
	char *out;
	char *err;
};

static inline void start(struct start *s, const char *const *args, const char *const *env)
{
	static const char *const none[] = {NULL};
	char *argv[3 + ARGS_MAX + 2] = {(char *)(uintptr_t) "pgsplice"};
	size_t out_size;
	size_t err_size;
	int argc = 1;

	for (; args[argc - 1] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)args[argc - 1];
	s->out = NULL;
	s->err = NULL;
	FILE *out = open_memstream(&s->out, &out_size);
	FILE *err = open_memstream(&s->err, &err_size);
	char *const *envp = (char *const *)(uintptr_t)(env != NULL ? env : none);
	s->outcome = config_load(&s->config, argc, argv, envp, out, err);
	fclose(out);
	fclose(err);
}

static inline void end(struct start *s)
{
	config_deinit(&s->config);
	free(s->out);
	free(s->err);
}

/* Prefixes the arguments that every start needs. */
static inline void start_with(struct start *s, const char *const *more, const char *const *env)
{
	const char *args[3 + ARGS_MAX + 1] = {NEEDED};

	for (size_t i = 0; more[i] != NULL; i++)
		args[3 + i] = more[i];
	start(s, args, env);
}

static inline void assert_runs(const struct start *s)
{
	if (s->outcome != CONFIG_RUN || s->err[0] != '\0')
		fail_msg("outcome %d: %s", (int)s->outcome, s->err);
}

/* A refusal is one line on stderr with all of the parts, nothing on stdout. */
static inline void assert_refused(const struct start *s, const char *const *parts)
{
	const char *newline = strchr(s->err, '\n');

	if (s->outcome != CONFIG_REFUSED || newline == NULL || newline[1] != '\0' || *s->out)
		fail_msg("no refusal in one line: %d, \"%s\"", (int)s->outcome, s->err);
	for (size_t i = 0; i < 3 && parts[i] != NULL; i++) {
		if (strstr(s->err, parts[i]) == NULL)
			fail_msg("no '%s' in: %s", parts[i], s->err);
	}
}

/* How a test starts it: start_with(), or its own. */
typedef void starter(struct start *s, const char *const *more, const char *const *env);

struct refusal {
	const char *arg;
	const char *parts[3];
};

static inline void assert_each_refused(starter *start_it, const struct refusal *cases, size_t count)
{
	struct start s;

	for (size_t i = 0; i < count; i++) {
		start_it(&s, (const char *[]){cases[i].arg, NULL}, NULL);
		assert_refused(&s, cases[i].parts);
		end(&s);
	}
}

/* What makes servers be asked in which way. */
struct way_to_ask {
	const char *args[3];
	const char *env[2];
	enum probe_kind kind;
	const char *conninfo;
};

static inline void assert_each_asked(starter *start_it, const struct probing *p, struct start *s,
				     const struct way_to_ask *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		start_it(s, cases[i].args, cases[i].env);
		assert_runs(s);
		if (p->kind != cases[i].kind)
			fail_msg("case %zu: %d", i, (int)p->kind);
		if (cases[i].conninfo == NULL)
			assert_null(p->conninfo);
		else
			assert_string_equal(p->conninfo, cases[i].conninfo);
		end(s);
	}
}

/* --help has all of these, in this order. */
static inline void assert_help_has(const char *const *parts, size_t count)
{
	struct start s;
	const char *at;

	start(&s, (const char *[]){"--help", NULL}, NULL);
	at = s.out;
	for (size_t i = 0; i < count; i++) {
		at = strstr(at, parts[i]);
		if (at == NULL)
			fail_msg("no '%s', or not there", parts[i]);
	}
	end(&s);
}

#endif
