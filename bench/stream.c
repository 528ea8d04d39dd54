// SPDX-License-Identifier: BSD-2-Clause
/*
 * stream - one-way throughput of a TCP connection on 127.0.0.1
 *
 *	stream server PORT [OPTIONS]	   receives; PORT 0: any; printed as {"port": N}
 *	stream client PORT [OPTIONS]	   sends, then closes
 *
 * A message is one send() of --size bytes. The receiver reads into a buffer of --recv bytes
 * (default: the message size, at least 64 KiB, as most programs do) and its figures are the
 * result: bytes that have arrived, from the first 200 ms on until the end.
 *
 * With --check on both sides the stream is a pattern of prime period, and the receiver compares
 * every byte. The sending loop costs nothing more; the receiver pays a memcmp.
 */
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUF_LEN	  65536u
#define SETTLE_NS (200 * 1000 * USEC_NS)
#define PERIOD	  65521u /* prime: no power of two hides a shift */

static const char help[] =
	"usage: stream server|client PORT [OPTIONS]\n"
	"  --size N         bytes of a send (64; k and M are understood)\n"
	"  --recv N         bytes of the receiver's buffer (the larger of --size and 64k)\n"
	"  --seconds S      send for so long (2)\n"
	"  --check          send a pattern, compare every byte\n"
	"  --cpu N          run on this CPU\n"
	"  --congestion CC  congestion control (cubic; empty: the machine's default)\n";

static struct {
	uint64_t size, recv_len, run_ns;
	const char *cc;
	int check, cpu;
} opt = {64, 0, 2 * SEC_NS, "cubic", 0, -1};

static const struct bench_opt options[] = {
	{"size", OPT_SIZE, &opt.size},
	{"recv", OPT_SIZE, &opt.recv_len},
	{"seconds", OPT_SECONDS, &opt.run_ns},
	{"check", OPT_FLAG, &opt.check},
	{"cpu", OPT_CPU, &opt.cpu},
	{"congestion", OPT_TEXT, &opt.cc},
	{NULL, OPT_FLAG, NULL},
};

static char *alloc(size_t len)
{
	void *p;

	if (!opt.size) {
		fputs(help, stderr);
		exit(2);
	}
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

static void server(uint16_t port)
{
	size_t len = opt.recv_len ? opt.recv_len : opt.size > BUF_LEN ? opt.size : BUF_LEN;
	char *buf = alloc(len), *want = opt.check ? pattern(len) : NULL;
	uint64_t start, t, from_ns = 0, from_bytes = 0, bytes = 0, calls = 0, cpu = 0;
	double s, moved;
	int fd;

	pin(opt.cpu);
	fd = tcp_accept(tcp_listen(port, opt.cc));
	start = now_ns();
	for (;;) {
		ssize_t n = recv(fd, buf, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die("recv");
		if (!n)
			break;
		if (want && memcmp(buf, want + bytes % PERIOD, (size_t)n)) {
			errno = 0;
			die("wrong data between bytes %llu and %llu", (unsigned long long)bytes,
			    (unsigned long long)bytes + (unsigned long long)n);
		}
		bytes += (size_t)n;
		calls++;
		if (!from_ns && !(calls % 64) && (t = now_ns()) - start >= SETTLE_NS) {
			from_ns = t;
			from_bytes = bytes;
			cpu = cpu_ns();
		}
	}
	t = now_ns();
	if (!from_ns)
		from_ns = start;
	s = (double)(t - from_ns) / 1e9;
	moved = (double)(bytes - from_bytes);
	printf("{\"bench\": \"stream\", \"size\": %llu, \"recv\": %zu, \"congestion\": \"%s\", "
	       "\"bytes\": %llu, \"calls\": %llu, \"wall_s\": %.6f, \"messages_s\": %.1f, "
	       "\"gb_s\": %.4f, \"cpu_s\": %.6f, \"checked\": %s}\n",
	       (unsigned long long)opt.size, len, tcp_congestion(fd), (unsigned long long)bytes,
	       (unsigned long long)calls, s, moved / (double)opt.size / s, moved / s / 1e9,
	       (double)(cpu_ns() - cpu) / 1e9, want ? "true" : "false");
}

static void client(uint16_t port)
{
	char *data = opt.check ? pattern(opt.size) : alloc(opt.size);
	uint64_t messages = 0, start, batch = opt.size >= BUF_LEN ? 1 : BUF_LEN / opt.size, i;
	size_t off = 0;
	int fd;

	pin(opt.cpu);
	fd = tcp_connect(port, opt.cc);
	start = now_ns();
	do {
		for (i = 0; i < batch; i++) {
			send_all(fd, data + off, opt.size);
			if (opt.check)
				off = (off + opt.size) % PERIOD;
		}
		messages += batch;
	} while (now_ns() - start < opt.run_ns);
	if (shutdown(fd, SHUT_WR))
		die("shutdown");
	(void)!recv(fd, data, 1, 0); /* the receiver has read it all */
	printf("{\"sent\": %llu, \"cpu_s\": %.6f}\n", (unsigned long long)messages,
	       (double)cpu_ns() / 1e9);
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, options, help, server, client);
}
