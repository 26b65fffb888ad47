/* The state machine between the cluster data, the workers and the store.
 *
 * A round runs DRAINING -> WRITING -> IDLE. Cuts never wait for a round: they
 * are published as soon as they are known, and a round whose acknowledgement
 * is on its way when something newer arrives is followed by another. */
#include "routing/handover.h"

#include "base/check.h"
#include "base/clock.h"

#define DEFAULT_CHECK_INTERVAL_NS (5 * INT64_C(1000000000))
#define DEFAULT_PROXY_TIMEOUT_NS  (15 * INT64_C(1000000000))

static void input_deinit(struct handover_input *input)
{
	target_unref(&input->target);
}

static void input_set(struct handover_input *to, const struct handover_input *from)
{
	struct target *target = target_ref(from->target);

	input_deinit(to);
	*to = *from;
	to->target = target;
}

/* A proxy timeout of 0 is no valid spec: it means that there is none. */
static bool has_timings(const struct handover_input *input)
{
	return input->proxy_timeout_ns > 0;
}

/* The acknowledgement of one also holds for the other. */
static bool asks_the_same(const struct handover_input *a, const struct handover_input *b)
{
	if (a->situation != b->situation || a->generation != b->generation ||
	    a->proxy_timeout_ns != b->proxy_timeout_ns)
		return false;
	if (a->target == NULL || b->target == NULL)
		return a->target == b->target;
	return target_is_same_place(a->target, b->target) &&
	       target_has_same_addrs(a->target, b->target);
}

static void publish(struct handover *h)
{
	h->drop_generation++;
	h->ops->publish(&(struct handover_route){h->drop_generation, h->wanted.generation, h->term,
						 h->valid_until_ms, h->routed},
			h->arg);
}

static void close_route(struct handover *h)
{
	target_unref(&h->routed);
	publish(h);
}

static void open_route(struct handover *h, struct target *target)
{
	if (h->routed == NULL)
		h->term++;
	struct target *before = h->routed;
	h->routed = target_ref(target);
	target_unref(&before);
	publish(h);
}

void handover_init(struct handover *h, const struct handover_ops *ops, void *arg, int64_t now_ms)
{
	*h = (struct handover){
		.ops = ops,
		.arg = arg,
		.step = HANDOVER_IDLE,
		.wanted = {.situation = SITUATION_NO_CLUSTER_DATA},
		.check_interval_ns = DEFAULT_CHECK_INTERVAL_NS,
		.proxy_timeout_ns = DEFAULT_PROXY_TIMEOUT_NS,
		.valid_until_ms = now_ms + DEFAULT_PROXY_TIMEOUT_NS / NS_PER_MS,
	};
}

void handover_deinit(struct handover *h)
{
	input_deinit(&h->wanted);
	input_deinit(&h->writing);
	target_unref(&h->routed);
}

void handover_expire(struct handover *h, int64_t now_ms)
{
	if (h->routed != NULL && now_ms >= h->valid_until_ms)
		close_route(h);
}

static void extend(struct handover *h, int64_t read_sent_ms)
{
	if (read_sent_ms > 0)
		h->valid_until_ms = read_sent_ms + h->proxy_timeout_ns / NS_PER_MS;
}

static void finish(struct handover *h, bool good)
{
	h->step = HANDOVER_IDLE;
	h->ops->finished(good, h->arg);
}

/* DRAINING -> WRITING, once nothing forbidden is left. */
static void advance(struct handover *h)
{
	if (h->step != HANDOVER_DRAINING || h->drained < h->drop_generation)
		return;
	h->step = HANDOVER_WRITING;
	input_set(&h->writing, &h->wanted);
	/* Never announce less than what is in force: the sentinels wait for a
	 * silent proxy as long as it told them. */
	int64_t timeout_ns = h->wanted.proxy_timeout_ns > h->proxy_timeout_ns
				     ? h->wanted.proxy_timeout_ns
				     : h->proxy_timeout_ns;
	h->ops->acknowledge(h->wanted.generation, timeout_ns, h->arg);
}

static void start_round(struct handover *h)
{
	const struct situation_rules *rules = situation_rules(h->wanted.situation);

	if (rules->acknowledges) {
		h->step = HANDOVER_DRAINING;
		advance(h);
		return;
	}
	h->step = HANDOVER_IDLE;
	if (h->wanted.situation == SITUATION_RESOLVING)
		return; /* the next handover_decide() goes on with this round */
	if (rules->counts)
		extend(h, h->wanted.read_sent_ms);
	finish(h, rules->counts);
}

void handover_decide(struct handover *h, const struct handover_input *input, int64_t now_ms)
{
	bool stays = h->routed != NULL && input->situation == SITUATION_ROUTED &&
		     target_is_same_place(h->routed, input->target);
	uint64_t before = h->drop_generation;

	CHECK((input->situation == SITUATION_ROUTED) == (input->target != NULL));
	input_set(&h->wanted, input);
	handover_expire(h, now_ms);
	if (h->routed != NULL && !stays)
		close_route(h);
	else if (h->routed != NULL && !target_has_same_addrs(h->routed, input->target))
		open_route(h, input->target); /* same leader: cuts what its name lost */
	if (input->has_news && h->drop_generation == before)
		publish(h);
	if (h->step != HANDOVER_WRITING)
		start_round(h);
}

void handover_drained(struct handover *h, uint64_t drop_generation, int64_t now_ms)
{
	h->drained = drop_generation;
	handover_expire(h, now_ms);
	advance(h);
}

/* New timings come into force together with the deadline they make. Without a
 * read that vouches for one, the old deadline still runs, and so the old timeout
 * must still be announced. */
static void take_timings(struct handover *h)
{
	if (h->writing.read_sent_ms == 0 || !has_timings(&h->writing))
		return;
	h->proxy_timeout_ns = h->writing.proxy_timeout_ns;
	h->check_interval_ns = h->writing.check_interval_ns;
}

/* The store knows now: new timings are in force, and a wanted leader opens. */
static void take_acknowledged(struct handover *h, int64_t now_ms)
{
	take_timings(h);
	extend(h, h->writing.read_sent_ms);
	handover_expire(h, now_ms);
	if (asks_the_same(&h->writing, &h->wanted) && h->wanted.situation == SITUATION_ROUTED &&
	    now_ms < h->valid_until_ms)
		open_route(h, h->wanted.target);
	else if (h->routed != NULL)
		publish(h); /* the time won holds for what stays open */
}

void handover_acknowledged(struct handover *h, bool written, int64_t now_ms)
{
	const struct situation_rules *rules = situation_rules(h->writing.situation);

	CHECK(h->step == HANDOVER_WRITING);
	handover_expire(h, now_ms);
	if (written)
		take_acknowledged(h, now_ms);
	else if (rules->counts_unacknowledged)
		extend(h, h->writing.read_sent_ms);
	/* What came meanwhile asks for something else, or was read later: that
	 * read may vouch only for a publish that was sent after it. Or it makes an earlier
	 * deadline, where a source has deadlines of its own. */
	if (!asks_the_same(&h->writing, &h->wanted) ||
	    (h->wanted.read_sent_ms > 0 && h->wanted.read_sent_ms != h->writing.read_sent_ms))
		start_round(h);
	else
		finish(h, written || rules->counts_unacknowledged);
}

bool handover_awaits_timings(const struct handover *h)
{
	return has_timings(&h->wanted) && (h->wanted.proxy_timeout_ns != h->proxy_timeout_ns ||
					   h->wanted.check_interval_ns != h->check_interval_ns);
}

void handover_publish_again(struct handover *h)
{
	publish(h);
}

void handover_shut(struct handover *h, int64_t now_ms)
{
	if (h->step == HANDOVER_DRAINING)
		h->step = HANDOVER_IDLE;
	h->wanted.situation = SITUATION_NO_CLUSTER_DATA;
	target_unref(&h->wanted.target);
	close_route(h);
}
