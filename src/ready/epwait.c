/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * epwait.c - epoll_wait over rings and kernel
 *
 * How it works. Hot sockets are looked at, in turn; the kernel is asked at least every KERNEL_LOOK_NS, and
 * first where the last events came from it. With nothing there the thread spins over the hot sockets' words,
 * then arms them all, looks again, and sleeps in the kernel's epoll_wait on the program's own instance:
 * bells, FIN, other descriptors, signals and the signal mask work as they always do. What was armed is cold: it costs
 * nothing until its bell makes it hot again.
 *
 * The instance has a bell of its own (bell.h), which is one more descriptor in it. It wakes, and does not tell for
 * whom. So few sockets are armed with it, those that were hot last (belled), and these are looked at when it was rung. The others are
 * armed with bell 0, whose event names its socket.
 *
 * Several threads in one instance: whoever leaves with events while others sleep arms what is hot first, so that
 * news of those sockets wakes one of the sleepers, as in Linux.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include "bell.h"
#include "env.h"
#include "items.h"
#include "ready.h"
#include "real.h"
#include "spin.h"
#include "sys.h"
#include "timeout.h"

#define KERNEL_LOOK_NS 30000
#define IDLE_MAX       256 /* looks in vain after which one of many hot sockets is armed and cold */
#define MANY	       16
#define BATCH	       64
#define OUT_BITS       ((uint32_t)(EPOLLOUT | EPOLLWRNORM))

/* Of what sl_sock_edge() counts: the ends. */
static unsigned ends(const struct sl_sock *s)
{
	const struct sl_side_shm *sd = s->side;

	return (sd->kfin || sd->rx.ring.fin) + 2u * (sd->dead != 0);
}

/* The program is told @ev. What has come since we looked for input is none of it. */
static void note_told(struct sl_item *it, struct sl_sock *s, uint32_t ev, uint64_t edge)
{
	if (ev & ~OUT_BITS)
		it->edge = edge;
	if (ev & OUT_BITS)
		it->full_seq = s->full_seq;
}

/*
 * What the program is to be told about this item, of the socket @s, now; 0: nothing.
 */
static uint32_t report(struct sl_item *it, struct sl_sock *s)
{
	uint32_t want = it->want.events & ~(uint32_t)(EPOLLET | EPOLLONESHOT);
	uint32_t ev, edges = it->kernel_edge;
	unsigned ended;
	uint64_t edge;

	if (it->disabled || !s)
		return 0;
	ended = ends(s);
	ev = sl_sock_events(s, s->fd, want);
	if (!ev)
		return 0;
	if (it->want.events & EPOLLET) {
		edge = sl_sock_edge(s);
		/* Ended in between: that edge is counted now, so it is told now. */
		if (sl_unlikely(ends(s) != ended))
			ev |= sl_sock_events(s, s->fd, want);
		/* Unknown twice is no change: kernel_event() has noted what the kernel told. */
		if (edge != it->edge)
			edges |= ~OUT_BITS;
		if (s->full_seq != it->full_seq)
			edges |= OUT_BITS;
		if (!it->pending && !(ev & edges))
			return 0;
		note_told(it, s, ev, edge);
	}
	it->pending = false;
	it->kernel_edge = 0;
	if (it->want.events & EPOLLONESHOT)
		it->disabled = true;
	return ev;
}

/* Instance's lock held. Return: events put into @ev. */
static int scan_hot(struct sl_ep *ep, struct epoll_event *ev, int max)
{
	uint32_t left = ep->nhot, got;
	struct sl_item *it = ep->hot, *next;
	struct sl_sock *s;
	int n = 0;

	while (left-- && n < max) {
		next = it->next_hot;
		if (!atomic_load_explicit(&it->promoted, memory_order_relaxed)) {
			sl_item_cool(it);
			it = next;
			continue;
		}
		s = it->sock; /* another thread may be detaching it */
		got = report(it, s);
		if (got) {
			ev[n].events = got;
			ev[n++].data = it->want.data;
			it->idle = 0;
			ep->last = s;
		} else if (s && ++it->idle > IDLE_MAX && ep->nhot > MANY) {
			unsigned armed = sl_sock_arm(s, it->fd, it->want.events, false, -1);

			got = report(it, s);
			if (got) {
				ev[n].events = got;
				ev[n++].data = it->want.data;
				it->idle = 0;
			} else if (!(armed & SL_ARM_UNCERTAIN)) {
				sl_item_cool(it);
			}
		}
		it = next;
	}
	if (ep->hot)
		ep->hot = it->hot ? it : ep->hot; /* round-robin: go on here next time */
	return n;
}

static bool hint(struct sl_item *it)
{
	struct sl_sock *s = it->sock; /* another thread may be detaching it */

	if (!s || it->disabled || !(it->want.events & (EPOLLIN | EPOLLRDNORM | EPOLLRDHUP)))
		return false;
	return it->want.events & EPOLLET ? sl_sock_hint_new(s) : sl_sock_hint(s);
}

/* Any hot item with something new to report? A look without locks, for the spin. */
static bool hint_hot(struct sl_ep *ep)
{
	uint32_t left = ep->nhot;
	struct sl_item *it;

	for (it = ep->hot; it && left--; it = it->next_hot)
		if (hint(it))
			return true;
	return false;
}

/* An event of the kernel for one of ours. */
static void kernel_event(struct sl_item *it, uint32_t events)
{
	struct sl_sock *s;
	uint32_t known = 0; /* no new edge: sl_sock_edge() has counted it */

	/* Who was told that there is no room is told of it by full_seq. */
	if (atomic_exchange(&it->modified, false))
		known = EPOLLOUT;
	if (!atomic_load(&it->promoted) || !(s = it->sock))
		return;
	if (s->side->kfin || s->side->rx.ring.fin)
		known |= EPOLLRDHUP;
	if (s->side->dead)
		known |= EPOLLHUP | EPOLLERR;
	sl_sock_kernel_event(s, s->fd, events);
	if (it->dormant)
		return; /* the program is not told, but what has happened has happened: this edge does not come again */
	events &= ~known;
	it->kernel_edge |= events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	/* What cannot be counted now is no edge in report() either: then it is one by the kernel's word. */
	if (sl_unlikely(!sl_sock_attached(s)) && (events & EPOLLIN) &&
	    sl_sock_edge(s) == SL_EDGE_UNKNOWN)
		it->kernel_edge |= EPOLLIN | EPOLLRDNORM;
	if (sl_sock_kernel_out(s))
		it->kernel_edge |= events & EPOLLOUT;
	sl_item_heat(it);
}

/*
 * An event of an edge-triggered registration that is the program's again (native_ctl()). The kernel was made to tell what
 * holds when it was modified: has the program been told?
 */
static bool told_before(struct sl_item *it, uint32_t events)
{
	bool again = atomic_exchange(&it->modified, false) && !it->pending &&
		     !(it->want.events & EPOLLONESHOT) && !(events & (EPOLLERR | EPOLLHUP | EPOLLPRI));
	struct sl_sock *s = sl_sock_get(it->fd);
	uint64_t edge;

	if (!s)
		return false;
	if (sl_sys_poll_now(it->fd, POLLRDHUP) & POLLRDHUP)
		s->side->kfin = 1; /* the kernel shows it in no count */
	edge = sl_sock_edge(s);
	again = again && edge == it->edge && edge != SL_EDGE_UNKNOWN &&
		(!(events & OUT_BITS) || s->full_seq == it->full_seq);
	if (!again)
		note_told(it, s, events, edge);
	it->pending = false;
	sl_sock_put(s);
	return again;
}

/* With our tag, but of the kernel's own. Return: what the program is told. */
static uint32_t native_event(struct sl_item *it, uint32_t events)
{
	events &= it->want.events | EPOLLERR | EPOLLHUP;
	if (it->dormant || !events)
		return 0;
	if (it->want.events & EPOLLONESHOT) {
		if (it->disabled)
			return 0;
		it->disabled = true; /* it is spent now */
	} else if (!(it->want.events & EPOLLET)) {
		return 0;
	}
	return it->want.events & EPOLLET && it->known && told_before(it, events) ? 0 : events;
}

/* The instance's bell was rung: for those that are not armed with it any more. Instance's lock held. */
static void bell_event(struct sl_ep *ep)
{
	unsigned i = ep->nbelled;
	bool vain = true;
	struct sl_item *it;

	sl_items_heat_strays(ep); /* it may be a kick */
	while (i--) {
		it = ep->belled[i];
		if (!atomic_load(&it->promoted) || !it->sock)
			sl_item_cool(it);
		else if (!sl_sock_armed(it->sock, sl_bell_number(ep->bell1 - 1, it->sock))) {
			sl_item_heat(it);
			vain = false;
		}
	}
	if (vain && sl_stat_page)
		sl_stat_page->vain_bells++;
}

/*
 * Sort what the kernel returned: ours are noted, the program's own stay.
 * Return: events left in @ev.
 */
static int sort_events(struct sl_ep *ep, struct epoll_event *ev, int n)
{
	struct sl_item *it;
	uint32_t events;
	int i, out = 0;
	bool pump = false;

	if (sl_lock(&ep->lock))
		return n;
	for (i = 0; i < n; i++) {
		if (sl_likely(!sl_tag_is_ours(ev[i].data.u64))) {
			if (out != i)
				ev[out] = ev[i];
			out++;
		} else if (ev[i].data.u64 == SL_TAG_BELL) {
			bell_event(ep);
		} else if (ev[i].data.u64 == SL_TAG_BROKER) {
			pump = true;
		} else {
			it = sl_item_of_tag(ev[i].data.u64);
			if (!it || it->ep != ep)
				continue;
			if (atomic_load(&it->promoted)) {
				kernel_event(it, ev[i].events);
				continue;
			}
			events = native_event(it, ev[i].events);
			if (events) {
				ev[out].events = events;
				ev[out++].data = it->want.data;
			}
		}
	}
	sl_unlock(&ep->lock);
	if (pump)
		sl_offer_pump();
	return out;
}

static int kernel_now(struct sl_ep *ep, struct epoll_event *ev, int max)
{
	int n, out, tries = 16;

	ep->kernel_look = sl_ticks();
	/* Events of ours that fill a small answer stand before the program's own. */
	do {
		sl_sect_enter(); /* a handler may jump: what the kernel has told once must be noted first */
		n = (int)sl_sys6(SYS_epoll_wait, ep->epfd, (long)ev, max, 0, 0, 0);
		out = n > 0 ? sort_events(ep, ev, n) : n;
		sl_sect_leave();
	} while (!out && n == max && --tries);
	return out;
}

static bool due_at(const struct sl_ep *ep, uint64_t now)
{
	return now - ep->kernel_look > sl_ticks_of_ns(KERNEL_LOOK_NS);
}

/*
 * The clock is read at every turn of a program that takes its time, and at every fourth of one that is quick: what a
 * turn takes was seen at the last reading.
 */
static bool look_due(struct sl_ep *ep)
{
	uint64_t now;

	if (ep->quick_turns) {
		ep->quick_turns--;
		return false;
	}
	now = sl_ticks();
	if (now - ep->clock_read < sl_ticks_of_ns(KERNEL_LOOK_NS / 4))
		ep->quick_turns = 3;
	ep->clock_read = now;
	return due_at(ep, now);
}

/* Arm all that is hot, the first @belled of it with the bell. Instance's lock held. */
static bool arm_all(struct sl_ep *ep, int bell, uint32_t belled)
{
	struct sl_item *it = ep->hot;
	uint32_t left = ep->nhot;
	bool uncertain = false;
	struct sl_sock *s;

	for (; left--; it = it->next_hot) {
		it->with_bell = false;
		if (!(s = it->sock) || !atomic_load(&it->promoted) || it->disabled)
			continue;
		it->with_bell = belled;
		uncertain |= sl_sock_arm(s, it->fd, it->want.events, false, belled ? bell : -1) &
			     SL_ARM_UNCERTAIN;
		belled -= belled != 0;
	}
	return uncertain;
}

/* Others sleep on this instance: leave nothing that no bell will tell of. */
static void hand_over(struct sl_ep *ep)
{
	struct sl_item *it, *next;
	struct epoll_event ev;
	struct sl_sock *s;
	uint32_t left;

	if (!atomic_load(&ep->sleepers))
		return;
	if (sl_lock(&ep->lock))
		return;
	(void)arm_all(ep, -1, 0);
	left = ep->nhot;
	for (it = ep->hot; left--; it = next) {
		next = it->next_hot;
		ev.events = 0;
		s = it->sock;
		if (s && atomic_load(&it->promoted) && !it->disabled)
			ev.events = sl_sock_events(s, it->fd,
						   it->want.events &
							   ~(uint32_t)(EPOLLET | EPOLLONESHOT));
		if (ev.events && (it->want.events & EPOLLET) && !it->pending &&
		    sl_sock_edge(s) == it->edge && !(ev.events & it->kernel_edge))
			ev.events = 0;
		sl_item_cool(it);
		if (ev.events)
			sl_ep_kick(ep, it);
	}
	sl_unlock(&ep->lock);
}

void sl_ep_polled(struct sl_ep *ep)
{
	if (ep->nested)
		return;
	/*
	 * The kernel would have to know when there is something in a ring, and stop saying so when there is
	 * not: a bell can do the first only.
	 */
	ep->nested = true;
	sl_ep_unwatch(ep);
	sl_items_refuse(ep, SL_WHY_EPOLL_NESTED);
}

static int look_at_rings(struct sl_ep *ep, struct epoll_event *ev, int max)
{
	int n;

	if (max <= 0 || !ep->nhot || sl_lock(&ep->lock))
		return 0;
	n = scan_hot(ep, ev, max);
	sl_unlock(&ep->lock);
	return n;
}

/*
 * The kernel if it is due, then the rings. The kernel is asked once: twice, it would report the same level twice in
 * one answer, and a program that takes each event for something to read would block.
 * Return: events, 0 none; -errno.
 */
static int look(struct sl_ep *ep, struct epoll_event *ev, int max, bool kernel)
{
	int n = 0, k = 0;

	/* One that fills the whole answer must not keep the other out of it for ever. */
	if (ep->kernel_filled) {
		ep->kernel_filled = false;
		n = look_at_rings(ep, ev, max);
		if (n)
			return n;
	}
	/* Before the rings: it may tell of the end of a connection whose ring says that it can be written to. */
	if (kernel || ep->from_kernel || (ep->nhot && look_due(ep))) {
		k = kernel_now(ep, ev, max);
		if (k < 0)
			return k;
		ep->kernel_filled = k == max;
	}
	n = k + look_at_rings(ep, ev + k, max - k);
	ep->from_kernel = k > 0 && n == k && k < max;
	return n;
}

static bool same_cpu(struct sl_ep *ep)
{
	return ep->last && sl_sock_attached(ep->last) ? sl_sock_same_cpu(ep->last) : sl_cpus_only != 0;
}

/*
 * @again: what a hint promised was not there: a hint is no proof. @ran: signal handlers, when the wait began.
 * Return: true: something is there, or the kernel is due; false: the budget is used up.
 */
static bool spin(struct sl_ep *ep, struct sl_spinning *sp, bool again, uint32_t ran)
{
	if (again && !sl_spin_on(sp))
		return false;
	do {
		if (hint_hot(ep))
			return true;
		if (sl_unlikely(sl_sect.ran != ran) || !sl_spin_on(sp))
			return false;
	} while (!sl_spin_tick(sp) || !due_at(ep, sp->now));
	return true;
}

/* As epoll_pwait2(2), which some kernels, sandboxes and valgrind do not have. */
static int kernel_wait(int epfd, struct epoll_event *ev, int max, const struct timespec *left,
		       const sigset_t *mask)
{
	static _Atomic bool missing;
	int n, ms = -1;

	if (sl_real.epoll_pwait2 && left && left->tv_nsec % 1000000 && !missing) {
		n = sl_real.epoll_pwait2(epfd, ev, max, left, mask);
		if (n >= 0 || errno != ENOSYS)
			return n;
		missing = true;
	}
	if (left) /* never too early */
		ms = left->tv_sec > INT_MAX / 1000 - 2 ?
			     INT_MAX :
			     (int)(left->tv_sec * 1000 + (left->tv_nsec + 999999) / 1000000);
	return mask ? sl_real.epoll_pwait(epfd, ev, max, ms, mask) :
		      sl_real.epoll_wait(epfd, ev, max, ms);
}

static int sleep_in_kernel(struct sl_ep *ep, struct epoll_event *ev, int max,
			   struct sl_deadline *d, const sigset_t *mask, bool uncertain)
{
	static const struct timespec soon = {.tv_nsec = SL_UNCERTAIN_MS * 1000000};
	struct timespec ts;
	const struct timespec *left = sl_deadline_left(d, &ts);
	int n, saved = errno;

	if (uncertain && (!left || left->tv_sec || left->tv_nsec > soon.tv_nsec))
		left = &soon;

	if (sl_stat_page)
		sl_stat_page->wakeups++;
	n = kernel_wait(ep->epfd, ev, max, left, mask);
	if (n < 0) {
		n = -errno;
		errno = saved;
		return n;
	}
	ep->kernel_look = sl_ticks();
	return sort_events(ep, ev, n);
}

/*
 * One socket, awaited for input alone, as in a dialogue of two programs: whether there is input is all that has to be
 * known, besides what the kernel has.
 */
static bool only_one(const struct sl_ep *ep)
{
	const struct sl_item *it = ep->hot;

	return __libc_single_threaded && it && ep->nhot == 1 && !ep->from_kernel && !it->pending &&
	       it->want.events == EPOLLIN && it->sock;
}

/* Return: 1 input, put into @ev; 0 none; -1 look closer. */
static inline int glance_once(struct sl_ep *ep, struct epoll_event *ev)
{
	struct sl_item *it = ep->hot; /* a signal handler may take it away at any moment, or detach it */
	struct sl_sock *s = it ? it->sock : NULL;
	int seen = s ? sl_sock_glance(s) : -1;

	if (sl_likely(seen > 0)) {
		sl_rx_fetch(&s->link);
		if (sl_likely(!look_due(ep))) {
			it->idle = 0;
			ep->last = s;
			ev->events = EPOLLIN;
			ev->data = it->want.data;
			return 1;
		}
	}
	if (!seen)
		return 0;
	ep->quick_turns = 0;
	return -1;
}

/* Return: as glance_once(); 0: the budget is used up, or the kernel is due. */
static int glance(struct sl_ep *ep, struct epoll_event *ev, struct sl_spinning *sp, uint32_t ran)
{
	int seen;

	do {
		seen = glance_once(ep, ev);
	} while (!seen && sl_sect.ran == ran && sl_spin_on(sp) &&
		 (!sl_spin_tick(sp) || !due_at(ep, sp->now)));
	return seen;
}

static void awake(void *ep)
{
	atomic_fetch_sub(&((struct sl_ep *)ep)->sleepers, 1);
}

/* In the middle: the kernel may have told us what it tells once. */
static void left(void *ep)
{
	awake(ep);
	sl_items_kick(ep);
}

/* In a section, and counted as a sleeper. */
static int sleep_paused(struct sl_ep *ep, struct epoll_event *ev, int max, struct sl_deadline *d,
			const sigset_t *mask, bool uncertain, uint32_t ran)
{
	struct sl_pause pause;
	int n = -EINTR;

	sl_sect_pause(&pause, left, ep);
	/* A handler that came while we were spinning has interrupted an epoll_wait. */
	if (sl_likely(sl_sect.ran == ran))
		n = sleep_in_kernel(ep, ev, max, d, mask, uncertain);
	sl_sect_resume(&pause);
	awake(ep);
	return n;
}

static int sleep_counted(struct sl_ep *ep, struct epoll_event *ev, int max, struct sl_deadline *d,
			 const sigset_t *mask, bool uncertain, uint32_t ran)
{
	int n;

	/* Nobody cancels us: no need to be prepared, which costs a sigsetjmp. */
	if (__libc_single_threaded)
		return sleep_paused(ep, ev, max, d, mask, uncertain, ran);
	pthread_cleanup_push(sl_frame_cancelled, NULL);
	n = sleep_paused(ep, ev, max, d, mask, uncertain, ran);
	pthread_cleanup_pop(0);
	return n;
}

/* With the bell, or as it was: those that it makes no room for any more become hot, to be armed anew. */
static bool arm_to_sleep(struct sl_ep *ep)
{
	int bell = sl_ep_bell(ep);
	uint32_t belled = bell < 0 ? 0 : (uint32_t)sl_min_u64(ep->nhot, SL_BELLED_MAX);

	while (ep->nbelled + belled > SL_BELLED_MAX)
		sl_item_heat(ep->belled[0]);
	return arm_all(ep, bell, belled);
}

static void cool_all(struct sl_ep *ep)
{
	struct sl_item *it;

	while ((it = ep->hot)) {
		if (it->with_bell)
			sl_item_bell(it);
		else
			sl_item_cool(it);
	}
}

/* Another thread could not wake us for a stray (sl_ep_kick()): there is no bell. */
static bool unheard(struct sl_ep *ep)
{
	return sl_unlikely(ep->strays) && !__libc_single_threaded && sl_ep_bell(ep) < 0;
}

/* Arm everything hot, look again; asleep if that shows nothing. Return: events, 0 look again; -errno. */
static int settle_down(struct sl_ep *ep, struct epoll_event *ev, int max,
		       struct sl_deadline *d, const sigset_t *mask, uint32_t ran)
{
	bool uncertain = false;
	int n = 0;

	sl_sect_enter();
	if (sl_lock(&ep->lock)) {
		sl_sect_leave();
		return -EINTR;
	}
	if (ep->nhot) {
		uncertain = arm_to_sleep(ep);
		n = scan_hot(ep, ev, max);
		if (n == 0 && !uncertain)
			cool_all(ep);
	}
	if (n == 0)
		atomic_fetch_add(&ep->sleepers, 1);
	uncertain |= unheard(ep);
	sl_unlock(&ep->lock);
	if (n == 0) {
		n = sleep_counted(ep, ev, max, d, mask, uncertain, ran);
		ep->from_kernel = n > 0;
		if (n == 0 && uncertain && sl_lock(&ep->lock) == 0) {
			sl_items_heat_strays(ep);
			sl_unlock(&ep->lock);
		}
	}
	sl_sect_leave();
	return n;
}

static int wait_rings(struct sl_ep *ep, struct epoll_event *ev, int max,
		      struct sl_deadline *d, const sigset_t *mask)
{
	struct sl_spinning sp = {0};
	bool spinning = false, again = false;
	uint32_t ran = sl_sect.ran;
	int n;

	if (!d->now && only_one(ep)) {
		n = glance_once(ep, ev);
		if (n > 0)
			return 1; /* there already: nothing was waited for */
		sl_spin_begin(&sp, &ep->spin, same_cpu(ep));
		if (!n && glance(ep, ev, &sp, ran) > 0) {
			sl_spin_done(&sp, false);
			return 1;
		}
		spinning = again = true;
	}

	for (;;) {
		/* With nothing hot there is only the kernel to ask: it may wait at once. */
		n = !ep->nhot && !d->now ?
			    0 :
			    look(ep, ev, max,
				 d->now || (spinning && sp.now && due_at(ep, sp.now)));
		if (n)
			break;
		if (d->now)
			return 0;
		if (ep->nhot && !spinning) {
			sl_spin_begin(&sp, &ep->spin, same_cpu(ep));
			spinning = true;
			again = false;
		}
		if (spinning && spin(ep, &sp, again, ran)) {
			again = true;
			if (sl_deadline_over(d))
				return 0;
			continue;
		}
		if (sl_offer_due())
			sl_offer_pump();
		n = settle_down(ep, ev, max, d, mask, ran);
		if (spinning)
			sl_spin_done(&sp, true);
		spinning = false;
		if (n)
			return n;
		if (sl_deadline_over(d))
			return look(ep, ev, max, true);
	}
	if (spinning)
		sl_spin_done(&sp, false);
	return n;
}

SL_SHORT bool sl_ready_epoll_quiet(int epfd)
{
	const struct sl_ep *ep = sl_ep_of(epfd);

	return __libc_single_threaded && ep && !ep->ours;
}

int sl_ready_epoll_sort(int epfd, struct epoll_event *ev, int n)
{
	struct sl_ep *ep = sl_ep_of(epfd);

	return ep ? sort_events(ep, ev, n) : n;
}

int sl_ready_epoll_wait(int epfd, struct epoll_event *ev, int max, const struct timespec *timeout,
			const sigset_t *mask)
{
	struct sl_ep *ep = sl_ep_of(epfd);
	struct sl_deadline d;
	int n;

	if (sl_offer_due())
		sl_offer_pump();
	if (!ep || max <= 0 || max > INT_MAX / (int)sizeof(*ev) || !ev) {
		struct sl_ep other = {.epfd = epfd};

		sl_deadline_init(&d, timeout);
		return sleep_in_kernel(&other, ev, max, &d, mask, false);
	}
	sl_deadline_init(&d, timeout);
	n = wait_rings(ep, ev, max, &d, mask);
	if (n > 0)
		hand_over(ep);
	return n;
}
