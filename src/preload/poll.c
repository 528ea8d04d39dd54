/* SPDX-License-Identifier: BSD-2-Clause */
/* poll.c - poll and select; a call that knows none of our descriptors is libc's */
#include "preload.h"

static bool poll_ours(struct pollfd *fds, nfds_t n)
{
	nfds_t i;

	if (!sl_live || !fds)
		return false;
	for (i = 0; i < n; i++)
		if (sl_fdtab_load(fds[i].fd))
			return true;
	return false;
}

SL_EXPORT int poll(struct pollfd *fds, nfds_t n, int ms)
{
	struct timespec t;

	if (!poll_ours(fds, n))
		return REAL(poll)(fds, n, ms);
	return (int)sl_ret(sl_ready_poll(fds, n, sl_ms(&t, ms), NULL));
}
SL_ALIAS(__poll, poll);

SL_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		    const sigset_t *mask)
{
	if (sl_bad_time(timeout) || !poll_ours(fds, n))
		return REAL(ppoll)(fds, n, timeout, mask);
	return (int)sl_ret(sl_ready_poll(fds, n, timeout, mask));
}

SL_EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int ms, size_t len)
{
	if (len / sizeof(*fds) < n)
		return REAL(__poll_chk)(fds, n, ms, len); /* aborts */
	return poll(fds, n, ms);
}

SL_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
			  const sigset_t *mask, size_t len)
{
	if (len / sizeof(*fds) < n)
		return REAL(__ppoll_chk)(fds, n, timeout, mask, len); /* aborts */
	return ppoll(fds, n, timeout, mask);
}

/* Programs pass sets larger than FD_SETSIZE: look at words, @n decides how many. */
static bool select_ours(int n, const fd_set *in, const fd_set *out, const fd_set *ex)
{
	const fd_set *sets[] = {in, out, ex};
	unsigned long bits;
	int i, k, fd;

	for (i = 0; sl_live && i < n; i += NFDBITS) {
		for (bits = 0, k = 0; k < 3; k++)
			if (sets[k])
				bits |= (unsigned long)__FDS_BITS(sets[k])[i / NFDBITS];
		for (; bits; bits &= bits - 1) {
			fd = i + __builtin_ctzl(bits);
			if (fd < n && sl_fdtab_load(fd))
				return true;
		}
	}
	return false;
}

/* Linux leaves the time that is left in @tv, whatever the outcome. */
SL_EXPORT int select(int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *tv)
{
	struct timespec t, left;
	int rc;

	if ((tv && (tv->tv_sec < 0 || tv->tv_usec < 0)) || !select_ours(n, in, out, ex))
		return REAL(select)(n, in, out, ex, tv);
	if (tv) {
		t.tv_sec = tv->tv_sec + tv->tv_usec / 1000000;
		t.tv_nsec = tv->tv_usec % 1000000 * 1000;
		left = t;
	}
	rc = sl_ready_select(n, in, out, ex, tv ? &t : NULL, NULL, tv ? &left : NULL);
	if (tv) {
		tv->tv_sec = left.tv_sec;
		tv->tv_usec = left.tv_nsec / 1000;
	}
	return (int)sl_ret(rc);
}
SL_ALIAS(__select, select);

SL_EXPORT int pselect(int n, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *timeout,
		      const sigset_t *mask)
{
	if (sl_bad_time(timeout) || !select_ours(n, in, out, ex))
		return REAL(pselect)(n, in, out, ex, timeout, mask);
	return (int)sl_ret(sl_ready_select(n, in, out, ex, timeout, mask, NULL));
}
