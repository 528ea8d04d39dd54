// SPDX-License-Identifier: BSD-2-Clause
/*
 * conns - connections one after the other: how many a second, and how their first messages fare
 *
 *	conns server ADDRESS [OPTIONS]	 prints {"address": ...}; runs until SIGTERM
 *	conns client ADDRESS [OPTIONS]
 *
 * The client connects, makes --messages round trips of --exchange bytes and waits for the end of
 * the stream; the server closes first, so that TIME_WAIT stays on the server's side and does not
 * use up the client's ports. With --exchange 0 nothing is sent at all. With --each the client
 * tells the time of the first, the second, ... round trip of a connection.
 */
#include "hist.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] = "usage: conns server|client ADDRESS [OPTIONS]\n"
			   "  ADDRESS          [IP:]PORT or unix[:NAME]\n"
			   "  --exchange N     bytes there and back (1)\n"
			   "  --messages N     so often in each connection (1)\n"
			   "  --each           the time of each of these round trips\n"
			   "  --seconds S      go on for so long (2)\n"
			   "  --cpu N          run on this CPU\n"
			   "  --congestion CC  congestion control (cubic; empty: the default)\n";

static struct {
	uint64_t exchange, messages, run_ns;
	const char *cc;
	int cpu, each;
} opt = {1, 1, 2 * SEC_NS, "cubic", -1, 0};

static const struct bench_opt options[] = {
	{"exchange", OPT_SIZE, &opt.exchange},
	{"messages", OPT_SIZE, &opt.messages},
	{"each", OPT_FLAG, &opt.each},
	{"seconds", OPT_SECONDS, &opt.run_ns},
	{"cpu", OPT_CPU, &opt.cpu},
	{"congestion", OPT_TEXT, &opt.cc},
	{NULL, OPT_FLAG, NULL},
};

static struct hist hist;  /* of whole connections; too large for a stack */
static struct hist *each; /* of the first, second, ... round trip */
static char *buf;

static void prepare(void)
{
	pin(opt.cpu);
	buf = calloc(1, opt.exchange + 1);
	each = opt.each ? calloc(opt.messages, sizeof(*each)) : NULL;
	if (!buf || (opt.each && !each))
		die("no memory");
}

static void server(const char *address)
{
	int lfd;

	prepare();
	lfd = end_listen(address, opt.cc);
	for (;;) {
		struct end e = end_accept(lfd, address);
		uint64_t i;

		for (i = 0; i < opt.messages; i++) {
			size_t n = end_recv_all(&e, buf, opt.exchange);

			end_send_all(&e, buf, n);
		}
		end_close(&e);
	}
}

static void connection(const char *address)
{
	struct end e = end_connect(address, opt.cc);
	uint64_t i, t0 = each ? now_ns() : 0, t1;

	for (i = 0; i < opt.messages; i++) {
		int last = i + 1 == opt.messages && !each;

		end_send_all(&e, buf, opt.exchange);
		errno = 0;
		/* One byte more is the end of the stream: in the same call, when all came at once.
		 */
		if (end_recv_all(&e, buf, opt.exchange + (size_t)last) != opt.exchange)
			die("a connection has lost its data");
		if (each) {
			t1 = now_ns();
			hist_add(&each[i], t1 - t0);
			t0 = t1;
		}
	}
	if (each)
		(void)!end_recv(&e, buf, 1);
	end_close(&e);
}

static void print_each(const char *name, double q)
{
	uint64_t i;

	printf(", \"%s\": [", name);
	for (i = 0; each && i < opt.messages; i++)
		printf("%s%llu", i ? ", " : "", (unsigned long long)hist_quantile(&each[i], q));
	printf("]");
}

static void client(const char *address)
{
	uint64_t start, t0, t1;

	prepare();
	t0 = start = now_ns();
	do {
		connection(address);
		t1 = now_ns();
		hist_add(&hist, t1 - t0);
		t0 = t1;
	} while (t1 - start < opt.run_ns);
	printf("{\"bench\": \"conns\", \"exchange\": %llu, \"count\": %llu, \"rate\": %.1f, "
	       "\"p50_ns\": %llu, \"p99_ns\": %llu, \"cpu_s\": %.6f",
	       (unsigned long long)opt.exchange, (unsigned long long)hist.count,
	       (double)hist.count / ((double)(t1 - start) / 1e9),
	       (unsigned long long)hist_quantile(&hist, 0.5),
	       (unsigned long long)hist_quantile(&hist, 0.99), (double)cpu_ns() / 1e9);
	if (each) {
		print_each("each_p50_ns", 0.5);
		print_each("each_p99_ns", 0.99);
	}
	printf("}\n");
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, options, help, server, client);
}
