/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections that have made a few calls only, and what becomes of what was counted when they grow
 * up. */
#include <fcntl.h>
#include "test_sock_util.h"

static struct sock_pair p;

static int open_young(void **state)
{
	(void)state;
	sl_env.promote_calls = 4;
	sl_env.promote_bytes = 1000;
	tcp_pair(p.fd, 0, 0);
	sl_sock_track(p.fd[0], false);
	sl_sock_track(p.fd[1], true);
	assert_true(sl_young_is(p.fd[0]) && sl_young_is(p.fd[1]));
	return 0;
}

static int close_young(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		assert_int_equal(sl_sock_close(p.fd[i]), 0);
		sl_ready_close(p.fd[i]);
		assert_int_equal(sl_fdtab_load(p.fd[i]), 0);
		assert_int_equal(sl_youngs[p.fd[i]].used, 0);
		(void)close(p.fd[i]);
	}
	return 0;
}

static struct sl_sock *grown(int fd)
{
	struct sl_sock *s = sl_sock_get(fd);

	must(s != NULL);
	return s;
}

static void send_young(int fd, size_t len)
{
	static char zeroes[2000];

	assert_false(sl_young_out(fd, SL_SEND_LONG)); /* worth more than to be counted */
	assert_true(sl_young_out(fd, 1));
	assert_int_equal(sl_young_out_done(fd, send(fd, zeroes, len, 0), len), len);
}

static void test_counts(void **state)
{
	struct sl_stat_young_shm *y = &sl_youngs[p.fd[0]];
	struct sl_sock *s;
	char buf[100];

	(void)state;
	send_young(p.fd[0], 10);
	must(send(p.fd[1], "abc", 3, 0) == 3);
	assert_true(sl_young_in(p.fd[0]));
	assert_int_equal(sl_young_in_done(p.fd[0], recv(p.fd[0], buf, sizeof(buf), 0), sizeof(buf)),
			 3);
	assert_int_equal(y->tx_bytes, 10);
	assert_int_equal(y->rx_messages, 1);

	s = grown(p.fd[0]);
	assert_false(sl_young_is(p.fd[0]));
	assert_int_equal(y->used, 0);
	assert_ptr_equal(grown(p.fd[0]), s);
	sl_sock_put(s);
	assert_int_equal(s->calls, 2);
	assert_int_equal(s->bytes, 13);
	assert_int_equal(s->side->tx.ksent, 10);
	assert_int_equal(s->side->rx.krcvd, 3);
	assert_int_equal(s->stat->tx.bytes_tcp, 10);
	assert_int_equal(s->stat->rx.messages, 1);
	assert_int_equal(s->rx_inflight + s->tx_inflight, 0);
	assert_false(s->connecting || s->side->kfin || s->native_full);
	sl_sock_put(s);

	s = grown(p.fd[1]);
	assert_true(s->connecting);
	sl_sock_put(s);
}

static void test_ends(void **state)
{
	struct sl_sock *s;
	char c;

	(void)state;
	must(shutdown(p.fd[1], SHUT_WR) == 0);
	assert_true(sl_young_in(p.fd[0]));
	assert_int_equal(sl_young_in_done(p.fd[0], recv(p.fd[0], &c, 1, 0), 1), 0);
	assert_true(sl_young_out(p.fd[0], 1));
	errno = EAGAIN;
	assert_int_equal(sl_young_out_done(p.fd[0], -1, 1), -1);
	s = grown(p.fd[0]);
	assert_true(s->side->kfin && s->native_full);
	sl_sock_put(s);
}

/* The fourth call is to offer it, or the one behind enough bytes. */
static void test_how_long(void **state)
{
	(void)state;
	send_young(p.fd[0], 1);
	send_young(p.fd[0], 1);
	send_young(p.fd[0], 1);
	assert_false(sl_young_out(p.fd[0], 1) || sl_young_in(p.fd[0]));
	send_young(p.fd[1], 1000);
	assert_false(sl_young_out(p.fd[1], 1) || sl_young_in(p.fd[1]));
}

/* A handler has used the connection while a call was under way: that is still counted, and seen to
 * be under way. */
static void test_interrupted(void **state)
{
	struct sl_sock *s;

	(void)state;
	assert_true(sl_young_in(p.fd[0]));
	s = grown(p.fd[0]);
	assert_int_equal(s->rx_inflight, 1);
	errno = EINTR;
	assert_int_equal(sl_young_in_done(p.fd[0], 7, 8), 7);
	assert_int_equal(errno, EINTR);
	assert_int_equal(s->rx_inflight, 0);
	assert_int_equal(s->side->rx.krcvd, 7);
	sl_sock_put(s);
}

/* Or has closed it, and the number is another connection's by now. */
static void test_closed_meanwhile(void **state)
{
	struct sl_sock *s;

	(void)state;
	assert_true(sl_young_in(p.fd[0]));
	assert_int_equal(sl_sock_close(p.fd[0]), 0);
	sl_sock_track(p.fd[0], false);
	assert_int_equal(sl_young_in_done(p.fd[0], 7, 8), 7);
	s = grown(p.fd[0]);
	assert_int_equal(s->side->rx.krcvd, 0);
	assert_int_equal(s->rx_inflight, 0);
	sl_sock_put(s);
}

static int add(int ep, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};

	return sl_ready_epoll_ctl(ep, op, fd, &ev);
}

static int instance(void)
{
	int ep = epoll_create1(0);

	must(ep >= 0);
	sl_ready_epoll_created(ep);
	return ep;
}

static void drop(int ep)
{
	sl_ready_close(ep);
	(void)close(ep);
}

/* Promote both ends: what is told then comes from the ring, with what the program had registered.
 */
static void assert_reported(int ep, uint64_t data)
{
	struct timespec now = {0}, soon = {.tv_sec = 5};
	struct epoll_event ev[2];
	struct iovec iov = {(char[]){"hello"}, 5};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	unsigned i;

	for (i = 0; i < 2; i++)
		p.s[i] = grown(p.fd[i]);
	sock_offer_answered(&p, 64 << 10);
	for (i = 0; i < 2; i++)
		sl_attach_try(p.s[i], p.fd[i]);
	assert_true(sl_sock_attached(p.s[0]) && sl_sock_attached(p.s[1]));
	assert_int_equal(sl_ready_epoll_wait(ep, ev, 2, &now, NULL), 0);
	assert_int_equal(sl_sock_send(p.s[1], p.fd[1], &m, 0), 5);
	assert_int_equal(p.s[1]->stat->tx.bytes_memory, 5);
	assert_int_equal(sl_ready_epoll_wait(ep, ev, 2, &soon, NULL), data ? 1 : 0);
	if (data) {
		assert_int_equal(ev[0].events, EPOLLIN);
		assert_int_equal(ev[0].data.u64, data);
	}
	for (i = 0; i < 2; i++)
		sl_sock_put(p.s[i]);
}

static void test_registered(void **state)
{
	int ep = instance();

	(void)state;
	assert_int_equal(add(ep, EPOLL_CTL_ADD, p.fd[0], EPOLLIN | EPOLLRDHUP, 41), 0);
	assert_true(sl_ready_epoll_quiet(ep));
	assert_true(sl_young_is(p.fd[0]));
	assert_int_equal(add(ep, EPOLL_CTL_MOD, p.fd[0], EPOLLIN, 42), 0);
	assert_true(sl_young_is(p.fd[0]));
	assert_reported(ep, 42);
	assert_false(sl_ready_epoll_quiet(ep));
	drop(ep);
}

/* What the kernel refuses leaves all as it was. */
static void test_refused(void **state)
{
	int ep = instance();

	(void)state;
	assert_int_equal(add(ep, EPOLL_CTL_MOD, p.fd[0], EPOLLIN, 41), -ENOENT);
	assert_int_equal(add(ep, EPOLL_CTL_ADD, p.fd[0], EPOLLIN, 41), 0);
	assert_int_equal(add(ep, EPOLL_CTL_ADD, p.fd[0], EPOLLIN, 43), -EEXIST);
	assert_int_equal(add(ep, EPOLL_CTL_ADD, p.fd[1], EPOLLIN, 44), 0);
	assert_int_equal(add(ep, EPOLL_CTL_ADD, p.fd[1], EPOLLIN, 45), -EEXIST);
	assert_reported(ep, 41);
	drop(ep);
}

static void test_deleted(void **state)
{
	int ep = instance();

	(void)state;
	assert_int_equal(add(ep, EPOLL_CTL_ADD, p.fd[0], EPOLLIN, 41), 0);
	assert_int_equal(add(ep, EPOLL_CTL_DEL, p.fd[0], 0, 0), 0);
	assert_int_equal(add(ep, EPOLL_CTL_DEL, p.fd[0], 0, 0), -ENOENT);
	assert_int_equal(add(ep, EPOLL_CTL_ADD, p.fd[0], EPOLLIN, 42), 0);
	assert_reported(ep, 42);
	drop(ep);
}

/* There is room for one registration: with the second it grows up, and both are known. */
static void test_two_instances(void **state)
{
	int ep = instance(), other = instance();

	(void)state;
	assert_int_equal(add(ep, EPOLL_CTL_ADD, p.fd[0], EPOLLIN, 41), 0);
	assert_int_equal(add(other, EPOLL_CTL_ADD, p.fd[0], EPOLLOUT, 42), 0);
	assert_false(sl_young_is(p.fd[0]));
	assert_reported(ep, 41);
	drop(ep);
	drop(other);
}

/* Registered before it was connected: the registration was remembered as any file's. */
static void test_registered_before(void **state)
{
	int ep = instance();

	(void)state;
	sl_sock_untrack(p.fd[0]);
	assert_int_equal(add(ep, EPOLL_CTL_ADD, p.fd[0], EPOLLIN, 41), 0);
	sl_sock_track(p.fd[0], true);
	assert_int_equal(add(ep, EPOLL_CTL_MOD, p.fd[0], EPOLLIN, 42), 0);
	assert_reported(ep, 42);
	drop(ep);
}

static void test_instance_closed(void **state)
{
	int ep = instance(), other;

	(void)state;
	assert_int_equal(add(ep, EPOLL_CTL_ADD, p.fd[0], EPOLLIN, 41), 0);
	drop(ep);
	other = instance(); /* the same number, and the same memory */
	sl_sock_put(grown(p.fd[0]));
	assert_int_equal(add(other, EPOLL_CTL_ADD, p.fd[0], EPOLLIN, 42), 0);
	assert_reported(other, 42);
	drop(other);
}

/* What has to be seen as it fires is no young one's. */
static void test_one_shot(void **state)
{
	int ep = instance();

	(void)state;
	assert_int_equal(add(ep, EPOLL_CTL_ADD, p.fd[0], EPOLLIN | EPOLLONESHOT, 41), 0);
	assert_false(sl_young_is(p.fd[0]));
	assert_false(sl_ready_epoll_quiet(ep));
	drop(ep);
}

/* Another number, fork: for both there has to be a struct sl_sock. */
static void test_grows_up(void **state)
{
	int copy = fcntl(p.fd[0], F_DUPFD_CLOEXEC, 0);

	(void)state;
	must(copy >= 0);
	sl_sock_dup(p.fd[0], copy);
	assert_false(sl_young_is(p.fd[0]) || sl_young_is(copy));
	assert_int_equal(sl_fdtab_load(p.fd[0]), sl_fdtab_load(copy));
	assert_int_equal(sl_sock_close(copy), 0);
	(void)close(copy);
	assert_true(sl_young_is(p.fd[1]));
	sl_sock_fork_prepare();
	assert_false(sl_young_is(p.fd[1]));
	sl_sock_fork_parent(true);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_young, close_young)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_counts),	     CASE(test_ends),
		CASE(test_how_long),	     CASE(test_interrupted),
		CASE(test_closed_meanwhile), CASE(test_registered),
		CASE(test_deleted),	     CASE(test_refused),
		CASE(test_two_instances),    CASE(test_registered_before),
		CASE(test_instance_closed),  CASE(test_one_shot),
		CASE(test_grows_up),
	};

	sock_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
