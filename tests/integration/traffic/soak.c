/* The soak: readers that are slow or pause, and cuts agreed with whoever started
 * this. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "traffic.h"

/* Time between cuts at most, and clients that may meet a closed door in one. */
#define CUT_AFTER_MS  4000
#define STARTS_IN_CUT 32

char soak_answer;
static bool cutting;      /* until the byte on standard input */
static int64_t cut_at_ms; /* when to ask for the next one */
static unsigned starts_in_cut;
static struct side *paused;

void soak_unpause(struct side *side)
{
	struct side **at = &paused;

	if (side->paused_until_ms == 0)
		return;
	while (*at != side)
		at = &(*at)->next_paused;
	*at = side->next_paused;
	side->paused_until_ms = 0;
}

void soak_pause(struct side *side)
{
	bool long_one = side->pauses_at > 0 && side->received >= side->pauses_at;
	uint64_t ms = long_one ? 500 + random_below(2500) : random_below((uint64_t)side->slow_ms);

	if (long_one)
		side->pauses_at = 0;
	if (ms == 0 || side->paused_until_ms != 0)
		return;
	side->paused_until_ms = now_ms() + (int64_t)ms;
	side->next_paused = paused;
	paused = side;
}

void soak_end_pauses(void)
{
	int64_t now = paused == NULL ? 0 : now_ms();

	for (struct side *side = paused, *next; side != NULL; side = next) {
		next = side->next_paused;
		if (now < side->paused_until_ms)
			continue;
		soak_unpause(side);
		watch(side);
	}
}

/* In a soak some readers are slow; others pause once, with all buffers full. */
void soak_make_slow(struct side *side, bool slow)
{
	if (slow)
		side->slow_ms = 20;
	else if (soak_s > 0 && random_below(12) == 0)
		side->pauses_at = 1 + random_size();
}

bool soak_waits(void)
{
	return paused != NULL || cutting;
}

static void ask_for_a_cut(void)
{
	for (uint64_t i = 0; i < started; i++)
		sessions[i].may_be_cut = true; /* those that are over do not mind */
	cutting = true;
	starts_in_cut = 0;
	printf("cut\n");
	fflush(stdout);
}

void soak_plan_next_cut(void)
{
	cut_at_ms = now_ms() + 500 + (int64_t)random_below(CUT_AFTER_MS);
}

void soak_hear_answer(void)
{
	char answer;

	if (read(STDIN_FILENO, &answer, 1) != 1)
		exit(2); /* whoever started this is gone */
	cutting = false;
	soak_plan_next_cut();
}

void soak_maybe_cut(void)
{
	if (!cutting && now_ms() >= cut_at_ms)
		ask_for_a_cut();
}

bool soak_is_cutting(void)
{
	return cutting;
}

bool soak_may_start(void)
{
	return !cutting || starts_in_cut++ < STARTS_IN_CUT;
}
