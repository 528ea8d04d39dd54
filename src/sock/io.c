/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io.c - the one receive path and the one send path
 *
 * Each call begins native (the kernel does it all, we count) or, once attached, on the lanes: loop of
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

/* Linux moves 2 GiB less a page in one call at most. */
static size_t iov_total(const struct msghdr *m)
{
	size_t n = 0, i;

	for (i = 0; i < m->msg_iovlen; i++)
		n += m->msg_iov[i].iov_len;
	return sl_min_size(n, 0x7ffff000);
}

/* --- native calls --- */

static bool worth_it(const struct sl_sock *s)
{
	return s->calls >= s->call_next &&
	       (s->calls >= sl_env.promote_calls || s->bytes >= sl_env.promote_bytes);
}

static void consider(struct sl_sock *s, int fd)
{
	uint32_t state = atomic_load_explicit(&s->offer, memory_order_relaxed);

	if (state == SL_OFFER_OUT && sl_unlikely(sl_offer_stale(s))) {
		atomic_store(&s->offer, SL_OFFER_NONE);
		state = SL_OFFER_NONE;
	}
	if (sl_unlikely(sl_env.chaos_pairs) && state == SL_OFFER_OUT) {
		sl_offer_settle(s);
		state = atomic_load(&s->offer);
	}
	if (state == SL_OFFER_PAIRED) {
		sl_attach_try(s, fd);
		return;
	}
	if (state != SL_OFFER_NONE || !worth_it(s))
		return;
	if (atomic_load(&s->side->holders) > 1 || s->side->foreign) {
		sl_stat_reason(s, s->side->foreign ? SL_WHY_EXECED : SL_WHY_SHARED);
		return;
	}
	if (s->connecting) {
		if (!(sl_sys_poll_now(fd, POLLOUT) & POLLOUT))
			return;
		s->connecting = false;
	}
	sl_stat_addresses(s, fd);
	sl_offer_out(s, fd);
	if (sl_unlikely(sl_env.chaos_pairs))
		sl_offer_settle(s);
}

static void native_release(struct sl_sock *s, int how, bool tx)
{
	if (tx)
		sl_tx_release(s, how);
	else
		sl_rx_release(s, how);
}

/* One thread, one process: nobody but a signal handler can interfere, and that leaves things as it found them. */
static bool alone(const struct sl_sock *s)
{
	return __libc_single_threaded && s->side == &s->own;
}

/*
 * Announce a native call, so that nobody attaches meanwhile.
 * Return: false: the connection is attached by now, go on by the lanes.
 */
static bool native_begin(struct sl_sock *s, int fd, bool tx)
{
	uint32_t *inflight = tx ? &s->tx_inflight : &s->rx_inflight;
	int how;

	s->calls++;
	if (sl_offer_due())
		sl_offer_pump();
	if (sl_unlikely(atomic_load_explicit(&s->offer, memory_order_relaxed) != SL_OFFER_NONE ||
			worth_it(s)))
		consider(s, fd);
	if (sl_likely(alone(s))) {
		/* A signal handler that comes before the count may attach; one that comes behind it does not. */
		++*inflight;
		atomic_signal_fence(memory_order_seq_cst);
		if (sl_likely(!sl_sock_attached(s)))
			return true;
		--*inflight;
		return false;
	}
	how = tx ? sl_tx_take(s) : sl_rx_take(s);
	if (!how)
		return true; /* a handler inside a call of ours: the count is off by this one */
	if (sl_sock_attached(s)) {
		native_release(s, how, tx);
		return false;
	}
	++*inflight;
	native_release(s, how, tx);
	return true;
}

static void count_native(struct sl_sock *s, uint64_t *position, struct sl_stat_dir_shm *st,
			 size_t n)
{
	*position += n;
	s->bytes += n;
	st->bytes_tcp += n;
	st->messages++;
}

static void native_end(struct sl_sock *s, bool tx, ssize_t n)
{
	bool by_myself = alone(s);
	int how = by_myself ? 0 : tx ? sl_tx_take(s) : sl_rx_take(s);

	if (!how && !by_myself)
		return;
	if (tx)
		s->tx_inflight--;
	else
		s->rx_inflight--;
	if (n > 0 && tx)
		count_native(s, &s->side->tx.ksent, &s->stat->tx, (size_t)n);
	else if (n > 0)
		count_native(s, &s->side->rx.krcvd, &s->stat->rx, (size_t)n);
	if (how)
		native_release(s, how, tx);
	/* The last one out: nobody may call again for long. */
	if (sl_unlikely(atomic_load_explicit(&s->offer, memory_order_relaxed) == SL_OFFER_PAIRED))
		sl_attach_try(s, s->fd);
}

static ssize_t went_through(struct sl_sock *s, ssize_t n)
{
	if (s->bytes >= sl_env.promote_bytes)
		s->through_left = 0;
	sl_sock_put(s);
	return n;
}

ssize_t sl_sock_through_in(struct sl_sock *s, ssize_t n, size_t len)
{
	s->rx_inflight--;
	if (n > 0)
		count_native(s, &s->side->rx.krcvd, &s->stat->rx, (size_t)n);
	else if (n == 0 && len)
		s->side->kfin = 1;
	return went_through(s, n);
}

ssize_t sl_sock_through_out(struct sl_sock *s, ssize_t n, size_t len)
{
	s->tx_inflight--;
	if (n > 0)
		count_native(s, &s->side->tx.ksent, &s->stat->tx, (size_t)n);
	s->native_full = n > 0 ? (size_t)n < len : n < 0 && errno == EAGAIN;
	return went_through(s, n);
}

static ssize_t real_recv(int fd, struct msghdr *m, int flags)
{
	if (flags & SL_CALL_READ)
		return m->msg_iovlen == 1 ?
			       sl_real.read(fd, m->msg_iov->iov_base, m->msg_iov->iov_len) :
			       sl_real.readv(fd, m->msg_iov, (int)m->msg_iovlen);
	if (m->msg_iovlen == 1 && !m->msg_name && !m->msg_control && !(flags & MSG_OOB)) {
		m->msg_flags = flags & MSG_CMSG_CLOEXEC; /* as recvmsg on TCP leaves them */
		m->msg_controllen = 0;
		return sl_real.recv(fd, m->msg_iov->iov_base, m->msg_iov->iov_len, flags);
	}
	return sl_real.recvmsg(fd, m, flags);
}

static ssize_t real_send(int fd, const struct msghdr *m, int flags)
{
	if (flags & SL_CALL_READ)
		return m->msg_iovlen == 1 ?
			       sl_real.write(fd, m->msg_iov->iov_base, m->msg_iov->iov_len) :
			       sl_real.writev(fd, m->msg_iov, (int)m->msg_iovlen);
	if (m->msg_iovlen == 1 && !m->msg_name && !m->msg_control)
		return sl_real.send(fd, m->msg_iov->iov_base, m->msg_iov->iov_len, flags);
	return sl_real.sendmsg(fd, m, flags);
}

static ssize_t keep_errno(ssize_t n, int saved)
{
	if (n >= 0)
		return n;
	n = -errno;
	errno = saved;
	return n;
}

/* A call in the kernel: what is to be taken back, with the call's reference, if it is left in the middle. */
struct native {
	struct sl_pause pause;
	struct sl_sock *s;
	bool tx;
};

static void sock_gone(void *arg)
{
	sl_sock_put(((struct native *)arg)->s);
}

static void peek_gone(void *arg)
{
	struct native *c = arg;

	(void)sl_sock_native_awake(c->s);
	sl_sock_put(c->s);
}

/*
 * Paired, but another thread is in a kernel call: do not become the next one. Wait without taking anything, then try
 * again to attach. Return: 0; -errno of the wait, which the kernel tells once: the call's own.
 */
static ssize_t wait_politely(struct sl_sock *s, int fd, int flags)
{
	struct native c = {.s = s};
	int saved = errno;
	bool counted;
	ssize_t n;
	char byte;

	if (flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE))
		return 0;
	sl_sect_enter();
	counted = sl_sock_native_sleep(s);
	if (!counted) {
		sl_sect_leave();
		return 0;
	}
	pthread_cleanup_push(sl_frame_cancelled, NULL);
	sl_sect_pause(&c.pause, peek_gone, &c);
	n = keep_errno(sl_real.recv(fd, &byte, 1, MSG_PEEK), saved);
	sl_sect_resume(&c.pause);
	pthread_cleanup_pop(0);
	(void)sl_sock_native_awake(s);
	sl_sect_leave();
	sl_attach_try(s, fd);
	return n < 0 ? n : 0;
}

static void native_gone(void *arg)
{
	struct native *c = arg;

	native_end(c->s, c->tx, 0);
	sl_sock_put(c->s);
}

static ssize_t in_kernel(struct native *c, int fd, struct msghdr *m, int flags)
{
	int saved = errno;
	ssize_t n;

	sl_sect_pause(&c->pause, native_gone, c);
	n = keep_errno(c->tx ? real_send(fd, m, flags) : real_recv(fd, m, flags), saved);
	sl_sect_resume(&c->pause);
	return n;
}

static __attribute__((noinline)) ssize_t cancellable(struct native *c, int fd, struct msghdr *m,
						     int flags)
{
	ssize_t n;

	pthread_cleanup_push(sl_frame_cancelled, NULL);
	n = in_kernel(c, fd, m, flags);
	pthread_cleanup_pop(0);
	return n;
}

/* The kernel's call; native_begin() has been called. Who is alone is not cancelled: then without libc's own note of it. */
static ssize_t native_call(struct native *c, int fd, struct msghdr *m, int flags)
{
	return sl_likely(__libc_single_threaded) ? in_kernel(c, fd, m, flags) :
						   cancellable(c, fd, m, flags);
}

/* Return: as recvmsg, or -ERESTART: attached meanwhile. */
static ssize_t recv_native(struct sl_sock *s, int fd, struct msghdr *m, int flags)
{
	struct native c = {.s = s};
	ssize_t n;

	if (sl_unlikely(atomic_load_explicit(&s->offer, memory_order_relaxed) == SL_OFFER_PAIRED)) {
		sl_attach_try(s, fd);
		n = sl_sock_attached(s) || sl_sys_poll_now(fd, POLLIN) ? 0 :
									 wait_politely(s, fd, flags);
		if (n < 0)
			return n;
	}
	sl_sect_enter();
	if (!native_begin(s, fd, false)) {
		sl_sect_leave();
		return -ERESTART;
	}
	n = native_call(&c, fd, m, flags);
	native_end(s, false, flags & (MSG_PEEK | MSG_OOB) ? 0 : n);
	sl_sect_leave();
	if (n == 0 && !(flags & MSG_PEEK) && iov_total(m))
		s->side->kfin = 1;
	return n;
}

static ssize_t send_native(struct sl_sock *s, int fd, const struct msghdr *m, int flags)
{
	struct native c = {.s = s, .tx = true};
	ssize_t n;

	sl_sect_enter();
	if (!native_begin(s, fd, true)) {
		sl_sect_leave();
		return -ERESTART;
	}
	n = native_call(&c, fd, (struct msghdr *)(uintptr_t)m, flags);
	native_end(s, true, n);
	sl_sect_leave();
	s->native_full = n == -EAGAIN || (n > 0 && (size_t)n < iov_total(m));
	return n;
}

/* --- on the lanes --- */

static void after(struct sl_sock *s, int fd)
{
	struct sl_side_shm *sd = s->side;
	int how;

	if (sl_unlikely(atomic_load_explicit(&s->orphan, memory_order_acquire))) {
		fd = s->fd;
		if (!sd->rx.sleepers) {
			(void)sl_orphan_end(s);
			return;
		}
	}
	/* One that only sends would never see the peer's START, and go on asking the kernel. */
	if (sl_unlikely(sd->rx.state == SL_RX_TCP && !sd->rx.started && sl_rx_hint(&s->link))) {
		how = sl_rx_take(s);
		if (how && sl_sock_attached(s))
			(void)sl_rx_avail(&s->link, fd, 1);
		if (how)
			sl_rx_release(s, how);
	}
	if (sl_unlikely(sd->tx.state == SL_TX_BACK))
		sl_answer(s, fd);
	if (sl_unlikely(sd->left && sd->tx.state < SL_TX_BACK)) {
		how = sl_both_take(s);
		if (how) {
			(void)sl_leave_locked(s, fd, SL_WHY_PEER_LEFT);
			sl_both_release(s, how);
		}
	}
	if (sl_unlikely(sd->rx.state == SL_RX_DONE && sd->tx.state == SL_TX_DONE))
		sl_detach_try(s, fd);
	else if (sl_unlikely(sl_env.chaos_lanes))
		sl_chaos(s, fd);
	else if (sl_unlikely(s->stat->reason) && sd->rx.state == SL_RX_MEM &&
		 sd->tx.state == SL_TX_MEM)
		sl_stat_reason(s, SL_WHY_NONE);
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
	ended = s->side->kfin || s->side->err; /* known before the ring is looked at */
	n = sl_rx_recv(&s->link, fd, sink, len, flags & (MSG_PEEK | SL_RX_DROP), &ring);
	if (sl_unlikely((n == -EAGAIN && (ended || !sl_rx_memory(&s->link))) ||
			(n == 0 && s->side->err)))
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
	n = recv_native(s, fd, &rest, flags & ~SL_CALL_READ);
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
	struct native c = {.s = s};
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};
	struct timeval tv = {0};
	socklen_t len = sizeof(tv);
	int rc, saved = errno;

	(void)sl_sys_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len);
	if ((tv.tv_sec || tv.tv_usec) &&
	    (*waited_ms)++ >= tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000)
		return -EAGAIN;
	pthread_cleanup_push(sl_frame_cancelled, NULL);
	sl_sect_pause(&c.pause, sock_gone, &c);
	rc = sl_sect_ran(&c.pause) || sl_real.poll(&p, 1, 1) < 0 ? -EINTR : 0;
	sl_sect_resume(&c.pause);
	pthread_cleanup_pop(0);
	errno = saved;
	return rc;
}

static ssize_t recv_on_lanes(struct sl_sock *s, int fd, struct sl_sink *sink, size_t want, int flags)
{
	struct sl_sink whole = *sink;
	int waited_ms = 0;
	size_t got = 0, least = flags & MSG_WAITALL ? want : sl_min_size(sl_lowat(s), want);
	ssize_t n;

	for (;;) {
		if (flags & MSG_PEEK) { /* each look starts over */
			*sink = whole;
			got = 0;
		}
		n = recv_step(s, fd, sink, want - got, flags);
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
		if (n < 0 && n != -EAGAIN)
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
			n = recv_native(s, fd, m, flags);
			if (n != -ERESTART)
				return n;
		}
		if (sl_unlikely(flags & (MSG_OOB | MSG_ERRQUEUE)))
			return keep_errno(real_recv(fd, m, flags), errno);
		want = iov_total(m);
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

static ssize_t send_step(struct sl_sock *s, int fd, struct sl_src *src, size_t len, int flags)
{
	struct sl_side_shm *sd = s->side;
	ssize_t n = 0;
	int how;

	look_for_peer(s, fd);
	if (sl_unlikely(sd->kfin))
		note_end(s);
	how = sl_tx_take(s);
	if (sl_unlikely(!how))
		return -EDEADLK;
	sd = s->side;
	if (sl_unlikely(!sl_sock_attached(s)))
		n = -ERESTART;
	else if (sl_unlikely(sd->kfin || sd->err || sd->tx.fin))
		n = send_ended(s, src, len);
	if (sl_likely(n == 0))
		n = sl_tx_send(&s->link, fd, src, len, flags & (MSG_MORE | MSG_EOR | MSG_CONFIRM));
	sl_tx_release(s, how);
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
		n = send_step(s, fd, src, len - *sent, flags);
		if (n > 0) {
			*sent += (size_t)n;
			continue;
		}
		if (n == 0)
			return 0; /* the source is at its end */
		if (n != -EAGAIN)
			return n;
		if (nonblocking(s, flags)) {
			s->full_seq++;
			if (atomic_load_explicit(&s->items, memory_order_relaxed))
				sl_sock_hooks.full(s);
			if (*sent == 0 && sl_look_kernel(s, fd))
				continue;
			return n;
		}
		n = sl_wait_out(s, fd, len - *sent, &until, *sent > 0);
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

/* A native send of megabytes that blocks would keep the connection from being attached: in pieces. */
static bool offering(struct sl_sock *s)
{
	uint32_t state = atomic_load_explicit(&s->offer, memory_order_relaxed);

	return state == SL_OFFER_OUT || state == SL_OFFER_PAIRED;
}

/* Return: 0 waited; 1 the socket does not block; -EINTR. @sent: a part of the call's bytes. */
static ssize_t wait_kernel_room(struct sl_sock *s, int fd, bool sent)
{
	struct native c = {.s = s};
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int fl = sl_sys_fcntl(fd, F_GETFL, 0), saved = errno, rc;

	sl_attach_try(s, fd);
	if (fl >= 0 && (fl & O_NONBLOCK))
		return 1;
	if (sl_sock_attached(s))
		return 0;
	pthread_cleanup_push(sl_frame_cancelled, NULL);
	sl_sect_pause(&c.pause, sock_gone, &c);
	rc = sl_real.poll(&p, 1, -1) < 0 ? -errno : 0;
	sl_sect_resume(&c.pause);
	pthread_cleanup_pop(0);
	errno = saved;
	if (rc == -EINTR && !sent && sl_sect_ran(&c.pause) && !sl_sect_ran_hard(&c.pause))
		rc = 0;
	if (rc == 0)
		sl_attach_try(s, fd);
	return rc;
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
	n = send_native(s, fd, &rest, (flags & ~SL_CALL_READ) | (paired ? MSG_DONTWAIT : 0));
	*cut = n >= 0 && (size_t)n < total && !paired;
	return n == -EAGAIN && paired ? -ERESTART : n;
}

ssize_t sl_sock_send(struct sl_sock *s, int fd, const struct msghdr *m, int flags)
{
	struct sl_src src = {.iov = m->msg_iov, .iovcnt = (int)m->msg_iovlen, .fd = -1};
	size_t want, sent = 0;
	bool cut = false;
	ssize_t n;

	if (!sl_sock_attached(s) && (!offering(s) || (iov_total(m) <= NATIVE_PIECE &&
						       atomic_load(&s->offer) == SL_OFFER_OUT))) {
		n = send_native(s, fd, m, flags);
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
		n = keep_errno(real_send(fd, m, flags), errno);
		if (n > 0)
			s->side->tx.ksent += (uint64_t)n;
		return n;
	}
	want = iov_total(m);
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

ssize_t sl_sock_sendfile(struct sl_sock *s, int fd, int in_fd, off_t *pos, size_t count)
{
	struct sl_src src = {.fd = in_fd, .pos = pos};
	int saved = errno;
	ssize_t n;

	if (in_fd < 0)
		return -EBADF;
	count = sl_min_size(count, 0x7ffff000);
	for (;;) {
		if (!sl_sock_attached(s)) {
			if (native_begin(s, fd, true)) {
				n = keep_errno(sl_real.sendfile(fd, in_fd, pos, count), saved);
				s->native_full = n == -EAGAIN || (n > 0 && (size_t)n < count);
				native_end(s, true, n);
				return n;
			}
		}
		n = send_from(s, fd, &src, count);
		if (n != -ERESTART)
			return n;
	}
}

ssize_t sl_sock_splice_in(struct sl_sock *s, int fd, int pipe_fd, size_t len, unsigned flags)
{
	struct sl_src src = {.fd = pipe_fd, .pipe = true};
	struct pollfd p = {.fd = pipe_fd, .events = POLLIN};
	int saved = errno;
	ssize_t n;

	for (;;) {
		if (!sl_sock_attached(s)) {
			if (native_begin(s, fd, true)) {
				n = keep_errno(sl_real.splice(pipe_fd, NULL, fd, NULL, len, flags),
					       saved);
				native_end(s, true, n);
				return n;
			}
		}
		/* Never read an empty pipe while a lock is held. */
		n = keep_errno(sl_real.poll(&p, 1, flags & SPLICE_F_NONBLOCK ? 0 : -1), saved);
		if (n <= 0)
			return n ? n : -EAGAIN;
		n = sl_sys_ioctl(pipe_fd, FIONREAD, &saved) == 0 && saved > 0 ? saved : 1;
		n = send_from(s, fd, &src, sl_min_size(len, (size_t)n));
		if (n != -ERESTART)
			return n;
		saved = errno;
	}
}

ssize_t sl_sock_splice_out(struct sl_sock *s, int fd, int pipe_fd, size_t len, unsigned flags)
{
	struct sl_sink sink = {.fd = pipe_fd};
	struct pollfd p = {.fd = pipe_fd, .events = POLLOUT};
	int saved = errno;
	ssize_t n;

	for (;;) {
		if (!sl_sock_attached(s)) {
			if (native_begin(s, fd, false)) {
				n = keep_errno(sl_real.splice(fd, NULL, pipe_fd, NULL, len, flags),
					       saved);
				native_end(s, false, n);
				return n;
			}
		}
		/* A page's worth fits a writable pipe without blocking. */
		n = keep_errno(sl_real.poll(&p, 1, flags & SPLICE_F_NONBLOCK ? 0 : -1), saved);
		if (n <= 0)
			return n ? n : -EAGAIN;
		if (p.revents & POLLERR)
			return broken_pipe(0);
		/* SPLICE_F_NONBLOCK is of the pipe alone. */
		n = recv_lanes(s, fd, &sink, sl_min_size(len, 4096), 0);
		if (n != -ERESTART)
			break;
	}
	after(s, fd);
	return n == -EDEADLK ? -EAGAIN : n;
}
