/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * finish.c - the orderly end of the lanes, before the kernel closes the socket
 *
 * What TCP does at close, in our terms: unread data means RST; else FIN behind everything that was sent. Bells
 * that lie unread in the kernel's queue are drained, or the kernel would send RST for them.
 *
 * An offer carries a copy of the socket. Until the broker has looked at it, and dropped it, the program's close is not
 * the last one, and the peer would learn of it when the broker has time. So then the end is told here.
 */
#include <string.h>
#include <sys/ioctl.h>
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
	if (!unread)
		sl_link_deafen(&s->link, fd, true);
	else if (!sd->dead)
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

/* Both locks held. Threads of ours in calls on it, and other processes, go on with it. */
static bool sole_user(const struct sl_sock *s)
{
	return atomic_load(&s->side->holders) < 2 && !s->side->foreign && !s->rx_inflight &&
	       !s->tx_inflight && !s->native_sleepers;
}

static bool finish(struct sl_sock *s, int fd, bool abort)
{
	struct sl_side_shm *side;
	bool copied;
	int how;

	if (sl_unlikely(s->claim))
		sl_offer_drop(s);
	if (sl_likely(still_young(s)))
		return false;

	copied = sl_offer_withdraw(s);
	how = sl_both_take(s);
	if (!how)
		return false;
	side = s->side;
	copied = copied && sole_user(s);
	sl_side_file_drop(s);
	if (sl_sock_attached(s)) {
		/*
		 * Before we are counted off: from then on the other holder takes no shared lock, and we would
		 * drop the bell of somebody who has armed since.
		 */
		if (atomic_load(&side->holders) > 1 && side->rx.sleepers >= s->sleepers) {
			side->rx.sleepers -= s->sleepers; /* they look at private memory from now on */
			s->sleepers = 0;
		}
		if (atomic_load(&side->holders) > 1 && !side->rx.sleepers)
			(void)sl_rx_kernel(&s->link, fd, true);
		sl_side_leave(side);
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
		sl_offer_gone(s->pair, s->pair_side);
	} else if (side != &s->own) {
		sl_side_leave(side);
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
	return copied;
}

bool sl_sock_finish(struct sl_sock *s, int fd)
{
	return finish(s, fd, false);
}

void sl_sock_end_now(int fd)
{
	static const struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct linger l = {0};
	socklen_t len = sizeof(l);
	int unread = 0;

	(void)sl_sys_getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len);
	(void)sl_sys_ioctl(fd, FIONREAD, &unread);
	if (unread > 0 || (l.l_onoff && !l.l_linger))
		(void)sl_sys(SYS_connect, fd, &none, sizeof(none)); /* RST */
	else if (!l.l_onoff) /* else close is to wait, which only the kernel's own does */
		(void)sl_sys(SYS_shutdown, fd, SHUT_RDWR, 0);
}

void sl_sock_abort(struct sl_sock *s, int fd)
{
	if (sl_sock_attached(s))
		(void)finish(s, fd, true);
}

void sl_sock_exit(void)
{
	struct sl_sock *s;
	unsigned i = 0;
	int fd = -1;

	while ((fd = sl_fdtab_next(fd + 1)) >= 0) {
		if (sl_fdtab_load(fd) == SL_FD_YOUNG)
			continue; /* the kernel's alone */
		s = sl_sock_get(fd);
		if (!s)
			continue;
		if ((sl_sock_attached(s) || s->side != &s->own ||
		     atomic_load(&s->offer) == SL_OFFER_OUT) &&
		    sl_sock_finish(s, fd))
			sl_sock_end_now(fd);
		sl_sock_put(s);
	}
	while ((s = sl_pool_at(i++)))
		if (sl_unlikely(atomic_load(&s->orphan)))
			(void)sl_orphan_end(s);
}
