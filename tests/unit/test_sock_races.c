/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What another thread of the process may do between two looks at a socket: pick up the broker's answer and attach it,
 * detach it, attach it anew, take its offer back. And what of one stay on the memory lane must not be left for the next.
 * Where it can be, the other thread's step is made by hand, at the moment that hurts.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "bell.h"
#include "hidden.h"
#include "items.h"
#include "msg.h"
#include "sys.h"
#include "test_sock_util.h"

#define LIMIT_S 20 /* who hangs is killed by SIGALRM */

static const struct timespec now = {0}, soon = {.tv_nsec = 20000000}, patient = {.tv_sec = 2};
static char buf[1 << 20];

static void leave_both(struct sock_pair *p)
{
	unsigned i;
	int how;

	for (i = 0; i < 2; i++) {
		how = sl_both_take(p->s[i]);
		assert_int_equal(sl_leave_locked(p->s[i], p->fd[i], SL_WHY_DEMOTED), 0);
		sl_both_release(p->s[i], how);
	}
}

/* Both ends go back to TCP, and give the segment up. */
static void leave_and_detach(struct sock_pair *p)
{
	unsigned i;

	leave_both(p);
	for (i = 0; i < 2; i++) {
		assert_int_equal(sock_send(p, i, buf, 5, 0), 5);
		assert_int_equal(sock_recv(p, 1 - i, buf, 5, MSG_WAITALL), 5);
	}
	for (i = 0; i < 2; i++)
		(void)sock_recv(p, i, buf, 5, MSG_DONTWAIT);
	assert_false(sl_sock_attached(p->s[0]) || sl_sock_attached(p->s[1]));
}

static void attach_both(struct sock_pair *p)
{
	unsigned i;

	sock_offer_answered(p, SL_RING_LEN_MIN);
	for (i = 0; i < 2; i++)
		sl_attach_try(p->s[i], p->fd[i]);
	assert_true(sl_sock_attached(p->s[0]) && sl_sock_attached(p->s[1]));
}

/* --- offers --- */

/* A thread that is about to offer, while another has just decided that it is never to be promoted, or attached it. */
static void test_offer_too_late(void **state)
{
	struct sock_pair p;

	(void)state;
	sock_open(&p);
	(void)sl_offer_withdraw(p.s[0]);
	sl_offer_out(p.s[0], p.fd[0]);
	assert_int_equal(atomic_load(&p.s[0]->offer), SL_OFFER_NEVER);
	sock_close(&p);

	sock_open_promoted(&p, SL_RING_LEN_MIN);
	sl_offer_out(p.s[0], p.fd[0]);
	assert_int_equal(atomic_load(&p.s[0]->offer), SL_OFFER_TAKEN);
	sock_close(&p);
}

struct answer {
	struct sl_sock *s;
	_Atomic unsigned round, over;
};

#define LAST UINT32_MAX

/* Close behind the other thread; it may need this very core. */
static void await(_Atomic unsigned *at, unsigned round)
{
	unsigned spins = 0;

	while (atomic_load(at) < round)
		if (++spins % 4096 == 0)
			sl_sys_yield();
}

static void *withdraws(void *arg)
{
	struct answer *a = arg;
	unsigned i, spins;

	for (i = 1;; i++) {
		await(&a->round, i);
		if (atomic_load(&a->round) == LAST)
			return NULL;
		for (spins = 0; spins < i % 400 * 8; spins++)
			sl_cpu_relax();
		(void)sl_offer_withdraw(a->s);
		atomic_store(&a->over, i);
	}
}

/* In the place of the broker. Return: its end of this process's connection to it. */
static int be_broker(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	socklen_t len;
	int l, c;

	(void)snprintf(sl_env.broker, sizeof(sl_env.broker), "scilan-test-%d", (int)getpid());
	(void)snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1, "%s", sl_env.broker);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(sl_env.broker));
	l = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(l, (void *)&sun, len), 0);
	assert_int_equal(listen(l, 1), 0);
	sl_env.promote_calls = 4;
	while (sl_hidden_get(SL_HIDDEN_BROKER) < 0) { /* not again so soon */
		sl_offer_connect();
		(void)usleep(1000);
	}
	sl_env.promote_calls = SL_PROMOTE_OFF;
	c = accept(l, NULL, NULL);
	assert_true(c >= 0);
	(void)close(l);
	return c;
}

static void broker_ends(int broker)
{
	(void)close(broker);
	sl_offer_pump();
	assert_int_equal(sl_hidden_get(SL_HIDDEN_BROKER), -1);
}

/* One thread picks up the broker's answer while another takes the offer back: it is not attached then. */
static void test_answer_withdrawn(void **state)
{
	uint64_t end = until_ns(1500);
	struct answer a = {0};
	struct sl_msg m = {.pair = 1}, seen;
	int broker, fds[2], got[SL_MSG_FDS];
	unsigned i, undone = 0;
	struct sock_pair p;
	pthread_t other;

	(void)state;
	(void)alarm(LIMIT_S);
	sock_open(&p);
	a.s = p.s[0];
	a.s->tx_inflight = 1; /* not attached at once: the answer waits for a quiet moment */
	broker = be_broker();
	fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(pthread_create(&other, NULL, withdraws, &a), 0);
	for (i = 1; sl_now_ns() < end; i++) {
		a.s->offer_id = m.id = (uint64_t)i << 32 | (a.s->index + 1);
		a.s->offer_gen = sl_offer_generation();
		atomic_store(&a.s->offer, SL_OFFER_OUT);
		m.type = i % 2 ? SL_MSG_PAIRED : SL_MSG_REFUSED;
		m.arg = SL_WHY_LIMIT_BROKER; /* ask again */
		assert_int_equal(sl_msg_send(broker, &m, fds, i % 2 ? 2 : 0), 0);
		atomic_store(&a.round, i);
		sl_offer_pump();
		await(&a.over, i);
		undone += atomic_load(&a.s->offer) != SL_OFFER_NEVER || a.s->pair_fd[0] >= 0;
		while (sl_msg_recv(broker, &seen, got) > 0)
			;
	}
	atomic_store(&a.round, LAST);
	assert_int_equal(pthread_join(other, NULL), 0);
	print_message("%u rounds\n", i - 1);
	assert_int_equal(undone, 0);
	a.s->tx_inflight = 0;
	(void)close(fds[0]);
	(void)close(fds[1]);
	broker_ends(broker);
	sock_close(&p);
	(void)alarm(0);
}

/* --- waiting for one socket --- */

struct sleeps {
	struct sock_pair p;
	bool polls;
};

/* It has looked, and found nothing. */
static void *sleeps(void *arg)
{
	struct sleeps *w = arg;

	if (w->polls) {
		(void)sl_sock_arm(w->p.s[0], w->p.fd[0], EPOLLIN, true, sl_bell_mine());
		sl_sock_disarm(w->p.s[0]);
	} else {
		sl_sect_enter();
		must(sl_wait_in(w->p.s[0], w->p.fd[0], false) == 0);
		sl_sect_leave();
	}
	return NULL;
}

/* A thread waits for @l, which this one holds. */
static void await_waiter(struct sl_lock *l)
{
	while (!(atomic_load(&l->word) & SL_LOCK_WAITERS))
		(void)usleep(100);
}

/*
 * It knows its bell's number, and before it can arm with that the socket is detached, the broker started anew, and the
 * socket paired by that one: there the number is another's.
 */
static void armed_too_late(bool polls)
{
	struct sl_msg welcome = {.type = SL_MSG_WELCOME, .arg = SL_MSG_VERSION, .id = 7};
	struct sleeps w = {.polls = polls};
	int broker, how;
	struct sl_sock *s;
	pthread_t t;

	(void)alarm(LIMIT_S);
	sl_env.bells = true;
	broker = be_broker();
	assert_int_equal(sl_msg_send(broker, &welcome, NULL, 0), 0);
	sl_offer_pump();
	sock_open_promoted(&w.p, SL_RING_LEN_MIN);
	s = w.p.s[0];
	assert_int_equal(sock_send(&w.p, 1, buf, 1, 0), 1);
	assert_int_equal(sock_recv(&w.p, 0, buf, 1, 0), 1);
	s->offer_gen = s->link.bell.gen = sl_offer_generation();

	how = sl_both_take(s);
	assert_int_equal(pthread_create(&t, NULL, sleeps, &w), 0);
	await_waiter(&s->rx_lock);
	s->offer_gen = s->link.bell.gen = sl_offer_generation() + 1;
	sl_both_release(s, how);
	while (sl_rx_hint_word(&s->link) == SL_EMPTY)
		(void)usleep(100);
	assert_int_equal(sl_rx_hint_word(&s->link), sl_word_armed(0));
	assert_int_equal(sock_send(&w.p, 1, buf, 1, 0), 1);
	assert_int_equal(pthread_join(t, NULL), 0);
	sock_close(&w.p);
	broker_ends(broker);
	sl_env.bells = false;
	(void)alarm(0);
}

static void test_bell_of_another_broker(void **state)
{
	(void)state;
	armed_too_late(false);
	armed_too_late(true);
}

/* Detached between the look that found nothing and the wait: the segment is another connection's by now. */
static void test_wait_detached(void **state)
{
	struct sock_pair p, q;
	uint64_t until = 0, before;

	(void)state;
	(void)alarm(LIMIT_S);
	sock_open_promoted(&p, SL_RING_LEN_MIN);
	leave_and_detach(&p);
	sock_open_promoted(&q, SL_RING_LEN_MIN); /* at the same addresses */
	assert_int_equal(sock_send(&q, 0, buf, 10, 0), 10);
	assert_int_equal(sock_recv(&q, 1, buf, 10, 0), 10);

	sl_sect_enter();
	assert_int_equal(sl_wait_in(p.s[0], p.fd[0], false), 0);
	assert_int_equal(p.s[0]->side->rx.sleepers, 0);
	assert_int_equal(sl_wait_out(p.s[0], p.fd[0], 100, &until, false), 0);
	assert_int_equal(p.s[0]->side->rx.sleepers, 0);
	sl_sect_leave();

	/* A look at the kernel takes no bytes for bells, and leaves the other connection alone. */
	assert_int_equal(sock_send(&p, 1, buf, 10, 0), 10);
	assert_true(readable(p.fd[0]));
	before = q.s[0]->side->rx.krcvd;
	p.s[0]->kernel_look = 0;
	(void)sl_look_kernel(p.s[0], p.fd[0]);
	assert_int_equal(q.s[0]->side->rx.krcvd, before);
	assert_int_equal(sock_recv(&p, 0, buf, 20, MSG_DONTWAIT), 10);
	assert_int_equal(sock_send(&q, 1, buf, 10, 0), 10);
	assert_int_equal(sock_recv(&q, 0, buf, 10, 0), 10);
	sock_close(&q);
	sock_close(&p);
	(void)alarm(0);
}

/* A poller is counted as a sleeper of the stay in which it wakes up, or not at all. */
static void test_arm_detached(void **state)
{
	struct sock_pair p;

	(void)state;
	sock_open_promoted(&p, SL_RING_LEN_MIN);
	leave_and_detach(&p);
	assert_int_equal(sl_sock_arm(p.s[0], p.fd[0], EPOLLIN, true, -1), SL_ARM_GONE);
	assert_int_equal(p.s[0]->side->rx.sleepers, 0);
	attach_both(&p);
	assert_int_equal(sl_sock_arm(p.s[0], p.fd[0], EPOLLIN, true, -1), 0);
	assert_int_equal(p.s[0]->side->rx.sleepers, 1);
	sl_sock_disarm(p.s[0]);
	assert_int_equal(p.s[0]->side->rx.sleepers, 0);
	sock_close(&p);
}

struct blocked {
	struct sock_pair p;
	ssize_t sent;
};

static void *sends(void *arg)
{
	struct blocked *b = arg;

	b->sent = sock_send(&b->p, 0, buf, sizeof(buf), MSG_NOSIGNAL);
	return NULL;
}

/* Both directions are on the memory lane, and @sender waits for room. @timeout: SO_SNDTIMEO, or NULL */
static void block(struct blocked *b, pthread_t *sender, const struct timeval *timeout)
{
	unsigned i;

	sock_open_promoted(&b->p, SL_RING_LEN_MIN);
	if (timeout)
		assert_int_equal(setsockopt(b->p.fd[0], SOL_SOCKET, SO_SNDTIMEO, timeout, sizeof(*timeout)),
				 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(sock_send(&b->p, i, buf, 10, 0), 10);
		assert_int_equal(sock_recv(&b->p, 1 - i, buf, 10, 0), 10);
	}
	assert_int_equal(pthread_create(sender, NULL, sends, b), 0);
	while (!*(volatile uint32_t *)&b->p.s[0]->waiters ||
	       !*(volatile uint32_t *)&b->p.s[0]->side->tx.waiters)
		(void)usleep(1000);
}

/* Who waits for room is told when another thread shuts the sending direction down, as by TCP. */
static void shut_down_sender(const struct timeval *timeout)
{
	struct blocked b = {0};
	pthread_t t;

	(void)alarm(LIMIT_S);
	block(&b, &t, timeout);
	(void)usleep(20000); /* asleep: nothing tells of that */
	assert_int_equal(sl_sock_shutdown(b.p.s[0], b.p.fd[0], SHUT_WR), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_true(b.sent == -EPIPE || (b.sent > 0 && b.sent < (ssize_t)sizeof(buf)));
	sock_close(&b.p);
	(void)alarm(0);
}

static void test_shutdown_wakes_sender(void **state)
{
	static const struct timeval never = {0}, late = {.tv_sec = 60};

	(void)state;
	shut_down_sender(&never);
	shut_down_sender(&late);
}

/* --- bells of a stay that is over --- */

/* The stay is over for both, and a bell lies unread at the second. */
static void leave_with_bell(struct sock_pair *p)
{
	unsigned i;
	int how;

	sock_open_promoted(p, SL_RING_LEN_MIN);
	for (i = 0; i < 2; i++) {
		assert_int_equal(sock_send(p, i, buf, 10, 0), 10);
		assert_int_equal(sock_recv(p, 1 - i, buf, 10, 0), 10);
	}
	(void)sl_sock_arm(p->s[1], p->fd[1], EPOLLIN, false, -1);
	assert_int_equal(sock_send(p, 0, buf, 10, 0), 10);
	assert_int_equal(sock_recv(p, 1, buf, 10, 0), 10);
	assert_true(readable(p->fd[1]));
	for (i = 0; i < 2; i++) {
		how = sl_both_take(p->s[i]);
		assert_int_equal(sl_leave_locked(p->s[i], p->fd[i], SL_WHY_DEMOTED), 0);
		sl_both_release(p->s[i], how);
	}
	for (i = 0; i < 3; i++)
		assert_int_equal(sock_recv(p, 0, buf, 10, MSG_DONTWAIT), -EAGAIN);
}

/* Killed with nothing but that bell unread: its kernel says RST, and it is the end of the stream. */
static void test_killed_with_old_bell(void **state)
{
	static const struct linger reset = {.l_onoff = 1};
	struct sock_pair p;
	unsigned i;

	(void)state;
	(void)alarm(LIMIT_S);
	leave_with_bell(&p);
	assert_true(sl_sock_attached(p.s[0]));
	for (i = 0; i < 2; i++) { /* taken: nothing is in the way any more */
		assert_int_equal(sock_recv(&p, 1, buf, 10, MSG_DONTWAIT), -EAGAIN);
		assert_int_equal(sock_recv(&p, 0, buf, 10, MSG_DONTWAIT), -EAGAIN);
	}
	assert_false(sl_sock_attached(p.s[0]) || sl_sock_attached(p.s[1]));
	sock_close(&p);

	leave_with_bell(&p);
	assert_int_equal(setsockopt(p.fd[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	(void)close(p.fd[1]);
	assert_int_equal(sock_recv(&p, 0, buf, 10, 0), 0);
	sock_close(&p);
	(void)alarm(0);
}

/* One that only sends takes note of the end of the other direction, for which its peer waits. */
static void test_sender_takes_note(void **state)
{
	struct sock_pair p;

	(void)state;
	(void)alarm(LIMIT_S);
	leave_with_bell(&p);
	assert_true(sl_sock_attached(p.s[0]));
	assert_int_equal(sock_send(&p, 1, buf, 10, 0), 10);
	assert_int_equal(sock_recv(&p, 0, buf, 10, 0), 10);
	assert_false(sl_sock_attached(p.s[0]));
	sock_close(&p);
	(void)alarm(0);
}

/* --- instances --- */

static void instance_close(struct instance *in)
{
	sl_ready_close(in->ep);
	(void)close(in->ep);
}

/* Another thread looked whether the registration is ours, and wakes the instance when it is the program's again. */
static void test_kick_too_late(void **state)
{
	struct instance in;
	struct sl_item *it;

	(void)state;
	sock_open_promoted(&in.p, SL_RING_LEN_MIN);
	instance_open(&in, EPOLLIN | EPOLLET);
	it = sl_item_find(sl_ep_of(in.ep), in.p.fd[1]);
	leave_and_detach(&in.p);
	sl_ep_kick(sl_ep_of(in.ep), it);
	(void)epolled(&in, &now);
	assert_int_equal(sock_send(&in.p, 0, buf, 5, 0), 5);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(sock_recv(&in.p, 1, buf, 5, 0), 5);
	instance_close(&in);
	sock_close(&in.p);
}

/* Armed with the instance's bell, demoted, and closed: no place in the instance is left to it. */
static void test_belled_and_gone(void **state)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 4711};
	struct instance in;
	struct sl_ep *ep;
	unsigned i;

	(void)state;
	(void)alarm(LIMIT_S);
	in.ep = epoll_create1(EPOLL_CLOEXEC);
	sl_ready_epoll_created(in.ep);
	ep = sl_ep_of(in.ep);
	for (i = 0; i < SL_BELLED_MAX + 4; i++) {
		sock_open_promoted(&in.p, SL_RING_LEN_MIN);
		assert_int_equal(sl_ready_epoll_ctl(in.ep, EPOLL_CTL_ADD, in.p.fd[1], &ev), 0);
		assert_int_equal(sl_ready_epoll_ctl(in.ep, EPOLL_CTL_MOD, in.p.fd[1], &ev), 0);
		assert_int_equal(epolled(&in, &soon), 0);
		assert_int_equal(ep->nbelled, 1);
		leave_and_detach(&in.p);
		sl_sock_put(in.p.s[0]);
		sl_sock_put(in.p.s[1]);
		for (int k = 0; k < 2; k++) {
			(void)sl_sock_close(in.p.fd[k]);
			sl_ready_close(in.p.fd[k]);
			(void)close(in.p.fd[k]);
		}
		assert_int_equal(ep->nbelled, 0);
	}
	instance_close(&in);
	(void)alarm(0);
}

/* --- attached in a native call, or by another thread while it is awake --- */

static struct sock_pair *answered;

/* The kernel's queue is full; meanwhile another thread picks the answer up. */
static ssize_t full_send(int fd, const void *data, size_t len, int flags)
{
	(void)fd, (void)data, (void)len, (void)flags;
	sock_offer_answered(answered, SL_RING_LEN_MIN);
	sl_attach_try(answered->s[0], answered->fd[0]);
	errno = EAGAIN;
	return -1;
}

/* A program that was told by the kernel that there is no room is told of room when the ring is there. */
static void test_full_then_attached(void **state)
{
	ssize_t (*real)(int, const void *, size_t, int) = sl_real.send;
	struct instance in;

	(void)state;
	sock_open(&in.p);
	instance_open(&in, EPOLLOUT | EPOLLET);
	assert_int_equal(epolled(&in, &patient), EPOLLOUT);
	assert_int_equal(epolled(&in, &now), 0);
	answered = &in.p;
	sl_real.send = full_send;
	assert_int_equal(sock_send(&in.p, 1, buf, 10, MSG_DONTWAIT), -EAGAIN);
	sl_real.send = real;
	assert_true(sl_sock_attached(in.p.s[1]));
	assert_int_equal(epolled(&in, &patient), EPOLLOUT);
	instance_close(&in);
	sock_close(&in.p);
}

static int (*real_setsockopt)(int, int, int, const void *, socklen_t);

static int attached_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	int rc;

	if (name != SO_RCVLOWAT)
		sl_attach_try(answered->s[0], fd);
	rc = real_setsockopt(fd, level, name, val, len);
	sl_attach_try(answered->s[0], fd);
	return rc;
}

static int option(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int v = -1;

	assert_int_equal(getsockopt(fd, level, name, &v, &len), 0);
	return v;
}

/* Another thread attaches the socket while an option is set that is ours then. */
static void test_option_while_attaching(void **state)
{
	struct sock_pair p;
	int off = 0, low = 100;

	(void)state;
	real_setsockopt = sl_real.setsockopt;
	answered = &p;

	sock_open(&p);
	sock_offer_answered(&p, SL_RING_LEN_MIN);
	sl_real.setsockopt = attached_setsockopt;
	assert_int_equal(sl_sock_setsockopt(p.s[0], p.fd[0], IPPROTO_TCP, TCP_NODELAY, &off,
					    sizeof(off)), 0);
	sl_real.setsockopt = real_setsockopt;
	sl_attach_try(p.s[0], p.fd[0]);
	assert_true(sl_sock_attached(p.s[0]));
	assert_int_equal(p.s[0]->nodelay, 0); /* the program's */
	assert_int_equal(option(p.fd[0], IPPROTO_TCP, TCP_NODELAY), 1); /* a bell must not wait */
	sock_close(&p);

	sock_open(&p);
	sock_offer_answered(&p, SL_RING_LEN_MIN);
	sl_real.setsockopt = attached_setsockopt;
	assert_int_equal(sl_sock_setsockopt(p.s[0], p.fd[0], SOL_SOCKET, SO_RCVLOWAT, &low,
					    sizeof(low)), 0);
	sl_real.setsockopt = real_setsockopt;
	sl_attach_try(p.s[0], p.fd[0]);
	assert_true(sl_sock_attached(p.s[0]));
	assert_int_equal(p.s[0]->lowat, 100);
	assert_int_equal(option(p.fd[0], SOL_SOCKET, SO_RCVLOWAT), 1);
	sock_close(&p);
}

static int (*real_attaching)(struct sl_sock *);

/* A thread that slept in an instance wakes as the registration becomes ours, and the kernel has told it of an end. */
static int attaching_and_ended(struct sl_sock *s)
{
	int rc = real_attaching(s);

	sl_sock_kernel_event(s, s->fd, EPOLLRDHUP);
	return rc;
}

static void test_end_while_attaching(void **state)
{
	struct sock_pair p;

	(void)state;
	sock_open(&p);
	sock_offer_answered(&p, SL_RING_LEN_MIN);
	real_attaching = sl_sock_hooks.attaching;
	sl_sock_hooks.attaching = attaching_and_ended;
	sl_attach_try(p.s[0], p.fd[0]);
	sl_sock_hooks.attaching = real_attaching;
	assert_true(sl_sock_attached(p.s[0]));
	assert_int_equal(p.s[0]->side->kfin, 1);
	sock_close(&p);
}

/* --- kept on TCP with bytes unread in the ring --- */

static void *answers(void *arg)
{
	char byte;

	must(sock_recv(arg, 1, &byte, 1, 0) == 1);
	return NULL;
}

/*
 * An instance that shows what the kernel knows alone, and bytes in the ring that the kernel does not know of: the peer,
 * which waits for an answer, sends them again.
 */
static void unread_in(uint32_t flags, bool nested)
{
	struct epoll_event ev = {.events = EPOLLIN | flags, .data.u64 = 4711};
	struct instance in;
	struct pollfd f;
	pthread_t peer;
	unsigned i;

	(void)alarm(LIMIT_S);
	sock_open_promoted(&in.p, SL_RING_LEN_MIN);
	for (i = 0; i < 2; i++) {
		assert_int_equal(sock_send(&in.p, i, buf, 10, 0), 10);
		assert_int_equal(sock_recv(&in.p, 1 - i, buf, 10, 0), 10);
	}
	assert_int_equal(sock_send(&in.p, 1, buf, 10, 0), 10);
	assert_int_equal(pthread_create(&peer, NULL, answers, &in.p), 0);
	in.ep = epoll_create1(EPOLL_CLOEXEC);
	sl_ready_epoll_created(in.ep);
	assert_int_equal(sl_ready_epoll_ctl(in.ep, EPOLL_CTL_ADD, in.p.fd[0], &ev), 0);
	f = (struct pollfd){.fd = in.ep, .events = POLLIN};
	for (i = 10; i; i -= 5) { /* as long as there is something, it says so */
		if (nested)
			assert_int_equal(sl_ready_poll(&f, 1, &patient, NULL), 1);
		assert_int_equal(epolled(&in, &patient), EPOLLIN);
		assert_int_equal(sock_recv(&in.p, 0, buf, 5, 0), 5);
	}
	if (nested)
		assert_int_equal(sl_ready_poll(&f, 1, &soon, NULL), 0);
	assert_int_equal(epolled(&in, &soon), 0);
	assert_int_equal(sock_send(&in.p, 0, buf, 1, 0), 1);
	assert_int_equal(pthread_join(peer, NULL), 0);
	instance_close(&in);
	sock_close(&in.p);
	(void)alarm(0);
}

static void test_refused_unread(void **state)
{
	(void)state;
	unread_in(EPOLLEXCLUSIVE, false);
	unread_in(0, true);
}

/* The same while another thread waits for room. */
static void test_refused_while_sending(void **state)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = 4711};
	struct blocked b = {0};
	struct instance in;
	pthread_t sender;

	(void)state;
	(void)alarm(LIMIT_S);
	block(&b, &sender, NULL);
	in.p = b.p;
	in.ep = epoll_create1(EPOLL_CLOEXEC);
	sl_ready_epoll_created(in.ep);
	assert_int_equal(sl_ready_epoll_ctl(in.ep, EPOLL_CTL_ADD, in.p.fd[0], &ev), 0);
	assert_int_equal(sock_send(&b.p, 1, buf, 10, 0), 10);
	assert_int_equal(epolled(&in, &patient), EPOLLIN);
	assert_int_equal(sock_recv(&b.p, 0, buf, 10, 0), 10);
	assert_int_equal(sock_recv(&b.p, 1, buf, sizeof(buf), MSG_WAITALL), sizeof(buf));
	assert_int_equal(pthread_join(sender, NULL), 0);
	instance_close(&in);
	sock_close(&b.p);
	(void)alarm(0);
}

/* Refused while another thread waits for room: it stays on the memory lane until that has it, and no longer. */
static void test_refused_is_left(void **state)
{
	struct blocked b = {0};
	pthread_t sender;
	int on = 1;

	(void)state;
	(void)alarm(LIMIT_S);
	block(&b, &sender, NULL);
	assert_int_equal(sl_sock_ioctl(b.p.s[0], b.p.fd[0], FIOASYNC, &on), 0);
	assert_int_equal(b.p.s[0]->side->tx.state, SL_TX_MEM);
	assert_int_equal(sock_recv(&b.p, 1, buf, sizeof(buf), MSG_WAITALL), sizeof(buf));
	assert_int_equal(pthread_join(sender, NULL), 0);
	assert_int_equal(b.sent, sizeof(buf));
	assert_true(!sl_sock_attached(b.p.s[0]) || b.p.s[0]->side->tx.state == SL_TX_DONE);
	assert_int_equal(b.p.s[0]->stat->reason, SL_WHY_ASYNC);
	sock_close(&b.p);
	(void)alarm(0);
}

/* --- fork --- */

/* A thread of the parent sleeps on it in the kernel: the child has no such thread. */
static void test_fork_while_asleep(void **state)
{
	struct sock_pair p;
	int status = -1;
	pid_t pid;

	(void)state;
	sock_open(&p);
	assert_true(sl_sock_native_sleep(p.s[0]));
	sl_sock_fork_prepare();
	pid = fork();
	if (pid == 0) {
		sl_sock_fork_child();
		_exit(p.s[0]->native_sleepers == 0 ? 0 : 1);
	}
	sl_sock_fork_parent(pid < 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(p.s[0]->native_sleepers, 1);
	assert_false(sl_sock_native_awake(p.s[0]));
	sock_close(&p);
}

/* --- close --- */

static struct sock_pair *closes;
static int third[2];
static int (*real_poll)(struct pollfd *, nfds_t, int);

/* Another thread closes the socket in the meantime, and the program gets another one by that number. */
static int closed_poll(struct pollfd *p, nfds_t n, int ms)
{
	int fd = closes->fd[0];

	sl_real.poll = real_poll;
	assert_int_equal(sl_sock_close(fd), 0);
	assert_int_equal(dup2(third[0], fd), fd);
	assert_int_equal(sock_send(closes, 1, buf, 10, 0), 10);
	p->revents = p->events;
	(void)ms;
	return (int)n;
}

static void closed_in_call(struct sock_pair *p)
{
	sock_open_promoted(p, SL_RING_LEN_MIN);
	assert_int_equal(sock_send(p, 1, buf, 10, 0), 10);
	tcp_pair(third, 0, 0);
	assert_int_equal(send(third[1], "others'", 7, 0), 7);
	closes = p;
	real_poll = sl_real.poll;
	sl_real.poll = closed_poll;
}

static void closed_over(struct sock_pair *p)
{
	char got[20];

	assert_true(sl_real.poll == real_poll);
	assert_int_equal(recv(third[0], got, sizeof(got), MSG_DONTWAIT), 7); /* all of it */
	assert_int_equal(recv(third[1], got, sizeof(got), MSG_DONTWAIT), -1);
	(void)close(third[0]);
	(void)close(third[1]);
	assert_int_equal(sock_recv(p, 1, buf, 10, MSG_DONTWAIT), -EAGAIN); /* no end before the call is over */
	sock_close(p);
}

/* A call on a socket that is closed under it goes on, and not with whatever has its number then. */
static void test_closed_in_call(void **state)
{
	struct sock_pair p;
	int pipe_fd[2];

	(void)state;
	(void)alarm(LIMIT_S);
	closed_in_call(&p);
	assert_int_equal(sock_recv(&p, 0, buf, 20, MSG_PEEK | MSG_WAITALL), 20);
	closed_over(&p);

	closed_in_call(&p);
	assert_int_equal(pipe(pipe_fd), 0);
	assert_int_equal(write(pipe_fd[1], "ours", 4), 4);
	assert_int_equal(sl_sock_splice_in(p.s[0], p.fd[0], pipe_fd[0], 100, 0), 4);
	assert_int_equal(sock_recv(&p, 1, buf, 10, 0), 4);
	closed_over(&p);
	(void)close(pipe_fd[0]);
	(void)close(pipe_fd[1]);
	(void)alarm(0);
}

static int raced_fd[2]; /* a pipe, that others use, too */
static unsigned raced;

/* It can be read; then another has read it. And before the next look there is something new. */
static int emptied_poll(struct pollfd *p, nfds_t n, int ms)
{
	char got[20];
	int rc;

	if (p->fd != raced_fd[0])
		return real_poll(p, n, ms);
	if (raced)
		assert_int_equal(write(raced_fd[1], "news", 4), 4);
	rc = real_poll(p, n, ms);
	if (!raced++)
		assert_int_equal(read(raced_fd[0], got, sizeof(got)), 4);
	return rc;
}

/* It has room; then another has filled it. */
static int filled_poll(struct pollfd *p, nfds_t n, int ms)
{
	static char page[4096];
	int rc, i;

	if (p->fd != raced_fd[1])
		return real_poll(p, n, ms);
	for (i = 0; raced && i < 16; i++)
		assert_int_equal(read(raced_fd[0], page, sizeof(page)), sizeof(page));
	rc = real_poll(p, n, ms);
	for (i = 0; !raced && i < 16; i++)
		assert_int_equal(write(raced_fd[1], page, sizeof(page)), sizeof(page));
	raced++;
	return rc;
}

static void leave_one(struct sock_pair *p, unsigned i)
{
	int how = sl_both_take(p->s[i]);

	assert_int_equal(sl_leave_locked(p->s[i], p->fd[i], SL_WHY_DEMOTED), 0);
	sl_both_release(p->s[i], how);
}

/* Another empties or fills the pipe of a splice between our look at it and our turn: nobody waits for it with a lock held. */
static void splice_raced(bool by_tcp)
{
	struct sock_pair p;
	char got[20];

	(void)alarm(LIMIT_S);
	sock_open_promoted(&p, SL_RING_LEN_MIN);
	assert_int_equal(pipe(raced_fd), 0);
	if (by_tcp)
		leave_one(&p, 0);
	real_poll = sl_real.poll;

	sl_real.poll = emptied_poll;
	raced = 0;
	assert_int_equal(write(raced_fd[1], "olds", 4), 4);
	assert_int_equal(sl_sock_splice_in(p.s[0], p.fd[0], raced_fd[0], 100, 0), 4);
	assert_int_equal(raced, 2);
	assert_int_equal(sock_recv(&p, 1, got, sizeof(got), 0), 4);
	assert_memory_equal(got, "news", 4);

	sl_real.poll = filled_poll;
	raced = 0;
	assert_int_equal(sock_send(&p, 1, "back", 4, 0), 4);
	assert_int_equal(sl_sock_splice_out(p.s[0], p.fd[0], raced_fd[1], 100, 0), 4);
	assert_int_equal(raced, 2);
	assert_int_equal(read(raced_fd[0], got, sizeof(got)), 4);
	assert_memory_equal(got, "back", 4);

	sl_real.poll = real_poll;
	(void)close(raced_fd[0]);
	(void)close(raced_fd[1]);
	sock_close(&p);
	(void)alarm(0);
}

static void test_splice_raced(void **state)
{
	(void)state;
	splice_raced(false);
	splice_raced(true);
}

/* Killed with our bytes unread in the ring: the kernel says FIN, and TCP would have told a reset, once, then EPIPE. */
static void killed(struct sock_pair *p)
{
	int how = sl_rx_take(p->s[1]), null = open("/dev/null", O_RDWR);

	assert_int_equal(sl_rx_kernel(&p->s[1]->link, p->fd[1], true), 0); /* with bells unread it were RST */
	sl_rx_release(p->s[1], how);
	assert_int_equal(dup2(null, p->fd[1]), p->fd[1]);
	(void)close(null);
}

/* A pair in which side 1 has read something, and not what lies there now. */
static void open_unread(struct sock_pair *p)
{
	(void)alarm(LIMIT_S);
	sock_open_promoted(p, SL_RING_LEN_MIN);
	assert_int_equal(sock_send(p, 0, buf, 10, 0), 10);
	assert_int_equal(sock_recv(p, 1, buf, 10, 0), 10);
	assert_int_equal(sock_send(p, 0, buf, 10, 0), 10);
}

static void test_killed_unread_sender(void **state)
{
	struct sock_pair p;

	(void)state;
	open_unread(&p);
	killed(&p);
	sl_sock_kernel_event(p.s[0], p.fd[0], EPOLLIN | EPOLLRDHUP);
	assert_int_equal(sock_send(&p, 0, buf, 10, MSG_NOSIGNAL), -ECONNRESET);
	assert_int_equal(sock_send(&p, 0, buf, 10, MSG_NOSIGNAL), -EPIPE);
	sock_close(&p);
	(void)alarm(0);
}

/* The same for a reader, which has left the lane: its kernel's end of file is not all that is to be told. */
static void test_killed_unread_left(void **state)
{
	struct sock_pair p;
	int how;

	(void)state;
	open_unread(&p);
	how = sl_both_take(p.s[0]);
	assert_int_equal(sl_leave_locked(p.s[0], p.fd[0], SL_WHY_CHAOS), 0);
	sl_both_release(p.s[0], how);
	assert_int_equal(sock_send(&p, 1, buf, 10, 0), 10);
	assert_int_equal(sock_recv(&p, 0, buf, 10, 0), 10);
	assert_true(sl_sock_attached(p.s[0]));
	killed(&p);
	assert_int_equal(sock_recv(&p, 0, buf, 10, 0), -ECONNRESET);
	assert_int_equal(sock_recv(&p, 0, buf, 10, 0), 0);
	sock_close(&p);
	(void)alarm(0);
}

/* It has given the segment up already, and resets the connection: nothing of that is a crash that bells could explain. */
static void test_reset_detached(void **state)
{
	static const struct linger none = {.l_onoff = 1};
	int null = open("/dev/null", O_RDWR);
	struct sock_pair p;

	(void)state;
	(void)alarm(LIMIT_S);
	sock_open_promoted(&p, SL_RING_LEN_MIN);
	leave_both(&p);
	assert_int_equal(sock_recv(&p, 0, buf, 5, MSG_DONTWAIT), -EAGAIN);
	assert_false(sl_sock_attached(p.s[0]));
	assert_true(sl_sock_attached(p.s[1]));
	assert_int_equal(setsockopt(p.fd[0], SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
	assert_int_equal(dup2(null, p.fd[0]), p.fd[0]);
	(void)close(null);
	sl_sock_kernel_event(p.s[1], p.fd[1], EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP);
	assert_int_equal(sock_recv(&p, 1, buf, 5, 0), -ECONNRESET);
	assert_int_equal(sock_recv(&p, 1, buf, 5, 0), 0);
	sock_close(&p);
	(void)alarm(0);
}

/*
 * The writer has asked for room, left the lane, sent much by TCP, and closed. The reader makes room only now: its bell would
 * be answered by RST, and what the kernel still had to send would be lost.
 */
static void room_after(int shut)
{
	struct pollfd out = {.events = POLLOUT};
	size_t sent = 0, got = 0;
	struct sock_pair p;
	unsigned lane;
	ssize_t n;
	int how;

	sock_open_promoted(&p, SL_RING_LEN_MIN);
	out.fd = p.fd[0];
	for (lane = 0; lane < 2; lane++) {
		while ((n = sock_send(&p, 0, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
			sent += (size_t)n;
		assert_int_equal(n, -EAGAIN);
		if (lane)
			break;
		assert_int_equal(sl_ready_poll(&out, 1, &soon, NULL), 0);
		how = sl_both_take(p.s[0]);
		assert_int_equal(sl_leave_locked(p.s[0], p.fd[0], SL_WHY_DEMOTED), 0);
		sl_both_release(p.s[0], how);
	}
	if (shut >= 0) {
		assert_int_equal(sl_sock_shutdown(p.s[0], p.fd[0], shut), 0);
	} else {
		sl_sock_put(p.s[0]); /* no call is under way */
		assert_int_equal(sl_sock_close(p.fd[0]), 0);
		assert_int_equal(close(p.fd[0]), 0);
	}
	while ((n = sock_recv(&p, 1, buf, 8192, 0)) > 0)
		got += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(got, sent);
	if (shut < 0) {
		p.fd[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
		sl_sock_track(p.fd[0], false);
		p.s[0] = sl_sock_get(p.fd[0]);
	}
	sock_close(&p);
}

static void test_room_after_close(void **state)
{
	(void)state;
	room_after(-1);
}

static void test_room_after_shutdown(void **state)
{
	(void)state;
	room_after(SHUT_RDWR);
	room_after(SHUT_WR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offer_too_late),
		cmocka_unit_test(test_wait_detached),
		cmocka_unit_test(test_arm_detached),
		cmocka_unit_test(test_shutdown_wakes_sender),
		cmocka_unit_test(test_killed_with_old_bell),
		cmocka_unit_test(test_sender_takes_note),
		cmocka_unit_test(test_kick_too_late),
		cmocka_unit_test(test_belled_and_gone),
		cmocka_unit_test(test_full_then_attached),
		cmocka_unit_test(test_option_while_attaching),
		cmocka_unit_test(test_end_while_attaching),
		cmocka_unit_test(test_answer_withdrawn),
		cmocka_unit_test(test_bell_of_another_broker),
		cmocka_unit_test(test_fork_while_asleep),
		cmocka_unit_test(test_refused_unread),
		cmocka_unit_test(test_refused_while_sending),
		cmocka_unit_test(test_refused_is_left),
		cmocka_unit_test(test_closed_in_call),
		cmocka_unit_test(test_splice_raced),
		cmocka_unit_test(test_killed_unread_sender),
		cmocka_unit_test(test_killed_unread_left),
		cmocka_unit_test(test_reset_detached),
		cmocka_unit_test(test_room_after_close),
		cmocka_unit_test(test_room_after_shutdown),
	};

	sock_setup();
	(void)strcpy(sl_env.broker, "scilan-test-nobody");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
