// SPDX-License-Identifier: BSD-2-Clause
/*
 * stream - one-way throughput
 *
 *	stream server ADDRESS [OPTIONS]	   receives; prints {"address": ...}
 *	stream client ADDRESS [OPTIONS]	   sends, then ends the stream
 *
 * A message is one send of --size bytes. The receiver reads into a buffer of --recv bytes
 * (default: the message size, at least 64 KiB, as most programs do) and its figures are the
 * result: bytes that have arrived, from --settle on until the end.
 *
 * With --threads N, N threads send on the one connection and N threads of the receiver read from
 * it. With --check on both sides (of one thread) the stream is a pattern of prime period, and the
 * receiver compares every byte. The sending loop costs nothing more; the receiver pays a memcmp.
 */
#include "util.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUF_LEN	    65536u
#define PERIOD	    65521u /* prime: no power of two hides a shift */
#define THREADS_MAX 64

static const char help[] =
	"usage: stream server|client ADDRESS [OPTIONS]\n"
	"  ADDRESS          [IP:]PORT, unix[:NAME] or pipe:PATH\n"
	"  --size N         bytes of a send (64; k and M are understood)\n"
	"  --recv N         bytes of the receiver's buffer (the larger of --size and 64k)\n"
	"  --seconds S      send for so long (2)\n"
	"  --settle S       server: what arrives in this time first does not count (0.2)\n"
	"  --threads N      so many send, or receive, on the one connection (1)\n"
	"  --spin           non-blocking calls in a loop, instead of blocking ones\n"
	"  --check          send a pattern, compare every byte\n"
	"  --hold           wait for a line of standard input: the client before it sends, the\n"
	"                   server with its result printed and the connection still open\n"
	"  --again          where a blocking recv fails with EAGAIN, call it again\n"
	"  --cpu N          run on this CPU\n"
	"  --congestion CC  congestion control (cubic; empty: the machine's default)\n";

static struct {
	uint64_t size, recv_len, run_ns, settle_ns, threads;
	const char *cc;
	int check, hold, spin, cpu;
} opt = {64, 0, 2 * SEC_NS, 200 * 1000 * USEC_NS, 1, "cubic", 0, 0, 0, -1};

static const struct bench_opt options[] = {
	{"size", OPT_SIZE, &opt.size},
	{"recv", OPT_SIZE, &opt.recv_len},
	{"seconds", OPT_SECONDS, &opt.run_ns},
	{"settle", OPT_SECONDS, &opt.settle_ns},
	{"threads", OPT_SIZE, &opt.threads},
	{"check", OPT_FLAG, &opt.check},
	{"spin", OPT_FLAG, &opt.spin},
	{"hold", OPT_FLAG, &opt.hold},
	{"again", OPT_FLAG, &end_again},
	{"cpu", OPT_CPU, &opt.cpu},
	{"congestion", OPT_TEXT, &opt.cc},
	{NULL, OPT_FLAG, NULL},
};

static struct end end;

/* What one thread has received, alone on its lines: only it writes. */
static struct {
	_Alignas(128) _Atomic uint64_t bytes;
	_Atomic uint64_t calls;
} got[THREADS_MAX];

static void check_options(void)
{
	if (opt.size && opt.threads && opt.threads <= THREADS_MAX &&
	    (opt.threads == 1 || !opt.check))
		return;
	fputs(help, stderr);
	exit(2);
}

static char *alloc(size_t len)
{
	void *p;

	if (posix_memalign(&p, 4096, len)) {
		errno = ENOMEM;
		die("no memory");
	}
	memset(p, 'x', len);
	return p;
}

/* The pattern once, and as much again as one call can reach past the period. */
static char *pattern(size_t extra)
{
	char *p = alloc(PERIOD + extra);
	uint32_t x = 1;
	size_t i;

	for (i = 0; i < PERIOD; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (char)(x >> 24);
	}
	for (; i < PERIOD + extra; i++)
		p[i] = p[i - PERIOD];
	return p;
}

/* The state of the receiver at some time. */
struct point {
	uint64_t ns, bytes, cpu;
};

static struct point point_now(void)
{
	struct point p = {now_ns(), 0, cpu_ns()};
	size_t i;

	for (i = 0; i < opt.threads; i++)
		p.bytes += atomic_load_explicit(&got[i].bytes, memory_order_relaxed);
	return p;
}

static size_t recv_len(void)
{
	return opt.recv_len ? opt.recv_len : opt.size > BUF_LEN ? opt.size : BUF_LEN;
}

/* Receive until the end. @from: set when the stream has settled, if not NULL. */
static void receive(size_t me, struct point *from)
{
	size_t len = recv_len();
	char *buf = alloc(len), *want = opt.check ? pattern(len) : NULL;
	uint64_t start = now_ns(), bytes = 0, calls = 0;
	int settled = !from;
	ssize_t n;

	while ((n = end_recv(&end, buf, len))) {
		if (n < 0 && (end_once_more() || (opt.spin && errno == EAGAIN)))
			continue;
		if (n < 0)
			die("recv");
		if (want && memcmp(buf, want + bytes % PERIOD, (size_t)n)) {
			errno = 0;
			die("wrong data between bytes %llu and %llu", (unsigned long long)bytes,
			    (unsigned long long)bytes + (unsigned long long)n);
		}
		bytes += (size_t)n;
		atomic_store_explicit(&got[me].bytes, bytes, memory_order_relaxed);
		atomic_store_explicit(&got[me].calls, ++calls, memory_order_relaxed);
		if (!settled && !(calls % 64) && now_ns() - start >= opt.settle_ns) {
			settled = 1;
			*from = point_now();
		}
	}
	free(buf);
	free(want);
}

static void *receive_thread(void *arg)
{
	receive((size_t)(uintptr_t)arg, NULL);
	return NULL;
}

static void threads(void *(*run)(void *arg), pthread_t th[THREADS_MAX])
{
	size_t i;

	for (i = 0; i < opt.threads; i++)
		if (pthread_create(&th[i], NULL, run, (void *)(uintptr_t)i))
			die("thread");
}

static void join(const pthread_t th[THREADS_MAX])
{
	size_t i;

	for (i = 0; i < opt.threads; i++)
		pthread_join(th[i], NULL);
}

static void server(const char *address)
{
	struct point from = {0}, to;
	pthread_t th[THREADS_MAX];
	uint64_t calls = 0, start, i;
	double s, moved;

	check_options();
	pin(opt.cpu);
	end = end_accept(end_listen(address, opt.cc), address);
	if (opt.spin)
		end_nonblock(&end);
	from.ns = start = now_ns();
	if (opt.threads == 1) {
		receive(0, &from);
	} else {
		threads(receive_thread, th);
		sleep_ns(opt.settle_ns);
		from = point_now();
		join(th);
	}
	to = point_now();
	if (to.bytes == from.bytes) /* nothing came behind the settling: all of it, then */
		from = (struct point){.ns = start};
	for (i = 0; i < opt.threads; i++)
		calls += got[i].calls;
	s = (double)(to.ns - from.ns) / 1e9;
	moved = (double)(to.bytes - from.bytes);
	printf("{\"bench\": \"stream\", \"size\": %llu, \"recv\": %zu, \"threads\": %llu, "
	       "\"congestion\": \"%s\", \"bytes\": %llu, \"calls\": %llu, \"wall_s\": %.6f, "
	       "\"messages_s\": %.1f, \"gb_s\": %.6f, \"cpu_s\": %.6f, \"checked\": %s}\n",
	       (unsigned long long)opt.size, recv_len(), (unsigned long long)opt.threads,
	       end_congestion(&end), (unsigned long long)to.bytes, (unsigned long long)calls, s,
	       moved / (double)opt.size / s, moved / s / 1e9, (double)(to.cpu - from.cpu) / 1e9,
	       opt.check ? "true" : "false");
	hold(opt.hold);
}

static void *send_thread(void *arg)
{
	char *data = opt.check ? pattern(opt.size) : alloc(opt.size);
	uint64_t start = now_ns(), i, batch = opt.size >= BUF_LEN ? 1 : BUF_LEN / opt.size;
	uint64_t messages = 0;
	size_t off = 0;

	(void)arg;
	do {
		for (i = 0; i < batch; i++) {
			end_send_all(&end, data + off, opt.size);
			if (opt.check)
				off = (off + opt.size) % PERIOD;
		}
		messages += batch;
	} while (now_ns() - start < opt.run_ns);
	free(data);
	return (void *)(uintptr_t)messages;
}

static void client(const char *address)
{
	pthread_t th[THREADS_MAX];
	uint64_t messages = 0, i;
	void *sent;
	char c;

	check_options();
	pin(opt.cpu);
	end = end_connect(address, opt.cc);
	if (opt.spin)
		end_nonblock(&end);
	if (opt.hold)
		printf("{\"phase\": \"ready\"}\n");
	hold(opt.hold);
	if (opt.threads == 1) {
		messages = (uintptr_t)send_thread(NULL);
	} else {
		threads(send_thread, th);
		for (i = 0; i < opt.threads; i++) {
			pthread_join(th[i], &sent);
			messages += (uintptr_t)sent;
		}
	}
	end_finish(&end);
	(void)!end_recv(&end, &c, 1); /* the receiver has read it all */
	printf("{\"sent\": %llu, \"cpu_s\": %.6f}\n", (unsigned long long)messages,
	       (double)cpu_ns() / 1e9);
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, options, help, server, client);
}
