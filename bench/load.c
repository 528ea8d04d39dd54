// SPDX-License-Identifier: BSD-2-Clause
/*
 * load - requests that come when they come: latency against offered load (open loop)
 *
 *	load client ADDRESS [OPTIONS]	  its server is `pingpong server ADDRESS --size N`
 *
 * Requests are due at the times of a Poisson process of --rate a second, whether or not answers
 * have come. A latency is counted from when the request was due, not from when it could be sent, so
 * a stall delays all that were due meanwhile and is seen (no coordinated omission). At most
 *--window requests are under way; with --rate 0 there are always so many.
 *
 * One thread does both: it sends what is due, reads what has come, and else sleeps in ppoll() until
 * one or the other happens, as a program does that has other things to do.
 */
#include "hist.h"
#include "util.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define SIZE_MAX_B 65536u
#define WINDOW_MAX 4096u
#define DRAIN_NS   (2 * SEC_NS)
#define BATCH	   64 /* sends between two looks for answers */

static const char help[] =
	"usage: load client ADDRESS [OPTIONS]\n"
	"  ADDRESS          [IP:]PORT or unix[:NAME], where `pingpong server` runs\n"
	"  --size N         bytes of a request and its answer (64, at most 64k)\n"
	"  --rate N         requests a second (1000); 0: as fast as the window allows\n"
	"  --window N       requests under way, at most (256, up to 4096)\n"
	"  --seconds S      offer requests for so long (2)\n"
	"  --warmup N       requests one after the other before (1000), not longer than\n"
	"  --warmup-seconds S  (1)\n"
	"  --hold           wait for a line of standard input before the measurement, and after\n"
	"                   it, with the connection still open\n"
	"  --cpu N          run on this CPU\n"
	"  --congestion CC  congestion control (cubic; empty: the machine's default)\n";

static struct {
	uint64_t size, rate, window, run_ns, warmup, warmup_ns;
	const char *cc;
	int cpu, hold;
} opt = {64, 1000, 256, 2 * SEC_NS, 1000, SEC_NS, "cubic", -1, 0};

static const struct bench_opt options[] = {
	{"size", OPT_SIZE, &opt.size},	   {"rate", OPT_SIZE, &opt.rate},
	{"window", OPT_SIZE, &opt.window}, {"seconds", OPT_SECONDS, &opt.run_ns},
	{"warmup", OPT_SIZE, &opt.warmup}, {"warmup-seconds", OPT_SECONDS, &opt.warmup_ns},
	{"hold", OPT_FLAG, &opt.hold},	   {"cpu", OPT_CPU, &opt.cpu},
	{"congestion", OPT_TEXT, &opt.cc}, {NULL, OPT_FLAG, NULL},
};

static struct hist hist; /* too large for a stack */

static struct {
	struct end end;
	char out[SIZE_MAX_B], in[SIZE_MAX_B];
	size_t out_left;	  /* bytes of a request that is not wholly sent */
	size_t in_len;		  /* bytes of an answer that is not wholly here */
	uint64_t due[WINDOW_MAX]; /* of requests under way, at number % window */
	uint64_t sent, answered;
	uint64_t next; /* when the next request is due */
	uint64_t unsent;
	uint64_t rng;
} load;

/* Time to the next request: exponential, from a fixed seed. */
static uint64_t interval(void)
{
	double u;

	load.rng = load.rng * 6364136223846793005u + 1442695040888963407u;
	u = ((double)(load.rng >> 11) + 1) / 9007199254740993.0;
	return (uint64_t)(-log(u) * 1e9 / (double)opt.rate);
}

/* Return: 0: the kernel, or the ring, takes no more now. */
static int push(void)
{
	while (load.out_left) {
		ssize_t n =
			end_send(&load.end, load.out + (opt.size - load.out_left), load.out_left);

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno != EINTR)
			die("send");
		if (n > 0)
			load.out_left -= (size_t)n;
	}
	return 1;
}

/* Send what is due at @now. Return: 0: no room. */
static int offer(uint64_t now, uint64_t end)
{
	int i;

	if (!push())
		return 0;
	for (i = 0; i < BATCH; i++) {
		if (load.sent - load.answered >= opt.window)
			return 1;
		if (now >= end || (opt.rate && load.next > now))
			return 1;
		load.due[load.sent++ % opt.window] = opt.rate ? load.next : now;
		load.next += opt.rate ? interval() : 0;
		load.out_left = opt.size;
		if (!push())
			return 0;
	}
	return 1;
}

/* Return: whether an answer was taken. */
static int take(void)
{
	static char buf[SIZE_MAX_B];
	ssize_t n = end_recv(&load.end, buf, sizeof(buf));
	uint64_t now;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		errno = n ? errno : 0;
		die("the server has closed the connection");
	}
	now = now_ns();
	for (load.in_len += (size_t)n; load.in_len >= opt.size; load.in_len -= opt.size)
		hist_add(&hist, now - load.due[load.answered++ % opt.window]);
	return 1;
}

static void nap(int room, uint64_t until)
{
	struct pollfd p = {.fd = load.end.in, .events = room ? POLLIN : POLLIN | POLLOUT};
	uint64_t now = now_ns();
	struct timespec ts = {0, 0};

	if (until > now) {
		ts.tv_sec = (time_t)((until - now) / SEC_NS);
		ts.tv_nsec = (long)((until - now) % SEC_NS);
	}
	(void)!ppoll(&p, 1, &ts, NULL);
}

static void measure(void)
{
	uint64_t now = now_ns(), end = now + opt.run_ns, until;
	int room, full;

	load.next = now + (opt.rate ? interval() : 0);
	for (;;) {
		now = now_ns();
		room = offer(now, end);
		if (take())
			continue;
		if (now >= end && load.sent == load.answered && !load.out_left)
			break;
		if (now >= end + DRAIN_NS) {
			errno = 0;
			die("%llu answers are missing",
			    (unsigned long long)(load.sent - load.answered));
		}
		full = load.sent - load.answered >= opt.window;
		until = now >= end || full || !room ? end + DRAIN_NS : load.next;
		if (now < end && until > end)
			until = full || !room ? until : end;
		if (until > now)
			nap(room, until);
	}
	for (; opt.rate && load.next < end; load.next += interval())
		load.unsent++;
}

static void warm(void)
{
	uint64_t start = now_ns(), i;

	for (i = 0; i < opt.warmup && now_ns() - start < opt.warmup_ns; i++) {
		end_send_all(&load.end, load.out, opt.size);
		errno = 0;
		if (end_recv_all(&load.end, load.in, opt.size) != opt.size)
			die("the server has closed the connection");
	}
}

static void client(const char *address)
{
	uint64_t start;
	double wall;

	if (!opt.size || opt.size > SIZE_MAX_B || !opt.window || opt.window > WINDOW_MAX) {
		fputs(help, stderr);
		exit(2);
	}
	pin(opt.cpu);
	prctl(PR_SET_TIMERSLACK, 1); /* sleep until a request is due, and not 50 us longer */
	load.end = end_connect(address, opt.cc);
	warm();
	end_nonblock(&load.end);
	if (opt.hold)
		printf("{\"phase\": \"ready\"}\n");
	hold(opt.hold);
	start = now_ns();
	measure();
	wall = (double)(now_ns() - start) / 1e9;
	printf("{\"bench\": \"load\", \"size\": %llu, \"offered\": %llu, \"rate\": %.1f, "
	       "\"count\": %llu, \"p50_ns\": %llu, \"p90_ns\": %llu, \"p99_ns\": %llu, "
	       "\"p999_ns\": %llu, \"max_ns\": %llu, \"unsent\": %llu, \"wall_s\": %.6f}\n",
	       (unsigned long long)opt.size, (unsigned long long)opt.rate,
	       (double)hist.count / wall, (unsigned long long)hist.count,
	       (unsigned long long)hist_quantile(&hist, 0.5),
	       (unsigned long long)hist_quantile(&hist, 0.9),
	       (unsigned long long)hist_quantile(&hist, 0.99),
	       (unsigned long long)hist_quantile(&hist, 0.999), (unsigned long long)hist.max,
	       (unsigned long long)load.unsent, wall);
	hold(opt.hold);
	end_close(&load.end);
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, options, help, NULL, client);
}
