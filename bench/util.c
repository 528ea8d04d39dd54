// SPDX-License-Identifier: BSD-2-Clause
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

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
	       void (*server)(const char *address), void (*client)(const char *address))
{
	if (bench_options(argc, argv, opts, help) != 2)
		usage(help);
	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(argv[1], "server") && server)
		server(argv[2]);
	else if (!strcmp(argv[1], "client"))
		client(argv[2]);
	else
		usage(help);
	return 0;
}

void hold(int on)
{
	char c = 0;

	fflush(stdout);
	while (on && c != '\n')
		if (read(STDIN_FILENO, &c, 1) <= 0)
			break;
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

static const char *tcp_congestion(int fd)
{
	static char name[32];
	socklen_t len = sizeof(name) - 1;

	memset(name, 0, sizeof(name));
	if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len))
		strcpy(name, "unknown");
	return name;
}

const char *end_congestion(const struct end *e)
{
	return e->via == VIA_TCP ? tcp_congestion(e->in) : "";
}

static void tcp_ready(int fd)
{
	static int told;
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		die("TCP_NODELAY");
	if (*asked_cc && !told && strcmp(asked_cc, tcp_congestion(fd))) {
		told = 1;
		fprintf(stderr, "%s: congestion control stays %s, not %s\n",
			program_invocation_short_name, tcp_congestion(fd), asked_cc);
	}
}

/* "[IP:]PORT", "unix[:NAME]" or "pipe:PATH". */
struct address {
	enum via via;
	socklen_t len;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_un un;
	};
	const char *path; /* of a pipe */
};

static void parse_tcp(const char *s, struct address *a)
{
	const char *colon = strchr(s, ':'), *digits = colon ? colon + 1 : s;
	char ip[32] = "127.0.0.1";
	uint64_t port;

	if (colon)
		snprintf(ip, sizeof(ip), "%.*s", (int)(colon - s), s);
	a->via = VIA_TCP;
	a->len = sizeof(a->in);
	a->in.sin_family = AF_INET;
	if (inet_pton(AF_INET, ip, &a->in.sin_addr) != 1 || !parse_size(digits, &port) ||
	    port > 65535) {
		errno = 0;
		die("%s: no address", s);
	}
	a->in.sin_port = htons((uint16_t)port);
}

static void parse_unix(const char *name, struct address *a)
{
	size_t len = strlen(name);

	a->via = VIA_UNIX;
	a->un.sun_family = AF_UNIX;
	if (len + 1 > sizeof(a->un.sun_path)) {
		errno = 0;
		die("%s: too long", name);
	}
	memcpy(a->un.sun_path + 1, name, len); /* abstract; empty: the kernel finds a name */
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (len ? len + 1 : 0));
}

static void parse_address(const char *s, struct address *a)
{
	memset(a, 0, sizeof(*a));
	if (!strncmp(s, "pipe:", 5)) {
		a->via = VIA_PIPE;
		a->path = s + 5;
	} else if (!strncmp(s, "unix", 4) && (!s[4] || s[4] == ':')) {
		parse_unix(s[4] ? s + 5 : "", a);
	} else {
		parse_tcp(s, a);
	}
}

static void pipe_name(const struct address *a, const char *which, char name[256])
{
	if (snprintf(name, 256, "%s.%s", a->path, which) >= 256) {
		errno = 0;
		die("%s: too long", a->path);
	}
}

static void print_address(const struct address *a)
{
	char ip[INET_ADDRSTRLEN];

	if (a->via == VIA_TCP)
		printf("{\"address\": \"%s:%u\", \"port\": %u}\n",
		       inet_ntop(AF_INET, &a->in.sin_addr, ip, sizeof(ip)), ntohs(a->in.sin_port),
		       ntohs(a->in.sin_port));
	else if (a->via == VIA_UNIX)
		printf("{\"address\": \"unix:%.*s\"}\n",
		       (int)(a->len - offsetof(struct sockaddr_un, sun_path) - 1),
		       a->un.sun_path + 1);
	else
		printf("{\"address\": \"pipe:%s\"}\n", a->path);
	fflush(stdout);
}

int end_listen(const char *address, const char *cc)
{
	char up[256], down[256];
	struct address a;
	int on = 1, fd;

	parse_address(address, &a);
	if (a.via == VIA_PIPE) {
		pipe_name(&a, "up", up);
		pipe_name(&a, "down", down);
		if (mkfifo(up, 0600) || mkfifo(down, 0600))
			die("%s", up);
		print_address(&a);
		return -1;
	}
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	if (a.via == VIA_TCP) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		ask_congestion(fd, cc);
	}
	if (bind(fd, &a.any, a.len))
		die("cannot bind to %s", address);
	a.len = sizeof(a.un);
	if (listen(fd, 1024) || getsockname(fd, &a.any, &a.len))
		die("listen");
	print_address(&a);
	return fd;
}

static int open_fifo(const struct address *a, const char *which, int how)
{
	char name[256];
	int fd;

	pipe_name(a, which, name);
	fd = open(name, how | O_CLOEXEC);
	if (fd < 0)
		die("%s", name);
	return fd;
}

struct end end_accept(int lfd, const char *address)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct end e = {.via = VIA_PIPE};
	char name[256];

	if (lfd < 0) {
		struct address a;

		parse_address(address, &a);
		e.in = open_fifo(&a, "up", O_RDONLY);
		e.out = open_fifo(&a, "down", O_WRONLY);
		pipe_name(&a, "up", name);
		(void)unlink(name);
		pipe_name(&a, "down", name);
		(void)unlink(name);
		return e;
	}
	do
		e.in = accept4(lfd, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC);
	while (e.in < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (e.in < 0)
		die("accept");
	e.out = e.in;
	e.via = ss.ss_family == AF_INET ? VIA_TCP : VIA_UNIX;
	if (e.via == VIA_TCP)
		tcp_ready(e.in);
	return e;
}

struct end end_connect(const char *address, const char *cc)
{
	struct address a;
	struct end e;

	parse_address(address, &a);
	e.via = a.via;
	if (a.via == VIA_PIPE) {
		e.out = open_fifo(&a, "up", O_WRONLY);
		e.in = open_fifo(&a, "down", O_RDONLY);
		return e;
	}
	e.in = e.out = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (e.in < 0)
		die("socket");
	if (a.via == VIA_TCP)
		ask_congestion(e.in, cc);
	if (connect(e.in, &a.any, a.len))
		die("cannot connect to %s", address);
	if (a.via == VIA_TCP)
		tcp_ready(e.in);
	return e;
}

static void nonblock(int fd)
{
	int fl = fcntl(fd, F_GETFL);

	if (fl < 0 || fcntl(fd, F_SETFL, fl | O_NONBLOCK))
		die("O_NONBLOCK");
}

void end_nonblock(const struct end *e)
{
	nonblock(e->in);
	if (e->out != e->in)
		nonblock(e->out);
}

ssize_t end_send(const struct end *e, const void *buf, size_t len)
{
	return e->via == VIA_PIPE ? write(e->out, buf, len) : send(e->out, buf, len, MSG_NOSIGNAL);
}

ssize_t end_recv(const struct end *e, void *buf, size_t len)
{
	return e->via == VIA_PIPE ? read(e->in, buf, len) : recv(e->in, buf, len, 0);
}

void end_send_all(const struct end *e, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = end_send(e, p, len);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			die("send");
		p += n;
		len -= (size_t)n;
	}
}

int end_again;

/* Did a blocking receive end without data, an error or the end? */
int end_once_more(void)
{
	return errno == EINTR || (end_again && errno == EAGAIN);
}

size_t end_recv_all(const struct end *e, void *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = end_recv(e, (char *)buf + got, len - got);

		if (n < 0 && end_once_more())
			continue;
		if (n < 0)
			die("recv");
		if (!n)
			break;
		got += (size_t)n;
	}
	return got;
}

void end_finish(const struct end *e)
{
	if (e->via == VIA_PIPE)
		close(e->out);
	else if (shutdown(e->out, SHUT_WR))
		die("shutdown");
}

void end_close(const struct end *e)
{
	close(e->in);
	if (e->out != e->in)
		close(e->out);
}
