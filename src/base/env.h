/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * env.h - the settings: SCILAN_* environment variables, read once at start-up
 *
 * Programs clear their environment (nginx does), so nothing is looked up later.
 *
 *   SCILAN_PROMOTE  eager | auto | off | N   when a connection is offered (auto: 4 calls or 64 KiB)
 *   SCILAN_RING	   bytes of each ring, a power of two; suffixes K and M
 *   SCILAN_SPIN	   auto | microseconds      how long a waiter spins before it sleeps
 *   SCILAN_SPIN_CPU percent                  of a CPU's time that spins in vain may cost the process; 100: no bound
 *   SCILAN_BELLS	   0                        wake by bytes of TCP only
 *   SCILAN_VERBOSE  1                        one line at start, one for each promotion refused
 *   SCILAN_PATCH    0                        leave libc's code as it is
 *   SCILAN_CHAOS	   pairs,lanes[:SEED]       tests, one or both: offered connections wait for the
 *					    broker's answer; the memory lane is left and taken at random
 *   SCILAN_BROKER   an abstract name         tried instead of the two usual addresses (tests)
 */
#ifndef SL_ENV_H
#define SL_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_PROMOTE_OFF UINT32_MAX
#define SL_SPIN_DEF_NS 50000u
#define SL_SPIN_CPU_DEF 20u
#define SL_SPIN_CPU_ALL 100u

struct sl_env {
	uint32_t promote_calls; /* offer at this call; 0: at once; SL_PROMOTE_OFF: never */
	uint64_t promote_bytes; /* or after this many bytes */
	size_t ring_len;	/* bytes; 0: the broker's default */
	uint32_t spin_ns;	/* cap of a spin */
	bool spin_auto;		/* adapt below the cap */
	uint32_t spin_cpu;	/* percent of a CPU's time for spins in vain */
	bool bells; /* those that are cheaper than a byte of TCP */
	bool verbose;
	bool patch; /* change libc's functions, so that its own calls come to us */
	bool chaos_pairs;
	bool chaos_lanes;
	uint32_t chaos_seed;
	char broker[100]; /* abstract name; "": the usual addresses */
};

extern struct sl_env sl_env;

/**
 * sl_env_parse_promote() - "eager", "auto", "off" or a number of calls
 * Return: 0, or -EINVAL with nothing changed. The same for those below.
 */
int sl_env_parse_promote(const char *s, struct sl_env *env);
int sl_env_parse_ring(const char *s, struct sl_env *env);
int sl_env_parse_spin(const char *s, struct sl_env *env);
int sl_env_parse_spin_cpu(const char *s, struct sl_env *env);

/**
 * sl_env_init() - read SCILAN_* into sl_env; a value that cannot be parsed is reported on
 * standard error in one line and the default is kept
 */
void sl_env_init(void);

#endif
