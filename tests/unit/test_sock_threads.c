/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two real endpoints, a sender and a receiver thread at each, that block in send and recv, poll or
 * epoll, while the lanes are left and taken at random (SCILAN_CHAOS). Every byte is checked; who
 * sleeps for ever ends the test by a time limit, which tells where everybody was.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include "test_sock_util.h"

#define LIMIT_S 10

enum wait_by { BY_CALL, BY_POLL, BY_EPOLL };

struct half {
	struct sock_pair *p;
	unsigned end;
	enum wait_by by;
	uint64_t s;
	uint64_t total;
	_Atomic uint64_t done;
};

static struct sock_pair pair;
static struct half tx[2], rx[2];
static uint64_t seed_now;

static void on_alarm(int sig)
{
	unsigned i;

	(void)sig;
	for (i = 0; i < 2; i++) {
		struct sl_sock *k = pair.s[i];
		int queue = 0;

		(void)ioctl(pair.fd[i], FIONREAD, &queue);
		(void)dprintf(2,
			      "end %u: sent %lu, received %lu of %lu, waits by %d and %d; attached %d, "
			      "tx %u, rx %u, sleepers %u, waiters %u, in the kernel %d bytes, in the "
			      "ring %s\n",
			      i, atomic_load(&tx[i].done), atomic_load(&rx[i].done), rx[i].total,
			      (int)tx[i].by, (int)rx[i].by, atomic_load(&k->attached),
			      k->side->tx.state, k->side->rx.state, k->side->rx.sleepers,
			      k->side->tx.waiters, queue,
			      sl_sock_attached(k) && sl_sock_hint(k) ? "something" : "nothing");
	}
	(void)dprintf(2, "hangs: SCILAN_TEST_SEED=%lu\n", seed_now);
	abort();
}

static void wait_ready(struct half *h, int ep, short events)
{
	struct pollfd p = {.fd = h->p->fd[h->end], .events = events};
	struct epoll_event ev;

	if (h->by == BY_EPOLL)
		must(sl_ready_epoll_wait(ep, &ev, 1, NULL, NULL) == 1);
	else
		must(sl_ready_poll(&p, 1, NULL, NULL) == 1);
}

/* An instance of its own, on the descriptor, level-triggered. */
static int instance(struct half *h, uint32_t events)
{
	struct epoll_event ev = {.events = events};
	int ep;

	if (h->by != BY_EPOLL)
		return -1;
	ep = epoll_create1(EPOLL_CLOEXEC);
	sl_ready_epoll_created(ep);
	must(sl_ready_epoll_ctl(ep, EPOLL_CTL_ADD, h->p->fd[h->end], &ev) == 0);
	return ep;
}

static void instance_close(int ep)
{
	if (ep < 0)
		return;
	sl_ready_close(ep);
	(void)close(ep);
}

static void *sender(void *arg)
{
	struct half *h = arg;
	int flags = h->by == BY_CALL ? 0 : MSG_DONTWAIT, ep = instance(h, EPOLLOUT);
	static _Thread_local uint8_t buf[65536];
	uint64_t pos = 0;
	size_t len;
	ssize_t n;

	while (pos < h->total) {
		len = 1 + below(&h->s, 1u << below(&h->s, 17));
		len = sl_min_size(len, h->total - pos);
		stream_fill(buf, pos, len);
		n = sock_send(h->p, h->end, buf, len, flags);
		if (n == -EAGAIN && flags) {
			wait_ready(h, ep, POLLOUT);
			continue;
		}
		must(n > 0);
		pos += (uint64_t)n;
		atomic_store(&h->done, pos);
		if (below(&h->s, 200) == 0)
			(void)usleep(1000); /* the receiver goes to sleep */
	}
	instance_close(ep);
	return NULL;
}

static void *receiver(void *arg)
{
	struct half *h = arg;
	int flags = h->by == BY_CALL ? 0 : MSG_DONTWAIT, ep = instance(h, EPOLLIN);
	static _Thread_local uint8_t buf[65536];
	uint64_t pos = 0;
	bool peek, all;
	size_t len;
	ssize_t n;

	while (pos < h->total) {
		len = 1 + below(&h->s, 1u << below(&h->s, 17));
		len = sl_min_size(len, h->total - pos);
		peek = below(&h->s, 10) == 0;
		all = !flags && !peek && below(&h->s, 10) == 0;
		n = sock_recv(h->p, h->end, buf, len,
			      flags | (peek ? MSG_PEEK : 0) | (all ? MSG_WAITALL : 0));
		if (n == -EAGAIN && flags) {
			wait_ready(h, ep, POLLIN);
			continue;
		}
		must(n > 0);
		must(!all || n == (ssize_t)len);
		must(stream_is(buf, pos, (size_t)n));
		if (!peek)
			pos += (uint64_t)n;
		atomic_store(&h->done, pos);
		if (below(&h->s, 200) == 0)
			(void)usleep(1000); /* the ring fills */
	}
	instance_close(ep);
	return NULL;
}

/* A new pairing whenever both ends are back on TCP. */
static void pair_again(uint64_t *s, unsigned *pairings)
{
	unsigned i;

	for (i = 0; i < 2; i++)
		if (sl_sock_attached(pair.s[i]) || atomic_load(&pair.s[i]->offer) != SL_OFFER_NONE ||
		    ((volatile struct sl_sock *)pair.s[i])->pair_fd[1] >= 0)
			return;
	sock_offer_answered(&pair, (size_t)SL_RING_LEN_MIN << below(s, 3));
	++*pairings;
}

static unsigned run(uint64_t seed, uint64_t total)
{
	pthread_t t[4];
	unsigned i, pairings = 0;
	uint64_t s = seed;

	seed_now = seed;
	sl_env.chaos_lanes = below(&s, 4) != 0;
	sl_env.chaos_seed = (uint32_t)seed;
	sock_open(&pair);
	(void)alarm(LIMIT_S);
	for (i = 0; i < 2; i++) {
		tx[i] = (struct half){.p = &pair, .end = i, .by = (enum wait_by)below(&s, 3)};
		rx[i] = (struct half){.p = &pair, .end = i, .by = (enum wait_by)below(&s, 3)};
		tx[i].total = rx[i].total = total;
		tx[i].s = rnd(&s);
		rx[i].s = rnd(&s);
	}
	for (i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&t[i], NULL, sender, &tx[i]), 0);
		assert_int_equal(pthread_create(&t[2 + i], NULL, receiver, &rx[i]), 0);
	}
	while (atomic_load(&rx[0].done) < total || atomic_load(&rx[1].done) < total) {
		pair_again(&s, &pairings);
		(void)usleep(200);
	}
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	(void)alarm(0);
	sock_close(&pair);
	return pairings;
}

static void test_threads(void **state)
{
	uint64_t end = until_ns(SANITIZED ? 6000 : 5000), seed = 0;
	const char *one = getenv("SCILAN_TEST_SEED");
	unsigned pairings = 0;

	(void)state;
	(void)signal(SIGALRM, on_alarm);
	(void)signal(SIGSEGV, SIG_DFL); /* cmocka's handler jumps, which another thread must not */
	if (one) {
		for (seed = 0; seed < 20; seed++)
			(void)run(strtoull(one, NULL, 10), 1 << 20);
		return;
	}
	while (sl_now_ns() < end)
		pairings += run(++seed, 1 << 20);
	print_message("%lu runs, %u pairings\n", seed, pairings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
	};

	sock_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
