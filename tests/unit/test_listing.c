/* store/listing: what is kept of a tree. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "listing.h"

static int put(struct listing *l, const char *key, const char *data, uint64_t revision)
{
	struct store_item item = {key, data, strlen(data), revision, revision, false};

	return listing_put(l, &item);
}

static void test_items_are_sorted_copied_and_replaced(void **state)
{
	static const char *const keys[] = {"members/b", "leader", "members/a",
					   "",          "sync",   "leader2"};
	static const char *const sorted[] = {"",          "leader",    "leader2",
					     "members/a", "members/b", "sync"};
	struct listing l = {0};
	char key[20];

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		snprintf(key, sizeof(key), "%s", keys[i]);
		assert_int_equal(put(&l, key, "old", 1), 0);
		assert_int_equal(put(&l, key, keys[i], i + 2), 0);
		memset(key, 'x', sizeof(key));
	}
	struct store_listing found = listing_at(&l, 9);
	assert_int_equal(found.count, ARRAY_LEN(keys));
	assert_int_equal(found.revision, 9);
	for (size_t i = 0; i < found.count; i++) {
		assert_string_equal(found.items[i].key, sorted[i]);
		assert_string_equal(found.items[i].data, sorted[i]);
	}
	assert_int_equal(listing_find(&l, "sync")->mod_revision, 6);
	listing_remove(&l, "leader");
	listing_remove(&l, "leader");
	listing_remove(&l, "lead");
	assert_null(listing_find(&l, "leader"));
	assert_int_equal(l.count, ARRAY_LEN(keys) - 1);
	listing_deinit(&l);
	assert_int_equal(l.count, 0);
	assert_int_equal(l.bytes, 0);
}

static void test_any_difference_makes_another(void **state)
{
	struct store_item items[] = {{"a", "x", 1, 1, 2, false}, {"b", "", 0, 3, 3, true}};
	struct store_listing same = {items, 2, 5};
	struct listing l = {0};

	assert_int_equal(listing_copy(&l, &same), 0);
	assert_true(listing_is(&l, &same));
	same.revision = 6; /* which says nothing about the keys */
	assert_true(listing_is(&l, &same));
	for (unsigned what = 0; what < 7; what++) {
		struct store_item other[] = {items[0], items[1], {"c", "", 0, 1, 1, false}};
		struct store_listing listing = {other, what == 0 ? 1 : what == 1 ? 3 : 2, 5};
		other[0].key = what == 2 ? "A" : "a";
		other[0].data = what == 3 ? "y" : "x";
		other[0].create_revision += what == 4;
		other[1].mod_revision += what == 5;
		other[1].is_held = what != 6;
		assert_false(listing_is(&l, &listing));
	}
	listing_deinit(&l);
}

static void test_the_number_of_keys_is_bounded(void **state)
{
	struct listing l = {0};
	char key[20];

	for (unsigned i = 0; i < STORE_TREE_MAX_KEYS; i++) {
		snprintf(key, sizeof(key), "%u", i);
		assert_int_equal(put(&l, key, "", 1), 0);
	}
	assert_int_equal(put(&l, "one more", "", 1), ERR_TOO_LARGE);
	assert_int_equal(l.count, STORE_TREE_MAX_KEYS);
	assert_int_equal(put(&l, "17", "another", 2), 0);
	listing_remove(&l, "18");
	assert_int_equal(put(&l, "one more", "", 1), 0);
	listing_deinit(&l);
}

static void test_the_bytes_are_bounded_but_for_a_single_key(void **state)
{
	static char half[STORE_TREE_MAX_BYTES / 2 + 1];
	struct listing l = {0};
	struct listing single = {.has_no_bounds = true};

	memset(half, 'x', sizeof(half) - 1);
	assert_int_equal(put(&l, "a", half, 1), 0);
	assert_int_equal(put(&l, "b", half, 1), ERR_TOO_LARGE);
	assert_int_equal(l.count, 1);
	assert_int_equal(put(&l, "a", half, 2), 0);
	assert_int_equal(put(&l, "b", half + 2, 1), 0); /* to the byte */
	assert_int_equal(put(&l, "b", half + 1, 1), ERR_TOO_LARGE);
	assert_string_equal(listing_find(&l, "b")->data, half + 2);
	assert_int_equal(put(&l, "c", "", 1), ERR_TOO_LARGE);
	listing_remove(&l, "a");
	assert_int_equal(put(&l, "c", half, 1), 0);

	struct store_item large = {"", half, sizeof(half) - 1, 1, 1, false};
	assert_int_equal(listing_put(&single, &large), 0);
	listing_take(&single, &l);
	assert_int_equal(l.count, 0);
	assert_int_equal(single.count, 2);
	listing_deinit(&single);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_items_are_sorted_copied_and_replaced),
		cmocka_unit_test(test_any_difference_makes_another),
		cmocka_unit_test(test_the_number_of_keys_is_bounded),
		cmocka_unit_test(test_the_bytes_are_bounded_but_for_a_single_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
