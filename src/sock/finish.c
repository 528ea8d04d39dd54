/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * finish.c - the orderly end of the lanes, before the kernel closes the socket
 *
 * What TCP does at close, in our terms: unread data means RST; else FIN behind everything that was sent. Bells
 * that lie unread in the kernel's queue are drained, or the kernel would send RST for them.
 */
#include <string.h>
#include "internal.h"
#include "sys.h"

static void linger_zero(int fd)
{
	struct linger l = {.l_onoff = 1};

	(void)sl_sys6(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, (long)&l, sizeof(l), 0);
}

static bool aborts(int fd)
{
	struct linger l = {0};
	socklen_t len = sizeof(l);

	return sl_sys_getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len) == 0 && l.l_onoff &&
	       !l.l_linger;
}

static void finish_locked(struct sl_sock *s, int fd, bool abort)
{
	struct sl_side_shm *sd = s->side;
	bool ring = false, unread;

	/* A program that we know nothing of goes on with it. */
	if (sd->foreign)
		return;
	/* A START that nobody has looked at: what came since are bells. */
	(void)sl_rx_avail(&s->link, fd, 1);
	(void)sl_rx_close(&s->link, &ring);
	if (ring)
		(void)sl_tx_bell(&s->link, fd);
	/* Both mean RST: unread data, and SO_LINGER with no time. No FIN then: a reset is no end. */
	unread = abort || sl_rx_avail(&s->link, fd, 1) > 0 || aborts(fd);
	/* What was given back and does not fit into the kernel's queue is lost: a reset is no lie then. */
	if (!unread && sl_tx_fin(&s->link, fd) == -EAGAIN)
		unread = true;
	if (unread)
		sl_link_ends(&s->link, SL_ENDED_RST);
	(void)sl_rx_kernel(&s->link, fd, true);
	if (unread && !sd->dead)
		linger_zero(fd);
	sl_stat_reason(s, SL_WHY_FINISHED);
}

/* Never offered, and never will be. */
static bool still_young(struct sl_sock *s)
{
	uint32_t state = SL_OFFER_NONE;

	return s->side == &s->own && !sl_sock_attached(s) &&
	       atomic_compare_exchange_strong(&s->offer, &state, SL_OFFER_NEVER);
}

static void finish(struct sl_sock *s, int fd, bool abort)
{
	struct sl_side_shm *side;
	int how;

	if (sl_likely(still_young(s)))
		return;

	sl_offer_withdraw(s);
	how = sl_both_take(s);
	if (!how)
		return;
	side = s->side;
	if (sl_sock_attached(s)) {
		/*
		 * Before we are counted off: from then on the other holder takes no shared lock, and we would
		 * drop the bell of somebody who has armed since.
		 */
		if (atomic_load(&side->holders) > 1 && !side->rx.sleepers)
			(void)sl_rx_kernel(&s->link, fd, true);
		if (atomic_fetch_sub(&side->holders, 1) == 1)
			finish_locked(s, fd, abort);
		atomic_store_explicit(&s->attached, false, memory_order_release);
		atomic_store_explicit(&s->link.hint, NULL, memory_order_relaxed);
		atomic_store_explicit(&s->link.hint_new, NULL, memory_order_relaxed);
		sl_seg_detach(&s->link.seg);
		if (how == 2)
			sl_side_xunlock(s);
		how = 1;
		/* Threads that still wait on it look at private memory from now on. */
		s->own.tx.state = SL_TX_DONE;
		s->own.rx.state = SL_RX_DONE;
		s->own.kfin = 1;
		s->own.tx.fin = 1;
		s->own.holders = 1;
		s->side = &s->own;
		sl_map_retire(side, SL_SIDE_LEN);
		sl_offer_gone(s);
	} else if (side != &s->own) {
		atomic_fetch_sub(&side->holders, 1);
		if (how == 2)
			sl_side_xunlock(s);
		how = 1;
		s->own = *side;
		s->own.shared = 0;
		s->own.holders = 1;
		s->side = &s->own;
		sl_map_retire(side, SL_SIDE_LEN);
	}
	sl_both_release(s, how);
}

void sl_sock_finish(struct sl_sock *s, int fd)
{
	finish(s, fd, false);
}

void sl_sock_abort(struct sl_sock *s, int fd)
{
	if (sl_sock_attached(s))
		finish(s, fd, true);
}

void sl_sock_exit(void)
{
	struct sl_sock *s;
	unsigned i = 0;
	int fd = -1;

	while ((fd = sl_fdtab_next(fd + 1)) >= 0) {
		s = sl_sock_get(fd);
		if (!s)
			continue;
		if (sl_sock_attached(s) || s->side != &s->own)
			sl_sock_finish(s, fd);
		sl_sock_put(s);
	}
	while ((s = sl_pool_at(i++)))
		if (sl_unlikely(atomic_load(&s->orphan)))
			(void)sl_orphan_end(s);
}
