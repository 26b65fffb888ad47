/* Any bytes in place of a Patroni cluster's keys, one a line as patroni_keys.h has
 * them, the first byte choosing the Citus group: they decode, and the view keeps
 * the promises of patroni_view.h. */
#include <string.h>

#include "../unit/patroni_keys.h"
#include "base/cleanup.h"
#include "fuzz_target.h"

static void check_text(const char *text)
{
	CHECK(text != NULL);
	for (; *text != '\0'; text++)
		CHECK(*text >= ' ' && *text <= '~');
}

static void check_address(const struct patroni_address *address)
{
	check_text(address->text);
	CHECK((address->count == 0) == (*address->text == '\0'));
	CHECK(strlen(address->text) < PATRONI_ADDRESS_SIZE);
	CHECK(address->count <= PATRONI_MAX_HOSTS && strchr(address->text, '@') == NULL);
	for (size_t i = 0; i < address->count; i++) {
		check_text(address->hosts[i].host);
		CHECK(*address->hosts[i].host != '\0' && address->hosts[i].port > 0);
	}
}

static void check_member(const struct patroni_view *view, size_t index)
{
	const struct patroni_member *m = patroni_view_member_at(view, index);

	check_text(m->name);
	CHECK(*m->name != '\0' && strlen(m->name) < PATRONI_NAME_SIZE);
	CHECK(patroni_view_find_member(view, m->name) == m);
	if (index > 0)
		CHECK(strcmp(patroni_view_member_at(view, index - 1)->name, m->name) < 0);
	check_address(&m->address);
	check_address(&m->proxy);
	check_text(m->api_url);
	check_text(m->version);
	check_text(patroni_role_name(m->role));
	check_text(patroni_state_name(m->state));
	if (!m->is_decodable)
		CHECK(m->role == PATRONI_ROLE_UNKNOWN && m->state == PATRONI_STATE_UNKNOWN);
}

static void check_singles(const struct patroni_view *view)
{
	const struct patroni_config *config = patroni_view_config(view);
	const struct patroni_cluster *cluster = patroni_view_cluster(view);
	const struct patroni_sync *sync = patroni_view_sync(view);

	check_text(patroni_view_leader(view)->name);
	CHECK(strlen(patroni_view_leader(view)->name) < PATRONI_NAME_SIZE);
	CHECK(config->ttl_s > 0 && config->loop_wait_s > 0 && config->retry_timeout_s > 0);
	CHECK((cluster->init == PATRONI_INIT_DONE) == (cluster->system_id != 0));
	check_text(patroni_view_failover(view)->leader);
	check_text(patroni_view_failover(view)->candidate);
	check_text(sync->leader);
	for (size_t i = 0; i < sync->standby_count; i++)
		CHECK(patroni_view_is_sync_standby(view, sync->standbys[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t group =
		size > 0 && data[0] >= '0' && data[0] <= '9' ? data[0] - '0' : PATRONI_NO_GROUP;
	size_t first = size > 0;
	struct patroni_view *view = keys_decode((const char *)data + first, size - first, group);

	CHECK(group == PATRONI_NO_GROUP ? patroni_view_group(view) <= 0
					: patroni_view_group(view) == group);
	CHECK(patroni_view_member_count(view) <= PATRONI_MAX_MEMBERS);
	CHECK(patroni_view_problem_count(view) <= PATRONI_MAX_PROBLEMS);
	for (size_t i = 0; i < patroni_view_member_count(view); i++)
		check_member(view, i);
	for (size_t i = 0; i < patroni_view_problem_count(view); i++)
		check_text(patroni_view_problem_at(view, i));
	check_singles(view);
	patroni_view_unref(&view);
	return 0;
}
