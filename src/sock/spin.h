/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spin.h - how long to look before sleeping
 *
 * A spin that is a little too short costs a wake-up across cores (20-60 us); one that is in vain costs CPU that
 * somebody else could use. So each waiting place keeps a budget: a wait that ended while spinning, or so
 * soon after falling asleep that spinning would have caught it, raises it; one that slept long halves
 * it, down to nothing. While spinning the core is given away (sched_yield) now and then, and at every look when
 * the peer was last seen on this very core: then only yielding lets it run.
 */
#ifndef SL_SPIN_H
#define SL_SPIN_H

#include "clock.h"
#include "env.h"
#include "sock.h"
#include "sys.h"

#define SL_SPIN_YIELD_LOOKS 64 /* looks between two yields */

struct sl_spinning {
	struct sl_spin *place;
	uint64_t start; /* ticks */
	uint64_t until;
	unsigned looks;
	bool same_cpu;
};

static inline void sl_spin_begin(struct sl_spinning *sp, struct sl_spin *place, bool same_cpu)
{
	uint32_t ns = sl_env.spin_ns;

	if (sl_env.spin_auto && place->budget_ns)
		ns = place->budget_ns - 1;
	sp->place = place;
	sp->start = sl_ticks();
	sp->until = sp->start + sl_ticks_of_ns(ns);
	sp->looks = 0;
	sp->same_cpu = same_cpu;
}

/** sl_spin_on() - one turn; false: the budget is used up, sleep */
static inline bool sl_spin_on(struct sl_spinning *sp)
{
	if (sp->same_cpu || ++sp->looks % SL_SPIN_YIELD_LOOKS == 0)
		sl_sys_yield();
	else
		sl_cpu_relax();
	return sl_ticks() < sp->until;
}

/** sl_spin_done() - the wait is over; @slept: it ended in the kernel */
static inline void sl_spin_done(struct sl_spinning *sp, bool slept)
{
	uint64_t took = sl_ticks() - sp->start;
	uint32_t b = sp->place->budget_ns;

	if (!sl_env.spin_auto)
		return;
	if (!b)
		b = sl_env.spin_ns + 1;
	if (took < sl_ticks_of_ns(sl_env.spin_ns))
		b = sl_env.spin_ns + 1;
	else if (slept && took > sl_ticks_of_ns(4ull * sl_env.spin_ns))
		b = b > 2000 ? b / 2 : 1;
	sp->place->budget_ns = b;
}

#endif
