// SPDX-License-Identifier: BSD-2-Clause
/*
 * conns - short connections per second on 127.0.0.1
 *
 *	conns server PORT [OPTIONS]	 PORT 0: any; printed as {"port": N}; runs until SIGTERM
 *	conns client PORT [OPTIONS]
 *
 * The client connects, sends --exchange bytes, reads as many back and waits for the end of the
 * stream; the server closes first, so that TIME_WAIT stays on the server's side and does not
 * use up the client's ports. With --exchange 0 nothing is sent at all.
 */
#include "hist.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] = "usage: conns server|client PORT [OPTIONS]\n"
			   "  --exchange N     bytes there and back in each connection (1)\n"
			   "  --seconds S      go on for so long (2)\n"
			   "  --cpu N          run on this CPU\n"
			   "  --congestion CC  congestion control (cubic; empty: the default)\n";

static struct {
	uint64_t exchange, run_ns;
	const char *cc;
	int cpu;
} opt = {1, 2 * SEC_NS, "cubic", -1};

static const struct bench_opt options[] = {
	{"exchange", OPT_SIZE, &opt.exchange},
	{"seconds", OPT_SECONDS, &opt.run_ns},
	{"cpu", OPT_CPU, &opt.cpu},
	{"congestion", OPT_TEXT, &opt.cc},
	{NULL, OPT_FLAG, NULL},
};

static struct hist hist; /* too large for a stack */
static char *buf;

static void prepare(void)
{
	pin(opt.cpu);
	buf = calloc(1, opt.exchange + 1);
	if (!buf)
		die("no memory");
}

static void server(uint16_t port)
{
	int lfd;

	prepare();
	lfd = tcp_listen(port, opt.cc);
	for (;;) {
		int fd = tcp_accept(lfd);
		size_t n = recv_all(fd, buf, opt.exchange);

		send_all(fd, buf, n);
		close(fd);
	}
}

static void connection(uint16_t port)
{
	int fd = tcp_connect(port, opt.cc);

	send_all(fd, buf, opt.exchange);
	errno = 0;
	if (recv_all(fd, buf, opt.exchange + 1) != opt.exchange)
		die("a connection has lost its data");
	close(fd);
}

static void client(uint16_t port)
{
	uint64_t start, t0, t1;

	prepare();
	t0 = start = now_ns();
	do {
		connection(port);
		t1 = now_ns();
		hist_add(&hist, t1 - t0);
		t0 = t1;
	} while (t1 - start < opt.run_ns);
	printf("{\"bench\": \"conns\", \"exchange\": %llu, \"count\": %llu, \"rate\": %.1f, "
	       "\"p50_ns\": %llu, \"p99_ns\": %llu, \"cpu_s\": %.6f}\n",
	       (unsigned long long)opt.exchange, (unsigned long long)hist.count,
	       (double)hist.count / ((double)(t1 - start) / 1e9),
	       (unsigned long long)hist_quantile(&hist, 0.5),
	       (unsigned long long)hist_quantile(&hist, 0.99), (double)cpu_ns() / 1e9);
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, options, help, server, client);
}
