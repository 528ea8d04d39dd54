/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * select.c - select(2) in terms of poll
 *
 * The meaning of the sets is the kernel's own: readable is IN, HUP, ERR; writable is OUT, ERR; exceptional
 * is PRI. A bad descriptor is EBADF.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "ready.h"
#include "timeout.h"

#define IN_SET	(POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define OUT_SET (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)
#define EX_SET	POLLPRI
#define BITS	(8 * (int)sizeof(long))

/* The sets may be larger than an fd_set: programs allocate their own. */
static bool has(const fd_set *set, int fd)
{
	return set && (((const unsigned long *)(const void *)set)[fd / BITS] >> (fd % BITS) & 1);
}

static void put(fd_set *set, int fd)
{
	((unsigned long *)(void *)set)[fd / BITS] |= 1ul << (fd % BITS);
}

static void clear(fd_set *set, int nfds)
{
	if (set)
		memset(set, 0, (size_t)((nfds + BITS - 1) / BITS) * sizeof(long));
}

static int to_poll(int nfds, fd_set *in, fd_set *out, fd_set *ex, struct pollfd *p)
{
	int fd, n = 0;

	for (fd = 0; fd < nfds; fd++) {
		short ev = (short)((has(in, fd) ? POLLIN | POLLRDNORM | POLLRDBAND : 0) |
				   (has(out, fd) ? POLLOUT | POLLWRNORM | POLLWRBAND : 0) |
				   (has(ex, fd) ? POLLPRI : 0));

		if (ev) {
			if (p)
				p[n] = (struct pollfd){.fd = fd, .events = ev};
			n++;
		}
	}
	return n;
}

/* The answer's bits for one entry: what was asked for and holds. */
static short answer(const struct pollfd *p)
{
	return (short)((p->events & POLLIN && p->revents & IN_SET ? POLLIN : 0) |
		       (p->events & POLLOUT && p->revents & OUT_SET ? POLLOUT : 0) |
		       (p->events & POLLPRI && p->revents & EX_SET ? POLLPRI : 0));
}

static int store(int nfds, fd_set *in, fd_set *out, fd_set *ex, const struct pollfd *p, int n)
{
	int i, bits = 0;
	short a;

	clear(in, nfds);
	clear(out, nfds);
	clear(ex, nfds);
	for (i = 0; i < n; i++) {
		a = p[i].fd < 0 ? 0 : answer(&p[i]);
		if (a & POLLIN)
			put(in, p[i].fd);
		if (a & POLLOUT)
			put(out, p[i].fd);
		if (a & POLLPRI)
			put(ex, p[i].fd);
		bits += !!(a & POLLIN) + !!(a & POLLOUT) + !!(a & POLLPRI);
	}
	return bits;
}

static int run(int nfds, fd_set *in, fd_set *out, fd_set *ex, struct pollfd *p,
	       struct sl_deadline *d, const sigset_t *mask)
{
	struct timespec ts;
	int i, n, rc;
	bool found;

	n = to_poll(nfds, in, out, ex, p);
	for (;;) {
		rc = sl_ready_poll(p, (nfds_t)n, sl_deadline_left(d, &ts), mask);
		if (rc < 0)
			return rc;
		found = false;
		for (i = 0; i < n; i++) {
			if (p[i].fd >= 0 && p[i].revents & POLLNVAL)
				return -EBADF;
			found |= p[i].fd >= 0 && answer(&p[i]);
			/* poll tells of a hang-up that no set asks for: that one has nothing to say */
			if (p[i].revents && !answer(&p[i]))
				p[i].fd = -1;
		}
		if (found || sl_deadline_over(d))
			return store(nfds, in, out, ex, p, n);
	}
}

int sl_ready_select(int nfds, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *timeout,
		    const sigset_t *mask, struct timespec *left)
{
	struct pollfd few[256], *p = few;
	struct sl_deadline d;
	size_t mapped = 0;
	int rc;

	if (nfds < 0)
		return -EINVAL;
	if (nfds > 256) {
		mapped = (size_t)nfds * sizeof(*p);
		p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return -ENOMEM;
	}
	sl_deadline_init(&d, timeout);
	rc = run(nfds, in, out, ex, p, &d, mask);
	if (left) {
		struct timespec ts = {0};

		*left = d.forever ? ts : *sl_deadline_left(&d, &ts);
	}
	if (mapped)
		munmap(p, mapped);
	return rc;
}
