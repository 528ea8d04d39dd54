/* SPDX-License-Identifier: BSD-2-Clause */
/* io.c - read, write and their vectored forms */
#include <unistd.h>
#include "iov.h"

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif
/* What Linux accepts for a socket; of these only RWF_NOWAIT means something there. */
#define RWF_SOCKET (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND)

/* Takes over the reference. */
static ssize_t sock_readv(struct sl_sock *s, int fd, const struct iovec *iov, size_t n, int flags)
{
	struct msghdr m = sl_msg_of(iov, n);
	ssize_t rc = sl_iov_check(iov, n, -EINVAL);

	if (rc == 0)
		rc = sl_sock_recv(s, fd, &m, flags);
	sl_sock_put(s);
	return sl_ret(rc);
}

static ssize_t sock_writev(struct sl_sock *s, int fd, const struct iovec *iov, size_t n, int flags)
{
	struct msghdr m = sl_msg_of(iov, n);
	ssize_t rc = sl_iov_check(iov, n, -EINVAL);

	if (rc == 0)
		rc = sl_sock_send(s, fd, &m, flags);
	sl_sock_put(s);
	return sl_ret(rc);
}

/* A negative length is the kernel's to refuse. */
SL_EXPORT SL_SHORT ssize_t read(int fd, void *buf, size_t len)
{
	struct iovec iov = sl_iov1(buf, len);
	struct sl_sock *s;

	if (sl_unlikely(sl_young_in(fd)))
		return sl_young_in_done(fd, REAL(read)(fd, buf, len), len);
	s = sl_likely(len <= SSIZE_MAX) ? sl_get(fd) : NULL;
	if (!s)
		return REAL(read)(fd, buf, len);
	return sock_readv(s, fd, &iov, 1, SL_CALL_READ);
}
SL_ALIAS(__read, read);

SL_EXPORT SL_SHORT ssize_t write(int fd, const void *buf, size_t len)
{
	struct iovec iov = sl_iov1(buf, len);
	struct sl_sock *s;

	if (sl_unlikely(sl_young_out(fd, len)))
		return sl_young_out_done(fd, REAL(write)(fd, buf, len), len);
	s = sl_likely(len <= SSIZE_MAX) ? sl_get(fd) : NULL;
	if (!s)
		return REAL(write)(fd, buf, len);
	return sock_writev(s, fd, &iov, 1, SL_CALL_READ);
}
SL_ALIAS(__write, write);

SL_EXPORT SL_SHORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
	struct sl_sock *s;
	ssize_t done;

	if (sl_unlikely(sl_young_in(fd))) {
		done = REAL(readv)(fd, iov, n);
		return sl_young_in_done(fd, done, done ? 0 : sl_iov_sum(iov, (size_t)n));
	}
	s = sl_get(fd);
	if (!s)
		return REAL(readv)(fd, iov, n);
	return sock_readv(s, fd, iov, (size_t)n, SL_CALL_READ);
}

SL_EXPORT SL_SHORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
	struct sl_sock *s;
	ssize_t done;

	if (sl_unlikely(sl_young_out(fd, 0))) {
		done = REAL(writev)(fd, iov, n);
		return sl_young_out_done(fd, done, done > 0 ? sl_iov_sum(iov, (size_t)n) : 0);
	}
	s = sl_get(fd);
	if (!s)
		return REAL(writev)(fd, iov, n);
	return sock_writev(s, fd, iov, (size_t)n, SL_CALL_READ);
}

/*
 * At offset -1 these are readv and writev with flags. At any other offset a socket answers ESPIPE:
 * no byte moves, so the kernel may say it.
 */
SL_EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t pos, int flags)
{
	struct sl_sock *s = pos == -1 && !(flags & ~RWF_SOCKET) ? sl_get(fd) : NULL;

	if (!s)
		return REAL(preadv2)(fd, iov, n, pos, flags);
	return sock_readv(s, fd, iov, (size_t)n, flags & RWF_NOWAIT ? MSG_DONTWAIT : SL_CALL_READ);
}
SL_ALIAS(preadv64v2, preadv2);

SL_EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t pos, int flags)
{
	struct sl_sock *s = pos == -1 && !(flags & ~RWF_SOCKET) ? sl_get(fd) : NULL;

	if (!s)
		return REAL(pwritev2)(fd, iov, n, pos, flags);
	return sock_writev(s, fd, iov, (size_t)n, flags & RWF_NOWAIT ? MSG_DONTWAIT : SL_CALL_READ);
}
SL_ALIAS(pwritev64v2, pwritev2);

SL_EXPORT ssize_t __read_chk(int fd, void *buf, size_t len, size_t buf_len)
{
	if (len > buf_len)
		return REAL(__read_chk)(fd, buf, len, buf_len); /* aborts */
	return read(fd, buf, len);
}
