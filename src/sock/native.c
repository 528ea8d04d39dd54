/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native.c - calls on a connection that is not attached: the kernel does it all, we count
 *
 * A native call is announced and counted, so that nobody attaches while it is under way; each of them is a moment to
 * offer the connection, or to attach it. It is a pause of the call's section, with a frame: a handler may jump out of
 * it, and the thread be cancelled in it.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/sendfile.h>
#include <unistd.h>
#include "internal.h"
#include "real.h"
#include "sys.h"

static bool worth_it(const struct sl_sock *s)
{
	return s->calls >= s->call_next &&
	       (s->calls >= sl_env.promote_calls || s->bytes >= sl_env.promote_bytes);
}

static void consider(struct sl_sock *s, int fd)
{
	uint32_t state = atomic_load_explicit(&s->offer, memory_order_relaxed);

	/* If nobody takes it back at this moment. */
	if (state == SL_OFFER_OUT && sl_unlikely(sl_offer_stale(s)) &&
	    atomic_compare_exchange_strong(&s->offer, &state, SL_OFFER_NONE))
		state = SL_OFFER_NONE;
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
static bool undisturbed(const struct sl_sock *s)
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
	if (sl_likely(undisturbed(s))) {
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
	bool quiet = undisturbed(s);
	int how = quiet ? 0 : tx ? sl_tx_take(s) : sl_rx_take(s);

	if (!how && !quiet)
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

void sl_sock_native_done(struct sl_sock *s, bool tx, ssize_t n)
{
	/* None under way: it is another connection, of the same number. */
	if (tx ? s->tx_inflight : s->rx_inflight)
		native_end(s, tx, n);
}

ssize_t sl_real_recv(int fd, struct msghdr *m, int flags)
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

ssize_t sl_real_send(int fd, const struct msghdr *m, int flags)
{
	if (flags & SL_CALL_READ)
		return m->msg_iovlen == 1 ?
			       sl_real.write(fd, m->msg_iov->iov_base, m->msg_iov->iov_len) :
			       sl_real.writev(fd, m->msg_iov, (int)m->msg_iovlen);
	if (m->msg_iovlen == 1 && !m->msg_name && !m->msg_control)
		return sl_real.send(fd, m->msg_iov->iov_base, m->msg_iov->iov_len, flags);
	return sl_real.sendmsg(fd, m, flags);
}

/* A call in the kernel: what is to be taken back, with the call's reference, if it is left in the middle. */
struct native {
	struct sl_pause pause;
	struct sl_sock *s;
	bool tx;
};

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
	n = sl_keep_errno(sl_real.recv(fd, &byte, 1, MSG_PEEK), saved);
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

	c->s->uncounted = true; /* the kernel may have moved a part */
	native_end(c->s, c->tx, 0);
	sl_sock_put(c->s);
}

static ssize_t in_kernel(struct native *c, int fd, struct msghdr *m, int flags)
{
	int saved = errno;
	ssize_t n;

	sl_sect_pause(&c->pause, native_gone, c);
	n = sl_keep_errno(c->tx ? sl_real_send(fd, m, flags) : sl_real_recv(fd, m, flags), saved);
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

ssize_t sl_native_recv(struct sl_sock *s, int fd, struct msghdr *m, int flags)
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
	n = native_call(&c, sl_still_fd(s, fd), m, flags);
	native_end(s, false, flags & (MSG_PEEK | MSG_OOB) ? 0 : n);
	sl_sect_leave();
	if (n == 0 && !(flags & MSG_PEEK) && sl_iov_total(m))
		s->side->kfin = 1;
	return n;
}

ssize_t sl_native_send(struct sl_sock *s, int fd, const struct msghdr *m, int flags)
{
	struct native c = {.s = s, .tx = true};
	ssize_t n;

	sl_sect_enter();
	if (!native_begin(s, fd, true)) {
		sl_sect_leave();
		return -ERESTART;
	}
	n = native_call(&c, sl_still_fd(s, fd), (struct msghdr *)(uintptr_t)m, flags);
	/* First: when the call is over it may be attached, which looks at this. */
	s->native_full = n == -EAGAIN || (n > 0 && (size_t)n < sl_iov_total(m));
	s->full_seq += s->native_full;
	native_end(s, true, n);
	sl_sect_leave();
	return n;
}

static ssize_t real_move(const struct sl_move *v)
{
	return v->file ? sl_real.sendfile(v->out, v->in, v->pos, v->len) :
			 sl_real.splice(v->in, NULL, v->out, NULL, v->len, v->flags);
}

ssize_t sl_native_move(struct sl_sock *s, const struct sl_move *v, bool tx)
{
	struct native c = {.s = s, .tx = tx};
	int saved = errno;
	ssize_t n;

	sl_sect_enter();
	if (!native_begin(s, tx ? v->out : v->in, tx)) {
		sl_sect_leave();
		return -ERESTART;
	}
	pthread_cleanup_push(sl_frame_cancelled, NULL);
	sl_sect_pause(&c.pause, native_gone, &c);
	n = sl_keep_errno(real_move(v), saved);
	sl_sect_resume(&c.pause);
	pthread_cleanup_pop(0);
	if (tx && v->file) {
		s->native_full = n == -EAGAIN || (n > 0 && (size_t)n < v->len);
		s->full_seq += s->native_full;
	}
	native_end(s, tx, n);
	sl_sect_leave();
	return n;
}
