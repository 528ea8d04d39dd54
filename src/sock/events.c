/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * events.c - the one readiness function, and what a waiter for many sockets needs: arm, edge
 *
 * On the memory lane the ring tells; on the kernel lane of an attached connection (before START, after
 * END) the kernel is asked. FIN, errors and hang-ups are the kernel's to tell: they are noted when a wake-up, a
 * receive or a look at the kernel finds them.
 */
#include <poll.h>
#include <sys/epoll.h>
#include "bell.h"
#include "internal.h"
#include "sys.h"

/* poll's and epoll's bits are the same numbers on Linux for all that is used here. */
_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLRDHUP == POLLRDHUP &&
		       EPOLLHUP == POLLHUP && EPOLLERR == POLLERR,
	       "same bits");

#define IN_BITS	 (EPOLLIN | EPOLLRDNORM)
#define OUT_BITS (EPOLLOUT | EPOLLWRNORM)
#define CLOSED	 (1u << 31) /* the peer takes nothing more: it has left, or means a reset */

static uint32_t in_events(struct sl_sock *s, int fd, uint32_t want)
{
	struct sl_side_shm *sd = s->side;
	uint32_t ev = 0;
	ssize_t n;
	int how = sl_sock_glance(s);

	/* The usual cases. */
	if (how == 0)
		return 0;
	if (how > 0 && !(want & EPOLLRDHUP))
		return IN_BITS;
	how = sl_rx_take(s);
	if (!how)
		return 0;
	if (!sl_sock_attached(s)) {
		ev = (uint32_t)sl_sys_poll_now(sl_still_fd(s, fd), POLLIN | POLLRDHUP); /* locked: nobody attaches it */
		sl_rx_release(s, how);
		return ev;
	}
	fd = sl_still_fd(s, fd);
	sd = s->side; /* before, another thread may have been attaching or detaching it */
	n = sl_rx_avail(&s->link, fd, sl_lowat(s));
	if (n < 0 || n >= (ssize_t)sl_lowat(s))
		ev |= IN_BITS;
	if (!sl_rx_memory(&s->link)) {
		int k = sl_sys_poll_now(fd, POLLIN | POLLRDHUP);

		if (k > 0 && (k & POLLRDHUP))
			sd->kfin = 1;
	}
	/* A FIN behind unread data. Behind END the ring holds what it held before: nothing to look at. */
	if (n > 0 && (want & EPOLLRDHUP) && sl_rx_memory(&s->link))
		(void)sl_ring_scan(&s->link.in, &sd->rx.ring);
	if (sd->kfin)
		sl_link_ended(&s->link);
	if (sd->kfin || sd->rx.fin || sd->rx.ring.fin || sd->rdshut)
		ev |= IN_BITS | EPOLLRDHUP;
	if (sd->err)
		ev |= IN_BITS;
	sl_rx_release(s, how);
	return ev;
}

static uint32_t out_events(struct sl_sock *s, int fd)
{
	struct sl_side_shm *sd;
	uint32_t ev = 0;
	int how = sl_tx_take(s);

	if (!how)
		return 0;
	sd = s->side;
	if (sd->tx.state == SL_TX_BACK)
		ev = 0; /* the kernel's queue is full of what was given back */
	else if (sd->tx.fin || sd->err)
		ev = OUT_BITS; /* an error tells itself at once */
	else if (sl_sock_attached(s) && sd->tx.state == SL_TX_MEM && !sd->kfin) {
		if (sl_unlikely(sl_ring_closed(&s->link.out, &sd->tx.ring)))
			ev = OUT_BITS | CLOSED;
		else if (sl_tx_roomy(&s->link) || sl_stalled(s))
			ev = OUT_BITS;
	} else if (sl_sys_poll_now(sl_still_fd(s, fd), POLLOUT) & POLLOUT) {
		ev = OUT_BITS;
	}
	sl_tx_release(s, how);
	return ev;
}

/* Something has ended, or is about to: what the kernel and the errors that it told us of add. */
static uint32_t end_events(struct sl_sock *s, int fd, uint32_t want)
{
	struct sl_side_shm *sd = s->side;
	uint32_t ev = 0;
	int k;

	fd = sl_still_fd(s, fd);
	if (sd->tx.fin && (sd->rx.fin || sd->kfin || sd->rdshut))
		ev |= EPOLLHUP;
	k = sl_sys_poll_now(fd, sd->dead ? (short)(want & 0x7fff) : 0);
	if (k > 0)
		ev |= (uint32_t)k;
	if (sd->masked)
		ev &= ~(uint32_t)EPOLLHUP;
	if (sd->reset || sd->err)
		ev |= IN_BITS | OUT_BITS | EPOLLRDHUP | EPOLLHUP;
	if (sd->err)
		ev |= EPOLLERR;
	return ev;
}

uint32_t sl_sock_events(struct sl_sock *s, int fd, uint32_t want)
{
	struct sl_side_shm *sd = s->side;
	uint32_t ev = 0;

	want |= EPOLLERR | EPOLLHUP;
	if (want & OUT_BITS)
		ev |= out_events(s, fd);
	if (sl_unlikely(ev & CLOSED)) {
		fd = sl_still_fd(s, fd);
		sl_sock_kernel_event(s, fd, (uint32_t)sl_sys_poll_now(fd, POLLRDHUP));
	}
	if (want & (IN_BITS | EPOLLRDHUP))
		ev |= in_events(s, fd, want);
	/* Once FIN has come no more bells do: errors and hang-ups are the kernel's. */
	if (sl_unlikely(sd->dead || sd->kfin || sd->tx.fin || sd->rx.fin || sd->err))
		ev |= end_events(s, fd, want);
	if (sl_unlikely(want & EPOLLPRI) && sl_sys_poll_now(sl_still_fd(s, fd), POLLPRI) == POLLPRI)
		ev |= EPOLLPRI;
	ev &= want;
	/* The caller is about to wait: for an answer, perhaps, that will not come before ours. */
	if (!ev && sl_sock_attached(s) && sl_unlikely(sl_tx_hint(&s->link)))
		sl_answer(s, fd);
	return ev;
}

void sl_sock_error(struct sl_sock *s, int err)
{
	int how = sl_rx_take(s);

	if (!how)
		return;
	if (sl_sock_attached(s)) {
		sl_link_error(&s->link, err);
	} else {
		s->side->err = err;
		s->side->dead = 1;
	}
	sl_rx_release(s, how);
}

void sl_sock_kernel_event(struct sl_sock *s, int fd, uint32_t events)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (events & (EPOLLRDHUP | EPOLLHUP))
		s->side->kfin = 1;
	if (!(events & (EPOLLERR | EPOLLHUP)))
		return;
	/* Where it is not attached the kernel's error is for the program's own calls to find. */
	if (sl_sock_attached(s) && (events & EPOLLERR) &&
	    sl_sys_getsockopt(sl_still_fd(s, fd), SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err)
		sl_sock_error(s, err);
	s->side->dead = 1;
}

uint64_t sl_sock_edge(struct sl_sock *s)
{
	struct sl_side_shm *sd;
	bool attached;
	uint64_t edge;
	int how = sl_rx_take(s);

	if (!how)
		return 0;
	sd = s->side;
	attached = sl_sock_attached(s);
	if (attached && sd->rx.state == SL_RX_TCP)
		(void)sl_rx_avail(&s->link, s->fd, 1); /* finds START */
	if (attached && sd->rx.state != SL_RX_DONE) {
		(void)sl_ring_scan(&s->link.in, &sd->rx.ring);
		sl_rx_set_hint(&s->link);
	}
	edge = sl_rx_arrived(attached ? &s->link : NULL, &sd->rx, s->fd);
	edge += (sd->kfin || sd->rx.ring.fin) + sd->dead;
	if (!attached && s->rx_inflight)
		edge = SL_EDGE_UNKNOWN;
	sl_rx_release(s, how);
	return edge;
}

unsigned sl_sock_arm(struct sl_sock *s, int fd, uint32_t want, bool drain, int slot)
{
	uint32_t bell = sl_bell_number(slot, s);
	bool ring = false, uncertain = false;
	int how = sl_rx_take(s);

	if (!how)
		return 0;
	if (!sl_sock_attached(s)) {
		sl_rx_release(s, how);
		return SL_ARM_GONE;
	}
	fd = sl_still_fd(s, fd);
	uncertain = sl_rx_arm(&s->link, sl_bell_still(slot, s, bell), &ring) == -EAGAIN;
	if (drain) {
		(void)sl_rx_hush(&s->link, fd, sl_may_drain(s));
		sl_sleeper_on(s);
		s->stat->rx.sleeps++;
	}
	sl_rx_release(s, how);
	if (ring)
		sl_sock_ring(s, fd);
	uncertain |= s->side->tx.state == SL_TX_BACK; /* nobody wakes us to send the rest */
	if (!(want & OUT_BITS))
		return uncertain ? SL_ARM_UNCERTAIN : 0;
	how = sl_tx_take(s);
	if (!how)
		return uncertain ? SL_ARM_UNCERTAIN : 0;
	if (sl_sock_attached(s) && s->side->tx.state == SL_TX_MEM &&
	    !sl_tx_roomy(&s->link))
		uncertain |= !sl_ring_want(&s->link.out, &s->side->tx.ring,
					  sl_ring_worth(&s->link.out, &s->side->tx.ring)) &&
			    (s->side->rx.state == SL_RX_TCP || sl_may_stall(s) ||
			     (drain && sl_others_may_leave(s)));
	sl_tx_release(s, how);
	return uncertain ? SL_ARM_UNCERTAIN : 0;
}

void sl_sock_disarm(struct sl_sock *s)
{
	int how = sl_rx_take(s);

	if (!how)
		return;
	sl_sleeper_off(s);
	sl_rx_release(s, how);
}

bool sl_sock_native_sleep(struct sl_sock *s)
{
	int how = sl_rx_take(s);
	bool attached = sl_sock_attached(s);

	if (!how)
		return !attached;
	if (!attached)
		s->native_sleepers++;
	sl_rx_release(s, how);
	return !attached;
}

bool sl_sock_native_awake(struct sl_sock *s)
{
	int how = sl_rx_take(s);
	bool attached = sl_sock_attached(s);

	if (!how)
		return attached;
	if (s->native_sleepers) {
		s->native_sleepers--;
		/* sl_attach_try() counted it among the sleepers. */
		if (attached)
			sl_sleeper_off(s);
	}
	sl_rx_release(s, how);
	return attached;
}

bool sl_sock_kernel_out(struct sl_sock *s)
{
	return s->side->tx.state != SL_TX_MEM;
}
