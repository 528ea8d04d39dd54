/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random interleavings of what two ends can do, in one thread: send and receive on whichever lane,
 * peek, arm and sleep, wait for room, leave, give the segment up, take a new one, shut down. Each
 * step does what sock/io.c, wait.c and attach.c do under their locks.
 *
 * What must hold: the bytes are exact in both directions; whoever sleeps finds the kernel's queue
 * readable when something came; whoever left is followed, and both ends give the segment up.
 *
 * SCILAN_TEST_SEED=N runs one seed and tells each step.
 */
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include "test_lane_util.h"

#define STEPS 1500

struct actor {
	struct end *e;
	int pipe[2];
	int file;
	bool may_attach; /* a segment is there that this end has not used yet */
	bool sleeps_in;	 /* a thread sleeps for data */
	bool sleeps_out; /* a thread sleeps for room */
	bool uncertain;	 /* it looks again by itself */
	int edge;	 /* epoll instance it sleeps on, or -1 */
	bool fin;	 /* we have shut down */
	bool giving;	 /* given back; our own direction ends when the peer has answered */
};

struct play {
	struct conn c;
	struct actor a[2];
	uint64_t s;	  /* random state */
	size_t most_sent; /* bytes of one send at most */
	size_t leaves;	  /* of 1000 steps */
};

static uint64_t seed_now;
static bool verbose;

#define tell(...)                                                                                  \
	do {                                                                                       \
		if (verbose)                                                                       \
			print_message(__VA_ARGS__);                                                \
	} while (0)

static unsigned nr(const struct play *p, const struct actor *a)
{
	return a == &p->a[1];
}

static struct actor *peer_of(struct play *p, const struct actor *a)
{
	return &p->a[1 - nr(p, a)];
}

/* --- sleeping --- */

static bool out_ready(struct actor *a)
{
	struct sl_side_shm *sd = &a->e->side;

	return sd->kfin || sd->tx.state != SL_TX_MEM || sd->tx.fin ||
	       sl_ring_room(&a->e->link.out, &sd->tx.ring, true) >= 64 ||
	       sl_ring_closed(&a->e->link.out, &sd->tx.ring);
}

static bool would_wake(struct actor *a, int timeout_ms)
{
	struct pollfd p = {.fd = a->edge >= 0 ? a->edge : a->e->fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

/*
 * Where bytes of before the peer's START fill the kernel's queue, no bell comes through: such a
 * waiter looks again now and then.
 */
static bool counts_on_bell(const struct actor *a)
{
	return a->sleeps_out && !a->uncertain;
}

static void wake(struct actor *a)
{
	if (a->sleeps_in)
		a->e->side.rx.sleepers--;
	if (a->sleeps_out) {
		a->e->side.rx.sleepers--;
		a->e->side.tx.waiters--;
		if (a->edge >= 0)
			(void)close(a->edge);
		a->edge = -1;
	}
	a->sleeps_in = a->sleeps_out = false;
}

/* sl_wait_in() */
static void sleep_in(struct play *p, struct actor *a)
{
	struct end *e = a->e;
	struct sl_side_shm *sd = &e->side;
	bool ring = false, busy, ready;

	if (!e->attached || a->sleeps_in || a->sleeps_out)
		return;
	assert_int_equal(sl_rx_arm(&e->link, 0, &ring), 0);
	busy = sl_rx_kernel(&e->link, e->fd, !sd->rx.sleepers);
	ready = sl_rx_hint(&e->link) || sd->kfin || sd->err || sd->rx.fin || sd->dead;
	if (!ready && !sl_rx_memory(&e->link))
		ready = sl_rx_avail(&e->link, e->fd, 1) != 0 || sl_rx_memory(&e->link);
	if (ring)
		(void)sl_tx_bell(&e->link, e->fd);
	tell("%u arm%s%s\n", nr(p, a), busy ? " busy" : "", ready ? " ready" : " sleep");
	if (ready || busy)
		return;
	a->sleeps_in = true;
	sd->rx.sleepers++;
}

/* sl_wait_out() */
static void sleep_out(struct play *p, struct actor *a, size_t need)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET}, got;
	struct end *e = a->e;
	struct sl_side_shm *sd = &e->side;
	bool busy;

	if (!e->attached || a->sleeps_in || a->sleeps_out || sd->tx.state != SL_TX_MEM)
		return;
	need = sl_min_size(need < 64 ? 64 : need, e->link.out.len / 4);
	busy = sl_rx_kernel(&e->link, e->fd, !sd->rx.sleepers);
	if (sd->kfin || sl_ring_want(&e->link.out, &sd->tx.ring, need))
		return;
	tell("%u waits for room%s\n", nr(p, a), busy ? " busy" : "");
	if (below(&p->s, 4) == 0)
		return; /* an event loop: it wants, and goes on with other things */
	sd->rx.sleepers++;
	sd->tx.waiters++;
	a->sleeps_out = true;
	a->uncertain = busy && sd->rx.state == SL_RX_TCP;
	if (!busy)
		return;
	a->edge = epoll_create1(EPOLL_CLOEXEC);
	assert_int_equal(epoll_ctl(a->edge, EPOLL_CTL_ADD, e->fd, &ev), 0);
	(void)epoll_wait(a->edge, &got, 1, 0);
	if (out_ready(a))
		wake(a);
}

/* --- giving up the segment, taking a new one --- */

static void detach_try(struct play *p, struct actor *a)
{
	struct end *e = a->e;
	struct sl_side_shm *sd = &e->side;

	if (!e->attached || !sl_link_finished(&e->link) || sd->rx.sleepers || sd->tx.waiters)
		return;
	tell("%u detaches: sent %lu, received %lu\n", nr(p, a), sd->tx.ksent, sd->rx.krcvd);
	a->giving = false;
	e->attached = false;
}

static void leave(struct play *p, struct actor *a)
{
	struct actor *b = peer_of(p, a);
	int rc;

	if (!a->e->attached)
		return;
	rc = sl_link_leave(&a->e->link, a->e->fd);
	tell("%u leaves: %d\n", nr(p, a), rc);
	assert_true(rc == 0 || (rc == -EAGAIN && a->sleeps_out));
	/* L4 */
	if (rc == 0 && counts_on_bell(b) && b->e->side.tx.state == SL_TX_MEM)
		assert_true(would_wake(b, 1000));
}

/* Leave in the middle. Here the next owner is this end itself: what comes again comes to the lanes' reader. */
static void give_back(struct play *p, struct actor *a)
{
	struct actor *b = peer_of(p, a);
	int rc;

	if (!a->e->attached || a->giving || a->sleeps_out)
		return;
	rc = sl_link_give_back(&a->e->link, a->e->fd);
	tell("%u gives back: %d (rx %u)\n", nr(p, a), rc, a->e->side.rx.state);
	assert_true(rc == 0 || rc == -EBUSY);
	a->giving = rc == 0;
	/* L5 */
	if (a->e->side.rx.given && a->e->side.tx.state == SL_TX_MEM && (b->sleeps_in || counts_on_bell(b)))
		assert_true(would_wake(b, 1000));
}

/* after() of sock/io.c, and what handover.c waits for */
static void after(struct play *p, struct actor *a)
{
	struct sl_side_shm *sd = &a->e->side;

	if (!a->e->attached)
		return;
	if (a->giving && sl_link_given(&a->e->link, a->e->fd, !sd->rx.sleepers) == 1) {
		assert_int_equal(sl_tx_end(&a->e->link, a->e->fd), 0);
		a->giving = false;
	}
	if (sl_tx_hint(&a->e->link)) {
		int rc = sl_tx_answer(&a->e->link, a->e->fd);

		tell("%u answers: %d (tx %u)\n", nr(p, a), rc, sd->tx.state);
		assert_true(rc == 0 || rc == -EAGAIN);
	}
	if (sd->left && sd->tx.state < SL_TX_BACK && !a->giving)
		leave(p, a);
	detach_try(p, a);
}

static void new_segment(struct play *p)
{
	if (p->c.e[0].attached || p->c.e[1].attached || p->a[0].may_attach || p->a[1].may_attach)
		return;
	tell("new segment\n");
	seg_close(p->c.seg);
	seg_open(p->c.seg, (size_t)SL_RING_LEN_MIN << below(&p->s, 2));
	p->a[0].may_attach = p->a[1].may_attach = true;
}

static void attach_try(struct play *p, struct actor *a)
{
	struct end *e = a->e;

	if (!a->may_attach)
		return;
	a->may_attach = false;
	attach(&p->c, nr(p, a));
	(void)sl_tx_start(&e->link, e->fd);
	tell("%u attaches, %s\n", nr(p, a), e->side.tx.state == SL_TX_MEM ? "starts" : "TCP");
}

/* --- sending --- */

/* Bytes of the stream in a pipe or a file, to be taken from there. */
static ssize_t send_from_fd(struct play *p, struct actor *a, size_t len)
{
	static uint8_t buf[8192];
	struct sl_src src = {.iovcnt = 0};
	struct end *e = a->e;
	off_t pos = (off_t)e->sent; /* sendfile() does not copy: what is under way may not change */
	ssize_t n;

	len = sl_min_size(len, sizeof(buf));
	stream_fill(buf, e->sent, len);
	if (rnd(&p->s) & 1) {
		src.fd = a->pipe[0];
		src.pipe = true;
		assert_int_equal(write(a->pipe[1], buf, len), len);
	} else {
		src.fd = a->file;
		src.pos = &pos;
		assert_int_equal(pwrite(a->file, buf, len, pos), len);
	}
	n = sl_tx_send(&e->link, e->fd, &src, len, 0);
	if (src.pipe) {
		/* What was not sent must still be there. */
		ssize_t left = read(a->pipe[0], buf, sizeof(buf));

		left = left < 0 ? 0 : left;
		assert_int_equal(left, len - (size_t)(n < 0 ? 0 : n));
	} else {
		assert_int_equal(pos, e->sent + (uint64_t)(n < 0 ? 0 : n));
	}
	if (n > 0)
		e->sent += (uint64_t)n;
	return n;
}

static ssize_t send_native(struct end *e, size_t len)
{
	static uint8_t buf[128 << 10];
	ssize_t n;

	stream_fill(buf, e->sent, len);
	n = send(e->fd, buf, len, MSG_DONTWAIT);
	if (n > 0) {
		e->sent += (uint64_t)n;
		e->side.tx.ksent += (uint64_t)n;
	}
	return n < 0 ? -errno : n;
}

static void do_send(struct play *p, struct actor *a)
{
	size_t len = 1 + below(&p->s, p->most_sent >> below(&p->s, 8));
	struct actor *b = peer_of(p, a);
	ssize_t n;

	if (a->fin || a->sleeps_out)
		return;
	if (!a->e->attached)
		n = send_native(a->e, len);
	else if (below(&p->s, 8) == 0)
		n = send_from_fd(p, a, len);
	else
		n = lane_send(a->e, len);
	tell("%u sends %zd of %zu (tx %u)\n", nr(p, a), n, len, a->e->side.tx.state);
	assert_true(n > 0 || n == -EAGAIN);
	if (n > 0 && b->sleeps_in)
		assert_true(would_wake(b, 1000));
	if (n == -EAGAIN && (rnd(&p->s) & 1))
		sleep_out(p, a, len);
	after(p, a);
}

/* --- receiving --- */

static ssize_t recv_native(struct end *e, size_t len)
{
	static uint8_t buf[128 << 10];
	ssize_t n = recv(e->fd, buf, len, MSG_DONTWAIT);

	if (n > 0) {
		assert_true(stream_is(buf, e->rcvd, (size_t)n));
		e->rcvd += (uint64_t)n;
		e->side.rx.krcvd += (uint64_t)n;
	}
	return n < 0 ? -errno : n;
}

static ssize_t recv_to_pipe(struct actor *a, size_t len)
{
	static uint8_t buf[4096];
	struct sl_sink sink = {.fd = a->pipe[1]};
	struct end *e = a->e;
	bool ring = false;
	ssize_t n = sl_rx_recv(&e->link, e->fd, &sink, sl_min_size(len, 4096), 0, &ring);

	if (ring)
		(void)sl_tx_bell(&e->link, e->fd);
	if (n > 0) {
		assert_int_equal(read(a->pipe[0], buf, sizeof(buf)), n);
		assert_true(stream_is(buf, e->rcvd, (size_t)n));
		e->rcvd += (uint64_t)n;
	}
	return n;
}

/* recv_step() of sock/io.c: who sleeps on a bell that lies before data wakes first. */
static void sleepers_first(struct play *p, struct actor *a)
{
	tell("%u: sleepers first\n", nr(p, a));
	if (a->edge < 0)
		assert_true(would_wake(a, 1000));
	wake(a);
}

static ssize_t recv_step(struct play *p, struct actor *a, size_t len, int flags)
{
	ssize_t n = lane_recv(a->e, len, flags);

	if (n == -EBUSY) {
		sleepers_first(p, a);
		n = lane_recv(a->e, len, flags);
	}
	return n;
}

/* Return: bytes, 0 end of file, -EAGAIN. */
static ssize_t do_recv(struct play *p, struct actor *a, size_t len)
{
	struct actor *b = peer_of(p, a);
	struct end *e = a->e;
	bool ended = e->side.kfin;
	ssize_t n, avail;

	if (!e->attached) {
		n = recv_native(e, len);
	} else if (below(&p->s, 10) == 0) {
		n = recv_to_pipe(a, len);
		if (n == -EBUSY) {
			sleepers_first(p, a);
			n = recv_to_pipe(a, len);
		}
	} else {
		if (below(&p->s, 4) == 0) {
			avail = sl_rx_avail(&e->link, e->fd, len);
			assert_true(avail >= 0);
			n = recv_step(p, a, len, MSG_PEEK);
			if (avail > 0)
				assert_true(n > 0);
		}
		n = recv_step(p, a, len, 0);
	}
	if (n == -EAGAIN && ended)
		n = 0;
	tell("%u receives %zd of %zu (rx %u)\n", nr(p, a), n, len, e->side.rx.state);
	assert_true(n >= 0 || n == -EAGAIN);
	if (n == 0)
		assert_true(b->fin && b->e->sent == e->rcvd);
	/* All taken, and looked for more: a writer that waits is rung. */
	if (n == -EAGAIN && counts_on_bell(b) && b->e->sent == e->rcvd && e->attached &&
	    e->side.rx.state == SL_RX_MEM)
		assert_true(would_wake(b, 1000));
	after(p, a);
	return n;
}

/* --- the end --- */

static void wake_all(struct play *p)
{
	wake(&p->a[0]);
	wake(&p->a[1]);
}

/* Nothing comes any more: what each end thinks. */
static void stuck(struct play *p)
{
	const struct sl_side_shm *sd;
	int queued = -1, unsent = -1;
	unsigned k;

	for (k = 0; k < 2; k++) {
		sd = &p->c.e[k].side;
		(void)ioctl(p->c.e[k].fd, FIONREAD, &queued);
		(void)ioctl(p->c.e[k].fd, SIOCOUTQ, &unsent);
		print_error("%u: sent %lu, received %lu; tx %u ksent %lu kend %lu, rx %u krcvd %lu start %lu skip "
			    "%lu; sleepers %u bells %lu; kernel's queues in %d out %d; kfin %u err %d\n",
			    k, (unsigned long)p->c.e[k].sent, (unsigned long)p->c.e[k].rcvd,
			    (unsigned)sd->tx.state, (unsigned long)sd->tx.ksent, (unsigned long)sd->tx.kend,
			    (unsigned)sd->rx.state, (unsigned long)sd->rx.krcvd, (unsigned long)sd->rx.start,
			    (unsigned long)sd->rx.skip, (unsigned)sd->rx.sleepers,
			    p->c.e[k].attached ? (unsigned long)sl_rx_bells(&p->c.e[k].link) : 0,
			    queued, unsent, (unsigned)sd->kfin, (int)sd->err);
	}
}

static void drain(struct play *p)
{
	uint64_t end = sl_now_ns() + 5000000000u;
	unsigned k;

	while (p->c.e[0].sent != p->c.e[1].rcvd || p->c.e[1].sent != p->c.e[0].rcvd) {
		/* Who has all and waits goes on with what was given back to it (SL_TX_BACK). */
		for (k = 0; k < 2; k++)
			if (p->c.e[1 - k].sent != p->c.e[k].rcvd)
				(void)do_recv(p, &p->a[k], 65536);
			else
				after(p, &p->a[k]);
		if (sl_now_ns() >= end)
			stuck(p);
		assert_true(sl_now_ns() < end);
	}
}

/* Whoever stays is followed, whoever is left leaves, and both give the segment up. */
static void converge(struct play *p)
{
	uint64_t end = sl_now_ns() + 2000000000u;
	unsigned who = 1 + (unsigned)below(&p->s, 3), k;

	for (k = 0; k < 2; k++) {
		attach_try(p, &p->a[k]);
		if (who & (1 << k))
			leave(p, &p->a[k]);
	}
	while (p->c.e[0].attached || p->c.e[1].attached) {
		for (k = 0; k < 2; k++)
			(void)do_recv(p, &p->a[k], 65536);
		if (sl_now_ns() > end)
			fail_msg("no end: tx %u %u, rx %u %u", p->c.e[0].side.tx.state,
				 p->c.e[1].side.tx.state, p->c.e[0].side.rx.state,
				 p->c.e[1].side.rx.state);
	}
	drain(p);
	for (k = 0; k < 2; k++)
		assert_int_equal(p->c.e[k].side.tx.ksent, p->c.e[1 - k].side.rx.krcvd);
}

/* sl_sock_shutdown(SHUT_WR) */
static void shut(struct play *p, struct actor *a)
{
	struct end *e = a->e;
	bool ring = false;

	tell("%u shuts down\n", nr(p, a));
	if (e->attached) {
		assert_int_equal(sl_rx_close(&e->link, &ring), 0);
		if (ring)
			(void)sl_tx_bell(&e->link, e->fd);
		assert_int_equal(sl_tx_fin(&e->link, e->fd), 0);
	}
	e->side.tx.fin = 1;
	a->fin = true;
	assert_int_equal(shutdown(e->fd, SHUT_WR), 0);
}

/* One end shuts down with whatever is under way; the other sends on, then shuts down. */
static void shut_both(struct play *p)
{
	uint64_t end = sl_now_ns() + 5000000000u;
	unsigned first = (unsigned)below(&p->s, 2), k;
	bool eof[2] = {false, false};
	int more = (int)below(&p->s, 20);

	shut(p, &p->a[first]);
	while (!eof[0] || !eof[1]) {
		if (more >= 0 && more-- > 0)
			do_send(p, &p->a[1 - first]);
		else if (!p->a[1 - first].fin)
			shut(p, &p->a[1 - first]);
		for (k = 0; k < 2; k++) {
			/* The kernel is looked at now and then, as sl_look_kernel() does. */
			if (p->c.e[k].attached)
				(void)sl_rx_kernel(&p->c.e[k].link, p->c.e[k].fd, true);
			if (!eof[k] && do_recv(p, &p->a[k], 65536) == 0)
				eof[k] = true;
		}
		wake_all(p);
		assert_true(sl_now_ns() < end);
	}
}

static void play_open(struct play *p, uint64_t seed)
{
	unsigned k;

	memset(p, 0, sizeof(*p));
	p->s = seed;
	p->most_sent = (size_t)256 << 2 * below(&p->s, 5);
	p->leaves = below(&p->s, 30);
	conn_open(&p->c, SL_RING_LEN_MIN, seed & 1 ? 8192 : 0, 0);
	for (k = 0; k < 2; k++) {
		p->a[k].e = &p->c.e[k];
		p->a[k].may_attach = true;
		p->a[k].edge = -1;
		assert_int_equal(pipe2(p->a[k].pipe, O_CLOEXEC | O_NONBLOCK), 0);
		p->a[k].file = memfd_create("test", MFD_CLOEXEC);
	}
}

static void play_close(struct play *p)
{
	unsigned k;

	for (k = 0; k < 2; k++) {
		wake(&p->a[k]);
		(void)close(p->a[k].pipe[0]);
		(void)close(p->a[k].pipe[1]);
		(void)close(p->a[k].file);
	}
	conn_close(&p->c);
}

static void step(struct play *p)
{
	struct actor *a = &p->a[below(&p->s, 2)];
	size_t op = below(&p->s, 1000);

	if ((a->sleeps_in || a->sleeps_out) && (below(&p->s, 30) == 0 || would_wake(a, 0))) {
		tell("%u wakes\n", nr(p, a));
		wake(a);
	}
	if (op < p->leaves)
		leave(p, a);
	else if (op < p->leaves * 2)
		give_back(p, a);
	else if (op < 400)
		do_send(p, a);
	else if (op < 700)
		(void)do_recv(p, a, 1 + below(&p->s, 1u << below(&p->s, 17)));
	else if (op < 800)
		sleep_in(p, a);
	else if (op < 830 && a->e->attached)
		(void)sl_rx_kernel(&a->e->link, a->e->fd, !a->e->side.rx.sleepers);
	else if (op < 900)
		new_segment(p);
	else
		attach_try(p, a);
}

static void run(uint64_t seed)
{
	struct play p;
	int i, quiet = (int)(seed % 5);

	seed_now = seed;
	play_open(&p, seed);
	for (i = 0; i < STEPS; i++) {
		step(&p);
		/* Some runs are read to the end often, so that threads go to sleep. */
		if (quiet && i % 40 == 0)
			(void)do_recv(&p, &p.a[quiet & 1], 128 << 10);
	}
	if (seed % 3) {
		wake_all(&p);
		drain(&p);
		converge(&p);
	}
	wake_all(&p);
	shut_both(&p);
	play_close(&p);
	seed_now = 0;
}

static void test_random(void **state)
{
	uint64_t end = until_ns(SANITIZED ? 6000 : 4000), seed;
	const char *one = getenv("SCILAN_TEST_SEED");

	(void)state;
	if (one) {
		verbose = true;
		run(strtoull(one, NULL, 10));
		return;
	}
	for (seed = 1; sl_now_ns() < end; seed++)
		run(seed);
	print_message("%lu seeds\n", seed - 1);
}

static int report(void **state)
{
	(void)state;
	if (seed_now)
		print_error("SCILAN_TEST_SEED=%lu\n", seed_now);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_random, report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
