// SPDX-License-Identifier: BSD-2-Clause
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

void die(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (err)
		fprintf(stderr, ": %s", strerror(err));
	fputc('\n', stderr);
	exit(1);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * SEC_NS + (uint64_t)ts.tv_nsec;
}

uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void sleep_ns(uint64_t ns)
{
	struct timespec ts = {(time_t)(ns / SEC_NS), (long)(ns % SEC_NS)};

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
}

void pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot run on CPU %d", cpu);
}

static void usage(const char *help) __attribute__((noreturn));

static void usage(const char *help)
{
	fputs(help, stderr);
	exit(2);
}

/* Digits, and one of k and M; false: nonsense. */
static int parse_size(const char *s, uint64_t *v)
{
	char *end;

	if (*s < '0' || *s > '9')
		return 0;
	*v = strtoull(s, &end, 10);
	if (*end == 'k' || *end == 'K')
		*v <<= 10;
	else if (*end == 'm' || *end == 'M')
		*v <<= 20;
	else
		return !*end;
	return !end[1];
}

static int parse_seconds(const char *s, uint64_t *ns)
{
	char *end;
	double v = strtod(s, &end);

	*ns = (uint64_t)(v * 1e9);
	return end != s && !*end && v >= 0 && v < 1e6;
}

static int parse_value(const struct bench_opt *o, const char *s)
{
	uint64_t v = 0;

	switch (o->kind) {
	case OPT_SIZE:
		return parse_size(s, o->to);
	case OPT_SECONDS:
		return parse_seconds(s, o->to);
	case OPT_USEC:
		if (!parse_size(s, &v))
			return 0;
		*(uint64_t *)o->to = v * USEC_NS;
		return 1;
	case OPT_CPU:
		if (!parse_size(s, &v) || v >= CPU_SETSIZE)
			return 0;
		*(int *)o->to = (int)v;
		return 1;
	case OPT_TEXT:
		*(const char **)o->to = s;
		return 1;
	case OPT_FLAG:
		break;
	}
	return 0;
}

static const struct bench_opt *find_option(const struct bench_opt *opts, const char *arg)
{
	for (; opts->name; opts++)
		if (!strcmp(opts->name, arg))
			return opts;
	return NULL;
}

int bench_options(int argc, char **argv, const struct bench_opt *opts, const char *help)
{
	int i, left = 0;

	for (i = 1; i < argc; i++) {
		const struct bench_opt *o;

		if (argv[i][0] != '-') {
			argv[++left] = argv[i];
			continue;
		}
		if (!strcmp(argv[i], "--help")) {
			fputs(help, stdout);
			exit(0);
		}
		o = strncmp(argv[i], "--", 2) ? NULL : find_option(opts, argv[i] + 2);
		if (o && o->kind == OPT_FLAG)
			*(int *)o->to = 1;
		else if (!o || ++i >= argc || !parse_value(o, argv[i]))
			usage(help);
	}
	return left;
}

int bench_main(int argc, char **argv, const struct bench_opt *opts, const char *help,
	       void (*server)(uint16_t port), void (*client)(uint16_t port))
{
	uint64_t port;

	if (bench_options(argc, argv, opts, help) != 2 || !parse_size(argv[2], &port) ||
	    port > 65535)
		usage(help);
	if (!strcmp(argv[1], "server"))
		server((uint16_t)port);
	else if (!strcmp(argv[1], "client"))
		client((uint16_t)port);
	else
		usage(help);
	return 0;
}

static const char *asked_cc = "";

/* Only the privileged may ask for any; but a route may also give it, once there is a peer. */
static void ask_congestion(int fd, const char *cc)
{
	if (!cc || !*cc)
		return;
	asked_cc = cc;
	(void)!setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cc, (socklen_t)strlen(cc));
}

static void check_congestion(int fd)
{
	static int told;

	if (*asked_cc && !told && strcmp(asked_cc, tcp_congestion(fd))) {
		told = 1;
		fprintf(stderr, "%s: congestion control stays %s, not %s\n",
			program_invocation_short_name, tcp_congestion(fd), asked_cc);
	}
}

const char *tcp_congestion(int fd)
{
	static char name[32];
	socklen_t len = sizeof(name) - 1;

	memset(name, 0, sizeof(name));
	if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len))
		strcpy(name, "unknown");
	return name;
}

static void set_nodelay(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		die("TCP_NODELAY");
}

void tcp_addr(struct sockaddr_in *sa, uint16_t port)
{
	memset(sa, 0, sizeof(*sa));
	sa->sin_family = AF_INET;
	sa->sin_port = htons(port);
	sa->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

int tcp_listen(uint16_t port, const char *cc)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	int on = 1, fd;

	tcp_addr(&sa, port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ask_congestion(fd, cc);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		die("cannot bind to port %u", port);
	if (listen(fd, 1024) || getsockname(fd, (struct sockaddr *)&sa, &len))
		die("listen");
	printf("{\"port\": %u}\n", ntohs(sa.sin_port));
	fflush(stdout);
	return fd;
}

int tcp_accept(int lfd)
{
	int fd;

	do
		fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		die("accept");
	check_congestion(fd);
	set_nodelay(fd);
	return fd;
}

int tcp_connect(uint16_t port, const char *cc)
{
	struct sockaddr_in sa;
	int fd;

	tcp_addr(&sa, port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	ask_congestion(fd, cc);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		die("cannot connect to port %u", port);
	check_congestion(fd);
	set_nodelay(fd);
	return fd;
}

void set_nonblock(int fd)
{
	int fl = fcntl(fd, F_GETFL);

	if (fl < 0 || fcntl(fd, F_SETFL, fl | O_NONBLOCK))
		die("O_NONBLOCK");
}

void send_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die("send");
		p += n;
		len -= (size_t)n;
	}
}

size_t recv_all(int fd, void *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = recv(fd, (char *)buf + got, len - got, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die("recv");
		if (!n)
			break;
		got += (size_t)n;
	}
	return got;
}
