/* SPDX-License-Identifier: BSD-2-Clause */
/* Two real endpoints in one process, paired by hand instead of by a broker. */
#ifndef TEST_SOCK_UTIL_H
#define TEST_SOCK_UTIL_H

#include "env.h"
#include "internal.h"
#include "ready.h"
#include "real.h"
#include "sock.h"
#include "test_core_util.h"

/* Nothing is offered by itself: no broker is asked. */
HELPER void sock_setup(void)
{
	sl_env.promote_calls = SL_PROMOTE_OFF;
	sl_env.promote_bytes = UINT64_MAX;
	(void)setenv("SCILAN_BROKER", "scilan-test-nobody", 1);
	sl_clock_init();
	sl_real_init();
	sl_sock_init();
	sl_ready_init();
}

struct sock_pair {
	int fd[2];
	struct sl_sock *s[2]; /* with a reference */
};

/* As the broker's answer does it; the endpoint attaches in one of its next calls. */
HELPER void sock_offer_answered(struct sock_pair *p, size_t ring_len)
{
	int seg = sl_seg_create(ring_len);
	unsigned i;

	for (i = 0; i < 2; i++) {
		p->s[i]->pair_side = i;
		p->s[i]->pair_fd[0] = dup(seg);
		p->s[i]->pair_fd[1] = sl_side_create();
		atomic_store(&p->s[i]->offer, SL_OFFER_PAIRED);
	}
	(void)close(seg);
}

HELPER void sock_open(struct sock_pair *p)
{
	unsigned i;

	tcp_pair(p->fd, 0, 0);
	for (i = 0; i < 2; i++) {
		sl_sock_track(p->fd[i], false);
		p->s[i] = sl_sock_get(p->fd[i]);
		assert_non_null(p->s[i]);
		atomic_store(&p->s[i]->offer, SL_OFFER_NONE);
	}
}

/* Both attached, both ready to start. */
HELPER void sock_open_promoted(struct sock_pair *p, size_t ring_len)
{
	unsigned i;

	sock_open(p);
	sock_offer_answered(p, ring_len);
	for (i = 0; i < 2; i++)
		sl_attach_try(p->s[i], p->fd[i]);
	assert_true(sl_sock_attached(p->s[0]) && sl_sock_attached(p->s[1]));
}

HELPER void sock_close(struct sock_pair *p)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		sl_sock_put(p->s[i]);
		(void)sl_sock_close(p->fd[i]);
		(void)close(p->fd[i]);
	}
}

HELPER ssize_t sock_send(struct sock_pair *p, unsigned i, const void *buf, size_t len, int flags)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	return sl_sock_send(p->s[i], p->fd[i], &m, flags);
}

HELPER ssize_t sock_recv(struct sock_pair *p, unsigned i, void *buf, size_t len, int flags)
{
	struct iovec iov = {buf, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	return sl_sock_recv(p->s[i], p->fd[i], &m, flags);
}

/* A pair, and an epoll instance in which its second end is registered. */
struct instance {
	int ep;
	struct sock_pair p;
};

HELPER void instance_open(struct instance *in, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u64 = 4711};

	in->ep = epoll_create1(EPOLL_CLOEXEC);
	sl_ready_epoll_created(in->ep);
	assert_int_equal(sl_ready_epoll_ctl(in->ep, EPOLL_CTL_ADD, in->p.fd[1], &ev), 0);
}

HELPER uint32_t epolled(struct instance *in, const struct timespec *t)
{
	struct epoll_event ev[4];
	int n = sl_ready_epoll_wait(in->ep, ev, 4, t, NULL);

	assert_in_range(n, 0, 1);
	if (n)
		assert_int_equal(ev[0].data.u64, 4711);
	return n ? ev[0].events : 0;
}

#endif
