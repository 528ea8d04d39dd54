// SPDX-License-Identifier: BSD-2-Clause
/*
 * pingpong - round-trip time of one message at a time over a TCP connection on 127.0.0.1
 *
 *	pingpong server PORT [OPTIONS]	   PORT 0: any; printed as {"port": N}
 *	pingpong client PORT [OPTIONS]
 *
 * Client and server are programs of their own, so that each can be run under scilan or not. The
 * client takes one clock reading a round trip: the end of one is the start of the next (with
 * --gap, one before and one after). The server ends with its connection.
 */
#include "hist.h"
#include "util.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum wait_mode { WAIT_BLOCKING, WAIT_SPIN, WAIT_EPOLL, WAIT_POLL, WAIT_MODES };

static const char *const wait_names[WAIT_MODES] = {"blocking", "spin", "epoll", "poll"};

static const char help[] =
	"usage: pingpong server|client PORT [OPTIONS]\n"
	"  --size N         bytes of a message, both ways (64; k and M are understood)\n"
	"  --wait HOW       blocking, spin (non-blocking recv), epoll or poll (blocking)\n"
	"  --cpu N          run on this CPU\n"
	"  --seconds S      measure for so long (2)\n"
	"  --count N        or for so many round trips\n"
	"  --warmup N       round trips before (1000)\n"
	"  --gap USEC       sleep so long between round trips, so that both ends are asleep\n"
	"  --hist FILE      write the histogram: nanoseconds, count, cumulative part\n"
	"  --congestion CC  congestion control (cubic; empty: the machine's default)\n";

static struct {
	uint64_t size, run_ns, count, warmup, gap_ns;
	const char *wait_name, *hist, *cc;
	enum wait_mode wait;
	int cpu;
} opt = {64, 2 * SEC_NS, 0, 1000, 0, "blocking", NULL, "cubic", WAIT_BLOCKING, -1};

static const struct bench_opt options[] = {
	{"size", OPT_SIZE, &opt.size},	 {"seconds", OPT_SECONDS, &opt.run_ns},
	{"count", OPT_SIZE, &opt.count}, {"warmup", OPT_SIZE, &opt.warmup},
	{"gap", OPT_USEC, &opt.gap_ns},	 {"wait", OPT_TEXT, &opt.wait_name},
	{"hist", OPT_TEXT, &opt.hist},	 {"congestion", OPT_TEXT, &opt.cc},
	{"cpu", OPT_CPU, &opt.cpu},	 {NULL, OPT_FLAG, NULL},
};

static char *buf;
static int epfd = -1;
static struct hist hist; /* too large for a stack */

static void wait_prepare(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};

	if (opt.wait != WAIT_BLOCKING)
		set_nonblock(fd);
	if (opt.wait != WAIT_EPOLL)
		return;
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev))
		die("epoll");
}

static void wait_input(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	struct epoll_event ev;

	if (opt.wait == WAIT_EPOLL)
		(void)!epoll_wait(epfd, &ev, 1, -1);
	else if (opt.wait == WAIT_POLL)
		(void)!poll(&pfd, 1, -1);
}

/* One message in, as a program that waits this way would; false: the peer has finished. */
static int message_in(int fd)
{
	size_t got = 0;

	if (opt.wait == WAIT_BLOCKING)
		return recv_all(fd, buf, opt.size) == opt.size;
	wait_input(fd);
	while (got < opt.size) {
		ssize_t n = recv(fd, buf + got, opt.size - got, 0);

		if (n > 0)
			got += (size_t)n;
		else if (!n)
			return 0;
		else if (errno == EAGAIN)
			wait_input(fd);
		else if (errno != EINTR)
			die("recv");
	}
	return 1;
}

static void message_out(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	size_t done = 0;

	while (done < opt.size) {
		ssize_t n = send(fd, buf + done, opt.size - done, MSG_NOSIGNAL);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN && opt.wait != WAIT_SPIN)
			(void)!poll(&pfd, 1, -1);
		else if (errno != EAGAIN && errno != EINTR)
			die("send");
	}
}

static void prepare(void)
{
	while (opt.wait < WAIT_MODES && strcmp(opt.wait_name, wait_names[opt.wait]))
		opt.wait++;
	if (opt.wait == WAIT_MODES || !opt.size) {
		fputs(help, stderr);
		exit(2);
	}
	pin(opt.cpu);
	buf = malloc(opt.size);
	if (!buf)
		die("no memory");
	memset(buf, 'x', opt.size);
}

static void server(uint16_t port)
{
	uint64_t messages = 0;
	int fd;

	prepare();
	fd = tcp_accept(tcp_listen(port, opt.cc));
	wait_prepare(fd);
	while (message_in(fd)) {
		message_out(fd);
		messages++;
	}
	close(fd);
	printf("{\"messages\": %llu, \"cpu_s\": %.6f}\n", (unsigned long long)messages,
	       (double)cpu_ns() / 1e9);
}

static void round_trip(int fd)
{
	message_out(fd);
	if (!message_in(fd)) {
		errno = 0;
		die("the server has closed the connection");
	}
}

static void measure(int fd)
{
	uint64_t start = now_ns(), t0 = start, t1;

	do {
		if (opt.gap_ns) {
			sleep_ns(opt.gap_ns);
			t0 = now_ns();
		}
		round_trip(fd);
		t1 = now_ns();
		hist_add(&hist, t1 - t0);
		t0 = t1;
	} while (opt.count ? hist.count < opt.count : t1 - start < opt.run_ns);
}

static void write_hist(void)
{
	FILE *f = fopen(opt.hist, "w");

	if (!f)
		die("%s", opt.hist);
	hist_print(&hist, f);
	if (fclose(f))
		die("%s", opt.hist);
}

static void client(uint16_t port)
{
	uint64_t i, wall, cpu;
	int fd;

	prepare();
	fd = tcp_connect(port, opt.cc);
	wait_prepare(fd);
	for (i = 0; i < opt.warmup; i++)
		round_trip(fd);
	cpu = cpu_ns();
	wall = now_ns();
	measure(fd);
	wall = now_ns() - wall;
	cpu = cpu_ns() - cpu;
	if (opt.hist)
		write_hist();
	printf("{\"bench\": \"pingpong\", \"size\": %llu, \"wait\": \"%s\", \"congestion\": "
	       "\"%s\", "
	       "\"count\": %llu, \"rate\": %.1f, \"min_ns\": %llu, \"p50_ns\": %llu, "
	       "\"p90_ns\": %llu, \"p99_ns\": %llu, \"p999_ns\": %llu, \"max_ns\": %llu, "
	       "\"mean_ns\": %.1f, \"cpu_s\": %.6f, \"wall_s\": %.6f}\n",
	       (unsigned long long)opt.size, wait_names[opt.wait], tcp_congestion(fd),
	       (unsigned long long)hist.count, (double)hist.count / ((double)wall / 1e9),
	       (unsigned long long)hist.min, (unsigned long long)hist_quantile(&hist, 0.5),
	       (unsigned long long)hist_quantile(&hist, 0.9),
	       (unsigned long long)hist_quantile(&hist, 0.99),
	       (unsigned long long)hist_quantile(&hist, 0.999), (unsigned long long)hist.max,
	       hist_mean(&hist), (double)cpu / 1e9, (double)wall / 1e9);
	close(fd);
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, options, help, server, client);
}
