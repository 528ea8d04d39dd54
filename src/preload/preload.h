/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * preload.h - what the interposed calls share
 *
 * How it works. Each name of SL_CALLS (base/calls.h) is defined here once, in the file of its
 * family. It asks the descriptor table whether the descriptor is ours. If not, it calls the real
 * function, as the last thing it does: that blocks, is cancelled and sets errno as libc has it, and
 * no lock of ours is held. If so, it puts the arguments into the one form that sock/ and ready/
 * know, and turns what they return into errno with sl_ret().
 *
 * Before the constructor has run (only IFUNC resolvers and audit modules come earlier: the library
 * is linked -z initfirst) nothing is ours. After the destructor the table still decides: what
 * sl_sock_exit() left in it is still ours.
 *
 * Nothing here decides about lanes.
 */
#ifndef SL_PRELOAD_H
#define SL_PRELOAD_H

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include "common.h"
#include "ready.h"
#include "real.h"
#include "sock.h"
#include "sys.h"

/* The constructor has run. */
extern bool sl_live;

/* The process that our tables are of. */
extern pid_t sl_own_pid;

/* This thread is inside a call of libc's that makes a child on our memory (posix_spawn, popen, wordexp). */
extern __thread unsigned sl_spawning __attribute__((tls_model("initial-exec")));

/* The program has made a process on our memory by itself (clone with CLONE_VM). */
extern bool sl_strangers;

/** sl_clone_forks() - is a clone() with these flags a fork? One that makes a process on our memory is noted. */
static inline bool sl_clone_forks(uint64_t flags)
{
	if ((flags & CLONE_VM) && !(flags & CLONE_THREAD))
		sl_strangers = true;
	return !(flags & (CLONE_VM | CLONE_FILES));
}

/**
 * sl_foreign() - is this a child that shares our memory, and not our descriptors (posix_spawn, clone)?
 *
 * Costs a system call only where there can be one: such a child of libc's runs with the variables of the thread that
 * made it, which is suspended meanwhile.
 */
static inline bool sl_foreign(void)
{
	return sl_unlikely(sl_spawning || sl_strangers) &&
	       sl_own_pid != (pid_t)sl_sys(SYS_getpid, 0, 0, 0);
}

/*
 * The real function behind a name. The table may be empty when a constructor of another library
 * calls us from under -z initfirst of its own, so an empty slot is filled first.
 */
#define REAL(name) (*(sl_likely(sl_real.name) ? sl_real.name : (sl_real_init(), sl_real.name)))

/* libc's other name for one of ours (SL_ALIASES), in the same file. */
#define SL_ALIAS(other, name)                                                                      \
	SL_EXPORT extern __typeof__(name) other __attribute__((alias(#name), copy(name)))

/* What programs built with _FORTIFY_SOURCE import; libc declares these only to them. */
ssize_t __read_chk(int fd, void *buf, size_t len, size_t buf_len);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t buf_len, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t buf_len, int flags,
		       struct sockaddr *addr, socklen_t *addr_len);
int __poll_chk(struct pollfd *fds, nfds_t n, int ms, size_t len);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
		size_t len);

/** sl_ret() - the one place that sets errno: what the inside returns, as libc returns it */
static inline long sl_ret(long rc)
{
	if (sl_likely(rc >= 0))
		return rc;
	errno = (int)-rc;
	return -1;
}

/** sl_get() - the socket behind @fd, with a reference that sl_sock_put() drops; NULL: not ours */
static inline struct sl_sock *sl_get(int fd)
{
	return sl_likely(sl_live) ? sl_sock_get(fd) : NULL;
}

/** sl_tracked() - @fd is a socket or an epoll instance of ours */
static inline bool sl_tracked(int fd)
{
	return sl_live && sl_fdtab_load(fd);
}

/** sl_is_epoll() - @fd is an epoll instance of ours */
static inline bool sl_is_epoll(int fd)
{
	return sl_live && (sl_fdtab_load(fd) & 1);
}

/** sl_bad_time() - the kernel's rule for timeouts; NULL is good */
static inline bool sl_bad_time(const struct timespec *t)
{
	return t && (t->tv_sec < 0 || t->tv_nsec < 0 || t->tv_nsec >= 1000000000);
}

/** sl_ms() - poll's milliseconds as a timespec in @t; NULL: for ever */
static inline const struct timespec *sl_ms(struct timespec *t, int ms)
{
	if (ms < 0)
		return NULL;
	t->tv_sec = ms / 1000;
	t->tv_nsec = ms % 1000 * 1000000l;
	return t;
}

/* --- fd.c --- */

/**
 * sl_fd_closing() - the program is about to close @fd, in whatever way
 * Return: 0, or -EBADF: one of scilan's own, close nothing.
 */
int sl_fd_closing(int fd);

/* --- patch.c --- */

/* What libc calls itself comes to us: stdio needs no refusal. */
extern bool sl_patched;

/** sl_patch_libc() - from the constructor, once, after sl_real_init() and sl_env_init() */
void sl_patch_libc(void);

/* --- conn.c --- */

/* Not SL_WHY_NONE: every socket of this process stays on TCP, for this reason. */
extern enum sl_reason sl_refuse_all;

/** sl_conn_received() - @fd has come by SCM_RIGHTS, from @sender (see sl_sock_received()) */
void sl_conn_received(int fd, pid_t sender);

/** sl_conn_track() - sl_sock_track(), under sl_refuse_all */
void sl_conn_track(int fd, bool connecting);

/** sl_conn_closing() - @fd is about to be closed: what was known of the listener is void */
void sl_conn_closing(int fd);
void sl_conn_closing_range(unsigned first, unsigned last);

/** sl_conn_refuse_all() - no socket of this process is promoted from now on */
void sl_conn_refuse_all(enum sl_reason why);

/** sl_conn_sandbox() - the process is about to forbid itself system calls: from now on none but its own are made */
void sl_conn_sandbox(void);

/**
 * sl_conn_unfit() - before an offer: is there code in this process that goes past us? Then all sockets are
 * refused, also those promoted before: it may have been loaded since.
 */
enum sl_reason sl_conn_unfit(void);

/** sl_conn_loaded() - the loader has loaded something, or taken it away */
void sl_conn_loaded(void);

/* --- proc.c --- */

/** sl_proc_init() - register the fork handlers */
void sl_proc_init(void);

/** sl_proc_before_fork() / sl_proc_after_fork() - around a fork that runs no pthread_atfork
 * handlers */
void sl_proc_before_fork(void);
void sl_proc_after_fork(pid_t pid);

/* --- signal.c --- */

/** sl_signal_init() - from the constructor */
void sl_signal_init(void);

/** sl_signal_before_fork() / sl_signal_after_fork() - no handler runs between */
void sl_signal_before_fork(void);
void sl_signal_after_fork(bool child);

/* --- relay.c --- */

/**
 * sl_relay_start() - a process goes on with the connection @fd in this program's place
 * Return: a TCP connection to it; -1.
 */
int sl_relay_start(int fd);

#endif
