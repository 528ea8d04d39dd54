/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hist.h - a log-linear histogram of 64-bit values (nanoseconds), in the manner of HdrHistogram
 *
 * Each power of two is cut into HIST_SUB equal buckets, so a value is known to 1/HIST_SUB
 * (below 0.8%) from 1 ns to 18 minutes, in a table of fixed size and with no allocation. Values
 * below HIST_SUB have a bucket each; larger ones than the table holds count in the last bucket.
 * Count, sum, min and max are exact.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>
#include <stdio.h>

#define HIST_SUB_BITS 7u
#define HIST_SUB      (1u << HIST_SUB_BITS)
#define HIST_MAX_BITS 40u /* 2^40 ns: 18 minutes */
#define HIST_BUCKETS  ((HIST_MAX_BITS - HIST_SUB_BITS + 1) * HIST_SUB)

struct hist {
	uint64_t count;
	uint64_t sum;
	uint64_t min;
	uint64_t max;
	uint64_t bucket[HIST_BUCKETS];
};

static inline unsigned hist_index(uint64_t v)
{
	unsigned shift;

	if (v < HIST_SUB)
		return (unsigned)v;
	shift = 63u - (unsigned)__builtin_clzll(v) - HIST_SUB_BITS;
	if (shift >= HIST_MAX_BITS - HIST_SUB_BITS)
		return HIST_BUCKETS - 1;
	return (shift + 1) * HIST_SUB + (unsigned)(v >> shift) - HIST_SUB;
}

/* The middle of a bucket. */
static inline uint64_t hist_value(unsigned index)
{
	unsigned shift;

	if (index < HIST_SUB)
		return index;
	shift = index / HIST_SUB - 1;
	return ((uint64_t)(HIST_SUB + index % HIST_SUB) << shift) + ((1ULL << shift) >> 1);
}

static inline void hist_add(struct hist *h, uint64_t v)
{
	if (!h->count || v < h->min)
		h->min = v;
	if (v > h->max)
		h->max = v;
	h->count++;
	h->sum += v;
	h->bucket[hist_index(v)]++;
}

/* The smallest value that at least @q (0 .. 1) of all values do not exceed. */
static inline uint64_t hist_quantile(const struct hist *h, double q)
{
	uint64_t want = (uint64_t)(q * (double)h->count + 0.9999999);
	uint64_t seen = 0;
	unsigned i;

	for (i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (h->bucket[i] && seen >= want) {
			uint64_t v = hist_value(i);

			return v > h->max ? h->max : v < h->min ? h->min : v;
		}
	}
	return h->max;
}

static inline double hist_mean(const struct hist *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}

/* One line a bucket in use: nanoseconds, count, the part of all values up to here. */
static inline void hist_print(const struct hist *h, FILE *out)
{
	uint64_t seen = 0;
	unsigned i;

	for (i = 0; i < HIST_BUCKETS; i++) {
		if (!h->bucket[i])
			continue;
		seen += h->bucket[i];
		fprintf(out, "%llu %llu %.9f\n", (unsigned long long)hist_value(i),
			(unsigned long long)h->bucket[i], (double)seen / (double)h->count);
	}
}

#endif
