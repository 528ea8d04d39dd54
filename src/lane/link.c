/* SPDX-License-Identifier: BSD-2-Clause */
/* link.c - both directions together; see link.h */
#include <errno.h>
#include "link.h"

void sl_link_init(struct sl_link *l, const struct sl_seg *seg, struct sl_side_shm *side,
		  struct sl_stat_conn_shm *stat)
{
	l->seg = *seg;
	l->side = side;
	l->stat = stat;
	sl_ring_init(&l->out, seg, seg->side);
	sl_ring_init(&l->in, seg, 1 - seg->side);
	atomic_store_explicit(&l->hint, sl_ring_word(&l->in, side->rx.ring.pos),
			      memory_order_relaxed);
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

bool sl_link_finished(const struct sl_link *l)
{
	const struct sl_side_shm *sd = l->side;

	return sd->tx.state == SL_TX_DONE && sd->rx.state == SL_RX_DONE &&
	       sd->rx.krcvd >= sd->rx.skip;
}

bool sl_link_unread(const struct sl_link *l)
{
	if (l->side->tx.state != SL_TX_MEM)
		return false;
	return atomic_load_explicit(&l->out.ctl->consumed, memory_order_relaxed) !=
	       l->side->tx.ring.pos;
}

/* The peer has published FIN: it ended in order, whatever became of bells that crossed. */
static bool in_order(struct sl_link *l)
{
	return l->side->rx.fin || l->side->rx.ring.fin ||
	       (sl_ring_scan(&l->in, &l->side->rx.ring) == 0 && l->side->rx.ring.fin);
}

/* Whoever means a reset has closed the lane first (finish.c); a crash closes nothing. */
static bool crashed(const struct sl_link *l)
{
	return l->side->tx.state == SL_TX_MEM && !sl_ring_closed(&l->out, &l->side->tx.ring);
}

void sl_link_error(struct sl_link *l, int err)
{
	struct sl_side_shm *sd = l->side;

	sd->dead = 1;
	sd->kfin = 1;
	if (sd->reset || sd->masked)
		return;
	if (err == ECONNRESET && (in_order(l) || (crashed(l) && !sl_link_unread(l))))
		sd->masked = 1;
	else if (!sd->err)
		sd->err = err;
}

void sl_link_ended(struct sl_link *l)
{
	struct sl_side_shm *sd = l->side;

	if (sd->reset || sd->dead || sd->rdshut || sd->tx.fin || !crashed(l) ||
	    !sl_link_unread(l) || in_order(l))
		return;
	sd->reset = 1;
	sd->err = ECONNRESET;
}
