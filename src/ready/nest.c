/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nest.c - an epoll instance that is in another one, or in a poll set
 *
 * The kernel says of an instance whether it can be read. It would have to know when there is something in a ring, and
 * stop saying so when there is not: a bell can do the first only. So nobody believes it. Who polls an instance looks
 * inside (sl_ep_readable()): at what is hot, by the one readiness function, and at what the kernel has of the program's own.
 * For sleeping, its hot sockets are armed (sl_ep_arm()), and the sleeper sleeps on the descriptor of the instance.
 *
 * The kernel's events of ours must not show as the program's then. They go to an instance of their own, @aside, which is in
 * the polled one: a bell makes both readable, and taking the events of the one leaves the other with what is the program's.
 *
 * In an outer instance the registration of an inner one is ours, as that of a promoted socket: edge-triggered, it tells
 * that there may be something. Level, edge and one shot are answered from what was found inside. For the edge sl_ep.news
 * counts what has arrived on rings; of the program's own descriptors the kernel's edge tells.
 *
 * What it does not do: an instance that is shared since fork, or is put into one that is not ours, is left to the kernel
 * alone (flatten()), and its sockets to TCP. So are all where the chain of instances gets too long for the kernel (ELOOP):
 * what is aside makes it twice as long.
 *
 * Locks: an outer instance's before an inner one's. The kernel refuses loops, so there is an order.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include "hidden.h"
#include "items.h"
#include "ready.h"
#include "sys.h"

#define BATCH 64
#define TRIES 4

static int ctl(int epfd, int op, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = SL_TAG_ASIDE};

	return (int)sl_sys6(SYS_epoll_ctl, epfd, op, fd, (long)&ev, 0, 0);
}

static bool alone; /* the kernel is asked by the program's own calls only */
static int (*others_move)(int fd);

/* What another process may wait on is not for our tags. */
bool sl_ep_may_nest(const struct sl_ep *ep)
{
	return !ep->inherited && !ep->forked && !alone;
}

static int make_aside(struct sl_ep *ep)
{
	int fd;

	/* Nor can the registration of a stray be put aside. */
	if (!sl_ep_may_nest(ep) || ep->strays)
		return 0;
	fd = (int)sl_sys(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0);
	if (fd >= 0)
		fd = sl_kept_add(fd);
	if (fd > 0 && ctl(ep->epfd, EPOLL_CTL_ADD, fd) < 0) {
		sl_kept_drop(fd);
		fd = 0;
	}
	return fd > 0 ? fd : 0;
}

/* Left to the kernel alone: what is registered there is the program's, or will be when its socket is on TCP. */
static void flatten(struct sl_ep *ep)
{
	int was = ep->aside;

	ep->aside = 0;
	if (was > 0) {
		sl_ep_move_ours(ep, was);
		(void)ctl(ep->epfd, EPOLL_CTL_DEL, was);
		sl_kept_drop(was);
	}
	if (sl_lock(&ep->lock) == 0) {
		while (ep->nbelled)
			sl_item_heat(ep->belled[0]);
		sl_unlock(&ep->lock);
	}
	sl_ep_unwatch(ep);
	sl_items_refuse(ep, SL_WHY_EPOLL_NESTED);
}

void sl_ep_nest(struct sl_ep *ep)
{
	const struct sl_item *it;

	if (sl_likely(ep->nested) || atomic_exchange(&ep->nested, true))
		return;
	ep->ours = true;
	ep->aside = make_aside(ep);
	if (ep->aside <= 0) {
		flatten(ep);
		return;
	}
	sl_ep_move_ours(ep, 0);
	for (it = ep->inners; it && it->aside; it = it->next_inner)
		;
	if (it)
		sl_ep_flatten_all(); /* too many in a row */
}

void sl_ep_flatten_all(void)
{
	struct sl_ep *ep;
	unsigned i;

	for (i = 0; (ep = sl_ep_at(i)); i++)
		if (ep->used && ep->aside > 0)
			flatten(ep);
}

void sl_ep_unnest(struct sl_ep *ep)
{
	if (ep->aside > 0)
		sl_kept_drop(ep->aside);
	ep->aside = 0;
}

int sl_ep_take_aside(struct sl_ep *ep, bool *pump)
{
	struct epoll_event ev[BATCH];
	int i, n, all = 0;

	if (ep->aside <= 0)
		return 0;
	do {
		n = (int)sl_sys6(SYS_epoll_wait, ep->aside, (long)ev, BATCH, 0, 0, 0);
		for (i = 0; i < n; i++)
			*pump |= sl_ep_ours(ep, &ev[i]);
		all += n > 0 ? n : 0;
	} while (n == BATCH);
	return all;
}

/* Has the kernel anything of the program's own? What is ours is taken on the way. The broker is asked before a sleep anyway. */
static bool kernel_has(struct sl_ep *ep, bool *taken)
{
	int tries = TRIES;
	bool pump = false;

	while (tries--) {
		if (!(sl_sys_poll_now(ep->epfd, POLLIN) & POLLIN))
			return false;
		if (!sl_ep_take_aside(ep, &pump))
			return true;
		*taken = true;
	}
	return false; /* bells all the time: the rings have the answer */
}

/* News of this one, for who polls the instance edge-triggered. */
static void note_news(struct sl_item *it)
{
	struct sl_sock *s = it->sock;
	uint64_t now = it->inner ? it->inner->news : s ? sl_sock_edge(s) + s->full_seq : it->seen;

	if (now == it->seen && !it->kernel_edge)
		return;
	it->seen = now;
	it->ep->news++;
}

void sl_ep_heat_inners(struct sl_ep *ep)
{
	struct sl_item *it;

	for (it = ep->inners; it; it = it->next_inner)
		if (!it->disabled)
			sl_item_heat(it);
}

unsigned sl_ep_readable(struct sl_ep *ep)
{
	struct sl_item *it, *last = NULL;
	bool taken = false;
	unsigned by = 0;
	uint32_t left;

	if (sl_lock(&ep->lock))
		return 0;
	sl_ep_heat_inners(ep);
	if (kernel_has(ep, &taken))
		by = SL_EP_KERNEL;
	for (left = ep->nhot, it = ep->hot; left--; it = it->next_hot) {
		if (!atomic_load(&it->promoted) || !sl_item_due(it))
			continue;
		by |= SL_EP_RINGS;
		note_news(it);
		last = it;
	}
	/* Who sleeps on the instance itself was woken for this, and may find it taken. */
	if (taken && last && atomic_load(&ep->sleepers))
		sl_ep_kick(ep, last);
	sl_unlock(&ep->lock);
	return by;
}

bool sl_ep_arm(struct sl_ep *ep)
{
	struct sl_item *it, *next;
	bool uncertain = false;
	uint32_t left;

	if (sl_lock(&ep->lock))
		return true;
	if (ep->nhot)
		uncertain = sl_ep_arm_to_sleep(ep);
	uncertain |= ep->strays && !__libc_single_threaded && sl_ep_bell(ep) < 0; /* as epoll_wait() */
	left = uncertain ? 0 : ep->nhot;
	for (it = ep->hot; left--; it = next) {
		next = it->next_hot;
		if (atomic_load(&it->promoted) && sl_item_due(it))
			continue; /* nothing would tell of it any more */
		if (it->with_bell)
			sl_item_bell(it);
		else
			sl_item_cool(it);
	}
	sl_unlock(&ep->lock);
	return uncertain;
}

static void only_inner(struct sl_item *it)
{
	if (it->inner)
		sl_ep_forget_inner(it);
}

void sl_ready_alone(void)
{
	struct sl_ep *ep;
	unsigned i;

	alone = true;
	sl_ep_flatten_all();
	for (i = 0; (ep = sl_ep_at(i)); i++)
		if (ep->used && ep->inners)
			sl_items_each_ep(ep, only_inner);
}

/* The program wants the number @fd. */
static int moved(int fd)
{
	struct sl_ep *ep;
	unsigned i;
	int n;

	for (i = 0; (ep = sl_ep_at(i)); i++)
		if (ep->used && ep->aside == fd)
			break;
	if (!ep)
		return others_move(fd);
	n = sl_kept_add((int)sl_sys_fcntl(fd, F_DUPFD_CLOEXEC, fd + 1));
	if (n < 0)
		return n;
	(void)ctl(ep->epfd, EPOLL_CTL_ADD, n);
	ep->aside = n;
	(void)ctl(ep->epfd, EPOLL_CTL_DEL, fd);
	sl_kept_drop(fd);
	return 0;
}

void sl_nest_init(void)
{
	others_move = sl_kept_move;
	sl_kept_move = moved;
}
