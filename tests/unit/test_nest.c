/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instances in instances and in poll sets: promoted sockets in them stay in memory, what is ready inside is seen, and
 * nothing is told where there is nothing.
 */
#include <fcntl.h>
#include <pthread.h>
#include "hidden.h"
#include "items.h"
#include "sys.h"
#include "test_sock_util.h"

#define LIMIT_S 20 /* who hangs is killed by SIGALRM */
#define ET	(uint32_t) EPOLLET

static const struct timespec now = {0}, soon = {.tv_nsec = 20000000}, patient = {.tv_sec = 2};
static char buf[1 << 16];

struct nest {
	struct instance in;
	int out;
};

static int ep_new(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	sl_ready_epoll_created(ep);
	return ep;
}

static void ep_close(int ep)
{
	sl_ready_close(ep);
	(void)close(ep);
}

static struct sl_ep *instance_of(int fd)
{
	struct sl_ep *ep = sl_ep_of(fd);

	must(ep);
	return ep;
}

static int ctl(int ep, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};

	return sl_ready_epoll_ctl(ep, op, fd, &ev);
}

static void nest_open(struct nest *n, uint32_t inside, uint32_t outside)
{
	(void)alarm(LIMIT_S);
	sock_open_promoted(&n->in.p, SL_RING_LEN_MIN);
	instance_open(&n->in, inside);
	n->out = ep_new();
	assert_int_equal(ctl(n->out, EPOLL_CTL_ADD, n->in.ep, outside, 42), 0);
}

static bool in_memory(struct sock_pair *p)
{
	return sl_sock_attached(p->s[0]) && sl_sock_attached(p->s[1]) &&
	       p->s[0]->side->tx.state != SL_TX_DONE && p->s[1]->side->tx.state != SL_TX_DONE;
}

static void nest_close(struct nest *n)
{
	assert_true(in_memory(&n->in.p));
	ep_close(n->out);
	ep_close(n->in.ep);
	sock_close(&n->in.p);
	(void)alarm(0);
}

static bool told(int ep, const struct timespec *t)
{
	struct epoll_event ev[4];
	int n = sl_ready_epoll_wait(ep, ev, 4, t, NULL);

	assert_in_range(n, 0, 1);
	if (n) {
		assert_int_equal(ev[0].data.u64, 42);
		assert_int_equal(ev[0].events, EPOLLIN);
	}
	return n == 1;
}

static bool polled(int ep, const struct timespec *t)
{
	struct pollfd f = {.fd = ep, .events = POLLIN};
	int n = sl_ready_poll(&f, 1, t, NULL);

	assert_in_range(n, 0, 1);
	assert_int_equal(f.revents, n ? POLLIN : 0);
	return n == 1;
}

static void put(struct nest *n, size_t len)
{
	assert_int_equal(sock_send(&n->in.p, 0, buf, len, 0), len);
}

static void take(struct nest *n, size_t len)
{
	assert_int_equal(sock_recv(&n->in.p, 1, buf, len, MSG_WAITALL), len);
}

static void test_level(void **state)
{
	struct nest n;
	int i;

	(void)state;
	nest_open(&n, EPOLLIN, EPOLLIN);
	for (i = 0; i < 5; i++) {
		assert_false(told(n.out, &soon));
		assert_false(polled(n.in.ep, &soon));
		assert_false(polled(n.out, &soon));
		put(&n, 10);
		assert_true(told(n.out, &patient));
		assert_true(told(n.out, &now));
		assert_true(polled(n.in.ep, &now));
		assert_true(polled(n.out, &now));
		/* Taken inside, and not read: it is there still. */
		assert_int_equal(epolled(&n.in, &now), EPOLLIN);
		assert_true(told(n.out, &now));
		take(&n, 4);
		assert_true(told(n.out, &now));
		take(&n, 6);
	}
	nest_close(&n);
}

/* Taken inside while the outer one was not looked at, and not read. */
static void test_taken_inside(void **state)
{
	struct nest n;
	int i;

	(void)state;
	nest_open(&n, EPOLLIN, EPOLLIN);
	for (i = 0; i < 3; i++) {
		assert_false(told(n.out, &soon)); /* armed, and cold */
		put(&n, 10);
		assert_int_equal(epolled(&n.in, &now), EPOLLIN);
		assert_true(told(n.out, &patient));
		take(&n, 10);
		assert_false(polled(n.in.ep, &soon));
		put(&n, 10);
		assert_int_equal(epolled(&n.in, &now), EPOLLIN);
		assert_true(polled(n.in.ep, &patient));
		take(&n, 10);
	}
	nest_close(&n);
}

static void test_edge(void **state)
{
	struct nest n;
	int i;

	(void)state;
	nest_open(&n, EPOLLIN, EPOLLIN | ET);
	for (i = 0; i < 5; i++) {
		assert_false(told(n.out, &soon));
		put(&n, 10);
		assert_true(told(n.out, &patient));
		assert_false(told(n.out, &soon));
		put(&n, 10);
		assert_true(told(n.out, &now));
		assert_int_equal(epolled(&n.in, &now), EPOLLIN);
		assert_false(told(n.out, &now));
		take(&n, 15);
		assert_false(told(n.out, &soon));
		take(&n, 5);
	}
	nest_close(&n);

	nest_open(&n, EPOLLIN | ET, EPOLLIN);
	for (i = 0; i < 5; i++) {
		assert_false(told(n.out, &soon));
		put(&n, 10);
		assert_true(told(n.out, &patient));
		assert_true(told(n.out, &now));
		assert_int_equal(epolled(&n.in, &now), EPOLLIN);
		assert_false(told(n.out, &soon));
	}
	nest_close(&n);
}

/* Promoted when it was in there already, and back, and again. */
static void test_lanes(void **state)
{
	struct nest n;
	unsigned i, k;
	int how;

	(void)state;
	nest_open(&n, EPOLLIN, EPOLLIN);
	for (k = 0; k < 3; k++) {
		for (i = 0; i < 2; i++) {
			how = sl_both_take(n.in.p.s[i]);
			assert_int_equal(sl_leave_locked(n.in.p.s[i], n.in.p.fd[i], SL_WHY_DEMOTED), 0);
			sl_both_release(n.in.p.s[i], how);
		}
		for (i = 0; i < 4; i++)
			(void)sock_recv(&n.in.p, i % 2, buf, 5, MSG_DONTWAIT);
		assert_false(sl_sock_attached(n.in.p.s[1]));
		assert_false(told(n.out, &soon));
		put(&n, 10);
		assert_true(told(n.out, &patient));
		assert_true(polled(n.in.ep, &now));
		assert_int_equal(epolled(&n.in, &now), EPOLLIN);
		take(&n, 5);
		sock_offer_answered(&n.in.p, SL_RING_LEN_MIN);
		for (i = 0; i < 2; i++)
			sl_attach_try(n.in.p.s[i], n.in.p.fd[i]);
		assert_true(in_memory(&n.in.p));
		assert_true(told(n.out, &patient));
		assert_true(polled(n.in.ep, &now));
		take(&n, 5);
		assert_false(told(n.out, &soon));
		assert_false(polled(n.in.ep, &now));
		put(&n, 10);
		assert_true(told(n.out, &patient));
		take(&n, 10);
	}
	nest_close(&n);
}

/* Three levels go; where the kernel says that it is too many all sockets go to TCP, and the program notices nothing. */
static void test_deep(void **state)
{
	struct nest n;
	int ep[6], i, k;

	(void)state;
	nest_open(&n, EPOLLIN, EPOLLIN);
	ep[0] = n.out;
	for (i = 1; i < 6; i++) {
		ep[i] = ep_new();
		if (ctl(ep[i], EPOLL_CTL_ADD, ep[i - 1], EPOLLIN, 42) == -ELOOP)
			break;
		if (i == 1)
			assert_true(in_memory(&n.in.p));
		for (k = 0; k < 3; k++) {
			assert_false(told(ep[i], &soon));
			assert_false(polled(ep[i], &now));
			put(&n, 10);
			assert_true(told(ep[i], &patient));
			take(&n, 10);
		}
	}
	assert_in_range(i, 3, 5);
	assert_int_equal(ctl(n.in.ep, EPOLL_CTL_ADD, ep[1], EPOLLIN, 1), -ELOOP);
	while (i > 0)
		ep_close(ep[i--]);
	ep_close(n.out);
	ep_close(n.in.ep);
	sock_close(&n.in.p);
	(void)alarm(0);
}

/* A sandbox: the kernel alone has the answer, and the sockets are on TCP. */
static void test_alone(void **state)
{
	struct nest n;
	unsigned i;

	(void)state;
	nest_open(&n, EPOLLIN, EPOLLIN);
	sl_ready_alone();
	for (i = 0; i < 4; i++)
		(void)sock_recv(&n.in.p, i % 2, buf, 5, MSG_DONTWAIT);
	assert_false(sl_sock_attached(n.in.p.s[1]));
	assert_int_equal(instance_of(n.in.ep)->aside, 0);
	assert_null(instance_of(n.out)->inners);
	assert_false(told(n.out, &soon));
	put(&n, 10);
	assert_true(told(n.out, &patient));
	assert_true(polled(n.in.ep, &now));
	take(&n, 10);
	assert_false(told(n.out, &soon));
	ep_close(n.out);
	ep_close(n.in.ep);
	sock_close(&n.in.p);
	(void)alarm(0);
}

/* The program wants the number of our descriptor; the instance is closed, and it is free. */
static void test_number(void **state)
{
	struct nest n;
	int was;

	(void)state;
	nest_open(&n, EPOLLIN, EPOLLIN);
	was = instance_of(n.in.ep)->aside;
	assert_true(was > 0 && sl_hidden_is(was));
	assert_int_equal(sl_hidden_move(was), 0);
	assert_false(sl_hidden_is(was));
	assert_int_equal(fcntl(was, F_GETFD), -1);
	assert_false(told(n.out, &soon));
	put(&n, 10);
	assert_true(told(n.out, &patient));
	take(&n, 10);
	assert_false(polled(n.in.ep, &soon));
	was = instance_of(n.in.ep)->aside;
	nest_close(&n);
	assert_int_equal(fcntl(was, F_GETFD), -1);
}

/* --- threads --- */

struct play {
	struct nest n;
	int by; /* 0 the outer instance, 1 poll on the inner one, 2 poll on the outer one */
	unsigned rounds;
	bool take_first;
};

static void *play_wait(void *arg)
{
	struct play *p = arg;
	struct epoll_event ev;
	unsigned got = 0;
	ssize_t n;

	while (got < p->rounds) {
		if (p->by == 0)
			must(sl_ready_epoll_wait(p->n.out, &ev, 1, &patient, NULL) >= 0);
		else
			(void)polled(p->by == 1 ? p->n.in.ep : p->n.out, &patient);
		if (sl_ready_epoll_wait(p->n.in.ep, &ev, 1, &now, NULL) != 1)
			continue;
		while ((n = sock_recv(&p->n.in.p, 1, buf, 1, MSG_DONTWAIT)) > 0)
			got += (unsigned)n;
		must(n == -EAGAIN);
	}
	return NULL;
}

/* One sleeps outside, another puts: nothing is slept over. The limit of time is what fails. */
static void play(uint32_t inside, uint32_t outside, int by)
{
	struct play p = {.by = by, .rounds = 3000};
	uint64_t seed = inside + outside + (unsigned)by, begin;
	pthread_t t;
	unsigned i;

	nest_open(&p.n, inside, outside);
	begin = sl_now_ns();
	assert_int_equal(pthread_create(&t, NULL, play_wait, &p), 0);
	for (i = 0; i < p.rounds; i++) {
		must(sock_send(&p.n.in.p, 0, "x", 1, 0) == 1);
		if (!below(&seed, 4))
			(void)usleep((unsigned)below(&seed, 300));
	}
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_true(sl_now_ns() - begin < 5000000000u); /* a wait that was not woken takes 2 s */
	nest_close(&p.n);
}

static void test_threads(void **state)
{
	int by;

	(void)state;
	for (by = 0; by < 3; by++) {
		play(EPOLLIN, EPOLLIN, by);
		play(EPOLLIN | ET, EPOLLIN, by);
		play(EPOLLIN, EPOLLIN | ET, by);
		play(EPOLLIN | ET, EPOLLIN | ET, by);
	}
}

static _Atomic unsigned shared_got;
static _Atomic bool over;

/* As Electron does it: one thread polls, another handles, and tells the first to go on. */
static void *only_polls(void *arg)
{
	struct play *p = arg;

	while (!atomic_load(&over))
		if (polled(p->n.in.ep, &soon))
			(void)sched_yield();
	return NULL;
}

static void *only_waits(void *arg)
{
	struct play *p = arg;
	struct epoll_event ev;
	char c;

	while (atomic_load(&shared_got) < p->rounds) {
		must(sl_ready_epoll_wait(p->n.in.ep, &ev, 1, &patient, NULL) == 1);
		while (sock_recv(&p->n.in.p, 1, &c, 1, MSG_DONTWAIT) == 1)
			atomic_fetch_add(&shared_got, 1);
	}
	return NULL;
}

static void test_both(void **state)
{
	struct play p = {.rounds = 2000};
	uint64_t seed = 1, begin;
	pthread_t t[2];
	unsigned i;

	(void)state;
	nest_open(&p.n, EPOLLIN, EPOLLIN);
	begin = sl_now_ns();
	assert_int_equal(pthread_create(&t[0], NULL, only_polls, &p), 0);
	assert_int_equal(pthread_create(&t[1], NULL, only_waits, &p), 0);
	for (i = 0; i < p.rounds; i++) {
		must(sock_send(&p.n.in.p, 0, "x", 1, 0) == 1);
		if (!below(&seed, 4))
			(void)usleep((unsigned)below(&seed, 300));
	}
	assert_int_equal(pthread_join(t[1], NULL), 0);
	atomic_store(&over, true);
	assert_int_equal(pthread_join(t[0], NULL), 0);
	assert_true(sl_now_ns() - begin < 5000000000u);
	nest_close(&p.n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_level),	cmocka_unit_test(test_taken_inside),
		cmocka_unit_test(test_edge),	cmocka_unit_test(test_lanes),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_deep),	cmocka_unit_test(test_threads),
		cmocka_unit_test(test_both),
		cmocka_unit_test(test_alone), /* the last one: for good */
	};

	sock_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
