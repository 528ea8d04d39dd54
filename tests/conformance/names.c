/* SPDX-License-Identifier: BSD-2-Clause */
/* names.c - how connections come to be: addresses, non-blocking connect, backlogs */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "conform.h"

static struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sin;
}

/* Both ways, then FIN and its answer. */
static void use(int x, int y)
{
	char buf[64] = {0};
	ssize_t n;

	warm_fds(x, y);
	rec_sys("send", send(x, "hello", 5, 0));
	rec_sys("recv", n = recv(y, buf, sizeof(buf), 0));
	rec("%s", n == 5 ? buf : "?");
	rec_sys("send", send(y, "world!", 6, 0));
	rec_sys("recv", recv(x, buf, sizeof(buf), 0));
	rec_sys("shutdown", shutdown(x, SHUT_WR));
	rec_sys("recv", recv(y, buf, sizeof(buf), 0));
	rec_sys("close", close(y));
	rec_sys("recv", recv(x, buf, sizeof(buf), 0));
	rec_sys("close", close(x));
}

static void plain(struct pair *p)
{
	int fd[2];

	(void)p;
	pair_fds(fd);
	use(fd[0], fd[1]);
}

static void bound_client(struct pair *p)
{
	struct sockaddr_in to, me = loopback(0);
	int l, x, y;
	uint16_t port;

	(void)p;
	l = listen_on(&port);
	to = loopback(port);
	x = socket(AF_INET, SOCK_STREAM, 0);
	rec_sys("bind", bind(x, (void *)&me, sizeof(me)));
	rec_sys("connect", connect(x, (void *)&to, sizeof(to)));
	y = accept(l, NULL, NULL);
	use(x, y);
}

/* Loopback is a whole network. */
static void other_loopback(struct pair *p)
{
	struct sockaddr_in to, me = loopback(0);
	int l, x, y;
	uint16_t port;

	(void)p;
	l = listen_on(&port);
	to = loopback(port);
	me.sin_addr.s_addr = htonl(0x7f010203);
	x = socket(AF_INET, SOCK_STREAM, 0);
	rec_sys("bind", bind(x, (void *)&me, sizeof(me)));
	rec_sys("connect", connect(x, (void *)&to, sizeof(to)));
	y = accept(l, NULL, NULL);
	use(x, y);
}

static int listen6(struct sockaddr_in6 *sin6, bool only)
{
	socklen_t len = sizeof(*sin6);
	int fd = socket(AF_INET6, SOCK_STREAM, 0), v = only;

	memset(sin6, 0, sizeof(*sin6));
	sin6->sin6_family = AF_INET6;
	if (only)
		sin6->sin6_addr = in6addr_loopback;
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v, sizeof(v));
	if (bind(fd, (void *)sin6, sizeof(*sin6)) || listen(fd, 5) ||
	    getsockname(fd, (void *)sin6, &len)) {
		rec("no IPv6 here: %s", strerrorname_np(errno));
		return -1;
	}
	return fd;
}

static void ipv6(struct pair *p)
{
	struct sockaddr_in6 to;
	int l = listen6(&to, true), x;

	(void)p;
	if (l < 0)
		return;
	x = socket(AF_INET6, SOCK_STREAM, 0);
	rec_sys("connect", connect(x, (void *)&to, sizeof(to)));
	use(x, accept(l, NULL, NULL));
}

static void mapped(struct pair *p)
{
	struct sockaddr_in6 any, from;
	struct sockaddr_in to;
	socklen_t len = sizeof(from);
	int l = listen6(&any, false), x, y;

	(void)p;
	if (l < 0)
		return;
	to = loopback(ntohs(any.sin6_port));
	x = socket(AF_INET, SOCK_STREAM, 0);
	rec_sys("connect", connect(x, (void *)&to, sizeof(to)));
	y = accept(l, (void *)&from, &len);
	rec("from %d len %u mapped %d", from.sin6_family, len,
	    IN6_IS_ADDR_V4MAPPED(&from.sin6_addr));
	use(x, y);
}

static void to_self(struct pair *p)
{
	struct sockaddr_in me = loopback(0);
	socklen_t len = sizeof(me);
	char buf[20];
	int x = socket(AF_INET, SOCK_STREAM, 0), i;

	(void)p;
	bind(x, (void *)&me, sizeof(me));
	getsockname(x, (void *)&me, &len);
	rec_sys("connect to itself", connect(x, (void *)&me, sizeof(me)));
	for (i = 0; i < 20; i++) {
		if (send(x, "12345", 5, 0) != 5 || recv(x, buf, 20, 0) != 5)
			rec("%d went wrong", i);
		pause_ms(1);
	}
	rec_sys("send", send(x, "12345", 5, 0));
	rec_sys("recv", recv(x, buf, 20, 0));
	rec_sys("recv", recv(x, buf, 20, MSG_DONTWAIT));
	rec_sys("shutdown", shutdown(x, SHUT_WR));
	rec_sys("recv", recv(x, buf, 20, 0));
}

/* Two clients that connect to each other: neither of them listens. */
static void simultaneous(struct pair *p)
{
	struct sockaddr_in a = loopback(0), b = loopback(0);
	socklen_t len = sizeof(a);
	int x = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), i;
	int y = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)p;
	bind(x, (void *)&a, sizeof(a));
	bind(y, (void *)&b, sizeof(b));
	getsockname(x, (void *)&a, &len);
	getsockname(y, (void *)&b, &len);
	/* Refused, unless both are under way at once: on one machine they hardly are. */
	rec_sys("connect", connect(x, (void *)&b, sizeof(b)));
	for (i = 0; i < 2; i++) {
		rec_sys("connect", connect(x, (void *)&b, sizeof(b)));
		pause_ms(5);
	}
	close(x);
	close(y);
}

static void nonblocking(struct pair *p)
{
	struct sockaddr_in to;
	struct pollfd f = {.events = POLLOUT};
	int l, x, y, v = -1;
	socklen_t len = sizeof(v);
	uint16_t port;

	(void)p;
	l = listen_on(&port);
	to = loopback(port);
	x = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	rec_sys("connect", connect(x, (void *)&to, sizeof(to)));
	f.fd = x;
	rec_sys("poll", poll(&f, 1, 1000));
	rec("revents %x", (unsigned)f.revents);
	rec_sys("SO_ERROR", getsockopt(x, SOL_SOCKET, SO_ERROR, &v, &len));
	rec("error %d", v);
	rec_sys("connect again", connect(x, (void *)&to, sizeof(to)));
	rec_sys("and again", connect(x, (void *)&to, sizeof(to)));
	y = accept(l, NULL, NULL);
	rec_sys("recv", recv(x, &v, 1, 0));
	fcntl(x, F_SETFL, 0);
	use(x, y);
}

static void nonblocking_refused(struct pair *p)
{
	struct sockaddr_in to;
	struct pollfd f = {.events = POLLOUT | POLLIN};
	int x, v = -1;
	socklen_t len = sizeof(v);
	uint16_t port;

	(void)p;
	close(listen_on(&port));
	to = loopback(port);
	x = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	rec_sys("connect", connect(x, (void *)&to, sizeof(to)));
	f.fd = x;
	rec_sys("poll", poll(&f, 1, 1000));
	rec("revents %x", (unsigned)f.revents);
	rec_sys("SO_ERROR", getsockopt(x, SOL_SOCKET, SO_ERROR, &v, &len));
	rec("error %s", strerrorname_np(v));
	rec_sys("send", send(x, "x", 1, MSG_NOSIGNAL));
	rec_sys("recv", recv(x, &v, 1, 0));
	rec_sys("close", close(x));
}

static void refused(struct pair *p)
{
	struct sockaddr_in to;
	uint16_t port;
	char c;
	int x;

	(void)p;
	close(listen_on(&port));
	to = loopback(port);
	x = socket(AF_INET, SOCK_STREAM, 0);
	rec_sys("connect", connect(x, (void *)&to, sizeof(to)));
	rec_sys("send", send(x, "x", 1, MSG_NOSIGNAL));
	rec_sys("recv", recv(x, &c, 1, 0));
	rec_sys("getpeername", getpeername(x, (void *)&to, &(socklen_t){sizeof(to)}));
	rec_sys("close", close(x));
}

static void not_connected(struct pair *p)
{
	int x = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd f = {.fd = x, .events = POLLIN | POLLOUT | POLLRDHUP};
	struct sockaddr_in to;
	uint16_t port;
	char c;
	int l;

	(void)p;
	rec_sys("send", send(x, "x", 1, 0));
	rec("SIGPIPE %d", sigpipe_count());
	rec_sys("recv", recv(x, &c, 1, 0));
	rec_sys("poll", poll(&f, 1, 0));
	rec("revents %x", (unsigned)f.revents);
	l = listen_on(&port);
	to = loopback(port);
	rec_sys("connect", connect(x, (void *)&to, sizeof(to)));
	use(x, accept(l, NULL, NULL));
}

/* The kernel says ENOTCONN, but remembers it. */
static void shut_before_connect(struct pair *p)
{
	int x = socket(AF_INET, SOCK_STREAM, 0), i;
	struct sockaddr_in to;
	uint16_t port;

	(void)p;
	rec_sys("shutdown", shutdown(x, SHUT_WR));
	(void)listen_on(&port);
	to = loopback(port);
	rec_sys("connect", connect(x, (void *)&to, sizeof(to)));
	for (i = 0; i < 3; i++)
		rec_sys("send", send(x, "x", 1, MSG_NOSIGNAL));
}

/* Disconnected by AF_UNSPEC, and used for another connection. */
static void connected_again(struct pair *p)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_in to;
	uint16_t port;
	int l, x, y;
	char c;

	(void)p;
	l = listen_on(&port);
	to = loopback(port);
	x = socket(AF_INET, SOCK_STREAM, 0);
	rec_sys("connect", connect(x, (void *)&to, sizeof(to)));
	y = accept(l, NULL, NULL);
	warm_fds(x, y);
	rec_sys("disconnect", connect(x, &none, sizeof(none)));
	rec_sys("recv", recv(y, &c, 1, 0));
	rec_sys("send", send(x, "x", 1, MSG_NOSIGNAL));
	rec_sys("connect", connect(x, (void *)&to, sizeof(to)));
	close(y);
	use(x, accept(l, NULL, NULL));
}

static void accept_flags(struct pair *p)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	uint16_t port;
	int l = listen_on(&port), x, y;

	(void)p;
	x = connect_to_port(port);
	memset(&from, 0xee, sizeof(from));
	y = accept4(l, (void *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	rec("family %d len %u", from.ss_family, len);
	rec_sys("F_GETFD", fcntl(y, F_GETFD));
	rec_sys("F_GETFL", fcntl(y, F_GETFL));
	rec_sys("recv", recv(y, &port, 1, 0));
	fcntl(y, F_SETFL, 0);
	use(x, y);
	len = 4;
	x = connect_to_port(port);
	memset(&from, 0xee, sizeof(from));
	y = accept(l, (void *)&from, &len);
	rec("short: len %u", len);
	fcntl(l, F_SETFL, O_NONBLOCK);
	rec_sys("accept, none there", accept(l, NULL, NULL));
	rec_sys("accept, wrong flags", accept4(l, NULL, NULL, 0x77));
	rec_sys("accept on a connection", accept(x, NULL, NULL));
	close(x);
	close(y);
}

/* The client has sent, and has gone, before it is accepted. */
static void gone_before_accept(struct pair *p)
{
	char buf[20];
	uint16_t port;
	int l = listen_on(&port), x = connect_to_port(port), y;

	(void)p;
	rec_sys("send", send(x, "hello", 5, 0));
	rec_sys("close", close(x));
	pause_ms(20);
	y = accept(l, NULL, NULL);
	rec_sys("recv", recv(y, buf, 20, 0));
	rec_sys("recv", recv(y, buf, 20, 0));
	rec_sys("send", send(y, "x", 1, MSG_NOSIGNAL));
}

/* Before accept, much is under way: it waits in the kernel until the far end is promoted. */
static void much_before_accept(struct pair *p)
{
	static char out[30000], in[30000];
	size_t done = 0;
	uint16_t port;
	int l = listen_on(&port), x = connect_to_port(port), y, i;

	(void)p;
	pattern_fill(out, sizeof(out), 0, 0);
	for (i = 0; i < 30; i++)
		if (send(x, out + 1000 * i, 1000, 0) != 1000)
			rec("send went wrong");
	y = accept(l, NULL, NULL);
	while (done < sizeof(in)) {
		ssize_t n = recv(y, in + done, 700, 0);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	rec("%zu bytes, %s", done, pattern_is(in, done, 0, 0) ? "right" : "wrong");
	use(x, y);
}

static void listener_closed(struct pair *p)
{
	uint16_t port;
	int l = listen_on(&port), x = connect_to_port(port);
	char c;

	(void)p;
	rec_sys("send", send(x, "hello", 5, 0));
	rec_sys("close", close(l));
	pause_ms(20);
	rec_sys("recv", recv(x, &c, 1, 0));
	rec_sys("recv", recv(x, &c, 1, 0));
	rec_sys("send", send(x, "x", 1, MSG_NOSIGNAL));
}

static void reuseport(struct pair *p)
{
	struct sockaddr_in at = loopback(0), to;
	socklen_t len = sizeof(at);
	int l[2], v = 1, i, n = 0, x, y;
	struct pollfd f[2];

	(void)p;
	for (i = 0; i < 2; i++) {
		l[i] = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(l[i], SOL_SOCKET, SO_REUSEPORT, &v, sizeof(v));
		rec_sys("bind", bind(l[i], (void *)&at, sizeof(at)));
		rec_sys("listen", listen(l[i], 5));
		getsockname(l[i], (void *)&at, &len);
		f[i] = (struct pollfd){.fd = l[i], .events = POLLIN};
	}
	to = at;
	for (i = 0; i < 4; i++) {
		x = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(x, (void *)&to, sizeof(to)) || poll(f, 2, 1000) != 1)
			rec("went wrong");
		y = accept(f[f[0].revents ? 0 : 1].fd, NULL, NULL);
		warm_fds(x, y);
		n += send(x, "x", 1, 0) == 1 && recv(y, &v, 4, 0) == 1;
		close(x);
		close(y);
	}
	rec("%d of 4", n);
}

static void short_ones(struct pair *p)
{
	int i, good = 0, fd[2];
	char buf[8];

	(void)p;
	for (i = 0; i < 100; i++) {
		pair_fds(fd);
		good += send(fd[0], "ping", 4, 0) == 4 && recv(fd[1], buf, 8, 0) == 4 &&
			send(fd[1], "pong", 4, 0) == 4 && recv(fd[0], buf, 8, 0) == 4;
		close(fd[i % 2]);
		good += recv(fd[1 - i % 2], buf, 8, 0) == 0;
		close(fd[1 - i % 2]);
	}
	rec("%d of 200", good);
}

/* Epoll registered before connect, as most event loops do it. */
static void epoll_connect(struct pair *p)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u64 = 1}, got;
	struct sockaddr_in to;
	int l, x, y, ep = epoll_create1(0);
	uint16_t port;
	char c;

	(void)p;
	l = listen_on(&port);
	to = loopback(port);
	x = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	rec_sys("connect", connect(x, (void *)&to, sizeof(to)));
	rec_sys("add", epoll_ctl(ep, EPOLL_CTL_ADD, x, &ev));
	rec_sys("wait", epoll_wait(ep, &got, 1, 1000));
	rec("events %x", got.events);
	y = accept(l, NULL, NULL);
	rec_sys("wait", epoll_wait(ep, &got, 1, 20));
	warm_fds(x, y);
	(void)epoll_wait(ep, &got, 1, 20);
	(void)epoll_wait(ep, &got, 1, 20);
	rec_sys("send", send(y, "hi", 2, 0));
	rec_sys("wait", epoll_wait(ep, &got, 1, 1000));
	rec("events %x", got.events);
	rec_sys("recv", recv(x, &c, 1, 0));
	rec_sys("wait", epoll_wait(ep, &got, 1, 20));
	rec_sys("recv", recv(x, &c, 1, 0));
	rec_sys("recv", recv(x, &c, 1, 0));
}

static void many(struct pair *p)
{
	int fd[40][2], i, good = 0;
	char buf[8];

	(void)p;
	for (i = 0; i < 40; i++)
		pair_fds(fd[i]);
	for (i = 0; i < 40; i++)
		warm_fds(fd[i][0], fd[i][1]);
	for (i = 0; i < 40; i++)
		good += send(fd[i][0], "abcdefgh", (size_t)(1 + i % 8), 0) == 1 + i % 8;
	for (i = 39; i >= 0; i--)
		good += recv(fd[i][1], buf, 8, 0) == 1 + i % 8 && buf[i % 8] == 'a' + i % 8;
	rec("%d of 80", good);
}

const struct conform_case name_cases[] = {
	{"plain", 0, NULL, plain},
	{"bound client", 0, NULL, bound_client},
	{"another loopback address", 0, NULL, other_loopback},
	{"IPv6", 0, NULL, ipv6},
	{"mapped", 0, NULL, mapped},
	{"to itself", 0, NULL, to_self},
	{"to each other", 0, NULL, simultaneous},
	{"non-blocking connect", 0, NULL, nonblocking},
	{"non-blocking connect refused", 0, NULL, nonblocking_refused},
	{"refused", 0, NULL, refused},
	{"not connected", 0, NULL, not_connected},
	{"shut before connect", 0, NULL, shut_before_connect},
	{"connected again", 0, NULL, connected_again},
	{"accept and its flags", 0, NULL, accept_flags},
	{"gone before accept", 0, NULL, gone_before_accept},
	{"much before accept", 0, NULL, much_before_accept},
	{"listener closed", 0, NULL, listener_closed},
	{"several listeners at one port", 0, NULL, reuseport},
	{"short ones", 0, NULL, short_ones},
	{"many", 0, NULL, many},
	{"epoll before connect", 0, NULL, epoll_connect},
	{0},
};
