/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fd.c - descriptors come and go: close, dup, fcntl
 *
 * The table is told before a number is closed or taken over, never after: another thread may get
 * the number at once. scilan's own descriptors (hidden.h) answer EBADF, survive close_range, and
 * make room for dup2.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>
#include "hidden.h"
#include "preload.h"
#include "sys.h"

/* Nothing of ours, or all but nothing, is behind most descriptors. */
static SL_SHORT bool closing_plain(int fd)
{
	uintptr_t e = sl_fdtab_load(fd);

	if ((e && e != SL_FD_YOUNG) || sl_hidden_is(fd))
		return false;
	if (e)
		sl_sock_untrack(fd);
	else
		sl_conn_closing(fd);
	sl_ready_forget(fd);
	return true;
}

SL_SHORT int sl_fd_closing(int fd)
{
	int rc;

	if (!sl_live || sl_foreign() || sl_likely(closing_plain(fd)))
		return 0;
	rc = sl_sock_close(fd);
	if (rc == 0)
		sl_ready_close(fd);
	return rc;
}

SL_EXPORT SL_SHORT int close(int fd)
{
	int rc = sl_fd_closing(fd);

	return rc ? (int)sl_ret(rc) : REAL(close)(fd);
}
SL_ALIAS(__close, close);

/* Close [first, last] but for our own. */
static int close_around(unsigned first, unsigned last, int flags)
{
	int own, rc;

	for (; first <= INT_MAX; first = (unsigned)own + 1) {
		own = sl_hidden_next((int)first);
		if (own < 0 || (unsigned)own > last)
			break;
		if ((unsigned)own == first)
			continue;
		rc = REAL(close_range)(first, (unsigned)own - 1, flags);
		if (rc)
			return rc;
	}
	return first > last ? 0 : REAL(close_range)(first, last, flags);
}

/* CLOSE_RANGE_CLOEXEC closes nothing now, and our own are close-on-exec anyway. */
SL_EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	int fd;

	if (!sl_live || first > last || (flags & ~(int)CLOSE_RANGE_UNSHARE))
		return REAL(close_range)(first, last, flags);
	if (first <= INT_MAX)
		for (fd = sl_fdtab_next((int)first); fd >= 0 && (unsigned)fd <= last;
		     fd = sl_fdtab_next(fd + 1))
			(void)sl_fd_closing(fd);
	sl_conn_closing_range(first, last);
	return close_around(first, last, flags);
}

SL_EXPORT void closefrom(int low)
{
	int err = errno;

	/* The real one is for kernels without close_range (before 5.9); it closes our own, too. */
	if (!sl_live || close_range(low < 0 ? 0 : (unsigned)low, ~0u, 0))
		REAL(closefrom)(low);
	errno = err;
}

/* A number that stands for what @fd stands for. */
static int duplicated(int fd, int newfd)
{
	if (newfd >= 0 && (sl_tracked(fd) || sl_tracked(newfd)) && !sl_foreign()) {
		sl_sock_dup(fd, newfd);
		sl_ready_dup(fd, newfd);
	}
	return newfd;
}

static bool ours(int fd)
{
	return sl_live && sl_hidden_is(fd);
}

SL_EXPORT int dup(int fd)
{
	return ours(fd) ? (int)sl_ret(-EBADF) : duplicated(fd, REAL(dup)(fd));
}

/*
 * dup2() closes newfd, but only if fd is good. The real call is made even when that is known to
 * fail: it has the errno.
 */
static int make_room(int fd, int newfd)
{
	if (ours(fd))
		return -EBADF;
	if (!sl_live || newfd < 0 || sl_sys_fcntl(fd, F_GETFD, 0) < 0)
		return 0;
	if (sl_hidden_is(newfd))
		return sl_foreign() ? 0 : sl_hidden_move(newfd);
	return sl_fd_closing(newfd);
}

SL_EXPORT int dup2(int fd, int newfd)
{
	int rc;

	if (fd == newfd)
		return ours(fd) ? (int)sl_ret(-EBADF) : REAL(dup2)(fd, newfd);
	rc = make_room(fd, newfd);
	return rc ? (int)sl_ret(rc) : duplicated(fd, REAL(dup2)(fd, newfd));
}
SL_ALIAS(__dup2, dup2);

SL_EXPORT int dup3(int fd, int newfd, int flags)
{
	int rc;

	if (fd == newfd || (flags & ~O_CLOEXEC))
		return REAL(dup3)(fd, newfd, flags); /* EINVAL */
	rc = make_room(fd, newfd);
	return rc ? (int)sl_ret(rc) : duplicated(fd, REAL(dup3)(fd, newfd, flags));
}

static int setfl(int fd, long arg)
{
	struct sl_sock *s = sl_young_is(fd) && !(arg & O_ASYNC) ? NULL : sl_get(fd);
	int rc;

	if (s && (arg & O_ASYNC))
		sl_sock_refuse(s, fd, SL_WHY_ASYNC);
	rc = REAL(fcntl)(fd, F_SETFL, arg);
	if (s && rc == 0)
		sl_sock_setfl(s, fd, (int)arg);
	if (s)
		sl_sock_put(s);
	return rc;
}

SL_EXPORT int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		if (ours(fd))
			return (int)sl_ret(-EBADF);
		return duplicated(fd, REAL(fcntl)(fd, cmd, arg));
	case F_SETFL:
		return setfl(fd, arg);
	default:
		return REAL(fcntl)(fd, cmd, arg);
	}
}
SL_ALIAS(__fcntl, fcntl);
SL_ALIAS(fcntl64, fcntl);

/* Where libc is as it was, stdio reads and writes past us, so a socket under it stays on TCP. */
SL_EXPORT FILE *fdopen(int fd, const char *mode)
{
	struct sl_sock *s = sl_patched ? NULL : sl_get(fd);

	if (s) {
		sl_sock_bypass(s, fd, SL_WHY_STDIO);
		sl_sock_put(s);
	}
	return REAL(fdopen)(fd, mode);
}
