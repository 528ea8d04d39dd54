/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc.c - processes begin and end, and change their user
 *
 * Forks are seen through pthread_atfork, which glibc runs for fork() and for its own internal forks
 * (forkpty) alike. Our handlers are registered first, so prepare runs after everybody else's and
 * parent and child before: others' handlers may use their sockets. _Fork() runs no handlers and is
 * bracketed here. vfork() is served as fork(): a child that shares our memory could not be told
 * from its parent. The parent is not suspended then.
 *
 * The parent handler is not told whether the fork failed, but errno is: prepare clears it, and
 * until the parent handler runs, being the first, nothing but the failing system call sets it. In
 * doubt there is a child: that only makes connections shared that are not.
 */
#include <fcntl.h>
#include <linux/seccomp.h>
#include <paths.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
#include "preload.h"
#include "sys.h"

void sl_proc_before_fork(void)
{
	if (!sl_live)
		return;
	sl_signal_before_fork();
	sl_ready_fork_prepare();
	sl_sock_fork_prepare();
}

void sl_proc_after_fork(pid_t pid)
{
	int err = errno;

	if (!sl_live)
		return;
	if (pid == 0) {
		sl_own_pid = (pid_t)sl_sys(SYS_getpid, 0, 0, 0);
		sl_sock_fork_child();
		sl_ready_fork_child();
	} else {
		sl_sock_fork_parent(pid < 0);
		sl_ready_fork_parent();
	}
	sl_signal_after_fork(pid == 0);
	errno = err;
}

static __thread int errno_before;

static void atfork_prepare(void)
{
	errno_before = errno;
	sl_proc_before_fork();
	errno = 0;
}

static void atfork_parent(void)
{
	bool failed = errno == EAGAIN || errno == ENOMEM;

	sl_proc_after_fork(failed ? -1 : 1);
	if (!failed)
		errno = errno_before;
}

static void atfork_child(void)
{
	sl_proc_after_fork(0);
	errno = errno_before;
}

void sl_proc_init(void)
{
	pthread_atfork(atfork_prepare, atfork_parent, atfork_child);
}

SL_EXPORT pid_t fork(void)
{
	return REAL(fork)();
}
SL_ALIAS(__fork, fork);
SL_ALIAS(__libc_fork, fork);

SL_EXPORT pid_t vfork(void)
{
	return REAL(fork)();
}
SL_ALIAS(__vfork, vfork);

SL_EXPORT pid_t _Fork(void)
{
	pid_t pid;

	sl_proc_before_fork();
	pid = REAL(_Fork)();
	sl_proc_after_fork(pid);
	return pid;
}

bool sl_strangers;

struct clone_child {
	int (*fn)(void *);
	void *arg;
};

/* The structure is in the child's copy of its parent's stack. */
static int cloned(void *p)
{
	struct clone_child c = *(struct clone_child *)p;

	sl_proc_after_fork(0);
	return c.fn(c.arg);
}

/* Without CLONE_VM a fork; with it a thread, or a process on our memory. */
SL_EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	struct clone_child c = {fn, arg};
	pid_t *parent_tid, *child_tid;
	void *tls;
	va_list ap;
	int pid;

	va_start(ap, arg);
	parent_tid = va_arg(ap, pid_t *);
	tls = va_arg(ap, void *);
	child_tid = va_arg(ap, pid_t *);
	va_end(ap);
	if (!sl_clone_forks((uint64_t)flags) || !sl_live || !fn || !stack)
		return REAL(clone)(fn, stack, flags, arg, parent_tid, tls, child_tid);
	sl_proc_before_fork();
	pid = REAL(clone)(cloned, stack, flags, &c, parent_tid, tls, child_tid);
	sl_proc_after_fork(pid);
	return pid;
}
SL_ALIAS(__clone, clone);

/* --- children that are dead: one that was killed has counted nothing off --- */

static pid_t reaped(pid_t pid, int options)
{
	if (pid > 0 && !(options & WNOWAIT) && sl_live)
		sl_sock_reaped(pid);
	return pid;
}

SL_EXPORT pid_t wait4(pid_t pid, int *status, int options, struct rusage *use)
{
	int got = 0;
	pid_t dead = REAL(wait4)(pid, &got, options, use);

	if (dead > 0 && status)
		*status = got;
	return WIFSTOPPED(got) || WIFCONTINUED(got) ? dead : reaped(dead, 0);
}

SL_EXPORT pid_t wait3(int *status, int options, struct rusage *use)
{
	return wait4(-1, status, options, use);
}

SL_EXPORT pid_t waitpid(pid_t pid, int *status, int options)
{
	return wait4(pid, status, options, NULL);
}
SL_ALIAS(__waitpid, waitpid);

SL_EXPORT pid_t wait(int *status)
{
	return wait4(-1, status, 0, NULL);
}
SL_ALIAS(__wait, wait);

SL_EXPORT int waitid(idtype_t type, id_t id, siginfo_t *si, int options)
{
	int rc = REAL(waitid)(type, id, si, options);

	if (rc == 0 && si && (options & WEXITED) &&
	    (si->si_code == CLD_EXITED || si->si_code == CLD_KILLED || si->si_code == CLD_DUMPED))
		(void)reaped(si->si_pid, options);
	return rc;
}

static int null_stdio(void)
{
	int fd = open(_PATH_DEVNULL, O_RDWR), i;
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)) {
		close(fd);
		return (int)sl_ret(-ENODEV);
	}
	for (i = 0; i <= 2; i++)
		(void)dup2(fd, i);
	if (fd > 2)
		close(fd);
	return 0;
}

/* glibc's, with the dup2 and the parent's _exit going through us. */
SL_EXPORT int daemon(int nochdir, int noclose)
{
	switch (fork()) {
	case -1:
		return -1;
	case 0:
		break;
	default:
		_exit(0);
	}
	if (setsid() < 0)
		return -1;
	if (!nochdir && chdir("/"))
		errno = 0; /* as glibc: does not matter */
	return noclose ? 0 : null_stdio();
}

SL_EXPORT void _exit(int status)
{
	if (sl_live && !sl_foreign())
		sl_sock_exit();
	REAL(_exit)(status);
	__builtin_unreachable();
}

SL_EXPORT void _Exit(int status)
{
	_exit(status);
}

/* The broker believes who we were when we connected to it. */
static void changing_user(void)
{
	if (sl_live)
		sl_sock_credentials();
}

SL_EXPORT int setuid(uid_t uid)
{
	changing_user();
	return REAL(setuid)(uid);
}

SL_EXPORT int setreuid(uid_t ruid, uid_t euid)
{
	changing_user();
	return REAL(setreuid)(ruid, euid);
}

SL_EXPORT int setresuid(uid_t ruid, uid_t euid, uid_t suid)
{
	changing_user();
	return REAL(setresuid)(ruid, euid, suid);
}

SL_EXPORT int seteuid(uid_t euid)
{
	changing_user();
	return REAL(seteuid)(euid);
}

/* Five words, whatever was passed: what libc's own does. */
SL_EXPORT int prctl(int option, ...)
{
	unsigned long a[4];
	va_list ap;
	unsigned i;

	va_start(ap, option);
	for (i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (option == PR_SET_SECCOMP && (a[0] != SECCOMP_MODE_FILTER || a[1]))
		sl_conn_sandbox();
	return REAL(prctl)(option, a[0], a[1], a[2], a[3]);
}
