/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stall.c - a peer that reads nothing for a while
 *
 * TCP on loopback takes about 4 MB for a reader that does not look; a ring takes its size. A program may count on
 * that without knowing: one thread that sends a megabyte and then reads it itself, at the other end; two programs
 * that both send a megabyte before they read; one that tells its peer by other means when it has sent. So a send that finds
 * no room leaves the memory lane when the reader has taken nothing for SL_STALL_MS, or ten times that where it is neither of
 * this very process nor waits for room itself. It goes on over TCP, behind what is in the ring. The connection is offered
 * again later, like any that has left.
 *
 * Not where the program was told that there is no room (EAGAIN), until the reader takes something: it has been
 * told as much as TCP would have told it later, and what is full stays full. Nor where it has set SO_SNDBUF: then it has chosen.
 */
#include "clock.h"
#include "internal.h"

/* Both wait for the other to read. A peer that says so may lie: then it loses the lane sooner. */
static bool each_other(const struct sl_sock *s)
{
	const struct sl_seg_side_shm *side = s->link.seg.shm->side;

	return side[0].pid == side[1].pid ||
	       (atomic_load_explicit(&s->link.in.ctl->credit, memory_order_relaxed) & SL_WANT);
}

bool sl_stalled(struct sl_sock *s)
{
	uint64_t taken = atomic_load_explicit(&s->link.out.ctl->consumed, memory_order_relaxed);
	uint64_t now = sl_now_ns();

	if (!s->stall.since_ns || taken != s->stall.taken) {
		s->stall.taken = taken;
		s->stall.since_ns = now;
		s->stall.told = false;
	}
	return sl_may_stall(s) &&
	       now - s->stall.since_ns >= (each_other(s) ? 1u : 10u) * SL_STALL_MS * 1000000ull;
}

bool sl_may_stall(const struct sl_sock *s)
{
	return !s->stall.told && !s->side->tx.ring.bound;
}

void sl_told_full(struct sl_sock *s)
{
	int how = sl_tx_take(s);

	if (!how)
		return;
	if (sl_sock_attached(s) && s->side->tx.state == SL_TX_MEM) {
		(void)sl_stalled(s); /* which reader's position it was told of */
		s->stall.told = true;
	}
	sl_tx_release(s, how);
}

static bool no_room(struct sl_sock *s)
{
	struct sl_tx_side *tx = &s->side->tx;

	return sl_sock_attached(s) && tx->state == SL_TX_MEM && !tx->fin &&
	       !sl_ring_room(&s->link.out, &tx->ring, true) && sl_stalled(s);
}

bool sl_leave_stalled(struct sl_sock *s, int fd)
{
	int how = sl_tx_take(s);
	bool left;

	if (!how)
		return false;
	left = no_room(s);
	sl_tx_release(s, how);
	if (!left)
		return false;
	how = sl_both_take(s);
	if (!how)
		return false;
	left = no_room(s) && sl_leave_locked(s, sl_still_fd(s, fd), SL_WHY_STALLED) == 0;
	sl_both_release(s, how);
	return left;
}
