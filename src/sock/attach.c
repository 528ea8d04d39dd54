/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach.c - from pairing to the memory lane, and back
 *
 * A connection is attached only while no thread of ours is inside a native kernel call on it: such a
 * call might return bytes from behind the switch. The byte counts are then compared with the kernel's own: if
 * bytes were moved past us, the connection stays on TCP.
 */
#include <fcntl.h>
#include <linux/socket.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "fault.h"
#include "internal.h"
#include "log.h"
#include "sys.h"

/*
 * Programs that are given a connection often divide themselves next, and forbid one part system calls (sshd): not
 * promoted before that, it can be after it.
 */
#define INHERITED_CALLS 64

#define ESTABLISHED 1 /* TCP_ESTABLISHED of netinet/tcp.h, which linux/tcp.h does not go with */

struct sl_sock_hooks sl_sock_hooks;

int sl_side_xlock(struct sl_sock *s)
{
	int rc = pthread_mutex_lock(&s->side->xlock);

	if (rc == EOWNERDEAD) {
		/* A process died in the middle of a change: this connection cannot be trusted. */
		pthread_mutex_consistent(&s->side->xlock);
		s->side->err = ECONNRESET;
		s->side->dead = 1;
		s->side->tx.state = SL_TX_DONE;
		s->side->rx.state = SL_RX_DONE;
	}
	return rc == 0 || rc == EOWNERDEAD ? 2 : 1;
}

void sl_side_xunlock(struct sl_sock *s)
{
	pthread_mutex_unlock(&s->side->xlock);
}

static int tcp_info(int fd, struct tcp_info *ti)
{
	socklen_t len = sizeof(*ti);

	memset(ti, 0, sizeof(*ti));
	return sl_sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, ti, &len);
}

/* The kernel's idea of how many bytes the program has sent and received. FIN counts as a byte. */
static enum sl_reason compare_counts(struct sl_sock *s, int fd)
{
	uint64_t received, sent;
	struct tcp_info a, b;
	int unread = 0, tries;

	for (tries = 0; tries < 10; tries++) {
		if (tcp_info(fd, &a) || sl_sys_ioctl(fd, FIONREAD, &unread) || tcp_info(fd, &b))
			return SL_WHY_BYPASSED;
		if (a.tcpi_bytes_received == b.tcpi_bytes_received &&
		    a.tcpi_bytes_sent == b.tcpi_bytes_sent)
			break;
	}
	if (b.tcpi_state != ESTABLISHED)
		return SL_WHY_FINISHED;
	received = b.tcpi_bytes_received - (unsigned)unread;
	sent = b.tcpi_bytes_sent - b.tcpi_bytes_retrans + b.tcpi_notsent_bytes;
	/* By who had it before: shut down, or urgent data. */
	if (s->received && (sl_sys_poll_now(fd, POLLRDHUP | POLLPRI) & (POLLRDHUP | POLLPRI)))
		return SL_WHY_FINISHED;
	if (s->uncounted) {
		s->side->rx.krcvd = received;
		s->side->tx.ksent = sent;
		s->uncounted = false;
	}
	return s->side->rx.krcvd == received && s->side->tx.ksent == sent ? SL_WHY_NONE :
									    SL_WHY_BYPASSED;
}

void sl_lowat_note(struct sl_sock *s, int fd)
{
	int v = 1;
	socklen_t len = sizeof(v);

	if (sl_sys_getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &v, &len) == 0)
		s->lowat = v > 0 ? v : 1;
}

static void set_lowat(int fd, int v)
{
	(void)sl_sys6(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVLOWAT, (long)&v, sizeof(v), 0);
}

void sl_lowat_one(const struct sl_sock *s, int fd)
{
	if (s->lowat > 1)
		set_lowat(fd, 1);
}

void sl_timeout_note(struct sl_sock *s, int fd)
{
	struct timeval tv = {0};
	socklen_t len = sizeof(tv);

	(void)sl_sys_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len);
	s->rcvtimeo_us = (uint64_t)tv.tv_sec * 1000000 + (uint64_t)tv.tv_usec;
}

static uint32_t socket_option(int fd, int name)
{
	int v = 0;
	socklen_t len = sizeof(v);

	return sl_sys_getsockopt(fd, SOL_SOCKET, name, &v, &len) < 0 || v < 0 ? 0 : (uint32_t)v;
}

/* The kernel knows whether they were set, on this socket or on its listener. */
void sl_buffers_note(struct sl_sock *s, int fd)
{
	uint32_t set = socket_option(fd, SO_BUF_LOCK);

	sl_tx_bound(&s->link, set & SOCK_SNDBUF_LOCK ? socket_option(fd, SO_SNDBUF) : 0);
	sl_rx_hold(&s->link, set & SOCK_RCVBUF_LOCK ? socket_option(fd, SO_RCVBUF) : 0);
}

static void note_options(struct sl_sock *s, int fd)
{
	sl_buffers_note(s, fd);
	s->nonblock = sl_sys_fcntl(fd, F_GETFL, 0) & O_NONBLOCK;
	sl_lowat_note(s, fd);
	sl_lowat_one(s, fd);
	sl_timeout_note(s, fd);
}

static int tcp_option(int fd, int name)
{
	int v = 0;
	socklen_t len = sizeof(v);

	return sl_sys_getsockopt(fd, IPPROTO_TCP, name, &v, &len) < 0 ? 0 : v;
}

static void set_tcp_option(int fd, int name, int v)
{
	(void)sl_sys6(SYS_setsockopt, fd, IPPROTO_TCP, name, (long)&v, sizeof(v), 0);
}

/*
 * A bell is one byte, and may not wait for an acknowledgement (Nagle, up to 40 ms) or for more to come
 * (cork). What the program has set is kept for it to read, and restored when the connection is TCP again.
 */
static void take_delays(struct sl_sock *s, int fd)
{
	s->nodelay = tcp_option(fd, TCP_NODELAY);
	s->cork = tcp_option(fd, TCP_CORK);
	if (s->cork)
		set_tcp_option(fd, TCP_CORK, 0);
	if (!s->nodelay)
		set_tcp_option(fd, TCP_NODELAY, 1);
}

void sl_give_delays(struct sl_sock *s, int fd)
{
	if (!s->nodelay)
		set_tcp_option(fd, TCP_NODELAY, 0);
	if (s->cork)
		set_tcp_option(fd, TCP_CORK, 1);
	if (s->lowat > 1)
		set_lowat(fd, s->lowat);
}

/* What a program that inherits this connection will check. */
static void note_identity(struct sl_side_shm *side, int fd, int seg_fd)
{
	socklen_t len = sizeof(side->cookie);
	struct stat st;

	(void)sl_sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &side->cookie, &len);
	if (fstat(seg_fd, &st) == 0)
		side->seg_ino = st.st_ino;
}

/* Both locks held. Return: 0 attached; -EAGAIN not now; else a reason not to (enum sl_reason), > 0. */
static int attach_locked(struct sl_sock *s, int fd)
{
	struct sl_side_shm *old = s->side, *side;
	struct sl_seg_side_shm *me;
	struct sl_seg seg;
	int refused;

	if (s->rx_inflight || s->tx_inflight) {
		sl_stat_reason(s, SL_WHY_THREADS);
		return -EAGAIN;
	}
	if (atomic_load(&old->holders) > 1)
		return SL_WHY_SHARED;
	if (old->foreign)
		return SL_WHY_EXECED;
	if (old->kfin || old->tx.fin || old->dead || s->oob)
		return SL_WHY_FINISHED;
	refused = (int)compare_counts(s, fd);
	if (refused)
		return refused;
	if (sl_seg_attach(&seg, s->pair_fd[0], s->pair_side) < 0)
		return SL_WHY_BAD_SEGMENT;
	me = &seg.shm->side[seg.side];
	refused = SL_WHY_SHARED;
	if (!sl_seg_claim(&seg))
		goto detach; /* the broker gave it to another holder of the socket, which was faster */
	side = sl_map_shared(s->pair_fd[1], SL_SIDE_LEN);
	refused = SL_WHY_LIMIT_MEMORY;
	if (!side)
		goto unclaim;
	memset(side, 0, sizeof(*side));
	side->holders = 1;
	side->tx.ksent = old->tx.ksent;
	side->rx.krcvd = old->rx.krcvd;
	side->rx.sleepers = s->sleepers = s->native_sleepers;
	side->rx.bells = old->rx.bells;
	side->rx.rings = old->rx.rings;
	side->rdshut = old->rdshut;
	note_identity(side, fd, s->pair_fd[0]);
	sl_link_init(&s->link, &seg, side, s->stat);
	s->link.bell.gen = s->offer_gen;
	s->link.bell.pair = s->pair;
	/* First: the hook may wake threads, and what these learn of the connection's end is to be kept. */
	s->side = side;
	refused = sl_sock_hooks.attaching ? -sl_sock_hooks.attaching(s) : 0;
	if (refused > 0) {
		s->side = old;
		goto retire;
	}
	sl_side_file_drop(s);
	if (old != &s->own)
		sl_map_retire(old, SL_SIDE_LEN);
	sl_fault_init();
	note_options(s, fd);
	take_delays(s, fd);
	atomic_store(&s->offer, SL_OFFER_TAKEN);
	s->was_attached = true;
	s->stat->peer_reason = SL_WHY_NONE;
	atomic_store_explicit(&s->attached, true, memory_order_release);

	me->pid = (uint32_t)getpid();
	memcpy(me->program, sl_stat_program, sizeof(me->program));
	atomic_store_explicit(&me->attached, SL_ATTACHED, memory_order_release);
	sl_stat_reason(s, SL_WHY_PAIRED);
	(void)sl_tx_start(&s->link, fd);
	return 0;

retire:
	sl_map_retire(side, SL_SIDE_LEN);
unclaim:
	sl_seg_unclaim(&seg);
detach:
	sl_seg_detach(&seg);
	return refused;
}

void sl_sock_inherited(struct sl_sock *s, int fd)
{
	s->fd = fd;
	s->stat->fd = fd;
	s->stat->used = 1;
	s->stat->tx.lane = s->side->tx.state == SL_TX_MEM ? SL_STAT_MEMORY : SL_STAT_TCP;
	s->stat->rx.lane = sl_rx_memory(&s->link) ? SL_STAT_MEMORY : SL_STAT_TCP;
	s->nonblock = sl_sys_fcntl(fd, F_GETFL, 0) & O_NONBLOCK;
	sl_timeout_note(s, fd);
	sl_stat_addresses(s, fd);
	sl_stat_reason(s, s->stat->tx.lane && s->stat->rx.lane ? SL_WHY_NONE : SL_WHY_PAIRED);
	s->was_attached = true;
	atomic_store(&s->offer, SL_OFFER_TAKEN);
	atomic_store_explicit(&s->attached, true, memory_order_release);
}

void sl_sock_inherited_young(struct sl_sock *s, int fd)
{
	struct sl_side_shm *side = s->side;

	s->fd = fd;
	s->stat->fd = fd;
	s->stat->used = 1;
	if (atomic_load(&side->holders) < 2) { /* the program before us was the last one */
		s->own = *side;
		s->side = &s->own;
		sl_side_file_drop(s);
		sl_map_retire(side, SL_SIDE_LEN);
	}
	if (sl_env.promote_calls == SL_PROMOTE_OFF)
		atomic_store(&s->offer, SL_OFFER_NEVER);
	else if (sl_env.promote_calls)
		s->call_next = INHERITED_CALLS;
	sl_stat_addresses(s, fd);
	sl_stat_reason(s, sl_env.promote_calls == SL_PROMOTE_OFF ? SL_WHY_OFF : SL_WHY_YOUNG);
}

void sl_attach_try(struct sl_sock *s, int fd)
{
	int how, rc, pair_fd[2];
	uint32_t side;
	uint64_t pair;

	if (atomic_load(&s->offer) != SL_OFFER_PAIRED || fd < 0)
		return;
	how = sl_both_take(s);
	if (!how)
		return;
	fd = sl_still_fd(s, fd);
	rc = atomic_load(&s->offer) == SL_OFFER_PAIRED && fd >= 0 ? attach_locked(s, fd) : -EAGAIN;
	if (rc != -EAGAIN) {
		/* With the locks held: later ones may be of the next pair. */
		memcpy(pair_fd, s->pair_fd, sizeof(pair_fd));
		pair = s->pair;
		side = s->pair_side;
		s->pair_fd[0] = s->pair_fd[1] = -1;
		/* Two processes hold it, for now. */
		if (rc > 0)
			atomic_store(&s->offer,
				     rc == SL_WHY_SHARED ? SL_OFFER_NONE : SL_OFFER_NEVER);
	}
	sl_both_release(s, how);
	if (rc == -EAGAIN)
		return;
	if (sl_unlikely(rc == 0 && s->received)) {
		s->received = false; /* from now on whoever gets it is counted by its side page */
		sl_offer_drop(s);
	}
	sl_sys_close(pair_fd[0]);
	sl_sys_close(pair_fd[1]);
	if (rc > 0) {
		/* The segment may be bad, the connection is not. */
		if (rc == SL_WHY_BAD_SEGMENT || rc == SL_WHY_BYPASSED || sl_env.verbose)
			sl_log("connection stays on TCP: %s", sl_reason_text((unsigned)rc));
		sl_offer_gone(pair, side);
		sl_stat_reason(s, (enum sl_reason)rc);
	}
}

/* Both locks held: the segment is given up, the counts live on in private memory. */
/* Why the peer does not use the memory lane, as it says. It may say anything: readers bound it. */
static void note_peer_reason(struct sl_sock *s)
{
	const struct sl_seg *seg = &s->link.seg;
	uint32_t why = atomic_load_explicit(&seg->shm->side[1 - seg->side].reason,
					    memory_order_relaxed);

	if (why != SL_WHY_NONE && why != SL_WHY_PEER_LEFT)
		s->stat->peer_reason = why;
}

static void detach_locked(struct sl_sock *s, int fd)
{
	struct sl_side_shm *side = s->side;

	s->own = *side;
	s->own.left = 0;
	s->own.tx.state = SL_TX_TCP;
	s->own.rx.state = SL_RX_TCP;
	s->own.rx.started = 0;
	memset(&s->own.tx.ring, 0, sizeof(s->own.tx.ring));
	memset(&s->own.rx.ring, 0, sizeof(s->own.rx.ring));
	s->own.shared = 0;
	s->side = &s->own;
	atomic_store_explicit(&s->attached, false, memory_order_release);
	atomic_store_explicit(&s->link.hint, NULL, memory_order_relaxed);
	atomic_store_explicit(&s->link.hint_new, NULL, memory_order_relaxed);
	if (atomic_load(&s->offer) == SL_OFFER_TAKEN)
		atomic_store(&s->offer, SL_OFFER_NONE);
	if (sl_sock_hooks.detached)
		sl_sock_hooks.detached(s);
	sl_give_delays(s, fd);
	note_peer_reason(s);
	sl_link_ends(&s->link, SL_ENDED_TCP);
	sl_seg_detach(&s->link.seg);
	sl_map_retire(side, SL_SIDE_LEN);
}

void sl_detach_try(struct sl_sock *s, int fd)
{
	struct sl_side_shm *side;
	bool gone = false, never;
	int how = sl_both_take(s);
	uint32_t number;
	uint64_t pair;

	if (!how)
		return;
	side = s->side;
	pair = s->pair; /* the next one may be here soon */
	number = s->pair_side;
	/* Not one that has ended: what we know of that the kernel has forgotten. */
	never = side->foreign || atomic_load(&s->offer) == SL_OFFER_NEVER; /* the kernel is to tell of it, at once */
	if (sl_sock_attached(s) && sl_link_finished(&s->link) && (never || sl_link_quiet(&s->link)) &&
	    !side->rx.sleepers && !side->dead && !side->reset && !side->tx.waiters &&
	    atomic_load(&side->holders) < 2) {
		detach_locked(s, sl_still_fd(s, fd));
		gone = true;
	}
	sl_both_release(s, how);
	if (!gone)
		return;
	sl_offer_gone(pair, number);
	if (s->stat->reason == SL_WHY_NONE || s->stat->reason == SL_WHY_PAIRED)
		sl_stat_reason(s, SL_WHY_PEER_LEFT);
	s->call_next = s->calls + (sl_env.chaos_lanes ? 2 : 64 + s->calls);
	s->bytes = 0;
}

void sl_let_go(struct sl_sock *s, int fd)
{
	int how = sl_both_take(s);
	struct sl_side_shm *side = s->side;

	if (!how)
		return;
	if (sl_sock_attached(s) && sl_link_finished(&s->link) && !side->dead && !side->reset &&
	    !s->sleepers && !s->waiters) {
		side->foreign = 1;
		sl_side_leave(side);
		atomic_fetch_sub(&side->holders, 1);
		if (how == 2)
			sl_side_xunlock(s);
		how = 1;
		detach_locked(s, sl_still_fd(s, fd));
		s->own.holders = 1;
		atomic_store(&s->offer, SL_OFFER_NEVER);
	}
	sl_both_release(s, how);
}

int sl_leave_locked(struct sl_sock *s, int fd, enum sl_reason why)
{
	int rc;

	if (!sl_sock_attached(s))
		return 0;
	rc = sl_link_leave(&s->link, fd);
	if (rc < 0)
		return rc;
	sl_stat_reason(s, why);
	note_peer_reason(s);
	atomic_store_explicit(&s->link.seg.shm->side[s->link.seg.side].reason, why,
			      memory_order_relaxed);
	if (sl_sock_hooks.kick)
		sl_sock_hooks.kick(s);
	return 0;
}

/*
 * All that still comes comes by TCP, behind the bells that are there already: with these gone and nothing unread, the
 * kernel tells the program's own registrations, and whoever reads past us, no less and no more than the truth.
 */
static void step_aside(struct sl_sock *s, int fd)
{
	if (s->side->rx.sleepers || atomic_load(&s->side->holders) > 1)
		return;
	(void)sl_rx_kernel(&s->link, fd, true);
	if (sl_rx_avail(&s->link, fd, 1) == 0 && sl_sock_hooks.detached)
		sl_sock_hooks.detached(s);
}

void sl_sock_refuse(struct sl_sock *s, int fd, enum sl_reason why)
{
	int how;

	sl_offer_withdraw(s);
	how = sl_both_take(s);
	if (how) {
		fd = sl_still_fd(s, fd);
		if (sl_sock_attached(s) && sl_leave_locked(s, fd, why) == 0)
			step_aside(s, fd);
		sl_both_release(s, how);
	}
	atomic_store(&s->offer, SL_OFFER_NEVER); /* first: who sees the reason looks at it */
	sl_stat_reason(s, why);
	sl_detach_try(s, fd);
}

void sl_sock_reset(struct sl_sock *s, int fd, enum sl_reason why)
{
	static const struct sockaddr none = {.sa_family = AF_UNSPEC};
	int how = sl_both_take(s);

	if (!how)
		return;
	if (!s->side->dead) {
		sl_log("connection reset: %s", sl_reason_text(why));
		s->side->err = ECONNRESET;
		s->side->dead = 1;
		s->side->tx.state = SL_TX_DONE;
		s->side->rx.state = SL_RX_DONE;
		s->side->rx.skip = s->side->rx.krcvd;
		atomic_store_explicit(&s->link.hint, NULL, memory_order_relaxed);
		atomic_store_explicit(&s->link.hint_new, NULL, memory_order_relaxed);
		sl_stat_reason(s, why);
		s->stat->tx.lane = s->stat->rx.lane = SL_STAT_TCP;
		/* Disconnecting a TCP socket sends RST: the peer learns of it as well, and that it is no end of the stream. */
		if (sl_sock_attached(s))
			sl_link_ends(&s->link, SL_ENDED_RST);
		(void)sl_sys(SYS_connect, sl_still_fd(s, fd), &none, sizeof(none));
	}
	sl_both_release(s, how);
}

void sl_sock_ring(struct sl_sock *s, int fd)
{
	int how = sl_tx_take(s);

	if (!how)
		return;
	if (sl_sock_attached(s)) /* another thread may have given the segment up */
		(void)sl_tx_bell(&s->link, sl_still_fd(s, fd));
	sl_tx_release(s, how);
}

void sl_answer(struct sl_sock *s, int fd)
{
	int how = sl_tx_take(s), rc = 0;

	if (!how)
		return;
	if (sl_sock_attached(s))
		rc = sl_tx_answer(&s->link, sl_still_fd(s, fd));
	sl_tx_release(s, how);
	if (rc == -EPROTO)
		sl_sock_reset(s, fd, SL_WHY_BAD_PEER);
}

/* SCILAN_CHAOS=lanes: leave the memory lane now and then. */
void sl_chaos(struct sl_sock *s, int fd)
{
	static uint32_t seed;
	int how;

	if (!s->link.rng)
		s->link.rng = (sl_env.chaos_seed + ++seed) * 2654435761u | 1;
	s->link.rng ^= s->link.rng << 13;
	s->link.rng ^= s->link.rng >> 17;
	s->link.rng ^= s->link.rng << 5;
	if (s->link.rng % 24)
		return;
	how = sl_both_take(s);
	if (!how)
		return;
	(void)sl_leave_locked(s, sl_still_fd(s, fd), SL_WHY_CHAOS);
	sl_both_release(s, how);
}
