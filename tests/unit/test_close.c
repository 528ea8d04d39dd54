/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers of one socket are closed by several threads, or while other threads are in calls on it. Where it can be, the
 * other thread's step is made by hand, at the moment that hurts.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include "items.h"
#include "sys.h"
#include "test_sock_util.h"

#define LIMIT_S 20 /* who hangs is killed by SIGALRM */

static char buf[1 << 16];

/* As the program's close(). */
static void close_number(int fd)
{
	must(sl_sock_close(fd) == 0);
	sl_ready_close(fd);
	must(close(fd) == 0);
}

static int dup_number(int fd)
{
	int copy = dup(fd);

	assert_true(copy >= 0);
	sl_sock_dup(fd, copy);
	return copy;
}

/* --- the last two, at the same moment --- */

static void (*real_closed)(struct sl_sock *s, int fd);
static int other = -1;

/* The number of this thread is on its way out, and another thread closes the other one. */
static void closed_meanwhile(struct sl_sock *s, int fd)
{
	int copy = other;

	other = -1;
	if (copy >= 0)
		close_number(copy);
	real_closed(s, fd);
}

/* @unread: bytes of the peer's that are: TCP sends RST for them */
static void both_at_once(bool unread)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct sock_pair p;
	int ep;

	(void)alarm(LIMIT_S);
	sock_open_promoted(&p, SL_RING_LEN_MIN);
	ep = epoll_create1(EPOLL_CLOEXEC);
	sl_ready_epoll_created(ep);
	assert_int_equal(sock_send(&p, 0, buf, 10, 0), 10);
	assert_int_equal(sock_recv(&p, 1, buf, 10, 0), 10);
	if (unread)
		assert_int_equal(sock_send(&p, 1, buf, 10, 0), 10);
	other = dup_number(p.fd[0]);
	assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_ADD, p.fd[0], &ev), 0);
	assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_ADD, other, &ev), 0);
	real_closed = sl_sock_hooks.closed;
	sl_sock_hooks.closed = closed_meanwhile;
	close_number(p.fd[0]);
	sl_sock_hooks.closed = real_closed;
	assert_int_equal(other, -1);
	assert_false(sl_sock_attached(p.s[0]));
	assert_null(p.s[0]->items);
	assert_int_equal(sock_recv(&p, 1, buf, 10, 0), unread ? -ECONNRESET : 0);
	sl_sock_put(p.s[0]);
	sl_sock_put(p.s[1]);
	close_number(p.fd[1]);
	sl_ready_close(ep);
	(void)close(ep);
	(void)alarm(0);
}

static void test_last_two(void **state)
{
	(void)state;
	both_at_once(false);
	both_at_once(true);
}

struct closer {
	int fd;
	pthread_barrier_t *start;
};

static void *closes(void *arg)
{
	struct closer *c = arg;

	(void)pthread_barrier_wait(c->start);
	close_number(c->fd);
	return NULL;
}

/* As many threads as there are numbers. */
static void test_all_at_once(void **state)
{
	uint64_t end = until_ns(1000);
	pthread_barrier_t start;
	struct closer c[3];
	pthread_t t[3];
	struct sock_pair p;
	unsigned i, rounds = 0;

	(void)state;
	(void)alarm(LIMIT_S);
	(void)pthread_barrier_init(&start, NULL, 3);
	for (; sl_now_ns() < end; rounds++) {
		sock_open_promoted(&p, SL_RING_LEN_MIN);
		assert_int_equal(sock_send(&p, 0, buf, 10, 0), 10);
		for (i = 0; i < 3; i++) {
			c[i].fd = i ? dup_number(p.fd[0]) : p.fd[0];
			c[i].start = &start;
		}
		for (i = 0; i < 3; i++)
			assert_int_equal(pthread_create(&t[i], NULL, closes, &c[i]), 0);
		for (i = 0; i < 3; i++)
			assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_false(sl_sock_attached(p.s[0]));
		assert_int_equal(p.s[0]->fd, -1);
		assert_int_equal(p.s[1]->link.seg.shm->side[0].ended, SL_ENDED_FIN);
		assert_int_equal(sock_recv(&p, 1, buf, 20, 0), 10);
		assert_int_equal(sock_recv(&p, 1, buf, 20, 0), 0);
		sl_sock_put(p.s[0]);
		sl_sock_put(p.s[1]);
		close_number(p.fd[1]);
	}
	print_message("%u rounds\n", rounds);
	(void)pthread_barrier_destroy(&start);
	(void)alarm(0);
}

/* --- fork --- */

/* Another thread is about to close a number when this one forks: nobody does in the child. */
static void test_fork_while_closing(void **state)
{
	struct sock_pair p;
	int status = -1, copy;
	pid_t pid;

	(void)state;
	(void)alarm(LIMIT_S);
	sock_open_promoted(&p, SL_RING_LEN_MIN);
	copy = dup_number(p.fd[0]);
	atomic_fetch_add(&p.s[0]->numbers, SL_NUMBER_CLOSING);
	sl_sock_fork_prepare();
	pid = fork();
	if (pid == 0) {
		sl_sock_fork_child();
		close_number(copy);
		_exit(sl_sock_attached(p.s[0]) ? 0 : 1);
	}
	sl_sock_fork_parent(pid < 0);
	atomic_fetch_sub(&p.s[0]->numbers, SL_NUMBER_CLOSING);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close_number(copy);
	assert_true(sl_sock_attached(p.s[0]));
	sock_close(&p);
	(void)alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_two),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_fork_while_closing),
	};

	sock_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
