/* Sizes and bytes of the traffic program's sessions. */
#include "plan.h"

static uint64_t random_state;
static uint64_t max_bytes;
static unsigned magnitudes;

void plan_seed(uint64_t seed, uint64_t most_bytes)
{
	random_state = seed * 2 + 1;
	max_bytes = most_bytes;
	for (magnitudes = 1; most_bytes > 1; most_bytes /= 2)
		magnitudes++;
}

static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

uint64_t random_below(uint64_t limit)
{
	return limit == 0 ? 0 : random_number() % limit;
}

uint64_t random_size(void)
{
	uint64_t limit = max_bytes >> random_below(magnitudes);

	return random_below(limit + 1);
}

void plan_bytes(uint64_t number, bool from_client, uint64_t at, uint8_t *ret_data, size_t size)
{
	const uint64_t step = 0xbf58476d1ce4e5b9u;
	uint64_t x = (number * 2 + from_client) * 0x9e3779b97f4a7c15u + at * step;

	for (size_t i = 0; i < size; i++, x += step)
		ret_data[i] = (uint8_t)(x >> 56);
	for (size_t i = 0; from_client && i < size && at + i < HEADER; i++)
		ret_data[i] = (uint8_t)(number >> (8 * (at + i)));
}
