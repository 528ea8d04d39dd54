/* SPDX-License-Identifier: BSD-2-Clause */
/* Readiness of a promoted socket: poll, select and epoll say what Linux says of TCP, in each state.
 */
#include <pthread.h>
#include <sys/select.h>
#include "bell.h"
#include "sys.h"
#include "test_sock_util.h"
#include "timeout.h"

static const struct timespec now = {0}, soon = {.tv_nsec = 20000000}, patient = {.tv_sec = 2};
static char buf[1 << 20];

static int polled(struct sock_pair *p, unsigned i, short want, const struct timespec *t)
{
	struct pollfd f = {.fd = p->fd[i], .events = want};
	int n = sl_ready_poll(&f, 1, t, NULL);

	assert_int_equal(n, f.revents != 0);
	return f.revents;
}

static int selected(struct sock_pair *p, unsigned i, const struct timespec *t)
{
	struct timespec left;
	fd_set in, out;
	int n, fd = p->fd[i];

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	n = sl_ready_select(fd + 1, &in, &out, NULL, t, NULL, &left);
	assert_int_equal(n, FD_ISSET(fd, &in) + FD_ISSET(fd, &out));
	return (FD_ISSET(fd, &in) ? POLLIN : 0) | (FD_ISSET(fd, &out) ? POLLOUT : 0);
}

static size_t fill(struct sock_pair *p, unsigned i)
{
	size_t sent = 0;
	ssize_t n;

	while ((n = sock_send(p, i, buf, 3000, MSG_DONTWAIT)) > 0)
		sent += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	return sent;
}

static void take(struct sock_pair *p, unsigned i, size_t len)
{
	assert_int_equal(sock_recv(p, i, buf, len, MSG_WAITALL), len);
}

static void test_poll(void **state)
{
	struct sock_pair p;
	size_t sent;

	(void)state;
	sock_open_promoted(&p, SL_RING_LEN_MIN);
	assert_int_equal(polled(&p, 1, POLLIN, &now), 0);
	assert_int_equal(polled(&p, 1, POLLIN, &soon), 0);
	assert_int_equal(polled(&p, 1, POLLIN | POLLOUT, &patient), POLLOUT);
	assert_int_equal(selected(&p, 1, &now), POLLOUT);
	assert_int_equal(sock_send(&p, 0, buf, 10, 0), 10);
	assert_int_equal(polled(&p, 1, POLLIN | POLLOUT, &patient), POLLIN | POLLOUT);
	assert_int_equal(polled(&p, 1, POLLIN, NULL), POLLIN);
	assert_int_equal(selected(&p, 1, NULL), POLLIN | POLLOUT);
	take(&p, 1, 10);
	assert_int_equal(polled(&p, 1, POLLIN, &now), 0);
	sent = fill(&p, 0);
	assert_int_equal(polled(&p, 0, POLLOUT, &now), 0);
	assert_int_equal(polled(&p, 0, POLLOUT, &soon), 0);
	take(&p, 1, sent);
	assert_int_equal(polled(&p, 0, POLLOUT, &patient), POLLOUT);
	assert_int_equal(sl_sock_shutdown(p.s[0], p.fd[0], SHUT_WR), 0);
	assert_true(readable(p.fd[1]));
	assert_int_equal(polled(&p, 1, POLLIN | POLLRDHUP, &patient), POLLIN | POLLRDHUP);
	assert_int_equal(sock_recv(&p, 1, buf, 10, 0), 0);
	assert_int_equal(polled(&p, 0, POLLIN, &now), 0);
	sock_close(&p);
}

static void epoll_open(struct instance *in, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u64 = 4711};

	sock_open_promoted(&in->p, SL_RING_LEN_MIN);
	instance_open(in, events);
	assert_int_equal(sl_ready_epoll_ctl(in->ep, EPOLL_CTL_ADD, in->p.fd[1], &ev), -EEXIST);
}

static void epoll_mod(struct instance *in, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u64 = 4711};

	assert_int_equal(sl_ready_epoll_ctl(in->ep, EPOLL_CTL_MOD, in->p.fd[1], &ev), 0);
}

static void epoll_close(struct instance *in)
{
	assert_int_equal(sl_ready_epoll_ctl(in->ep, EPOLL_CTL_DEL, in->p.fd[1], NULL), 0);
	assert_int_equal(sl_ready_epoll_ctl(in->ep, EPOLL_CTL_DEL, in->p.fd[1], NULL), -ENOENT);
	sl_ready_close(in->ep);
	(void)close(in->ep);
	sock_close(&in->p);
}

static void test_level(void **state)
{
	struct instance in;

	(void)state;
	epoll_open(&in, EPOLLIN);
	assert_int_equal(epolled(&in, &soon), 0);
	assert_int_equal(sock_send(&in.p, 0, buf, 10, 0), 10);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(epolled(&in, &now), EPOLLIN);
	take(&in.p, 1, 4);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	take(&in.p, 1, 6);
	assert_int_equal(epolled(&in, &now), 0);
	epoll_mod(&in, EPOLLIN | EPOLLOUT);
	assert_int_equal(epolled(&in, &patient), EPOLLOUT);
	epoll_close(&in);
}

static void test_edge(void **state)
{
	struct instance in;

	(void)state;
	epoll_open(&in, EPOLLIN | EPOLLET);
	assert_int_equal(epolled(&in, &soon), 0);
	assert_int_equal(sock_send(&in.p, 0, buf, 10, 0), 10);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(epolled(&in, &soon), 0); /* told once */
	take(&in.p, 1, 4);
	assert_int_equal(epolled(&in, &now), 0);
	assert_int_equal(sock_send(&in.p, 0, buf, 10, 0), 10);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(epolled(&in, &now), 0);
	epoll_mod(&in, EPOLLIN | EPOLLET); /* tells again */
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(epolled(&in, &now), 0);
	epoll_close(&in);
}

static void test_oneshot(void **state)
{
	struct instance in;

	(void)state;
	epoll_open(&in, EPOLLIN | EPOLLONESHOT);
	assert_int_equal(sock_send(&in.p, 0, buf, 10, 0), 10);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(epolled(&in, &now), 0);
	assert_int_equal(sock_send(&in.p, 0, buf, 10, 0), 10);
	assert_int_equal(epolled(&in, &soon), 0);
	epoll_mod(&in, EPOLLIN | EPOLLONESHOT);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(epolled(&in, &now), 0);
	epoll_close(&in);
}

/* Room: told when it comes back, once for an edge. */
static void test_room(void **state)
{
	struct instance in;
	size_t sent;

	(void)state;
	epoll_open(&in, EPOLLOUT | EPOLLET);
	assert_int_equal(epolled(&in, &patient), EPOLLOUT);
	assert_int_equal(epolled(&in, &now), 0);
	sent = fill(&in.p, 1);
	assert_int_equal(epolled(&in, &soon), 0);
	take(&in.p, 0, sent);
	assert_int_equal(epolled(&in, &patient), EPOLLOUT);
	assert_int_equal(epolled(&in, &now), 0);
	epoll_close(&in);
}

/* The lane is left and taken again; the instance goes on telling. */
static void leave_and_return(uint32_t events)
{
	struct instance in;
	int round;
	unsigned i;

	epoll_open(&in, events);
	for (round = 0; round < 5; round++) {
		for (i = 0; i < 2; i++) {
			int how = sl_both_take(in.p.s[i]);

			assert_int_equal(sl_leave_locked(in.p.s[i], in.p.fd[i], SL_WHY_DEMOTED), 0);
			sl_both_release(in.p.s[i], how);
		}
		for (i = 0; i < 2; i++) {
			assert_int_equal(sock_send(&in.p, i, buf, 5, 0), 5);
			take(&in.p, 1 - i, 5);
		}
		for (i = 0; i < 2; i++)
			(void)sock_recv(&in.p, i, buf, 5, MSG_DONTWAIT);
		assert_false(sl_sock_attached(in.p.s[0]) || sl_sock_attached(in.p.s[1]));
		assert_int_equal(epolled(&in, &now), 0);
		assert_int_equal(sock_send(&in.p, 0, buf, 5, 0), 5);
		assert_int_equal(epolled(&in, &patient), EPOLLIN);
		take(&in.p, 1, 5);
		sock_offer_answered(&in.p, SL_RING_LEN_MIN);
		for (i = 0; i < 2; i++)
			sl_attach_try(in.p.s[i], in.p.fd[i]);
		assert_true(sl_sock_attached(in.p.s[0]) && sl_sock_attached(in.p.s[1]));
		/* START by itself: no edge of the kernel's hides what is to be told of the ring. */
		assert_int_equal(sl_tx_start(&in.p.s[0]->link, in.p.fd[0]), 1);
		assert_int_equal(sock_recv(&in.p, 1, buf, 5, MSG_DONTWAIT), -EAGAIN);
		assert_int_equal(epolled(&in, &soon), 0);
		assert_int_equal(sock_send(&in.p, 0, buf, 5, 0), 5);
		assert_int_equal(epolled(&in, &patient), EPOLLIN);
		take(&in.p, 1, 5);
	}
	epoll_close(&in);
}

/* At edges as well: what the second stay sends ends at the position where the first one's ended. */
static void test_leave(void **state)
{
	(void)state;
	leave_and_return(EPOLLIN);
	leave_and_return(EPOLLIN | EPOLLET);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Unread data that nobody waits for keeps nobody awake. */
static void test_asleep(void **state)
{
	static const struct timespec long_enough = {.tv_nsec = 300000000};
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	struct sock_pair p;
	int ep, rc;
	uint64_t start;

	(void)state;
	sock_open_promoted(&p, SL_RING_LEN_MIN);
	ep = epoll_create1(EPOLL_CLOEXEC);
	sl_ready_epoll_created(ep);
	assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_ADD, p.fd[1], &ev), 0);
	assert_int_equal(sock_send(&p, 0, buf, 10, 0), 10);
	assert_int_equal(sl_ready_epoll_wait(ep, &ev, 1, &patient, NULL), 1);
	start = cpu_ns();
	assert_int_equal(sl_ready_epoll_wait(ep, &ev, 1, &long_enough, NULL), 0);
	assert_true(cpu_ns() - start < 100000000);

	(void)fill(&p, 1);
	start = cpu_ns();
	assert_int_equal(polled(&p, 1, POLLOUT, &long_enough), 0);
	assert_true(cpu_ns() - start < 100000000);

	ev.events = EPOLLOUT;
	assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_MOD, p.fd[1], &ev), 0);
	start = cpu_ns();
	rc = sl_ready_epoll_wait(ep, &ev, 1, &long_enough, NULL);
	assert_int_equal(rc, 0);
	assert_true(cpu_ns() - start < 100000000);
	sl_ready_close(ep);
	(void)close(ep);
	sock_close(&p);
}

/* Deleted and added again, as some event loops do for every request. */
static void test_dormant(void **state)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 7}, got;
	struct sock_pair p;
	int ep;

	(void)state;
	sock_open_promoted(&p, SL_RING_LEN_MIN);
	ep = epoll_create1(EPOLL_CLOEXEC);
	sl_ready_epoll_created(ep);
	assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_ADD, p.fd[1], &ev), 0);
	assert_int_equal(sl_ready_epoll_wait(ep, &got, 1, &soon, NULL), 0); /* armed, cold */
	assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_DEL, p.fd[1], NULL), 0);
	assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_DEL, p.fd[1], NULL), -ENOENT);
	assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_MOD, p.fd[1], &ev), -ENOENT);
	assert_int_equal(sock_send(&p, 0, buf, 10, 0), 10);
	assert_int_equal(sl_ready_epoll_wait(ep, &got, 1, &soon, NULL), 0);
	ev.data.u64 = 8;
	assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_ADD, p.fd[1], &ev), 0);
	assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_ADD, p.fd[1], &ev), -EEXIST);
	assert_int_equal(sl_ready_epoll_wait(ep, &got, 1, &patient, NULL), 1);
	assert_int_equal(got.data.u64, 8);
	take(&p, 1, 10);
	assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_DEL, p.fd[1], NULL), 0);

	/* Demoted while it is dormant: nothing is left behind in the kernel. */
	sl_sock_refuse(p.s[1], p.fd[1], SL_WHY_OPT_FILTER);
	assert_int_equal(sock_send(&p, 0, buf, 10, 0), 10);
	take(&p, 1, 10);
	assert_int_equal(sock_send(&p, 1, buf, 10, 0), 10);
	take(&p, 0, 10);
	assert_int_equal(sock_send(&p, 0, buf, 10, 0), 10);
	assert_int_equal(sl_ready_epoll_wait(ep, &got, 1, &soon, NULL), 0);
	ev.data.u64 = 9;
	assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_ADD, p.fd[1], &ev), 0);
	assert_int_equal(sl_ready_epoll_wait(ep, &got, 1, &patient, NULL), 1);
	assert_int_equal(got.data.u64, 9);
	sl_ready_close(ep);
	(void)close(ep);
	sock_close(&p);
}

struct attached_meanwhile {
	struct sock_pair p;
	int ep;
	bool change; /* its registration, all the time */
	_Atomic bool attached;
	unsigned lost;
};

/* The thread whose instance it is: it waits, or changes what it waits for. */
static void *waits(void *arg)
{
	struct attached_meanwhile *m = arg;
	struct epoll_event ev, got;
	bool over, out = false;

	do {
		over = atomic_load(&m->attached);
		if (m->change) {
			out = !out && !over;
			ev.events = EPOLLIN | (out ? EPOLLOUT : 0);
			ev.data.u64 = 4711;
			(void)sl_ready_epoll_ctl(m->ep, EPOLL_CTL_MOD, m->p.fd[1], &ev);
		} else if (sl_ready_epoll_wait(m->ep, &got, 1, &now, NULL) != 1) {
			m->lost++;
		}
	} while (!over);
	return NULL;
}

static void attach_while_waiting(struct attached_meanwhile *m)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 4711}, got;
	pthread_t waiter;

	sock_open(&m->p);
	m->ep = epoll_create1(EPOLL_CLOEXEC);
	sl_ready_epoll_created(m->ep);
	assert_int_equal(sl_ready_epoll_ctl(m->ep, EPOLL_CTL_ADD, m->p.fd[1], &ev), 0);
	if (!m->change) {
		assert_int_equal(sock_send(&m->p, 0, buf, 10, 0), 10);
		assert_true(readable(m->p.fd[1]));
	}
	atomic_store(&m->attached, false);
	assert_int_equal(pthread_create(&waiter, NULL, waits, m), 0);
	sock_offer_answered(&m->p, SL_RING_LEN_MIN);
	sl_attach_try(m->p.s[1], m->p.fd[1]);
	sl_attach_try(m->p.s[0], m->p.fd[0]);
	atomic_store(&m->attached, true);
	assert_int_equal(pthread_join(waiter, NULL), 0);
	assert_true(sl_sock_attached(m->p.s[1]));
	if (m->change) {
		assert_int_equal(sl_ready_epoll_wait(m->ep, &got, 1, &now, NULL), 0);
		assert_int_equal(sock_send(&m->p, 0, buf, 10, 0), 10);
		assert_int_equal(sl_ready_epoll_wait(m->ep, &got, 1, &patient, NULL), 1);
	}
	take(&m->p, 1, 10);
	/* What lies in the kernel's queue is no data: the kernel's own registration would say so. */
	assert_int_equal(sl_ready_epoll_wait(m->ep, &got, 1, &now, NULL), 0);
	sl_ready_close(m->ep);
	(void)close(m->ep);
	sock_close(&m->p);
}

/* Another thread picks up the broker's answer while this one is about its epoll instance. */
static void test_attached_meanwhile(void **state)
{
	struct attached_meanwhile m = {0};
	unsigned i;

	(void)state;
	for (i = 0; i < 600; i++) {
		m.change = i % 2;
		attach_while_waiting(&m);
		assert_int_equal(m.lost, 0);
	}
}

/*
 * The end comes while the socket is out of the instance, which may have seen the kernel's only edge of it by then: who
 * adds the socket again is told, and gets the error that TCP would have given, once.
 */
static void test_dormant_end(void **state)
{
	static const struct linger rst = {.l_onoff = 1};
	struct epoll_event ev, got;
	struct sock_pair p;
	uint32_t want;
	int ep, i;

	(void)state;
	for (i = 0; i < 8; i++) {
		bool reset = i & 1, seen = i & 2;

		ev = (struct epoll_event){.events = EPOLLIN | EPOLLRDHUP | (i & 4 ? EPOLLET : 0)};
		sock_open_promoted(&p, SL_RING_LEN_MIN);
		ep = epoll_create1(EPOLL_CLOEXEC);
		sl_ready_epoll_created(ep);
		assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_ADD, p.fd[1], &ev), 0);
		assert_int_equal(sock_send(&p, 0, buf, 10, 0), 10);
		take(&p, 1, 10);
		assert_int_equal(sl_ready_epoll_wait(ep, &got, 1, &soon, NULL), 0); /* armed, cold */
		assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_DEL, p.fd[1], NULL), 0);
		if (reset)
			assert_int_equal(setsockopt(p.fd[0], SOL_SOCKET, SO_LINGER, &rst,
						    sizeof(rst)), 0);
		sl_sock_put(p.s[0]);
		(void)sl_sock_close(p.fd[0]);
		(void)close(p.fd[0]);
		if (seen)
			assert_int_equal(sl_ready_epoll_wait(ep, &got, 1, &soon, NULL), 0);
		ev.data.u64 = 12;
		assert_int_equal(sl_ready_epoll_ctl(ep, EPOLL_CTL_ADD, p.fd[1], &ev), 0);
		assert_int_equal(sl_ready_epoll_wait(ep, &got, 1, &patient, NULL), 1);
		want = EPOLLIN | EPOLLRDHUP | (reset ? EPOLLHUP | EPOLLERR : 0);
		assert_int_equal(got.events, want);
		assert_int_equal(got.data.u64, 12);
		if (reset)
			assert_int_equal(sock_recv(&p, 1, buf, 10, 0), -ECONNRESET);
		assert_int_equal(sock_recv(&p, 1, buf, 10, 0), 0);
		sl_ready_close(ep);
		(void)close(ep);
		sl_sock_put(p.s[1]);
		(void)sl_sock_close(p.fd[1]);
		sl_ready_close(p.fd[1]);
		(void)close(p.fd[1]);
	}
}

struct woken {
	struct sock_pair p;
	_Atomic int slot1; /* of its bell, + 1 */
	int revents;
};

static void *polls(void *arg)
{
	struct woken *w = arg;

	atomic_store(&w->slot1, sl_bell_mine() + 1);
	w->revents = polled(&w->p, 1, POLLIN, NULL);
	return NULL;
}

/* However often a sleeper was woken in vain: its bell wakes it the next time, too. */
static void test_woken_in_vain(void **state)
{
	static const uint64_t one = 1;
	struct woken w = {0};
	pthread_t sleeper;
	int bell, i, ms;

	(void)state;
	sl_env.bells = true;
	sock_open_promoted(&w.p, SL_RING_LEN_MIN);
	assert_int_equal(pthread_create(&sleeper, NULL, polls, &w), 0);
	while (!atomic_load(&w.slot1))
		(void)usleep(100);
	bell = sl_bell_fd(atomic_load(&w.slot1) - 1);
	for (i = 0; i < 10; i++) {
		assert_int_equal(write(bell, &one, sizeof(one)), sizeof(one));
		for (ms = 0; ms < 2000 && sl_sys_poll_now(bell, POLLIN); ms++)
			(void)usleep(1000);
		assert_int_equal(sl_sys_poll_now(bell, POLLIN), 0); /* it has heard */
	}
	assert_int_equal(sock_send(&w.p, 0, buf, 10, 0), 10);
	assert_int_equal(pthread_join(sleeper, NULL), 0);
	assert_int_equal(w.revents, POLLIN);
	take(&w.p, 1, 10);
	sock_close(&w.p);
}

static void test_deadline(void **state)
{
	struct timespec ts;
	struct sl_deadline d;

	(void)state;
	sl_deadline_init(&d, NULL);
	assert_null(sl_deadline_left(&d, &ts));
	assert_false(sl_deadline_over(&d));
	sl_deadline_init(&d, &now);
	assert_true(sl_deadline_over(&d));
	assert_int_equal(sl_deadline_left(&d, &ts)->tv_nsec, 0);
	sl_deadline_init(&d, &soon);
	assert_false(sl_deadline_over(&d));
	assert_in_range(sl_deadline_left(&d, &ts)->tv_nsec, 1, 20000000);
	(void)usleep(25000);
	assert_true(sl_deadline_over(&d));
	assert_int_equal(sl_deadline_left(&d, &ts)->tv_nsec, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_poll),	 cmocka_unit_test(test_level),
		cmocka_unit_test(test_edge),	 cmocka_unit_test(test_oneshot),
		cmocka_unit_test(test_room),	 cmocka_unit_test(test_leave),
		cmocka_unit_test(test_deadline), cmocka_unit_test(test_asleep),
		cmocka_unit_test(test_dormant),	 cmocka_unit_test(test_attached_meanwhile),
		cmocka_unit_test(test_dormant_end),
		cmocka_unit_test(test_woken_in_vain),
	};

	sock_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
