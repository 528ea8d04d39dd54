/* SPDX-License-Identifier: BSD-2-Clause */
/* Two ends of one connection in one process: lanes over a real TCP connection and a real segment.
 */
#ifndef TEST_LANE_UTIL_H
#define TEST_LANE_UTIL_H

#include "link.h"
#include "test_core_util.h"

struct end {
	int fd;
	struct sl_side_shm side;
	struct sl_stat_conn_shm stat;
	struct sl_link link;
	bool attached;
	uint64_t sent; /* program's bytes so far */
	uint64_t rcvd;
};

struct conn {
	struct end e[2];
	struct sl_seg seg[2];
};

HELPER void attach(struct conn *c, unsigned i)
{
	struct end *e = &c->e[i];
	struct sl_side_shm fresh = {.holders = 1};

	fresh.tx.ksent = e->side.tx.ksent;
	fresh.rx.krcvd = e->side.rx.krcvd;
	e->side = fresh;
	sl_link_init(&e->link, &c->seg[i], &e->side, &e->stat);
	e->attached = true;
	atomic_store(&c->seg[i].shm->side[i].attached, 1);
}

HELPER void conn_open(struct conn *c, size_t ring_len, int sndbuf, int rcvbuf)
{
	int fd[2];

	memset(c, 0, sizeof(*c));
	tcp_pair(fd, sndbuf, rcvbuf);
	c->e[0].fd = fd[0];
	c->e[1].fd = fd[1];
	seg_open(c->seg, ring_len);
}

/* Both attached, nobody on the memory lane yet. */
HELPER void conn_open_attached(struct conn *c)
{
	conn_open(c, SL_RING_LEN_MIN, 0, 0);
	attach(c, 0);
	attach(c, 1);
}

HELPER void conn_close(struct conn *c)
{
	seg_close(c->seg);
	(void)close(c->e[0].fd);
	(void)close(c->e[1].fd);
}

/* Send @len bytes of this end's stream. */
HELPER ssize_t lane_send(struct end *e, size_t len)
{
	static uint8_t buf[128 << 10];
	struct iovec iov = {buf, len};
	struct sl_src src = {.iov = &iov, .iovcnt = 1, .fd = -1};
	ssize_t n;

	assert_true(len <= sizeof(buf));
	stream_fill(buf, e->sent, len);
	n = sl_tx_send(&e->link, e->fd, &src, len, 0);
	if (n > 0)
		e->sent += (uint64_t)n;
	return n;
}

/* Receive, and ring as the endpoint does. What comes must be the peer's stream. */
HELPER ssize_t lane_recv(struct end *e, size_t len, int flags)
{
	static uint8_t buf[128 << 10];
	struct iovec iov = {buf, len};
	struct sl_sink sink = {.iov = &iov, .iovcnt = 1, .fd = -1};
	bool ring = false;
	ssize_t n;

	assert_true(len <= sizeof(buf));
	n = sl_rx_recv(&e->link, e->fd, &sink, len, flags, &ring);
	if (n > 0) {
		assert_true((size_t)n <= len);
		assert_true(stream_is(buf, e->rcvd, (size_t)n));
		if (!(flags & MSG_PEEK))
			e->rcvd += (uint64_t)n;
	}
	if (ring)
		(void)sl_tx_bell(&e->link, e->fd);
	return n;
}

/* Until @len bytes have come; the kernel may take its time. */
HELPER void lane_recv_all(struct end *e, size_t len)
{
	uint64_t end = sl_now_ns() + 2000000000u;
	size_t got = 0;
	ssize_t n;

	while (got < len) {
		n = lane_recv(e, len - got, 0);
		assert_true(n > 0 || n == -EAGAIN);
		if (n > 0)
			got += (size_t)n;
		assert_true(sl_now_ns() < end);
	}
}

/* Bytes in the kernel's queue. */
HELPER int queued(const struct end *e)
{
	static char buf[1 << 16];
	ssize_t n = recv(e->fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);

	return n < 0 ? 0 : (int)n;
}

#endif
