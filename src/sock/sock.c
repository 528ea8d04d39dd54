/* SPDX-License-Identifier: BSD-2-Clause */
/* sock.c - the life of an endpoint: tracked, dup'ed, shut down, closed */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include "bell.h"
#include "hidden.h"
#include "internal.h"
#include "log.h"
#include "real.h"
#include "sys.h"

#define ORPHAN_FDS 1000 /* descriptors of our own are from here on */

void sl_sock_init(void)
{
	sl_fdtab_init();
	sl_stat_init();
	sl_bell_init();
}

/* Another descriptor of this process that stands for @s, or -1. */
static int other_fd(struct sl_sock *s, int not)
{
	int fd = -1;

	while ((fd = sl_fdtab_next(fd + 1)) >= 0)
		if (fd != not && sl_fdtab_load(fd) == (uintptr_t)s)
			return fd;
	return -1;
}

/* @fd is out of the table: calls that need one of @s's numbers take another. That may be closed at this moment, too. */
static SL_SHORT void renumber(struct sl_sock *s, int fd, bool last)
{
	int next;

	do {
		next = last ? -1 : other_fd(s, fd);
		if (!atomic_compare_exchange_strong(&s->fd, &fd, next))
			return;
		s->stat->fd = next;
		fd = next;
	} while (next >= 0 && sl_fdtab_load(next) != (uintptr_t)s);
}

int sl_moved_fd(const struct sl_sock *s, int fd)
{
	if (!atomic_load(&s->orphan) && sl_fdtab_load(fd) == (uintptr_t)s)
		return fd;
	return s->fd;
}

/* A number of @s is about to be closed. Return: no other stands for it, but for those that are being closed, too. */
static SL_SHORT bool closing(struct sl_sock *s)
{
	uint64_t now = atomic_fetch_add(&s->numbers, SL_NUMBER_CLOSING) + SL_NUMBER_CLOSING;

	return now / SL_NUMBER_CLOSING >= (uint32_t)now;
}

void sl_numbers_recount(struct sl_sock *s)
{
	uint32_t n = 0;
	int fd = -1;

	if (atomic_load(&s->numbers) < SL_NUMBER_CLOSING)
		return;
	while ((fd = sl_fdtab_next(fd + 1)) >= 0)
		n += sl_fdtab_load(fd) == (uintptr_t)s;
	atomic_store(&s->numbers, n);
}

/* The entry's own reference and the descriptor it stood for are gone. */
static SL_SHORT void drop_number(struct sl_sock *s, int fd, bool last)
{
	if (!last && sl_sock_hooks.closed)
		sl_sock_hooks.closed(s, fd);
	renumber(s, fd, last);
	if ((uint32_t)atomic_fetch_sub(&s->numbers, SL_NUMBER_CLOSING + 1) == 1 &&
	    sl_sock_hooks.gone)
		sl_sock_hooks.gone(s, fd);
	sl_sock_put(s);
}

static SL_SHORT void drop_entry(uintptr_t old, int fd)
{
	struct sl_sock *s = (struct sl_sock *)old;

	if (old == SL_FD_YOUNG)
		sl_young_end(fd);
	if (old && !(old & 3))
		drop_number(s, fd, closing(s));
}

SL_SHORT void sl_sock_untrack(int fd)
{
	uintptr_t e = sl_fdtab_load(fd);

	if (e && !(e & 1))
		drop_entry(sl_fdtab_swap(fd, 0), fd);
}

SL_SHORT enum sl_reason sl_first_reason(bool connecting)
{
	if (sl_env.promote_calls == SL_PROMOTE_OFF)
		return SL_WHY_OFF;
	return connecting ? SL_WHY_CONNECTING : SL_WHY_YOUNG;
}

struct sl_sock *sl_sock_new(int fd, bool connecting)
{
	struct sl_sock *s = sl_pool_get();

	if (!s)
		return NULL;
	s->fd = fd;
	s->numbers = 1;
	s->connecting = connecting;
	if (sl_env.promote_calls == SL_PROMOTE_OFF)
		atomic_store(&s->offer, SL_OFFER_NEVER);
	s->stat->fd = fd;
	s->stat->reason = sl_first_reason(connecting);
	s->stat->used = 1;
	return s;
}

SL_SHORT void sl_sock_track(int fd, bool connecting)
{
	struct sl_sock *s;
	uintptr_t old;

	if ((unsigned)fd >= SL_FD_MAX)
		return;
	sl_sock_untrack(fd); /* closed behind our back, or connected anew */
	if (sl_young_born(fd, connecting))
		return;
	s = sl_sock_new(fd, connecting);
	if (!s)
		return;
	old = sl_fdtab_swap(fd, (uintptr_t)s);
	if (old == UINTPTR_MAX) {
		sl_sock_put(s);
		return;
	}
	drop_entry(old, fd);
}

/* One more number for a socket that an exec has left us; the reference is the entry's. */
bool sl_sock_enter(struct sl_sock *s, int fd)
{
	uintptr_t old;

	if ((unsigned)fd >= SL_FD_MAX)
		return false;
	atomic_fetch_add(&s->refs, 1);
	old = sl_fdtab_swap(fd, (uintptr_t)s);
	if (old == UINTPTR_MAX) {
		sl_sock_put(s);
		return false;
	}
	drop_entry(old, fd);
	atomic_fetch_add(&s->numbers, 1);
	return true;
}

SL_SHORT void sl_sock_connected(int fd)
{
	struct sl_sock *s = sl_env.promote_calls == 0 ? sl_sock_get(fd) : NULL;
	int err = errno;

	if (!s)
		return;
	/* A server that only accepts makes no other call of ours: it takes its answers here. */
	if (sl_offer_due())
		sl_offer_pump();
	sl_stat_addresses(s, fd);
	if (atomic_load(&s->offer) == SL_OFFER_NONE && !sl_passes_on)
		sl_offer_out(s, fd);
	sl_sock_put(s);
	errno = err;
}

void sl_sock_dup(int oldfd, int newfd)
{
	struct sl_sock *s = sl_sock_get(oldfd);
	int none = -1;
	uintptr_t old;

	if (!s) {
		sl_sock_untrack(newfd);
		return;
	}
	if (newfd == oldfd) {
		sl_sock_put(s);
		return;
	}
	/* The reference goes to the new entry. */
	atomic_fetch_add(&s->numbers, 1);
	old = sl_fdtab_swap(newfd, (uintptr_t)s);
	if (old == UINTPTR_MAX) {
		/* A number beyond the table: calls through it would go past us. */
		atomic_fetch_sub(&s->numbers, 1);
		sl_sock_refuse(s, oldfd, SL_WHY_LIMIT_FILES);
		sl_sock_put(s);
		return;
	}
	drop_entry(old, newfd);
	if (atomic_compare_exchange_strong(&s->fd, &none, newfd))
		s->stat->fd = newfd;
}

/* Besides those that close it. Both they and the numbers have a reference. */
static bool in_calls(const struct sl_sock *s)
{
	uint64_t numbers = atomic_load(&s->numbers);

	return !s->strays &&
	       atomic_load(&s->refs) > (uint32_t)numbers + numbers / SL_NUMBER_CLOSING;
}

/*
 * Other threads are in calls on it: they go on, and the peer sees no end before they are through. Not where a fork
 * has copied what is counted, as the threads are not in the child.
 */
static bool make_orphan(struct sl_sock *s, int fd)
{
	int how, keep = -1;

	if (__libc_single_threaded || !sl_sock_attached(s) || s->side->shared || !in_calls(s))
		return false;
	how = sl_both_take(s);
	if (!how)
		return false;
	if (sl_sock_attached(s) && atomic_load(&s->orphan) == SL_ORPHAN_NOT)
		keep = sl_sys_fcntl(fd, F_DUPFD_CLOEXEC, ORPHAN_FDS);
	if (keep >= 0) {
		s->fd = keep;
		atomic_store_explicit(&s->orphan, SL_ORPHAN, memory_order_release);
	}
	sl_both_release(s, how);
	return keep >= 0;
}

bool sl_orphan_end(struct sl_sock *s)
{
	uint8_t was = SL_ORPHAN;

	if (!atomic_compare_exchange_strong(&s->orphan, &was, SL_ORPHAN_ENDS))
		return was == SL_ORPHAN_NOT;
	atomic_store_explicit(&s->closed, true, memory_order_relaxed); /* where the process ends, others may be in calls */
	sl_sock_finish(s, s->fd);
	sl_sys_close(s->fd);
	s->fd = -1;
	atomic_store(&s->orphan, SL_ORPHAN_NOT);
	return true;
}

/*
 * A number of @s is out of the table. Calls that found it there, and use it under a lock, are waited for. Who is about to
 * sleep on it sleeps on its bell, too: it looks again, and takes another number.
 */
static void wait_for_users(struct sl_sock *s)
{
	int how = sl_both_take(s);
	bool asleep = s->sleepers || s->waiters;

	if (how)
		sl_both_release(s, how);
	if (asleep)
		sl_bell_ring_own();
}

int sl_sock_close(int fd)
{
	bool copied = false, last;
	struct sl_sock *s;
	uintptr_t old;

	if (sl_fdtab_load(fd) == SL_FD_YOUNG) {
		sl_sock_untrack(fd);
		return 0;
	}
	if (sl_unlikely(sl_hidden_is(fd)))
		return -EBADF;
	s = sl_sock_get(fd);
	if (sl_likely(!s))
		return 0;
	last = closing(s);
	atomic_store_explicit(&s->moved, true, memory_order_release);
	if (last && !make_orphan(s, fd)) {
		atomic_store_explicit(&s->closed, true, memory_order_relaxed);
		copied = sl_sock_finish(s, fd);
	}
	old = sl_fdtab_swap(fd, 0);
	if (sl_likely(old == (uintptr_t)s)) {
		drop_number(s, fd, last);
	} else { /* closed twice, at the same moment */
		atomic_fetch_sub(&s->numbers, SL_NUMBER_CLOSING);
		drop_entry(old, fd);
	}
	if (sl_sock_attached(s) && !__libc_single_threaded)
		wait_for_users(s);
	/* With the number out of all instances: they would see it hang up. */
	if (sl_unlikely(copied))
		sl_sock_end_now(fd);
	sl_sock_put(s);
	return 0;
}

/* Both locks held; attached. */
static void end_sending(struct sl_sock *s, int fd)
{
	bool ring = false;

	/* L4: after FIN we can ring nobody. */
	(void)sl_rx_close(&s->link, &ring);
	if (ring)
		(void)sl_tx_bell(&s->link, fd);
	(void)sl_tx_fin(&s->link, fd);
	sl_stat_reason(s, SL_WHY_HALF_CLOSED);
	if (sl_sock_hooks.kick)
		sl_sock_hooks.kick(s);
}

int sl_sock_shutdown(struct sl_sock *s, int fd, int how)
{
	bool waits, in = how == SHUT_RD || how == SHUT_RDWR;
	bool over = sl_sock_attached(s) && !s->side->masked && (sl_sys_poll_now(fd, 0) & POLLHUP);
	int took, rc, saved = errno;

	/* Before the call: it wakes readers. Not where it will fail, or there is nothing left to do. */
	if (in && !over)
		s->side->rdshut = 1;

	if (!over && ((in && s->side->tx.fin) || how == SHUT_WR || how == SHUT_RDWR)) {
		took = sl_both_take(s);
		if (!took)
			return -EAGAIN;
		fd = sl_still_fd(s, fd);
		if (sl_sock_attached(s) && how != SHUT_RD)
			end_sending(s, fd);
		/* Shut down in both directions is as closed, to the kernel. It wakes whoever sleeps. */
		if (sl_sock_attached(s) && s->side->rdshut)
			sl_link_deafen(&s->link, fd, false);
		s->side->tx.fin = 1;
		waits = s->waiters;
		sl_both_release(s, took);
		if (waits)
			sl_bell_ring_own(); /* the kernel wakes nobody who only receives */
		if (!sl_sock_attached(s))
			sl_offer_withdraw(s);
	}
	rc = sl_real.shutdown(sl_still_fd(s, fd), how);
	if (rc < 0) {
		rc = errno == ENOTCONN && s->side->masked ? 0 : -errno;
		errno = saved;
	}
	return rc;
}
