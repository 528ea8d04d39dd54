/* SPDX-License-Identifier: BSD-2-Clause */
/* clock.h - time and place of the running thread, cheaply */
#ifndef SL_CLOCK_H
#define SL_CLOCK_H

#include <stdint.h>
#include <sys/rseq.h>
#include <time.h>
#include <x86intrin.h>

/** sl_now_ns() - CLOCK_MONOTONIC, through the vDSO */
static inline uint64_t sl_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/** sl_coarse_ns() - CLOCK_MONOTONIC as of the last timer tick: cheaper than any counter, 1-10 ms behind */
static inline uint64_t sl_coarse_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/** sl_ticks() - the time-stamp counter: a few ns, for spins; see sl_ticks_of_ns() */
static inline uint64_t sl_ticks(void)
{
	return __rdtsc();
}

extern uint64_t sl_ticks_per_us;

/** sl_clock_init() - measure the time-stamp counter against the clock, once (about 20 us) */
void sl_clock_init(void);

static inline uint64_t sl_ticks_of_ns(uint64_t ns)
{
	return ns * sl_ticks_per_us / 1000;
}

/**
 * sl_cpu() - 1 + the CPU this thread runs on, from rseq (glibc registers it); 0 unknown
 */
static inline uint32_t sl_cpu(void)
{
	const volatile struct rseq *rs;

	if (!__rseq_size)
		return 0;
	rs = (const void *)((const char *)__builtin_thread_pointer() + __rseq_offset);
	return (int32_t)rs->cpu_id < 0 ? 0 : rs->cpu_id + 1;
}

#endif
