/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * poll.c - poll and select over rings and kernel, one function
 *
 * Promoted sockets answer from their rings; the kernel is asked about the rest, at once where no ring has
 * anything, else every KERNEL_LOOK_NS. Before sleeping every promoted socket is armed, its bells are drained and it
 * is looked at again; then the kernel polls the very descriptors: a promoted one for input (a bell) and hang-up.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include "bell.h"
#include "hidden.h"
#include "items.h"
#include "ready.h"
#include "real.h"
#include "spin.h"
#include "sys.h"
#include "timeout.h"

#define KERNEL_LOOK_NS 30000
#define ON_STACK       128
#define IN_BITS	       (POLLIN | POLLRDNORM | POLLRDHUP)

static __thread uint64_t last_look __attribute__((tls_model("initial-exec")));
static __thread struct sl_spin place __attribute__((tls_model("initial-exec")));

struct pollset {
	struct pollfd *fds; /* the program's */
	nfds_t n;
	struct pollfd *kfds;	/* for the kernel; one more for this thread's bell, one for the broker */
	struct sl_sock **socks; /* promoted ones, with a reference; else NULL */
	struct sl_sock **natives; /* not promoted, slept on in the kernel, with a reference; else NULL */
	nfds_t npromoted;
	int bell; /* this thread's, where something was armed with it */
	struct sl_sock *any;
	size_t mapped; /* bytes, when not on the stack */
	bool gathered, armed;
	uint32_t ran; /* signal handlers, when it began */
	struct sl_frame frame;
};

static void gather(struct pollset *p)
{
	struct sl_sock *s;
	struct sl_ep *ep;
	nfds_t i;

	sl_sect_enter();
	p->npromoted = 0;
	for (i = 0; i < p->n; i++) {
		s = p->gathered ? p->socks[i] : NULL;
		if (s && sl_sock_attached(s)) { /* also where its number was closed meanwhile, as in Linux */
			p->any = s;
			p->npromoted++;
			continue;
		}
		if (s)
			sl_sock_put(s);
		p->socks[i] = NULL;
		if (p->fds[i].fd < 0)
			continue;
		ep = sl_ep_of(p->fds[i].fd);
		if (ep) {
			sl_ep_polled(ep);
			continue;
		}
		s = sl_sock_get(p->fds[i].fd);
		if (s && sl_sock_attached(s)) {
			p->socks[i] = s;
			p->any = s;
			p->npromoted++;
		} else if (s) {
			sl_sock_put(s);
		}
	}
	p->gathered = true;
	sl_sect_leave();
}

static void scatter(struct pollset *p)
{
	nfds_t i;

	sl_sect_enter();
	for (i = 0; i < p->n && p->npromoted; i++)
		if (p->socks[i])
			sl_sock_put(p->socks[i]);
	p->npromoted = 0;
	p->gathered = false;
	sl_sect_leave();
}

/* poll(2) returns EPOLLERR, EPOLLHUP always, the rest when asked for. */
static int scan_rings(struct pollset *p)
{
	int ready = 0;
	nfds_t i;

	for (i = 0; i < p->n; i++) {
		if (!p->socks[i])
			continue;
		p->fds[i].revents = (short)sl_sock_events(p->socks[i], p->fds[i].fd,
							  (uint16_t)p->fds[i].events);
		ready += p->fds[i].revents != 0;
	}
	return ready;
}

/*
 * The kernel has news of what was not promoted when we gathered. Another thread may have attached it since, and then that may
 * be a bell: what is there scan_rings() tells. (Armed, disarm() takes it up.)
 */
static bool promoted_since(struct pollset *p, nfds_t i)
{
	struct sl_sock *s;
	bool since;

	sl_sect_enter();
	s = p->fds[i].fd < 0 ? NULL : sl_sock_get(p->fds[i].fd);
	since = s && sl_sock_attached(s);
	if (since && !p->armed) {
		p->socks[i] = s;
		p->any = s;
		p->npromoted++;
	} else if (s) {
		sl_sock_put(s);
	}
	if (since)
		p->fds[i].revents = 0;
	sl_sect_leave();
	return since;
}

/* What the kernel says: promoted sockets' news is noted, the others' is the answer. */
static int take_kernel(struct pollset *p)
{
	int ready = 0;
	short r;
	nfds_t i;

	for (i = 0; i < p->n; i++) {
		r = p->kfds[i].revents;
		if (!p->socks[i] && (!r || !promoted_since(p, i))) {
			p->fds[i].revents = r;
			ready += r != 0;
		} else if (p->socks[i]) {
			sl_sock_kernel_event(p->socks[i], p->fds[i].fd, (uint16_t)r);
			if (r & POLLNVAL) {
				p->fds[i].revents = POLLNVAL;
				ready++;
			}
		}
	}
	return ready;
}

/* Rings have something, and the kernel is not asked. What it said before we slept is not so any more. */
static void nothing_from_kernel(struct pollset *p)
{
	nfds_t i;

	for (i = 0; i < p->n; i++)
		if (!p->socks[i])
			p->fds[i].revents = 0;
}

static nfds_t fill_kernel(struct pollset *p, bool for_sleep)
{
	nfds_t i;

	for (i = 0; i < p->n; i++) {
		p->kfds[i] = p->fds[i];
		p->kfds[i].revents = 0;
		if (!p->socks[i])
			continue;
		p->kfds[i].fd = sl_still_fd(p->socks[i], p->fds[i].fd);
		/* Awake, the rings tell of data. Of a peer that has reset or died the kernel alone does. */
		p->kfds[i].events = POLLRDHUP;
		if (!for_sleep)
			continue;
		p->kfds[i].events |= POLLIN;
		if (sl_sock_kernel_out(p->socks[i]))
			p->kfds[i].events |= p->fds[i].events & POLLOUT;
	}
	if (!for_sleep)
		return p->n;
	p->kfds[p->n].fd = sl_bell_fd(p->bell);
	p->kfds[p->n].events = POLLIN;
	p->kfds[p->n].revents = 0;
	p->kfds[p->n + 1] = p->kfds[p->n];
	p->kfds[p->n + 1].fd = sl_hidden_get(SL_HIDDEN_BROKER);
	if (p->kfds[p->n + 1].fd >= 0 && sl_offer_waiting())
		return p->n + 2;
	return p->n + (p->bell >= 0);
}

static int kernel_now(struct pollset *p)
{
	long n;

	last_look = sl_ticks();
	n = sl_sys(SYS_poll, p->kfds, fill_kernel(p, false), 0);
	if (n < 0)
		return (int)n;
	return take_kernel(p);
}

static bool due_at(uint64_t now)
{
	return now - last_look > sl_ticks_of_ns(KERNEL_LOOK_NS);
}

/* @again: what a hint promised was not there: a hint is no proof. */
static bool spin(struct pollset *p, struct sl_spinning *sp, bool again)
{
	nfds_t i;

	if (again && !sl_spin_on(sp))
		return false;
	do {
		for (i = 0; i < p->n; i++)
			if (p->socks[i] && (p->fds[i].events & IN_BITS) &&
			    sl_sock_hint(p->socks[i]))
				return true;
		if (sl_unlikely(sl_sect.ran != p->ran) || !sl_spin_on(sp))
			return false;
	} while (!sl_spin_tick(sp) || !due_at(sp->now));
	return true;
}

/*
 * Another thread may attach one while we sleep on it: it has to know that a bell is ours (natives).
 * Return: false: one was attached or detached by now, gather anew.
 */
static bool arm(struct pollset *p, bool *uncertain)
{
	struct sl_sock *s;
	bool same = true;
	unsigned armed;
	nfds_t i;

	sl_sect_enter();
	*uncertain = false;
	p->bell = p->npromoted ? sl_bell_mine() : -1;
	for (i = 0; i < p->n; i++) {
		p->natives[i] = NULL;
		if (p->socks[i]) {
			armed = sl_sock_arm(p->socks[i], p->fds[i].fd,
					    (uint16_t)p->fds[i].events, true, p->bell);
			*uncertain |= armed & SL_ARM_UNCERTAIN;
			if (sl_unlikely(armed & SL_ARM_GONE)) {
				/* Not counted as its sleeper: disarm() must not take another's count. */
				sl_sock_put(p->socks[i]);
				p->socks[i] = NULL;
				same = false;
			}
		} else if (p->fds[i].fd >= 0 && (s = sl_sock_get(p->fds[i].fd))) {
			if (sl_sock_native_sleep(s)) {
				p->natives[i] = s;
				continue;
			}
			sl_sock_put(s);
			same = false;
		}
	}
	p->armed = true;
	sl_sect_leave();
	return same;
}

/* What was attached meanwhile is a promoted one of the set from now on. */
static void disarm(struct pollset *p)
{
	nfds_t i;

	sl_sect_enter();
	for (i = 0; i < p->n; i++) {
		if (p->socks[i]) {
			sl_sock_disarm(p->socks[i]);
		} else if (p->natives[i]) {
			if (sl_sock_native_awake(p->natives[i])) {
				p->socks[i] = p->natives[i];
				p->npromoted++;
			} else {
				sl_sock_put(p->natives[i]);
			}
			p->natives[i] = NULL;
		}
	}
	p->armed = false;
	sl_sect_leave();
}

/* It is left in the middle: the thread is cancelled, or jumps out of a signal handler. */
static void gone(void *arg)
{
	struct pollset *p = arg;

	if (p->armed)
		disarm(p);
	scatter(p);
	if (p->mapped)
		munmap(p->kfds, p->mapped);
}

/* Return: as ppoll, its answers are in kfds; -errno. */
static int sleep_in_kernel(struct pollset *p, struct sl_deadline *d, const sigset_t *mask,
			   unsigned vain, bool uncertain)
{
	static const struct timespec soon = {.tv_nsec = SL_UNCERTAIN_MS * 1000000};
	/* Bytes that cannot be drained would wake us at once, for ever: take a breath. */
	static const struct timespec breath = {.tv_nsec = 1000000};
	struct timespec ts;
	const struct timespec *left = sl_deadline_left(d, &ts);
	nfds_t n = fill_kernel(p, true);
	int rc, saved = errno;

	if (uncertain && (!left || left->tv_sec || left->tv_nsec > soon.tv_nsec))
		left = &soon;
	if (vain > 3) {
		(void)sl_sys(SYS_nanosleep, &breath, 0, 0);
		n = p->n + (p->bell >= 0); /* without the broker; with the bell that the rings are armed with */
	}
	if (sl_stat_page)
		sl_stat_page->wakeups++;
	/* A handler that came while we were spinning has interrupted a poll. */
	if (sl_unlikely(sl_sect.ran != p->ran))
		return -EINTR;
	rc = sl_real.ppoll(p->kfds, n, left, mask);
	last_look = sl_ticks();
	if (rc < 0) {
		rc = -errno;
		errno = saved;
		return rc;
	}
	if (n > p->n && p->kfds[p->n].revents)
		sl_bell_silence(p->bell);
	if (n > p->n + 1 && p->kfds[p->n + 1].revents)
		sl_offer_pump();
	return rc;
}

static int poll_set(struct pollset *p, struct sl_deadline *d, const sigset_t *mask)
{
	struct sl_spinning sp = {0};
	bool spinning = false, again = false, uncertain, same, slept;
	unsigned vain = 0;
	int n, k;

	for (;;) {
		gather(p);
		n = scan_rings(p);
		k = 0;
		if (d->now || due_at(sl_ticks()) || (!n && !spinning && p->npromoted < p->n)) {
			k = kernel_now(p);
			n = scan_rings(p);
		} else if (n) {
			nothing_from_kernel(p);
		}
		if (k < 0 || n + k || d->now)
			break;
		if (p->npromoted && !spinning) {
			sl_spin_begin(&sp, &place, sl_sock_same_cpu(p->any));
			spinning = true;
			again = false;
		}
		if (spinning && spin(p, &sp, again) && !sl_deadline_over(d)) {
			again = true;
			continue;
		}
		if (sl_offer_due())
			sl_offer_pump();
		same = arm(p, &uncertain);
		n = scan_rings(p);
		slept = !n && same;
		k = n ? kernel_now(p) : slept ? sleep_in_kernel(p, d, mask, vain++, uncertain) : 0;
		disarm(p);
		if (slept && k >= 0)
			k = take_kernel(p);
		if (spinning)
			sl_spin_done(&sp, true);
		spinning = false;
		if (k >= 0)
			n = scan_rings(p);
		if (k < 0 || n + k || sl_deadline_over(d))
			break;
	}
	if (spinning)
		sl_spin_done(&sp, false);
	scatter(p);
	return k < 0 ? k : n + k;
}

static int cancellable(struct pollset *p, struct sl_deadline *d, const sigset_t *mask)
{
	int rc;

	pthread_cleanup_push(sl_frame_cancelled, NULL);
	sl_frame_push(&p->frame, gone, p);
	rc = poll_set(p, d, mask);
	sl_frame_pop(&p->frame);
	pthread_cleanup_pop(0);
	return rc;
}

int sl_ready_poll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		  const sigset_t *mask)
{
	struct pollfd kfds[ON_STACK + 2];
	struct sl_sock *socks[2 * ON_STACK];
	struct pollset p = {
		.fds = fds, .n = n, .kfds = kfds, .socks = socks, .natives = socks + ON_STACK};
	struct sl_deadline d;
	int rc;

	p.ran = sl_sect.ran;
	if (n > ON_STACK) {
		p.mapped = (n + 2) * (sizeof(*kfds) + 2 * sizeof(*socks));
		p.kfds = mmap(NULL, p.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0);
		if (p.kfds == MAP_FAILED)
			return -ENOMEM;
		p.socks = (struct sl_sock **)(void *)(p.kfds + n + 2);
		p.natives = p.socks + n;
	}
	memset(p.kfds, 0, (n + 2) * sizeof(*kfds));
	sl_deadline_init(&d, timeout);
	if (sl_offer_due())
		sl_offer_pump();
	rc = cancellable(&p, &d, mask);
	if (p.mapped)
		munmap(p.kfds, p.mapped);
	return rc;
}
