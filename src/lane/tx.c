/* SPDX-License-Identifier: BSD-2-Clause */
/* tx.c - the sending direction; see link.h */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include "link.h"
#include "sys.h"

#define KERNEL_PIECE 8192u
#define FIN_MS	     2000 /* waited before FIN for the kernel to take what was given back */

static struct sl_seg_side_shm *peer(const struct sl_link *l)
{
	return &l->seg.shm->side[1 - l->seg.side];
}

/* @end: of the data in the ring. */
static void done(struct sl_link *l, uint64_t end)
{
	struct sl_tx_side *tx = &l->side->tx;

	tx->end = end;
	tx->kend = tx->state == SL_TX_MEM ? tx->ksent : 0;
	tx->state = SL_TX_DONE;
	l->stat->tx.lane = SL_STAT_TCP;
}

/*
 * The reader closed the lane at our word: tell it that we noticed (L3), and note what it gave back (L5). A peer
 * that waits for room is rung as long as that can be done (L4).
 */
static int closed(struct sl_link *l, int fd)
{
	struct sl_tx_side *tx = &l->side->tx;
	int rc, back = sl_ring_back(&l->out, &tx->ring, &tx->back);

	if (back == 1 && tx->state == SL_TX_MEM &&
	    (atomic_load_explicit(&l->in.ctl->credit, memory_order_seq_cst) & SL_WANT))
		(void)sl_tx_bell(l, fd);
	rc = sl_ring_ack_closed(&l->out, &tx->ring);
	done(l, back == 1 ? 0 : tx->ring.pos);
	if (back == 1 && rc == 0)
		tx->state = SL_TX_BACK;
	return rc ? rc : back < 0 ? back : 0;
}

/* Behind all that: what taken() has left. Return as below. */
static int send_taken(struct sl_link *l, int fd)
{
	struct sl_tx_side *tx = &l->side->tx;
	const uint8_t *data = (const uint8_t *)(sl_ring_word(&l->out, tx->ring.pos) + 1);
	ssize_t n;

	if (!tx->taken)
		return 0;
	n = sl_sys_send(fd, data + tx->taken_off, tx->taken, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return (int)n;
	tx->ksent += (uint64_t)n;
	l->stat->tx.bytes_tcp += (uint64_t)n;
	tx->taken_off += (uint32_t)n;
	tx->taken -= (uint32_t)n;
	return 1;
}

/* One record of what was given back. Return: 1 more; 0 that was all; -errno. */
static int send_again(struct sl_link *l, int fd)
{
	struct sl_tx_side *tx = &l->side->tx;
	enum sl_rec_type type;
	const uint8_t *data;
	size_t len;
	ssize_t n;
	int rc;

	if (tx->back.pos < tx->ring.pos) {
		rc = sl_ring_peek(&l->out, &tx->back, &type, &data, &len);
		if (rc <= 0)
			return -EPROTO;
	}
	if (tx->back.pos >= tx->ring.pos)
		return send_taken(l, fd); /* there stands our END */
	if (type == SL_DATA && len) {
		n = sl_sys_send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return (int)n;
		tx->ksent += (uint64_t)n;
		len = (size_t)n;
	}
	sl_ring_take(&l->out, &tx->back, len);
	return 1;
}

int sl_tx_answer(struct sl_link *l, int fd)
{
	struct sl_tx_side *tx = &l->side->tx;
	int rc = 0;

	if (tx->state == SL_TX_MEM && sl_ring_closed(&l->out, &tx->ring))
		rc = closed(l, fd);
	if (rc < 0 || tx->state != SL_TX_BACK)
		return rc;
	while ((rc = send_again(l, fd)) > 0)
		;
	if (rc != -EAGAIN) {
		tx->taken = 0;
		done(l, tx->end);
	}
	return rc;
}

/* The same, waiting for the kernel to take it. */
static int answer_all(struct sl_link *l, int fd, int ms)
{
	static const struct timespec step = {.tv_nsec = 1000000};
	int rc;

	while ((rc = sl_tx_answer(l, fd)) == -EAGAIN && ms-- > 0)
		(void)sl_sys(SYS_nanosleep, &step, 0, 0);
	return rc;
}

int sl_tx_start(struct sl_link *l, int fd)
{
	struct sl_tx_side *tx = &l->side->tx;
	struct sl_start_shm start = {.kpos = tx->ksent};
	int rc, ring = 0;

	if (tx->state == SL_TX_MEM)
		return 1;
	if (tx->state != SL_TX_TCP || tx->fin || l->side->kfin ||
	    atomic_load_explicit(&peer(l)->attached, memory_order_acquire) != SL_ATTACHED)
		return 0;
	atomic_store_explicit(&l->out.ctl->rung, tx->ksent, memory_order_relaxed);
	rc = sl_ring_control(&l->out, &tx->ring, SL_START, &start, sizeof(start), &ring);
	if (rc == -EPIPE)
		return closed(l, fd);
	if (rc < 0)
		return rc;
	tx->state = SL_TX_MEM;
	tx->kstart = tx->ksent;
	tx->stayed = 1;
	l->stat->tx.lane = SL_STAT_MEMORY;
	if (ring)
		(void)sl_tx_bell(l, fd);
	return 1;
}

/*
 * The queue may be full of bytes that the peer has read but not acknowledged yet, up to 40 ms (delayed
 * acknowledgement): a bell that is given up then is a wake-up lost. So it is tried for a while; not again while that was
 * in vain.
 */
static ssize_t send_bell(struct sl_link *l, int fd)
{
	static const struct timespec step = {.tv_nsec = 1000000};
	struct sl_tx_side *tx = &l->side->tx;
	int tries = tx->stuck ? 1 : 60;
	ssize_t n;

	for (;;) {
		if (atomic_load_explicit(&peer(l)->deaf, memory_order_seq_cst))
			return 0; /* L6 */
		n = sl_sys_send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n != -EAGAIN)
			break;
		if (--tries <= 0) {
			tx->stuck = 1;
			return n;
		}
		(void)sl_sys(SYS_nanosleep, &step, 0, 0);
	}
	tx->stuck = 0;
	return n;
}

int sl_tx_bell(struct sl_link *l, int fd)
{
	struct sl_tx_side *tx = &l->side->tx;
	ssize_t n;

	if (tx->state == SL_TX_TCP) {
		int rc = sl_tx_start(l, fd);

		if (rc <= 0)
			return rc;
	}
	if (tx->state != SL_TX_MEM || tx->fin)
		return 0;
	/* L1, L6: the position first, then the byte. */
	atomic_store_explicit(&l->out.ctl->rung, tx->ksent + 1, memory_order_seq_cst);
	n = send_bell(l, fd);
	if (n == 1) {
		tx->ksent++;
		l->stat->tx.bells++;
		return 0;
	}
	/*
	 * The peer is deaf. Or the window is closed: the peer has bytes to read from before the switch, and looks again by itself
	 * (SL_UNCERTAIN_MS). Errors show on the next call.
	 */
	atomic_store_explicit(&l->out.ctl->rung, tx->ksent, memory_order_release);
	return 0;
}

/* @owed: as the ring says it (SL_OWED). */
static void ring_owed(struct sl_link *l, int fd, int owed)
{
	if (owed != SL_OWED(0) && sl_link_ring_other && sl_link_ring_other(l, (uint32_t)owed - 1))
		l->stat->tx.bells++;
	else
		(void)sl_tx_bell(l, fd);
}

static ssize_t send_kernel(struct sl_link *l, int fd, struct sl_src *src, size_t len, int flags)
{
	struct iovec tmp[SL_IOV_REST];
	struct msghdr m = {.msg_iov = tmp};
	size_t total;
	ssize_t n;

	if (src->fd >= 0) {
		/* These two have no MSG_DONTWAIT: a piece that surely fits. */
		if (!(sl_sys_poll_now(fd, POLLOUT) & (POLLOUT | POLLERR | POLLHUP)))
			return -EAGAIN;
		len = sl_min_size(len, KERNEL_PIECE);
		if (src->pipe)
			n = sl_sys6(SYS_splice, src->fd, 0, fd, 0, (long)len, 2 /* NONBLOCK */);
		else
			n = sl_sys6(SYS_sendfile, fd, src->fd, (long)src->pos, (long)len, 0, 0);
		src->dry = n == -EAGAIN && src->pipe && !sl_sys_poll_now(src->fd, POLLIN);
		src->told = n == -EPIPE;
	} else {
		m.msg_iovlen = (size_t)sl_iov_rest(src->iov, src->iovcnt, src->off, tmp, len, &total);
		n = sl_sys_sendmsg(fd, &m, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			sl_src_skip(src, (size_t)n);
	}
	if (n > 0) {
		l->side->tx.ksent += (uint64_t)n;
		l->stat->tx.bytes_tcp += (uint64_t)n;
	}
	return n;
}

/*
 * The reader closed the lane at a record whose bytes come from a pipe: they cannot be put back. They lie in the ring,
 * behind the word that is END by now, and go by TCP as what is given back does. Return: @len; -errno.
 */
static ssize_t taken(struct sl_link *l, int fd, size_t len)
{
	struct sl_tx_side *tx = &l->side->tx;
	int rc = closed(l, fd);

	if (rc < 0)
		return rc;
	if (tx->state == SL_TX_DONE) {
		memset(&tx->back, 0, sizeof(tx->back));
		tx->back.pos = tx->back.end = tx->ring.pos;
	}
	tx->taken = (uint32_t)len;
	tx->taken_off = 0;
	tx->state = SL_TX_BACK;
	rc = sl_tx_answer(l, fd);
	return rc < 0 && rc != -EAGAIN ? rc : (ssize_t)len;
}

/* Publish one record. Return: bytes; 0 the source is at its end; -EAGAIN no room; -errno. */
static ssize_t put_record(struct sl_link *l, int fd, struct sl_src *src, size_t len, int *ring)
{
	struct sl_tx_side *tx = &l->side->tx;
	/* Not the whole struct: a wide load of what was just stored in pieces waits for the stores. */
	const struct iovec *iov = src->iov;
	int iovcnt = src->iovcnt;
	size_t off = src->off;
	off_t pos = src->pos ? *src->pos : 0;
	void *data;
	ssize_t n;
	int rc;

	n = sl_ring_reserve(&l->out, &tx->ring, len, &data, ring);
	if (n <= 0)
		return n ? n : -EAGAIN;
	/* What a pipe gave cannot be put back (taken()): look before. */
	if (src->fd >= 0 && sl_ring_closed(&l->out, &tx->ring))
		return -EPIPE;
	n = sl_src_fill(src, data, (size_t)n);
	if (n <= 0)
		return n;
	rc = sl_ring_commit(&l->out, &tx->ring, SL_DATA, (uint32_t)n, ring);
	if (rc == 0) {
		l->stat->tx.bytes_memory += (uint64_t)n;
		return n;
	}
	if (rc == -EPIPE && src->fd >= 0 && !src->pos)
		return taken(l, fd, (size_t)n);
	src->iov = iov;
	src->iovcnt = iovcnt;
	src->off = off;
	if (src->pos)
		*src->pos = pos;
	return rc;
}

static ssize_t send_memory(struct sl_link *l, int fd, struct sl_src *src, size_t len)
{
	size_t sent = 0;
	ssize_t n = 0;
	int ring = 0;

	while (sent < len && l->side->tx.state == SL_TX_MEM) {
		n = put_record(l, fd, src, len - sent, &ring);
		if (ring) {
			ring_owed(l, fd, ring);
			ring = 0;
		}
		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	return sent ? (ssize_t)sent : n;
}

ssize_t sl_tx_send(struct sl_link *l, int fd, struct sl_src *src, size_t len, int flags)
{
	struct sl_tx_side *tx = &l->side->tx;
	ssize_t n;
	int rc;

	if (sl_unlikely(tx->state == SL_TX_TCP)) {
		rc = sl_tx_start(l, fd);
		if (rc < 0)
			return rc;
	}
	if (sl_likely(tx->state == SL_TX_MEM)) {
		/* The peer is gone, or half-closed and reading on: TCP answers as TCP does. */
		if (sl_unlikely(l->side->kfin || l->side->dead)) {
			rc = sl_tx_end(l, fd);
			if (rc < 0)
				return rc;
		} else {
			n = send_memory(l, fd, src, len);
			if (n != -EPIPE || tx->state != SL_TX_MEM)
				return n;
			rc = closed(l, fd);
			if (rc < 0)
				return rc;
		}
	}
	if (sl_unlikely(tx->state == SL_TX_BACK)) {
		rc = sl_tx_answer(l, fd);
		if (rc < 0)
			return rc;
	}
	return send_kernel(l, fd, src, len, flags);
}

int sl_tx_end(struct sl_link *l, int fd)
{
	struct sl_tx_side *tx = &l->side->tx;
	uint64_t end = tx->ring.pos;
	int rc, ring = 0;

	if (tx->state == SL_TX_DONE || tx->state == SL_TX_BACK)
		return 0;
	if (tx->fin) {
		done(l, end);
		return 0;
	}
	rc = sl_ring_control(&l->out, &tx->ring, SL_END, NULL, 0, &ring);
	if (rc == -EPIPE)
		return closed(l, fd);
	if (rc == 0)
		done(l, end);
	return rc;
}

int sl_tx_fin(struct sl_link *l, int fd)
{
	struct sl_tx_side *tx = &l->side->tx;
	int rc = 0, ring = 0;

	if (tx->fin)
		return 0;
	tx->fin = 1;
	sl_link_ends(l, SL_ENDED_FIN);
	if (tx->state == SL_TX_MEM)
		rc = sl_ring_control(&l->out, &tx->ring, SL_FIN, NULL, 0, &ring);
	/* The kernel's own FIN follows and wakes whoever sleeps. What was given back goes before it. */
	if (rc == -EPIPE)
		rc = closed(l, fd);
	return rc < 0 ? rc : answer_all(l, fd, FIN_MS);
}

bool sl_tx_roomy(struct sl_link *l)
{
	struct sl_ring_tx *tx = &l->side->tx.ring;
	size_t worth = sl_ring_worth(&l->out, tx);

	return sl_ring_room(&l->out, tx, false) >= worth ||
	       sl_ring_room(&l->out, tx, true) >= worth;
}

void sl_tx_bound(struct sl_link *l, uint32_t bound)
{
	l->side->tx.ring.bound = bound;
	(void)sl_ring_room(&l->out, &l->side->tx.ring, true);
}
