/* SPDX-License-Identifier: BSD-2-Clause */
/* conn.c - connections come and go: connect, accept, shutdown */
#include <netinet/in.h>
#include "preload.h"
#include "scan.h"
#include "sys.h"

enum sl_reason sl_refuse_all;

/*
 * Listeners that are known to give TCP connections, a bit each: a system call less for every accept. One that is
 * closed behind our back leaves its bit: a connection of the next listener of that number may be tracked that is
 * not TCP, and the broker refuses it.
 */
static _Atomic uint64_t tcp_listeners[SL_FD_MAX / 64];
static unsigned listener_words; /* used so far */

static SL_SHORT void track(int fd, bool connecting)
{
	struct sl_sock *s;

	sl_sock_track(fd, connecting);
	if (sl_likely(sl_refuse_all == SL_WHY_NONE))
		return;
	s = sl_sock_get(fd);
	if (s) {
		sl_sock_refuse(s, fd, sl_refuse_all);
		sl_sock_put(s);
	}
}

static SL_SHORT bool is_tcp(int fd)
{
	socklen_t len = sizeof(int);
	int proto;

	return !sl_sys_getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &proto, &len) &&
	       proto == IPPROTO_TCP;
}

SL_SHORT void sl_conn_closing(int fd)
{
	uint64_t bit = 1ull << (fd & 63);

	if ((unsigned)fd < SL_FD_MAX && sl_unlikely(atomic_load(&tcp_listeners[fd / 64]) & bit))
		atomic_fetch_and(&tcp_listeners[fd / 64], ~bit);
}

SL_SHORT void sl_conn_track(int fd, bool connecting)
{
	if (is_tcp(fd))
		track(fd, connecting);
	else
		sl_sock_untrack(fd); /* the number of one that was closed behind our back */
}

void sl_conn_closing_range(unsigned first, unsigned last)
{
	unsigned i;

	for (i = first / 64; i < listener_words && i <= last / 64; i++)
		atomic_store(&tcp_listeners[i], 0); /* forgetting costs a system call later */
}

static void note_listener(unsigned word, uint64_t bit)
{
	if (listener_words <= word)
		listener_words = word + 1;
	atomic_fetch_or(&tcp_listeners[word], bit);
}

static SL_SHORT void track_accepted(int fd, int listener)
{
	uint64_t bit = 1ull << (listener & 63);

	if ((unsigned)listener < SL_FD_MAX && atomic_load(&tcp_listeners[listener / 64]) & bit) {
		track(fd, false);
		return;
	}
	sl_conn_track(fd, false);
	if ((unsigned)listener < SL_FD_MAX && sl_fdtab_load(fd))
		note_listener((unsigned)listener / 64, bit);
}

void sl_conn_refuse_all(enum sl_reason why)
{
	sl_refuse_all = why;
	sl_sock_bypass_all(why);
}

void sl_conn_sandbox(void)
{
	int err = errno;

	if (sl_live && !sl_foreign() && sl_refuse_all != SL_WHY_SECCOMP) {
		sl_conn_refuse_all(SL_WHY_SECCOMP);
		sl_sock_alone();
	}
	errno = err;
}

/* In a sandbox new connections are the kernel's alone: looking at them would take calls that may be forbidden. */
static bool may_track(void)
{
	return sl_live && sl_refuse_all != SL_WHY_SECCOMP;
}

void sl_conn_received(int fd, pid_t sender)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (!may_track())
		return;
	if (!is_tcp(fd) || getpeername(fd, (struct sockaddr *)&peer, &len)) {
		sl_sock_untrack(fd);
		return;
	}
	track(fd, false);
	sl_sock_received(fd, sender);
	sl_sock_connected(fd);
}

static bool asked; /* something has been offered: from now on new libraries are looked at when they come */

enum sl_reason sl_conn_unfit(void)
{
	enum sl_reason why;

	asked = true;
	if (sl_refuse_all != SL_WHY_NONE)
		return sl_refuse_all;
	why = sl_scan_process();
	if (why != SL_WHY_NONE)
		sl_conn_refuse_all(why);
	return why;
}

void sl_conn_loaded(void)
{
	int err = errno;

	if (asked && !sl_foreign())
		(void)sl_conn_unfit();
	errno = err;
}

static bool definite(int err)
{
	switch (err) {
	case ECONNREFUSED:
	case ECONNRESET:
	case ECONNABORTED:
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return true;
	default:
		return false;
	}
}

/* A second connect() says once 0, too: a socket that is under way or promoted is left alone. */
static SL_SHORT bool under_way(int fd)
{
	struct sl_sock *s;
	bool yes;

	if (sl_young_is(fd))
		return sl_youngs[fd].flags & SL_YOUNG_CONNECTING;
	s = sl_sock_get(fd);
	if (!s)
		return false;
	yes = s->connecting || sl_sock_attached(s);
	sl_sock_put(s);
	return yes;
}

/* What a connect() means, from its error (0: success). EALREADY and EISCONN mean nothing. */
static SL_SHORT void connected(int fd, const struct sockaddr *addr, int err)
{
	if (addr->sa_family == AF_UNSPEC) {
		if (!err)
			sl_sock_untrack(fd);
		return;
	}
	if (addr->sa_family != AF_INET && addr->sa_family != AF_INET6)
		return;
	if (err == EINPROGRESS)
		track(fd, true); /* a stream, then; the broker tells other kinds than TCP */
	else if ((!err || err == EINTR) && !under_way(fd)) {
		sl_conn_track(fd, err == EINTR);
		if (!err)
			sl_sock_connected(fd);
	} else if (definite(err))
		sl_sock_untrack(fd);
}

static void disconnecting(int fd)
{
	struct sl_sock *s = sl_get(fd);

	if (!s)
		return;
	sl_sock_abort(s, fd);
	sl_sock_put(s);
}

SL_EXPORT SL_SHORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int rc, err;

	if (addr && len >= sizeof(addr->sa_family) && addr->sa_family == AF_UNSPEC)
		disconnecting(fd);
	rc = REAL(connect)(fd, addr, len);
	err = errno;
	if (may_track() && addr && len >= sizeof(addr->sa_family))
		connected(fd, addr, rc ? err : 0);
	errno = err;
	return rc;
}
SL_ALIAS(__connect, connect);

static int accepted(int fd, int listener)
{
	if (fd < 0 || !may_track())
		return fd;
	track_accepted(fd, listener);
	sl_sock_connected(fd);
	return fd;
}

SL_EXPORT SL_SHORT int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	return accepted(REAL(accept)(fd, addr, len), fd);
}

SL_EXPORT SL_SHORT int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	return accepted(REAL(accept4)(fd, addr, len, flags), fd);
}

SL_EXPORT int shutdown(int fd, int how)
{
	struct sl_sock *s = sl_get(fd);
	int rc;

	if (!s)
		return REAL(shutdown)(fd, how);
	rc = sl_sock_shutdown(s, fd, how);
	sl_sock_put(s);
	return (int)sl_ret(rc);
}
