/* SPDX-License-Identifier: BSD-2-Clause */
/* opt.c - options and ioctls */
#include <stdarg.h>
#include <sys/ioctl.h>
#include "preload.h"

SL_EXPORT SL_SHORT int getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	struct sl_sock *s = sl_young_is(fd) ? NULL : sl_get(fd);
	int rc;

	if (!s)
		return REAL(getsockopt)(fd, level, name, val, len);
	rc = sl_sock_getsockopt(s, fd, level, name, val, len);
	sl_sock_put(s);
	return (int)sl_ret(rc);
}

SL_EXPORT SL_SHORT int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	struct sl_sock *s = sl_young_is(fd) && !sl_opt_matters(level, name) ? NULL : sl_get(fd);
	int rc;

	if (!s)
		return REAL(setsockopt)(fd, level, name, val, len);
	rc = sl_sock_setsockopt(s, fd, level, name, val, len);
	sl_sock_put(s);
	return (int)sl_ret(rc);
}

SL_EXPORT int ioctl(int fd, unsigned long req, ...)
{
	struct sl_sock *s = sl_young_is(fd) && req != FIOASYNC ? NULL : sl_get(fd);
	va_list ap;
	void *arg;
	int rc;

	va_start(ap, req);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (!s)
		return REAL(ioctl)(fd, req, arg);
	rc = sl_sock_ioctl(s, fd, req, arg);
	sl_sock_put(s);
	return (int)sl_ret(rc);
}
