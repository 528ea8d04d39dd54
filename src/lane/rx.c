/* SPDX-License-Identifier: BSD-2-Clause */
/* rx.c - the receiving direction; see link.h for L1 to L4 */
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include "link.h"
#include "sys.h"

#define DROP_MAX 4096 /* pieces at a time: a peer may send without end, and say that all of it is bells */

void sl_rx_set_hint(struct sl_link *l)
{
	const struct sl_ring_rx *ring = &l->side->rx.ring;
	bool none = l->side->rx.state == SL_RX_DONE;

	atomic_store_explicit(&l->hint, none ? NULL : sl_ring_word(&l->in, ring->pos),
			      memory_order_relaxed);
	atomic_store_explicit(&l->hint_new, none ? NULL : sl_ring_word(&l->in, ring->end),
			      memory_order_relaxed);
}

/* What has come by the ring: all records but START, which is the first one. END is not counted among them. */
static uint64_t in_ring(const struct sl_rx_side *rx)
{
	return rx->ring.end > SL_LINK_START ? rx->ring.end - SL_LINK_START : 0;
}

/* The peer may forget the segment as far as this is concerned (sl_link_quiet()). */
static void tell_quiet(struct sl_link *l)
{
	const struct sl_rx_side *rx = &l->side->rx;

	if (rx->state == SL_RX_DONE && rx->krcvd >= rx->skip)
		atomic_store_explicit(&l->in.ctl->quiet, 1, memory_order_relaxed);
}

static void done(struct sl_link *l)
{
	struct sl_rx_side *rx = &l->side->rx;

	/* L1: END was read, so this is the last value. Without a START there were no bells. */
	rx->skip = rx->state == SL_RX_TCP ?
			   rx->krcvd :
			   atomic_load_explicit(&l->in.ctl->rung, memory_order_acquire);
	if (rx->skip - rx->krcvd > INT64_MAX)
		rx->skip = rx->krcvd;
	if (rx->started && rx->skip > rx->start)
		rx->bells += rx->skip - rx->start;
	rx->state = SL_RX_DONE;
	atomic_store_explicit(&l->in.ctl->consumed, rx->ring.pos, memory_order_relaxed);
	l->side->left = 1;
	l->stat->rx.lane = SL_STAT_TCP;
	sl_rx_set_hint(l);
	tell_quiet(l);
}

/*
 * Drop bells at the head of the kernel's queue. Which bytes are in the queue is looked at first, how many
 * of them are bells after: a sender that could not send a bell takes `rung` back before it sends
 * anything else (L1). Return: as recv; -EAGAIN nothing to drop.
 */
static ssize_t drop(struct sl_link *l, int fd)
{
	int queued = 0;
	uint64_t len;
	ssize_t n;
	char byte, nowhere[256]; /* the kernel writes nothing, but valgrind knows of no receive without a buffer */

	if (sl_sys_ioctl(fd, FIONREAD, &queued) < 0 || queued <= 0) {
		n = sl_sys_recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
		if (n <= 0)
			return n;
		/* It came just now; or urgent data stands before it, which is no bell. */
		if (sl_sys_ioctl(fd, FIONREAD, &queued) < 0 || queued <= 0)
			return -EAGAIN;
	}
	len = sl_min_u64(sl_min_u64(sl_rx_bells(l), (uint64_t)queued), sizeof(nowhere));
	if (!len)
		return -EAGAIN;
	n = sl_sys_recv(fd, nowhere, (size_t)len, MSG_TRUNC | MSG_DONTWAIT);
	if (n > 0) {
		l->side->rx.krcvd += (uint64_t)n;
		l->stat->rx.bells += (uint64_t)n;
		tell_quiet(l);
	}
	return n;
}

/* Bytes at the head of the kernel's queue that are known to be bells (L1). */
uint64_t sl_rx_bells(const struct sl_link *l)
{
	const struct sl_rx_side *rx = &l->side->rx;
	uint64_t limit;

	if (rx->state == SL_RX_TCP)
		return 0;
	limit = rx->state == SL_RX_DONE ?
			rx->skip :
			atomic_load_explicit(&l->in.ctl->rung, memory_order_seq_cst); /* L6 */
	return limit > rx->krcvd && limit - rx->krcvd <= INT64_MAX ? limit - rx->krcvd : 0;
}

/*
 * Look for START, END or FIN at the head of the ring and act on it.
 * Return: 1 the state changed, look again; 0 not; -EPROTO.
 */
static int control(struct sl_link *l, enum sl_rec_type type, const uint8_t *data, size_t len)
{
	struct sl_rx_side *rx = &l->side->rx;
	struct sl_start_shm start;

	switch (type) {
	case SL_START:
		if (rx->state != SL_RX_TCP || len != sizeof(start))
			return -EPROTO;
		__builtin_memcpy(&start, data, sizeof(start));
		if (start.kpos < rx->krcvd)
			return -EPROTO;
		rx->start = start.kpos;
		rx->started = 1;
		if (rx->krcvd < rx->start)
			return 0;
		sl_ring_take(&l->in, &rx->ring, len);
		rx->state = SL_RX_MEM;
		atomic_store_explicit(&l->in.ctl->consumed, rx->ring.pos, memory_order_relaxed);
		l->stat->rx.lane = SL_STAT_MEMORY;
		sl_rx_set_hint(l);
		return 1;
	case SL_END:
		rx->rings += in_ring(rx);
		sl_ring_take(&l->in, &rx->ring, len);
		done(l);
		return 1;
	case SL_FIN:
		if (rx->state == SL_RX_TCP)
			return -EPROTO;
		rx->fin = 1;
		return 0;
	default:
		return -EPROTO;
	}
}

static int peek(struct sl_link *l, enum sl_rec_type *type, const uint8_t **data, size_t *len)
{
	return sl_ring_peek(&l->in, &l->side->rx.ring, type, data, len);
}

/*
 * The ring's head: settle control records.
 * Return: 1 data (or a FIN) at @data; 0 nothing; -EPIPE closed by us, no END yet; -EPROTO.
 */
static int settle(struct sl_link *l, enum sl_rec_type *type, const uint8_t **data, size_t *len)
{
	int rc;

	for (;;) {
		if (l->side->rx.state == SL_RX_DONE)
			return 0;
		rc = peek(l, type, data, len);
		if (rc <= 0)
			return rc;
		if (*type == SL_DATA)
			return l->side->rx.state == SL_RX_TCP ? -EPROTO : 1;
		rc = control(l, *type, *data, *len);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return l->side->rx.state == SL_RX_TCP ? 0 : 1;
	}
}

uint64_t sl_rx_arrived(struct sl_link *l, struct sl_rx_side *rx, int fd)
{
	bool ended, ring = l && rx->state != SL_RX_DONE;
	uint64_t in_kernel, rung, rings = rx->rings;
	enum sl_rec_type type;
	const uint8_t *data;
	int queued = 0;
	size_t len;

	if (ring)
		rings += in_ring(rx);
	ended = ring && sl_ring_ended(&l->in, &rx->ring);
	if (ring && rx->state != SL_RX_TCP && !ended)
		return rings + rx->start - rx->bells; /* the kernel has bells only */
	if (sl_sys_ioctl(fd, FIONREAD, &queued) < 0 || queued < 0)
		queued = 0;
	/* L2: what was queued may be bells if START stands there by now. */
	if (ring && rx->state == SL_RX_TCP && !rx->started) {
		(void)settle(l, &type, &data, &len);
		if (rx->started || rx->state != SL_RX_TCP)
			return sl_rx_arrived(l, rx, fd);
	}
	in_kernel = rx->krcvd + (unsigned)queued;
	if (ring && rx->started) {
		/* With END seen this is the last value (L1): data come behind it. */
		rung = atomic_load_explicit(&l->in.ctl->rung, memory_order_acquire);
		if (ended && in_kernel > rung)
			rings += in_kernel - rung;
		in_kernel = sl_min_u64(in_kernel, rx->start);
	} else if (rx->state == SL_RX_DONE && in_kernel < rx->skip) {
		in_kernel = rx->skip;
	}
	return rings + in_kernel - rx->bells;
}

/* @left: set by a peek that came to END: the stream goes on in the kernel. */
static ssize_t recv_ring(struct sl_link *l, struct sl_sink *sink, size_t len, bool peeking,
			 bool *left)
{
	struct sl_rx_side *rx = &l->side->rx;
	struct sl_ring_rx saved;
	enum sl_rec_type type;
	const uint8_t *data;
	size_t got = 0, n;
	ssize_t put;
	int rc = 0;

	if (sl_unlikely(peeking))
		saved = rx->ring;
	while (got < len) {
		/* A peek must not walk over END, which cannot be put back. */
		if (peeking && got) {
			rc = peek(l, &type, &data, &n);
			*left = rc > 0 && type == SL_END;
			if (rc <= 0 || type != SL_DATA)
				break;
		}
		rc = settle(l, &type, &data, &n);
		if (rc <= 0 || type != SL_DATA)
			break;
		put = sl_sink_put(sink, data, sl_min_size(n, len - got));
		if (put <= 0) {
			rc = (int)put;
			break;
		}
		sl_ring_take(&l->in, &rx->ring, (size_t)put);
		got += (size_t)put;
	}
	if (peeking && rx->state != SL_RX_DONE)
		rx->ring = saved;
	if (got)
		return (ssize_t)got;
	if (rc == 1 && type == SL_FIN)
		return 0;
	return rc < 0 && rc != -EPIPE ? rc : -EAGAIN;
}

/*
 * What a receive from the kernel returned. Errors of the connection are told once, behind what there is to read:
 * they are kept. Return: bytes; 0 end of file; -EAGAIN; -errno of the call itself.
 */
static ssize_t note_kernel(struct sl_link *l, ssize_t n)
{
	switch (n) {
	case -ENOTCONN: /* the reset has been told */
	case 0:
		l->side->kfin = 1;
		return 0;
	case -EAGAIN:
	case -EINTR:
	case -EFAULT:
	case -EBADF:
	case -ENOTSOCK:
	case -ENOMEM:
		return n;
	default:
		if (n > 0)
			return n;
		sl_link_error(l, (int)-n);
		return l->side->err ? -EAGAIN : 0;
	}
}

/* One call for as many pieces as it takes. @more: there was as much as they hold, and there are more. */
static ssize_t recv_pieces(int fd, struct sl_sink *sink, size_t len, int flags, bool *more)
{
	struct iovec tmp[SL_IOV_REST];
	struct msghdr m = {.msg_iov = tmp};
	size_t total;
	ssize_t n;

	m.msg_iovlen = (size_t)sl_iov_rest(sink->iov, sink->iovcnt, sink->off, tmp, len, &total);
	n = sl_sys_recvmsg(fd, &m,
			   (flags & MSG_PEEK) | (sink->discard ? MSG_TRUNC : 0) | MSG_DONTWAIT);
	if (n > 0)
		sl_sink_skip(sink, (size_t)n);
	*more = n > 0 && (size_t)n == total && total < len;
	return n;
}

/* Take at most @len bytes, which are known to be data, from the kernel. */
static ssize_t recv_kernel(struct sl_link *l, int fd, struct sl_sink *sink, size_t len, int flags)
{
	size_t got = 0;
	bool more = true;
	ssize_t n = 0;

	if (sink->fd >= 0) {
		/* splice has no MSG_DONTWAIT. */
		if (!sl_sys_poll_now(fd, POLLIN | POLLRDHUP))
			return -EAGAIN;
		n = sl_sys6(SYS_splice, fd, 0, sink->fd, 0, (long)len, 2 /* NONBLOCK */);
		sink->full = n == -EAGAIN && !sl_sys_poll_now(sink->fd, POLLOUT);
		got = n > 0 ? (size_t)n : 0;
	} else {
		while (more && (n = recv_pieces(fd, sink, len - got, flags, &more)) > 0) {
			got += (size_t)n;
			more &= !(flags & MSG_PEEK); /* which would begin anew */
		}
	}
	if (!(flags & MSG_PEEK)) {
		l->side->rx.krcvd += got;
		atomic_store_explicit(&l->in.ctl->kread, l->side->rx.krcvd, memory_order_relaxed);
		l->stat->rx.bytes_tcp += got;
	}
	if (n <= 0)
		n = note_kernel(l, n);
	return got ? (ssize_t)got : n;
}

/*
 * Before START: peek at the kernel first, then at the ring, then take (L2).
 * Return: bytes of data that may be taken now; 0 end of file; -EAGAIN; -errno; -EPROTO; -ERESTART: the
 *	   lane has changed.
 */
static ssize_t allowed_before_start(struct sl_link *l, int fd, size_t len)
{
	struct sl_rx_side *rx = &l->side->rx;
	enum sl_rec_type type;
	const uint8_t *data;
	size_t n, queued;
	char byte;
	int avail = 0, rc;
	ssize_t k;

	k = sl_sys_recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (k > 0 && sl_sys_ioctl(fd, FIONREAD, &avail) == 0 && avail > 0)
		k = avail;
	rc = settle(l, &type, &data, &n);
	if (rc < 0 && rc != -EPIPE)
		return rc;
	/* An error is told once: the peek has taken it, whichever lane it is by now. */
	if (k <= 0)
		k = note_kernel(l, k);
	if (rx->state != SL_RX_TCP)
		return -ERESTART;
	if (k <= 0)
		return k;
	queued = (size_t)k;
	if (rx->started)
		queued = sl_min_size(queued, (size_t)(rx->start - rx->krcvd));
	return (ssize_t)sl_min_size(queued, len);
}

/*
 * Bells that lie before data. Who sleeps on one of them must have seen it first.
 * Return: 0 gone; 1 end of file; -EAGAIN some are still to come, or left; -EBUSY somebody sleeps.
 */
static int drop_all(struct sl_link *l, int fd, int flags)
{
	int pieces = DROP_MAX;
	ssize_t n;

	while (sl_rx_bells(l)) {
		if (l->side->rx.sleepers && !(flags & SL_RX_DROP))
			return -EBUSY;
		if (!pieces--)
			return -EAGAIN;
		n = note_kernel(l, drop(l, fd));
		if (n <= 0)
			return n ? (int)n : 1;
	}
	return 0;
}

/* Behind END: bells that are left, then data. */
static ssize_t recv_after(struct sl_link *l, int fd, struct sl_sink *sink, size_t len, int flags)
{
	int rc = drop_all(l, fd, flags);

	return rc ? (rc > 0 ? 0 : rc) : recv_kernel(l, fd, sink, len, flags);
}

/* The same for what is left of @len when @n bytes have been received; none where an urgent mark stands between. */
static ssize_t recv_on(struct sl_link *l, int fd, struct sl_sink *sink, size_t n, size_t len,
		       int flags)
{
	int mark = 0;
	ssize_t more;

	if (n == len ||
	    (n && (drop_all(l, fd, flags) || sl_sys_ioctl(fd, SIOCATMARK, &mark) < 0 || mark)))
		return (ssize_t)n;
	more = recv_after(l, fd, sink, len - n, flags);
	return more > 0 ? (ssize_t)n + more : n ? (ssize_t)n : more;
}

/* A peek that goes on behind START, which stays. Return: bytes. */
static ssize_t peek_behind_start(struct sl_link *l, struct sl_sink *sink, size_t len)
{
	struct sl_ring_rx behind = l->side->rx.ring;
	enum sl_rec_type type;
	const uint8_t *data;
	size_t got = 0, n;
	ssize_t put;

	sl_ring_take(&l->in, &behind, sizeof(struct sl_start_shm));
	while (got < len && sl_ring_peek(&l->in, &behind, &type, &data, &n) > 0 &&
	       type == SL_DATA) {
		put = sl_sink_put(sink, data, sl_min_size(n, len - got));
		if (put <= 0)
			break;
		sl_ring_take(&l->in, &behind, (size_t)put);
		got += (size_t)put;
	}
	return (ssize_t)got;
}

/* Off the memory lane; where START is reached, on it at once. */
static ssize_t recv_outside(struct sl_link *l, int fd, struct sl_sink *sink, size_t len, int flags,
			    bool *ring)
{
	struct sl_rx_side *rx = &l->side->rx;
	ssize_t n, more;

	if (rx->state == SL_RX_DONE)
		return recv_after(l, fd, sink, len, flags);
	n = allowed_before_start(l, fd, len);
	if (n == -ERESTART) {
		sl_rx_set_hint(l);
		return rx->state == SL_RX_TCP ? -EAGAIN :
						sl_rx_recv(l, fd, sink, len, flags, ring);
	}
	if (n <= 0)
		return n;
	n = recv_kernel(l, fd, sink, (size_t)n, flags);
	if (n <= 0 || (size_t)n == len || !rx->started)
		return n;
	if (flags & MSG_PEEK)
		return rx->krcvd + (uint64_t)n < rx->start ?
			       n :
			       n + peek_behind_start(l, sink, len - (size_t)n);
	if (rx->krcvd < rx->start)
		return n;
	more = sl_rx_recv(l, fd, sink, len - (size_t)n, flags, ring);
	return more > 0 ? n + more : n;
}

ssize_t sl_rx_recv(struct sl_link *l, int fd, struct sl_sink *sink, size_t len, int flags,
		   bool *ring)
{
	struct sl_rx_side *rx = &l->side->rx;
	bool peeking = flags & MSG_PEEK, left = false;
	ssize_t n;

	if (sl_unlikely(rx->state != SL_RX_MEM && rx->state != SL_RX_CLOSING))
		return recv_outside(l, fd, sink, len, flags, ring);
	n = recv_ring(l, sink, len, peeking, &left);
	if (sl_likely(!peeking && !rx->given))
		*ring |= sl_ring_credit(&l->in, &rx->ring, false);
	sl_rx_set_hint(l);
	if (n > 0 && !peeking) {
		l->stat->rx.bytes_memory += (uint64_t)n;
		if (sl_likely(rx->state == SL_RX_MEM))
			sl_ring_calm(&l->in, &rx->ring);
	}
	if (sl_likely(rx->state != SL_RX_DONE)) {
		if (sl_likely(!left))
			return n;
	} else if (n < 0 && n != -EAGAIN) {
		return n;
	}
	/* The lane ends here, the stream does not. */
	return recv_on(l, fd, sink, n > 0 ? (size_t)n : 0, len, flags);
}

/* Behind END: what is queued, but for the bells at its head. */
static ssize_t avail_after(struct sl_link *l, int fd)
{
	int queued = 0;
	uint64_t skip;

	(void)drop_all(l, fd, 0);
	if (sl_sys_ioctl(fd, FIONREAD, &queued) < 0 || queued < 0)
		return 0;
	skip = sl_rx_bells(l);
	return skip < (uint64_t)queued ? (ssize_t)((uint64_t)queued - skip) : 0;
}

/* What comes when the @before bytes before START are read: the ring, and what the kernel has behind its END and bells. */
static size_t avail_behind_start(struct sl_link *l, int fd, size_t before, size_t enough)
{
	struct sl_ring_rx behind = l->side->rx.ring;
	uint64_t bells;
	int queued = 0;
	ssize_t n;

	sl_ring_take(&l->in, &behind, sizeof(struct sl_start_shm));
	n = sl_ring_avail(&l->in, &behind, enough);
	if (n < 0)
		return 0;
	if ((size_t)n >= enough || !sl_ring_left(&l->in, &behind) ||
	    sl_sys_ioctl(fd, FIONREAD, &queued) < 0 || queued < 0)
		return (size_t)n;
	bells = atomic_load_explicit(&l->in.ctl->rung, memory_order_acquire) - l->side->rx.start;
	if ((uint64_t)queued < before || (uint64_t)queued - before <= bells)
		return (size_t)n;
	return (size_t)n + ((size_t)queued - before - (size_t)bells);
}

ssize_t sl_rx_avail(struct sl_link *l, int fd, size_t enough)
{
	struct sl_rx_side *rx = &l->side->rx;
	enum sl_rec_type type;
	const uint8_t *data;
	size_t len;
	ssize_t n;
	int rc;

	rc = settle(l, &type, &data, &len);
	sl_rx_set_hint(l);
	if (rc < 0 && rc != -EPIPE)
		return rc;
	if (sl_rx_memory(l)) {
		n = sl_ring_avail(&l->in, &rx->ring, enough);
		if (n <= 0 || (size_t)n >= enough || !sl_ring_left(&l->in, &rx->ring))
			return n;
		return n + avail_after(l, fd);
	}
	if (rx->state == SL_RX_DONE)
		return avail_after(l, fd);
	n = allowed_before_start(l, fd, enough);
	if (n == -ERESTART)
		return sl_rx_avail(l, fd, enough);
	if (n < 0)
		return 0;
	if (n > 0 && (size_t)n < enough && rx->started && rx->krcvd + (uint64_t)n == rx->start)
		n += (ssize_t)avail_behind_start(l, fd, (size_t)n, enough - (size_t)n);
	return n;
}

int sl_rx_kernel(struct sl_link *l, int fd, bool drain)
{
	int pieces = DROP_MAX;
	ssize_t rc;
	char byte;

	while (drain && sl_rx_bells(l)) {
		if (!pieces--)
			return 1;
		rc = note_kernel(l, drop(l, fd));
		if (rc == -EAGAIN && !l->side->err)
			break;
		if (rc <= 0)
			return 1;
	}
	rc = note_kernel(l, sl_sys_recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT));
	return rc != -EAGAIN || l->side->err;
}

int sl_rx_hush(struct sl_link *l, int fd, bool drain)
{
	bool memory = l->side->rx.state == SL_RX_MEM;

	if (memory && drain && sl_rx_bells(l))
		(void)note_kernel(l, drop(l, fd));
	return memory && !sl_rx_bells(l) ? 0 : sl_rx_kernel(l, fd, drain);
}

/*
 * While closing. A writer that was stopped in its window may have stored over CLOSED, or will: closed again, then.
 * Return: 0; -EAGAIN it still may; -EPROTO.
 */
static int still_closed(struct sl_link *l)
{
	struct sl_ring_rx *ring = &l->side->rx.ring;
	int rc = sl_ring_close(&l->in, ring);

	sl_rx_set_hint(l);
	return rc < 0 ? rc : ring->plain ? -EAGAIN : 0;
}

int sl_rx_arm(struct sl_link *l, uint32_t bell, bool *ring)
{
	struct sl_rx_side *rx = &l->side->rx;
	int rc;

	if (rx->state == SL_RX_DONE)
		return 0;
	if (rx->state == SL_RX_CLOSING)
		return still_closed(l);
	/* Before START the bell has to come behind what lies in the kernel's queue. */
	rc = sl_ring_arm(&l->in, &rx->ring, rx->state == SL_RX_MEM ? bell : 0, ring);
	sl_rx_set_hint(l);
	return rc;
}

int sl_rx_close(struct sl_link *l, bool *ring)
{
	struct sl_rx_side *rx = &l->side->rx;
	int rc;

	if (rx->state == SL_RX_DONE || rx->state == SL_RX_CLOSING)
		return 0;
	rc = sl_ring_close(&l->in, &rx->ring);
	if (rc < 0)
		return rc;
	/* A writer that waits for room must look at its word again (L4). */
	*ring |= atomic_load_explicit(&l->in.ctl->credit, memory_order_seq_cst) & SL_WANT;
	*ring |= sl_ring_credit(&l->in, &rx->ring, true);
	if (rx->state == SL_RX_MEM)
		rx->state = SL_RX_CLOSING;
	return 0;
}

/*
 * Before START. Closed first, so that none comes after we have looked. Without one no bell was ever rung, and what
 * the kernel has is data. Return: 0; -EBUSY it came just now; -EPROTO.
 */
static int give_back_early(struct sl_link *l)
{
	struct sl_rx_side *rx = &l->side->rx;
	enum sl_rec_type type;
	const uint8_t *data;
	size_t len;
	int rc = sl_ring_close(&l->in, &rx->ring);

	if (rc < 0)
		return rc;
	rc = settle(l, &type, &data, &len);
	if (rc < 0 && rc != -EPIPE)
		return rc;
	if (rx->state == SL_RX_MEM)
		rx->state = SL_RX_CLOSING;
	sl_rx_set_hint(l);
	if (rx->state == SL_RX_TCP && rx->started)
		return -EBUSY; /* bells lie behind bytes that are not ours to take */
	if (rx->state == SL_RX_TCP) {
		done(l); /* no START can come any more, and so no bell */
		return 0;
	}
	return rx->ring.pos == rx->ring.end ? 0 : -EBUSY;
}

int sl_rx_give_back(struct sl_link *l)
{
	struct sl_rx_side *rx = &l->side->rx;
	enum sl_rec_type type;
	const uint8_t *data;
	size_t len;
	int rc;

	rc = settle(l, &type, &data, &len);
	sl_rx_set_hint(l);
	if (rc < 0 && rc != -EPIPE)
		return rc;
	switch (rx->state) {
	case SL_RX_DONE:
		return 0;
	case SL_RX_CLOSING: /* with all that was in it */
		rc = rx->ring.plain ? still_closed(l) : 0;
		if (rc < 0)
			return rc == -EAGAIN ? -EBUSY : rc;
		return rx->ring.pos == rx->ring.end ? 0 : -EBUSY;
	case SL_RX_TCP:
		return rx->started ? -EBUSY : give_back_early(l);
	}
	if (!sl_ring_stern(&l->in, &rx->ring))
		return -EBUSY;
	rc = sl_ring_give_back(&l->in, &rx->ring);
	if (rc < 0 && rc != -EPIPE)
		return rc;
	rx->state = SL_RX_CLOSING;
	if (rc == -EPIPE)
		return sl_ring_avail(&l->in, &rx->ring, 1) > 0 ? -EBUSY : 0;
	rx->given = 1;
	rx->ring.pos = rx->ring.end;
	rx->ring.off = 0;
	sl_rx_set_hint(l);
	return 0;
}
