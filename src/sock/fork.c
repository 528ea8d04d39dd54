/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork.c - one end of a connection, two processes
 *
 * Before fork every tracked connection's locks are taken, so that no thread is in the middle of a change, and
 * its side moves to memory that parent and child share: a promoted connection's side page is that already; for
 * the others one family page is made for this fork. The side counts its holders. A connection that two
 * processes hold is not promoted (one would not know of the other's switch); one that was promoted
 * before goes on in both, with the side's own lock (xlock). When a holder closes, execs or exits, the count
 * goes down, and the last one is free again.
 *
 * exec: connections that close on exec lose this holder; those that the new program inherits go back to
 * TCP, since it does not know the segment.
 */
#include <fcntl.h>
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

/* Locks held. */
static void share(struct sl_sock *s)
{
	struct sl_side_shm *page;

	if (s->side == &s->own) {
		page = sl_map_shared(-1, SL_SIDE_LEN);
		if (!page) {
			/* The two will not know of each other: no promotion, in neither. */
			atomic_store(&s->offer, SL_OFFER_NEVER);
			sl_stat_reason(s, SL_WHY_SHARED);
			return;
		}
		*page = s->own;
		atomic_store(&page->holders, 1);
		s->side = page;
	}
	if (!s->side->shared) {
		init_xlock(s->side);
		s->side->shared = 1;
	}
	atomic_fetch_add(&s->side->holders, 1);
}

void sl_sock_fork_prepare(void)
{
	struct sl_sock *s;
	unsigned i = 0;

	sl_lock(&fork_lock);
	while ((s = each(&i))) {
		/* The answer to an offer would reach one of two holders only. */
		if (atomic_load(&s->offer) == SL_OFFER_OUT ||
		    atomic_load(&s->offer) == SL_OFFER_PAIRED) {
			sl_offer_withdraw(s);
			atomic_store(&s->offer, SL_OFFER_NONE);
		}
		if (sl_lock(&s->rx_lock))
			continue;
		if (sl_lock(&s->tx_lock)) {
			sl_unlock(&s->rx_lock);
			continue;
		}
		s->forking = true;
		share(s);
	}
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
			sl_lock_reset(&s->tx_lock);
			sl_lock_reset(&s->rx_lock);
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

/* exec: @up undoes it. */
static void cloexec_holders(int up)
{
	struct sl_sock *s;
	unsigned i = 0;
	int fl;

	while ((s = each(&i))) {
		fl = sl_sys_fcntl(s->fd, F_GETFD, 0);
		if (s->side->shared && fl >= 0 && (fl & FD_CLOEXEC)) {
			if (up)
				atomic_fetch_add(&s->side->holders, 1);
			else
				atomic_fetch_sub(&s->side->holders, 1);
		}
	}
}

void sl_sock_exec(void)
{
	struct sl_sock *s;
	unsigned i = 0;
	int fl, how;

	while ((s = each(&i))) {
		fl = sl_sys_fcntl(s->fd, F_GETFD, 0);
		if (fl < 0 || (fl & FD_CLOEXEC) || !sl_sock_attached(s))
			continue;
		how = sl_both_take(s);
		if (!how)
			continue;
		/* Another holder goes on with it; the new program is not expected to touch it. */
		if (atomic_load(&s->side->holders) < 2)
			(void)sl_leave_locked(s, s->fd, SL_WHY_EXECED);
		sl_both_release(s, how);
	}
	cloexec_holders(0);
}

void sl_sock_exec_failed(void)
{
	cloexec_holders(1);
}
