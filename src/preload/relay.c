/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay.c - the last resort before an exec: a process that goes on with a connection in the program's place
 *
 * How it works. A program without scilan is to get a connection with bytes unread in memory that the peer
 * cannot send again, because it has sent FIN or is gone. Then the program gets one end of another TCP connection over
 * loopback in its place, and a process forked from here, which has the library and the segment, copies between
 * the two: data, ends and resets. It ends with the connection.
 *
 * What the program can notice: getpeername() says a port of this host's loopback. Used only where no other
 * process holds the connection, which the relay would take the bytes from.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "preload.h"
#include "sys.h"

union addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static void loopback(int like, union addr *a)
{
	socklen_t len = sizeof(*a);
	sa_family_t family = AF_INET;

	if (getsockname(like, &a->sa, &len) == 0)
		family = a->sa.sa_family;
	memset(a, 0, sizeof(*a));
	a->sa.sa_family = family;
	if (family == AF_INET6)
		a->in6.sin6_addr = in6addr_loopback;
	else
		a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

/* Anybody may connect to a listener: is @x what we have connected? */
static bool same_end(int x, int connected)
{
	union addr a, b;
	socklen_t la = sizeof(a), lb = sizeof(b);

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	return getpeername(x, &a.sa, &la) == 0 && getsockname(connected, &b.sa, &lb) == 0 &&
	       la == lb && !memcmp(&a, &b, sizeof(a));
}

/* Two ends of a new TCP connection, neither of them tracked. */
static int tcp_pair(int like, int end[2])
{
	union addr a;
	socklen_t len = sizeof(a);
	int l, tries;

	loopback(like, &a);
	l = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	end[0] = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	end[1] = -1;
	if (l >= 0 && end[0] >= 0 && !bind(l, &a.sa, len) && !listen(l, 8) &&
	    !getsockname(l, &a.sa, &len) && !REAL(connect)(end[0], &a.sa, len)) {
		for (tries = 0; tries < 8 && end[1] < 0; tries++) {
			end[1] = REAL(accept4)(l, NULL, NULL, SOCK_CLOEXEC);
			if (end[1] >= 0 && !same_end(end[1], end[0])) {
				sl_sys_close(end[1]);
				end[1] = -1;
			}
		}
	}
	if (l >= 0)
		sl_sys_close(l);
	if (end[1] >= 0)
		return 0;
	if (end[0] >= 0)
		sl_sys_close(end[0]);
	return -1;
}

/* --- the relay --- */

struct half {
	int from, to;
	size_t at, len;
	bool ended;
	char buf[64 << 10];
};

static void abort_both(const struct half *h)
{
	struct linger l = {.l_onoff = 1};

	(void)setsockopt(h->from, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	(void)setsockopt(h->to, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

/* Return: false: the connection has been reset. */
static bool copy(struct half *h)
{
	ssize_t n;

	if (!h->len) {
		n = recv(h->from, h->buf, sizeof(h->buf), MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0) {
			h->ended = true;
			(void)shutdown(h->to, SHUT_WR);
			return true;
		}
		h->at = 0;
		h->len = (size_t)n;
	}
	n = send(h->to, h->buf + h->at, h->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	h->at += (size_t)n;
	h->len -= (size_t)n;
	return true;
}

static short wants(const struct half *h, int fd)
{
	if (h->ended)
		return 0;
	return (short)((fd == h->from && !h->len ? POLLIN : 0) | (fd == h->to && h->len ? POLLOUT : 0));
}

static void relay(int fd, int other)
{
	static struct half in, out;
	struct pollfd p[2] = {{.fd = fd}, {.fd = other}};
	int i;

	in.from = out.to = fd;
	in.to = out.from = other;
	while (!in.ended || !out.ended) {
		for (i = 0; i < 2; i++)
			p[i].events = (short)(wants(&in, p[i].fd) | wants(&out, p[i].fd));
		(void)poll(p, 2, -1);
		if ((!in.ended && !copy(&in)) || (!out.ended && !copy(&out))) {
			abort_both(&in);
			break;
		}
	}
}

/* Nothing of the program's may live on in us but this connection. */
static void close_others(int fd, int other)
{
	int a = fd < other ? fd : other, b = fd < other ? other : fd;

	if (a > 0)
		(void)close_range(0, (unsigned)a - 1, 0);
	if (b > a + 1)
		(void)close_range((unsigned)a + 1, (unsigned)b - 1, 0);
	(void)close_range((unsigned)b + 1, ~0u, 0);
}

static void be_relay(int fd, int other)
{
	sigset_t all;

	sigfillset(&all);
	sigdelset(&all, SIGTERM);
	(void)signal(SIGTERM, SIG_DFL);
	(void)pthread_sigmask(SIG_SETMASK, &all, NULL);
	(void)setsid();
	(void)!chdir("/");
	(void)prctl(PR_SET_NAME, "scilan-relay");
	close_others(fd, other);
	relay(fd, other);
	(void)close(fd);
	_exit(0);
}

/*
 * Forked twice, so that the program gets no child that it does not know of; the first has no signal to send when
 * it ends.
 */
int sl_relay_start(int fd)
{
	int end[2], status = -1;
	long pid;

	if (tcp_pair(fd, end) < 0)
		return -1;
	sl_fork_closes_all = true;
	pid = syscall(SYS_clone, 0, 0, 0, 0, 0);
	sl_fork_closes_all = false;
	if (pid == 0) {
		pid = _Fork();
		if (pid == 0) {
			sl_sys_close(end[0]);
			be_relay(fd, end[1]);
		}
		_exit(pid < 0);
	}
	sl_sys_close(end[1]);
	if (pid > 0)
		while (waitpid((pid_t)pid, &status, __WALL) < 0 && errno == EINTR)
			;
	if (status == 0)
		return end[0];
	sl_sys_close(end[0]);
	return -1;
}
