/* SPDX-License-Identifier: BSD-2-Clause */
/* ops.c - the steps: what each does to the end that it is taken on */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "conform.h"

#define PIECES 16

static __thread volatile sig_atomic_t pipes;

static void on_sigpipe(int sig)
{
	(void)sig;
	pipes++;
}

void sigpipe_catch(void)
{
	struct sigaction sa = {.sa_handler = on_sigpipe};

	sigaction(SIGPIPE, &sa, NULL);
}

int sigpipe_count(void)
{
	int n = pipes;

	pipes = 0;
	return n;
}

long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void pause_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

static void *buffer(size_t len)
{
	void *p = malloc(len ? len : 1);

	if (!p)
		abort();
	memset(p, 0xee, len);
	return p;
}

/* Cut [buf, len) into @n pieces; every second is cut to nothing where that is possible. */
static int cut(struct iovec *iov, void *buf, size_t len, long n)
{
	size_t each, at = 0;
	int i;

	if (n < 1)
		n = 1;
	if (n > PIECES)
		n = PIECES;
	each = len / (size_t)n;
	for (i = 0; i < n; i++) {
		iov[i].iov_base = (char *)buf + at;
		iov[i].iov_len = i == n - 1 ? len - at : i % 3 == 1 ? 0 : each;
		at += iov[i].iov_len;
	}
	return (int)n;
}

static void note(struct result *r, const char *text)
{
	size_t n = strlen(r->note);

	snprintf(r->note + n, sizeof(r->note) - n, " %s", text);
}

/* --- sending --- */

static void op_send(struct end *e, const struct step *s, struct result *r)
{
	struct iovec iov[PIECES];
	struct msghdr m = {.msg_iov = iov};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	size_t len = (size_t)s->x;
	char *buf = buffer(len);
	long n;

	pattern_fill(buf, len, e->dir, e->sent);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	switch (s->op) {
	case SEND:
		n = send(e->fd, buf, len, (int)s->y);
		break;
	case WRITE:
		n = write(e->fd, buf, len);
		break;
	case SENDTO:
		n = sendto(e->fd, buf, len, (int)s->y, (void *)&to, sizeof(to));
		break;
	case WRITEV:
		n = writev(e->fd, iov, cut(iov, buf, len, s->y));
		break;
	default:
		m.msg_iovlen = (size_t)cut(iov, buf, len, s->z);
		n = sendmsg(e->fd, &m, (int)s->y);
	}
	r->ret = n < 0 ? -errno : n;
	if (n > 0)
		e->sent += (uint64_t)n;
	free(buf);
}

static void op_sendmmsg(struct end *e, const struct step *s, struct result *r)
{
	size_t len = (size_t)s->x, count = (size_t)s->z, i;
	struct mmsghdr mm[PIECES] = {0};
	struct iovec iov[PIECES];
	char *buf = buffer(len * count);
	int n;

	pattern_fill(buf, len * count, e->dir, e->sent);
	for (i = 0; i < count; i++) {
		iov[i] = (struct iovec){buf + i * len, len};
		mm[i].msg_hdr.msg_iov = &iov[i];
		mm[i].msg_hdr.msg_iovlen = 1;
	}
	n = sendmmsg(e->fd, mm, (unsigned)count, (int)s->y);
	r->ret = n < 0 ? -errno : n;
	for (i = 0; n > 0 && i < (size_t)n; i++) {
		char text[24];

		e->sent += mm[i].msg_len;
		snprintf(text, sizeof(text), "%u", mm[i].msg_len);
		note(r, text);
	}
	free(buf);
}

static void op_sendall(struct end *e, const struct step *s, struct result *r)
{
	size_t len = (size_t)s->x, done = 0;
	char *buf = buffer(len);
	ssize_t n = 0;

	pattern_fill(buf, len, e->dir, e->sent);
	while (done < len) {
		n = send(e->fd, buf + done, len - done, 0);
		if (n < 0)
			break;
		done += (size_t)n;
	}
	r->ret = n < 0 ? -errno : (long)done;
	e->sent += done;
	free(buf);
}

static void op_fill(struct end *e, const struct step *s, struct result *r)
{
	size_t size = 65536; /* small pieces would be merged later, and make room */
	int full = 0, len = 128 << 10;
	char *buf = buffer(size);
	ssize_t n = 0;

	(void)s;
	/* Set by hand, the kernel does not make it larger behind our back. */
	setsockopt(e->fd, SOL_SOCKET, SO_SNDBUF, &len, sizeof(len));
	/* The kernel moves queued bytes on in the background: full is full after a pause, too. */
	while (full < 4) {
		pattern_fill(buf, size, e->dir, e->sent);
		n = send(e->fd, buf, size, MSG_DONTWAIT);
		if (n > 0) {
			e->sent += (uint64_t)n;
			e->filled += (uint64_t)n;
			full = 0;
			continue;
		}
		if (errno != EAGAIN)
			break;
		full++;
		pause_ms(10);
	}
	r->ret = n < 0 ? -errno : n;
	free(buf);
}

/* How much the steps FILL have sent: asked for by TAKEFILL of the other end. */
static void op_filled(struct end *e, const struct step *s, struct result *r)
{
	(void)s;
	r->ret = (long)e->filled;
	e->filled = 0;
}

/* --- receiving --- */

static void check(struct end *e, const void *buf, ssize_t n, long flags, struct result *r)
{
	r->ret = n < 0 ? -errno : n;
	if (n <= 0)
		return;
	if (!(flags & MSG_TRUNC) && !pattern_is(buf, (size_t)n, !e->dir, e->got))
		note(r, "BAD");
	if (!(flags & MSG_PEEK))
		e->got += (uint64_t)n;
}

static void op_recv(struct end *e, const struct step *s, struct result *r)
{
	struct sockaddr_storage from;
	socklen_t fromlen = sizeof(from);
	struct iovec iov[PIECES];
	size_t len = (size_t)s->x;
	char *buf = buffer(len), text[24];
	ssize_t n;
	int cnt;

	switch (s->op) {
	case RECV:
		n = recv(e->fd, buf, len, (int)s->y);
		break;
	case READ:
		n = read(e->fd, buf, len);
		break;
	case READV:
		cnt = cut(iov, buf, len, s->y);
		n = readv(e->fd, iov, cnt);
		break;
	default:
		n = recvfrom(e->fd, buf, len, (int)s->y, (void *)&from, &fromlen);
		if (n >= 0) {
			snprintf(text, sizeof(text), "fromlen %u", fromlen);
			note(r, text);
		}
	}
	check(e, buf, n, s->op == RECV || s->op == RECVFROM ? s->y : 0, r);
	free(buf);
}

static void op_recvmsg(struct end *e, const struct step *s, struct result *r)
{
	struct sockaddr_storage from;
	char control[64], text[80];
	struct iovec iov[PIECES];
	size_t len = (size_t)s->x;
	char *buf = buffer(len);
	struct msghdr m = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = iov,
		.msg_control = control,
		.msg_controllen = sizeof(control),
		.msg_flags = 0x1234,
	};
	ssize_t n;

	m.msg_iovlen = (size_t)cut(iov, buf, len, s->z);
	n = recvmsg(e->fd, &m, (int)s->y);
	check(e, buf, n, s->y, r);
	if (n >= 0) {
		snprintf(text, sizeof(text), "flags %x namelen %u controllen %zu", m.msg_flags,
			 m.msg_namelen, m.msg_controllen);
		note(r, text);
	}
	free(buf);
}

static void op_recvmmsg(struct end *e, const struct step *s, struct result *r)
{
	size_t len = (size_t)s->x, count = (size_t)s->z, i;
	struct mmsghdr mm[PIECES] = {0};
	struct iovec iov[PIECES];
	char *buf = buffer(len * count), text[24];
	int n;

	for (i = 0; i < count; i++) {
		iov[i] = (struct iovec){buf + i * len, len};
		mm[i].msg_hdr.msg_iov = &iov[i];
		mm[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(e->fd, mm, (unsigned)count, (int)s->y, NULL);
	r->ret = n < 0 ? -errno : n;
	for (i = 0; n > 0 && i < (size_t)n; i++) {
		snprintf(text, sizeof(text), "%u", mm[i].msg_len);
		note(r, text);
		if (!pattern_is(buf + i * len, mm[i].msg_len, !e->dir, e->got))
			note(r, "BAD");
		if (!(s->y & MSG_PEEK))
			e->got += mm[i].msg_len;
	}
	free(buf);
}

static void op_recvall(struct end *e, const struct step *s, struct result *r)
{
	size_t len = (size_t)s->x, done = 0;
	char *buf = buffer(65536);
	ssize_t n = 1;

	while (done < len) {
		size_t want = len - done < 65536 ? len - done : 65536;

		n = recv(e->fd, buf, want, 0);
		check(e, buf, n, 0, r);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	r->ret = n < 0 ? -errno : (long)done;
	free(buf);
}

static void op_drain(struct end *e, const struct step *s, struct result *r)
{
	char *buf = buffer(65536);
	ssize_t n;

	for (;;) {
		n = recv(e->fd, buf, 65536, s->op == DRAIN ? MSG_DONTWAIT : 0);
		check(e, buf, n, 0, r);
		if (n <= 0)
			break;
	}
	free(buf);
}

/* --- the end of it --- */

static void op_close(struct end *e, const struct step *s, struct result *r)
{
	int *fd = s->op == CLOSE ? &e->fd : &e->fd2;

	r->ret = close(*fd) < 0 ? -errno : 0;
	*fd = -1;
}

static void op_shut(struct end *e, const struct step *s, struct result *r)
{
	r->ret = shutdown(e->fd, (int)s->x) < 0 ? -errno : 0;
}

static void op_linger(struct end *e, const struct step *s, struct result *r)
{
	struct linger l = {s->x >= 0, s->x >= 0 ? (int)s->x : 0};

	r->ret = setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) < 0 ? -errno : 0;
}

/* --- readiness --- */

static void events_note(struct result *r, uint32_t ev)
{
	char buf[80];

	note(r, events_text(ev, buf));
}

static void op_poll(struct end *e, const struct step *s, struct result *r)
{
	struct timespec ts = {s->y / 1000, s->y % 1000 * 1000000};
	struct pollfd p = {.fd = e->fd, .events = (short)s->x};
	int n;

	if (s->op == POLL)
		n = poll(&p, 1, (int)s->y);
	else
		n = ppoll(&p, 1, &ts, NULL);
	r->ret = n < 0 ? -errno : n;
	if (n >= 0)
		events_note(r, (uint16_t)p.revents);
}

static void op_select(struct end *e, const struct step *s, struct result *r)
{
	struct timeval tv = {s->y / 1000, s->y % 1000 * 1000};
	struct timespec ts = {s->y / 1000, s->y % 1000 * 1000000};
	fd_set in, out, pri;
	uint32_t ev = 0;
	int n;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&pri);
	if (s->x & POLLIN)
		FD_SET(e->fd, &in);
	if (s->x & POLLOUT)
		FD_SET(e->fd, &out);
	if (s->x & POLLPRI)
		FD_SET(e->fd, &pri);
	if (s->op == SELECT)
		n = select(e->fd + 1, &in, &out, &pri, &tv);
	else
		n = pselect(e->fd + 1, &in, &out, &pri, &ts, NULL);
	r->ret = n < 0 ? -errno : n;
	if (n < 0)
		return;
	ev |= FD_ISSET(e->fd, &in) ? POLLIN : 0;
	ev |= FD_ISSET(e->fd, &out) ? POLLOUT : 0;
	ev |= FD_ISSET(e->fd, &pri) ? POLLPRI : 0;
	events_note(r, ev);
}

static int instance(struct end *e, long n)
{
	if (e->ep[n] < 0)
		e->ep[n] = epoll_create1(EPOLL_CLOEXEC);
	return e->ep[n];
}

static void op_epctl(struct end *e, const struct step *s, struct result *r)
{
	struct epoll_event ev = {.events = (uint32_t)s->x, .data.u64 = 0x1122334455667788u};
	int op = s->op == EPADD ? EPOLL_CTL_ADD : s->op == EPMOD ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

	r->ret = epoll_ctl(instance(e, s->y), op, e->fd, &ev) < 0 ? -errno : 0;
}

static void op_epwait(struct end *e, const struct step *s, struct result *r)
{
	struct epoll_event ev[8];
	int n, i;

	n = epoll_wait(instance(e, s->y), ev, 8, (int)s->x);
	r->ret = n < 0 ? -errno : n;
	for (i = 0; i < n; i++) {
		events_note(r, ev[i].events);
		if (ev[i].data.u64 != 0x1122334455667788u && ev[i].data.u64 != 99)
			note(r, "BAD data");
	}
}

static void op_epclose(struct end *e, const struct step *s, struct result *r)
{
	r->ret = close(e->ep[s->y]) < 0 ? -errno : 0;
	e->ep[s->y] = -1;
}

static void op_epnest(struct end *e, const struct step *s, struct result *r)
{
	struct epoll_event ev = {.events = (uint32_t)s->x, .data.u64 = 99};

	r->ret = epoll_ctl(instance(e, 3), EPOLL_CTL_ADD, instance(e, s->y), &ev) < 0 ? -errno : 0;
}

/* --- options --- */

static void op_nonblock(struct end *e, const struct step *s, struct result *r)
{
	int on = (int)s->x, fl;

	if (s->op == FIONBIO_) {
		r->ret = ioctl(e->fd, FIONBIO, &on) < 0 ? -errno : 0;
		return;
	}
	fl = fcntl(e->fd, F_GETFL);
	fl = on ? fl | O_NONBLOCK : fl & ~O_NONBLOCK;
	r->ret = fcntl(e->fd, F_SETFL, fl) < 0 ? -errno : 0;
}

static void op_sockopt(struct end *e, const struct step *s, struct result *r)
{
	socklen_t len = sizeof(int);
	int v = (int)s->z;
	char text[24];

	if (s->op == SETOPT) {
		r->ret = setsockopt(e->fd, (int)s->x, (int)s->y, &v, len) < 0 ? -errno : 0;
		return;
	}
	if (s->op == SOERROR)
		r->ret = getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &v, &len) < 0 ? -errno : -v;
	else
		r->ret = getsockopt(e->fd, (int)s->x, (int)s->y, &v, &len) < 0 ? -errno : v;
	snprintf(text, sizeof(text), "len %u", len);
	note(r, text);
}

static void op_timeo(struct end *e, const struct step *s, struct result *r)
{
	struct timeval tv = {s->x / 1000, s->x % 1000 * 1000};
	int name = s->op == RCVTIMEO ? SO_RCVTIMEO : SO_SNDTIMEO;

	r->ret = setsockopt(e->fd, SOL_SOCKET, name, &tv, sizeof(tv)) < 0 ? -errno : 0;
}

static void op_queue(struct end *e, const struct step *s, struct result *r)
{
	unsigned long req = s->op == UNREAD ? FIONREAD : s->op == OUTQ ? SIOCOUTQ : SIOCATMARK;
	int v = -1, i;

	for (i = 0; i < 200; i++) {
		r->ret = ioctl(e->fd, req, &v) < 0 ? -errno : v;
		if (r->ret < 0 || s->op == ATMARK || v == (int)s->x)
			return;
		pause_ms(5);
	}
}

static void op_dup(struct end *e, const struct step *s, struct result *r)
{
	int p[2];

	if (s->op == DUP) {
		e->fd2 = dup(e->fd);
	} else if (s->op == DUPC) {
		e->fd2 = fcntl(e->fd, F_DUPFD_CLOEXEC, 100);
	} else {
		if (pipe(p) < 0)
			abort();
		e->fd2 = dup3(e->fd, p[0], O_CLOEXEC);
		close(p[1]);
	}
	r->ret = e->fd2 < 0 ? -errno : 0;
}

static void op_swap(struct end *e, const struct step *s, struct result *r)
{
	int fd = e->fd;

	(void)s;
	e->fd = e->fd2;
	e->fd2 = fd;
	r->ret = 0;
}

static void op_sleep(struct end *e, const struct step *s, struct result *r)
{
	(void)e;
	pause_ms(s->x);
	r->ret = 0;
}

static void op_leave(struct end *e, const struct step *s, struct result *r)
{
	(void)e;
	(void)r;
	if (s->op == EXIT)
		exit(0);
	raise(SIGKILL);
}

static void (*const ops[OPS])(struct end *, const struct step *, struct result *) = {
	[SLEEP] = op_sleep,	  [SEND] = op_send,	  [WRITE] = op_send,
	[WRITEV] = op_send,	  [SENDTO] = op_send,	  [SENDMSG] = op_send,
	[SENDMMSG] = op_sendmmsg, [SENDALL] = op_sendall, [FILL] = op_fill,
	[RECV] = op_recv,	  [READ] = op_recv,	  [READV] = op_recv,
	[RECVFROM] = op_recv,	  [RECVMSG] = op_recvmsg, [RECVMMSG] = op_recvmmsg,
	[RECVALL] = op_recvall,	  [TAKEFILL] = op_filled, [DRAIN] = op_drain,
	[TOEND] = op_drain,	  [SHUT] = op_shut,	  [CLOSE] = op_close,
	[CLOSE2] = op_close,	  [LINGER] = op_linger,	  [EXIT] = op_leave,
	[KILL] = op_leave,	  [POLL] = op_poll,	  [PPOLL] = op_poll,
	[SELECT] = op_select,	  [PSELECT] = op_select,  [EPADD] = op_epctl,
	[EPMOD] = op_epctl,	  [EPDEL] = op_epctl,	  [EPWAIT] = op_epwait,
	[EPCLOSE] = op_epclose,	  [EPNEST] = op_epnest,	  [NONBLOCK] = op_nonblock,
	[FIONBIO_] = op_nonblock, [SETOPT] = op_sockopt,  [GETOPT] = op_sockopt,
	[SOERROR] = op_sockopt,	  [RCVTIMEO] = op_timeo,  [SNDTIMEO] = op_timeo,
	[UNREAD] = op_queue,	  [OUTQ] = op_queue,	  [ATMARK] = op_queue,
	[DUP] = op_dup,		  [DUPC] = op_dup,	  [DUP3] = op_dup,
	[SWAP] = op_swap,
};

void step_local(struct end *e, const struct step *s, struct result *r)
{
	memset(r, 0, sizeof(*r));
	if ((unsigned)s->op >= OPS || !ops[s->op])
		abort();
	(void)sigpipe_count();
	ops[s->op](e, s, r);
	r->sigpipe = sigpipe_count();
}
