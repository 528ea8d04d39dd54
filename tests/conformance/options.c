/* SPDX-License-Identifier: BSD-2-Clause */
/* options.c - socket options, ioctls and descriptor flags */
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "conform.h"

#define POLLALL (POLLIN | POLLOUT | POLLRDHUP | POLLPRI)

static void timed(struct pair *p, enum op op, long x, long y, long least)
{
	long t = now_ms();

	take(p, A, op, x, y, 0);
	t = now_ms() - t;
	rec("as long %d", t >= least && t < least + 700);
}

static void recv_timeout(struct pair *p)
{
	take(p, A, RCVTIMEO, 100, 0, 0);
	timed(p, RECV, 10, 0, 99);
	timed(p, READ, 10, 0, 99);
	timed(p, RECVMSG, 10, 0, 99);
	timed(p, RECV, 10, MSG_PEEK, 99);
	timed(p, RECV, 10, MSG_DONTWAIT, 0);
	take(p, B, SEND, 5, 0, 0);
	timed(p, RECV, 10, 0, 0);
	take(p, A, RCVTIMEO, 0, 0, 0);
	take(p, A_BG, RECV, 10, 0, 0);
	pause_ms(150);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, JOIN, 0, 0, 0);
}

static void send_timeout(struct pair *p)
{
	long n, t;

	take(p, A, SNDTIMEO, 100, 0, 0);
	take(p, A, FILL, 0, 0, 0);
	t = now_ms();
	n = do_step(p, A, SEND, 4 << 20, 0, 0).ret;
	t = now_ms() - t;
	rec("gives up %d, as long %d", n == -EAGAIN || (n > 0 && n < 4 << 20), t >= 99 && t < 900);
	take(p, A, FILL, 0, 0, 0);
	do_step(p, B, DRAIN, 0, 0, 0);
	pause_ms(20);
	do_step(p, B, DRAIN, 0, 0, 0);
	timed(p, SEND, 10, 0, 0);
}

/* A part went through before the time was over. */
static void send_timeout_partial(struct pair *p)
{
	long n;

	take(p, A, SNDTIMEO, 100, 0, 0);
	n = do_step(p, A, SEND, 16 << 20, 0, 0).ret;
	rec("part of it %d", n > 0 && n < 16 << 20);
	n = do_step(p, B, RECVALL, n, 0, 0).ret == n;
	rec("all there %ld", n);
}

static void names(struct pair *p)
{
	struct sockaddr_in a, b;
	socklen_t len = sizeof(a);
	struct stat st;
	int v;

	rec_sys("getsockname", getsockname(p->a.fd, (void *)&a, &len));
	rec("family %d len %u addr %x", a.sin_family, len, ntohl(a.sin_addr.s_addr));
	rec_sys("getpeername", getpeername(p->a.fd, (void *)&b, &len));
	rec("addr %x, another port %d", ntohl(b.sin_addr.s_addr), a.sin_port != b.sin_port);
	len = 3;
	rec_sys("short", getpeername(p->a.fd, (void *)&b, &len));
	rec("len %u", len);
	take(p, A, GETOPT, SOL_SOCKET, SO_TYPE, 0);
	take(p, A, GETOPT, SOL_SOCKET, SO_DOMAIN, 0);
	take(p, A, GETOPT, SOL_SOCKET, SO_PROTOCOL, 0);
	take(p, A, GETOPT, SOL_SOCKET, SO_ACCEPTCONN, 0);
	take(p, B, GETOPT, SOL_SOCKET, SO_ACCEPTCONN, 0);
	rec_sys("fstat", fstat(p->a.fd, &st));
	rec("socket %d", S_ISSOCK(st.st_mode));
	rec_sys("isatty", isatty(p->a.fd));
	v = fcntl(p->a.fd, F_GETFL);
	rec("flags %x", (unsigned)v);
	rec_sys("listen", listen(p->a.fd, 1));
	rec_sys("bind", bind(p->a.fd, (void *)&a, sizeof(a)));
	rec_sys("connect", connect(p->a.fd, (void *)&b, sizeof(b)));
	rec_sys("accept", accept(p->a.fd, NULL, NULL));
	take(p, A, SEND, 5, 0, 0);
	take(p, B, RECV, 5, 0, 0);
}

static void tcp_info_(struct pair *p)
{
	struct tcp_info ti;
	socklen_t len = sizeof(ti);

	rec_sys("TCP_INFO", getsockopt(p->a.fd, IPPROTO_TCP, TCP_INFO, &ti, &len));
	rec("state %d", ti.tcpi_state);
	take(p, B, SHUT, SHUT_WR, 0, 0);
	take(p, A, RECV, 1, 0, 0);
	len = sizeof(ti);
	rec_sys("TCP_INFO", getsockopt(p->a.fd, IPPROTO_TCP, TCP_INFO, &ti, &len));
	rec("state %d", ti.tcpi_state);
}

static void bad_options(struct pair *p)
{
	int v = 1;
	socklen_t len = sizeof(v);

	rec_sys("unknown level", setsockopt(p->a.fd, 9999, 1, &v, len));
	rec_sys("unknown name", setsockopt(p->a.fd, SOL_SOCKET, 9999, &v, len));
	rec_sys("short", setsockopt(p->a.fd, SOL_SOCKET, SO_RCVBUF, &v, 1));
	rec_sys("no value", setsockopt(p->a.fd, SOL_SOCKET, SO_RCVBUF, NULL, len));
	rec_sys("get unknown", getsockopt(p->a.fd, SOL_SOCKET, 9999, &v, &len));
	rec_sys("get without length", getsockopt(p->a.fd, SOL_SOCKET, SO_ERROR, &v, NULL));
	len = 1;
	rec_sys("get short", getsockopt(p->a.fd, SOL_SOCKET, SO_ERROR, &v, &len));
	rec("len %u", len);
	rec_sys("ioctl unknown", ioctl(p->a.fd, 0x12345, &v));
	rec_sys("F_GETOWN", fcntl(p->a.fd, F_GETOWN));
	rec_sys("F_GETPIPE_SZ", fcntl(p->a.fd, F_GETPIPE_SZ));
}

static long fill(int fd)
{
	static char buf[4096];
	long all = 0;
	ssize_t n;

	while ((n = send(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		all += n;
	return all;
}

static bool empty(int fd, long all)
{
	static char buf[4096];
	ssize_t n = 1;

	while (all > 0 && n > 0) {
		n = recv(fd, buf, sizeof(buf), 0);
		all -= n;
	}
	return all == 0;
}

/*
 * The writer's SO_SNDBUF and the reader's SO_RCVBUF say when a send finds no room. Set before the connection is made:
 * the window that TCP has given it does not take back. Accepted sockets have what their listener had.
 */
static void small_buffers(struct pair *p)
{
	int size = 4096, fd, peer, lfd, i;
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct pollfd out;
	uint16_t port;
	long n;

	(void)p;
	lfd = listen_on(&port);
	rec_sys("SO_SNDBUF", setsockopt(lfd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	peer = socket(AF_INET, SOCK_STREAM, 0);
	rec_sys("SO_RCVBUF", setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)));
	addr.sin_port = htons(port);
	rec_sys("connect", connect(peer, (void *)&addr, sizeof(addr)));
	fd = accept(lfd, NULL, NULL);
	out = (struct pollfd){.fd = fd, .events = POLLOUT};
	warm_fds(fd, peer);
	for (i = 0; i < 10; i++) {
		n = fill(fd);
		rec("some %d, not much %d", n > 4096, n <= 100000);
		/* Each lane has room of its own. */
		rec("full = %d; or, under chaos: 1", poll(&out, 1, 20));
		rec("all there %d", empty(peer, n));
		rec_sys("room", poll(&out, 1, 2000));
	}
	n = fill(peer);
	rec("much %d", n > 100000);
	rec("all there %d", empty(fd, n));
	close(fd);
	close(peer);
	close(lfd);
}

#define PAIR_GOES_ON                                                                               \
	{A, SEND, 10}, {B, RECV, 10}, {B, SEND, 20},                                               \
	{                                                                                          \
		A, RECV, 20                                                                        \
	}

const struct conform_case opt_cases[] = {
	{"receive timeout", ALL, NULL, recv_timeout},
	{"send timeout", ALL, NULL, send_timeout},
	{"send timeout, partial", ALL, NULL, send_timeout_partial},
	{"receive timeout, waitall", ALL,
	 STEPS({A, RCVTIMEO, 60}, {B, SEND, 5}, {A, RECV, 10, MSG_WAITALL},
	       {A, RECVMSG, 10, MSG_WAITALL, 1}),
	 0},
	{"receive timeout and poll", ALL,
	 STEPS({A, RCVTIMEO, 10}, {A, POLL, POLLIN, 50}, {B, SEND, 1}, {A, POLL, POLLIN, 1000}), 0},
	{"low water", ALL,
	 STEPS({A, SETOPT, SOL_SOCKET, SO_RCVLOWAT, 10}, {A, GETOPT, SOL_SOCKET, SO_RCVLOWAT},
	       {B, SEND, 5}, {A, UNREAD, 5}, {A, RECV, 100, MSG_DONTWAIT}, {A_BG, RECV, 100},
	       {A, SLEEP, 30}, {B, SEND, 5}, {A, SLEEP, 30}, {B, SEND, 5}, {A, JOIN},
	       {A, RECV, 100, MSG_DONTWAIT}),
	 0},
	{"low water, small reads", ALL,
	 STEPS({A, SETOPT, SOL_SOCKET, SO_RCVLOWAT, 10}, {B, SEND, 5}, {A, UNREAD, 5}, {A, RECV, 3},
	       {A, RECV, 2}, {B, SEND, 30}, {A, UNREAD, 30}, {A, RECV, 100}),
	 0},
	{"SO_ERROR of a good one", ALL, STEPS({A, SOERROR}, {B, SOERROR}), 0},
	{"SO_ERROR after reset", ALL,
	 STEPS({B, LINGER, 0}, {B, CLOSE}, {A, POLL, POLLIN, 1000}, {A, SOERROR}, {A, SOERROR},
	       {A, RECV, 1}),
	 0},
	{"SO_ERROR after a write to nobody", ALL,
	 STEPS({B, CLOSE}, {A, SLEEP, 20}, {A, SEND, 1}, {A, SLEEP, 20}, {A, SOERROR}, {A, SOERROR},
	       {A, RECV, 1}),
	 0},
	{"buffer sizes", ALL,
	 STEPS({A, SETOPT, SOL_SOCKET, SO_SNDBUF, 10000}, {A, GETOPT, SOL_SOCKET, SO_SNDBUF},
	       {A, SETOPT, SOL_SOCKET, SO_RCVBUF, 20000}, {A, GETOPT, SOL_SOCKET, SO_RCVBUF},
	       PAIR_GOES_ON, {A, FILL}, {B, TAKEFILL}, {B, FILL}, {A, TAKEFILL}),
	 0},
	{"small buffers", 0, NULL, small_buffers},
	{"no delay and cork", ALL,
	 STEPS({A, SETOPT, IPPROTO_TCP, TCP_NODELAY, 1}, {A, GETOPT, IPPROTO_TCP, TCP_NODELAY},
	       {A, SETOPT, IPPROTO_TCP, TCP_CORK, 1}, {A, SEND, 10},
	       {A, SETOPT, IPPROTO_TCP, TCP_CORK, 0}, {B, RECV, 10},
	       {A, GETOPT, IPPROTO_TCP, TCP_CORK}, PAIR_GOES_ON),
	 0},
	{"cork, and nothing follows", ALL,
	 STEPS({A, SETOPT, IPPROTO_TCP, TCP_CORK, 1}, {A, SEND, 10}, {B, RECV, 10}), 0},
	{"keepalive and others", ALL,
	 STEPS({A, SETOPT, SOL_SOCKET, SO_KEEPALIVE, 1}, {A, GETOPT, SOL_SOCKET, SO_KEEPALIVE},
	       {A, SETOPT, IPPROTO_TCP, TCP_KEEPIDLE, 5}, {A, SETOPT, IPPROTO_TCP, TCP_QUICKACK, 1},
	       {A, SETOPT, SOL_SOCKET, SO_PRIORITY, 3}, {A, SETOPT, SOL_SOCKET, SO_OOBINLINE, 1},
	       PAIR_GOES_ON),
	 0},
	{"user timeout", ALL,
	 STEPS({A, SETOPT, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000},
	       {A, GETOPT, IPPROTO_TCP, TCP_USER_TIMEOUT}, PAIR_GOES_ON),
	 0},
	{"timestamps", ALL,
	 STEPS({A, SETOPT, SOL_SOCKET, SO_TIMESTAMP, 1}, {A, GETOPT, SOL_SOCKET, SO_TIMESTAMP},
	       PAIR_GOES_ON, {B, SEND, 5}, {A, RECV, 10}),
	 0},
	{"timestamps, taken", ALL,
	 STEPS({A, SETOPT, SOL_SOCKET, SO_TIMESTAMP, 1}, PAIR_GOES_ON, {B, SEND, 9}, {A, RECVMSG, 4, 0, 1},
	       {A, RECVMSG, 9, 0, 1}, PAIR_GOES_ON, {B, SEND, 5}, {A, RECVMSG, 9, 0, 1}),
	 0},
	{"timestamps of the new kind, taken", ALL,
	 STEPS({A, SETOPT, SOL_SOCKET, SO_TIMESTAMPNS_NEW, 1}, PAIR_GOES_ON, {B, SEND, 9}, {A, RECVMSG, 4, 0, 1},
	       {A, RECVMSG, 9, 0, 1}, PAIR_GOES_ON),
	 0},
	{"timestamps, asked for late", ALL,
	 STEPS(PAIR_GOES_ON, {B, SEND, 9}, {A, RECVMSG, 4, 0, 1},
	       {A, SETOPT, SOL_SOCKET, SO_TIMESTAMP, 1}, {A, RECV, 9}, {B, SEND, 5}, {A, RECVMSG, 9, 0, 1}),
	 0},
	{"bytes that wait, told with each message", ALL,
	 STEPS({A, SETOPT, IPPROTO_TCP, TCP_INQ, 1}, PAIR_GOES_ON, {B, SEND, 9}, {A, UNREAD, 9},
	       {A, RECVMSG, 4, 0, 1}, {A, RECVMSG, 9, 0, 1}),
	 0},
	{"zerocopy", ALL,
	 STEPS({A, SETOPT, SOL_SOCKET, SO_ZEROCOPY, 1}, PAIR_GOES_ON, PAIR_GOES_ON), 0},
	{"peek offset", ALL,
	 STEPS({B, SEND, 20}, {A, UNREAD, 20}, {A, SETOPT, SOL_SOCKET, SO_PEEK_OFF, 0},
	       {A, RECV, 20}, PAIR_GOES_ON),
	 0},
	{"unread", ALL,
	 STEPS({A, UNREAD, 0}, {B, SEND, 10}, {A, UNREAD, 10}, {B, SEND, 20}, {A, UNREAD, 30},
	       {A, RECV, 4}, {A, UNREAD, 26}, {A, RECV, 100}, {A, UNREAD, 0}),
	 0},
	{"unread, much", ALL,
	 STEPS({B, SEND, 50000}, {A, UNREAD, 50000}, {A, RECVALL, 50000}, {A, UNREAD, 0}), 0},
	{"unread and FIN", ALL,
	 STEPS({B, SEND, 10}, {B, CLOSE}, {A, UNREAD, 10}, {A, RECV, 10}, {A, UNREAD, 0},
	       {A, RECV, 1}),
	 0},
	{"unread by peek and trunc", ALL,
	 STEPS({B, SEND, 10}, {A, UNREAD, 10}, {A, RECV, 5, MSG_PEEK}, {A, UNREAD, 10},
	       {A, RECV, 5, MSG_TRUNC}, {A, UNREAD, 5}),
	 0},
	{"unsent", ALL, STEPS({A, OUTQ, 0}, {A, SEND, 10}, {B, RECV, 10}, {A, OUTQ, 0}), 0},
	{"unsent, peer does not read", ALL, STEPS({A, SEND, 10}, {A, OUTQ, 0}, {B, RECV, 10}), 0},
	{"mark", ALL, STEPS({A, ATMARK}, {B, SEND, 1}, {A, ATMARK}), 0},
	{"nonblocking switched on and off", ALL,
	 STEPS({A, NONBLOCK, 1}, {A, RECV, 1}, {A, NONBLOCK, 0}, {A_BG, RECV, 10}, {A, SLEEP, 20},
	       {B, SEND, 5}, {A, JOIN}, {A, FIONBIO_, 1}, {A, RECV, 1}, {A, FIONBIO_, 0},
	       {A_BG, RECV, 10}, {A, SLEEP, 20}, {B, SEND, 5}, {A, JOIN}),
	 0},
	{"nonblocking send", ALL,
	 STEPS({A, NONBLOCK, 1}, {A, FILL}, {A, FILL}, {B, TAKEFILL}, {A, NONBLOCK, 0},
	       {A_BG, SENDALL, 3000000}, {B, RECVALL, 3000000}, {A, JOIN}),
	 0},
	{"urgent data", ALL,
	 STEPS({A, SEND, 3}, {A, SEND, 1, MSG_OOB}, {A, SEND, 3}, {B, POLL, POLLPRI, 1000},
	       {B, SLEEP, 20}, {B, RECV, 10}, {B, ATMARK}, {B, RECV, 1, MSG_OOB | MSG_TRUNC},
	       {B, RECV, 1, MSG_OOB | MSG_TRUNC}, {B, RECV, 10, MSG_TRUNC}, {B, ATMARK}),
	 0},
	{"urgent data, none there", ALL, STEPS({B, RECV, 1, MSG_OOB}, PAIR_GOES_ON), 0},
	{"names", ALL, NULL, names},
	{"TCP_INFO", ALL, NULL, tcp_info_},
	{"bad options", ALL, NULL, bad_options},
	{0},
};
