// SPDX-License-Identifier: BSD-2-Clause
/*
 * cacheline - the machine's own limits, beside which every other figure stands
 *
 *	cacheline [--cpu A] [--peer B] [--seconds S]
 *
 * - a cache line there and back between two threads on CPUs A and B: the floor of a round trip
 *   through shared memory
 * - memcpy, in the cache and from memory: the floor of a stream
 * - the same bytes copied twice, by two threads through a ring of 256 KiB: the floor of a stream
 *   that goes from one program's memory to another's
 * - a bare system call
 * - waking a sleeper and being woken, with futex, eventfd, pipe, a Unix socket and a byte of TCP,
 *   on one CPU, across two, and where the scheduler likes: the price of having slept
 */
#include "hist.h"
#include "util.h"

#include <errno.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char help[] = "usage: cacheline [--cpu A] [--peer B] [--seconds S]\n"
			   "  --cpu A, --peer B  the two CPUs (0 and 1)\n"
			   "  --seconds S        for each measurement (0.3)\n";

static int cpu_a = 0, cpu_b = 1;
#define GAP_NS	    (1000 * USEC_NS)
#define ASLEEP_RUNS 10 /* so much longer than the others: there are few round trips in a second */

static uint64_t run_ns = 300 * 1000 * USEC_NS;
static struct hist hist; /* too large for a stack */

/* One line, and nothing else on it or beside it: odd numbers are the peer's turn. */
static struct {
	_Alignas(128) _Atomic uint32_t turn;
	_Alignas(128) _Atomic uint32_t stop;
} line;

static void *line_peer(void *arg)
{
	uint32_t mine = 1;

	pin(*(int *)arg);
	while (!atomic_load_explicit(&line.stop, memory_order_relaxed)) {
		if (atomic_load_explicit(&line.turn, memory_order_acquire) != mine)
			continue;
		atomic_store_explicit(&line.turn, mine + 1, memory_order_release);
		mine += 2;
	}
	return NULL;
}

/* 64 turns a clock reading: the clock would be a good part of one. */
static double line_ns(void)
{
	uint64_t start, t0, t1;
	uint32_t turn = 0;
	pthread_t th;
	double p50;
	int i;

	memset(&hist, 0, sizeof(hist));
	if (pthread_create(&th, NULL, line_peer, &cpu_b))
		die("thread");
	pin(cpu_a);
	t0 = start = now_ns();
	do {
		for (i = 0; i < 64; i++) {
			atomic_store_explicit(&line.turn, turn + 1, memory_order_release);
			turn += 2;
			while (atomic_load_explicit(&line.turn, memory_order_acquire) != turn)
				;
		}
		t1 = now_ns();
		hist_add(&hist, t1 - t0);
		t0 = t1;
	} while (t1 - start < run_ns);
	p50 = (double)hist_quantile(&hist, 0.5) / 64;
	atomic_store(&line.stop, 1);
	pthread_join(th, NULL);
	return p50;
}

static double memcpy_gb(size_t len)
{
	char *a = malloc(len), *b = malloc(len);
	uint64_t start, t, bytes = 0;

	if (!a || !b)
		die("no memory");
	memset(a, 1, len);
	memset(b, 2, len);
	start = now_ns();
	do {
		size_t i, n = len >= 1 << 20 ? 1 : (1 << 20) / len;

		for (i = 0; i < n; i++) {
			memcpy(a, b, len);
			__asm__ volatile("" ::: "memory");
		}
		bytes += n * len;
		t = now_ns();
	} while (t - start < run_ns);
	free(a);
	free(b);
	return (double)bytes / (double)(t - start);
}

#define RING_LEN   (256u << 10)
#define RING_CHUNK (16u << 10)
#define RING_SLOTS (RING_LEN / RING_CHUNK)

/* A ring without records, words or calls: what two memcpys can do at best. */
static struct {
	_Alignas(128) _Atomic uint64_t written; /* chunks; only the writer changes it */
	_Alignas(128) _Atomic uint64_t taken;	/* chunks; only the reader changes it */
	_Alignas(128) _Atomic uint32_t stop;
	char *data;
	size_t to_len;
} ring;

static void *ring_reader(void *arg)
{
	char *to = aligned_alloc(4096, ring.to_len);
	uint64_t n = 0;

	if (!to)
		die("no memory");
	memset(to, 1, ring.to_len);
	pin(*(int *)arg);
	while (!atomic_load_explicit(&ring.stop, memory_order_relaxed)) {
		if (atomic_load_explicit(&ring.written, memory_order_acquire) == n)
			continue;
		memcpy(to + n * RING_CHUNK % ring.to_len, ring.data + n % RING_SLOTS * RING_CHUNK,
		       RING_CHUNK);
		__asm__ volatile("" ::: "memory");
		atomic_store_explicit(&ring.taken, ++n, memory_order_release);
	}
	free(to);
	return NULL;
}

/* GB/s from a buffer of @from_len into one of @to_len, as a stream of such sends copies. */
static double ring_gb(size_t from_len, size_t to_len)
{
	char *from = aligned_alloc(4096, from_len);
	uint64_t start, t, n = 0;
	pthread_t th;

	ring.data = aligned_alloc(4096, RING_LEN);
	if (!ring.data || !from)
		die("no memory");
	memset(from, 1, from_len);
	memset(ring.data, 1, RING_LEN);
	ring.to_len = to_len;
	atomic_store(&ring.written, 0);
	atomic_store(&ring.taken, 0);
	atomic_store(&ring.stop, 0);
	if (pthread_create(&th, NULL, ring_reader, &cpu_b))
		die("thread");
	start = now_ns();
	do {
		while (n - atomic_load_explicit(&ring.taken, memory_order_acquire) == RING_SLOTS)
			;
		memcpy(ring.data + n % RING_SLOTS * RING_CHUNK, from + n * RING_CHUNK % from_len,
		       RING_CHUNK);
		atomic_store_explicit(&ring.written, ++n, memory_order_release);
		t = now_ns();
	} while (t - start < run_ns);
	atomic_store(&ring.stop, 1);
	pthread_join(th, NULL);
	free(ring.data);
	free(from);
	return (double)(n * RING_CHUNK) / (double)(t - start);
}

static double syscall_ns(void)
{
	uint64_t start = now_ns(), n = 0, t;
	int i;

	do {
		for (i = 0; i < 1000; i++)
			syscall(SYS_getppid);
		n += 1000;
		t = now_ns();
	} while (t - start < run_ns);
	return (double)(t - start) / (double)n;
}

/* A kernel object that one side rings and the other sleeps on; [0] towards the peer, [1] back. */
enum bell { BELL_FUTEX, BELL_EVENTFD, BELL_PIPE, BELL_UNIX, BELL_TCP, BELLS };

static const char *const bell_names[BELLS] = {"futex", "eventfd", "pipe", "unix", "tcp"};

struct bells {
	enum bell kind;
	int cpu; /* of the peer; -1: anywhere */
	int tx[2], rx[2];
	_Atomic uint32_t word[2];
	_Atomic uint32_t stop;
};

/* Two connected TCP sockets. */
static int tcp_pair(int fd[2])
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int on = 1, lfd = socket(AF_INET, SOCK_STREAM, 0);

	if (lfd < 0 || bind(lfd, (struct sockaddr *)&sa, sizeof(sa)) || listen(lfd, 1) ||
	    getsockname(lfd, (struct sockaddr *)&sa, &len))
		return -1;
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (fd[0] < 0 || connect(fd[0], (struct sockaddr *)&sa, sizeof(sa)))
		return -1;
	fd[1] = accept(lfd, NULL, NULL);
	close(lfd);
	setsockopt(fd[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd[1] < 0 ? -1 : setsockopt(fd[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int bell_pair(enum bell kind, int fd[2])
{
	switch (kind) {
	case BELL_EVENTFD:
		fd[0] = fd[1] = eventfd(0, 0);
		return fd[0] < 0 ? -1 : 0;
	case BELL_PIPE:
		return pipe(fd);
	case BELL_UNIX:
		return socketpair(AF_UNIX, SOCK_STREAM, 0, fd);
	default:
		return tcp_pair(fd);
	}
}

static void bells_open(struct bells *b)
{
	int i, fd[2];

	for (i = 0; i < 2 && b->kind != BELL_FUTEX; i++) {
		if (bell_pair(b->kind, fd))
			die("%s", bell_names[b->kind]);
		b->rx[i] = fd[0];
		b->tx[i] = fd[1];
	}
}

static void bells_close(struct bells *b)
{
	int i;

	for (i = 0; i < 2 && b->kind != BELL_FUTEX; i++) {
		close(b->rx[i]);
		if (b->tx[i] != b->rx[i])
			close(b->tx[i]);
	}
}

static void ring_bell(struct bells *b, int dir)
{
	uint64_t one = 1;

	if (b->kind == BELL_FUTEX) {
		atomic_store(&b->word[dir], 1);
		syscall(SYS_futex, &b->word[dir], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	} else if (write(b->tx[dir], &one, sizeof(one)) != sizeof(one)) {
		die("write");
	}
}

static void wait_bell(struct bells *b, int dir)
{
	uint64_t v;

	if (b->kind == BELL_FUTEX) {
		while (!atomic_load(&b->word[dir]))
			syscall(SYS_futex, &b->word[dir], FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
		atomic_store(&b->word[dir], 0);
	} else if (read(b->rx[dir], &v, sizeof(v)) != sizeof(v)) {
		die("read");
	}
}

static void *bell_peer(void *arg)
{
	struct bells *b = arg;

	pin(b->cpu);
	for (;;) {
		wait_bell(b, 0);
		if (atomic_load(&b->stop))
			return NULL;
		ring_bell(b, 1);
	}
}

/* Round trips by @kind; with @gap_ns between two, so that both ends and their CPUs are asleep. Into
 * hist. */
static double wake_ns(enum bell kind, int peer_cpu, uint64_t gap_ns, uint64_t for_ns)
{
	struct bells b = {.kind = kind, .cpu = peer_cpu};
	uint64_t start, t0, t1;
	pthread_t th;

	memset(&hist, 0, sizeof(hist));
	bells_open(&b);
	if (pthread_create(&th, NULL, bell_peer, &b))
		die("thread");
	t0 = start = now_ns();
	do {
		if (gap_ns) {
			sleep_ns(gap_ns);
			t0 = now_ns();
		}
		ring_bell(&b, 0);
		wait_bell(&b, 1);
		t1 = now_ns();
		hist_add(&hist, t1 - t0);
		t0 = t1;
	} while (t1 - start < for_ns);
	atomic_store(&b.stop, 1);
	ring_bell(&b, 0);
	pthread_join(th, NULL);
	bells_close(&b);
	return (double)hist_quantile(&hist, 0.5);
}

/* What the asleep round trips of the part places cannot be below. */
static void asleep(const char *where, int peer_cpu)
{
	static const enum bell kinds[] = {BELL_EVENTFD, BELL_TCP};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		printf(", \"asleep_%s_%s_ns\": %.0f", bell_names[kinds[i]], where,
		       wake_ns(kinds[i], peer_cpu, GAP_NS, ASLEEP_RUNS * run_ns));
		printf(", \"asleep_%s_%s_p99_ns\": %.0f", bell_names[kinds[i]], where,
		       (double)hist_quantile(&hist, 0.99));
	}
}

int main(int argc, char **argv)
{
	static const struct bench_opt options[] = {
		{"cpu", OPT_CPU, &cpu_a},
		{"peer", OPT_CPU, &cpu_b},
		{"seconds", OPT_SECONDS, &run_ns},
		{NULL, OPT_FLAG, NULL},
	};
	cpu_set_t all;
	int k;

	if (sched_getaffinity(0, sizeof(all), &all))
		die("affinity");
	if (bench_options(argc, argv, options, help)) {
		fputs(help, stderr);
		return 2;
	}
	pin(cpu_a);
	printf("{\"bench\": \"cacheline\", ");
	if (cpu_a != cpu_b) /* two spinners on one CPU measure the scheduler's tick */
		printf("\"line_rtt_ns\": %.1f, ", line_ns());
	printf("\"memcpy_cache_gb_s\": %.2f, \"memcpy_memory_gb_s\": %.2f, \"syscall_ns\": %.1f",
	       memcpy_gb(16 << 10), memcpy_gb(128 << 20), syscall_ns());
	if (cpu_a != cpu_b)
		printf(", \"ring_16k_gb_s\": %.2f, \"ring_1m_gb_s\": %.2f",
		       ring_gb(16 << 10, 64 << 10), ring_gb(1 << 20, 1 << 20));
	for (k = 0; k < BELLS; k++) {
		printf(", \"wake_%s_one_ns\": %.0f", bell_names[k],
		       wake_ns((enum bell)k, cpu_a, 0, run_ns));
		if (cpu_a != cpu_b)
			printf(", \"wake_%s_two_ns\": %.0f", bell_names[k],
			       wake_ns((enum bell)k, cpu_b, 0, run_ns));
	}
	if (cpu_a != cpu_b)
		asleep("two", cpu_b);
	if (sched_setaffinity(0, sizeof(all), &all))
		die("affinity");
	for (k = 0; k < BELLS; k++)
		printf(", \"wake_%s_free_ns\": %.0f", bell_names[k],
		       wake_ns((enum bell)k, -1, 0, run_ns));
	asleep("free", -1);
	printf("}\n");
	return 0;
}
