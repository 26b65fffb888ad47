/* Counts of durations, exact to 1/64 of their size, in a table of fixed size. */
#ifndef PGSPLICE_BENCH_HISTOGRAM_H
#define PGSPLICE_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_SUB      (1U << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_SIZE     ((64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB)

struct histogram {
	uint64_t total;
	uint64_t counts[HISTOGRAM_SIZE];
};

static inline unsigned histogram_index(uint64_t value)
{
	if (value < HISTOGRAM_SUB)
		return (unsigned)value;
	unsigned shift = 63U - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
	h->total++;
	h->counts[histogram_index(value)]++;
}

/* The middle of the bucket below which the fraction lies; 0 if it is empty. */
static inline double histogram_quantile(const struct histogram *h, double fraction)
{
	uint64_t wanted = (uint64_t)((double)h->total * fraction);
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
		seen += h->counts[i];
		if (seen <= wanted)
			continue;
		if (i < HISTOGRAM_SUB)
			return i;
		unsigned shift = (i >> HISTOGRAM_SUB_BITS) - 1;
		uint64_t low = (uint64_t)(i - (shift << HISTOGRAM_SUB_BITS)) << shift;
		return (double)low + (double)(UINT64_C(1) << shift) / 2;
	}
	return 0;
}

#endif
