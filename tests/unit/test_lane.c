/* SPDX-License-Identifier: BSD-2-Clause */
/* The lanes, step by step: START with bytes unread on TCP, bells, END, CLOSED, FIN, peek, avail,
 * leave. */
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include "test_lane_util.h"

/* Bytes of before the switch are read from TCP, to the byte, then the ring. */
static void test_start(void **state)
{
	static const size_t before[] = {0, 1, 7, 1000, 20000};
	struct conn c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		conn_open(&c, SL_RING_LEN_DEF, 0, 0);
		attach(&c, 0); /* the peer has not attached: TCP */
		if (before[i])
			assert_int_equal(lane_send(&c.e[0], before[i]), before[i]);
		assert_int_equal(c.e[0].side.tx.state, SL_TX_TCP);
		attach(&c, 1);
		assert_int_equal(lane_send(&c.e[0], 500), 500);
		assert_int_equal(c.e[0].side.tx.state, SL_TX_MEM);
		assert_int_equal(c.e[0].side.tx.ksent, before[i] + 1); /* the first bell */
		lane_recv_all(&c.e[1], before[i] / 2);
		if (before[i] > 1) {
			assert_int_equal(c.e[1].side.rx.state, SL_RX_TCP);
			assert_false(sl_rx_memory(&c.e[1].link));
			assert_true(sl_rx_avail(&c.e[1].link, c.e[1].fd, SIZE_MAX) > 0);
		}
		lane_recv_all(&c.e[1], before[i] - before[i] / 2);
		assert_int_equal(sl_rx_avail(&c.e[1].link, c.e[1].fd, SIZE_MAX), 500);
		assert_int_equal(c.e[1].side.rx.state, SL_RX_MEM);
		assert_int_equal(lane_recv(&c.e[1], 1000, MSG_PEEK), 500);
		assert_int_equal(lane_recv(&c.e[1], 1000, 0), 500);
		assert_int_equal(lane_recv(&c.e[1], 1000, 0), -EAGAIN);
		assert_int_equal(c.e[1].stat.rx.bytes_tcp, before[i]);
		assert_int_equal(c.e[1].stat.rx.bytes_memory, 500);
		conn_close(&c);
	}
}

/* Both on the memory lane, everything read, kernel queues empty. */
static void warm_up(struct conn *c)
{
	unsigned i;

	conn_open_attached(c);
	for (i = 0; i < 2; i++) {
		assert_int_equal(lane_send(&c->e[i], 10), 10);
		lane_recv_all(&c->e[1 - i], 10);
	}
	for (i = 0; i < 2; i++) {
		assert_true(readable(c->e[i].fd)); /* the bell of the first record */
		assert_int_equal(sl_rx_kernel(&c->e[i].link, c->e[i].fd, true), 0);
		assert_int_equal(queued(&c->e[i]), 0);
	}
}

/* One bell a sleep; none for who is awake; drained, not read. */
static void test_bells(void **state)
{
	struct conn c;
	bool ring = false;
	int i;

	(void)state;
	warm_up(&c);
	for (i = 0; i < 20; i++) {
		assert_int_equal(sl_rx_arm(&c.e[1].link, 0, &ring), 0);
		assert_int_equal(sl_rx_kernel(&c.e[1].link, c.e[1].fd, true), 0);
		assert_int_equal(lane_send(&c.e[0], 100), 100);
		assert_int_equal(lane_send(&c.e[0], 100), 100);
		assert_true(readable(c.e[1].fd));
		assert_int_equal(queued(&c.e[1]), 1);
		if (i % 2) /* read before it is drained, or drained before it is read */
			lane_recv_all(&c.e[1], 200);
		/* Another thread sleeps and counts on it: it stays. */
		assert_int_equal(sl_rx_kernel(&c.e[1].link, c.e[1].fd, false), 1);
		assert_int_equal(sl_rx_kernel(&c.e[1].link, c.e[1].fd, true), 0);
		assert_int_equal(queued(&c.e[1]), 0);
		if (i % 2 == 0)
			lane_recv_all(&c.e[1], 200);
	}
	assert_int_equal(c.e[0].stat.tx.bells, 21);
	assert_int_equal(c.e[1].stat.rx.bells, 21);
	assert_int_equal(c.e[1].side.rx.krcvd, c.e[0].side.tx.ksent);
	conn_close(&c);
}

/* A bell that comes with START is no data, for who has not seen START yet. */
static void test_arrived(void **state)
{
	struct conn c;
	bool ring = false;
	uint64_t before;
	struct end *e = &c.e[1];

	(void)state;
	conn_open(&c, SL_RING_LEN_DEF, 0, 0);
	attach(&c, 1);
	assert_int_equal(sl_rx_arm(&e->link, 0, &ring), 0);
	before = sl_rx_arrived(&e->link, &e->side.rx, e->fd);
	attach(&c, 0);
	assert_int_equal(sl_tx_start(&c.e[0].link, c.e[0].fd), 1);
	assert_true(readable(e->fd));
	assert_int_equal(queued(e), 1);
	assert_int_equal(sl_rx_arrived(&e->link, &e->side.rx, e->fd), before);
	assert_int_equal(e->side.rx.state, SL_RX_MEM);
	conn_close(&c);
}

/* What rings another's bell does not ring ours; one that wakes all does. */
static void test_armed(void **state)
{
	struct conn c;
	struct sl_link *l;
	bool ring = false;

	(void)state;
	warm_up(&c);
	l = &c.e[1].link;
	assert_int_equal(sl_rx_arm(l, 5, &ring), 0);
	assert_true(sl_rx_armed(l, 5));
	assert_false(sl_rx_armed(l, 6));
	assert_false(sl_rx_armed(l, 0));
	assert_int_equal(sl_rx_arm(l, 6, &ring), 0);
	assert_true(sl_rx_armed(l, 5) && sl_rx_armed(l, 6) && sl_rx_armed(l, 0));
	assert_int_equal(lane_send(&c.e[0], 100), 100);
	assert_false(sl_rx_armed(l, 5));
	/* Read, and armed anew, by a thread with a bell of its own. */
	lane_recv_all(&c.e[1], 100);
	assert_int_equal(sl_rx_arm(l, 7, &ring), 0);
	assert_false(sl_rx_armed(l, 5));
	conn_close(&c);
}

/*
 * Bytes before START, in the ring, and behind its END: all of them are counted, and one receive takes all of them, in
 * however many pieces the program wants them.
 */
static void test_across(void **state)
{
	static uint8_t buf[4000];
	struct iovec iov[400];
	struct sl_sink sink = {.iov = iov, .iovcnt = 400, .fd = -1};
	struct conn c;
	bool ring = false;
	unsigned i;

	(void)state;
	conn_open(&c, SL_RING_LEN_DEF, 0, 0);
	attach(&c, 0);
	assert_int_equal(lane_send(&c.e[0], 1000), 1000);
	attach(&c, 1);
	assert_int_equal(lane_send(&c.e[0], 1000), 1000);
	assert_int_equal(sl_tx_end(&c.e[0].link, c.e[0].fd), 0);
	assert_int_equal(lane_send(&c.e[0], 1000), 1000);
	assert_int_equal(c.e[0].side.tx.ksent, 2001);
	while (queued(&c.e[1]) < 2001)
		(void)poll(NULL, 0, 1);
	assert_int_equal(sl_rx_avail(&c.e[1].link, c.e[1].fd, INT32_MAX), 3000);
	assert_int_equal(sl_rx_avail(&c.e[1].link, c.e[1].fd, 1500) >= 1500, 1);
	for (i = 0; i < 400; i++)
		iov[i] = (struct iovec){buf + i * 10, 10};
	assert_int_equal(sl_rx_recv(&c.e[1].link, c.e[1].fd, &sink, sizeof(buf), 0, &ring), 3000);
	assert_true(stream_is(buf, 0, 3000));
	assert_int_equal(sl_rx_avail(&c.e[1].link, c.e[1].fd, INT32_MAX), 0);
	conn_close(&c);
}

/* A writer that waits for room is rung through the reader's own direction. */
static void test_room(void **state)
{
	struct conn c;
	size_t sent = 0;
	ssize_t n;

	(void)state;
	warm_up(&c);
	while ((n = lane_send(&c.e[0], 3000)) > 0)
		sent += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_in_range(sl_ring_room(&c.e[0].link.out, &c.e[0].link.side->tx.ring, true), 0, 8);
	assert_false(sl_ring_want(&c.e[0].link.out, &c.e[0].side.tx.ring, 64));
	assert_int_equal(queued(&c.e[0]), 0);
	lane_recv_all(&c.e[1], sent);
	assert_int_equal(lane_recv(&c.e[1], 1, 0), -EAGAIN);
	assert_true(readable(c.e[0].fd));
	assert_true(sl_ring_room(&c.e[0].link.out, &c.e[0].link.side->tx.ring, true) >= 1000);
	assert_int_equal(sl_rx_kernel(&c.e[0].link, c.e[0].fd, true), 0);
	conn_close(&c);
}

/* Data over TCP, bells before it, END between: nothing that follows END is taken for a bell. */
static void test_end(void **state)
{
	struct conn c;
	bool ring = false;
	int drain;

	(void)state;
	for (drain = 0; drain < 2; drain++) {
		warm_up(&c);
		assert_int_equal(sl_rx_arm(&c.e[1].link, 0, &ring), 0);
		assert_int_equal(lane_send(&c.e[0], 50), 50);
		assert_int_equal(sl_tx_end(&c.e[0].link, c.e[0].fd), 0);
		assert_int_equal(sl_tx_end(&c.e[0].link, c.e[0].fd), 0);
		assert_int_equal(lane_send(&c.e[0], 70), 70);
		assert_true(readable(c.e[1].fd));
		if (drain) /* the 70 bytes stay, though END has not been read yet */
			assert_int_equal(sl_rx_kernel(&c.e[1].link, c.e[1].fd, true), 1);
		assert_int_equal(lane_recv(&c.e[1], 1000, MSG_PEEK), 120);
		lane_recv_all(&c.e[1], 30);
		assert_int_equal(c.e[1].side.rx.state, SL_RX_MEM);
		lane_recv_all(&c.e[1], 60);
		assert_int_equal(c.e[1].side.rx.state, SL_RX_DONE);
		assert_int_equal(c.e[1].side.left, 1);
		assert_int_equal(sl_rx_avail(&c.e[1].link, c.e[1].fd, SIZE_MAX), 30);
		lane_recv_all(&c.e[1], 30);
		assert_int_equal(c.e[1].rcvd, c.e[0].sent);
		conn_close(&c);
	}
}

/* The reader closes: the writer goes on over TCP at that byte. */
static void test_closed(void **state)
{
	struct conn c;
	bool ring = false;

	(void)state;
	warm_up(&c);
	assert_int_equal(lane_send(&c.e[0], 50), 50);
	assert_int_equal(sl_rx_close(&c.e[1].link, &ring), 0);
	assert_int_equal(sl_rx_close(&c.e[1].link, &ring), 0);
	assert_int_equal(c.e[1].side.rx.state, SL_RX_CLOSING);
	lane_recv_all(&c.e[1], 20);
	assert_int_equal(lane_send(&c.e[0], 70), 70);
	assert_int_equal(c.e[0].side.tx.state, SL_TX_DONE);
	assert_int_equal(c.e[0].stat.tx.bytes_tcp, 70);
	lane_recv_all(&c.e[1], 100);
	assert_int_equal(c.e[1].side.rx.state, SL_RX_DONE);
	assert_int_equal(lane_recv(&c.e[1], 1, 0), -EAGAIN);
	conn_close(&c);
}

/* A lane that its reader closes while the writer is stopped in its window, */
static struct sl_link *closed_in_window(struct conn *c)
{
	struct sl_link *in = &c->e[1].link;
	bool ring = false;

	warm_up(c);
	c->e[1].side.rx.ring.plain = SL_PLAIN_ENDING;
	atomic_store(&in->in.ctl->window, 1);
	assert_int_equal(sl_rx_close(in, &ring), 0);
	return in;
}

/* and the writer, which goes on and stores over CLOSED. */
static void store_over(struct conn *c)
{
	struct sl_link *in = &c->e[1].link;

	atomic_store(&sl_ring_word(&in->in, c->e[1].side.rx.ring.end)->word, SL_EMPTY);
	assert_int_equal(lane_send(&c->e[0], 50), 50);
	atomic_store(&in->in.ctl->window, 0);
}

/* A writer that was stopped while it published by a plain store, and goes on when the lane is closed: closed again. */
static void test_closed_again(void **state)
{
	struct sl_link *in;
	struct conn c;
	bool ring = false;

	(void)state;
	in = closed_in_window(&c);
	assert_true(sl_ring_shut(&in->in, &c.e[1].side.rx.ring));
	assert_int_equal(sl_rx_arm(in, 0, &ring), -EAGAIN);
	store_over(&c);
	assert_int_equal(sl_rx_arm(in, 0, &ring), 0);
	assert_true(sl_ring_shut(&in->in, &c.e[1].side.rx.ring));
	assert_int_equal(lane_send(&c.e[0], 70), 70);
	assert_int_equal(c.e[0].stat.tx.bytes_tcp, 70);
	lane_recv_all(&c.e[1], 120);
	conn_close(&c);
}

/* Closed while the writer was stopped in its window: what it stores there yet would be lost to the next owner. */
static void test_give_back_window(void **state)
{
	struct sl_link *in;
	struct conn c;

	(void)state;
	in = closed_in_window(&c);
	assert_int_equal(sl_rx_give_back(in), -EBUSY);
	store_over(&c);
	assert_int_equal(sl_rx_give_back(in), -EBUSY);
	lane_recv_all(&c.e[1], 50);
	assert_int_equal(sl_rx_give_back(in), 0);
	assert_true(sl_ring_shut(&in->in, &c.e[1].side.rx.ring));
	conn_close(&c);
}

/* What the next owner of the socket reads: TCP, and nothing else. */
static void stranger_reads(struct end *e, size_t len)
{
	static uint8_t buf[64 << 10];
	size_t got = 0;
	ssize_t n;

	while (got < len) {
		n = recv(e->fd, buf + got, len - got, 0);
		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_true(stream_is(buf, e->rcvd, len));
	assert_int_equal(recv(e->fd, buf, 1, MSG_DONTWAIT), -1);
	e->rcvd += len;
}

/* The reader leaves in the middle of a record: the rest comes again over TCP, and the bells are gone. */
static void test_give_back(void **state)
{
	size_t taken;
	bool ring = false, asleep;
	struct conn c;
	uint8_t byte;

	(void)state;
	for (taken = 0; taken <= 120; taken += 20) {
		asleep = taken % 40 == 0;
		warm_up(&c);
		if (asleep)
			assert_int_equal(sl_rx_arm(&c.e[1].link, 0, &ring), 0);
		assert_int_equal(lane_send(&c.e[0], 50), 50);
		assert_int_equal(lane_send(&c.e[0], 70), 70);
		assert_int_equal(queued(&c.e[1]), asleep);
		lane_recv_all(&c.e[1], taken);
		assert_int_equal(sl_link_give_back(&c.e[1].link, c.e[1].fd), 0);
		assert_true(readable(c.e[0].fd)); /* rung, though it has not armed */
		assert_int_equal(sl_link_given(&c.e[1].link, c.e[1].fd, true), 0);
		assert_true(sl_tx_hint(&c.e[0].link));
		if (taken == 20) /* met by a send, which goes behind */
			assert_int_equal(lane_send(&c.e[0], 30), 30);
		assert_int_equal(sl_tx_answer(&c.e[0].link, c.e[0].fd), 0);
		assert_int_equal(c.e[0].side.tx.state, SL_TX_DONE);
		assert_int_equal(sl_link_given(&c.e[1].link, c.e[1].fd, true), 1);
		assert_int_equal(sl_tx_end(&c.e[1].link, c.e[1].fd), 0);
		if (taken != 20)
			assert_int_equal(lane_send(&c.e[0], 30), 30);
		stranger_reads(&c.e[1], c.e[0].sent - c.e[1].rcvd);
		/* The other way: what it writes. */
		stream_fill(&byte, c.e[0].rcvd, 1);
		assert_int_equal(write(c.e[1].fd, &byte, 1), 1);
		lane_recv_all(&c.e[0], 1);
		conn_close(&c);
	}
}

/* More than the kernel takes at once: calls go on with it, and nothing overtakes it. */
static void test_give_back_much(void **state)
{
	struct conn c;
	size_t left;
	ssize_t n;

	(void)state;
	conn_open(&c, 256 << 10, 4608, 4608);
	attach(&c, 0);
	attach(&c, 1);
	assert_int_equal(sl_tx_start(&c.e[0].link, c.e[0].fd), 1);
	assert_int_equal(sl_tx_start(&c.e[1].link, c.e[1].fd), 1);
	while (lane_send(&c.e[0], 60000) > 0)
		;
	lane_recv_all(&c.e[1], 1000);
	assert_int_equal(sl_link_give_back(&c.e[1].link, c.e[1].fd), 0);
	assert_int_equal(sl_tx_answer(&c.e[0].link, c.e[0].fd), -EAGAIN);
	assert_int_equal(sl_link_given(&c.e[1].link, c.e[1].fd, true), 1);
	assert_int_equal(lane_send(&c.e[0], 10), -EAGAIN);
	for (left = c.e[0].sent - c.e[1].rcvd; left; left -= (size_t)n) {
		static uint8_t buf[4096];

		n = recv(c.e[1].fd, buf, sizeof(buf), 0);
		assert_true(n > 0 && stream_is(buf, c.e[1].rcvd, (size_t)n));
		c.e[1].rcvd += (uint64_t)n;
		(void)sl_tx_answer(&c.e[0].link, c.e[0].fd);
	}
	assert_int_equal(lane_send(&c.e[0], 10), 10);
	stranger_reads(&c.e[1], 10);
	conn_close(&c);
}

/* What cannot be given back is left as it is. */
static void test_give_back_late(void **state)
{
	struct conn c;

	(void)state;
	warm_up(&c);
	assert_int_equal(lane_send(&c.e[0], 50), 50);
	assert_int_equal(sl_tx_fin(&c.e[0].link, c.e[0].fd), 0);
	assert_int_equal(sl_link_give_back(&c.e[1].link, c.e[1].fd), -EBUSY);
	lane_recv_all(&c.e[1], 50);
	assert_int_equal(lane_recv(&c.e[1], 1, 0), 0);
	conn_close(&c);
	/* Bells behind bytes that the program has not read. */
	conn_open(&c, SL_RING_LEN_MIN, 0, 0);
	attach(&c, 0);
	assert_int_equal(lane_send(&c.e[0], 20), 20);
	attach(&c, 1);
	assert_int_equal(lane_send(&c.e[0], 30), 30);
	assert_int_equal(sl_link_give_back(&c.e[1].link, c.e[1].fd), -EBUSY);
	lane_recv_all(&c.e[1], 50);
	conn_close(&c);
}

/* FIN: what is before it, then end of file for ever, without asking the kernel. */
static void test_fin(void **state)
{
	struct conn c;

	(void)state;
	warm_up(&c);
	assert_int_equal(lane_send(&c.e[0], 50), 50);
	assert_int_equal(sl_tx_fin(&c.e[0].link, c.e[0].fd), 0);
	assert_int_equal(sl_tx_fin(&c.e[0].link, c.e[0].fd), 0);
	assert_int_equal(lane_recv(&c.e[1], 1000, MSG_PEEK), 50);
	lane_recv_all(&c.e[1], 50);
	assert_int_equal(lane_recv(&c.e[1], 1000, MSG_PEEK), 0);
	assert_int_equal(lane_recv(&c.e[1], 1000, 0), 0);
	assert_int_equal(lane_recv(&c.e[1], 1000, 0), 0);
	/* Half-closed: the other direction goes on. */
	assert_int_equal(shutdown(c.e[0].fd, SHUT_WR), 0);
	assert_true(readable(c.e[1].fd));
	assert_int_equal(sl_rx_kernel(&c.e[1].link, c.e[1].fd, true), 1);
	assert_int_equal(c.e[1].side.kfin, 1);
	assert_int_equal(lane_send(&c.e[1], 30), 30);
	lane_recv_all(&c.e[0], 30);
	assert_int_equal(c.e[0].side.rx.state, SL_RX_DONE);
	conn_close(&c);
}

/* FIN while everything is still on TCP. */
static void test_fin_before_start(void **state)
{
	struct conn c;

	(void)state;
	conn_open(&c, SL_RING_LEN_MIN, 0, 0);
	attach(&c, 0);
	assert_int_equal(lane_send(&c.e[0], 50), 50);
	assert_int_equal(sl_tx_fin(&c.e[0].link, c.e[0].fd), 0);
	attach(&c, 1);
	assert_int_equal(shutdown(c.e[0].fd, SHUT_WR), 0);
	lane_recv_all(&c.e[1], 50);
	assert_true(readable(c.e[1].fd));
	assert_int_equal(lane_recv(&c.e[1], 10, 0), 0);
	assert_int_equal(c.e[1].side.kfin, 1);
	conn_close(&c);
}

static void settle(struct conn *c)
{
	int i, k;

	for (i = 0; i < 20; i++) {
		for (k = 0; k < 2; k++) {
			struct end *e = &c->e[k];

			(void)lane_recv(e, 1000, 0);
			if (e->side.left)
				assert_int_equal(sl_link_leave(&e->link, e->fd), 0);
		}
		if (sl_link_finished(&c->e[0].link) && sl_link_finished(&c->e[1].link))
			return;
		(void)usleep(1000);
	}
	fail_msg("no end: tx %u %u, rx %u %u", c->e[0].side.tx.state, c->e[1].side.tx.state,
		 c->e[0].side.rx.state, c->e[1].side.rx.state);
}

/* Leaving, from one end or both, in each state of the two directions. */
static void test_leave(void **state)
{
	enum { NONE, TCP_BYTES, ON_MEMORY, UNREAD };
	struct conn c;
	int kind, who;
	unsigned k;

	(void)state;
	for (kind = NONE; kind <= UNREAD; kind++) {
		for (who = 1; who < 4; who++) {
			conn_open(&c, SL_RING_LEN_MIN, 0, 0);
			attach(&c, 0);
			if (kind == TCP_BYTES)
				assert_int_equal(lane_send(&c.e[0], 100), 100);
			attach(&c, 1);
			for (k = 0; kind >= ON_MEMORY && k < 2; k++)
				assert_int_equal(lane_send(&c.e[k], 100), 100);
			for (k = 0; kind == ON_MEMORY && k < 2; k++)
				lane_recv_all(&c.e[k], 100);
			for (k = 0; k < 2; k++)
				if (who & (1 << k))
					assert_int_equal(sl_link_leave(&c.e[k].link, c.e[k].fd), 0);
			settle(&c);
			for (k = 0; k < 2; k++) {
				assert_int_equal(c.e[1 - k].rcvd, c.e[k].sent);
				assert_int_equal(lane_send(&c.e[k], 33), 33);
				lane_recv_all(&c.e[1 - k], 33);
				assert_int_equal(c.e[k].side.tx.ksent, c.e[1 - k].side.rx.krcvd);
			}
			conn_close(&c);
		}
	}
}

/* Nobody leaves while a thread of the same end waits for room: it would never be rung. */
static void test_leave_waits(void **state)
{
	struct conn c;

	(void)state;
	warm_up(&c);
	c.e[0].side.tx.waiters = 1;
	assert_int_equal(sl_link_leave(&c.e[0].link, c.e[0].fd), -EAGAIN);
	assert_int_equal(c.e[0].side.tx.state, SL_TX_MEM);
	assert_int_equal(c.e[0].side.rx.state, SL_RX_MEM);
	c.e[0].side.tx.waiters = 0;
	/* The peer's waiting writer is rung. */
	while (lane_send(&c.e[1], 3000) > 0)
		;
	assert_false(sl_ring_want(&c.e[1].link.out, &c.e[1].side.tx.ring, 64));
	assert_int_equal(sl_link_leave(&c.e[0].link, c.e[0].fd), 0);
	assert_true(readable(c.e[1].fd));
	assert_true(sl_ring_closed(&c.e[1].link.out, &c.e[1].side.tx.ring));
	conn_close(&c);
}

/* The lane was closed, the kernel is full: what lies in a pipe stays there, and nobody waits with a lock held. */
static void test_pipe_closed(void **state)
{
	static char junk[4096];
	bool ring = false;
	struct conn c;
	int p[2], left = 0, full = 0;
	ssize_t n;

	(void)state;
	conn_open(&c, SL_RING_LEN_MIN, 8192, 8192);
	/* The kernel moves bytes on in the background: full is full for a while. */
	while (full < 10) {
		n = send(c.e[0].fd, junk, full ? 1 : sizeof(junk), MSG_DONTWAIT);
		if (n > 0)
			c.e[0].side.tx.ksent += (uint64_t)n;
		full = n > 0 ? 0 : full + 1;
		if (n < 0)
			(void)poll(NULL, 0, 10);
	}
	attach(&c, 0);
	attach(&c, 1);
	assert_int_equal(sl_tx_start(&c.e[0].link, c.e[0].fd), 1);
	assert_int_equal(sl_rx_close(&c.e[1].link, &ring), 0);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], junk, 100), 100);
	struct sl_src src = {.fd = p[0], .pipe = true};

	alarm(10);
	assert_int_equal(sl_tx_send(&c.e[0].link, c.e[0].fd, &src, 100, 0), -EAGAIN);
	alarm(0);
	assert_int_equal(ioctl(p[0], FIONREAD, &left), 0);
	assert_int_equal(left, 100);
	(void)close(p[0]);
	(void)close(p[1]);
	conn_close(&c);
}

struct closer {
	struct conn *c;
	pid_t tid;
	int pipe;
	const uint8_t *data;
	size_t len;
	bool lies; /* gives back what is not there */
};

static bool reads(pid_t tid)
{
	char path[64], text[256] = "";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	f = fopen(path, "r");
	must(f);
	(void)!fgets(text, sizeof(text), f);
	(void)fclose(f);
	return strncmp(text, "0 ", 2) == 0; /* SYS_read */
}

/* While the writer is in the middle of taking from a pipe, its reader closes the lane. */
static void *close_then_write(void *arg)
{
	struct closer *k = arg;
	bool ring = false;

	while (!reads(k->tid))
		(void)sched_yield();
	if (k->lies) {
		atomic_store(&k->c->e[1].link.in.ctl->back, k->c->e[0].side.tx.ring.pos | SL_BACK);
		atomic_store(&k->c->e[1].link.in.ctl->back_off, 0x7ffffff0);
	}
	must(sl_rx_close(&k->c->e[1].link, &ring) == 0);
	must(write(k->pipe, k->data, k->len) == (ssize_t)k->len);
	return NULL;
}

/*
 * What was taken from a pipe when the reader closed the lane cannot be put back. It goes by TCP, behind what stands in
 * the ring; where the kernel is full, when it is no longer, and nobody waits for that with a lock held.
 */
static void test_pipe_taken(void **state)
{
	static uint8_t data[3000];
	struct conn c;
	size_t before;
	pthread_t t;
	int p[2], full, i;
	ssize_t n;

	(void)state;
	for (i = 0; i < 3; i++) {
		conn_open(&c, SL_RING_LEN_MIN, 8192, 8192);
		attach(&c, 0);
		for (full = 0, before = 0; i == 1 && full < 10;) {
			n = lane_send(&c.e[0], full ? 1 : 4096);
			before += n > 0 ? (size_t)n : 0;
			full = n > 0 ? 0 : full + 1;
			if (n < 0)
				(void)poll(NULL, 0, 10);
		}
		attach(&c, 1);
		assert_int_equal(lane_send(&c.e[0], 500), 500);
		stream_fill(data, c.e[0].sent, sizeof(data));
		assert_int_equal(pipe(p), 0);
		struct closer k = {&c, gettid(), p[1], data, sizeof(data), i == 2};
		/* Not said to be a pipe, or it would not be waited for. */
		struct sl_src src = {.fd = p[0]};

		assert_int_equal(pthread_create(&t, NULL, close_then_write, &k), 0);
		alarm(10);
		assert_int_equal(sl_tx_send(&c.e[0].link, c.e[0].fd, &src, sizeof(data), 0),
				 sizeof(data));
		alarm(0);
		assert_int_equal(pthread_join(t, NULL), 0);
		c.e[0].sent += sizeof(data);
		if (i == 1) {
			/* The kernel is full: nothing may overtake it. */
			assert_int_equal(c.e[0].side.tx.state, SL_TX_BACK);
			assert_int_equal(lane_send(&c.e[0], 100), -EAGAIN);
		}
		lane_recv_all(&c.e[1], before + 500);
		assert_int_equal(sl_tx_answer(&c.e[0].link, c.e[0].fd), 0);
		assert_int_equal(c.e[0].side.tx.state, SL_TX_DONE);
		lane_recv_all(&c.e[1], sizeof(data));
		assert_int_equal(lane_send(&c.e[0], 100), 100);
		lane_recv_all(&c.e[1], 100);
		assert_int_equal(c.e[1].side.rx.state, SL_RX_DONE);
		(void)close(p[0]);
		(void)close(p[1]);
		conn_close(&c);
	}
}

/* Peek looks over records and over END, which stays; MSG_TRUNC counts and does not copy. */
static void test_peek_discard(void **state)
{
	struct iovec iov = {NULL, 70};
	struct sl_sink sink = {.iov = &iov, .iovcnt = 1, .fd = -1, .discard = true};
	struct conn c;
	bool ring = false;

	(void)state;
	warm_up(&c);
	assert_int_equal(lane_send(&c.e[0], 50), 50);
	assert_int_equal(lane_send(&c.e[0], 50), 50);
	assert_int_equal(lane_recv(&c.e[1], 60, MSG_PEEK), 60);
	lane_recv_all(&c.e[1], 10);
	assert_int_equal(lane_recv(&c.e[1], 1000, MSG_PEEK), 90);
	assert_int_equal(sl_rx_recv(&c.e[1].link, c.e[1].fd, &sink, 70, 0, &ring), 70);
	c.e[1].rcvd += 70;
	assert_int_equal(sl_tx_end(&c.e[0].link, c.e[0].fd), 0);
	assert_int_equal(lane_send(&c.e[0], 40), 40);
	assert_int_equal(lane_recv(&c.e[1], 1000, MSG_PEEK), 60);
	lane_recv_all(&c.e[1], 60);
	conn_close(&c);
}

/* A bell that is under way when its receiver becomes deaf: the place is told, the byte comes later. */
static void *late_bell(void *arg)
{
	struct end *e = arg;

	(void)usleep(20000);
	must(send(e->fd, "", 1, MSG_NOSIGNAL) == 1);
	return NULL;
}

/* It is waited for, also behind our own SHUT_RD, when the kernel says the end of the stream as long as it has not come. */
static void test_deaf(void **state)
{
	struct conn c;
	pthread_t t;
	int shut;

	(void)state;
	for (shut = 0; shut < 2; shut++) {
		warm_up(&c);
		if (shut) {
			assert_int_equal(shutdown(c.e[1].fd, SHUT_RD), 0);
			c.e[1].side.rdshut = 1;
		}
		atomic_store(&c.e[0].link.out.ctl->rung, c.e[0].side.tx.ksent + 1);
		assert_int_equal(pthread_create(&t, NULL, late_bell, &c.e[0]), 0);
		sl_link_deafen(&c.e[1].link, c.e[1].fd, false);
		assert_int_equal(c.e[1].side.rx.krcvd, c.e[0].side.tx.ksent + 1);
		assert_int_equal(pthread_join(t, NULL), 0);
		conn_close(&c);
	}
}

/* The peer has left before it began, and was killed with bytes of ours unread: the kernel tells that once. */
static void test_reset_after_end(void **state)
{
	static const char byte;
	struct conn c;

	(void)state;
	conn_open_attached(&c);
	assert_int_equal(send(c.e[0].fd, &byte, 1, 0), 1);
	assert_true(readable(c.e[1].fd));
	assert_int_equal(sl_tx_end(&c.e[1].link, c.e[1].fd), 0);
	(void)close(c.e[1].fd);
	c.e[1].fd = -1;
	assert_true(readable(c.e[0].fd));
	assert_int_equal(lane_recv(&c.e[0], 1, 0), 0);
	assert_int_equal(c.e[0].side.rx.state, SL_RX_DONE);
	assert_int_equal(c.e[0].side.err, ECONNRESET);
	conn_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_bells),
		cmocka_unit_test(test_arrived),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_armed),
		cmocka_unit_test(test_across),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_closed_again),
		cmocka_unit_test(test_give_back_window),
		cmocka_unit_test(test_give_back),
		cmocka_unit_test(test_give_back_much),
		cmocka_unit_test(test_give_back_late),
		cmocka_unit_test(test_fin),
		cmocka_unit_test(test_fin_before_start),
		cmocka_unit_test(test_leave),
		cmocka_unit_test(test_leave_waits),
		cmocka_unit_test(test_peek_discard),
		cmocka_unit_test(test_pipe_closed),
		cmocka_unit_test(test_pipe_taken),
		cmocka_unit_test(test_deaf),
		cmocka_unit_test(test_reset_after_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
