/* Which of several servers is nearest, by how long each takes to answer. Pure.
 *
 * A single slow or lucky answer changes nothing: the median of the last three counts,
 * and another server takes the place of the nearest only when it is nearer by a
 * margin. */
#ifndef PGSPLICE_ROUTING_NEARNESS_H
#define PGSPLICE_ROUTING_NEARNESS_H

#include <stdbool.h>
#include <stdint.h>

#define NEARNESS_SAMPLES     3
#define NEARNESS_UNREACHABLE INT64_MAX

struct nearness {
	int64_t samples_us[NEARNESS_SAMPLES]; /* a ring */
	unsigned count;                       /* of all samples so far */
};

/* took_us, not negative, or NEARNESS_UNREACHABLE. One to begin with is all zero. */
void nearness_note(struct nearness *nearness, int64_t took_us);
/* The median of the last three, of two the greater; NEARNESS_UNREACHABLE while
 * nothing is known or it does not answer. */
int64_t nearness_us(const struct nearness *nearness);
/* Whether a session should rather go to `a` than to `b`, where b is where they go now:
 * by more than a quarter and by more than 200 microseconds. */
bool nearness_is_clearly_less(const struct nearness *a, const struct nearness *b);

#endif
