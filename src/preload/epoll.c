/* SPDX-License-Identifier: BSD-2-Clause */
/* epoll.c - epoll; an instance that we did not see being made waits in libc */
#include "preload.h"

static int created(int epfd)
{
	if (epfd >= 0 && sl_live)
		sl_ready_epoll_created(epfd);
	return epfd;
}

SL_EXPORT int epoll_create(int size)
{
	return created(REAL(epoll_create)(size));
}

SL_EXPORT int epoll_create1(int flags)
{
	return created(REAL(epoll_create1)(flags));
}

SL_EXPORT SL_SHORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	if (!sl_tracked(epfd) && !sl_tracked(fd))
		return REAL(epoll_ctl)(epfd, op, fd, ev);
	return (int)sl_ret(sl_ready_epoll_ctl(epfd, op, fd, ev));
}

/*
 * Nothing of ours is in it: the kernel's call, as the program made it. If a signal handler has promoted something
 * meanwhile, the change of its registration was an event, so that this does not sleep.
 */
static SL_SHORT bool quiet_wait(int epfd, struct epoll_event *ev, int max, int ms,
				const sigset_t *mask, int *n)
{
	if (!sl_ready_epoll_quiet(epfd))
		return false;
	*n = mask ? REAL(epoll_pwait)(epfd, ev, max, ms, mask) :
		    REAL(epoll_wait)(epfd, ev, max, ms);
	if (sl_likely(*n <= 0 || sl_ready_epoll_quiet(epfd)))
		return true;
	*n = sl_ready_epoll_sort(epfd, ev, *n);
	return *n;
}

static SL_SHORT int wait_ms(int epfd, struct epoll_event *ev, int max, int ms,
			    const sigset_t *mask)
{
	struct timespec t;
	int n;

	if (sl_likely(quiet_wait(epfd, ev, max, ms, mask, &n)))
		return n;
	return (int)sl_ret(sl_ready_epoll_wait(epfd, ev, max, sl_ms(&t, ms), mask));
}

SL_EXPORT SL_SHORT int epoll_wait(int epfd, struct epoll_event *ev, int max, int ms)
{
	if (!sl_is_epoll(epfd))
		return REAL(epoll_wait)(epfd, ev, max, ms);
	return wait_ms(epfd, ev, max, ms, NULL);
}

SL_EXPORT SL_SHORT int epoll_pwait(int epfd, struct epoll_event *ev, int max, int ms,
				   const sigset_t *mask)
{
	if (!sl_is_epoll(epfd))
		return REAL(epoll_pwait)(epfd, ev, max, ms, mask);
	return wait_ms(epfd, ev, max, ms, mask);
}

SL_EXPORT int epoll_pwait2(int epfd, struct epoll_event *ev, int max,
			   const struct timespec *timeout, const sigset_t *mask)
{
	if (sl_bad_time(timeout) || !sl_is_epoll(epfd))
		return REAL(epoll_pwait2)(epfd, ev, max, timeout, mask);
	return (int)sl_ret(sl_ready_epoll_wait(epfd, ev, max, timeout, mask));
}
