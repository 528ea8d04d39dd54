/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * calls.h - the one list of interposed calls
 *
 * Everything else comes from these lines: the table of real functions (real.h, real.c), the export map
 * (tools/export-map reads the names), and the check that docs/calls.md is complete.
 *
 * SL_CALLS: ret, name, parameter list, as in libc. Aliases that libc exports under other names
 * (`__read`, `fcntl64` ...) stand in SL_ALIASES: alias, name. They delegate to the same function.
 */
#ifndef SL_CALLS_H
#define SL_CALLS_H

#define SL_CALLS(X)                                                                                \
	X(int, connect, (int, const struct sockaddr *, socklen_t))                                 \
	X(int, accept, (int, struct sockaddr *, socklen_t *))                                      \
	X(int, accept4, (int, struct sockaddr *, socklen_t *, int))                                \
	X(int, shutdown, (int, int))                                                               \
	X(ssize_t, read, (int, void *, size_t))                                                    \
	X(ssize_t, write, (int, const void *, size_t))                                             \
	X(ssize_t, readv, (int, const struct iovec *, int))                                        \
	X(ssize_t, writev, (int, const struct iovec *, int))                                       \
	X(ssize_t, preadv2, (int, const struct iovec *, int, off_t, int))                          \
	X(ssize_t, pwritev2, (int, const struct iovec *, int, off_t, int))                         \
	X(ssize_t, recv, (int, void *, size_t, int))                                               \
	X(ssize_t, recvfrom, (int, void *, size_t, int, struct sockaddr *, socklen_t *))           \
	X(ssize_t, recvmsg, (int, struct msghdr *, int))                                           \
	X(int, recvmmsg, (int, struct mmsghdr *, unsigned, int, struct timespec *))                \
	X(ssize_t, send, (int, const void *, size_t, int))                                         \
	X(ssize_t, sendto, (int, const void *, size_t, int, const struct sockaddr *, socklen_t))   \
	X(ssize_t, sendmsg, (int, const struct msghdr *, int))                                     \
	X(int, sendmmsg, (int, struct mmsghdr *, unsigned, int))                                   \
	X(ssize_t, sendfile, (int, int, off_t *, size_t))                                          \
	X(ssize_t, splice, (int, off_t *, int, off_t *, size_t, unsigned))                         \
	X(ssize_t, __read_chk, (int, void *, size_t, size_t))                                      \
	X(ssize_t, __recv_chk, (int, void *, size_t, size_t, int))                                 \
	X(ssize_t, __recvfrom_chk,                                                                 \
	  (int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *))                      \
	X(int, close, (int))                                                                       \
	X(int, close_range, (unsigned, unsigned, int))                                             \
	X(void, closefrom, (int))                                                                  \
	X(int, dup, (int))                                                                         \
	X(int, dup2, (int, int))                                                                   \
	X(int, dup3, (int, int, int))                                                              \
	X(int, fcntl, (int, int, ...))                                                             \
	X(int, ioctl, (int, unsigned long, ...))                                                   \
	X(int, getsockopt, (int, int, int, void *, socklen_t *))                                   \
	X(int, setsockopt, (int, int, int, const void *, socklen_t))                               \
	X(int, poll, (struct pollfd *, nfds_t, int))                                               \
	X(int, ppoll, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *))        \
	X(int, __poll_chk, (struct pollfd *, nfds_t, int, size_t))                                 \
	X(int, __ppoll_chk,                                                                        \
	  (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t))            \
	X(int, select, (int, fd_set *, fd_set *, fd_set *, struct timeval *))                      \
	X(int, pselect,                                                                            \
	  (int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *))          \
	X(int, epoll_create, (int))                                                                \
	X(int, epoll_create1, (int))                                                               \
	X(int, epoll_ctl, (int, int, int, struct epoll_event *))                                   \
	X(int, epoll_wait, (int, struct epoll_event *, int, int))                                  \
	X(int, epoll_pwait, (int, struct epoll_event *, int, int, const sigset_t *))               \
	X(int, epoll_pwait2,                                                                       \
	  (int, struct epoll_event *, int, const struct timespec *, const sigset_t *))             \
	X(FILE *, fdopen, (int, const char *))                                                     \
	X(pid_t, fork, (void))                                                                     \
	X(pid_t, _Fork, (void))                                                                    \
	X(pid_t, vfork, (void))                                                                    \
	X(int, daemon, (int, int))                                                                 \
	X(int, execve, (const char *, char *const[], char *const[]))                               \
	X(int, execveat, (int, const char *, char *const[], char *const[], int))                   \
	X(int, fexecve, (int, char *const[], char *const[]))                                       \
	X(int, execvpe, (const char *, char *const[], char *const[]))                              \
	X(int, execv, (const char *, char *const[]))                                               \
	X(int, execvp, (const char *, char *const[]))                                              \
	X(int, execl, (const char *, const char *, ...))                                           \
	X(int, execlp, (const char *, const char *, ...))                                          \
	X(int, execle, (const char *, const char *, ...))                                          \
	X(int, posix_spawn,                                                                        \
	  (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,   \
	   char *const[], char *const[]))                                                          \
	X(int, posix_spawnp,                                                                       \
	  (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,   \
	   char *const[], char *const[]))                                                          \
	X(int, system, (const char *))                                                             \
	X(FILE *, popen, (const char *, const char *))                                             \
	X(int, wordexp, (const char *, wordexp_t *, int))                                          \
	X(int, clone, (int (*)(void *), void *, int, void *, ...))                                 \
	X(int, setuid, (uid_t))                                                                    \
	X(int, setreuid, (uid_t, uid_t))                                                           \
	X(int, setresuid, (uid_t, uid_t, uid_t))                                                   \
	X(int, seteuid, (uid_t))                                                                   \
	X(void, _exit, (int))                                                                      \
	X(void, _Exit, (int))                                                                      \
	X(pid_t, wait, (int *))                                                                    \
	X(pid_t, waitpid, (pid_t, int *, int))                                                     \
	X(pid_t, wait3, (int *, int, struct rusage *))                                             \
	X(pid_t, wait4, (pid_t, int *, int, struct rusage *))                                      \
	X(int, waitid, (idtype_t, id_t, siginfo_t *, int))                                         \
	X(int, sigaction, (int, const struct sigaction *, struct sigaction *))                     \
	X(__sighandler_t, signal, (int, __sighandler_t))                                           \
	X(__sighandler_t, sysv_signal, (int, __sighandler_t))                                      \
	X(__sighandler_t, sigset, (int, __sighandler_t))                                           \
	X(int, siginterrupt, (int, int))                                                           \
	X(void, longjmp, (struct __jmp_buf_tag *, int))                                            \
	X(void, _longjmp, (struct __jmp_buf_tag *, int))                                           \
	X(void, siglongjmp, (struct __jmp_buf_tag *, int))                                         \
	X(void, __longjmp_chk, (struct __jmp_buf_tag *, int))                                      \
	X(int, pthread_setcanceltype, (int, int *))                                                \
	X(int, prctl, (int, ...))                                                                  \
	X(long, syscall, (long, ...))

#define SL_ALIASES(X)                                                                              \
	X(__connect, connect)                                                                      \
	X(__read, read)                                                                            \
	X(__write, write)                                                                          \
	X(__send, send)                                                                            \
	X(__close, close)                                                                          \
	X(__dup2, dup2)                                                                            \
	X(__fcntl, fcntl)                                                                          \
	X(fcntl64, fcntl)                                                                          \
	X(preadv64v2, preadv2)                                                                     \
	X(pwritev64v2, pwritev2)                                                                   \
	X(sendfile64, sendfile)                                                                    \
	X(__poll, poll)                                                                            \
	X(__select, select)                                                                        \
	X(__fork, fork)                                                                            \
	X(__libc_fork, fork)                                                                       \
	X(__vfork, vfork)                                                                          \
	X(__clone, clone)                                                                          \
	X(__wait, wait)                                                                            \
	X(__waitpid, waitpid)                                                                      \
	X(__sigaction, sigaction)                                                                  \
	X(bsd_signal, signal)                                                                      \
	X(ssignal, signal)                                                                         \
	X(__sysv_signal, sysv_signal)

#endif
