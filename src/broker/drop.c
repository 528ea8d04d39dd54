/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drop.c - getting rid of descriptors that strangers have passed, without being blocked
 *
 * The last close of a TCP socket with SO_LINGER waits for the peer; closing any holder of a file in
 * a user's own (FUSE) file system waits for that user's program. A hostile client could hold up
 * everybody so.
 *
 * - A TCP socket that does not linger is closed here: what honest clients pass.
 * - Anything else is closed by a thread of its own, which does nothing but that. An honest
 *   program's lingering socket is still open there, so the thread ends at once. A user with
 *   SL_BRK_STUCK_MAX of them, none of which ends within SL_BRK_STUCK_MS, is banned.
 * - What slips through (SO_LINGER set after our look; descriptors that the kernel drops from a
 *   truncated message or an unread queue) is a socket wait, which a signal interrupts: while the
 *   broker works, a timer sends SIGALRM every SL_BRK_STALL_MS. While it sleeps there is no timer.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "brk.h"
#include "log.h"

struct closing {
	struct sl_brk_user *user;
	int fd;
};

static void *close_slowly(void *arg)
{
	struct closing *cl = arg;
	struct sl_brk_user *u = cl->user;

	atomic_fetch_add_explicit(&u->closing, 1, memory_order_relaxed);
	(void)close(cl->fd);
	atomic_fetch_sub_explicit(&u->closing, 1, memory_order_relaxed);
	free(cl);
	/* After this the user may be freed. Release: pairs with the acquire in
	 * sl_brk_users_sweep(). */
	atomic_fetch_sub_explicit(&u->stuck, 1, memory_order_release);
	return NULL;
}

static bool close_in_thread(struct sl_brk_user *u, int fd)
{
	struct closing *cl = malloc(sizeof(*cl));
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t t;
	int rc;

	if (!cl)
		return false;
	*cl = (struct closing){.user = u, .fd = fd};
	atomic_fetch_add_explicit(&u->stuck, 1, memory_order_relaxed);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all,
			      &old); /* inherited: SIGALRM is the main thread's */
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, 64 << 10);
	rc = pthread_create(&t, &attr, close_slowly, cl);
	(void)pthread_attr_destroy(&attr);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		atomic_fetch_sub_explicit(&u->stuck, 1, memory_order_relaxed);
		free(cl);
	}
	return rc == 0;
}

static bool closes_at_once(int fd)
{
	struct linger linger = {0};
	socklen_t len = sizeof(linger);
	uint64_t cookie;

	if (sl_facts_cookie(fd, &cookie) != SL_WHY_NONE)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len))
		return false;
	return !linger.l_onoff || linger.l_linger == 0;
}

/*
 * Many at once are no harm, if they end. On a busy machine a thread may have to wait for a core for long: only the
 * time counts in which all are inside close().
 */
static bool all_stuck(struct sl_brk_user *u)
{
	const struct timespec ms = {.tv_nsec = 1000000};
	unsigned i = 0;

	while (i < SL_BRK_STUCK_MS) {
		if (atomic_load_explicit(&u->stuck, memory_order_relaxed) < SL_BRK_STUCK_MAX)
			return false;
		i = atomic_load_explicit(&u->closing, memory_order_relaxed) < SL_BRK_STUCK_MAX ?
			    0 :
			    i + 1;
		(void)nanosleep(&ms, NULL);
	}
	return true;
}

/**
 * sl_brk_drop_fd() - close a descriptor that a client has passed
 * @u:	the client's user, who answers for it
 * @fd: may be -1
 */
void sl_brk_drop_fd(struct sl_brk_user *u, int fd)
{
	if (fd < 0)
		return;
	if (closes_at_once(fd)) {
		(void)close(fd);
		return;
	}
	if (u->banned || all_stuck(u)) {
		if (!u->banned)
			sl_log("broker: user %u passes descriptors that cannot be closed; banned",
			       (unsigned)u->uid);
		u->banned = true; /* and this descriptor stays open: at most a few a user */
		return;
	}
	if (!close_in_thread(u, fd))
		(void)close(fd);
}

static void on_alarm(int sig)
{
	(void)sig;
}

int sl_brk_stall_init(struct sigaction *old)
{
	struct sigaction sa = {.sa_handler = on_alarm}; /* no SA_RESTART: it is to interrupt */

	return sigaction(SIGALRM, &sa, old);
}

void sl_brk_stall_guard(bool on)
{
	struct itimerval it;

	memset(&it, 0, sizeof(it));
	if (on) {
		it.it_value.tv_usec = SL_BRK_STALL_MS * 1000L;
		it.it_interval = it.it_value;
	}
	(void)setitimer(ITIMER_REAL, &it, NULL);
}
