/* SPDX-License-Identifier: BSD-2-Clause */
/* Edge-triggered registrations through changes of lane: each edge is told, and each once. */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include "items.h"
#include "spin.h"
#include "sys.h"
#include "test_sock_util.h"

#define ET (uint32_t) EPOLLET

static const struct timespec now = {0}, soon = {.tv_nsec = 20000000}, patient = {.tv_sec = 2};
static char buf[1 << 20];

static void put(struct instance *in, size_t len)
{
	assert_int_equal(sock_send(&in->p, 0, buf, len, 0), len);
}

static void take(struct instance *in, size_t len)
{
	assert_int_equal(sock_recv(&in->p, 1, buf, len, MSG_WAITALL), len);
}

static void attach_both(struct sock_pair *p)
{
	unsigned i;

	sock_offer_answered(p, SL_RING_LEN_MIN);
	for (i = 0; i < 2; i++)
		sl_attach_try(p->s[i], p->fd[i]);
	assert_true(sl_sock_attached(p->s[0]) && sl_sock_attached(p->s[1]));
}

static void leave(struct sock_pair *p, unsigned i)
{
	int how = sl_both_take(p->s[i]);

	assert_int_equal(sl_leave_locked(p->s[i], p->fd[i], SL_WHY_DEMOTED), 0);
	sl_both_release(p->s[i], how);
}

/* Nothing is unread. */
static void detach_both(struct sock_pair *p)
{
	unsigned i;

	for (i = 0; i < 2; i++)
		leave(p, i);
	for (i = 0; i < 4; i++)
		(void)sock_recv(p, i % 2, buf, 5, MSG_DONTWAIT);
	assert_false(sl_sock_attached(p->s[0]) || sl_sock_attached(p->s[1]));
}

static void open_at(struct instance *in, uint32_t events)
{
	sock_open_promoted(&in->p, SL_RING_LEN_MIN);
	instance_open(in, events);
}

static void end(struct instance *in)
{
	sl_ready_close(in->ep);
	(void)close(in->ep);
	sock_close(&in->p);
}

/* Bytes lie unread in the ring, the peer has left it, and more come by TCP. */
static void test_behind_end(void **state)
{
	struct instance in;

	(void)state;
	open_at(&in, EPOLLIN | ET);
	put(&in, 10);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	leave(&in.p, 0);
	assert_int_equal(epolled(&in, &soon), 0);
	put(&in, 10);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(epolled(&in, &soon), 0);
	take(&in, 15);
	assert_int_equal(epolled(&in, &soon), 0);
	put(&in, 1);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(epolled(&in, &soon), 0);
	take(&in, 6);
	end(&in);
}

/* Told on TCP, detached, told again on TCP, attached anew: with bytes unread all the time. */
static void through_lanes(uint32_t more)
{
	struct instance in;
	unsigned round;

	open_at(&in, EPOLLIN | more | ET);
	assert_int_equal(epolled(&in, &soon), more);
	put(&in, 10);
	assert_int_equal(epolled(&in, &patient), EPOLLIN | more);
	take(&in, 10);
	for (round = 0; round < 4; round++) {
		detach_both(&in.p);
		assert_int_equal(epolled(&in, &soon), 0);
		put(&in, 10);
		assert_int_equal(epolled(&in, &patient), EPOLLIN | more);
		assert_int_equal(epolled(&in, &soon), 0);
		take(&in, 5);
		attach_both(&in.p);
		assert_int_equal(epolled(&in, &soon), 0);
		put(&in, 10);
		assert_int_equal(epolled(&in, &patient), EPOLLIN | more);
		assert_int_equal(epolled(&in, &soon), 0);
		leave(&in.p, 0);
		leave(&in.p, 1);
		assert_int_equal(epolled(&in, &soon), 0);
		put(&in, 5);
		assert_int_equal(epolled(&in, &patient), EPOLLIN | more);
		take(&in, 5 + 10 + 2);
		assert_int_equal(sock_recv(&in.p, 0, buf, 5, MSG_DONTWAIT), -EAGAIN);
		assert_int_equal(sock_recv(&in.p, 0, buf, 5, MSG_DONTWAIT), -EAGAIN);
		assert_false(sl_sock_attached(in.p.s[1])); /* with 3 bytes unread */
		assert_int_equal(epolled(&in, &soon), 0);
		put(&in, 1);
		assert_int_equal(epolled(&in, &patient), EPOLLIN | more);
		take(&in, 4);
		attach_both(&in.p);
		assert_int_equal(epolled(&in, &soon), 0);
		put(&in, 1);
		assert_int_equal(epolled(&in, &patient), EPOLLIN | more);
		take(&in, 1);
	}
	end(&in);
}

static void test_through_lanes(void **state)
{
	(void)state;
	through_lanes(0);
	through_lanes(EPOLLOUT);
}

/* The program asks once more in between: that is told once more. */
static void test_asked_again(void **state)
{
	struct epoll_event ev = {.events = EPOLLIN | ET, .data.u64 = 4711};
	struct instance in;

	(void)state;
	open_at(&in, EPOLLIN | ET);
	detach_both(&in.p);
	put(&in, 10);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(sl_ready_epoll_ctl(in.ep, EPOLL_CTL_MOD, in.p.fd[1], &ev), 0);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(epolled(&in, &soon), 0);
	assert_int_equal(sl_ready_epoll_ctl(in.ep, EPOLL_CTL_MOD, in.p.fd[1], &ev), 0);
	attach_both(&in.p);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(epolled(&in, &soon), 0);
	end(&in);
}

/* FIN is an edge, where nobody has asked for EPOLLRDHUP, and whoever tells of it. */
static void fin(uint32_t events, bool data)
{
	struct instance in;

	open_at(&in, EPOLLIN | events | ET);
	if (data)
		put(&in, 10);
	assert_int_equal(epolled(&in, &soon), data ? EPOLLIN : 0);
	if (data)
		take(&in, 10);
	detach_both(&in.p);
	if (data)
		put(&in, 10);
	assert_int_equal(epolled(&in, &soon), data ? EPOLLIN : 0);
	assert_int_equal(sl_sock_shutdown(in.p.s[0], in.p.fd[0], SHUT_WR), 0);
	assert_int_equal(epolled(&in, &patient), EPOLLIN | events);
	assert_int_equal(epolled(&in, &soon), 0);
	end(&in);
}

static void test_fin(void **state)
{
	(void)state;
	fin(0, false);
	fin(0, true);
	fin(EPOLLRDHUP, false);
	fin(EPOLLRDHUP, true);
}

static size_t fill(struct instance *in)
{
	size_t sent = 0;
	ssize_t n;

	while ((n = sock_send(&in->p, 1, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		sent += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	return sent;
}

static void empty(struct instance *in, size_t len)
{
	ssize_t n;

	for (; len; len -= (size_t)n) {
		n = sock_recv(&in->p, 0, buf, sl_min_size(len, sizeof(buf)), 0);
		assert_true(n > 0);
	}
}

/* Who was told that there is no room is told of room, on whichever lane it comes. */
static void test_room(void **state)
{
	struct instance in;
	size_t sent;

	(void)state;
	open_at(&in, EPOLLOUT | ET);
	assert_int_equal(epolled(&in, &patient), EPOLLOUT);
	sent = fill(&in);
	leave(&in.p, 1);
	assert_int_equal(epolled(&in, &patient), EPOLLOUT); /* the kernel's queue is empty */
	assert_int_equal(epolled(&in, &soon), 0);
	empty(&in, sent);
	assert_int_equal(epolled(&in, &soon), 0);
	sent = fill(&in);
	assert_int_equal(epolled(&in, &soon), 0);
	empty(&in, sent);
	assert_int_equal(epolled(&in, &patient), EPOLLOUT);
	detach_both(&in.p);
	assert_int_equal(epolled(&in, &soon), 0);
	sent = fill(&in);
	empty(&in, sent);
	assert_int_equal(epolled(&in, &patient), EPOLLOUT);
	attach_both(&in.p);
	assert_int_equal(epolled(&in, &soon), 0);
	end(&in);
}

/* The registered number is closed, a copy lives on. */
static void close_number(struct instance *in)
{
	int copy = dup(in->p.fd[1]);

	sl_sock_dup(in->p.fd[1], copy);
	assert_int_equal(sl_sock_close(in->p.fd[1]), 0);
	sl_ready_close(in->p.fd[1]);
	(void)close(in->p.fd[1]);
	in->p.fd[1] = copy;
}

/* A registration outlives its number where a copy does: no bell is shown for data, and no level is lost. */
static void closed_number(uint32_t events, bool promoted)
{
	struct instance in;
	int round;

	sock_open(&in.p);
	if (promoted)
		attach_both(&in.p);
	instance_open(&in, events);
	close_number(&in);
	if (!promoted)
		attach_both(&in.p);
	for (round = 0; round < 3; round++) {
		assert_int_equal(epolled(&in, &soon), 0);
		put(&in, 10);
		assert_int_equal(epolled(&in, &patient), EPOLLIN);
		assert_int_equal(epolled(&in, &soon), events & ET ? 0 : EPOLLIN);
		take(&in, 10);
		assert_int_equal(epolled(&in, &soon), 0);
		detach_both(&in.p);
		assert_int_equal(epolled(&in, &soon), 0);
		put(&in, 10);
		assert_int_equal(epolled(&in, &patient), EPOLLIN);
		assert_int_equal(epolled(&in, &soon), events & ET ? 0 : EPOLLIN);
		take(&in, 10);
		attach_both(&in.p);
	}
	end(&in);
}

static void test_closed_number(void **state)
{
	(void)state;
	closed_number(EPOLLIN, true);
	closed_number(EPOLLIN | ET, true);
	closed_number(EPOLLIN, false);
	closed_number(EPOLLIN | ET, false);
}

/* Nor where another thread sleeps on the instance: whoever leaves cannot wake it for such a registration. */
static void test_closed_number_shared(void **state)
{
	struct instance in;

	(void)state;
	open_at(&in, EPOLLIN);
	close_number(&in);
	assert_int_equal(epolled(&in, &soon), 0);
	atomic_store(&sl_ep_of(in.ep)->sleepers, 1);
	put(&in, 10);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	take(&in, 5);
	assert_int_equal(epolled(&in, &soon), EPOLLIN);
	take(&in, 5);
	assert_int_equal(epolled(&in, &soon), 0);
	put(&in, 10);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	atomic_store(&sl_ep_of(in.ep)->sleepers, 0);
	end(&in);
}

/* What has come is not known for the moment, as a thread is in a call of the kernel's: each edge is told all the same. */
static void test_unknown(void **state)
{
	struct instance in;
	int round;

	(void)state;
	open_at(&in, EPOLLIN | ET);
	close_number(&in); /* it stays ours, on TCP, too */
	detach_both(&in.p);
	assert_int_equal(epolled(&in, &soon), 0);
	in.p.s[1]->rx_inflight++;
	for (round = 0; round < 4; round++) {
		if (round == 3)
			atomic_store(&sl_ep_of(in.ep)->sleepers, 1);
		put(&in, 1);
		assert_int_equal(epolled(&in, &patient), EPOLLIN);
		assert_int_equal(epolled(&in, &soon), 0);
	}
	atomic_store(&sl_ep_of(in.ep)->sleepers, 0);
	in.p.s[1]->rx_inflight--;
	put(&in, 1);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(epolled(&in, &soon), 0);
	end(&in);
}

static struct instance *hit;
static unsigned hits;

/* As preload/ has them run: not where a lock is held. */
static void delete_it(int sig)
{
	(void)sig;
	if (sl_sect.depth)
		return;
	sl_sect.ran++;
	hits++;
	assert_int_equal(sl_ready_epoll_ctl(hit->ep, EPOLL_CTL_DEL, hit->p.fd[1], NULL), 0);
}

/* The only hot socket of an instance is taken away by a signal handler, while epoll_wait() looks at it. */
static void test_handler_takes_it(void **state)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 4711};
	struct sigaction sa = {.sa_handler = delete_it}, was;
	struct itimerval in_us = {0};
	struct instance in;
	unsigned round, before;
	int n;

	(void)state;
	hit = &in;
	assert_int_equal(sigaction(SIGALRM, &sa, &was), 0);
	open_at(&in, EPOLLIN);
	for (round = 0; round < 100; round++) {
		put(&in, 1);
		assert_int_equal(epolled(&in, &patient), EPOLLIN);
		take(&in, 1);
		assert_int_equal(epolled(&in, &now), 0);
		before = hits;
		in_us.it_value.tv_usec = 5 + round % 20;
		assert_int_equal(setitimer(ITIMER_REAL, &in_us, NULL), 0);
		n = sl_ready_epoll_wait(in.ep, &ev, 1, &soon, NULL);
		assert_true(n == -EINTR || n == 0);
		ev = (struct epoll_event){.events = EPOLLIN, .data.u64 = 4711};
		if (hits != before)
			assert_int_equal(
				sl_ready_epoll_ctl(in.ep, EPOLL_CTL_ADD, in.p.fd[1], &ev), 0);
	}
	assert_true(hits > 0);
	assert_int_equal(sigaction(SIGALRM, &was, NULL), 0);
	end(&in);
}

struct ending {
	struct instance in;
	unsigned wait;
};

static void *send_and_end(void *arg)
{
	struct ending *e = arg;
	unsigned i;

	(void)sock_send(&e->in.p, 0, buf, 10, 0);
	for (i = 0; i < e->wait; i++)
		sl_cpu_relax();
	(void)sl_sock_shutdown(e->in.p.s[0], e->in.p.fd[0], SHUT_WR);
	return NULL;
}

/* The end comes between the look at what holds and the look at what is new: it is told all the same. */
static void test_end_in_between(void **state)
{
	struct ending e;
	pthread_t t;
	uint32_t got;
	unsigned i;

	(void)state;
	for (i = 0; i < 500; i++) {
		e.wait = i % 50;
		open_at(&e.in, EPOLLIN | EPOLLRDHUP | ET);
		assert_int_equal(epolled(&e.in, &now), 0);
		assert_int_equal(pthread_create(&t, NULL, send_and_end, &e), 0);
		for (got = 0; !(got & EPOLLRDHUP);) {
			uint32_t ev = epolled(&e.in, &patient);

			assert_int_not_equal(ev, 0);
			got |= ev;
		}
		assert_int_equal(pthread_join(t, NULL), 0);
		assert_int_equal(epolled(&e.in, &now), 0);
		end(&e.in);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_behind_end),    cmocka_unit_test(test_through_lanes),
		cmocka_unit_test(test_asked_again),   cmocka_unit_test(test_fin),
		cmocka_unit_test(test_room),	      cmocka_unit_test(test_closed_number),
		cmocka_unit_test(test_handler_takes_it), cmocka_unit_test(test_end_in_between),
		cmocka_unit_test(test_closed_number_shared),
		cmocka_unit_test(test_unknown),
	};

	(void)now;
	sock_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
