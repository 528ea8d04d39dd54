/* SPDX-License-Identifier: BSD-2-Clause */
/* link.c - both directions together; see link.h */
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <time.h>
#include "clock.h"
#include "fence.h"
#include "link.h"
#include "sys.h"

#define DEAF_NS	     100000000ull
#define DEAF_IDLE_NS 2000000ull	  /* a reset that comes too early harms little, or waits have been in vain for too long */
#define VAIN_NS	     400000000ull /* that long in all, and */
#define VAIN_PART    20		  /* a twentieth of the time */

bool (*sl_link_ring_other)(struct sl_link *l, uint32_t bell);

void sl_link_init(struct sl_link *l, const struct sl_seg *seg, struct sl_side_shm *side,
		  struct sl_stat_conn_shm *stat)
{
	l->seg = *seg;
	l->side = side;
	l->stat = stat;
	l->bell.gen = 0;
	l->bell.asked = 0;
	l->bell.next_ns = 0;
	sl_ring_init(&l->out, seg, seg->side);
	sl_ring_init(&l->in, seg, 1 - seg->side);
	atomic_store_explicit(&l->in.ctl->kread, side->rx.krcvd, memory_order_relaxed);
	atomic_store_explicit(&l->out.ctl->able, sl_fence_able, memory_order_relaxed);
	sl_rx_set_hint(l);
}

int sl_link_leave(struct sl_link *l, int fd)
{
	bool ring = false;
	int rc;

	if (l->side->tx.waiters)
		return -EAGAIN;
	/* L4: nobody may wait for a bell that we can no longer ring. */
	rc = sl_rx_close(l, &ring);
	if (rc < 0)
		return rc;
	if (ring)
		(void)sl_tx_bell(l, fd);
	return sl_tx_end(l, fd);
}

int sl_link_give_back(struct sl_link *l, int fd)
{
	int rc = sl_rx_give_back(l);

	/* It may be closed all the same: then nobody may wait for a bell from the peer (L4). */
	if (rc == -EBUSY && sl_ring_shut(&l->in, &l->side->rx.ring))
		(void)sl_link_leave(l, fd);
	if (rc < 0)
		return rc;
	/* The peer may be asleep for an answer that will not come from here (L5), or for room (L4). */
	return sl_tx_bell(l, fd);
}

int sl_link_given(struct sl_link *l, int fd, bool drain)
{
	struct sl_rx_side *rx = &l->side->rx;
	ssize_t rc = 0;

	if (rx->state == SL_RX_CLOSING || (rx->state == SL_RX_TCP && rx->started))
		rc = sl_rx_avail(l, fd, 1); /* finds END */
	if (rc < 0)
		return (int)rc;
	if (drain)
		(void)sl_rx_kernel(l, fd, true);
	if (rx->state == SL_RX_TCP)
		return !rx->started;
	return rx->state == SL_RX_DONE && rx->krcvd >= rx->skip;
}

/* Our kernel has more to send than bells: a reset would drop it. */
static bool owes_data(const struct sl_link *l, int fd)
{
	const struct sl_tx_side *tx = &l->side->tx;
	int queued = 0;

	if (sl_sys_ioctl(fd, SIOCOUTQ, &queued) < 0 || queued <= 0)
		return false;
	if (!tx->stayed || (tx->state != SL_TX_MEM && tx->ksent != tx->kend))
		return true;
	return (uint64_t)queued > tx->ksent - tx->kstart; /* from before START */
}

/* Waits in vain are paid for by the time that passes, VAIN_PART times as much. Until then, what has been spent is paid for. */
static _Atomic uint64_t vain_paid_ns;

static uint64_t may_wait_ns(uint64_t now)
{
	uint64_t paid = atomic_load_explicit(&vain_paid_ns, memory_order_relaxed);
	uint64_t owed = paid > now ? (paid - now) / VAIN_PART : 0;

	return owed < VAIN_NS ? DEAF_NS : DEAF_IDLE_NS;
}

static void waited_in_vain(uint64_t now, uint64_t ns)
{
	uint64_t paid = atomic_load_explicit(&vain_paid_ns, memory_order_relaxed);

	atomic_store_explicit(&vain_paid_ns, (paid > now ? paid : now) + VAIN_PART * ns,
			      memory_order_relaxed);
}

void sl_link_deafen(struct sl_link *l, int fd, bool closes)
{
	static const struct timespec step = {.tv_nsec = 100000};
	const struct sl_side_shm *sd = l->side;
	uint64_t start = 0, now, max;

	atomic_store_explicit(&l->seg.shm->side[l->seg.side].deaf, 1, memory_order_seq_cst);
	for (;;) {
		(void)sl_rx_kernel(l, fd, true);
		/* After our own SHUT_RD the kernel says the end of the stream whenever its queue is empty. */
		if (!sl_rx_bells(l) || (sd->kfin && !sd->rdshut) || sd->dead)
			return;
		now = sl_now_ns();
		if (!start)
			start = now;
		max = closes && !owes_data(l, fd) ? DEAF_IDLE_NS : may_wait_ns(now);
		if (now - start >= max)
			break;
		(void)sl_sys(SYS_nanosleep, &step, 0, 0);
	}
	waited_in_vain(now, now - start);
}

bool sl_link_finished(const struct sl_link *l)
{
	const struct sl_side_shm *sd = l->side;

	return sd->tx.state == SL_TX_DONE && sd->rx.state == SL_RX_DONE &&
	       sd->rx.krcvd >= sd->rx.skip;
}

bool sl_link_quiet(const struct sl_link *l)
{
	return !l->side->tx.stayed ||
	       atomic_load_explicit(&l->out.ctl->quiet, memory_order_relaxed);
}

bool sl_link_unread(const struct sl_link *l)
{
	const struct sl_tx_side *tx = &l->side->tx;
	uint64_t consumed, end = tx->state == SL_TX_MEM ? tx->ring.pos : tx->end;

	if (tx->state == SL_TX_TCP)
		return false;
	consumed = atomic_load_explicit(&l->out.ctl->consumed, memory_order_relaxed);
	/* Nothing but START: it is not read before the bytes that it stands behind, which the kernel has. */
	if (consumed == 0 && tx->stayed && end <= SL_LINK_START)
		return atomic_load_explicit(&l->out.ctl->kread, memory_order_relaxed) != tx->kstart;
	return tx->state == SL_TX_MEM ? consumed != end : consumed < end;
}

static enum sl_ended peer_ended(const struct sl_link *l)
{
	return atomic_load_explicit(&l->seg.shm->side[1 - l->seg.side].ended, memory_order_acquire);
}

/* Died, and did not mean to. Before START nothing but the kernel can know. */
static bool crashed(const struct sl_link *l)
{
	return l->side->tx.state != SL_TX_TCP && peer_ended(l) == SL_ENDED_NOT;
}

void sl_link_ends(struct sl_link *l, enum sl_ended how)
{
	atomic_store_explicit(&l->seg.shm->side[l->seg.side].ended, how, memory_order_release);
}

/* Nothing that we sent can lie unread but bells. */
static bool bells_only(const struct sl_link *l)
{
	const struct sl_tx_side *tx = &l->side->tx;

	return !sl_link_unread(l) && (tx->state == SL_TX_MEM || tx->ksent == tx->kend);
}

void sl_link_error(struct sl_link *l, int err)
{
	struct sl_side_shm *sd = l->side;

	sd->dead = 1;
	sd->kfin = 1;
	if (sd->reset || sd->masked)
		return;
	if (err == ECONNRESET && (peer_ended(l) == SL_ENDED_FIN || (crashed(l) && bells_only(l))))
		sd->masked = 1;
	else if (!sd->err)
		sd->err = err;
}

void sl_link_ended(struct sl_link *l)
{
	struct sl_side_shm *sd = l->side;

	if (sd->reset || sd->dead || sd->rdshut || sd->tx.fin || !crashed(l) ||
	    !sl_link_unread(l))
		return;
	sd->reset = 1;
	sd->err = ECONNRESET;
}
