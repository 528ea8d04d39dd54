/* SPDX-License-Identifier: BSD-2-Clause */
/* Several holders of one socket, by fork and exec, and several pairs of one connection. */
#include "test_broker_util.h"

/* A process that is connected to itself by way of two sockets. */
static void test_one_client(void **state)
{
	struct sl_msg got[2];
	struct client a;
	struct tcp t;

	(void)state;
	hello(&a);
	tcp_open(&t);
	pair_up(&a, &a, &t, got, NULL);
	assert_int_equal(got[1].id, 20);
	gone(&a, &got[0]);
	reattach(&a, 30, t.fd[0]); /* the other end still lives */
	assert_int_equal(expect(&a, SL_MSG_PAIRED, NULL).side, 0);
	gone(&a, &got[0]);
	gone(&a, &got[1]);
	reattach(&a, 31, t.fd[0]);
	expect_refused(&a, 31, SL_WHY_EXECED);
	tcp_close(&t);
	bye(&a);
}

/* After fork the child offers what its parent has offered. */
static void test_newer_holder(void **state)
{
	struct client parent, child, b;
	struct tcp t;

	(void)state;
	hello(&parent);
	hello(&child);
	hello(&b);
	tcp_open(&t);
	offer(&parent, 1, t.fd[0]);
	synced(&parent);
	offer(&child, 2, t.fd[0]);
	expect_refused(&parent, 1, SL_WHY_SHARED);
	synced(&child);
	offer(&child, 3, t.fd[0]);
	expect_refused(&child, 2, SL_WHY_SHARED);
	offer(&b, 4, t.fd[1]);
	expect_prove(&child, 3);
	proof(&child, 3, t.fd[0]);
	assert_int_equal(expect(&child, SL_MSG_PAIRED, NULL).id, 3);
	assert_int_equal(expect(&b, SL_MSG_PAIRED, NULL).id, 4);
	synced(&parent);
	tcp_close(&t);
	bye(&parent);
	bye(&child);
	bye(&b);
}

/* Paired as 10 and 20; fds[] stay open. */
static void attach(struct sl_seg *seg, int fd, unsigned side)
{
	assert_int_equal(sl_seg_attach(seg, fd, side), 0);
	assert_true(sl_seg_claim(seg));
}

static void close_all(int fds[][SL_MSG_FDS], unsigned n)
{
	for (unsigned i = 0; i < n * SL_MSG_FDS; i++)
		(void)close(fds[i / SL_MSG_FDS][i % SL_MSG_FDS]);
}

/* After fork the child offers what its parent has got, and not attached: the pair is the child's. */
static void test_child_of_a_pair(void **state)
{
	int fds[3][SL_MSG_FDS];
	struct client parent, child, b;
	struct sl_msg got[2], m;
	struct sl_seg seg[2];
	struct tcp t;

	(void)state;
	hello(&parent);
	hello(&child);
	hello(&b);
	tcp_open(&t);
	pair_up(&parent, &b, &t, got, fds);
	attach(&seg[1], fds[1][0], 1);
	assert_int_equal(pwrite(fds[0][1], "x", 1, 0), 1); /* the parent may write to the page it has */
	offer(&child, 2, t.fd[0]);
	m = expect(&child, SL_MSG_PAIRED, fds[2]);
	assert_int_equal(m.id, 2);
	assert_int_equal(m.pair, got[0].pair);
	assert_int_equal(m.side, 0);
	gone(&parent, &got[0]); /* late */
	synced(&parent);
	synced(&b);		/* noticed nothing */
	assert_int_equal(pread(fds[2][1], &m, 1, 0), 1);
	assert_int_equal(*(char *)&m, 0);
	attach(&seg[0], fds[2][0], 0);
	seg[0].shm->side[0].pid = 4711;
	assert_int_equal(seg[1].shm->side[0].pid, 4711);
	sl_seg_detach(&seg[0]);
	sl_seg_detach(&seg[1]);
	close_all(fds, 3);
	tcp_close(&t);
	bye(&parent);
	bye(&child);
	bye(&b);
}

/* What one holder has attached no other gets by an offer; it waits for the other end to offer anew. */
static void test_attached_end(void **state)
{
	int fds[2][SL_MSG_FDS];
	struct client a, b, thief;
	struct sl_msg got[2];
	struct sl_seg seg, again;
	struct tcp t;

	(void)state;
	hello(&a);
	hello(&b);
	hello(&thief);
	tcp_open(&t);
	pair_up(&a, &b, &t, got, fds);
	attach(&seg, fds[0][0], 0);
	assert_int_equal(sl_seg_attach(&again, fds[0][0], 0), 0);
	assert_false(sl_seg_claim(&again));
	offer(&thief, 3, t.fd[0]);
	synced(&thief);
	synced(&a);
	offer(&b, 4, t.fd[1]); /* its end is to be had */
	assert_int_equal(expect(&b, SL_MSG_PAIRED, NULL).pair, got[0].pair);
	sl_seg_unclaim(&seg);
	offer(&a, 5, t.fd[0]);
	assert_int_equal(expect(&a, SL_MSG_PAIRED, NULL).pair, got[0].pair);
	sl_seg_detach(&seg);
	sl_seg_detach(&again);
	close_all(fds, 2);
	tcp_close(&t);
	bye(&a);
	bye(&b);
	bye(&thief);
}

/* Withdrawn when the pair is made already: it does not count as a holder, and its late GONE takes nothing else. */
static void test_withdrawn_late(void **state)
{
	struct client a, b;
	struct sl_msg got[2];
	struct tcp t;

	(void)state;
	hello(&a);
	hello(&b);
	tcp_open(&t);
	pair_up(&a, &b, &t, got, NULL);
	withdraw(&a, 10);
	withdraw(&a, 10);
	withdraw(&a, 20); /* of another client */
	synced(&a);
	reattach(&b, 5, t.fd[1]);
	assert_int_equal(expect(&b, SL_MSG_PAIRED, NULL).pair, got[0].pair);
	gone(&b, &got[1]); /* the last holder */
	synced(&b);
	reattach(&b, 6, t.fd[1]);
	expect_refused(&b, 6, SL_WHY_EXECED);
	tcp_close(&t);

	tcp_open(&t);
	pair_up(&a, &a, &t, got, NULL);
	withdraw(&a, 10);
	gone(&a, &got[0]);
	reattach(&a, 7, t.fd[1]);
	assert_int_equal(expect(&a, SL_MSG_PAIRED, NULL).pair, got[1].pair);
	tcp_close(&t);
	bye(&a);
	bye(&b);
}

static void test_reattach(void **state)
{
	int fds[2][SL_MSG_FDS], again[SL_MSG_FDS];
	struct client a, b, c;
	struct sl_msg got[2], m;
	struct sl_seg s[2];
	struct tcp t, other;

	(void)state;
	hello(&a);
	hello(&b);
	tcp_open(&t);
	tcp_open(&other);
	pair_up(&a, &b, &t, got, fds);
	bye(&a); /* exec: gone without a word, and back */
	hello(&c);
	assert_int_equal(shutdown(t.fd[1], SHUT_WR), 0); /* in any state of the connection */
	reattach(&c, 7, t.fd[0]);
	m = expect(&c, SL_MSG_PAIRED, again);
	assert_int_equal(m.id, 7);
	assert_int_equal(m.pair, got[0].pair);
	assert_int_equal(m.side, 0);
	assert_int_equal(m.arg, SL_RING_LEN_DEF);
	assert_int_equal(sl_seg_attach(&s[0], again[0], 0), 0);
	assert_int_equal(sl_seg_attach(&s[1], fds[1][0], 1), 0);
	s[0].shm->side[0].pid = 4712;
	assert_int_equal(s[1].shm->side[0].pid, 4712);
	assert_int_equal(pwrite(again[1], "y", 1, 0), 1); /* the same side page */
	assert_int_equal(pread(fds[0][1], &m, 1, 0), 1);
	assert_int_equal(*(char *)&m, 'y');
	reattach(&c, 8, other.fd[0]);
	expect_refused(&c, 8, SL_WHY_EXECED);
	gone(&c, &got[0]);
	gone(&c, &got[0]); /* twice: ignored */
	synced(&c);
	gone(&b, &got[1]);
	synced(&b);
	reattach(&c, 9, t.fd[0]);
	expect_refused(&c, 9, SL_WHY_EXECED);
	sl_seg_detach(&s[0]);
	sl_seg_detach(&s[1]);
	for (unsigned i = 0; i < 2; i++) {
		(void)close(again[i]);
		(void)close(fds[0][i]);
		(void)close(fds[1][i]);
	}
	tcp_close(&t);
	tcp_close(&other);
	bye(&b);
	bye(&c);
}

/* Demoted at both ends and offered again: a new pair. */
static void test_pair_again(void **state)
{
	struct sl_msg first[2], second[2];
	int fds[2][SL_MSG_FDS];
	struct client a, b;
	struct sl_seg seg[2];
	struct tcp t;

	(void)state;
	hello(&a);
	hello(&b);
	tcp_open(&t);
	pair_up(&a, &b, &t, first, fds);
	attach(&seg[0], fds[0][0], 0);
	attach(&seg[1], fds[1][0], 1);
	gone(&a, &first[0]);
	pair_up(&a, &b, &t, second, NULL);
	assert_int_not_equal(first[0].pair, second[0].pair);
	gone(&b, &first[1]); /* late: of the old one */
	synced(&b);
	reattach(&b, 5, t.fd[1]);
	assert_int_equal(expect(&b, SL_MSG_PAIRED, NULL).pair, second[0].pair);
	sl_seg_detach(&seg[0]);
	sl_seg_detach(&seg[1]);
	close_all(fds, 2);
	tcp_close(&t);
	bye(&a);
	bye(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_client),
		cmocka_unit_test(test_newer_holder),
		cmocka_unit_test(test_child_of_a_pair),
		cmocka_unit_test(test_attached_end),
		cmocka_unit_test(test_withdrawn_late),
		cmocka_unit_test(test_reattach),
		cmocka_unit_test(test_pair_again),
	};

	return cmocka_run_group_tests_name("broker, holders", tests, start_default, stop);
}
