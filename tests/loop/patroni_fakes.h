/* A store and an observer that a test plays by hand. They are linked in place of
 * store/store.c and control/observer.c, for the tests of what stands between the two. */
#ifndef PGSPLICE_TESTS_LOOP_PATRONI_FAKES_H
#define PGSPLICE_TESTS_LOOP_PATRONI_FAKES_H

#include "control/observer.h"
#include "store/store.h"

#define FAKE_PLACES 16

extern struct fake_observer {
	bool is_running;
	enum probe_method method;
	observer_cb *cb;
	void *arg;
	/* The plan in force. */
	unsigned plans; /* how many have come */
	bool hurry;
	size_t count;
	struct observer_place places[FAKE_PLACES];
	char hosts[FAKE_PLACES][80];
} fake_observer;

/* The place that is asked at this port, of PostgreSQL or of a check server; NULL: none. */
const struct observer_place *fake_observer_place(uint16_t port);
void fake_observer_says(uint64_t id, const struct probe_result *result);

extern struct fake_store {
	bool is_open;
	char prefix[100]; /* what is watched; "": nothing */
	store_watch_tree_cb *watch_cb;
	void *watch_arg;
	unsigned reads; /* how many have begun */
	store_list_cb *list_cb;
	void *list_arg; /* of the one under way */
	uint64_t revision;
} fake_store;

/* The watch tells of these items, at the next revision. */
void fake_store_changes(const struct store_item *items, size_t count, bool is_fresh);
/* The end of the read under way, at the present revision. */
void fake_store_answers(const struct store_item *items, size_t count);
void fake_store_fails(void);

void fakes_reset(void);

#endif
