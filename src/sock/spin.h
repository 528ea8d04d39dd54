/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spin.h - how long to look before sleeping
 *
 * A spin that is a little too short costs a wake-up across cores (20-60 us); one that is in vain costs CPU
 * that somebody else could use. So each waiting place keeps a budget: a wait that ended while spinning, or
 * so soon after falling asleep that spinning would have caught it, raises it; one that slept long halves
 * it, down to nothing. While spinning the core is given away (sched_yield) now and then, and at every look when the
 * peer was last seen on this very core: then only yielding lets it run.
 *
 * Crowded. A yield that takes long means that others want this core, even if there is something to read by then: a
 * sleeper would have been woken long before. To go on is harmful:
 * since Linux 6.18 each sched_yield forfeits the rest of the slice, so a thread that yields often is served last, while
 * one that sleeps keeps its claim. So the spin ends there, and the next waits of this place sleep at
 * once: SL_SPIN_SKIP_MIN of them, then four times as many, up to SL_SPIN_SKIP_MAX; each spin that succeeds takes a
 * sixteenth off. To try again costs one more long yield, a slice of somebody else's. So where the kernel says that more
 * threads can run than the machine has CPUs, more waits are skipped instead. Such a count is of one moment and of all CPUs:
 * it is believed SL_SPIN_PUT_OFF times at most.
 *
 * The purse. What a process spends on spins in vain is a part of one CPU's time at most (--spin-cpu). While it has spent more,
 * places whose last spin was in vain sleep at once. Spins that succeed cost nothing, and neither do yields to a peer on this
 * very core. Where the process's cgroup has a quota of less than one CPU, it is a part of that (cpus.h): what it wastes
 * it could not use.
 *
 * One usable CPU. A thread that may run on one CPU alone looks once and yields where its peer runs on that one, or nothing is known of it:
 * as long as it looks, nobody else runs. Where the peer was seen on another CPU, spinning is as good as elsewhere.
 */
#ifndef SL_SPIN_H
#define SL_SPIN_H

#include "clock.h"
#include "cpus.h"
#include "env.h"
#include "sock.h"
#include "sys.h"

#define SL_SPIN_YIELD_LOOKS 64	   /* looks between two yields */
#define SL_SPIN_CLOCK_LOOKS 8	   /* looks between two readings of the clock */
#define SL_SPIN_LONG_NS	    100000 /* a yield that took so long let others run */
#define SL_SPIN_PURSE_NS    5000000 /* what may be spent at once */
#define SL_SPIN_SKIP_MIN    4
#define SL_SPIN_SKIP_MAX    1024
#define SL_SPIN_PUT_OFF	    16 /* times at most that trying again is put off */

struct sl_spinning {
	struct sl_spin *place;
	uint64_t start; /* ticks; 0: the clock was not read yet */
	uint64_t now;	/* ticks, as last read */
	uint64_t budget; /* ticks */
	unsigned looks;
	bool same_cpu;
	bool long_yield; /* the last turn gave the core to somebody for long */
};

/* Ticks of this process; see above. */
struct sl_spin_purse {
	_Atomic int64_t left;
	_Atomic uint64_t filled; /* sl_ticks() when it was last added to */
};

extern struct sl_spin_purse sl_spin_purse;

/* crowd.c */
void sl_spin_crowded(struct sl_spin *place);
void sl_spin_skip(struct sl_spin *place); /* one wait less that does not spin */
bool sl_crowd(void);
unsigned sl_crowd_cpus(const char *list);	  /* of /sys/devices/system/cpu/online */
unsigned sl_crowd_runnable(const char *loadavg); /* of /proc/loadavg */

/*
 * Reading the clock takes as long as a handful of looks (20 ns and more on virtual machines): what comes
 * within the first looks is found without.
 */
static inline void sl_spin_begin(struct sl_spinning *sp, struct sl_spin *place, bool same_cpu)
{
	uint32_t ns = sl_env.spin_ns;

	if (sl_env.spin_auto && place->budget_ns)
		ns = place->budget_ns - 1;
	if (sl_unlikely(place->vain) && !same_cpu &&
	    atomic_load_explicit(&sl_spin_purse.left, memory_order_relaxed) < 0)
		ns = 0;
	sp->place = place;
	sp->start = sp->now = 0;
	if (sl_unlikely(place->skip)) {
		sl_spin_skip(place);
		ns = 0;
	}
	sp->budget = sl_ticks_of_ns(ns);
	sp->looks = 0;
	sp->same_cpu = same_cpu || !ns; /* the clock is read at once */
	sp->long_yield = false;
}


/* Read the clock. Return: true: there is time left. */
static inline bool sl_spin_clock(struct sl_spinning *sp)
{
	sp->now = sl_ticks();
	if (!sp->start)
		sp->start = sp->now;
	return sp->now - sp->start < sp->budget;
}

/** sl_spin_on() - one turn; false: sleep */
static inline bool sl_spin_on(struct sl_spinning *sp)
{
	uint64_t before;

	if (sl_unlikely(sp->long_yield))
		return false; /* looked again since, in vain */
	if (!sp->same_cpu && ++sp->looks % SL_SPIN_YIELD_LOOKS) {
		sl_cpu_relax();
		return sp->looks % SL_SPIN_CLOCK_LOOKS || sl_spin_clock(sp);
	}
	if (!sl_spin_clock(sp))
		return false;
	before = sp->now;
	sl_sys_yield();
	(void)sl_spin_clock(sp);
	sp->long_yield = sp->now - before > sl_ticks_of_ns(SL_SPIN_LONG_NS);
	if (sl_unlikely(sp->long_yield))
		sl_spin_crowded(sp->place);
	return sp->long_yield || sp->now - sp->start < sp->budget;
}

/** sl_spin_tick() - true now and then, when sl_spin_on() has read the clock into @now */
static inline bool sl_spin_tick(const struct sl_spinning *sp)
{
	return sp->same_cpu || sp->looks % SL_SPIN_CLOCK_LOOKS == 0;
}

/* A spin was in vain: pay for it. Two threads at once may lose some of it. */
static inline void sl_spin_charge(const struct sl_spinning *sp)
{
	uint64_t share = atomic_load_explicit(&sl_cpus_percent, memory_order_relaxed), now, since;
	int64_t left, most = (int64_t)(sl_ticks_of_ns(SL_SPIN_PURSE_NS) * share / SL_CPUS_ALL);

	now = sp->now ? sp->now : sl_ticks();
	sl_cpus_look(now);
	if (sl_env.spin_cpu >= SL_SPIN_CPU_ALL)
		return;
	since = now - atomic_load_explicit(&sl_spin_purse.filled, memory_order_relaxed);
	if (since > UINT64_MAX / 2)
		since = 0; /* another thread has read the clock later */
	left = atomic_load_explicit(&sl_spin_purse.left, memory_order_relaxed);
	if (since > sl_ticks_of_ns(SL_SPIN_PURSE_NS) * 100 / (sl_env.spin_cpu + 1))
		left = most;
	else
		left += (int64_t)(since * sl_env.spin_cpu * share / (100 * SL_CPUS_ALL));
	left = left > most ? most : left;
	if (!sp->same_cpu)
		left -= (int64_t)(sp->now - sp->start);
	atomic_store_explicit(&sl_spin_purse.left, left, memory_order_relaxed);
	atomic_store_explicit(&sl_spin_purse.filled, now, memory_order_relaxed);
}

/** sl_spin_done() - the wait is over; @slept: it ended in the kernel */
static inline void sl_spin_done(struct sl_spinning *sp, bool slept)
{
	uint32_t b = sp->place->budget_ns;
	uint64_t took;

	/* As it was: what comes after a wait is on the way of a message. */
	if (sl_likely(!slept && b == sl_env.spin_ns + 1 && !sp->place->vain && !sp->place->skipped))
		return;
	/* Slowly: on a crowded core many spins succeed between two long yields. */
	if (!slept && !sp->long_yield && sp->budget)
		sp->place->skipped = (uint16_t)(sp->place->skipped - (sp->place->skipped + 15) / 16);
	sp->place->vain = slept;
	if (slept)
		sl_spin_charge(sp);
	if (!sl_env.spin_auto)
		return;
	if (!b)
		b = sl_env.spin_ns + 1;
	took = slept ? sl_ticks() - sp->start : 0;
	if (took < sl_ticks_of_ns(sl_env.spin_ns))
		b = sl_env.spin_ns + 1;
	else if (took > sl_ticks_of_ns(4ull * sl_env.spin_ns))
		b = b > 2000 ? b / 2 : 1;
	sp->place->budget_ns = b;
}

#endif
