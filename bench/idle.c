// SPDX-License-Identifier: BSD-2-Clause
/*
 * idle - the CPU time of open connections on which nothing happens
 *
 *	idle server ADDRESS [OPTIONS]	prints {"address": ...}
 *	idle client ADDRESS [OPTIONS]
 *
 * The client opens --connections, exchanges --warm small messages on each (so that they are
 * promoted where they can be), prints {"phase": "warm"}, waits --settle seconds, prints
 * {"phase": "idle"}, and both processes wait in epoll_wait on all connections for --seconds.
 * Then it prints the CPU time that it used itself meanwhile (the server's is read
 * from outside), exchanges one message on each again, to show that they live, and closes.
 */
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE 64

static const char help[] =
	"usage: idle server|client ADDRESS [OPTIONS]\n"
	"  --connections N  how many (100)\n"
	"  --warm N         exchanges on each before (64)\n"
	"  --settle S       seconds between the exchanges and the measurement (1)\n"
	"  --seconds S      idle time that is measured (10)\n"
	"  --cpu N          run on this CPU\n"
	"  --congestion CC  congestion control (cubic; empty: the default)\n";

static struct {
	uint64_t conns, warm, settle_ns, run_ns;
	const char *cc;
	int cpu;
} opt = {100, 64, SEC_NS, 10 * SEC_NS, "cubic", -1};

static const struct bench_opt options[] = {
	{"connections", OPT_SIZE, &opt.conns},
	{"warm", OPT_SIZE, &opt.warm},
	{"settle", OPT_SECONDS, &opt.settle_ns},
	{"seconds", OPT_SECONDS, &opt.run_ns},
	{"cpu", OPT_CPU, &opt.cpu},
	{"congestion", OPT_TEXT, &opt.cc},
	{NULL, OPT_FLAG, NULL},
};

/* As many descriptors as we may have: a connection needs one at each end. */
static void more_files(void)
{
	struct rlimit rl;

	if (!getrlimit(RLIMIT_NOFILE, &rl)) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static int epoll_with(int epfd, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	if (epfd < 0)
		epfd = epoll_create1(EPOLL_CLOEXEC);
	if (epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev))
		die("epoll");
	return epfd;
}

/* Echo until every connection that ever was has ended. */
static void server(const char *address)
{
	size_t open_conns = 0, seen = 0;
	char msg[MESSAGE];
	int lfd, epfd;

	pin(opt.cpu);
	more_files();
	lfd = end_listen(address, opt.cc);
	epfd = epoll_with(-1, lfd);
	while (!seen || open_conns) {
		struct epoll_event ev[16];
		int i, n = epoll_wait(epfd, ev, 16, -1);

		for (i = 0; i < n; i++) {
			int fd = ev[i].data.fd;
			struct end e = {VIA_TCP, fd, fd};

			if (fd == lfd) {
				epoll_with(epfd, end_accept(lfd, address).in);
				open_conns++;
				seen++;
			} else if (end_recv_all(&e, msg, sizeof(msg)) == sizeof(msg)) {
				end_send_all(&e, msg, sizeof(msg));
			} else {
				close(fd);
				open_conns--;
			}
		}
	}
}

static void exchange_all(const struct end *ends, size_t rounds)
{
	char msg[MESSAGE] = {0};
	size_t r, i;

	for (r = 0; r < rounds; r++) {
		for (i = 0; i < opt.conns; i++) {
			end_send_all(&ends[i], msg, sizeof(msg));
			errno = 0;
			if (end_recv_all(&ends[i], msg, sizeof(msg)) != sizeof(msg))
				die("connection %zu has ended", i);
		}
	}
}

static void phase(const char *name)
{
	printf("{\"phase\": \"%s\"}\n", name);
	fflush(stdout);
}

static void client(const char *address)
{
	struct rusage ru[2];
	struct epoll_event ev;
	struct end *ends = calloc(opt.conns, sizeof(*ends));
	int epfd = -1, n;
	uint64_t cpu;
	size_t i;

	if (!ends)
		die("no memory");
	more_files();
	pin(opt.cpu);
	for (i = 0; i < opt.conns; i++) {
		ends[i] = end_connect(address, opt.cc);
		epfd = epoll_with(epfd, ends[i].in);
	}
	exchange_all(ends, opt.warm);
	phase("warm");
	n = epoll_wait(epfd, &ev, 1, (int)(opt.settle_ns / 1000000));
	phase("idle");
	getrusage(RUSAGE_SELF, &ru[0]);
	cpu = cpu_ns();
	n += epoll_wait(epfd, &ev, 1, (int)(opt.run_ns / 1000000));
	cpu = cpu_ns() - cpu;
	getrusage(RUSAGE_SELF, &ru[1]);
	printf("{\"phase\": \"done\", \"events\": %d, \"cpu_s\": %.9f, \"switches\": %ld}\n", n,
	       (double)cpu / 1e9,
	       ru[1].ru_nvcsw + ru[1].ru_nivcsw - ru[0].ru_nvcsw - ru[0].ru_nivcsw);
	fflush(stdout);
	sleep_ns(SEC_NS / 2); /* time to read the server's clock before it works again */
	exchange_all(ends, 1);
	phase("alive");
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, options, help, server, client);
}
