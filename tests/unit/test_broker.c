/* SPDX-License-Identifier: BSD-2-Clause */
/* What honest clients get from the broker. */
#include "test_broker_util.h"

/* The counter follows the message: whoever sees it finds the message. */
static void expect_mailed(const struct client *c, uint32_t count)
{
	int i;

	for (i = 0; i < PATIENT_MS && atomic_load(&c->mail->count) != count; i++)
		(void)usleep(1000);
	assert_int_equal(atomic_load(&c->mail->count), count);
}

static void test_pair(void **state)
{
	int fds[2][SL_MSG_FDS];
	struct client a, b;
	struct sl_seg s[2];
	struct sl_msg got[2];
	struct tcp t;
	unsigned i;

	(void)state;
	hello(&a);
	hello(&b);
	tcp_open(&t);
	pair_up(&a, &b, &t, got, fds);
	assert_int_equal(got[0].id, 10);
	assert_int_equal(got[1].id, 20);
	assert_int_not_equal(got[0].pair, 0);
	assert_int_equal(got[0].pair, got[1].pair);
	for (i = 0; i < 2; i++) {
		assert_int_equal(got[i].side, i);
		assert_int_equal(got[i].arg, SL_RING_LEN_DEF);
		assert_int_equal(sl_seg_attach(&s[i], fds[i][0], i), 0);
		assert_int_equal(lseek(fds[i][1], 0, SEEK_END), SL_SIDE_LEN);
	}
	/* One segment, and two side pages. */
	s[0].shm->side[0].pid = 4711;
	assert_int_equal(s[1].shm->side[0].pid, 4711);
	assert_int_equal(pwrite(fds[0][1], "x", 1, 0), 1);
	assert_int_equal(pread(fds[1][1], &got[0], 1, 0), 1);
	assert_int_equal(*(char *)&got[0], 0);
	/* WELCOME, the REFUSED of synced(), PROVE, PAIRED; and WELCOME, PAIRED */
	expect_mailed(&a, 4);
	expect_mailed(&b, 2);
	for (i = 0; i < 2; i++) {
		sl_seg_detach(&s[i]);
		(void)close(fds[i][0]);
		(void)close(fds[i][1]);
	}
	tcp_close(&t);
	bye(&a);
	bye(&b);
}

static void test_ring_len(void **state)
{
	static const struct {
		uint32_t a, b, want;
	} cases[] = {
		{0, 0, SL_RING_LEN_DEF},
		{65536, 0, 65536},
		{65536, 131072, 131072},
		{1, 0, SL_RING_LEN_MIN},
		{65537, 0, 131072},
		{UINT32_MAX, 1, SL_RING_LEN_MAX},
		{0, SL_RING_LEN_MAX, SL_RING_LEN_MAX},
	};
	struct sl_msg m = {.type = SL_MSG_OFFER};
	struct client a, b;
	struct tcp t;
	size_t i;

	(void)state;
	hello(&a);
	hello(&b);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tcp_open(&t);
		m.id = i + 1;
		m.arg = cases[i].a;
		say(&a, &m, t.fd[0]);
		synced(&a);
		m.arg = cases[i].b;
		say(&b, &m, t.fd[1]);
		expect_prove(&a, i + 1);
		proof(&a, i + 1, t.fd[0]);
		assert_int_equal(expect(&a, SL_MSG_PAIRED, NULL).arg, cases[i].want);
		assert_int_equal(expect(&b, SL_MSG_PAIRED, NULL).arg, cases[i].want);
		tcp_close(&t);
	}
	bye(&a);
	bye(&b);
}

static void test_families(void **state)
{
	struct sl_msg got[2];
	struct client a, b;
	struct tcp t;

	(void)state;
	hello(&a);
	hello(&b);
	tcp_open_at(&t, AF_INET, AF_INET6, 0); /* one end v4, the other v4-mapped */
	pair_up(&a, &b, &t, got, NULL);
	tcp_close(&t);
	tcp_open_at(&t, AF_INET6, AF_INET6, 0);
	pair_up(&a, &b, &t, got, NULL);
	tcp_close(&t);
	bye(&a);
	bye(&b);
}

static void test_self_connected(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(sa);
	struct client a;

	(void)state;
	hello(&a);
	assert_int_equal(bind(fd, (void *)&sa, len), 0);
	assert_int_equal(getsockname(fd, (void *)&sa, &len), 0);
	assert_int_equal(connect(fd, (void *)&sa, len), 0);
	offer(&a, 1, fd);
	expect_refused(&a, 1, SL_WHY_SELF);
	(void)close(fd);
	bye(&a);
}

static void test_not_for_us(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct client a;
	int fd, p[2];
	struct tcp t;

	(void)state;
	hello(&a);
	assert_int_equal(pipe(p), 0);
	offer(&a, 1, p[0]);
	expect_refused(&a, 1, SL_WHY_NOT_TCP);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	offer(&a, 2, fd);
	expect_refused(&a, 2, SL_WHY_NOT_TCP);
	(void)close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (void *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	offer(&a, 3, fd);
	expect_refused(&a, 3, SL_WHY_NOT_TCP);
	(void)close(fd);
	tcp_open(&t);
	assert_int_equal(shutdown(t.fd[0], SHUT_WR), 0);
	offer(&a, 4, t.fd[0]);
	expect_refused(&a, 4, SL_WHY_HALF_CLOSED);
	tcp_close(&t);
	(void)close(p[0]);
	(void)close(p[1]);
	bye(&a);
}

static void test_withdraw(void **state)
{
	struct client a, b;
	struct tcp t;

	(void)state;
	hello(&a);
	hello(&b);
	tcp_open(&t);
	offer(&a, 1, t.fd[0]);
	withdraw(&a, 1);
	withdraw(&a, 99); /* unknown: was answered meanwhile */
	synced(&a);
	offer(&b, 1, t.fd[1]);
	synced(&b);
	offer(&a, 1, t.fd[0]); /* the number is free again */
	expect_prove(&b, 1);
	withdraw(&a, 1); /* between PROVE and PROOF */
	synced(&a);
	proof(&b, 1, t.fd[1]);
	synced(&b); /* the other waits on */
	offer(&a, 2, t.fd[0]);
	expect_prove(&b, 1);
	proof(&b, 1, t.fd[1]);
	assert_int_equal(expect(&b, SL_MSG_PAIRED, NULL).side, 0);
	assert_int_equal(expect(&a, SL_MSG_PAIRED, NULL).side, 1);
	tcp_close(&t);
	bye(&a);
	bye(&b);
}

static void test_dies_before_proof(void **state)
{
	struct client a, b, c;
	struct tcp t;

	(void)state;
	hello(&a);
	hello(&b);
	hello(&c);
	tcp_open(&t);
	offer(&a, 1, t.fd[0]);
	synced(&a);
	offer(&b, 2, t.fd[1]);
	expect_prove(&a, 1);
	bye(&a);
	synced(&b);
	offer(&c, 3, t.fd[0]); /* another holder of the same socket */
	expect_prove(&b, 2);
	proof(&b, 2, t.fd[1]);
	assert_int_equal(expect(&b, SL_MSG_PAIRED, NULL).id, 2);
	assert_int_equal(expect(&c, SL_MSG_PAIRED, NULL).id, 3);
	tcp_close(&t);
	bye(&b);
	bye(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pair),
		cmocka_unit_test(test_ring_len),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_self_connected),
		cmocka_unit_test(test_not_for_us),
		cmocka_unit_test(test_withdraw),
		cmocka_unit_test(test_dies_before_proof),
	};

	return cmocka_run_group_tests_name("broker", tests, start_default, stop);
}
