/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <linux/futex.h>
#include <unistd.h>
#include "lock.h"
#include "sys.h"

__thread uint32_t sl_tid_cached __attribute__((tls_model("initial-exec")));

uint32_t sl_tid_lookup(void)
{
	sl_tid_cached = (uint32_t)sl_sys(SYS_gettid, 0, 0, 0);
	return sl_tid_cached;
}

void sl_tid_forget(void)
{
	sl_tid_cached = 0;
}

int sl_lock_slow(struct sl_lock *l, uint32_t tid)
{
	uint32_t seen;
	int spins = 0;

	for (;;) {
		seen = atomic_load_explicit(&l->word, memory_order_relaxed);
		if ((seen & ~SL_LOCK_WAITERS) == tid)
			return -EDEADLK;
		if (!seen) {
			/* Waiters may be asleep: keep the bit, a needless wake is cheap. */
			if (atomic_compare_exchange_strong_explicit(
				    &l->word, &seen, spins > 100 ? tid | SL_LOCK_WAITERS : tid,
				    memory_order_acquire, memory_order_relaxed))
				return 0;
			continue;
		}
		if (++spins <= 100) {
			sl_cpu_relax();
			continue;
		}
		if (!(seen & SL_LOCK_WAITERS) &&
		    !atomic_compare_exchange_strong_explicit(&l->word, &seen, seen | SL_LOCK_WAITERS,
							     memory_order_relaxed,
							     memory_order_relaxed))
			continue;
		sl_sys6(SYS_futex, (long)&l->word, FUTEX_WAIT_PRIVATE, (long)(seen | SL_LOCK_WAITERS), 0,
			0, 0);
	}
}

void sl_unlock_slow(struct sl_lock *l)
{
	sl_sys6(SYS_futex, (long)&l->word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}
