/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * epoll.c - registrations: epoll_ctl, and what happens to them at promotion and demotion
 *
 * The kernel's registration of a promoted socket is input + output + hang-up, edge-triggered. A bell makes an
 * input edge; output edges come only after a send on the kernel lane had found it full. Asking
 * for output too has a use: modifying such a registration always yields an event, since the kernel side can
 * nearly always be written to. That is how a sleeper is woken from within the process (kick).
 */
#include <errno.h>
#include "bell.h"
#include "env.h"
#include "hidden.h"
#include "items.h"
#include "ready.h"
#include "real.h"
#include "sys.h"

#define OURS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static SL_SHORT int raw_ctl(struct sl_ep *ep, int op, int fd, struct epoll_event *ev)
{
	return (int)sl_sys6(SYS_epoll_ctl, ep->epfd, op, fd, (long)ev, 0, 0);
}

static int our_ctl(struct sl_item *it, int op)
{
	struct epoll_event ev = {.events = OURS, .data.u64 = sl_item_tag(it)};

	if (!it->listed)
		return -ENOENT; /* the number may be another file's by now */
	it->ep->ours = true;
	atomic_store(&it->modified, op == EPOLL_CTL_MOD);
	return raw_ctl(it->ep, op, it->fd, &ev);
}

/*
 * The program's own registration. EPOLLONESHOT carries our tag, so that we learn that it has fired: it must not fire
 * once more when the socket is promoted. So does EPOLLET, where we know what the program was told (known).
 */
static int native_ctl(struct sl_item *it, int op, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data = it->want.data};

	if (((it->want.events & EPOLLONESHOT) || ((it->want.events & EPOLLET) && it->known)) &&
	    !it->ep->forked) {
		it->ep->ours = true;
		ev.data.u64 = sl_item_tag(it);
	}
	return raw_ctl(it->ep, op, it->fd, &ev);
}

static void watch_broker(struct sl_ep *ep, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = SL_TAG_BROKER};

	/* Its news would make the instance readable for whoever polls it. */
	if (fd < 0 || ep->nested || (ep->broker_fd == fd && ep->broker_gen == sl_offer_generation()))
		return;
	ep->ours = true;
	ep->broker_fd = fd;
	ep->broker_gen = sl_offer_generation();
	(void)raw_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

void sl_ep_unwatch(struct sl_ep *ep)
{
	if (ep->broker_fd >= 0 && ep->broker_gen)
		(void)raw_ctl(ep, EPOLL_CTL_DEL, ep->broker_fd, NULL);
	sl_ep_unbell(ep);
}

int sl_ep_bell(struct sl_ep *ep)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = SL_TAG_BELL};

	/* Not where another process may take the event, or somebody polls the instance. */
	if (ep->forked || ep->inherited || ep->nested)
		return -1;
	if (sl_unlikely(!ep->bell1)) {
		ep->ours = true;
		ep->bell1 = sl_bell_take() + 1;
		if (ep->bell1 && raw_ctl(ep, EPOLL_CTL_ADD, sl_bell_fd(ep->bell1 - 1), &ev) < 0) {
			sl_bell_give(ep->bell1 - 1);
			ep->bell1 = 0;
		}
		if (!ep->bell1)
			ep->bell1 = -1;
	}
	return ep->bell1 > 0 ? ep->bell1 - 1 : -1;
}

void sl_ep_unbell(struct sl_ep *ep)
{
	int slot = ep->bell1 - 1;

	ep->bell1 = -1;
	if (slot < 0)
		return;
	(void)raw_ctl(ep, EPOLL_CTL_DEL, sl_bell_fd(slot), NULL);
	sl_bell_give(slot);
}

void sl_ready_epoll_created(int epfd)
{
	struct sl_ep *ep;

	if ((unsigned)epfd >= SL_FD_MAX)
		return;
	ep = sl_ep_new(epfd);
	if (!ep)
		return;
	sl_sock_untrack(epfd);
	if (sl_fdtab_swap(epfd, (uintptr_t)ep | 1) == UINTPTR_MAX)
		sl_ep_drop(ep);
}

/*
 * The program has asked for @ev: look at it once whatever the edges say. A thread that sleeps on the instance
 * has armed what it knew of: it is woken. Who is about to sleep looks under the lock, and is counted there.
 */
static int report_anew(struct sl_item *it, const struct epoll_event *ev)
{
	bool asleep;

	if (sl_lock(&it->ep->lock))
		return -EINTR;
	it->want = *ev;
	it->pending = true;
	it->disabled = false;
	it->dormant = false;
	sl_item_heat(it);
	asleep = atomic_load(&it->ep->sleepers);
	sl_unlock(&it->ep->lock);
	return asleep ? our_ctl(it, EPOLL_CTL_MOD) : 0;
}

/* Why a socket registered so has to stay on TCP; SL_WHY_NONE: it need not. */
static enum sl_reason refusal(const struct sl_ep *ep, const struct epoll_event *ev)
{
	return ep->inherited			? SL_WHY_EPOLL_SHARED :
	       ep->nested			? SL_WHY_EPOLL_NESTED :
	       (ev->events & EPOLLEXCLUSIVE) ? SL_WHY_EPOLL_EXCLUSIVE :
						  SL_WHY_NONE;
}

/* Both locks of the socket and the registry's are held, here and in demote_item(). */
static int promote_item(struct sl_item *it, struct sl_sock *s)
{
	int rc;

	if (atomic_load(&it->promoted))
		return 0;
	if (refusal(it->ep, &it->want))
		return -(int)refusal(it->ep, &it->want);
	if (!it->known) {
		/* A program that waits for room in the kernel's queue is told of room in the ring instead. */
		it->full_seq = s->full_seq - s->native_full;
		it->edge = 0;
	}
	sl_item_link(it, s);
	/* First: another thread may be waiting, and an event with our tag tells it nothing before. */
	atomic_store(&it->promoted, true);
	atomic_fetch_add(&it->ep->promoted, 1);
	rc = our_ctl(it, EPOLL_CTL_MOD);
	if (rc == 0) {
		it->known = true;
		return 0;
	}
	atomic_store(&it->promoted, false);
	sl_item_unlink(it);
	atomic_fetch_sub(&it->ep->promoted, 1);
	return rc == -ENOENT || rc == -EBADF ? 0 : -SL_WHY_EPOLL_EXCLUSIVE;
}

/* What the kernel has to know of one that is not promoted any more. */
static void set_native(struct sl_item *it)
{
	atomic_store(&it->modified, true);
	if (it->dormant)
		(void)raw_ctl(it->ep, EPOLL_CTL_DEL, it->fd, NULL);
	else
		(void)native_ctl(it, EPOLL_CTL_MOD,
				 it->disabled ? EPOLLONESHOT : it->want.events);
}

static void demote_item(struct sl_item *it)
{
	if (!atomic_exchange(&it->promoted, false))
		return;
	atomic_fetch_sub(&it->ep->promoted, 1);
	set_native(it);
}

/*
 * The program's will, for a registration that is ours. Another thread may be demoting the socket: where it did so before
 * it could see the change, the kernel is told here.
 */
static int change_promoted(struct sl_item *it, int fd, const struct epoll_event *ev)
{
	int how, rc = report_anew(it, ev);
	struct sl_sock *s;

	if (sl_likely(atomic_load(&it->promoted)) || !(s = sl_sock_get(fd)))
		return rc;
	how = sl_lock(&s->rx_lock);
	if (!atomic_load(&it->promoted)) {
		rc = native_ctl(it, EPOLL_CTL_MOD, ev->events);
		if (rc == -ENOENT)
			rc = native_ctl(it, EPOLL_CTL_ADD, ev->events);
	}
	if (!how)
		sl_unlock(&s->rx_lock);
	sl_sock_put(s);
	return rc;
}

static int add_tracked(struct sl_ep *ep, struct sl_sock *s, int fd, struct epoll_event *ev,
		       bool refused)
{
	struct sl_item *it = sl_item_new(ep, fd, ev);
	int how, rc;

	if (!it)
		return -ENOMEM;
	/* With the locks of a socket held it is neither promoted nor demoted meanwhile. */
	how = sl_lock(&s->rx_lock);
	it->known = s->was_attached;
	it->pending = it->known;
	if (sl_unlikely(sl_sock_attached(s)) && !refused) {
		rc = our_ctl(it, EPOLL_CTL_ADD);
		if (rc == 0) {
			sl_item_join(it, s);
			atomic_store(&it->promoted, true);
			atomic_fetch_add(&ep->promoted, 1);
		}
	} else {
		rc = native_ctl(it, EPOLL_CTL_ADD, ev->events);
	}
	if (!how)
		sl_unlock(&s->rx_lock);
	if (rc < 0)
		sl_item_drop(it);
	else if (atomic_load(&it->promoted))
		rc = change_promoted(it, fd, ev);
	return rc;
}

/* A dormant item. Return: 1: it was dropped, add it anew; else as epoll_ctl. */
static int add_again(struct sl_ep *ep, struct sl_item *it, struct epoll_event *ev)
{
	bool promoted = atomic_load(&it->promoted);

	if (promoted && !refusal(ep, ev))
		return change_promoted(it, it->fd, ev);
	/* Else its socket was demoted while it was dormant, and the kernel knows of it no more. */
	if (promoted)
		(void)raw_ctl(ep, EPOLL_CTL_DEL, it->fd, ev);
	sl_item_drop(it);
	return 1;
}

static int ctl_add(struct sl_ep *ep, int fd, struct epoll_event *ev)
{
	struct sl_sock *s = sl_sock_get(fd);
	enum sl_reason why;
	struct sl_ep *inner;
	struct sl_item *it;
	int rc, broker;

	if (s) {
		why = refusal(ep, ev);
		if (sl_unlikely(why))
			sl_sock_bypass(s, fd, why); /* what is unread the kernel has to tell of */
		it = sl_item_find(ep, fd);
		rc = it && it->dormant ? add_again(ep, it, ev) : 1;
		if (rc == 1)
			rc = add_tracked(ep, s, fd, ev, why != SL_WHY_NONE);
		sl_sock_put(s);
		broker = sl_hidden_get(SL_HIDDEN_BROKER);
		if (broker >= 0)
			watch_broker(ep, broker);
		return rc;
	}
	rc = raw_ctl(ep, EPOLL_CTL_ADD, fd, ev);
	if (rc < 0)
		return rc;
	inner = sl_ep_of(fd);
	if (inner)
		sl_ep_polled(inner);
	/* It may be connected later. A stale one of the same number is void. */
	it = sl_item_find(ep, fd);
	if (it)
		sl_item_drop(it);
	(void)sl_item_new(ep, fd, ev);
	return rc;
}

static int change_native(struct sl_item *it, struct epoll_event *ev)
{
	struct epoll_event was = it->want;
	bool disabled = it->disabled;
	int rc;

	it->want = *ev;
	it->disabled = false; /* before it fires */
	it->pending = it->known;
	rc = native_ctl(it, EPOLL_CTL_MOD, ev->events);
	if (rc < 0) {
		it->want = was;
		it->disabled = disabled;
	}
	return rc;
}

static int ctl_mod(struct sl_ep *ep, struct sl_item *it, int fd, struct epoll_event *ev)
{
	bool promoted = it && atomic_load(&it->promoted);
	struct sl_sock *s;
	int rc = 0, how;

	if (!promoted) {
		if (!it || it->fd != fd)
			return raw_ctl(ep, EPOLL_CTL_MOD, fd, ev);
		s = sl_sock_get(fd);
		if (!s)
			return change_native(it, ev);
		/* As in add_tracked(): nobody makes the registration ours meanwhile. */
		how = sl_lock(&s->rx_lock);
		promoted = atomic_load(&it->promoted);
		it->known |= s->was_attached;
		if (!promoted)
			rc = change_native(it, ev);
		if (!how)
			sl_unlock(&s->rx_lock);
		sl_sock_put(s);
	}
	if (!promoted)
		return rc;
	return it->dormant ? -ENOENT : change_promoted(it, fd, ev);
}

static int ctl_del(struct sl_ep *ep, struct sl_item *it, int fd, struct epoll_event *ev)
{
	int rc = -ENOENT;

	/* With a process that shares the instance since fork, the deletion is both processes'. */
	if (!it || !atomic_load(&it->promoted) || ep->inherited || ep->forked ||
	    sl_lock(&ep->lock)) {
		rc = raw_ctl(ep, EPOLL_CTL_DEL, fd, ev);
		if (it && rc == 0)
			sl_item_drop(it);
		return rc;
	}
	if (!it->dormant) {
		it->dormant = true;
		sl_item_cool(it);
		rc = 0;
	}
	sl_unlock(&ep->lock);
	/* Demoted by another thread, which may not have seen that: the kernel's registration goes, too. */
	if (rc == 0 && sl_unlikely(!atomic_load(&it->promoted)))
		(void)raw_ctl(ep, EPOLL_CTL_DEL, fd, ev);
	return rc;
}

/* As long as it is young its entry has room for one registration, of the usual kind. */
static SL_SHORT bool young_takes(const struct sl_stat_young_shm *y, const struct sl_ep *ep, int op,
			const struct epoll_event *ev)
{
	if (y->ep != (op == EPOLL_CTL_ADD ? 0 : ep->serial))
		return false;
	return op == EPOLL_CTL_DEL ||
	       !((ev->events & EPOLLONESHOT) || (op == EPOLL_CTL_ADD && refusal(ep, ev)));
}

static SL_SHORT int young_ctl(struct sl_ep *ep, int op, int fd, struct epoll_event *ev)
{
	struct sl_stat_young_shm *y = &sl_youngs[fd];
	int rc;

	sl_sect_enter();
	rc = raw_ctl(ep, op, fd, ev);
	if (rc == 0) {
		y->ep = op == EPOLL_CTL_DEL ? 0 : ep->serial;
		if (y->ep) {
			y->events = ev->events;
			y->data = ev->data.u64;
		}
	}
	sl_sect_leave();
	return rc;
}

SL_SHORT int sl_ready_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	struct sl_ep *ep = sl_ep_of(epfd);

	if (sl_young_is(fd) && __libc_single_threaded && ep && (ev || op == EPOLL_CTL_DEL)) {
		if (young_takes(&sl_youngs[fd], ep, op, ev))
			return young_ctl(ep, op, fd, ev);
		(void)sl_young_grow(fd);
	}
	if (!ep || (op != EPOLL_CTL_DEL && !ev)) {
		/* An instance that was made behind our back: its sockets stay where it can see them. */
		struct sl_sock *s = ev && op == EPOLL_CTL_ADD ? sl_sock_get(fd) : NULL;

		if (s) {
			sl_sock_bypass(s, fd, SL_WHY_EPOLL_SHARED);
			sl_sock_put(s);
		}
		return (int)sl_sys6(SYS_epoll_ctl, epfd, op, fd, (long)ev, 0, 0);
	}
	switch (op) {
	case EPOLL_CTL_ADD:
		return ctl_add(ep, fd, ev);
	case EPOLL_CTL_MOD:
		return ctl_mod(ep, sl_item_find(ep, fd), fd, ev);
	case EPOLL_CTL_DEL:
		return ctl_del(ep, sl_item_find(ep, fd), fd, ev);
	default:
		return raw_ctl(ep, op, fd, ev);
	}
}

/* Another thread has demoted it meanwhile, and the kernel's registration was made ours once more: the program's again. */
static void put_right(struct sl_item *it)
{
	struct sl_sock *s = sl_sock_get(it->fd);
	int how;

	if (!s)
		return;
	how = sl_lock(&s->rx_lock);
	if (it->used && !atomic_load(&it->promoted))
		set_native(it);
	if (!how)
		sl_unlock(&s->rx_lock);
	sl_sock_put(s);
}

void sl_ep_kick(struct sl_ep *ep, struct sl_item *it)
{
	if (sl_unlikely(!it->listed))
		sl_bell_ring_slot(ep->bell1 - 1);
	else
		(void)our_ctl(it, EPOLL_CTL_MOD);
	if (sl_unlikely(!atomic_load(&it->promoted)))
		put_right(it);
}

/* --- what sock/ tells us --- */

static int hook_attaching(struct sl_sock *s)
{
	int rc = sl_item_each(s, promote_item);

	if (rc < 0)
		sl_item_unlink_all(s, demote_item);
	return rc;
}

static void hook_detached(struct sl_sock *s)
{
	sl_item_unlink_all(s, demote_item);
}

static void hook_kick(struct sl_sock *s)
{
	struct sl_item *it = atomic_load(&s->items);

	for (; it; it = it->next_sock)
		if (atomic_load(&it->promoted))
			sl_ep_kick(it->ep, it);
}

/*
 * A cold socket was armed for input when nobody waited for room in it. Now somebody does: it is hot, so that it
 * is looked at, and armed for room, before its instance sleeps.
 */
static void hook_full(struct sl_sock *s)
{
	struct sl_item *it = atomic_load(&s->items);
	struct sl_ep *ep;

	for (; it; it = it->next_sock) {
		ep = it->ep;
		if (!(it->want.events & EPOLLOUT) || sl_lock(&ep->lock))
			continue;
		if (it->sock == s && !it->dormant)
			sl_item_heat(it);
		sl_unlock(&ep->lock);
		if (atomic_load(&ep->sleepers))
			sl_ep_kick(ep, it);
	}
}

static void forget(struct sl_item *it)
{
	(void)raw_ctl(it->ep, EPOLL_CTL_DEL, it->fd, NULL);
}

/* While another descriptor stands for it the kernel keeps reporting it: so do we. */
static void hook_closed(struct sl_sock *s, int fd)
{
	sl_items_keep(s, fd, promote_item);
}

static void hook_gone(struct sl_sock *s, int fd)
{
	/* The broker may hold the file a little longer, and with it the kernel would keep the registration. */
	if (s->offer_gen)
		sl_items_each_fd(fd, forget);
	sl_items_drop_sock(s);
}

static void hook_grown(int fd, uint32_t serial, uint32_t events, uint64_t data)
{
	struct epoll_event want = {.events = events, .data.u64 = data};
	int broker = sl_hidden_get(SL_HIDDEN_BROKER);
	struct sl_ep *ep;
	struct sl_item *it;
	unsigned i;

	for (i = 0; (ep = sl_ep_at(i)); i++)
		if (ep->used && ep->serial == serial)
			break;
	if (!ep)
		return; /* closed */
	it = sl_item_find(ep, fd);
	if (it)
		sl_item_drop(it); /* of a file that had the number before */
	(void)sl_item_new(ep, fd, &want);
	if (broker >= 0)
		watch_broker(ep, broker);
}

static void hook_broker(int fd)
{
	struct sl_ep *ep;
	unsigned i;

	for (i = 0; (ep = sl_ep_at(i)); i++)
		if (ep->used)
			watch_broker(ep, fd);
}

void sl_ready_init(void)
{
	sl_sock_hooks.attaching = hook_attaching;
	sl_sock_hooks.detached = hook_detached;
	sl_sock_hooks.kick = hook_kick;
	sl_sock_hooks.full = hook_full;
	sl_sock_hooks.closed = hook_closed;
	sl_sock_hooks.gone = hook_gone;
	sl_sock_hooks.broker = hook_broker;
	sl_sock_hooks.grown = hook_grown;
}

void sl_ready_close(int fd)
{
	struct sl_ep *ep = sl_ep_of(fd);
	struct sl_sock *s;

	if (ep) {
		sl_fdtab_swap(fd, 0);
		if (atomic_fetch_sub(&ep->nfds, 1) == 1)
			sl_ep_drop(ep);
		return;
	}
	/* Still tracked: another descriptor stands for the socket, its registration lives on. */
	s = sl_sock_get(fd);
	if (s) {
		sl_sock_put(s);
		return;
	}
	sl_items_drop_fd(fd);
}

SL_SHORT void sl_ready_forget(int fd)
{
	sl_items_drop_fd(fd);
}

void sl_ready_dup(int oldfd, int newfd)
{
	struct sl_ep *ep = sl_ep_of(oldfd);

	if (!ep || oldfd == newfd)
		return;
	atomic_fetch_add(&ep->nfds, 1);
	if (sl_fdtab_swap(newfd, (uintptr_t)ep | 1) == UINTPTR_MAX)
		atomic_fetch_sub(&ep->nfds, 1);
}

void sl_ready_fork_prepare(void)
{
}

void sl_ready_fork_parent(void)
{
	struct sl_ep *ep;
	unsigned i;

	for (i = 0; (ep = sl_ep_at(i)); i++)
		ep->forked = true;
}

void sl_ready_fork_child(void)
{
	struct sl_ep *ep;
	unsigned i;

	for (i = 0; (ep = sl_ep_at(i)); i++) {
		sl_lock_reset(&ep->lock);
		ep->bell1 = -1; /* the parent's */
		ep->inherited = true;
		ep->forked = true;
		atomic_store(&ep->sleepers, 0);
	}
}
