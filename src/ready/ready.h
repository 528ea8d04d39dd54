/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ready.h - waiting for many descriptors: poll, select, epoll
 *
 * One readiness function (sl_sock_events()), one way to wait: look, spin, arm, look again, sleep
 * in the kernel on the very descriptors, look again. poll and select are one function; epoll keeps the
 * program's registrations and a list of hot sockets (epoll.c).
 */
#ifndef SL_READY_H
#define SL_READY_H

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include "sock.h"

/** sl_ready_init() - once, after sl_sock_init() */
void sl_ready_init(void);

/**
 * sl_ready_poll() - ppoll(2); @mask NULL: as it is; @timeout NULL: for ever (not changed)
 * Return: as ppoll, or -errno.
 */
int sl_ready_poll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		  const sigset_t *mask);

/**
 * sl_ready_select() - pselect(2); the sets are changed as it does
 * @left: set to the time left, for select(2) (may be NULL)
 */
int sl_ready_select(int nfds, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *timeout,
		    const sigset_t *mask, struct timespec *left);

/** sl_ready_epoll_created() - after epoll_create1() returned @epfd */
void sl_ready_epoll_created(int epfd);

/** sl_ready_epoll_ctl() - epoll_ctl(2), the kernel call included */
int sl_ready_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);

/** sl_ready_epoll_wait() - epoll_pwait2(2) */
int sl_ready_epoll_wait(int epfd, struct epoll_event *ev, int max, const struct timespec *timeout,
			const sigset_t *mask);

/**
 * sl_ready_epoll_quiet() - the kernel's events of this instance are the program's own: it may wait without us
 *
 * Only with one thread. A signal handler may have changed that meanwhile; then what the kernel has told goes to
 * sl_ready_epoll_sort(). Return: how many of them are the program's.
 */
bool sl_ready_epoll_quiet(int epfd);
int sl_ready_epoll_sort(int epfd, struct epoll_event *ev, int n);

/**
 * sl_ready_close() - @fd is about to be closed: forget an epoll instance behind it
 * sl_ready_forget() - the same for a number that stands for no instance, and no struct sl_sock
 */
void sl_ready_close(int fd);
void sl_ready_forget(int fd);

/** sl_ready_dup() - @newfd now stands for what @oldfd stands for, when that is an epoll instance */
void sl_ready_dup(int oldfd, int newfd);

void sl_ready_fork_prepare(void);
void sl_ready_fork_parent(void);
void sl_ready_fork_child(void);

#endif
