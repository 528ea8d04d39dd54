/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A peer that writes what it likes into the segment. The victim's calls return, stay within its own
 * memory (the address sanitizer's build tells) and say -EPROTO at worst; its own stream of bytes to
 * the program may then be wrong, as TCP's would be from such a peer.
 */
#include <pthread.h>
#include "test_lane_util.h"

#define REC(t, n) (SL_RECORD | (uint32_t)(t) << SL_TYPE_SHIFT | (uint32_t)(n) << SL_LEN_SHIFT)

static struct end *victim;
static int peer_fd;

/* What the peer writes: its own ring's words, at offsets of its choice. */
static struct sl_ring *ring_in(void)
{
	return &victim->link.in;
}

static void word(uint64_t off, uint32_t w)
{
	atomic_store(&sl_ring_word(ring_in(), off)->word, w);
}

static void payload64(uint64_t off, uint64_t v)
{
	memcpy(sl_ring_word(ring_in(), off) + 1, &v, sizeof(v));
}

/* START at the front, for a victim that has received @delta bytes fewer than it says. */
static void start(uint64_t delta)
{
	payload64(0, victim->side.rx.krcvd + delta);
	word(16, SL_EMPTY);
	word(0, REC(SL_START, 8));
}

/* --- what each does before the victim looks; its END is where @want says --- */

static void pad_at_front(void)
{
	word(0, REC(SL_PAD, 0));
}

static void pad_chain(void)
{
	start(0);
	word(16, REC(SL_PAD, 0));
	word(0, REC(SL_PAD, 0));
}

static void type_unknown(void)
{
	word(0, REC(7, 0));
}

static void data_before_start(void)
{
	word(8 + 8, SL_EMPTY);
	word(0, REC(SL_DATA, 8));
}

static void data_empty(void)
{
	start(0);
	word(16, REC(SL_DATA, 0));
}

static void data_longer_than_ring(void)
{
	start(0);
	word(16, REC(SL_DATA, SL_RING_LEN_MIN));
}

static void data_past_end(void)
{
	start(0);
	word(16, REC(SL_DATA, SL_RING_LEN_MIN - 16 - 8 + 1));
}

static void data_huge(void)
{
	start(0);
	word(16, REC(SL_DATA, (1u << 27) - 1));
}

static void start_short(void)
{
	word(0, REC(SL_START, 4));
}

static void start_twice(void)
{
	start(0);
	payload64(16, victim->side.rx.krcvd);
	word(32, SL_EMPTY);
	word(16, REC(SL_START, 8));
}

static void start_behind(void)
{
	victim->side.rx.krcvd += 100;
	start(UINT64_MAX); /* one byte back */
}

static void start_far_ahead(void)
{
	start(1ull << 62);
}

static void fin_before_start(void)
{
	word(0, REC(SL_FIN, 0));
}

static void end_then_more(void)
{
	start(0);
	word(16, REC(SL_END, 0));
	word(24, REC(SL_DATA, 100));
}

static void end_at_once(void)
{
	word(0, REC(SL_END, 0));
}

static void closed_with_bits(void)
{
	word(0, SL_CLOSED | 4);
}

static void empty_with_bits(void)
{
	word(0, 4);
}

static void rung_absurd(void)
{
	start(0);
	atomic_store(&ring_in()->ctl->rung, UINT64_MAX);
}

static void rung_ahead_end(void)
{
	start(0);
	atomic_store(&ring_in()->ctl->rung, victim->side.rx.krcvd + (1ull << 62));
	word(16, REC(SL_END, 0));
}

static void rung_behind(void)
{
	start(0);
	victim->side.rx.krcvd += 1000;
	payload64(0, victim->side.rx.krcvd);
	atomic_store(&ring_in()->ctl->rung, 0);
	word(16, REC(SL_END, 0));
}

/* Urgent data at the head of a queue of which all is said to be bells. */
static void urgent_bell(void)
{
	start(0);
	atomic_store(&ring_in()->ctl->rung, victim->side.rx.krcvd + (1ull << 62));
	assert_int_equal(send(peer_fd, "u", 1, MSG_OOB), 1);
	assert_int_equal(send(peer_fd, "bb", 2, 0), 2);
	assert_true(readable(victim->fd));
}

/* Records all the way round, and no word that is not one. */
static void full_circle(void)
{
	uint64_t off;

	start(0);
	for (off = 16; off < SL_RING_LEN_MIN; off += 16)
		word(off, REC(SL_DATA, 8));
}

static void full_circle_fin(void)
{
	uint64_t off;

	start(0);
	for (off = 16; off < SL_RING_LEN_MIN; off += 8)
		word(off, REC(SL_FIN, 0));
}

static void credit_beyond(void)
{
	atomic_store(&victim->link.out.ctl->credit, UINT64_MAX);
}

static void out_word_record(void)
{
	atomic_store(&sl_ring_word(&victim->link.out, 0)->word, REC(SL_DATA, 5));
}

static void out_word_noise(void)
{
	atomic_store(&sl_ring_word(&victim->link.out, 0)->word, 0xfffffffc);
}

static void out_word_bell(void)
{
	atomic_store(&sl_ring_word(&victim->link.out, 0)->word, UINT32_MAX - 2);
}

static const struct hostile_case {
	const char *name;
	void (*act)(void);
	ssize_t recv; /* the victim's first receive */
	ssize_t send; /* and send */
} cases[] = {
	{"PAD at the front", pad_at_front, -EPROTO, 100},
	{"PAD to PAD", pad_chain, -EPROTO, 100},
	{"unknown type", type_unknown, -EPROTO, 100},
	{"data before START", data_before_start, -EPROTO, 100},
	{"data of no bytes", data_empty, -EPROTO, 100},
	{"data longer than the ring", data_longer_than_ring, -EPROTO, 100},
	{"data past the ring's end", data_past_end, -EPROTO, 100},
	{"largest length", data_huge, -EPROTO, 100},
	{"START too short", start_short, -EPROTO, 100},
	{"START twice", start_twice, -EPROTO, 100},
	{"START behind what came", start_behind, -EPROTO, 100},
	{"START far ahead", start_far_ahead, -EAGAIN, 100},
	{"FIN before START", fin_before_start, -EPROTO, 100},
	{"more behind END", end_then_more, -EAGAIN, 100},
	{"END at once", end_at_once, -EAGAIN, 100},
	{"CLOSED with bits", closed_with_bits, -EAGAIN, 100},
	{"EMPTY with bits", empty_with_bits, -EAGAIN, 100},
	{"rung at the top", rung_absurd, -EAGAIN, 100},
	{"rung far ahead, END", rung_ahead_end, -EAGAIN, 100},
	{"rung behind, END", rung_behind, -EAGAIN, 100},
	{"urgent data for a bell", urgent_bell, -EAGAIN, 100},
	{"records all round", full_circle, -EPROTO, 100},
	{"FIN all round", full_circle_fin, 0, 100},
	{"credit beyond", credit_beyond, -EAGAIN, 100},
	{"a record where we write", out_word_record, -EAGAIN, -EPROTO},
	{"noise where we write", out_word_noise, -EAGAIN, -EPROTO},
	{"a bell that nobody has", out_word_bell, -EAGAIN, 100},
};

static ssize_t victim_recv(size_t len, int flags)
{
	char *buf = malloc(len); /* of that size, for the sanitizer */
	struct iovec iov = {buf, len};
	struct sl_sink sink = {.iov = &iov, .iovcnt = 1, .fd = -1};
	bool ring = false;
	ssize_t n = sl_rx_recv(&victim->link, victim->fd, &sink, len, flags, &ring);

	assert_true(n <= (ssize_t)len);
	if (ring)
		(void)sl_tx_bell(&victim->link, victim->fd);
	free(buf);
	return n;
}

static ssize_t victim_send(size_t len)
{
	char *buf = calloc(1, len);
	struct iovec iov = {buf, len};
	struct sl_src src = {.iov = &iov, .iovcnt = 1, .fd = -1};
	ssize_t n = sl_tx_send(&victim->link, victim->fd, &src, len, 0);

	assert_true(n <= (ssize_t)len);
	free(buf);
	return n;
}

static void expect_one_of(const char *name, const char *what, ssize_t n)
{
	if (n < 0 && n != -EPROTO && n != -EAGAIN && n != -EPIPE && n != -EBUSY)
		fail_msg("%s: %s says %zd", name, what, n);
}

/* Every call, whatever state the lanes are in: it returns, and with one of few values. */
static void all_calls(const char *name)
{
	struct sl_link *l = &victim->link;
	bool ring = false;

	expect_one_of(name, "avail", sl_rx_avail(l, victim->fd, 1));
	expect_one_of(name, "avail", sl_rx_avail(l, victim->fd, SIZE_MAX));
	expect_one_of(name, "peek", victim_recv(5000, MSG_PEEK));
	expect_one_of(name, "recv", victim_recv(3, 0));
	expect_one_of(name, "recv", victim_recv(100000, 0));
	expect_one_of(name, "arm", sl_rx_arm(l, 0, &ring));
	expect_one_of(name, "kernel", sl_rx_kernel(l, victim->fd, true));
	expect_one_of(name, "scan", sl_ring_scan(&l->in, &victim->side.rx.ring));
	expect_one_of(name, "room", (ssize_t)sl_ring_room(&l->out, &l->side->tx.ring, true));
	assert_true(sl_ring_room(&l->out, &l->side->tx.ring, true) < l->out.len);
	(void)sl_ring_want(&l->out, &victim->side.tx.ring, 64);
	(void)sl_rx_hint(l);
	(void)sl_link_unread(l);
	(void)sl_link_finished(l);
	expect_one_of(name, "send", victim_send(3000));
	expect_one_of(name, "bell", sl_tx_bell(l, victim->fd));
	expect_one_of(name, "answer", sl_tx_answer(l, victim->fd));
}

static void all_ends(const char *name)
{
	struct sl_link *l = &victim->link;
	bool ring = false;

	expect_one_of(name, "give back", sl_link_give_back(l, victim->fd));
	expect_one_of(name, "given", sl_link_given(l, victim->fd, true));
	expect_one_of(name, "leave", sl_link_leave(l, victim->fd));
	expect_one_of(name, "close", sl_rx_close(l, &ring));
	all_calls(name);
	expect_one_of(name, "fin", sl_tx_fin(l, victim->fd));
	expect_one_of(name, "end", sl_tx_end(l, victim->fd));
	all_calls(name);
}

static void test_table(void **state)
{
	struct conn c;
	ssize_t n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		conn_open(&c, SL_RING_LEN_MIN, 0, 0);
		attach(&c, 0);
		attach(&c, 1);
		victim = &c.e[0];
		peer_fd = c.e[1].fd;
		alarm(10); /* an endless loop ends the test */
		cases[i].act();
		n = victim_recv(100000, 0);
		if (cases[i].recv == -EPROTO && n > 0) /* what came before the nonsense */
			n = victim_recv(100000, 0);
		if (n != cases[i].recv)
			fail_msg("%s: receive says %zd", cases[i].name, n);
		n = victim_send(100);
		if (n != cases[i].send)
			fail_msg("%s: send says %zd", cases[i].name, n);
		all_calls(cases[i].name);
		all_ends(cases[i].name);
		alarm(0);
		conn_close(&c);
	}
}

/* A record that has been read in part gets shorter. */
static void test_shortened(void **state)
{
	static const uint32_t then[] = {REC(SL_DATA, 5), REC(SL_DATA, 0), REC(SL_PAD, 0),
					REC(SL_END, 0),	 SL_EMPTY,	  SL_CLOSED};
	struct conn c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(then) / sizeof(then[0]); i++) {
		conn_open(&c, SL_RING_LEN_MIN, 0, 0);
		attach(&c, 0);
		victim = &c.e[0];
		start(0);
		word(16 + 8 + 104, SL_EMPTY);
		word(16, REC(SL_DATA, 100));
		assert_int_equal(victim_recv(10, 0), 10);
		word(16, then[i]);
		assert_true(victim_recv(100000, 0) <= 100);
		all_calls("shortened");
		all_ends("shortened");
		conn_close(&c);
	}
}

/* --- at any time --- */

static struct scribbler {
	uint8_t *mem;
	size_t ring_len;
	uint64_t s;
	_Atomic bool stop;
} scribbler;

static uint32_t likely_word(uint64_t *s)
{
	switch (below(s, 6)) {
	case 0:
		return rnd(s) << 1;
	case 1:
		return (uint32_t)below(s, 8);
	case 2:
		return SL_ARMED | rnd(s) << 2;
	default:
		return REC(below(s, 6), below(s, 1u << below(s, 16)));
	}
}

/* One store anywhere: mostly where the words are likely to be, sometimes into the control blocks.
 */
static void scribble(struct scribbler *b)
{
	struct sl_seg_shm *shm = (void *)b->mem;
	uint8_t *ring = b->mem + SL_SEG_HDR_LEN + (rnd(&b->s) & 1 ? b->ring_len : 0);
	struct sl_ring_ctl_shm *ctl = &shm->ring[rnd(&b->s) & 1];
	size_t reach = below(&b->s, 3) ? 256 : b->ring_len;
	uint64_t v = (uint64_t)rnd(&b->s) << below(&b->s, 33);

	switch (below(&b->s, 12)) {
	case 0:
		atomic_store(&ctl->credit, v);
		break;
	case 1:
		atomic_store(&ctl->rung, below(&b->s, 2) ? v : below(&b->s, 64));
		break;
	case 2:
		atomic_store(&ctl->consumed, v);
		break;
	case 3:
		shm->magic = (uint32_t)v;
		shm->ring_len = v;
		break;
	case 4:
		atomic_store(&shm->side[rnd(&b->s) & 1].attached, (uint32_t)v);
		break;
	default:
		atomic_store((_Atomic uint32_t *)(void *)(ring + below(&b->s, reach / 8) * 8),
			     likely_word(&b->s));
	}
}

static void *scribble_on(void *arg)
{
	struct scribbler *b = arg;

	while (!atomic_load_explicit(&b->stop, memory_order_relaxed))
		scribble(b);
	return NULL;
}

/* A fresh connection, or the one there was after a reset: from some likely state. */
static void meet(struct conn *c, uint64_t *s)
{
	struct sl_rx_side *rx = &victim->side.rx;

	memset(&victim->side, 0, sizeof(victim->side));
	attach(c, 0);
	victim->side.tx.state = (uint32_t)below(s, 3);
	rx->state = (uint32_t)below(s, 4);
	rx->ring.pos = rx->ring.end = rx->ring.published = below(s, 32) * 8;
	victim->side.tx.ring.pos = victim->side.tx.ring.credit = below(s, 32) * 8;
}

static void test_any_time(void **state)
{
	uint64_t end = until_ns(SANITIZED ? 4000 : 2000), s = 1, calls = 0, bad = 0;
	struct sl_seg seg;
	struct conn c;
	pthread_t t;
	char junk[4096];
	int i, fd, tcp[2];

	(void)state;
	memset(junk, 1, sizeof(junk));
	/* The peer's own mapping, as in another process. */
	memset(&c, 0, sizeof(c));
	fd = sl_seg_create(SL_RING_LEN_MIN);
	assert_int_equal(sl_seg_attach(&c.seg[0], fd, 0), 0);
	assert_int_equal(sl_seg_attach(&seg, fd, 1), 0);
	(void)close(fd);
	tcp_pair(tcp, 0, 0);
	c.e[0].fd = tcp[0];
	c.e[1].fd = tcp[1];
	victim = &c.e[0];
	scribbler = (struct scribbler){.mem = (void *)seg.shm, .ring_len = seg.ring_len, .s = 7};
	assert_int_equal(pthread_create(&t, NULL, scribble_on, &scribbler), 0);
	alarm(30);
	while (sl_now_ns() < end) {
		meet(&c, &s);
		for (i = 0; i < 50; i++) {
			(void)send(c.e[1].fd, junk, below(&s, 64), MSG_DONTWAIT);
			all_calls("scribbled");
			calls++;
		}
		all_ends("scribbled");
		bad += victim_recv(10, 0) == -EPROTO;
		while (recv(c.e[1].fd, junk, sizeof(junk), MSG_DONTWAIT) > 0)
			;
	}
	alarm(0);
	atomic_store(&scribbler.stop, true);
	assert_int_equal(pthread_join(t, NULL), 0);
	print_message("%lu rounds of calls, nonsense noticed in %lu\n", calls, bad);
	sl_seg_detach(&seg);
	sl_seg_detach(&c.seg[0]);
	(void)close(c.e[0].fd);
	(void)close(c.e[1].fd);
}

/* The same between calls, from seeds: a failure can be repeated. */
static void test_between_calls(void **state)
{
	uint64_t end = until_ns(SANITIZED ? 3000 : 1500), s;
	struct conn c;
	int i, k;

	(void)state;
	conn_open(&c, SL_RING_LEN_MIN, 0, 0);
	victim = &c.e[0];
	scribbler = (struct scribbler){.mem = (void *)c.seg[0].shm, .ring_len = SL_RING_LEN_MIN};
	for (s = 1; sl_now_ns() < end;) {
		alarm(10);
		memset(c.seg[0].shm, 0, c.seg[0].map_len);
		meet(&c, &s);
		scribbler.s = s;
		for (i = 0; i < 30; i++) {
			for (k = (int)below(&s, 20); k > 0; k--)
				scribble(&scribbler);
			all_calls("between");
		}
		all_ends("between");
	}
	alarm(0);
	conn_close(&c);
}

/* --- without end --- */

static _Atomic bool enough;

static void *flood(void *arg)
{
	static const char junk[1 << 16];
	uint64_t end = until_ns(4000);

	(void)arg;
	while (!atomic_load(&enough) && sl_now_ns() < end)
		(void)send(peer_fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL);
	return NULL;
}

static void drain_kernel(void)
{
	(void)sl_rx_kernel(&victim->link, victim->fd, true);
}

static void drain_deaf(void)
{
	sl_link_deafen(&victim->link, victim->fd, false);
}

static void drain_recv(void)
{
	word(16, REC(SL_END, 0));
	(void)victim_recv(10, MSG_DONTWAIT);
}

/* The peer sends for as long as it likes, and says that all of it is bells: nobody is held up by that. */
static void test_flood(void **state)
{
	static void (*const act[])(void) = {drain_kernel, drain_deaf, drain_recv};
	uint64_t from;
	struct conn c;
	pthread_t t;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(act) / sizeof(act[0]); i++) {
		conn_open(&c, SL_RING_LEN_MIN, 0, 0);
		attach(&c, 0);
		victim = &c.e[0];
		peer_fd = c.e[1].fd;
		start(0);
		assert_int_equal(victim_recv(10, 0), -EAGAIN);
		atomic_store(&ring_in()->ctl->rung, 1ull << 62);
		atomic_store(&enough, false);
		assert_int_equal(pthread_create(&t, NULL, flood, NULL), 0);
		while (!readable(victim->fd))
			;
		from = sl_now_ns();
		act[i]();
		from = sl_now_ns() - from;
		atomic_store(&enough, true);
		assert_int_equal(pthread_join(t, NULL), 0);
		assert_true(from < 2000000000u);
		conn_close(&c);
	}
}

#define CLOSES 20

/*
 * The peer says that a bell is on its way, and none is: that holds up who closes, or shuts down, but for a short time in
 * all, also where data lie in our kernel that the peer does not read. Return: ns
 */
static uint64_t bell_that_never_comes(bool closes, bool unsent)
{
	static const char junk[1 << 16];
	uint64_t from, took = 0;
	struct conn c;
	ssize_t n;
	int i;

	for (i = 0; i < CLOSES; i++) {
		conn_open(&c, SL_RING_LEN_MIN, 0, 0);
		attach(&c, 0);
		victim = &c.e[0];
		while (unsent && (n = send(victim->fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0)
			victim->side.tx.ksent += (uint64_t)n;
		start(0);
		assert_int_equal(victim_recv(10, 0), -EAGAIN);
		atomic_store(&ring_in()->ctl->rung, victim->side.rx.krcvd + 1);
		from = sl_now_ns();
		sl_link_deafen(&victim->link, victim->fd, closes);
		took += sl_now_ns() - from;
		conn_close(&c);
	}
	return took;
}

static void test_bell_that_never_comes(void **state)
{
	(void)state;
	assert_true(bell_that_never_comes(true, false) < 400000000u);
	assert_true(bell_that_never_comes(true, true) < 1000000000u);
	assert_true(bell_that_never_comes(false, false) < 1000000000u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_shortened),
		cmocka_unit_test(test_between_calls),
		cmocka_unit_test(test_any_time),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_bell_that_never_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
