/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wait.c - one thread waits for one socket: spin, arm, look again, sleep
 *
 * The sleep is a real recv(fd, one byte, MSG_PEEK): it wakes for a bell, for data, for FIN and for
 * errors, takes nothing, and is interrupted, restarted (SA_RESTART), timed out (SO_RCVTIMEO) and
 * cancelled exactly as the recv() that it stands for. For that the queue must be empty first: bells
 * are drained before. A drained bell may have been meant for another sleeper too, so nobody drains
 * while others sleep on this socket (rx.sleepers); they will wake, as their bell is still there.
 * Epoll instances that wait on it in other threads are kicked instead (sl_sock_hooks.kick).
 *
 * Where the thread has a bell of its own (bell.h), the sleep is a ppoll of socket and bell, with SO_RCVTIMEO as its time limit.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include "bell.h"
#include "internal.h"
#include "real.h"
#include "spin.h"
#include "sys.h"

#define BELLS_MANY 256

struct sl_spin_purse sl_spin_purse;

bool sl_sock_same_cpu(struct sl_sock *s)
{
	struct sl_seg_shm *shm = s->link.seg.shm;
	uint32_t mine = sl_cpu(), peer;

	if (sl_unlikely(!mine))
		mine = sl_cpus_only;
	if (!shm || !mine)
		return false;
	if (atomic_load_explicit(&shm->side[s->link.seg.side].cpu, memory_order_relaxed) != mine)
		atomic_store_explicit(&shm->side[s->link.seg.side].cpu, mine, memory_order_relaxed);
	peer = atomic_load_explicit(&shm->side[1 - s->link.seg.side].cpu, memory_order_relaxed);
	return peer == mine || (!peer && sl_cpus_only);
}

/* Something that recv must act on: a record, END of file or an error. rx lock held. */
static bool in_ready(struct sl_sock *s, int fd)
{
	struct sl_side_shm *sd = s->side;

	if (sl_rx_hint(&s->link) || sl_tx_closed(&s->link) || sd->kfin || sd->err || sd->rx.fin ||
	    sd->dead)
		return true;
	if (sl_rx_memory(&s->link))
		return false;
	/* A START found by this very look was not there when we armed: arm again. */
	return sl_rx_avail(&s->link, fd, 1) != 0 || sl_rx_memory(&s->link);
}

/*
 * rx lock held. @ends: FIN and errors end the sleep that follows, and need not be known now.
 * Return true when the kernel's queue would not let us sleep.
 */
static bool quiet_kernel(struct sl_sock *s, int fd, bool ends, bool *kick)
{
	uint64_t before = s->side->rx.krcvd;
	int rc = ends ? sl_rx_hush(&s->link, fd, sl_may_drain(s))
		      : sl_rx_kernel(&s->link, fd, sl_may_drain(s));

	if (s->side->rx.krcvd != before && !__libc_single_threaded)
		*kick = true;
	return rc != 0;
}

static void kick(struct sl_sock *s)
{
	int how;

	if (!sl_sock_hooks.kick || !atomic_load(&s->items))
		return;
	how = sl_both_take(s);
	if (!how)
		return;
	sl_sock_hooks.kick(s);
	sl_both_release(s, how);
}

bool sl_look_kernel(struct sl_sock *s, int fd)
{
	uint64_t now = sl_coarse_ns();
	bool found, kicked = false;
	int how;

	if (now == s->kernel_look)
		return false;
	s->kernel_look = now;
	how = sl_rx_take(s);
	if (!how)
		return false;
	if (!sl_sock_attached(s)) { /* any more: the link is another's, or nobody's */
		sl_rx_release(s, how);
		return false;
	}
	fd = sl_still_fd(s, fd);
	/* One call says whether there is an end or an error. Bells may lie there until they are
	 * many. */
	if (sl_rx_bells(&s->link) >= BELLS_MANY ||
	    (sl_sys_poll_now(fd, POLLRDHUP) & (POLLRDHUP | POLLHUP | POLLERR)))
		(void)quiet_kernel(s, fd, false, &kicked);
	found = s->side->kfin || s->side->err;
	sl_rx_release(s, how);
	if (kicked)
		kick(s);
	return found;
}

static void waiter_gone(struct sl_sock *s)
{
	int how = sl_tx_take(s);

	if (!how)
		return;
	if (s->side->tx.waiters)
		s->side->tx.waiters--;
	if (s->waiters)
		s->waiters--;
	sl_tx_release(s, how);
}

/* One call's sleep: what is to be taken back if it is left in the middle. */
struct asleep {
	struct sl_pause pause;
	struct sl_sock *s;
	int ep;		      /* an epoll instance for the time of the sleep, or -1 */
	bool sleeper, waiter; /* counted as such */
	bool part;	      /* the call has moved bytes: a signal ends it */
	bool timeout;	      /* it ends by time, too: a signal ends it */
};

static void asleep_over(struct asleep *z)
{
	if (z->ep >= 0)
		sl_sys_close(z->ep);
	if (z->waiter)
		waiter_gone(z->s);
	if (z->sleeper)
		sl_sock_disarm(z->s);
	z->ep = -1;
	z->sleeper = z->waiter = false;
}

/* The thread is gone, or is somewhere else, and so is the reference that the call had. */
static void asleep_gone(void *arg)
{
	struct asleep *z = arg;
	asleep_over(z);
	sl_sock_put(z->s);
}

/* Has a signal handler run that ends the call? As Linux: where it has SA_RESTART, too, if there is
 * something to tell. */
static bool call_ends(const struct asleep *z)
{
	return sl_sect_ran_hard(&z->pause) || (sl_sect_ran(&z->pause) && (z->part || z->timeout));
}

/*
 * EINTR of a system call that is never restarted, standing for one that is: also where no handler
 * has run. A signal that is ignored after all interrupts such a call.
 */
static int interrupted(const struct asleep *z)
{
	return call_ends(z) ? -EINTR : 0;
}

static ssize_t peek(int fd, bool wait)
{
	char byte;

	return sl_real.recv(fd, &byte, 1, MSG_PEEK | (wait ? 0 : MSG_DONTWAIT));
}

/* recv() is restarted after a handler with SA_RESTART; poll() never is. Return: as peek(), errno
 * set. */
static ssize_t poll_in(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};
	struct timeval tv = {0};
	socklen_t len = sizeof(tv);
	int rc, ms = -1;

	if (sl_sys_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len) == 0 &&
	    (tv.tv_sec || tv.tv_usec))
		ms = (int)sl_min_u64((uint64_t)tv.tv_sec * 1000 +
					     ((uint64_t)tv.tv_usec + 999) / 1000,
				     INT32_MAX);
	rc = sl_real.poll(&p, 1, ms);
	if (rc == 0)
		errno = EAGAIN;
	if (rc <= 0)
		return -1;
	return p.revents == POLLIN ? 1 : peek(fd, false);
}

/* The native sleep. Return: 0 look again; -EINTR; -EAGAIN the socket's own timeout. */
static int sleep_on(struct asleep *z, int fd)
{
	struct sl_sock *s = z->s;
	volatile ssize_t n = -1;
	volatile int err = 0;
	int saved = errno;

	pthread_cleanup_push(sl_frame_cancelled, NULL);
	sl_sect_pause(&z->pause, asleep_gone, z);
	errno = EINTR;
	if (!call_ends(z))
		n = z->part ? poll_in(fd) : peek(fd, true);
	if (n < 0)
		err = errno;
	errno = saved;
	sl_sect_resume(&z->pause);
	pthread_cleanup_pop(0);
	if (sl_unlikely(sl_still_fd(s, fd) != fd) && err != EINTR && err != EAGAIN)
		err = 0; /* it may be of whatever has the number now: look again, by another */
	else if (n == 0)
		s->side->kfin = 1;
	else if (n < 0 && err != EINTR && err != EAGAIN) {
		sl_sock_error(s, err);
		err = 0;
	}
	asleep_over(z);
	return -err;
}

/* The same by a bell of this thread's own, for @timeout_us, 0: for ever. The ends are told as to poll(). */
static int sleep_by_bell(struct asleep *z, int fd, int slot, uint64_t timeout_us)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN | POLLRDHUP},
			      {.fd = slot < 0 ? -1 : sl_bell_fd(slot), .events = POLLIN}};
	struct timespec ts = {(time_t)(timeout_us / 1000000), (long)(timeout_us % 1000000) * 1000};
	volatile int rc = 0, n = 0;
	int saved = errno;

	pthread_cleanup_push(sl_frame_cancelled, NULL);
	sl_sect_pause(&z->pause, asleep_gone, z);
	if (call_ends(z)) {
		rc = -EINTR;
	} else {
		n = sl_real.ppoll(p, 2, timeout_us ? &ts : NULL, NULL);
		if (n < 0 && errno == EINTR)
			rc = interrupted(z);
		else if (n == 0)
			rc = -EAGAIN;
	}
	errno = saved;
	sl_sect_resume(&z->pause);
	pthread_cleanup_pop(0);
	if (n > 0 && p[1].revents) {
		sl_bell_silence(slot);
		sl_stat_page->vain_bells += !sl_rx_hint(&z->s->link);
	}
	if (n > 0 && sl_unlikely(p[0].revents & (POLLRDHUP | POLLHUP | POLLERR)) &&
	    sl_still_fd(z->s, fd) == fd) /* else look again, as above */
		sl_sock_kernel_event(z->s, fd, (uint32_t)p[0].revents);
	asleep_over(z);
	return rc;
}

/* This thread's bell, if it can sleep by it; -1. */
static int bell_for(const struct sl_sock *s)
{
	return s->side->rx.state != SL_RX_MEM ? -1 : sl_bell_mine();
}

/*
 * Bytes lie in the queue that may not be taken yet, or are another sleeper's: wait for a new edge. @slot: of this thread's
 * bell as well, or -1.
 */
static int sleep_edge(struct asleep *z, int fd, int timeout_ms, bool (*ready)(struct sl_sock *), int slot)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET}, got[2];
	int ep = (int)sl_sys(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0);
	int rc = 0, saved = errno;

	z->ep = ep;
	if (ep < 0 || sl_sys6(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, fd, (long)&ev, 0, 0) < 0) {
		sl_sys_yield();
		asleep_over(z);
		return 0;
	}
	if (slot >= 0)
		(void)sl_sys6(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, sl_bell_fd(slot), (long)&ev, 0, 0);
	/* The first events tell of what is there already. */
	(void)sl_sys6(SYS_epoll_wait, ep, (long)got, 2, 0, 0, 0);
	if (ready && ready(z->s)) {
		asleep_over(z);
		return 0;
	}
	pthread_cleanup_push(sl_frame_cancelled, NULL);
	sl_sect_pause(&z->pause, asleep_gone, z);
	if (call_ends(z)) {
		rc = -EINTR;
	} else {
		rc = sl_real.epoll_wait(ep, got, 2, timeout_ms);
		if (rc < 0)
			rc = errno == EINTR ? interrupted(z) : 0;
		else
			rc = rc ? 0 : -EAGAIN;
	}
	errno = saved;
	sl_sect_resume(&z->pause);
	pthread_cleanup_pop(0);
	asleep_over(z);
	return rc;
}

static bool spin_in(struct sl_sock *s, struct sl_spinning *sp)
{
	sl_spin_begin(sp, &s->rx_spin, sl_sock_same_cpu(s));
	do {
		if (sl_rx_hint(&s->link)) {
			sl_rx_fetch(&s->link);
			return true;
		}
	} while (!sl_sect_due() && sl_spin_on(sp));
	return false;
}

static bool receive_timeout(int fd)
{
	struct timeval tv = {0};
	socklen_t len = sizeof(tv);

	return sl_sys_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len) == 0 &&
	       (tv.tv_sec || tv.tv_usec);
}

int sl_wait_in(struct sl_sock *s, int fd, bool part)
{
	struct asleep z = {.s = s, .ep = -1, .part = part};
	bool ring = false, kicked = false, busy, ready, again;
	struct sl_spinning sp;
	uint32_t number;
	int how, rc, slot;

	if (spin_in(s, &sp)) {
		s->stat->rx.spin_hits++;
		sl_spin_done(&sp, false);
		return 0;
	}
	s->stat->rx.spin_misses++;
	if (sl_offer_due())
		sl_offer_pump();
	slot = bell_for(s);
	number = sl_bell_number(slot, s);
	how = sl_rx_take(s);
	if (!how)
		return -EAGAIN;
	if (!sl_sock_attached(s)) { /* any more: the caller finds out */
		sl_rx_release(s, how);
		return 0;
	}
	fd = sl_still_fd(s, fd);
	number = sl_bell_still(slot, s, number);
	rc = sl_rx_arm(&s->link, number, &ring);
	busy = rc == -EAGAIN;
	rc = busy ? 0 : rc;
	busy |= rc == 0 && quiet_kernel(s, fd, true, &kicked);
	ready = rc < 0 || in_ready(s, fd);
	if (!ready)
		sl_sleeper_on(s);
	z.sleeper = !ready;
	sl_rx_release(s, how);
	if (ring)
		sl_sock_ring(s, fd);
	if (kicked)
		kick(s);
	if (rc < 0) {
		sl_sock_reset(s, fd, SL_WHY_BAD_PEER);
		return 0;
	}
	if (ready)
		return 0;
	s->stat->rx.sleeps++;
	sl_stat_page->wakeups++;
	again = s->side->tx.state == SL_TX_BACK; /* nobody wakes us to send the rest */
	if (number)
		z.timeout = s->rcvtimeo_us != 0;
	else if (busy || again || sl_sect_due())
		z.timeout = receive_timeout(fd);
	if (busy || again)
		rc = sleep_edge(&z, fd, 10, NULL, -1);
	else
		rc = number ? sleep_by_bell(&z, fd, slot, s->rcvtimeo_us) : sleep_on(&z, fd);
	sl_spin_done(&sp, true);
	return (busy || again) && rc == -EAGAIN ? 0 : rc;
}

/* --- waiting for room --- */

static bool out_ready(struct sl_sock *s)
{
	struct sl_side_shm *sd = s->side;
	bool ready;
	int how;

	if (sd->kfin || sd->err || sd->dead)
		return true;
	how = sl_tx_take(s);
	if (!how)
		return true;
	sd = s->side; /* another thread may have detached it */
	ready = !sl_sock_attached(s) || sd->tx.state != SL_TX_MEM || sd->tx.fin ||
		sl_ring_room(&s->link.out, &sd->tx.ring, true) >= 64 ||
		sl_ring_closed(&s->link.out, &sd->tx.ring);
	sl_tx_release(s, how);
	return ready;
}

static int send_timeout_ms(int fd)
{
	struct timeval tv = {0};
	socklen_t len = sizeof(tv);

	if (sl_sys_getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, &len) < 0 ||
	    (!tv.tv_sec && !tv.tv_usec))
		return -1;
	return (int)sl_min_u64((uint64_t)tv.tv_sec * 1000 + ((uint64_t)tv.tv_usec + 999) / 1000,
			       INT32_MAX);
}

/*
 * What is left of SO_SNDTIMEO, which is for the whole call, @until being when it is over (0: not
 * known yet). Return: ms; -1 none is set; 0 it is over.
 */
static int send_time_left(int fd, uint64_t *until)
{
	int ms = send_timeout_ms(fd);
	uint64_t now;

	if (ms < 0)
		return -1;
	now = sl_now_ns();
	if (!*until)
		*until = now + (uint64_t)ms * 1000000;
	return *until <= now ? 0 : (int)((*until - now + 999999) / 1000000);
}

static bool spin_out(struct sl_sock *s, struct sl_spinning *sp)
{
	sl_spin_begin(sp, &s->tx_spin, sl_sock_same_cpu(s));
	do {
		if (out_ready(s))
			return true;
	} while (!sl_sect_due() && sl_spin_on(sp));
	return false;
}

/* The kernel lane is full. */
static int wait_kernel_out(struct asleep *z, int fd, uint64_t *until)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int saved = errno, ms = send_time_left(fd, until), rc;

	z->timeout = ms >= 0;
	pthread_cleanup_push(sl_frame_cancelled, NULL);
	sl_sect_pause(&z->pause, asleep_gone, z);
	if (call_ends(z)) {
		rc = -EINTR;
	} else {
		rc = sl_real.poll(&p, 1, ms);
		if (rc < 0)
			rc = errno == EINTR ? interrupted(z) : 0;
		else
			rc = rc ? 0 : -EAGAIN;
	}
	errno = saved;
	sl_sect_resume(&z->pause);
	pthread_cleanup_pop(0);
	return rc;
}

/* C1 comes last, after the drain: a bell that answers our WANT must not be drained by us. */
static bool want_room(struct sl_sock *s, size_t need, bool *stalls)
{
	int how = sl_tx_take(s);
	struct sl_tx_side *tx;
	bool ready;

	if (!how)
		return true;
	tx = &s->side->tx;
	ready = !sl_sock_attached(s) || tx->state != SL_TX_MEM || tx->fin ||
		sl_ring_want(&s->link.out, &tx->ring,
			     sl_min_size(need < 64 ? 64 : need,
					 sl_ring_worth(&s->link.out, &tx->ring)));
	if (!ready) {
		tx->waiters++;
		s->waiters++;
		*stalls = sl_may_stall(s);
	}
	sl_tx_release(s, how);
	return !ready;
}

/* @stalls: a peer that reads nothing is to be noticed (stall.c). */
static int sleep_out(struct asleep *z, int fd, bool busy, bool stalls, uint64_t *until)
{
	int timeout = send_time_left(fd, until), rc, ms = timeout, slot;
	struct sl_sock *s = z->s;

	if (timeout == 0) {
		asleep_over(z);
		return -EAGAIN;
	}
	z->timeout = timeout > 0;
	s->stat->tx.sleeps++;
	sl_stat_page->wakeups++;
	/*
	 * Bytes from before the switch lie unread, and may fill the window: then the bell cannot
	 * come. Nobody but the program may take them, so look again now and then.
	 */
	if (busy && (ms < 0 || ms > SL_UNCERTAIN_MS))
		ms = SL_UNCERTAIN_MS;
	/* A thread that shuts our direction down rings all of this process's bells. */
	slot = __libc_single_threaded ? -1 : sl_bell_mine();
	if (stalls && (ms < 0 || ms > SL_STALL_MS))
		ms = SL_STALL_MS;
	if (busy || timeout >= 0)
		rc = sleep_edge(z, fd, ms, out_ready, slot);
	else
		rc = slot >= 0 || stalls ? sleep_by_bell(z, fd, slot, stalls ? SL_STALL_MS * 1000 : 0) : sleep_on(z, fd);
	return rc == -EAGAIN && (timeout < 0 || ms != timeout) ? 0 : rc;
}

int sl_wait_out(struct sl_sock *s, int fd, size_t need, uint64_t *until, bool part)
{
	struct asleep z = {.s = s, .ep = -1, .part = part};
	bool kicked = false, stalls = false, busy, ready;
	struct sl_spinning sp;
	int how, rc;

	fd = sl_still_fd(s, fd);
	if (s->side->tx.state != SL_TX_MEM)
		return wait_kernel_out(&z, fd, until);
	if (spin_out(s, &sp)) {
		s->stat->tx.spin_hits++;
		sl_spin_done(&sp, false);
		return 0;
	}
	s->stat->tx.spin_misses++;

	how = sl_rx_take(s);
	if (!how)
		return -EAGAIN;
	ready = !sl_sock_attached(s);
	fd = sl_still_fd(s, fd);
	busy = !ready && quiet_kernel(s, fd, false, &kicked);
	ready = ready || s->side->kfin || s->side->err;
	if (!ready)
		sl_sleeper_on(s);
	z.sleeper = !ready;
	sl_rx_release(s, how);
	if (kicked)
		kick(s);
	if (ready)
		return 0;
	if (!want_room(s, need, &stalls)) {
		asleep_over(&z);
		return 0;
	}
	z.waiter = true;
	rc = sleep_out(&z, fd, busy, stalls, until);
	sl_spin_done(&sp, true);
	return rc;
}
