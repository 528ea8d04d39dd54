/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys.h - raw system calls that return -errno
 *
 * For what never blocks and must neither be a cancellation point nor touch errno. Anything that
 * blocks goes through sl_real instead, or pthread_cancel would hang.
 */
#ifndef SL_SYS_H
#define SL_SYS_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>

static inline long sl_sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define sl_sys(nr, a, b, c) sl_sys6((nr), (long)(a), (long)(b), (long)(c), 0, 0, 0)

static inline ssize_t sl_sys_recv(int fd, void *buf, size_t len, int flags)
{
	return sl_sys6(SYS_recvfrom, fd, (long)buf, (long)len, flags, 0, 0);
}

static inline ssize_t sl_sys_send(int fd, const void *buf, size_t len, int flags)
{
	return sl_sys6(SYS_sendto, fd, (long)buf, (long)len, flags, 0, 0);
}

static inline ssize_t sl_sys_recvmsg(int fd, struct msghdr *m, int flags)
{
	return sl_sys(SYS_recvmsg, fd, m, flags);
}

static inline ssize_t sl_sys_sendmsg(int fd, const struct msghdr *m, int flags)
{
	return sl_sys(SYS_sendmsg, fd, m, flags);
}

static inline int sl_sys_getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	return (int)sl_sys6(SYS_getsockopt, fd, level, name, (long)val, (long)len, 0);
}

static inline int sl_sys_close(int fd)
{
	return (int)sl_sys(SYS_close, fd, 0, 0);
}

static inline int sl_sys_ioctl(int fd, unsigned long req, void *arg)
{
	return (int)sl_sys(SYS_ioctl, fd, req, arg);
}

static inline int sl_sys_fcntl(int fd, int cmd, long arg)
{
	return (int)sl_sys(SYS_fcntl, fd, cmd, arg);
}

static inline void sl_sys_yield(void)
{
	(void)sl_sys(SYS_sched_yield, 0, 0, 0);
}

/* revents of one descriptor right now, or -errno */
int sl_sys_poll_now(int fd, short events);

/* The same, waiting for ever: only where the wait is known to be short. */
int sl_sys_poll_wait(int fd, short events);

#endif
