/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork.c - one end of a connection, two processes
 *
 * Before fork every tracked connection's locks are taken, so that no thread is in the middle of a change, and
 * its side moves to memory that parent and child share: a promoted connection's side page is that already; for
 * the others one family page is made for this fork. The side counts its holders. A connection that two
 * processes hold is not promoted (one would not know of the other's switch); one that was promoted
 * before goes on in both, with the side's own lock (xlock). When a holder closes or exits, the count
 * goes down, and the last one is free again. exec: inherit.h.
 */
#include <string.h>
#include "internal.h"
#include "log.h"
#include "sys.h"

static struct sl_lock fork_lock;

static void init_xlock(struct sl_side_shm *side)
{
	pthread_mutexattr_t a;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&side->xlock, &a);
	pthread_mutexattr_destroy(&a);
}

/* Every tracked socket once, whatever the number of its descriptors. */
static struct sl_sock *each(unsigned *i)
{
	struct sl_sock *s;

	while ((s = sl_pool_at((*i)++)))
		if (atomic_load(&s->refs) && s->stat && s->fd >= 0)
			return s;
	return NULL;
}

/* --- killed holders --- */

static bool any_shared;

/* Full: one that is killed stays counted. */
static void note_holder(struct sl_side_shm *side)
{
	uint32_t none, pid = (uint32_t)sl_sys(SYS_getpid, 0, 0, 0);
	unsigned i;

	for (i = 0; i < SL_SIDE_WHO; i++) {
		none = 0;
		if (atomic_compare_exchange_strong(&side->who[i], &none, pid))
			return;
	}
}

static bool forget_holder(struct sl_side_shm *side, uint32_t pid)
{
	uint32_t seen;
	unsigned i;

	for (i = 0; i < SL_SIDE_WHO; i++) {
		seen = pid;
		if (atomic_compare_exchange_strong(&side->who[i], &seen, 0))
			return true;
	}
	return false;
}

void sl_side_leave(struct sl_side_shm *side)
{
	if (side->shared)
		(void)forget_holder(side, (uint32_t)sl_sys(SYS_getpid, 0, 0, 0));
}

/* It has not counted itself off, nor its threads that slept. */
static void count_off(struct sl_sock *s, uint32_t pid)
{
	struct sl_side_shm *side;
	int how = sl_both_take(s);

	if (!how)
		return;
	side = s->side;
	if (side->shared && forget_holder(side, pid) && atomic_fetch_sub(&side->holders, 1) == 2) {
		side->rx.sleepers = s->sleepers;
		side->tx.waiters = s->waiters;
	}
	sl_both_release(s, how);
}

void sl_sock_reaped(pid_t pid)
{
	struct sl_sock *s;
	unsigned i = 0;

	if (!any_shared)
		return;
	while ((s = each(&i)))
		if (s->side->shared && atomic_load(&s->side->holders) > 1)
			count_off(s, (uint32_t)pid);
}

int sl_side_share(struct sl_sock *s)
{
	struct sl_side_shm *page;

	if (s->side == &s->own) {
		page = sl_map_shared(-1, SL_SIDE_LEN);
		if (!page)
			return -ENOMEM;
		*page = s->own;
		atomic_store(&page->holders, 1);
		s->side = page;
	}
	if (!s->side->shared) {
		init_xlock(s->side);
		s->side->shared = 1;
	}
	atomic_fetch_add(&s->side->holders, 1);
	any_shared = true;
	return 0;
}

void sl_sock_fork_prepare(void)
{
	struct sl_sock *s;
	unsigned i = 0;

	sl_lock(&fork_lock);
	sl_young_grow_all();
	while ((s = each(&i))) {
		/* The answer to an offer would reach one of two holders only. */
		sl_offer_postpone(s);
		if (sl_lock(&s->rx_lock))
			continue;
		if (sl_lock(&s->tx_lock)) {
			sl_unlock(&s->rx_lock);
			continue;
		}
		s->forking = true;
		if (sl_side_share(s) < 0) {
			/* The two will not know of each other: no promotion, in neither. */
			atomic_store(&s->offer, SL_OFFER_NEVER);
			sl_stat_reason(s, SL_WHY_SHARED);
		}
	}
}

/* Child: the threads that were inside a call on it are not here. */
static void drop_orphan(struct sl_sock *s)
{
	if (!atomic_exchange(&s->orphan, SL_ORPHAN_NOT))
		return;
	sl_side_leave(s->side);
	atomic_fetch_sub(&s->side->holders, 1);
	sl_sys_close(s->fd);
	s->fd = -1;
}

static void release_all(bool child, bool failed)
{
	struct sl_sock *s;
	unsigned i = 0;

	while ((s = each(&i))) {
		if (!s->forking)
			continue;
		s->forking = false;
		if (failed && s->side->shared)
			atomic_fetch_sub(&s->side->holders, 1);
		if (child) {
			s->rx_inflight = s->tx_inflight = 0;
			s->sleepers = s->waiters = 0;
			if (s->side->shared)
				note_holder(s->side);
			sl_lock_reset(&s->tx_lock);
			sl_lock_reset(&s->rx_lock);
			drop_orphan(s);
		} else {
			sl_unlock(&s->tx_lock);
			sl_unlock(&s->rx_lock);
		}
	}
	if (child)
		sl_lock_reset(&fork_lock);
	else
		sl_unlock(&fork_lock);
}

void sl_sock_fork_parent(bool failed)
{
	release_all(false, failed);
}

void sl_sock_fork_child(void)
{
	sl_tid_forget();
	sl_stat_fork_child();
	sl_offer_fork_child();
	release_all(true, false);
}
