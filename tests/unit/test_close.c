/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers of one socket are closed by several threads, or while other threads are in calls on it. Where it can be, the
 * other thread's step is made by hand, at the moment that hurts.
 */
#include <fcntl.h>
#include <poll.h>
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

static void start(pthread_t *t, void *(*fn)(void *), void *arg)
{
	assert_int_equal(pthread_create(t, NULL, fn, arg), 0);
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
	sl_sock_put(p.s[0]); /* no call is under way */
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
	assert_int_equal(p.s[0]->refs, SL_SOCK_FREE);
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
		sl_sock_put(p.s[0]);
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
		assert_int_equal(p.s[0]->refs, SL_SOCK_FREE);
		sl_sock_put(p.s[1]);
		close_number(p.fd[1]);
	}
	print_message("%u rounds\n", rounds);
	(void)pthread_barrier_destroy(&start);
	(void)alarm(0);
}

/* --- the last reference --- */

static _Atomic bool enough;

static void *looks_up(void *arg)
{
	const int *fd = arg;
	struct sl_sock *s;

	while (!atomic_load(&enough))
		if ((s = sl_sock_get(*fd)))
			sl_sock_put(s);
	return NULL;
}

/* Looked up just when it goes: it is given back to the pool once. */
static void test_free_once(void **state)
{
	uint64_t end = until_ns(2000);
	struct sl_sock *s[64];
	unsigned i, k, rounds = 0;
	pthread_t t;
	int fd[2];

	(void)state;
	(void)alarm(LIMIT_S);
	tcp_pair(fd, 0, 0);
	start(&t, looks_up, &fd[0]);
	for (; sl_now_ns() < end; rounds++) {
		sl_sock_track(fd[0], false);
		(void)sl_sock_close(fd[0]);
	}
	atomic_store(&enough, true);
	assert_int_equal(pthread_join(t, NULL), 0);
	for (i = 0; i < 64; i++) {
		s[i] = sl_sock_new(fd[0], false);
		assert_non_null(s[i]);
		for (k = 0; k < i; k++)
			assert_ptr_not_equal(s[k], s[i]);
	}
	for (i = 0; i < 64; i++)
		sl_sock_put(s[i]);
	print_message("%u rounds\n", rounds);
	(void)close(fd[0]);
	(void)close(fd[1]);
	(void)alarm(0);
}

/* --- in the middle of others' calls --- */

static const struct timespec patient = {.tv_sec = 2};
static int third[2]; /* a connection that gets the number */

/* The number is closed, and given to a connection on which "others'" is unread; or an end. */
static void take_number(int fd, bool ended)
{
	tcp_pair(third, 0, 0);
	if (ended)
		assert_int_equal(shutdown(third[1], SHUT_WR), 0);
	else
		assert_int_equal(send(third[1], "others'", 7, 0), 7);
	close_number(fd);
	assert_int_equal(dup2(third[0], fd), fd);
}

/* Nobody has touched it. */
static void third_is_whole(int fd)
{
	char got[20];

	assert_int_equal(recv(third[0], got, sizeof(got), MSG_DONTWAIT), 7);
	assert_int_equal(send(third[0], "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(third[1], got, sizeof(got), 0), 1);
	assert_int_equal(recv(third[1], got, sizeof(got), MSG_DONTWAIT), -1);
	(void)close(third[0]);
	(void)close(third[1]);
	(void)close(fd);
}

static void memory_lane(struct sock_pair *p)
{
	unsigned i;

	sock_open_promoted(p, SL_RING_LEN_MIN);
	for (i = 0; i < 2; i++) {
		assert_int_equal(sock_send(p, i, "ours", 4, 0), 4);
		assert_int_equal(sock_recv(p, 1 - i, buf, 4, 0), 4);
	}
}

struct call {
	struct sock_pair *p;
	size_t len;
	int flags;
	ssize_t n;
	char got[100];
};

static void *receives(void *arg)
{
	struct call *c = arg;

	c->n = sock_recv(c->p, 0, c->got, c->len, c->flags);
	return NULL;
}

static void asleep(struct sl_sock *s)
{
	while (!((volatile struct sl_side_shm *)s->side)->rx.sleepers)
		(void)usleep(100);
	(void)usleep(10000); /* and in the kernel, which nothing tells */
}

/* The last number of side 0 goes, if there is one yet: the peer is told the end. */
static void ends_now(struct sock_pair *p, int copy)
{
	if (copy >= 0)
		close_number(copy);
	assert_int_equal(sock_recv(p, 1, buf, 10, 0), 0);
	sl_sock_put(p->s[1]);
	close_number(p->fd[1]);
	(void)alarm(0);
}

/*
 * A recv() that sleeps when its number is closed goes on, on whichever lane, by another number, or one that is kept for
 * it; and leaves the connection alone that gets its number.
 */
static void closed_in_recv(bool copied)
{
	struct call c = {.len = 12, .flags = MSG_WAITALL};
	struct sock_pair p;
	int how, copy;
	pthread_t t;

	(void)alarm(LIMIT_S);
	memory_lane(&p);
	copy = copied ? dup_number(p.fd[0]) : -1;
	c.p = &p;
	start(&t, receives, &c);
	asleep(p.s[0]);
	take_number(p.fd[0], false);
	assert_int_equal(sock_send(&p, 1, "abcd", 4, 0), 4);
	asleep(p.s[0]);
	assert_int_equal(sock_send(&p, 1, "efgh", 4, 0), 4);
	asleep(p.s[0]);
	how = sl_both_take(p.s[1]);
	assert_int_equal(sl_leave_locked(p.s[1], p.fd[1], SL_WHY_DEMOTED), 0);
	sl_both_release(p.s[1], how);
	assert_int_equal(sock_send(&p, 1, "ijkl", 4, 0), 4);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(c.n, 12);
	assert_memory_equal(c.got, "abcdefghijkl", 12);
	third_is_whole(p.fd[0]);
	assert_int_equal(sock_recv(&p, 1, buf, 10, MSG_DONTWAIT), -EAGAIN); /* not closed yet */
	sl_sock_put(p.s[0]); /* that of the call */
	ends_now(&p, copy);
}

static void test_closed_in_recv(void **state)
{
	(void)state;
	closed_in_recv(true);
	closed_in_recv(false);
}

static void *polls(void *arg)
{
	struct call *c = arg;
	struct pollfd f = {.fd = c->p->fd[0], .events = POLLIN};

	c->n = sl_ready_poll(&f, 1, &patient, NULL);
	c->flags = f.revents;
	return NULL;
}

/* The same for poll(). */
static void test_closed_in_poll(void **state)
{
	struct call c = {0};
	struct sock_pair p;
	pthread_t t;
	int copy;

	(void)state;
	(void)alarm(LIMIT_S);
	memory_lane(&p);
	copy = dup_number(p.fd[0]);
	c.p = &p;
	start(&t, polls, &c);
	asleep(p.s[0]);
	take_number(p.fd[0], false);
	sl_sock_ring(p.s[1], p.fd[1]); /* for nothing */
	(void)usleep(10000);
	assert_int_equal(pthread_tryjoin_np(t, NULL), EBUSY);
	assert_int_equal(sock_send(&p, 1, "abcd", 4, 0), 4);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.flags, POLLIN);
	third_is_whole(p.fd[0]);
	sl_sock_put(p.s[0]);
	close_number(copy);
	sl_sock_put(p.s[1]);
	close_number(p.fd[1]);
	(void)alarm(0);
}

/* A bell of the peer's lies in the kernel's queue, and nothing in the ring. */
static void leave_bell(struct sock_pair *p)
{
	sl_sock_ring(p->s[1], p->fd[1]);
	assert_true(readable(p->fd[0]));
}

/* Awake in a call when the number is closed: what it looks at next is not what has the number now. */
static void closed_awake(bool copied)
{
	struct call c = {.len = 10};
	struct sock_pair p;
	int copy = -1;
	pthread_t t;

	(void)alarm(LIMIT_S);
	memory_lane(&p);
	leave_bell(&p);
	if (copied)
		copy = dup_number(p.fd[0]);
	take_number(p.fd[0], true);
	c.p = &p;
	start(&t, receives, &c); /* as if it had begun before */
	(void)usleep(20000);
	assert_int_equal(sock_send(&p, 1, "abcd", 4, 0), 4);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(c.n, 4);
	assert_false(p.s[0]->side->kfin);
	assert_int_equal(sock_recv(&p, 1, buf, 10, MSG_DONTWAIT), -EAGAIN); /* not closed yet */
	(void)close(third[0]);
	(void)close(third[1]);
	(void)close(p.fd[0]);
	sl_sock_put(p.s[0]);
	ends_now(&p, copy);
}

static void test_closed_awake(void **state)
{
	(void)state;
	closed_awake(true);
	closed_awake(false);
}

/* And a send finds that the peer wrote nonsense: that connection is reset, and no other. */
static void nonsense_in_send(bool copied)
{
	struct sock_pair p;
	int copy = -1;

	(void)alarm(LIMIT_S);
	memory_lane(&p);
	if (copied)
		copy = dup_number(p.fd[0]);
	take_number(p.fd[0], false);
	atomic_store(&sl_ring_word(&p.s[0]->link.out, p.s[0]->side->tx.ring.pos)->word, 0xdead0003u);
	assert_int_equal(sock_send(&p, 0, buf, 10, MSG_NOSIGNAL), -ECONNRESET);
	third_is_whole(p.fd[0]);
	assert_int_equal(sock_recv(&p, 1, buf, 10, 0), -ECONNRESET);
	sl_sock_put(p.s[0]);
	if (copied)
		close_number(copy);
	sl_sock_put(p.s[1]);
	close_number(p.fd[1]);
	(void)alarm(0);
}

static void test_nonsense_in_send(void **state)
{
	(void)state;
	nonsense_in_send(true);
	nonsense_in_send(false);
}

/* --- registered by a number that is closed --- */

struct waiter {
	struct instance *in;
	uint32_t events;
};

static void *waits(void *arg)
{
	struct waiter *w = arg;
	struct epoll_event ev = {0};

	must(sl_ready_epoll_wait(w->in->ep, &ev, 1, &patient, NULL) >= 0);
	w->events = ev.events;
	return NULL;
}

static void two_asleep(struct sl_ep *ep)
{
	while (atomic_load(&ep->sleepers) < 2)
		(void)usleep(100);
	(void)usleep(10000);
}

/* One message, which nobody takes: both threads that sleep in the instance are told, as it is level-triggered. */
static void registered(bool bells)
{
	struct waiter w[2];
	struct instance in;
	pthread_t t[2];
	uint64_t soon;
	int copy, i;

	(void)alarm(LIMIT_S);
	sl_env.bells = bells;
	memory_lane(&in.p);
	instance_open(&in, EPOLLIN);
	copy = dup_number(in.p.fd[1]);
	close_number(in.p.fd[1]);
	for (i = 0; i < 2; i++) {
		w[i] = (struct waiter){.in = &in};
		start(&t[i], waits, &w[i]);
	}
	two_asleep(sl_ep_of(in.ep));
	soon = until_ns(1000); /* they find it when they give up */
	assert_int_equal(sock_send(&in.p, 0, "abcd", 4, 0), 4);
	for (i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(w[i].events, EPOLLIN);
	}
	assert_true(sl_now_ns() < soon);
	sl_sock_put(in.p.s[0]);
	sl_sock_put(in.p.s[1]);
	close_number(copy);
	close_number(in.p.fd[0]);
	sl_ready_close(in.ep);
	(void)close(in.ep);
	sl_env.bells = false;
	(void)alarm(0);
}

/* Nobody can change such a registration, as there is no number for it: the other thread has to be woken all the same. */
static void test_registered(void **state)
{
	(void)state;
	registered(false);
	registered(true);
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
		cmocka_unit_test(test_free_once),
		cmocka_unit_test(test_closed_in_recv),
		cmocka_unit_test(test_closed_in_poll),
		cmocka_unit_test(test_closed_awake),
		cmocka_unit_test(test_nonsense_in_send),
		cmocka_unit_test(test_registered),
		cmocka_unit_test(test_fork_while_closing),
	};

	sock_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
