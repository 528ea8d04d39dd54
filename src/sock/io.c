/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io.c - the one receive path and the one send path
 *
 * Each call begins native (native.c) or, once attached, on the lanes: loop of
 * "move what can be moved now, under the lock" and "wait", until the call's own rules say that it is done.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "internal.h"
#include "clock.h"
#include "real.h"
#include "sys.h"

#define NATIVE_PIECE (64u << 10)
#define BUSY_TRIES   100 /* of 100 us */

/* The thread is gone, or is somewhere else, and so is the reference that the call had. */
static void sock_gone(void *s)
{
	sl_sock_put(s);
}

/* poll() for a call on @s, in which handlers run. Return: as poll(); -errno; -EINTR: also when one ran just before. */
static int poll_paused(struct sl_sock *s, struct pollfd *p, int ms, struct sl_pause *pause)
{
	int rc, saved = errno;

	pthread_cleanup_push(sl_frame_cancelled, NULL);
	sl_sect_pause(pause, sock_gone, s);
	rc = sl_sect_ran(pause) ? -EINTR : (int)sl_keep_errno(sl_real.poll(p, 1, ms), saved);
	sl_sect_resume(pause);
	pthread_cleanup_pop(0);
	return rc;
}

/* On the memory lane with a reason not to be. It was to be left for good when a thread waited for room: again. */
static void settled(struct sl_sock *s, int fd)
{
	if (atomic_load(&s->offer) == SL_OFFER_NEVER)
		sl_sock_refuse(s, fd, (enum sl_reason)s->stat->reason);
	else
		sl_stat_reason(s, SL_WHY_NONE);
}

static void after(struct sl_sock *s, int fd)
{
	struct sl_side_shm *sd = s->side;
	int how;

	/*
	 * One that only sends would never see the peer's START, and go on asking the kernel; nor its END, for which the
	 * peer waits (sl_link_quiet()).
	 */
	if (sl_unlikely(((sd->rx.state == SL_RX_TCP && !sd->rx.started) ||
			 (sd->tx.state == SL_TX_DONE && sl_rx_memory(&s->link))) &&
			sl_rx_hint(&s->link))) {
		how = sl_rx_take(s);
		if (how && sl_sock_attached(s))
			(void)sl_rx_avail(&s->link, sl_still_fd(s, fd), 1);
		if (how)
			sl_rx_release(s, how);
	}
	if (sl_unlikely(sd->tx.state == SL_TX_BACK))
		sl_answer(s, fd);
	if (sl_unlikely(sd->left && sd->tx.state < SL_TX_BACK)) {
		how = sl_both_take(s);
		if (how) {
			(void)sl_leave_locked(s, sl_still_fd(s, fd), SL_WHY_PEER_LEFT);
			sl_both_release(s, how);
		}
	}
	if (sl_unlikely(sd->rx.state == SL_RX_DONE && sd->tx.state == SL_TX_DONE))
		sl_detach_try(s, fd);
	else if (sl_unlikely(sl_env.chaos_lanes))
		sl_chaos(s, fd);
	else if (sl_unlikely(s->stat->reason) && sd->rx.state == SL_RX_MEM &&
		 sd->tx.state == SL_TX_MEM)
		settled(s, fd);
}

/* What there is to read has been read. Has the connection ended? Return: 0 end of file; -errno; -EAGAIN it goes on. */
static ssize_t at_end(struct sl_sock *s)
{
	struct sl_side_shm *sd = s->side;
	int err;

	if (sd->kfin)
		sl_link_ended(&s->link);
	err = sd->err;
	if (!err)
		return sd->kfin ? 0 : -EAGAIN;
	if (err == EPIPE && sd->kfin && !sd->reset)
		return 0; /* the answer to what was sent after FIN: for senders, and for SO_ERROR */
	sd->err = 0;
	sd->kfin = sd->rdshut = 1; /* told: from now on the end */
	return -err;
}

static ssize_t recv_try(struct sl_sock *s, int fd, struct sl_sink *sink, size_t len, int flags)
{
	bool ring = false, ended;
	ssize_t n;
	int how = sl_rx_take(s);

	if (sl_unlikely(!how))
		return -EDEADLK;
	if (sl_unlikely(!sl_sock_attached(s))) {
		sl_rx_release(s, how);
		return -ERESTART;
	}
	fd = sl_still_fd(s, fd);
	ended = s->side->kfin || s->side->err; /* known before the ring is looked at */
	n = sl_rx_recv(&s->link, fd, sink, len, flags & (MSG_PEEK | SL_RX_DROP), &ring);
	if (sl_unlikely((n == -EAGAIN && (ended || !sl_rx_memory(&s->link))) ||
			(n == 0 && (s->side->err || s->side->kfin))))
		n = at_end(s);
	sl_rx_release(s, how);
	if (ring)
		sl_sock_ring(s, fd);
	if (sl_unlikely(n == -EPROTO)) {
		sl_sock_reset(s, fd, SL_WHY_BAD_PEER);
		n = -ECONNRESET;
		s->side->err = 0;
	}
	return n;
}

/* Sleepers whose bell is there wake at once. One that was killed is still counted: there is an end to waiting. */
static ssize_t recv_step(struct sl_sock *s, int fd, struct sl_sink *sink, size_t len, int flags)
{
	static const struct timespec step = {.tv_nsec = 100000};
	int tries = BUSY_TRIES;
	ssize_t n;

	flags &= MSG_PEEK;
	while (sl_unlikely((n = recv_try(s, fd, sink, len, flags)) == -EBUSY)) {
		(void)sl_sys(SYS_nanosleep, &step, 0, 0);
		if (!tries--)
			flags |= SL_RX_DROP;
	}
	return n;
}

/*
 * Closed by another thread while this call was on the lanes, and awake: the number may be another file's by now, and the
 * kernel is not to be called with it. One that comes as late by TCP gets this, too.
 */
static ssize_t unless_closed(const struct sl_sock *s, ssize_t n)
{
	if (sl_unlikely(n == -ERESTART) && atomic_load_explicit(&s->closed, memory_order_relaxed))
		return -EBADF;
	return n;
}

static bool nonblocking(const struct sl_sock *s, int flags)
{
	return (flags & MSG_DONTWAIT) || s->nonblock;
}

static ssize_t recv_rest(struct sl_sock *s, int fd, struct sl_sink *sink, size_t len, int flags)
{
	struct iovec tmp[SL_IOV_REST];
	struct msghdr rest = {.msg_iov = tmp};
	size_t total;
	ssize_t n;

	rest.msg_iovlen =
		(size_t)sl_iov_rest(sink->iov, sink->iovcnt, sink->off, tmp, len, &total);
	n = sl_native_recv(s, fd, &rest, flags & ~SL_CALL_READ);
	if (n > 0)
		sl_sink_skip(sink, (size_t)n);
	return n;
}

/*
 * A peek that waits for all: what is there already would wake a sleeper at once, so it is looked at each millisecond.
 * Return: 0 look again; -EINTR; -EAGAIN SO_RCVTIMEO is over.
 */
static int wait_for_more(struct sl_sock *s, int fd, int *waited_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};
	struct timeval tv = {0};
	socklen_t len = sizeof(tv);
	struct sl_pause pause;

	(void)sl_sys_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len);
	if ((tv.tv_sec || tv.tv_usec) &&
	    (*waited_ms)++ >= tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000)
		return -EAGAIN;
	return poll_paused(s, &p, 1, &pause) < 0 ? -EINTR : 0;
}

static ssize_t recv_on_lanes(struct sl_sock *s, int fd, struct sl_sink *sink, size_t want, int flags)
{
	const struct iovec *iov = sink->iov;
	int iovcnt = sink->iovcnt, waited_ms = 0;
	size_t got = 0, least = flags & MSG_WAITALL ? want : sl_min_size(sl_lowat(s), want);
	ssize_t n;

	for (;;) {
		if (flags & MSG_PEEK) { /* each look starts over */
			sink->iov = iov;
			sink->iovcnt = iovcnt;
			sink->off = 0;
			got = 0;
		}
		n = unless_closed(s, recv_step(s, fd, sink, want - got, flags));
		if (n > 0)
			got += (size_t)n;
		if (got >= least || n == 0 || (got && (flags & (MSG_PEEK | MSG_WAITALL)) == MSG_PEEK))
			break;
		if (n > 0 && !(flags & MSG_PEEK))
			continue;
		if (sl_unlikely(n == -ERESTART && got && sink->fd < 0)) {
			/* Detached in the middle of a MSG_WAITALL: the rest comes by TCP. */
			n = recv_rest(s, fd, sink, want - got, flags);
			if (n > 0)
				got += (size_t)n;
			if (n > 0 || n == -ERESTART)
				continue;
		}
		if ((n < 0 && n != -EAGAIN) || sl_unlikely(sink->full))
			break;
		if (sl_unlikely(sl_tx_hint(&s->link)))
			sl_answer(s, fd);
		if (nonblocking(s, flags)) {
			if (n == -EAGAIN && sl_look_kernel(s, fd))
				continue;
			break;
		}
		n = sl_unlikely(got && (flags & MSG_PEEK)) ? wait_for_more(s, fd, &waited_ms) :
							     sl_wait_in(s, fd, got > 0);
		if (n < 0)
			break;
		fd = sl_still_fd(s, fd);
	}
	if (got) {
		s->stat->rx.messages++;
		return (ssize_t)got;
	}
	return n;
}

/* In a section: signal handlers run where it sleeps, and afterwards. */
static ssize_t recv_lanes(struct sl_sock *s, int fd, struct sl_sink *sink, size_t want, int flags)
{
	ssize_t n;

	sl_sect_enter();
	n = recv_on_lanes(s, fd, sink, want, flags);
	sl_sect_leave();
	return n;
}

/* recv() of no bytes waits for some, like any other. */
static ssize_t recv_nothing(struct sl_sock *s, int fd, int flags)
{
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct sl_sink sink = {.iov = &iov, .iovcnt = 1, .fd = -1};
	ssize_t n = recv_lanes(s, fd, &sink, 1, (flags & ~MSG_WAITALL) | MSG_PEEK);

	return n > 0 ? 0 : n;
}

ssize_t sl_sock_recv(struct sl_sock *s, int fd, struct msghdr *m, int flags)
{
	struct sl_sink sink = {.iov = m->msg_iov, .iovcnt = (int)m->msg_iovlen, .fd = -1};
	size_t want;
	ssize_t n;

	do {
		if (!sl_sock_attached(s)) {
			n = sl_native_recv(s, fd, m, flags);
			if (n != -ERESTART)
				return n;
		}
		if (sl_unlikely(flags & (MSG_OOB | MSG_ERRQUEUE)))
			return sl_keep_errno(sl_real_recv(fd, m, flags), errno);
		want = sl_iov_total(m);
		if (sl_unlikely(!want && (flags & SL_CALL_READ)))
			return 0;
		sink.discard = flags & MSG_TRUNC && !(flags & MSG_PEEK);
		n = want ? recv_lanes(s, fd, &sink, want, flags) : recv_nothing(s, fd, flags);
	} while (sl_unlikely(n == -ERESTART));
	m->msg_flags = flags & MSG_CMSG_CLOEXEC;
	m->msg_controllen = 0;
	if (m->msg_name)
		m->msg_namelen = 0;
	after(s, fd);
	return n == -EDEADLK ? -EAGAIN : n;
}

/* The native call would have raised it. */
static ssize_t broken_pipe(int flags)
{
	if (!(flags & MSG_NOSIGNAL))
		(void)sl_sys(SYS_tgkill, getpid(), sl_tid(), SIGPIPE);
	return -EPIPE;
}

/*
 * A peer that was killed awake has closed nothing and will take nothing: only the kernel knows. Where it leaves what
 * we sent for a timer tick, the kernel is asked.
 */
static void look_for_peer(struct sl_sock *s, int fd)
{
	uint64_t now = sl_coarse_ns();

	if (now == s->peer_look || !sl_sock_attached(s))
		return;
	s->peer_look = now;
	if (!s->side->kfin && sl_link_unread(&s->link))
		(void)sl_look_kernel(s, fd);
}

/* FIN is known: was it an end in order? Before the tx lock is taken, as this wants the other. */
static void note_end(struct sl_sock *s)
{
	int how = sl_rx_take(s);

	if (how && sl_sock_attached(s))
		sl_link_ended(&s->link);
	if (how)
		sl_rx_release(s, how);
}

/* Something has ended; tx lock held. Return: what TCP answers now; 0: it takes what is sent. */
static ssize_t send_ended(struct sl_sock *s, struct sl_src *src, size_t len)
{
	struct sl_side_shm *sd = s->side;
	ssize_t n = -EPIPE;

	if (sd->err) {
		n = -sd->err;
		sd->err = 0;
		sd->rdshut = 1; /* told */
	} else if (sd->masked && !sd->tx.fin) {
		/* TCP would send this, and get RST for it. */
		sd->masked = 0;
		if (src->fd >= 0)
			return -EPIPE;
		sd->err = EPIPE;
		sl_src_skip(src, len);
		n = (ssize_t)len;
	} else if (!sd->tx.fin && !sd->reset) {
		n = 0;
	}
	return n;
}

/* The kernel says RST, to a sender first. Return: true: it is noted, with what it means, for the next look. */
static bool note_reset(struct sl_sock *s)
{
	int how = sl_rx_take(s);
	bool noted = how && sl_sock_attached(s);

	if (noted)
		sl_link_error(&s->link, ECONNRESET);
	if (how)
		sl_rx_release(s, how);
	return noted;
}

static ssize_t send_step(struct sl_sock *s, int fd, struct sl_src *src, size_t len, int flags)
{
	struct sl_side_shm *sd = s->side;
	bool first = true, asked;
	ssize_t n;
	int how;

	look_for_peer(s, fd);
again:
	n = 0;
	if (sl_unlikely(sd->kfin))
		note_end(s);
	how = sl_tx_take(s);
	if (sl_unlikely(!how))
		return -EDEADLK;
	fd = sl_still_fd(s, fd);
	sd = s->side;
	if (sl_unlikely(!sl_sock_attached(s)))
		n = -ERESTART;
	else if (sl_unlikely(sd->kfin || sd->err || sd->tx.fin))
		n = send_ended(s, src, len);
	asked = n == 0;
	if (sl_likely(asked))
		n = sl_tx_send(&s->link, fd, src, len, flags & (MSG_MORE | MSG_EOR | MSG_CONFIRM));
	sl_tx_release(s, how);
	/* Not one that send_ended() tells: that is told by now. */
	if (sl_unlikely(n == -ECONNRESET && asked && first && src->fd < 0 && !sd->dead)) {
		first = false;
		if (note_reset(s))
			goto again;
	}
	if (sl_unlikely(n == -EPROTO)) {
		sl_sock_reset(s, fd, SL_WHY_BAD_PEER);
		n = -ECONNRESET;
		s->side->err = 0;
	}
	return n;
}

/* @sent: in and out. Return: 0 all done; -errno; -ERESTART: detached meanwhile. */
static ssize_t send_on_lanes(struct sl_sock *s, int fd, struct sl_src *src, size_t len, int flags,
			     size_t *sent)
{
	uint64_t until = 0;
	ssize_t n;

	while (*sent < len) {
		n = unless_closed(s, send_step(s, fd, src, len - *sent, flags));
		if (n > 0) {
			*sent += (size_t)n;
			continue;
		}
		if (n == 0)
			return 0; /* the source is at its end */
		if (n != -EAGAIN || sl_unlikely(src->dry))
			return n;
		if (sl_leave_stalled(s, fd))
			continue;
		if (nonblocking(s, flags)) {
			s->full_seq++;
			if (atomic_load_explicit(&s->items, memory_order_relaxed))
				sl_sock_hooks.full(s);
			if (*sent == 0 && sl_look_kernel(s, fd))
				continue;
			if (*sent == 0)
				sl_told_full(s);
			return n;
		}
		n = sl_wait_out(s, fd, len - *sent, &until, *sent > 0);
		if (n == -EAGAIN && *sent == 0)
			sl_told_full(s);
		if (n < 0)
			return n;
		fd = sl_still_fd(s, fd);
	}
	return 0;
}

static ssize_t send_lanes(struct sl_sock *s, int fd, struct sl_src *src, size_t len, int flags,
			  size_t *sent)
{
	ssize_t n;

	sl_sect_enter();
	n = send_on_lanes(s, fd, src, len, flags, sent);
	sl_sect_leave();
	return n;
}

static ssize_t send_result(struct sl_sock *s, int fd, ssize_t rc, size_t sent, int flags)
{
	after(s, fd);
	if (sent) {
		s->stat->tx.messages++;
		return (ssize_t)sent;
	}
	if (rc == -EPIPE)
		return broken_pipe(flags);
	return rc == -EDEADLK ? -EAGAIN : rc;
}

/*
 * A native send of megabytes that blocks would keep the connection from being offered and attached: in pieces. One that
 * nobody has offered yet is worth that only if so much is to come: most are over after their first answer.
 */
static bool in_pieces(struct sl_sock *s, const struct msghdr *m)
{
	uint32_t state = atomic_load_explicit(&s->offer, memory_order_relaxed);

	if (state == SL_OFFER_NONE)
		return sl_iov_total(m) >= SL_SEND_LONG && sl_env.promote_bytes <= SL_SEND_LONG;
	if (state == SL_OFFER_OUT)
		return sl_iov_total(m) > NATIVE_PIECE;
	return state == SL_OFFER_PAIRED;
}

/* Return: 0 waited; 1 the socket does not block; -EINTR. @sent: a part of the call's bytes. */
static ssize_t wait_kernel_room(struct sl_sock *s, int fd, bool sent)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int fl = sl_sys_fcntl(fd, F_GETFL, 0), rc;
	struct sl_pause pause;

	sl_attach_try(s, fd);
	if (fl >= 0 && (fl & O_NONBLOCK))
		return 1;
	if (sl_sock_attached(s))
		return 0;
	rc = poll_paused(s, &p, -1, &pause);
	if (rc < 0 && (rc != -EINTR || sent || sl_sect_ran_hard(&pause)))
		return rc;
	sl_attach_try(s, fd);
	return 0;
}

/*
 * A piece of what is left, for a native call. @cut: it was cut short by the kernel, that is by a signal, a timeout or
 * want of room where nobody waits: the program's call ends here.
 */
static ssize_t send_rest(struct sl_sock *s, int fd, struct sl_src *src, int flags, bool sent, bool *cut)
{
	struct iovec tmp[SL_IOV_REST];
	struct msghdr rest = {.msg_iov = tmp};
	bool paired = atomic_load(&s->offer) == SL_OFFER_PAIRED && !(flags & MSG_DONTWAIT);
	size_t total;
	ssize_t n;

	if (paired) {
		/* Wait outside of the call, as wait_politely() does. */
		n = wait_kernel_room(s, fd, sent);
		if (n < 0)
			return n;
		paired = n == 0;
	}
	rest.msg_iovlen =
		(size_t)sl_iov_rest(src->iov, src->iovcnt, src->off, tmp, NATIVE_PIECE, &total);
	n = sl_native_send(s, fd, &rest, (flags & ~SL_CALL_READ) | (paired ? MSG_DONTWAIT : 0));
	*cut = n >= 0 && (size_t)n < total && !paired;
	return n == -EAGAIN && paired ? -ERESTART : n;
}

ssize_t sl_sock_send(struct sl_sock *s, int fd, const struct msghdr *m, int flags)
{
	struct sl_src src = {.iov = m->msg_iov, .iovcnt = (int)m->msg_iovlen, .fd = -1};
	size_t want, sent = 0;
	bool cut = false;
	ssize_t n;

	if (!sl_sock_attached(s) && !in_pieces(s, m)) {
		n = sl_native_send(s, fd, m, flags);
		if (n != -ERESTART)
			return n;
	}
	if (sl_unlikely(flags & (MSG_OOB | MSG_ZEROCOPY | MSG_FASTOPEN) || m->msg_controllen)) {
		if (flags & MSG_OOB) {
			s->oob = true;
			sl_sock_refuse(s, fd, SL_WHY_OOB);
		} else {
			sl_sock_refuse(s, fd, SL_WHY_OPT_ZEROCOPY);
		}
		if (sl_sock_attached(s) && s->side->tx.state == SL_TX_MEM)
			return -EOPNOTSUPP; /* another thread waits for room: the lane cannot be left */
		n = sl_keep_errno(sl_real_send(fd, m, flags), errno);
		if (n > 0)
			s->side->tx.ksent += (uint64_t)n;
		return n;
	}
	want = sl_iov_total(m);
	if (!want)
		return s->side->tx.fin && (m->msg_iovlen == 1 || !(flags & SL_CALL_READ)) ?
			       broken_pipe(flags) :
			       0;
	for (;;) {
		n = send_lanes(s, fd, &src, want, flags, &sent);
		if (sl_likely(n != -ERESTART))
			break;
		n = send_rest(s, fd, &src, flags, sent > 0, &cut);
		if (n == -ERESTART)
			continue;
		if (n < 0)
			break;
		sent += (size_t)n;
		sl_src_skip(&src, (size_t)n);
		if (sent >= want || cut)
			return (ssize_t)sent;
	}
	return send_result(s, fd, n, sent, flags);
}

/* --- from and to other descriptors --- */

/* sendfile and splice into the socket: one loop, the source is a descriptor. */
static ssize_t send_from(struct sl_sock *s, int fd, struct sl_src *src, size_t count)
{
	size_t sent = 0;
	ssize_t n;

	n = send_lanes(s, fd, src, count, 0, &sent);
	if (n == -ERESTART && !sent)
		return n;
	return send_result(s, fd, n == -ERESTART ? -EAGAIN : n, sent, src->told ? MSG_NOSIGNAL : 0);
}

/*
 * An empty pipe, or a full one, is waited for here, with no lock held. Others use it, too: what it can do then is seen when it
 * is used (sl_src.dry, sl_sink.full). Return: revents, > 0; -EAGAIN; -EINTR.
 */
static ssize_t wait_pipe(struct sl_sock *s, int pipe_fd, short events, unsigned flags)
{
	struct pollfd p = {.fd = pipe_fd, .events = events};
	struct sl_pause pause;
	int n;

	do {
		n = poll_paused(s, &p, flags & SPLICE_F_NONBLOCK ? 0 : -1, &pause);
	} while (n == -EINTR && !sl_sect_ran_hard(&pause));
	return n > 0 ? p.revents : n ? n : -EAGAIN;
}

ssize_t sl_sock_sendfile(struct sl_sock *s, int fd, int in_fd, off_t *pos, size_t count)
{
	struct sl_move v = {in_fd, fd, pos, sl_min_size(count, 0x7ffff000), 0, true};
	struct sl_src src = {.fd = in_fd, .pos = pos};
	ssize_t n;

	if (in_fd < 0)
		return -EBADF;
	/* As the kernel does: what has no place to read at, and may have to be waited for, is no file. */
	if (sl_sock_attached(s) && !pos && sl_sys(SYS_lseek, in_fd, 0, SEEK_CUR) == -ESPIPE)
		return -EINVAL;
	do {
		v.out = sl_still_fd(s, fd);
		n = sl_sock_attached(s) ? send_from(s, fd, &src, v.len) :
					  sl_native_move(s, &v, true);
	} while (n == -ERESTART);
	return n;
}

ssize_t sl_sock_splice_in(struct sl_sock *s, int fd, int pipe_fd, size_t len, unsigned flags)
{
	struct sl_move v = {pipe_fd, fd, NULL, len, flags, false};
	struct sl_src src = {.fd = pipe_fd, .pipe = true};
	int there = 0;
	ssize_t n;

	do {
		if (!sl_sock_attached(s)) {
			v.out = sl_still_fd(s, fd);
			n = sl_native_move(s, &v, true);
			continue;
		}
		n = wait_pipe(s, pipe_fd, POLLIN, flags);
		if (n <= 0)
			return n;
		if (sl_sys_ioctl(pipe_fd, FIONREAD, &there) < 0 || there <= 0)
			there = 1;
		src.dry = false;
		n = send_from(s, fd, &src, sl_min_size(len, (size_t)there));
	} while (n == -ERESTART || (n == -EAGAIN && src.dry));
	return n;
}

ssize_t sl_sock_splice_out(struct sl_sock *s, int fd, int pipe_fd, size_t len, unsigned flags)
{
	struct sl_move v = {fd, pipe_fd, NULL, len, flags, false};
	struct sl_sink sink = {.fd = pipe_fd};
	ssize_t n;

	do {
		if (!sl_sock_attached(s)) {
			v.in = sl_still_fd(s, fd);
			n = sl_native_move(s, &v, false);
			if (n != -ERESTART)
				return n;
			continue;
		}
		n = wait_pipe(s, pipe_fd, POLLOUT, flags);
		if (n <= 0)
			return n;
		if (n & POLLERR)
			return broken_pipe(0);
		/* SPLICE_F_NONBLOCK is of the pipe alone. Not more at a time than what the pipe's reader can send on. */
		sink.full = false;
		n = recv_lanes(s, fd, &sink, sl_min_size(len, 4096), 0);
	} while (n == -ERESTART || (n == -EAGAIN && sink.full));
	after(s, fd);
	return n == -EDEADLK ? -EAGAIN : n;
}
