// SPDX-License-Identifier: BSD-2-Clause
/*
 * pingpong - round-trip time of one message at a time
 *
 *	pingpong server ADDRESS [OPTIONS]     prints {"address": ...}
 *	pingpong client ADDRESS [OPTIONS]
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
	"usage: pingpong server|client ADDRESS [OPTIONS]\n"
	"  ADDRESS          [IP:]PORT, unix[:NAME] or pipe:PATH\n"
	"  --size N         bytes of a message, both ways (64; k and M are understood)\n"
	"  --wait HOW       blocking, spin (non-blocking recv), epoll or poll (blocking)\n"
	"  --cpu N          run on this CPU\n"
	"  --seconds S      measure for so long (2)\n"
	"  --count N        or for so many round trips\n"
	"  --warmup N       round trips before (1000), but not longer than\n"
	"  --warmup-seconds S  (1)\n"
	"  --gap USEC       sleep so long between round trips, so that both ends are asleep\n"
	"  --hold           client: wait for a line of standard input before the measurement,\n"
	"                   and after it, with the connection still open\n"
	"  --again          where a blocking recv fails with EAGAIN, call it again\n"
	"  --hist FILE      write the histogram: nanoseconds, count, cumulative part\n"
	"  --congestion CC  congestion control (cubic; empty: the machine's default)\n";

static struct {
	uint64_t size, run_ns, count, warmup, warmup_ns, gap_ns;
	const char *wait_name, *hist, *cc;
	enum wait_mode wait;
	int cpu, hold;
} opt = {64, 2 * SEC_NS, 0, 1000, SEC_NS, 0, "blocking", NULL, "cubic", WAIT_BLOCKING, -1, 0};

static const struct bench_opt options[] = {
	{"size", OPT_SIZE, &opt.size},	 {"seconds", OPT_SECONDS, &opt.run_ns},
	{"count", OPT_SIZE, &opt.count}, {"warmup", OPT_SIZE, &opt.warmup},
	{"gap", OPT_USEC, &opt.gap_ns},	 {"wait", OPT_TEXT, &opt.wait_name},
	{"hist", OPT_TEXT, &opt.hist},	 {"congestion", OPT_TEXT, &opt.cc},
	{"cpu", OPT_CPU, &opt.cpu},	 {"warmup-seconds", OPT_SECONDS, &opt.warmup_ns},
	{"hold", OPT_FLAG, &opt.hold},	 {"again", OPT_FLAG, &end_again},
	{NULL, OPT_FLAG, NULL},
};

static char *buf;
static int epfd = -1;
static struct hist hist; /* too large for a stack */

static void wait_prepare(const struct end *e)
{
	struct epoll_event ev = {.events = EPOLLIN};

	if (opt.wait != WAIT_BLOCKING)
		end_nonblock(e);
	if (opt.wait != WAIT_EPOLL)
		return;
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, e->in, &ev))
		die("epoll");
}

static void wait_input(const struct end *e)
{
	struct pollfd pfd = {.fd = e->in, .events = POLLIN};
	struct epoll_event ev;

	if (opt.wait == WAIT_EPOLL)
		(void)!epoll_wait(epfd, &ev, 1, -1);
	else if (opt.wait == WAIT_POLL)
		(void)!poll(&pfd, 1, -1);
}

/* One message in, as a program that waits this way would; false: the peer has finished. */
static int message_in(const struct end *e)
{
	size_t got = 0;

	if (opt.wait == WAIT_BLOCKING)
		return end_recv_all(e, buf, opt.size) == opt.size;
	wait_input(e);
	while (got < opt.size) {
		ssize_t n = end_recv(e, buf + got, opt.size - got);

		if (n > 0)
			got += (size_t)n;
		else if (!n)
			return 0;
		else if (errno == EAGAIN)
			wait_input(e);
		else if (errno != EINTR)
			die("recv");
	}
	return 1;
}

static void message_out(const struct end *e)
{
	struct pollfd pfd = {.fd = e->out, .events = POLLOUT};
	size_t done = 0;

	while (done < opt.size) {
		ssize_t n = end_send(e, buf + done, opt.size - done);

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

static void server(const char *address)
{
	uint64_t messages = 0;
	struct end e;

	prepare();
	e = end_accept(end_listen(address, opt.cc), address);
	wait_prepare(&e);
	while (message_in(&e)) {
		message_out(&e);
		messages++;
	}
	end_close(&e);
	printf("{\"messages\": %llu, \"cpu_s\": %.6f}\n", (unsigned long long)messages,
	       (double)cpu_ns() / 1e9);
}

static void round_trip(const struct end *e)
{
	message_out(e);
	if (!message_in(e)) {
		errno = 0;
		die("the server has closed the connection");
	}
}

static void measure(const struct end *e)
{
	uint64_t start = now_ns(), t0 = start, t1;

	do {
		if (opt.gap_ns) {
			sleep_ns(opt.gap_ns);
			t0 = now_ns();
		}
		round_trip(e);
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

static void client(const char *address)
{
	uint64_t i, wall, cpu;
	struct end e;

	prepare();
	e = end_connect(address, opt.cc);
	wait_prepare(&e);
	wall = now_ns();
	for (i = 0; i < opt.warmup && now_ns() - wall < opt.warmup_ns; i++)
		round_trip(&e);
	if (opt.hold)
		printf("{\"phase\": \"ready\"}\n");
	hold(opt.hold);
	cpu = cpu_ns();
	wall = now_ns();
	measure(&e);
	wall = now_ns() - wall;
	cpu = cpu_ns() - cpu;
	if (opt.hist)
		write_hist();
	printf("{\"bench\": \"pingpong\", \"size\": %llu, \"wait\": \"%s\", \"congestion\": "
	       "\"%s\", "
	       "\"count\": %llu, \"rate\": %.1f, \"min_ns\": %llu, \"p50_ns\": %llu, "
	       "\"p90_ns\": %llu, \"p99_ns\": %llu, \"p999_ns\": %llu, \"max_ns\": %llu, "
	       "\"mean_ns\": %.1f, \"cpu_s\": %.6f, \"wall_s\": %.6f}\n",
	       (unsigned long long)opt.size, wait_names[opt.wait], end_congestion(&e),
	       (unsigned long long)hist.count, (double)hist.count / ((double)wall / 1e9),
	       (unsigned long long)hist.min, (unsigned long long)hist_quantile(&hist, 0.5),
	       (unsigned long long)hist_quantile(&hist, 0.9),
	       (unsigned long long)hist_quantile(&hist, 0.99),
	       (unsigned long long)hist_quantile(&hist, 0.999), (unsigned long long)hist.max,
	       hist_mean(&hist), (double)cpu / 1e9, (double)wall / 1e9);
	hold(opt.hold);
	end_close(&e);
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, options, help, server, client);
}
