/* The keys of a scope to a view: picks those of one group, sorts them and decodes
 * each by itself. Control thread; no I/O. */
#include "cluster/patroni_decode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patroni_private.h"

#define COORDINATOR_GROUP 0
#define MAX_GROUP         INT32_MAX

static const char members[] = "members/";

/* Takes "<group>/" off; PATRONI_NO_GROUP where there is none. As in Patroni, a
 * number has no zeros in front. */
static int64_t split_group(const char **name)
{
	size_t digits = strspn(*name, "0123456789");
	int64_t group = 0;

	if (digits == 0 || digits > 10 || (*name)[digits] != '/' || (**name == '0' && digits > 1))
		return PATRONI_NO_GROUP;
	for (size_t i = 0; i < digits; i++)
		group = group * 10 + ((*name)[i] - '0');
	if (group > MAX_GROUP)
		return PATRONI_NO_GROUP;
	*name += digits + 1;
	return group;
}

/* The name without its group and slashes in front; NULL if the key is another
 * group's, or a folder of Consul. */
static const char *name_in_group(const struct patroni_key *key, int64_t group)
{
	const char *name = key->name + strspn(key->name, "/");

	return split_group(&name) == group && *name != '\0' ? name : NULL;
}

static int64_t pick_group(const struct patroni_key *keys, size_t count, int64_t group)
{
	bool has_groups = false;

	if (group != PATRONI_NO_GROUP)
		return group;
	for (size_t i = 0; i < count; i++) {
		const char *name = keys[i].name + strspn(keys[i].name, "/");
		if (name_in_group(&keys[i], PATRONI_NO_GROUP) != NULL)
			return PATRONI_NO_GROUP;
		has_groups = has_groups || split_group(&name) != PATRONI_NO_GROUP;
	}
	return has_groups ? COORDINATOR_GROUP : PATRONI_NO_GROUP;
}

/* A key of the group, and where it stood: of equal names the later one counts. */
struct entry {
	const char *name;
	const struct patroni_key *key;
};

static int compare_entries(const void *a, const void *b)
{
	const struct entry *left = a;
	const struct entry *right = b;
	int order = strcmp(left->name, right->name);

	return order != 0 ? order : (left->key > right->key) - (left->key < right->key);
}

/* Returns the number of entries left, sorted and each name once. */
static size_t collect(struct entry *entries, const struct patroni_key *keys, size_t count,
		      int64_t group)
{
	size_t found = 0;
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		const char *name = name_in_group(&keys[i], group);
		if (name != NULL)
			entries[found++] = (struct entry){name, &keys[i]};
	}
	if (found > 0)
		qsort(entries, found, sizeof(*entries), compare_entries);
	for (size_t i = 0; i < found; i++) {
		if (i + 1 == found || strcmp(entries[i].name, entries[i + 1].name) != 0)
			entries[kept++] = entries[i];
	}
	return kept;
}

static void decode_member(struct patroni_decoder *d, const struct entry *entry)
{
	struct patroni_view *view = d->view;
	const char *name = entry->name + strlen(members);

	if (strchr(name, '/') != NULL)
		return; /* Patroni takes no notice of it either */
	if (!patroni_is_name(name, strlen(name))) {
		patroni_problem(d, "not the name of a member");
		return;
	}
	if (view->member_count == PATRONI_MAX_MEMBERS) {
		patroni_problem(d, "more than %d members", PATRONI_MAX_MEMBERS);
		return;
	}
	patroni_decode_member(d, entry->key, name, &view->members[view->member_count++]);
}

static void decode_entries(struct patroni_decoder *d, const struct entry *entries, size_t count)
{
	size_t most = 0;

	for (size_t i = 0; i < count; i++)
		most += strncmp(entries[i].name, members, strlen(members)) == 0;
	if (most > PATRONI_MAX_MEMBERS)
		most = PATRONI_MAX_MEMBERS;
	d->view->members = most == 0 ? NULL : patroni_alloc(d, most * sizeof(*d->view->members));
	if (d->out_of_memory)
		return;
	for (size_t i = 0; i < count; i++) {
		d->key = entries[i].name;
		if (strncmp(d->key, members, strlen(members)) == 0)
			decode_member(d, &entries[i]);
		else
			patroni_decode_single(d, entries[i].key);
	}
}

static struct patroni_view *view_new(int64_t group)
{
	struct patroni_view *view = calloc(1, sizeof(*view));

	if (view == NULL)
		return NULL;
	refcount_init(&view->refs);
	go_arena_init(&view->arena);
	view->group = group;
	view->leader.name = "";
	view->failover.leader = "";
	view->failover.candidate = "";
	view->sync.leader = "";
	view->config = (struct patroni_config){
		.ttl_s = 30,
		.loop_wait_s = 10,
		.retry_timeout_s = 10,
		.maximum_lag_on_failover = 1048576,
	};
	return view;
}

/* The last place is for what had none. */
static void count_problems(struct patroni_decoder *d)
{
	struct patroni_view *view = d->view;
	char text[40];

	if (view->problem_count < PATRONI_MAX_PROBLEMS)
		return;
	snprintf(text, sizeof(text), "and %zu more",
		 view->problem_count - (PATRONI_MAX_PROBLEMS - 1));
	view->problems[PATRONI_MAX_PROBLEMS - 1] = patroni_copy(d, text, strlen(text));
}

int patroni_decode(const struct patroni_key *keys, size_t count, int64_t group,
		   struct patroni_view **ret_view)
{
	AUTO_FREE struct entry *entries = calloc(count + 1, sizeof(*entries));
	struct patroni_decoder d = {.view = view_new(pick_group(keys, count, group))};

	if (entries == NULL || d.view == NULL) {
		patroni_view_unref(&d.view);
		return -ENOMEM;
	}
	size_t found = collect(entries, keys, count, d.view->group);
	d.view->is_empty = found == 0;
	decode_entries(&d, entries, found);
	count_problems(&d);
	if (d.out_of_memory) {
		patroni_view_unref(&d.view);
		return -ENOMEM;
	}
	*ret_view = d.view;
	return 0;
}
