/* SPDX-License-Identifier: BSD-2-Clause */
/* file.c - sendfile and splice: bytes that go from descriptor to descriptor */
#include <fcntl.h>
#include <sys/sendfile.h>
#include "preload.h"
#include "sys.h"

static bool is_pipe(int fd)
{
	return sl_sys_fcntl(fd, F_GETPIPE_SZ, 0) >= 0;
}

static ssize_t splice_out(int fd_in, int fd_out, size_t len, unsigned flags)
{
	struct sl_sock *s = sl_get(fd_in);
	ssize_t rc;

	if (!s)
		return sl_ret(-EBADF); /* closed meanwhile */
	rc = sl_sock_splice_out(s, fd_in, fd_out, len, flags);
	sl_sock_put(s);
	return sl_ret(rc);
}

/*
 * From a socket, sendfile works only into a pipe, and without a position (Linux 6.x). All other
 * such calls fail in the kernel without moving a byte.
 */
SL_EXPORT SL_SHORT ssize_t sendfile(int fd, int in_fd, off_t *pos, size_t len)
{
	struct sl_sock *s;
	ssize_t rc;

	if (sl_unlikely(sl_young_is(fd)) && !sl_tracked(in_fd) && sl_young_out(fd, 0))
		return sl_young_out_done(fd, REAL(sendfile)(fd, in_fd, pos, len), len);
	s = sl_get(fd);
	if (!s) {
		if (sl_tracked(in_fd) && !sl_is_epoll(in_fd) && !pos && is_pipe(fd))
			return splice_out(in_fd, fd, len, 0);
		return REAL(sendfile)(fd, in_fd, pos, len);
	}
	rc = sl_tracked(in_fd) ? -EINVAL : sl_sock_sendfile(s, fd, in_fd, pos, len);
	sl_sock_put(s);
	return sl_ret(rc);
}
SL_ALIAS(sendfile64, sendfile);

/*
 * One end is a pipe, or the kernel says EINVAL. A position, too, is refused at a pipe and at a
 * socket alike: those calls go on to the kernel, which moves nothing.
 */
SL_EXPORT ssize_t splice(int fd_in, off_t *pos_in, int fd_out, off_t *pos_out, size_t len,
			 unsigned flags)
{
	struct sl_sock *s;
	ssize_t rc;

	if (pos_in || pos_out || !len || (flags & ~0xfu))
		return REAL(splice)(fd_in, pos_in, fd_out, pos_out, len, flags);
	if (sl_tracked(fd_in) && !sl_is_epoll(fd_in) && is_pipe(fd_out))
		return splice_out(fd_in, fd_out, len, flags);
	s = is_pipe(fd_in) ? sl_get(fd_out) : NULL;
	if (!s)
		return REAL(splice)(fd_in, pos_in, fd_out, pos_out, len, flags);
	rc = sl_sock_splice_in(s, fd_out, fd_in, len, flags);
	sl_sock_put(s);
	return sl_ret(rc);
}
