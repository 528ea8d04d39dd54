/* SPDX-License-Identifier: BSD-2-Clause */
/* What the broker lets dishonest, broken and greedy clients do to others: nothing. */
#include <fcntl.h>
#include "test_broker_util.h"

static void test_wrong_proof(void **state)
{
	struct client a, b, c;
	struct tcp t, other;

	(void)state;
	hello(&a);
	hello(&b);
	hello(&c);
	tcp_open(&t);
	tcp_open(&other);
	offer(&a, 1, t.fd[0]);
	proof(&a, 1, t.fd[0]); /* nobody has asked: ignored */
	proof(&a, 77, t.fd[0]);
	synced(&a);
	offer(&b, 2, t.fd[1]);
	expect_prove(&a, 1);
	proof(&a, 1, other.fd[0]);
	expect_refused(&a, 1, SL_WHY_FINISHED);
	synced(&b); /* goes on waiting, */
	offer(&c, 3, t.fd[0]);
	expect_prove(&b, 2);   /* for whoever holds the socket */
	proof(&b, 2, t.fd[0]); /* the other end is not its own */
	expect_refused(&b, 2, SL_WHY_FINISHED);
	synced(&c);
	tcp_close(&t);
	tcp_close(&other);
	bye(&a);
	bye(&b);
	bye(&c);
}

static void test_malformed(void **state)
{
	struct sl_msg m = {.type = SL_MSG_WITHDRAW, .id = 1};
	struct client c;
	struct tcp t;

	(void)state;
	tcp_open(&t);
	connect_client(&c); /* not HELLO first */
	say(&c, &m, -1);
	expect_closed(&c);
	hello(&c); /* HELLO twice */
	m = (struct sl_msg){.type = SL_MSG_HELLO, .arg = SL_MSG_VERSION};
	say(&c, &m, -1);
	expect_closed(&c);
	hello(&c); /* short */
	assert_int_equal(send(c.fd, &m, sizeof(m) - 1, 0), sizeof(m) - 1);
	expect_closed(&c);
	hello(&c); /* long */
	assert_int_equal(send(c.fd, (char[100]){0}, 100, 0), 100);
	expect_closed(&c);
	hello(&c); /* unknown */
	m.type = 99;
	say(&c, &m, -1);
	expect_closed(&c);
	hello(&c); /* a broker's message */
	m.type = SL_MSG_PAIRED;
	say(&c, &m, -1);
	expect_closed(&c);
	hello(&c); /* without descriptor */
	offer(&c, 1, -1);
	expect_closed(&c);
	hello(&c); /* number 0 */
	offer(&c, 0, t.fd[0]);
	expect_closed(&c);
	hello(&c); /* a number that is in use */
	offer(&c, 1, t.fd[0]);
	offer(&c, 1, t.fd[1]);
	expect_closed(&c);
	tcp_close(&t);
}

static void test_other_version(void **state)
{
	struct sl_msg m = {.type = SL_MSG_HELLO, .arg = SL_MSG_VERSION + 1};
	int fds[SL_MSG_FDS];
	struct client c;

	(void)state;
	connect_client(&c);
	say(&c, &m, -1);
	m = expect(&c, SL_MSG_WELCOME, fds);
	assert_int_equal(m.arg, SL_MSG_VERSION);
	assert_int_equal(fds[0], -1);
	expect_closed(&c);
}

/* A pipe whose write end is passed: its reader sees when the broker has closed it. */
static void expect_hung_up(int rfd)
{
	struct pollfd p = {.fd = rfd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, PATIENT_MS), 1);
	assert_true(p.revents & POLLHUP);
	(void)close(rfd);
}

static void test_surplus_files(void **state)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(20 * sizeof(int))];
	} ctl = {0};
	struct sl_msg m = {.type = SL_MSG_GONE, .pair = 5};
	struct iovec iov = {.iov_base = &m, .iov_len = sizeof(m)};
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = ctl.buf,
			    .msg_controllen = sizeof(ctl.buf)};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
	int p[2], i, list[20];
	struct client c;

	(void)state;
	hello(&c);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	say(&c, &m, p[1]);
	(void)close(p[1]);
	expect_hung_up(p[0]);

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	for (i = 0; i < 20; i++)
		list[i] = p[1];
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(list));
	memcpy(CMSG_DATA(cm), list, sizeof(list));
	assert_int_equal(sendmsg(c.fd, &mh, 0), sizeof(m));
	(void)close(p[1]);
	expect_hung_up(p[0]);
	synced(&c);
	bye(&c);
}

static struct sockaddr_in listen_at(int *lfd)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(sa);

	*lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*lfd, (void *)&sa, len), 0);
	assert_int_equal(listen(*lfd, 4), 0);
	assert_int_equal(getsockname(*lfd, (void *)&sa, &len), 0);
	return sa;
}

/* Connect from a port, so that the same 4-tuple can be used again. */
static void connect_from(struct tcp *t, int lfd, const struct sockaddr_in *to,
			 struct sockaddr_in *from)
{
	const struct linger reset = {.l_onoff = 1};
	socklen_t len = sizeof(*from);
	int one = 1;

	t->fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(t->fd[0], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)setsockopt(t->fd[0], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	assert_int_equal(bind(t->fd[0], (void *)from, len), 0);
	assert_int_equal(getsockname(t->fd[0], (void *)from, &len), 0);
	assert_int_equal(connect(t->fd[0], (const void *)to, sizeof(*to)), 0);
	t->fd[1] = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(t->fd[1] >= 0);
}

/* Offers that outlive their sockets do not hold the addresses, asked for proof or not. */
static void test_squatting(void **state)
{
	struct sockaddr_in to, from = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct client bad, a, b;
	struct tcp t;
	int lfd, round;

	(void)state;
	to = listen_at(&lfd);
	hello(&bad);
	for (round = 0; round < 2; round++) {
		connect_from(&t, lfd, &to, &from);
		offer(&bad, 1, t.fd[0]);
		synced(&bad);
		if (round) {
			offer(&bad, 2, t.fd[1]);
			expect_prove(&bad, 1); /* never answered */
		}
		tcp_close(&t);
		connect_from(&t, lfd, &to, &from);
		hello(&a);
		hello(&b);
		offer(&b, 20, t.fd[1]);
		synced(&b);
		if (!round)
			expect_prove(&bad, 1);
		offer(&a, 10, t.fd[0]);
		expect_prove(&b, 20);
		proof(&b, 20, t.fd[1]);
		assert_int_equal(expect(&b, SL_MSG_PAIRED, NULL).id, 20);
		assert_int_equal(expect(&a, SL_MSG_PAIRED, NULL).id, 10);
		if (round)
			expect_refused(&bad, 2, SL_WHY_FINISHED);
		expect_refused(&bad, 1, SL_WHY_FINISHED);
		tcp_close(&t);
		bye(&a);
		bye(&b);
	}
	(void)close(lfd);
	bye(&bad);
}

/* The holder of one end offers it again and again: the other is asked once. */
static void test_asked_once(void **state)
{
	struct client victim, bad;
	struct tcp t;
	uint64_t i;

	(void)state;
	hello(&victim);
	hello(&bad);
	tcp_open(&t);
	offer(&victim, 1, t.fd[0]);
	synced(&victim);
	for (i = 1; i <= 100; i++) {
		offer(&bad, i, t.fd[1]);
		if (i > 1)
			expect_refused(&bad, i - 1, SL_WHY_SHARED);
	}
	synced(&bad);
	expect_prove(&victim, 1);
	synced(&victim);
	proof(&victim, 1, t.fd[0]);
	assert_int_equal(expect(&victim, SL_MSG_PAIRED, NULL).id, 1);
	assert_int_equal(expect(&bad, SL_MSG_PAIRED, NULL).id, 100);
	tcp_close(&t);
	bye(&victim);
	bye(&bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_proof),   cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_other_version), cmocka_unit_test(test_surplus_files),
		cmocka_unit_test(test_squatting),     cmocka_unit_test(test_asked_once),
	};

	return cmocka_run_group_tests_name("broker, hostile", tests, start_default, stop);
}
