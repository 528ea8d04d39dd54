/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syscall.c - syscall(2) for the numbers of the interposed calls
 *
 * libuv closes by syscall(SYS_close), others poll or accept so. Where a descriptor of ours is
 * concerned the call is handed to the interposed function; all else goes to libc's syscall() as it
 * came. The kernel's conventions differ from libc's in signal sets (8 bytes, and a size argument)
 * and in timeouts, which it updates.
 */
#include <fcntl.h>
#include <linux/seccomp.h>
#include <linux/sched.h>
#include <stdarg.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "clock.h"
#include "preload.h"

#define KERNEL_SIGSET 8

static void *ptr(long a)
{
	return (void *)(uintptr_t)a;
}

/* Calls whose first argument is a socket of ours. */
static long sock_call(long nr, const long *a)
{
	int fd = (int)a[0], flags = (int)a[3];

	switch (nr) {
	case SYS_read:
		return read(fd, ptr(a[1]), (size_t)a[2]);
	case SYS_write:
		return write(fd, ptr(a[1]), (size_t)a[2]);
	case SYS_readv:
		return readv(fd, ptr(a[1]), (int)a[2]);
	case SYS_writev:
		return writev(fd, ptr(a[1]), (int)a[2]);
	case SYS_preadv2: /* a[3] and a[4] are the halves of the offset */
		return preadv2(fd, ptr(a[1]), (int)a[2], a[3], (int)a[5]);
	case SYS_pwritev2:
		return pwritev2(fd, ptr(a[1]), (int)a[2], a[3], (int)a[5]);
	case SYS_recvfrom:
		return recvfrom(fd, ptr(a[1]), (size_t)a[2], flags, ptr(a[4]), ptr(a[5]));
	case SYS_recvmsg:
		return recvmsg(fd, ptr(a[1]), (int)a[2]);
	case SYS_recvmmsg:
		return recvmmsg(fd, ptr(a[1]), (unsigned)a[2], flags, ptr(a[4]));
	case SYS_sendto:
		return sendto(fd, ptr(a[1]), (size_t)a[2], flags, ptr(a[4]), (socklen_t)a[5]);
	case SYS_shutdown:
		return shutdown(fd, (int)a[1]);
	case SYS_getsockopt:
		return getsockopt(fd, (int)a[1], (int)a[2], ptr(a[3]), ptr(a[4]));
	case SYS_setsockopt:
		return setsockopt(fd, (int)a[1], (int)a[2], ptr(a[3]), (socklen_t)a[4]);
	case SYS_ioctl:
		return ioctl(fd, (unsigned long)a[1], ptr(a[2]));
	default:
		return sl_ret(-ENOSYS);
	}
}

/* Calls that make, pass on, copy or register a descriptor. */
static long fd_call(long nr, const long *a)
{
	int fd = (int)a[0];

	switch (nr) {
	case SYS_connect:
		return connect(fd, ptr(a[1]), (socklen_t)a[2]);
	case SYS_accept:
		return accept(fd, ptr(a[1]), ptr(a[2]));
	case SYS_accept4:
		return accept4(fd, ptr(a[1]), ptr(a[2]), (int)a[3]);
	case SYS_sendmsg:
		return sendmsg(fd, ptr(a[1]), (int)a[2]);
	case SYS_sendmmsg:
		return sendmmsg(fd, ptr(a[1]), (unsigned)a[2], (int)a[3]);
	case SYS_sendfile:
		return sendfile(fd, (int)a[1], ptr(a[2]), (size_t)a[3]);
	case SYS_splice:
		return splice(fd, ptr(a[1]), (int)a[2], ptr(a[3]), (size_t)a[4], (unsigned)a[5]);
	case SYS_close_range:
		return close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
	case SYS_dup:
		return dup(fd);
	case SYS_dup2:
		return dup2(fd, (int)a[1]);
	case SYS_dup3:
		return dup3(fd, (int)a[1], (int)a[2]);
	case SYS_fcntl:
		return fcntl(fd, (int)a[1], a[2]);
	case SYS_epoll_create:
		return epoll_create(fd);
	case SYS_epoll_create1:
		return epoll_create1(fd);
	case SYS_epoll_ctl:
		return epoll_ctl(fd, (int)a[1], (int)a[2], ptr(a[3]));
	default:
		return sl_ret(-ENOSYS);
	}
}

/* The kernel's signal set in libc's size. */
static const sigset_t *mask_of(sigset_t *set, long mask)
{
	if (!mask)
		return NULL;
	memset(set, 0, sizeof(*set));
	memcpy(set, ptr(mask), KERNEL_SIGSET);
	return set;
}

/* The kernel leaves in *t what is left of it since @began. */
static void leave_rest(struct timespec *t, uint64_t began)
{
	uint64_t took = sl_now_ns() - began;
	uint64_t all = (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;

	all = all > took ? all - took : 0;
	t->tv_sec = (time_t)(all / 1000000000u);
	t->tv_nsec = (long)(all % 1000000000u);
}

static long timed_call(long nr, const long *a, const sigset_t *mask)
{
	struct timespec *t = ptr(nr == SYS_ppoll ? a[2] : a[4]), copy;
	uint64_t began;
	long rc;

	if (t)
		copy = *t;
	began = t ? sl_now_ns() : 0;
	if (nr == SYS_ppoll)
		rc = ppoll(ptr(a[0]), (nfds_t)(unsigned)a[1], t ? &copy : NULL, mask);
	else
		rc = pselect((int)a[0], ptr(a[1]), ptr(a[2]), ptr(a[3]), t ? &copy : NULL, mask);
	if (t && !sl_bad_time(t))
		leave_rest(t, began);
	return rc;
}

/* Waiting. False: arguments that only the kernel can answer for. */
static bool wait_call(long nr, const long *a, long *rc)
{
	const struct {
		long mask, len;
	} *six = ptr(a[5]);
	sigset_t set;

	switch (nr) {
	case SYS_poll:
		*rc = poll(ptr(a[0]), (nfds_t)(unsigned)a[1], (int)a[2]);
		return true;
	case SYS_ppoll:
		if (a[3] && a[4] != KERNEL_SIGSET)
			return false;
		*rc = timed_call(nr, a, mask_of(&set, a[3]));
		return true;
	case SYS_select:
		*rc = select((int)a[0], ptr(a[1]), ptr(a[2]), ptr(a[3]), ptr(a[4]));
		return true;
	case SYS_pselect6:
		if (six && six->mask && six->len != KERNEL_SIGSET)
			return false;
		*rc = timed_call(nr, a, mask_of(&set, six ? six->mask : 0));
		return true;
	case SYS_epoll_wait:
		*rc = epoll_wait((int)a[0], ptr(a[1]), (int)a[2], (int)a[3]);
		return true;
	case SYS_epoll_pwait:
		if (a[4] && a[5] != KERNEL_SIGSET)
			return false;
		*rc = epoll_pwait((int)a[0], ptr(a[1]), (int)a[2], (int)a[3], mask_of(&set, a[4]));
		return true;
	case SYS_epoll_pwait2:
		if (a[4] && a[5] != KERNEL_SIGSET)
			return false;
		*rc = epoll_pwait2((int)a[0], ptr(a[1]), (int)a[2], ptr(a[3]), mask_of(&set, a[4]));
		return true;
	default:
		return false;
	}
}

/* A fork of the calling thread without shared memory, and without libc's handlers. */
/* clone() and clone3(): a fork; or a thread, or a process on our memory. */
static bool is_fork(long nr, const long *a)
{
	const struct clone_args *args = ptr(a[0]);
	uint64_t flags = nr == SYS_clone ? (uint64_t)a[0] : args ? args->flags : 0;
	bool stack = nr == SYS_clone ? a[1] : args && args->stack;

	return sl_clone_forks(flags) && !stack && (nr == SYS_clone || args);
}

static long raw_fork(long nr, const long *a)
{
	pid_t pid;

	if (nr != SYS_clone && nr != SYS_clone3)
		return _Fork();
	sl_proc_before_fork();
	pid = (pid_t)REAL(syscall)(nr, a[0], a[1], a[2], a[3], a[4]);
	sl_proc_after_fork(pid);
	return pid;
}

/* clang-format off */

/* True: done, with *rc. False: still to be made, as it came. */
static bool handled(long nr, const long *a, long *rc)
{
	switch (nr) {
	case SYS_read: case SYS_write: case SYS_readv: case SYS_writev:
	case SYS_preadv2: case SYS_pwritev2:
	case SYS_recvfrom: case SYS_recvmsg: case SYS_recvmmsg: case SYS_sendto:
	case SYS_shutdown: case SYS_getsockopt: case SYS_setsockopt: case SYS_ioctl:
		if (!sl_tracked((int)a[0]))
			return false;
		*rc = sock_call(nr, a);
		return true;
	case SYS_connect: case SYS_accept: case SYS_accept4:
	case SYS_sendmsg: case SYS_sendmmsg: case SYS_sendfile: case SYS_splice:
	case SYS_close_range: case SYS_dup: case SYS_dup2: case SYS_dup3: case SYS_fcntl:
	case SYS_epoll_create: case SYS_epoll_create1: case SYS_epoll_ctl:
		*rc = fd_call(nr, a);
		return true;
	case SYS_close: /* not close(): who calls it like this wants no cancellation point */
		*rc = sl_ret(sl_fd_closing((int)a[0]));
		return *rc != 0;
	case SYS_poll: case SYS_ppoll: case SYS_select: case SYS_pselect6:
	case SYS_epoll_wait: case SYS_epoll_pwait: case SYS_epoll_pwait2:
		return wait_call(nr, a, rc);
	case SYS_clone: case SYS_clone3:
		if (!is_fork(nr, a))
			return false;
		*rc = raw_fork(nr, a);
		return true;
	case SYS_fork: case SYS_vfork:
		*rc = raw_fork(nr, a);
		return true;
	case SYS_execve:
		*rc = execve(ptr(a[0]), ptr(a[1]), ptr(a[2]));
		return true;
	case SYS_execveat:
		*rc = execveat((int)a[0], ptr(a[1]), ptr(a[2]), ptr(a[3]), (int)a[4]);
		return true;
	case SYS_setuid: case SYS_setreuid: case SYS_setresuid:
		sl_sock_credentials();
		return false;
	case SYS_exit_group:
		if (!sl_foreign())
			sl_sock_exit();
		return false;
	case SYS_seccomp: /* without a filter it is a question */
		if (a[0] == SECCOMP_SET_MODE_STRICT || (a[0] == SECCOMP_SET_MODE_FILTER && a[2]))
			sl_conn_sandbox();
		return false;
	case SYS_prctl:
		*rc = prctl((int)a[0], a[1], a[2], a[3], a[4]);
		return true;
	case SYS_io_uring_setup: /* what its rings will do is past our sight */
		sl_conn_refuse_all(SL_WHY_IO_URING);
		return false;
	default:
		return false;
	}
}
/* clang-format on */

/* Reading six arguments where fewer were passed is what libc's own does: the rest is ignored. */
SL_EXPORT long syscall(long nr, ...)
{
	long a[6], rc;
	va_list ap;
	unsigned i;

	va_start(ap, nr);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (sl_live && handled(nr, a, &rc))
		return rc;
	return REAL(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
