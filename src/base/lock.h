/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.h - a small lock within one process
 *
 * Held for short work only, never across anything that blocks. While the process has one thread (glibc's
 * __libc_single_threaded) taking and releasing are plain stores: a signal handler nests, and so undoes
 * what it did before the interrupted code goes on. Signal handlers that are known wait until no lock is held
 * (sect.h). The word holds the owner's thread id, so one that is not known, and meets its own thread's lock, finds out
 * (-EDEADLK) instead of waiting for ever.
 */
#ifndef SL_LOCK_H
#define SL_LOCK_H

#include <stdatomic.h>
#include <sys/single_threaded.h>
#include "common.h"
#include "sect.h"

struct sl_lock {
	_Atomic uint32_t word; /* 0 free; else owner's thread id, SL_LOCK_WAITERS or'ed in */
};

#define SL_LOCK_WAITERS 0x80000000u

extern __thread uint32_t sl_tid_cached __attribute__((tls_model("initial-exec")));
uint32_t sl_tid_lookup(void);

static inline uint32_t sl_tid(void)
{
	return sl_likely(sl_tid_cached) ? sl_tid_cached : sl_tid_lookup();
}

/** sl_tid_forget() - after fork, in the child */
void sl_tid_forget(void);

int sl_lock_slow(struct sl_lock *l, uint32_t tid);
void sl_unlock_slow(struct sl_lock *l);

/**
 * sl_lock_keep() - take the lock, to be held where a section cannot be: across exec
 * Return: 0; -EDEADLK this thread holds it (we are in a signal handler).
 */
static inline __attribute__((always_inline)) int sl_lock_keep(struct sl_lock *l)
{
	uint32_t seen = 0, tid = sl_tid();

	if (__libc_single_threaded) {
		if (sl_likely(!atomic_load_explicit(&l->word, memory_order_relaxed))) {
			atomic_store_explicit(&l->word, tid, memory_order_relaxed);
			atomic_signal_fence(memory_order_seq_cst);
			return 0;
		}
	} else if (sl_likely(atomic_compare_exchange_strong_explicit(
			   &l->word, &seen, tid, memory_order_acquire, memory_order_relaxed))) {
		return 0;
	}
	return sl_lock_slow(l, tid);
}

static inline __attribute__((always_inline)) void sl_unlock_kept(struct sl_lock *l)
{
	if (__libc_single_threaded) {
		atomic_signal_fence(memory_order_seq_cst);
		atomic_store_explicit(&l->word, 0, memory_order_relaxed);
		return;
	}
	if (sl_unlikely(atomic_exchange_explicit(&l->word, 0, memory_order_release) &
			SL_LOCK_WAITERS))
		sl_unlock_slow(l);
}

/** sl_lock() - enter a section and take the lock; Return: as sl_lock_keep(), in no section on error */
static inline __attribute__((always_inline)) int sl_lock(struct sl_lock *l)
{
	int rc;

	sl_sect_enter();
	rc = sl_lock_keep(l);
	if (sl_unlikely(rc))
		sl_sect_leave();
	return rc;
}

static inline __attribute__((always_inline)) void sl_unlock(struct sl_lock *l)
{
	sl_unlock_kept(l);
	sl_sect_leave();
}

/** sl_lock_reset() - after fork, in the child: no other thread is left that could hold it */
static inline void sl_lock_reset(struct sl_lock *l)
{
	atomic_store_explicit(&l->word, 0, memory_order_relaxed);
}

#endif
