/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring, both ends in one thread: sizes, wrap-around, credit, control records, closing. */
#include "test_core_util.h"

/* Send up to @len bytes of the stream from @pos in one record. */
static ssize_t put(struct lone_ring *l, uint64_t pos, size_t len, int *ring)
{
	ssize_t n;
	void *data;
	int rc;

	n = sl_ring_reserve(&l->r, &l->tx, len, &data, ring);
	if (n <= 0)
		return n;
	assert_true((size_t)n <= len);
	assert_true((uint8_t *)data >= l->r.base + 8);
	assert_true((uint8_t *)data + n <= l->r.base + l->r.len);
	stream_fill(data, pos, (size_t)n);
	rc = sl_ring_commit(&l->r, &l->tx, SL_DATA, (uint32_t)n, ring);
	return rc < 0 ? rc : n;
}

/* Take up to @max bytes of the record there. */
static ssize_t get(struct lone_ring *l, uint64_t pos, size_t max)
{
	enum sl_rec_type type;
	const uint8_t *data;
	size_t len;
	int rc = sl_ring_peek(&l->r, &l->rx, &type, &data, &len);

	if (rc <= 0)
		return rc;
	assert_int_equal(type, SL_DATA);
	len = sl_min_size(len, max);
	assert_true(stream_is(data, pos, len));
	sl_ring_take(&l->r, &l->rx, len);
	return (ssize_t)len;
}

/* Each size once, so that the ring wraps at a new offset each time. */
static void test_sizes(void **state)
{
	struct lone_ring l;
	uint64_t sent = 0, rcvd = 0;
	size_t len, off;
	ssize_t n;
	int ring;

	(void)state;
	lone_open(&l, SL_RING_LEN_MIN * 2);
	for (len = 1; len <= SL_RING_CHUNK; len++) {
		for (off = 0; off < len; off += (size_t)n) {
			ring = 0;
			n = put(&l, sent, len - off, &ring);
			assert_true(n > 0);
			sent += (size_t)n;
			while (rcvd < sent) {
				n = get(&l, rcvd, len % 3 ? SIZE_MAX : len / 2 + 1);
				assert_true(n > 0);
				rcvd += (size_t)n;
			}
			assert_int_equal(get(&l, rcvd, 1), 0);
			(void)sl_ring_credit(&l.r, &l.rx, false);
		}
	}
	lone_close(&l);
}

/* Fill it up, empty it, at every offset that the fills leave; nothing is lost, credit comes back
 * whole. */
static void test_full(void **state)
{
	static const size_t sizes[] = {1, 7, 8, 9, 100, 1000, 4087, 4088, 4089, SL_RING_CHUNK};
	uint64_t sent = 0, rcvd = 0, round;
	struct lone_ring l;
	size_t i, held;
	ssize_t n;
	int ring = 0;

	(void)state;
	lone_open(&l, SL_RING_LEN_MIN);
	for (round = 0; round < 400; round++) {
		i = round % (sizeof(sizes) / sizeof(sizes[0]));
		while ((n = put(&l, sent, sizes[i], &ring)) > 0)
			sent += (size_t)n;
		assert_int_equal(n, 0);
		assert_int_equal(sl_ring_room(&l.r, &l.tx, true) > 8, 0);
		held = sent - rcvd;
		/* A jump to the front just before costs the rest of the ring until it is read. */
		assert_true(held <= l.r.len - SL_RING_RESERVE);
		if (sizes[i] >= 100)
			assert_true(held >= sl_ring_front(&l.r) - SL_RING_RESERVE - 1000);
		assert_int_equal(sl_ring_avail(&l.r, &l.rx, SIZE_MAX), held);
		assert_true(sl_ring_avail(&l.r, &l.rx, 1) >= 1);
		assert_false(sl_ring_want(&l.r, &l.tx, 64));
		n = get(&l, rcvd, SIZE_MAX);
		assert_true(n > 0);
		rcvd += (size_t)n;
		/* Whoever waits is rung, at the latest when the ring is empty. */
		ring = sl_ring_credit(&l.r, &l.rx, false);
		while ((n = get(&l, rcvd, SIZE_MAX)) > 0) {
			rcvd += (size_t)n;
			ring |= sl_ring_credit(&l.r, &l.rx, false);
		}
		assert_int_equal(n, 0);
		assert_true(ring);
		assert_int_equal(sent, rcvd);
		assert_true(sl_ring_room(&l.r, &l.tx, true) >= l.r.len / 4);
		ring = 0;
	}
	lone_close(&l);
}

/* A record is never given more room than there is: random sizes against a slow reader. */
static void test_random(void **state)
{
	uint64_t sent, rcvd, seed;
	struct lone_ring l;
	bool wanting;
	ssize_t n;
	int i, ring;

	(void)state;
	for (seed = 1; seed <= 60; seed++) {
		uint64_t s = seed;

		lone_open(&l, (size_t)SL_RING_LEN_MIN << below(&s, 3));
		sent = rcvd = 0;
		wanting = false;
		for (i = 0; i < 3000; i++) {
			ring = 0;
			if (rnd(&s) & 1) {
				n = put(&l, sent, 1 + below(&s, 1u << below(&s, 16)), &ring);
				assert_true(n >= 0);
				sent += (size_t)n;
				if (!n)
					wanting = !sl_ring_want(&l.r, &l.tx, 64);
				continue;
			}
			n = get(&l, rcvd, 1 + below(&s, 1u << below(&s, 16)));
			assert_true(n >= 0);
			assert_int_equal(n == 0, sent == rcvd);
			rcvd += (size_t)n;
			if (sl_ring_credit(&l.r, &l.rx, below(&s, 50) == 0))
				wanting = false;
			/* An empty ring leaves no writer waiting. */
			if (sent == rcvd && get(&l, rcvd, 1) == 0)
				wanting &= !sl_ring_credit(&l.r, &l.rx, false);
			assert_false(sent == rcvd && wanting);
		}
		lone_close(&l);
	}
}

/* What is not zero, in pages, the header included. */
static size_t touched(const struct sl_seg *seg)
{
	const uint8_t *p = (const void *)seg->shm;
	size_t i, j, pages = 0;

	for (i = 0; i < seg->map_len; i += 4096) {
		for (j = 0; j < 4096 && !p[i + j]; j++)
			;
		pages += j < 4096;
	}
	return pages * 4096;
}

/* Request and response: a few pages at first, a quarter of each ring however long it goes on. */
static void test_footprint(void **state)
{
	static const struct {
		size_t request, response;
		int rounds;
		size_t most; /* bytes touched */
	} cases[] = {
		{1, 1, 100, 8192},	 {64, 64, 40, 8192},	    {100, 900, 3, 8192},
		{1, 1, 20000, 155648},	 {64, 64, 5000, 155648},    {100, 900, 2000, 155648},
		{4000, 64, 500, 155648}, {4000, 4000, 500, 159744},
	};
	struct lone_ring l[2];
	uint64_t pos[2];
	size_t i, k, len;
	int ring, round;
	bool rung;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(pos, 0, sizeof(pos));
		lone_open(&l[0], SL_RING_LEN_DEF);
		l[1] = l[0];
		sl_ring_init(&l[1].r, &l[0].seg[0], 1);
		for (round = 0; round < cases[i].rounds; round++) {
			for (k = 0; k < 2; k++) {
				len = k ? cases[i].response : cases[i].request;
				ring = 0;
				rung = false;
				assert_int_equal(put(&l[k], pos[k], len, &ring), len);
				assert_int_equal(get(&l[k], pos[k], len), len);
				pos[k] += len;
				(void)sl_ring_credit(&l[k].r, &l[k].rx, false);
				if (round % 3 == 0)
					(void)sl_ring_arm(&l[k].r, &l[k].rx, 0, &rung);
			}
		}
		if (touched(&l[0].seg[0]) > cases[i].most)
			fail_msg("%zu and %zu bytes: %zu bytes touched", cases[i].request,
				 cases[i].response, touched(&l[0].seg[0]));
		lone_close(&l[0]);
	}
}

/* A reader that took everything and looks no more can be sent a quarter of the ring, in whatever
 * pieces. */
static void test_capacity(void **state)
{
	static const size_t sizes[] = {16, 100, 1000, 3000, SL_RING_CHUNK};
	struct lone_ring l;
	size_t i, before;
	uint64_t held;
	ssize_t n;
	int ring = 0;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (before = 0; before < SL_RING_LEN_DEF + 4096; before += 2040) {
			lone_open(&l, SL_RING_LEN_DEF);
			for (held = 0; held < before; held += (size_t)n) {
				n = put(&l, held, 1020, &ring);
				assert_true(n > 0);
				assert_int_equal(get(&l, held, SIZE_MAX), n);
				(void)sl_ring_credit(&l.r, &l.rx, false);
			}
			for (held = 0; (n = put(&l, held, sizes[i], &ring)) > 0; held += (size_t)n)
				;
			if (sizes[i] >= 1000 && held < l.r.len / 4 - 1024)
				fail_msg("%zu bytes each at %zu: %zu fit", sizes[i], before,
					 (size_t)held);
			assert_true(held >= l.r.len / 8);
			lone_close(&l);
		}
	}
}

/*
 * A bounded writer has no more under way than its bound, wherever it is and whatever PADs have skipped; 64 KiB it
 * always has; and when the reader has taken all of it, there is room again by the credit alone.
 */
static void test_bound(void **state)
{
	static const struct {
		size_t ring;
		uint32_t bound, hold;
		size_t least, most;
	} cases[] = {
		{SL_RING_LEN_DEF, 4608, 2304, 65536, 73728},
		{SL_RING_LEN_DEF, 4608, 0, 120000, 4608 + 131072},
		{SL_RING_LEN_DEF, 100001, 30001, 120000, 130002},
		{SL_RING_LEN_DEF, 1u << 30, 4096, 65536, SL_RING_LEN_DEF},
		{SL_RING_LEN_DEF * 16, 4608, 2304, 65536, 73728},
		{SL_RING_LEN_MIN, 4608, 2304, SL_RING_LEN_MIN / 4 - 1100, SL_RING_LEN_MIN},
	};
	uint64_t held, before, taken;
	struct lone_ring l;
	int ring = 0;
	ssize_t n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (before = 0; before < cases[i].ring + 4096; before += cases[i].ring / 60) {
			lone_open(&l, cases[i].ring);
			l.tx.bound = cases[i].bound;
			atomic_store(&l.r.ctl->hold, cases[i].hold);
			(void)sl_ring_room(&l.r, &l.tx, true);
			for (held = 0; held < before; held += (size_t)n) {
				n = put(&l, held, 1020, &ring);
				assert_true(n > 0);
				assert_int_equal(get(&l, held, SIZE_MAX), n);
				(void)sl_ring_credit(&l.r, &l.rx, false);
			}
			for (held = 0; (n = put(&l, held, 1016, &ring)) > 0; held += (size_t)n)
				;
			if (held < cases[i].least || held > cases[i].most)
				fail_msg("case %zu at %zu: %zu fit", i, (size_t)before, (size_t)held);
			assert_false(sl_ring_want(&l.r, &l.tx, sl_ring_worth(&l.r, &l.tx)));
			for (taken = 0, ring = 0; (n = get(&l, taken, SIZE_MAX)) > 0; taken += (size_t)n)
				ring |= sl_ring_credit(&l.r, &l.rx, false);
			assert_int_equal(taken, held);
			assert_true(ring);
			atomic_store(&l.r.ctl->consumed, 0);
			assert_true(sl_ring_room(&l.r, &l.tx, true) >= sl_ring_worth(&l.r, &l.tx));
			lone_close(&l);
		}
	}
}

/* One thread sleeps until there is much room; another asks for little, and has it at once: the first is rung all the same. */
static void test_want_of_another(void **state)
{
	struct lone_ring l;
	uint64_t held, taken;
	bool rung = false;
	int ring = 0;
	ssize_t n;

	(void)state;
	lone_open(&l, SL_RING_LEN_DEF);
	l.tx.bound = 4608;
	atomic_store(&l.r.ctl->hold, 2304);
	(void)sl_ring_room(&l.r, &l.tx, true);
	for (held = 0; (n = put(&l, held, 1016, &ring)) > 0; held += (size_t)n)
		;
	assert_false(sl_ring_want(&l.r, &l.tx, sl_ring_worth(&l.r, &l.tx)));
	taken = (uint64_t)get(&l, 0, SIZE_MAX);
	rung |= sl_ring_credit(&l.r, &l.rx, false);
	assert_false(rung); /* there is more to read */
	assert_true(sl_ring_want(&l.r, &l.tx, 64));
	for (; (n = get(&l, taken, SIZE_MAX)) > 0; taken += (size_t)n)
		rung |= sl_ring_credit(&l.r, &l.rx, false);
	assert_int_equal(taken, held);
	assert_true(rung);
	lone_close(&l);
}

/* A reader may say of itself what it likes: the writer stays within the ring. */
static void test_bound_lies(void **state)
{
	static const uint64_t lies[] = {0, 1, UINT64_MAX, 1ull << 63, 5000, 5001, 1u << 20};
	struct lone_ring l;
	uint64_t held;
	int ring = 0;
	ssize_t n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		lone_open(&l, SL_RING_LEN_DEF);
		l.tx.bound = 4608;
		(void)sl_ring_room(&l.r, &l.tx, true);
		atomic_store(&l.r.ctl->hold, (uint32_t)lies[i]);
		atomic_store(&l.r.ctl->consumed, lies[i]);
		for (held = 0; (n = put(&l, held, 1000, &ring)) > 0; held += (size_t)n) {
			assert_true(l.tx.pos - l.tx.credit <= l.r.len - SL_RING_RESERVE);
			atomic_store(&l.r.ctl->consumed, lies[i] + held);
		}
		assert_int_equal(n, 0);
		lone_close(&l);
	}
}

/* START, FIN and END find room in a ring that is full of data, at every offset. */
static void test_reserve(void **state)
{
	uint8_t payload[16] = {1, 2, 3};
	enum sl_rec_type type;
	const uint8_t *data;
	struct lone_ring l;
	size_t len, first;
	uint64_t sent, rcvd;
	ssize_t n;
	int ring;

	(void)state;
	for (first = 0; first < 1200; first += 8) {
		lone_open(&l, SL_RING_LEN_MIN);
		ring = 0;
		sent = rcvd = 0;
		/* Away from the front by @first, then all consumed. */
		while (sent < first + 4096) {
			n = put(&l, sent, sl_min_size(first + 4096 - sent, 4000), &ring);
			assert_true(n > 0);
			assert_int_equal(get(&l, sent, SIZE_MAX), n);
			sent += (size_t)n;
		}
		rcvd = sent;
		while ((n = put(&l, sent, 8 + first % 5000, &ring)) > 0)
			sent += (size_t)n;
		assert_int_equal(sl_ring_control(&l.r, &l.tx, SL_START, payload, 16, &ring), 0);
		assert_int_equal(sl_ring_control(&l.r, &l.tx, SL_FIN, NULL, 0, &ring), 0);
		assert_int_equal(sl_ring_control(&l.r, &l.tx, SL_END, NULL, 0, &ring), 0);
		while (rcvd < sent) {
			n = get(&l, rcvd, SIZE_MAX);
			assert_true(n > 0);
			rcvd += (size_t)n;
		}
		assert_int_equal(sl_ring_peek(&l.r, &l.rx, &type, &data, &len), 1);
		assert_int_equal(type, SL_START);
		assert_int_equal(len, 16);
		assert_memory_equal(data, payload, 16);
		sl_ring_take(&l.r, &l.rx, len);
		assert_int_equal(sl_ring_peek(&l.r, &l.rx, &type, &data, &len), 1);
		assert_int_equal(type, SL_FIN);
		sl_ring_take(&l.r, &l.rx, len);
		assert_int_equal(sl_ring_peek(&l.r, &l.rx, &type, &data, &len), 1);
		assert_int_equal(type, SL_END);
		lone_close(&l);
	}
}

/* The reserve has an end as well. */
static void test_reserve_used_up(void **state)
{
	struct lone_ring l;
	int ring = 0, i, rc = 0;
	ssize_t n;

	(void)state;
	lone_open(&l, SL_RING_LEN_MIN);
	while ((n = put(&l, 0, 1000, &ring)) > 0)
		;
	for (i = 0; i < 100 && rc == 0; i++)
		rc = sl_ring_control(&l.r, &l.tx, SL_FIN, NULL, 0, &ring);
	assert_int_equal(rc, -ENOBUFS);
	assert_in_range(i, 20, 40);
	assert_true(l.tx.pos - l.rx.pos < l.r.len);
	lone_close(&l);
}

static void test_arm(void **state)
{
	struct lone_ring l;
	bool rung = false;
	int ring = 0;

	(void)state;
	lone_open(&l, SL_RING_LEN_MIN);
	/* As created the reader counts as asleep. */
	assert_int_equal(put(&l, 0, 10, &ring), 10);
	assert_int_equal(ring, 1);
	ring = 0;
	assert_int_equal(put(&l, 10, 10, &ring), 10);
	assert_int_equal(ring, 0);
	/* Armed behind records that are there: one bell for the next, none for the one after. */
	assert_int_equal(sl_ring_arm(&l.r, &l.rx, 5, &rung), 0);
	assert_false(rung);
	assert_int_equal(l.rx.end, l.tx.pos);
	assert_int_equal(sl_word_look(sl_ring_word(&l.r, l.rx.end)), SL_ARMED | 5u << 2);
	/* A second sleeper turns any bell into the one that wakes all. */
	assert_int_equal(sl_ring_arm(&l.r, &l.rx, 6, &rung), 0);
	assert_int_equal(sl_word_look(sl_ring_word(&l.r, l.rx.end)), SL_ARMED);
	assert_int_equal(put(&l, 20, 10, &ring), 10);
	assert_int_equal(ring, 1);
	ring = 0;
	assert_int_equal(put(&l, 30, 10, &ring), 10);
	assert_int_equal(ring, 0);
	assert_int_equal(get(&l, 0, 4), 4); /* in the middle of a record */
	assert_int_equal(sl_ring_avail(&l.r, &l.rx, SIZE_MAX), 36);
	assert_int_equal(sl_ring_arm(&l.r, &l.rx, 0, &rung), 0);
	assert_int_equal(get(&l, 4, SIZE_MAX), 6);
	assert_int_equal(sl_ring_avail(&l.r, &l.rx, SIZE_MAX), 30);
	lone_close(&l);
}

/* As after so many receives without arming that the next one allows plain stores. */
static void calm(struct lone_ring *l)
{
	l->rx.calm = (SL_RING_CALM << l->rx.fickle) - 1;
	sl_ring_calm(&l->r, &l->rx);
}

static bool plain(const struct lone_ring *l)
{
	return atomic_load(&l->r.ctl->plain);
}

static void test_plain(void **state)
{
	struct sl_word_shm *word;
	struct lone_ring l;
	bool rung = false;
	int ring = 0, i;

	(void)state;
	sl_fence_init();
	if (!sl_fence_able)
		skip();
	lone_open(&l, SL_RING_LEN_MIN);
	/* Not while the first word is armed, nor for a writer that cannot. */
	atomic_store(&l.r.ctl->able, 1);
	calm(&l);
	assert_false(plain(&l));
	assert_int_equal(put(&l, 0, 10, &ring), 10);
	assert_int_equal(ring, SL_OWED(0));
	assert_int_equal(get(&l, 0, SIZE_MAX), 10);
	atomic_store(&l.r.ctl->able, 0);
	calm(&l);
	assert_false(plain(&l));
	atomic_store(&l.r.ctl->able, 1);
	/* The messages have to come without a sleep between them. */
	for (i = 1; i < (int)SL_RING_CALM; i++)
		sl_ring_calm(&l.r, &l.rx);
	assert_int_equal(sl_ring_arm(&l.r, &l.rx, 5, &rung), 0);
	sl_ring_calm(&l.r, &l.rx);
	assert_false(plain(&l));
	/* Armed, awake for another reason: not yet. */
	calm(&l);
	assert_false(plain(&l));
	ring = 0;
	assert_int_equal(put(&l, 10, 10, &ring), 10);
	assert_int_equal(ring, SL_OWED(5));
	assert_int_equal(get(&l, 10, SIZE_MAX), 10);
	calm(&l);
	assert_true(plain(&l));
	ring = 0;
	assert_int_equal(put(&l, 20, 10, &ring), 10);
	assert_int_equal(ring, 0);
	assert_int_equal(atomic_load(&l.r.ctl->window), 0);
	assert_int_equal(get(&l, 20, SIZE_MAX), 10);
	/* A writer that is stopped in its window: nothing is armed. */
	word = sl_ring_word(&l.r, l.tx.pos);
	atomic_store(&l.r.ctl->window, 1);
	assert_int_equal(sl_ring_arm(&l.r, &l.rx, 5, &rung), -EAGAIN);
	assert_false(plain(&l));
	assert_int_equal(sl_word_look(word), SL_EMPTY);
	assert_int_equal(sl_ring_arm(&l.r, &l.rx, 5, &rung), -EAGAIN);
	atomic_store(&l.r.ctl->window, 0);
	assert_int_equal(sl_ring_arm(&l.r, &l.rx, 5, &rung), 0);
	assert_int_equal(sl_word_look(word), SL_ARMED | 5u << 2);
	assert_int_equal(put(&l, 30, 10, &ring), 10);
	assert_int_equal(ring, SL_OWED(5));
	/* It slept soon after it had allowed that: it allows it later, and closing takes it back as well. */
	assert_int_equal(l.rx.fickle, 1);
	assert_int_equal(get(&l, 30, SIZE_MAX), 10);
	calm(&l);
	assert_true(plain(&l));
	assert_int_equal(sl_ring_close(&l.r, &l.rx), 0);
	assert_false(plain(&l));
	assert_int_equal(put(&l, 40, 10, &ring), -EPIPE);
	lone_close(&l);
}

/* A process that shared the writing end was killed in its window: the next one that writes shuts it. */
static void test_window_left(void **state)
{
	struct lone_ring l;
	int ring = 0;

	(void)state;
	lone_open(&l, SL_RING_LEN_MIN);
	atomic_store(&l.r.ctl->window, 1);
	assert_int_equal(put(&l, 0, 10, &ring), 10);
	assert_int_equal(atomic_load(&l.r.ctl->window), 0);
	lone_close(&l);
}

/* Closed: nothing is published, the writer notices and says so; the reader drains first. */
static void test_close(void **state)
{
	enum sl_rec_type type;
	const uint8_t *data;
	struct lone_ring l;
	int ring, full;
	uint64_t sent;
	void *place;
	size_t len;
	ssize_t n;

	(void)state;
	for (full = 0; full < 3; full++) {
		lone_open(&l, SL_RING_LEN_MIN);
		ring = 0;
		sent = 0;
		while (full && (n = put(&l, sent, full == 1 ? 5000 : 100, &ring)) > 0)
			sent += (size_t)n;
		n = full ? 0 : sl_ring_reserve(&l.r, &l.tx, 50, &place, &ring);
		assert_int_equal(sl_ring_ack_closed(&l.r, &l.tx), -EPROTO);
		assert_int_equal(sl_ring_close(&l.r, &l.rx), 0);
		assert_int_equal(sl_ring_close(&l.r, &l.rx), 0);
		assert_true(sl_ring_closed(&l.r, &l.tx));
		ring = 0;
		if (n > 0)
			assert_int_equal(sl_ring_commit(&l.r, &l.tx, SL_DATA, 50, &ring), -EPIPE);
		assert_int_equal(put(&l, sent, 5000, &ring), -EPIPE);
		assert_int_equal(sl_ring_control(&l.r, &l.tx, SL_END, NULL, 0, &ring), -EPIPE);
		assert_int_equal(ring, 0);
		assert_true(sl_ring_want(&l.r, &l.tx, SIZE_MAX)); /* do not sleep */
		for (len = 0; len < sent; len += (size_t)n) {
			n = get(&l, len, SIZE_MAX);
			assert_true(n > 0);
		}
		assert_int_equal(get(&l, 0, 1), -EPIPE);
		assert_int_equal(sl_ring_ack_closed(&l.r, &l.tx), 0);
		assert_int_equal(sl_ring_peek(&l.r, &l.rx, &type, &data, &len), 1);
		assert_int_equal(type, SL_END);
		lone_close(&l);
	}
}

/* The credit word is the peer's: only what lies between the last position and ours is believed. */
static void test_credit_believed(void **state)
{
	static const struct {
		const char *name;
		int64_t delta; /* to the position of the writer */
		bool good;
	} cases[] = {
		{"all consumed", 0, true},
		{"part consumed", -1008, true},
		{"beyond the writer", 8, false},
		{"far beyond", INT64_MAX - 7, false},
		{"not aligned", -1004, false},
		{"backwards, behind the last credit", -(1 << 20), false},
	};
	struct lone_ring l;
	size_t i, before;
	uint64_t pos;
	int ring = 0;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		lone_open(&l, SL_RING_LEN_MIN);
		for (pos = 0; pos < 10000; pos += 1000)
			assert_int_equal(put(&l, pos, 1000, &ring), 1000);
		before = sl_ring_room(&l.r, &l.tx, true);
		atomic_store(&l.r.ctl->credit, l.tx.pos + (uint64_t)cases[i].delta);
		if ((sl_ring_room(&l.r, &l.tx, true) > before) != cases[i].good)
			fail_msg("%s", cases[i].name);
		assert_true(l.tx.pos - l.tx.credit <= l.r.len);
		lone_close(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_footprint),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_reserve_used_up),
		cmocka_unit_test(test_arm),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_window_left),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_credit_believed),
		cmocka_unit_test(test_capacity),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_want_of_another),
		cmocka_unit_test(test_bound_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
