/* Any bytes in place of the cluster data: they decode, or there is an error with
 * a text; and whatever decoded keeps the promises of view.h. */
#include <string.h>

#include "base/check.h"
#include "cluster/view_decode.h"
#include "fuzz_target.h"

static void check_member(const struct view *view, size_t index)
{
	const struct view_member *member = view_member_at(view, index);

	CHECK(view_find_member(view, member->uid) == member);
	CHECK(member->keeper_uid != NULL && member->role != NULL);
	CHECK(member->followed_uid != NULL);
	CHECK(member->listen_address != NULL && member->port != NULL);
	if (index > 0)
		CHECK(strcmp(view_member_at(view, index - 1)->uid, member->uid) < 0);
}

static void check_view(const struct view *view)
{
	bool judged_bad =
		view_status(view) == VIEW_BAD_FORMAT || view_status(view) == VIEW_BAD_SPEC;

	CHECK((*view_problem(view) != '\0') == judged_bad);
	if (view_status(view) != VIEW_OK)
		return;
	CHECK(view_check_interval_ns(view) >= 0);
	CHECK(view_proxy_timeout_ns(view) > view_check_interval_ns(view));
	CHECK(view_leader_uid(view) != NULL);
	if (!view_has_proxy(view)) {
		CHECK(view_generation(view) == 0 && *view_leader_uid(view) == '\0');
		CHECK(!view_enables(view, ""));
	}
	for (size_t i = 0; i < view_member_count(view); i++)
		check_member(view, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[VIEW_ERROR_SIZE] = "";
	struct view *view = NULL;
	int r = view_decode((const char *)data, size, &view, error);

	CHECK((r == 0) == (view != NULL));
	if (r < 0)
		CHECK(*error != '\0' && memchr(error, '\0', sizeof(error)) != NULL);
	else
		check_view(view);
	view_unref(&view);
	return 0;
}
