/* SPDX-License-Identifier: BSD-2-Clause */
/* internal.h - what the files of sock/ share */
#ifndef SL_SOCK_INTERNAL_H
#define SL_SOCK_INTERNAL_H

#include <errno.h>
#include "env.h"
#include "sock.h"

#define SL_SOCK_MAX 65536u

/*
 * Locking one direction: the process's own lock, then the one shared with other processes if there are any.
 * sl_rx_take() and friends return 1 or 2, to be given back to sl_rx_release(); 0: this thread holds it
 * already (a signal handler interrupted a call on this socket).
 */
int sl_side_xlock(struct sl_sock *s);
void sl_side_xunlock(struct sl_sock *s);

static inline int sl_side_enter(struct sl_sock *s)
{
	if (sl_likely(!s->side->shared) ||
	    atomic_load_explicit(&s->side->holders, memory_order_relaxed) < 2)
		return 1;
	return sl_side_xlock(s);
}

static inline int sl_rx_take(struct sl_sock *s)
{
	return sl_unlikely(sl_lock(&s->rx_lock)) ? 0 : sl_side_enter(s);
}

static inline void sl_rx_release(struct sl_sock *s, int how)
{
	if (sl_unlikely(how == 2))
		sl_side_xunlock(s);
	sl_unlock(&s->rx_lock);
}

static inline int sl_tx_take(struct sl_sock *s)
{
	return sl_unlikely(sl_lock(&s->tx_lock)) ? 0 : sl_side_enter(s);
}

static inline void sl_tx_release(struct sl_sock *s, int how)
{
	if (sl_unlikely(how == 2))
		sl_side_xunlock(s);
	sl_unlock(&s->tx_lock);
}

static inline int sl_both_take(struct sl_sock *s)
{
	if (sl_lock(&s->rx_lock))
		return 0;
	if (sl_lock(&s->tx_lock)) {
		sl_unlock(&s->rx_lock);
		return 0;
	}
	return sl_side_enter(s);
}

static inline void sl_both_release(struct sl_sock *s, int how)
{
	if (sl_unlikely(how == 2))
		sl_side_xunlock(s);
	sl_unlock(&s->tx_lock);
	sl_unlock(&s->rx_lock);
}

/*
 * Another thread or process of this end may leave the lane, and nothing tells a poll that waits for room: it is bounded
 * then. Epoll instances are kicked.
 */
static inline bool sl_others_may_leave(const struct sl_sock *s)
{
	return !__libc_single_threaded || atomic_load(&s->side->holders) > 1;
}

/* sock.c: in a child of fork: the threads that were closing some are not here */
void sl_numbers_recount(struct sl_sock *s);

/* sock.c: nobody is inside a call on an orphan any more. Return: false: another thread is at it. */
bool sl_orphan_end(struct sl_sock *s);

/* A thread of ours falls asleep on it, and counts on a bell; is awake again. rx lock held. */
static inline void sl_sleeper_on(struct sl_sock *s)
{
	s->side->rx.sleepers++;
	s->sleepers++;
}

static inline void sl_sleeper_off(struct sl_sock *s)
{
	if (s->side->rx.sleepers)
		s->side->rx.sleepers--;
	if (s->sleepers)
		s->sleepers--;
}

/* A bell in the kernel's queue may be another sleeper's, or another process's. rx lock held. */
static inline bool sl_may_drain(const struct sl_sock *s)
{
	return !s->side->rx.sleepers && atomic_load(&s->side->holders) < 2;
}

/* Linux moves 2 GiB less a page in one call at most. */
static inline size_t sl_iov_total(const struct msghdr *m)
{
	size_t n = 0, i;

	for (i = 0; i < m->msg_iovlen; i++)
		n += m->msg_iov[i].iov_len;
	return sl_min_size(n, 0x7ffff000);
}

/* What a function of libc returned, as ours return it. */
static inline ssize_t sl_keep_errno(ssize_t n, int saved)
{
	if (n >= 0)
		return n;
	n = -errno;
	errno = saved;
	return n;
}

/*
 * native.c: the program's call in the kernel, counted. Return: as the call, or -errno; -ERESTART: the connection was
 * attached meanwhile, nothing was done.
 */
ssize_t sl_native_recv(struct sl_sock *s, int fd, struct msghdr *m, int flags);
ssize_t sl_native_send(struct sl_sock *s, int fd, const struct msghdr *m, int flags);

/* sendfile (@file) or splice */
struct sl_move {
	int in, out;
	off_t *pos;
	size_t len;
	unsigned flags;
	bool file;
};
ssize_t sl_native_move(struct sl_sock *s, const struct sl_move *v, bool tx);

/* the calls of libc alone; errno is set */
ssize_t sl_real_recv(int fd, struct msghdr *m, int flags);
ssize_t sl_real_send(int fd, const struct msghdr *m, int flags);

/* sock.c: a new one for @fd, not entered in the table yet, and what status says of it at first */
struct sl_sock *sl_sock_new(int fd, bool connecting);
enum sl_reason sl_first_reason(bool connecting);

/* native.c: a kernel call is over that began when the connection was young */
void sl_sock_native_done(struct sl_sock *s, bool tx, ssize_t n);

/* pool.c */
struct sl_sock *sl_pool_get(void);
struct sl_sock *sl_pool_at(unsigned index); /* in use or not; NULL beyond the pool */
unsigned sl_pool_high(void);

/* statpage.c */
struct sl_stat_conn_shm *sl_stat_entry(unsigned index);
bool sl_stat_make(void); /* there is a page from now on; false: none can be had */
void sl_stat_fork_child(void);
extern bool sl_stat_private; /* no file for it from now on */
extern char sl_stat_program[64]; /* as it was at start-up: setproctitle overwrites argv */
void sl_stat_init(void);
void sl_stat_reason(struct sl_sock *s, enum sl_reason why);
void sl_stat_addresses(struct sl_sock *s, int fd);

/* attach.c; no locks held unless said */
void sl_attach_try(struct sl_sock *s, int fd);
void sl_detach_try(struct sl_sock *s, int fd);
/* TCP for good, without any call of ours, also where others hold it, too: they see that it is foreign from now on */
void sl_let_go(struct sl_sock *s, int fd);
/* the memory lane is left with both directions; both locks held */
int sl_leave_locked(struct sl_sock *s, int fd, enum sl_reason why);
/* the peer wrote nonsense, or bytes went past us: reset the connection; no locks held */
void sl_sock_reset(struct sl_sock *s, int fd, enum sl_reason why);
void sl_sock_ring(struct sl_sock *s, int fd);
/* the peer may have closed our lane and given something back: link.h, L5; no locks held */
void sl_answer(struct sl_sock *s, int fd);
void sl_chaos(struct sl_sock *s, int fd);

/* attach.c: SO_RCVLOWAT as the kernel has it is noted; set to one, so that a bell wakes */
void sl_lowat_note(struct sl_sock *s, int fd);
void sl_lowat_one(const struct sl_sock *s, int fd);
void sl_timeout_note(struct sl_sock *s, int fd); /* SO_RCVTIMEO */
/* SO_SNDBUF and SO_RCVBUF, where the program has set them: no more than that is under way. Both locks held, attached. */
void sl_buffers_note(struct sl_sock *s, int fd);

/* an exec has left us this promoted connection: enter a number for it, and go on with it */
bool sl_sock_enter(struct sl_sock *s, int fd);
void sl_sock_inherited(struct sl_sock *s, int fd);
void sl_sock_inherited_young(struct sl_sock *s, int fd); /* not promoted yet */
/* the socket's options as the program has set them, which ours took the place of while attached */
void sl_give_delays(struct sl_sock *s, int fd);

/*
 * SO_RCVLOWAT as far as the ring can meet it: while the reader does not look, a quarter can always be sent, or by a
 * bounded writer 64 KiB (SL_RING_BOUND). More than that would have both ends wait for each other.
 */
static inline size_t sl_lowat(const struct sl_sock *s)
{
	return sl_min_size((size_t)s->lowat, 2 * s->link.in.step);
}

/*
 * finish.c: orderly end of the lanes before a kernel close; no locks held. Return: true if the broker may have a
 * copy of the socket, and nobody else: the kernel's close would end nothing before the broker has dropped it.
 */
bool sl_sock_finish(struct sl_sock *s, int fd);

/* Do then what the kernel's close does, but for the number itself. No instance may watch @fd any more. */
void sl_sock_end_now(int fd);

/* offer.c */
void sl_offer_out(struct sl_sock *s, int fd);
bool sl_offer_withdraw(struct sl_sock *s); /* true: the broker may still have a copy of the socket */
/*
 * Who holds a socket that goes from process to process (broker/passed.c): @more others will; or this process no longer.
 * Nothing happens where there is no broker: then the others' offers are refused.
 */
void sl_offer_pass(struct sl_sock *s, int fd, uint32_t more);
void sl_offer_drop(struct sl_sock *s);
/* passed.c: before it is withdrawn, and before the message goes; a copy was made that nobody will announce */
void sl_passed_look(struct sl_sock *s);
extern bool sl_passes_on; /* this process gives connections away: they are not offered before its first call on them */
void sl_passed_on(struct sl_sock *s, int fd);
void sl_passed_copied(struct sl_sock *s, int fd);
void sl_passed_claimed(struct sl_sock *s, int fd, uint32_t gen);
bool sl_passed_is_claimed(const struct sl_sock *s);
void sl_offer_postpone(struct sl_sock *s); /* an offer that is under way is taken back, and may be made again */
void sl_offer_gone(uint64_t pair, uint32_t side);
void sl_offer_settle(struct sl_sock *s); /* SCILAN_CHAOS=pairs: wait for the answer, a little */
bool sl_offer_stale(const struct sl_sock *s); /* offered to a broker that is gone */
void sl_offer_fork_child(void);
void sl_offer_connect(void);

/*
 * Asking the broker once more for the segment and side page of a live pair, by possession (SL_OFFER_REATTACH), on a
 * connection of its own and waiting for the answer, one second at most. Return: 0 or -errno.
 */
struct sl_fetched {
	int fd[2]; /* segment, side page; close-on-exec */
	uint64_t pair;
	uint32_t side;
};
int sl_offer_fetch_open(void);
int sl_offer_fetch(int conn, int fd, struct sl_fetched *f);

/* fork.c: one more process holds this end; both locks held. Return: 0, -ENOMEM. */
int sl_side_share(struct sl_sock *s);
/*
 * fork.c: the side of a connection that is not attached goes to a file (side_fd), which a program that is executed can
 * map, if it is not in one; both locks held. Return: 0; -EBUSY other processes have it elsewhere; -errno.
 */
int sl_side_to_file(struct sl_sock *s);
void sl_side_file_drop(struct sl_sock *s);
void sl_side_file_lost(int fd); /* the program wants this number, which may be such a file's */
/* fork.c: this process is one of the holders that are counted: whoever reaps it counts it off */
void sl_side_join(struct sl_side_shm *side);
/* fork.c: this process holds it no longer; before it is counted off */
void sl_side_leave(struct sl_side_shm *side);

/*
 * handover.c: back to TCP, for a process without this library that is about to get the socket; what this end has
 * not read reaches it by TCP. No locks held. Return: 0; -EBUSY that is not possible.
 * @wait_ns: spent on waiting for the peer at most; what is left of it afterwards
 */
int sl_handover(struct sl_sock *s, int fd, enum sl_reason why, uint64_t *wait_ns);
/* a process goes on with it; return a TCP connection to that, close-on-exec, or -1 */
int sl_sock_relay(struct sl_sock *s);

/*
 * wait.c: 0 look again; -errno of the wait (EINTR, EAGAIN for a timeout). @until: zero at first; when SO_SNDTIMEO,
 * which is for the whole call, is over. @part: the call has moved bytes. Called in a section, which they leave to sleep;
 * with the one reference that the call has.
 */
int sl_wait_in(struct sl_sock *s, int fd, bool part);
int sl_wait_out(struct sl_sock *s, int fd, size_t need, uint64_t *until, bool part);

/*
 * stall.c: a peer that reads nothing for a while.
 *
 * sl_stalled() - for so long that a send is to go by TCP; sl_may_stall() - that may come. Both with the tx lock held, attached
 * sl_told_full() - the program is told that there is no room
 * sl_leave_stalled() - leave if it is so; Return: true: left, there is another look to be had
 */
#define SL_STALL_MS 100
bool sl_stalled(struct sl_sock *s);
bool sl_may_stall(const struct sl_sock *s);
void sl_told_full(struct sl_sock *s);
bool sl_leave_stalled(struct sl_sock *s, int fd);

/* events.c: the kernel reported an error of the connection; no locks held */
void sl_sock_error(struct sl_sock *s, int err);

/* look at the kernel for FIN and errors now and then while the ring is empty */
bool sl_look_kernel(struct sl_sock *s, int fd);

#endif
