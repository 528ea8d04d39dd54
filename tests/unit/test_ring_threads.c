/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One ring, a thread at each end, on one mapping: the bytes are exact, no wake-up is lost, and
 * closing always meets an END. The bells are two eventfds, one a direction, so a lost one ends in a
 * time-out.
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include "test_core_util.h"

#define BIG (64u << 10)

struct run {
	struct lone_ring l;
	int to_reader, to_writer; /* bells */
	uint64_t seed;
	_Atomic uint64_t sent; /* the writer's word when it is done */
	uint64_t rcvd;
	size_t total;
	size_t most; /* bytes of one send at most */
	bool closing;
};

static void ring_bell(int fd)
{
	uint64_t one = 1;

	must(write(fd, &one, sizeof(one)) == sizeof(one));
}

/* Sleep for a bell; 5 s without one is a lost wake-up. */
static void await_bell(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n;

	must(poll(&p, 1, 5000) == 1);
	must(read(fd, &n, sizeof(n)) == sizeof(n));
}

/* Return: what sl_ring_reserve() or commit said, <= 0; or bytes. */
static ssize_t put(struct run *run, uint64_t pos, size_t len)
{
	int ring = 0, rc;
	ssize_t n;
	void *data;

	n = sl_ring_reserve(&run->l.r, &run->l.tx, len, &data, &ring);
	if (n > 0) {
		stream_fill(data, pos, (size_t)n);
		rc = sl_ring_commit(&run->l.r, &run->l.tx, SL_DATA, (uint32_t)n, &ring);
		if (rc < 0)
			n = rc;
	}
	if (ring)
		ring_bell(run->to_reader);
	return n;
}

static void *writer(void *arg)
{
	struct run *run = arg;
	uint64_t s = run->seed * 2 + 1, pos = 0;
	size_t len;
	ssize_t n = 0;
	int ring = 0;

	while (pos < run->total) {
		len = 1 + below(&s, 1u << below(&s, 17));
		n = put(run, pos, sl_min_size(sl_min_size(len, run->most), run->total - pos));
		if (n < 0)
			break;
		pos += (size_t)n;
		if (n == 0 && !sl_ring_want(&run->l.r, &run->l.tx, 64))
			await_bell(run->to_writer);
	}
	if (n == -EPIPE)
		must(sl_ring_ack_closed(&run->l.r, &run->l.tx) == 0);
	else
		must(n >= 0);
	atomic_store(&run->sent, pos);
	if (n >= 0 && sl_ring_control(&run->l.r, &run->l.tx, SL_END, NULL, 0, &ring) == -EPIPE)
		must(sl_ring_ack_closed(&run->l.r, &run->l.tx) == 0);
	ring_bell(run->to_reader);
	return NULL;
}

/* Drain. Return: 0 nothing more now; 1 END. */
static int drain(struct run *run, uint64_t *s)
{
	enum sl_rec_type type;
	const uint8_t *data;
	size_t len, some;
	int rc;

	for (;;) {
		rc = sl_ring_peek(&run->l.r, &run->l.rx, &type, &data, &len);
		if (rc == 0 || rc == -EPIPE)
			return 0;
		must(rc == 1);
		if (type == SL_END)
			return 1;
		must(type == SL_DATA);
		some = below(s, 4) ? len : 1 + below(s, len);
		must(stream_is(data, run->rcvd, some));
		sl_ring_take(&run->l.r, &run->l.rx, some);
		run->rcvd += some;
		if (sl_ring_credit(&run->l.r, &run->l.rx, false))
			ring_bell(run->to_writer);
		if (below(s, 4) == 0)
			run->l.rx.calm = (SL_RING_CALM << run->l.rx.fickle) - 1;
		sl_ring_calm(&run->l.r, &run->l.rx);
	}
}

static void *reader(void *arg)
{
	struct run *run = arg;
	uint64_t s = run->seed * 2, n;
	enum sl_rec_type type;
	const uint8_t *data;
	bool rung, closed = false;
	size_t len;
	int spins, rc;

	for (;;) {
		if (drain(run, &s))
			break;
		if (run->closing && !closed && below(&s, 8) == 0 &&
		    sl_ring_stern(&run->l.r, &run->l.rx)) {
			must(sl_ring_close(&run->l.r, &run->l.rx) == 0);
			/* END comes in its place, and nothing else. */
			n = sl_word_look(sl_ring_word(&run->l.r, run->l.rx.end));
			must(n == SL_CLOSED || n == sl_word_record(SL_END, 0));
			closed = true;
			if (sl_ring_credit(&run->l.r, &run->l.rx, true))
				ring_bell(run->to_writer);
			continue;
		}
		for (spins = (int)below(&s, 300); spins > 0; spins--)
			if (sl_ring_peek(&run->l.r, &run->l.rx, &type, &data, &len) == 1)
				break;
		if (spins)
			continue;
		rung = false;
		rc = sl_ring_arm(&run->l.r, &run->l.rx, 0, &rung);
		if (rung)
			ring_bell(run->to_writer);
		if (rc == -EAGAIN) /* the writer does not run */
			continue;
		must(rc == 0);
		if (sl_ring_peek(&run->l.r, &run->l.rx, &type, &data, &len) != 1)
			await_bell(run->to_reader);
	}
	return NULL;
}

static void go(struct run *run, size_t ring_len)
{
	pthread_t w, r;

	lone_open(&run->l, ring_len);
	atomic_store(&run->l.r.ctl->able, sl_fence_able);
	run->to_reader = eventfd(0, EFD_CLOEXEC);
	run->to_writer = eventfd(0, EFD_CLOEXEC);
	run->rcvd = 0;
	assert_int_equal(pthread_create(&w, NULL, writer, run), 0);
	assert_int_equal(pthread_create(&r, NULL, reader, run), 0);
	assert_int_equal(pthread_join(w, NULL), 0);
	assert_int_equal(pthread_join(r, NULL), 0);
	assert_int_equal(run->rcvd, atomic_load(&run->sent));
	if (!run->closing)
		assert_int_equal(run->rcvd, run->total);
	(void)close(run->to_reader);
	(void)close(run->to_writer);
	lone_close(&run->l);
}

static void test_stream(void **state)
{
	uint64_t end = until_ns(SANITIZED ? 3000 : 2000), seed = 0;
	struct run run = {0};

	(void)state;
	while (sl_now_ns() < end) {
		run.seed = ++seed;
		run.total = SANITIZED ? 200000 : 2000000;
		run.most = seed % 3 ? BIG : 100;
		go(&run, seed & 1 ? SL_RING_LEN_MIN : SL_RING_LEN_DEF);
	}
}

static void test_closing(void **state)
{
	uint64_t end = until_ns(SANITIZED ? 2000 : 1500), seed = 0;
	struct run run = {.closing = true};

	(void)state;
	while (sl_now_ns() < end) {
		run.seed = ++seed;
		run.total = 100000;
		run.most = seed & 1 ? 64 : BIG;
		go(&run, SL_RING_LEN_MIN);
	}
}

/*
 * Closing against publishing, many times in one run. Once: the record that was published between
 * the reader's look and the one after was taken for an END; the lane was taken for closed and never
 * was.
 */
struct duel {
	struct lone_ring l;
	_Atomic uint32_t round, ready;
	_Atomic bool stop;
};

static void *publish_some(void *arg)
{
	struct duel *d = arg;
	uint32_t round = 0;
	ssize_t n;
	void *data;
	int ring, i;

	while (!atomic_load(&d->stop)) {
		if (atomic_load(&d->round) == round)
			continue;
		round++;
		memset(&d->l.tx, 0, sizeof(d->l.tx));
		for (i = 0; i < 12; i++) {
			ring = 0;
			n = sl_ring_reserve(&d->l.r, &d->l.tx, 8, &data, &ring);
			if (n != 8 ||
			    sl_ring_commit(&d->l.r, &d->l.tx, SL_DATA, 8, &ring) == -EPIPE)
				break;
		}
		atomic_store(&d->ready, round);
	}
	return NULL;
}

static void test_close_duel(void **state)
{
	uint64_t end = until_ns(SANITIZED ? 1500 : 1000), s = 1;
	struct duel d = {0};
	uint32_t round = 0;
	int wait;
	pthread_t t;

	(void)state;
	lone_open(&d.l, SL_RING_LEN_MIN);
	assert_int_equal(pthread_create(&t, NULL, publish_some, &d), 0);
	while (sl_now_ns() < end) {
		memset(&d.l.rx, 0, sizeof(d.l.rx));
		atomic_store(&d.l.r.ctl->credit, 0);
		atomic_store(&sl_ring_word(&d.l.r, 0)->word, SL_ARMED);
		atomic_store(&d.round, ++round);
		for (wait = (int)below(&s, 200); wait > 0; wait--)
			sl_cpu_relax();
		assert_int_equal(sl_ring_close(&d.l.r, &d.l.rx), 0);
		while (atomic_load(&d.ready) != round)
			sl_cpu_relax();
		assert_int_equal(sl_word_look(sl_ring_word(&d.l.r, d.l.rx.end)), SL_CLOSED);
	}
	atomic_store(&d.stop, true);
	assert_int_equal(pthread_join(t, NULL), 0);
	lone_close(&d.l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_closing),
		cmocka_unit_test(test_close_duel),
	};

	sl_fence_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
