/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_links.c - TCP over a link of 100 or 155 Mbit/s
 *
 * The paper compared shared memory with 100baseT and ATM (155 Mbit/s). Here a veth pair leads from
 * our network namespace into a second one, where the server's end runs, and tc's token bucket (tbf)
 * limits both directions. The link adds no delay of its own: a wire of length nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define NEAR "10.98.0.1"
#define FAR  "10.98.0.2"

struct link {
	pid_t holder; /* a process that keeps the far namespace alive */
	int net;
};

static pid_t hold_namespace(void)
{
	int ready[2];
	pid_t pid;
	char c;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)setpgid(0, 0);
		if (unshare(CLONE_NEWNET) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	if (pid > 0 && read(ready[0], &c, 1) != 1) {
		(void)waitpid(pid, NULL, 0);
		pid = -1;
	}
	(void)close(ready[0]);
	return pid;
}

/* Run a tool in the far namespace. */
static int far_tool(struct sl_bench *b, const struct link *l, const char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(setns(l->net, CLONE_NEWNET) || sl_bench_tool(b, argv) ? 1 : 0);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void link_down(struct sl_bench *b, struct link *l)
{
	const char *const del[] = {"ip", "link", "del", "near", NULL};

	(void)sl_bench_tool(b, del);
	if (l->net >= 0)
		(void)close(l->net);
	if (l->holder > 0) {
		(void)kill(l->holder, SIGKILL);
		(void)waitpid(l->holder, NULL, 0);
	}
}

/* Return: what is missing, or NULL. */
static const char *link_up(struct sl_bench *b, struct link *l)
{
	char pid[16], path[32];
	const char *const add[] = {"ip",   "link", "add", "near",  "type", "veth",
				   "peer", "name", "far", "netns", pid,	   NULL};
	const char *const near_addr[] = {"ip", "addr", "add", NEAR "/24", "dev", "near", NULL};
	const char *const near_up[] = {"ip", "link", "set", "near", "up", NULL};
	const char *const far_addr[] = {"ip", "addr", "add", FAR "/24", "dev", "far", NULL};
	const char *const far_up[] = {"ip", "link", "set", "far", "up", NULL};
	int rc;

	if (!b->own_net)
		return "no network namespace of its own (needs root, or user namespaces)";
	l->holder = hold_namespace();
	if (l->holder < 0)
		return "a second network namespace is not allowed";
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)l->holder);
	(void)snprintf(pid, sizeof(pid), "%d", (int)l->holder);
	l->net = open(path, O_RDONLY | O_CLOEXEC);
	if (l->net < 0)
		return "the second network namespace cannot be entered";
	rc = sl_bench_tool(b, add);
	if (rc)
		return rc < 0 ? "ip (iproute2) is not installed" : "no veth devices here";
	if (sl_bench_tool(b, near_addr) || sl_bench_tool(b, near_up) || far_tool(b, l, far_addr) ||
	    far_tool(b, l, far_up))
		return "the veth devices cannot be set up";
	return NULL;
}

static int link_rate(struct sl_bench *b, const struct link *l, int mbit)
{
	char rate[24];
	const char *argv[] = {"tc",   "qdisc", "replace", "dev",  "near",    "root", "tbf",
			      "rate", rate,    "burst",	  "16kb", "latency", "20ms", NULL};
	int rc;

	(void)snprintf(rate, sizeof(rate), "%dmbit", mbit);
	rc = sl_bench_tool(b, argv);
	if (rc)
		return rc;
	argv[4] = "far";
	return far_tool(b, l, argv);
}

static void measure(struct sl_bench *b, const struct link *l, int mbit, int rounds)
{
	static const uint64_t pings[] = {1, 64, 1024, 16384, 131072, 1048576};
	static const uint64_t sends[] = {64, 1024, 16384, 1048576};
	double s = b->seconds > 0 ? b->seconds : b->quick ? 0.1 : 0.3;
	struct sl_bench_run run = {.v = &sl_bench_tcp,
				   .where = SL_BENCH_TWO,
				   .seconds = s,
				   .net = l->net,
				   .server = FAR};
	char text[24];
	size_t i;
	int r;

	if (b->cpus < 2)
		run.where = SL_BENCH_ONE;
	for (r = 0; r < rounds; r++) {
		for (i = 0; i < sizeof(pings) / sizeof(pings[0]); i++) {
			run.size = pings[i];
			sl_bench_step(b, "%d Mbit/s, round trip of %s", mbit,
				      sl_bench_size((double)run.size, text));
			sl_bench_add(b, sl_bench_pingpong(b, &run), "links/tcp-%d/latency/%llu",
				     mbit, (unsigned long long)run.size);
		}
		for (i = 0; i < sizeof(sends) / sizeof(sends[0]); i++) {
			run.size = sends[i];
			sl_bench_step(b, "%d Mbit/s, stream of %s", mbit,
				      sl_bench_size((double)run.size, text));
			sl_bench_add(b, sl_bench_stream(b, &run), "links/tcp-%d/stream/%llu", mbit,
				     (unsigned long long)run.size);
		}
	}
}

void sl_bench_part_links(struct sl_bench *b)
{
	struct link l = {-1, -1};
	int rounds = b->rounds > 0 ? b->rounds : b->quick ? 1 : 3, rc, i;
	static const int mbits[] = {100, 155};
	const char *missing = link_up(b, &l);

	sl_bench_expect(b, (unsigned)rounds * 20);
	for (i = 0; i < 2 && !missing; i++) {
		rc = link_rate(b, &l, mbits[i]);
		if (rc)
			missing = rc < 0 ? "tc (iproute2) is not installed"
					 : "the kernel has no token bucket (tc tbf)";
		else
			measure(b, &l, mbits[i], rounds);
	}
	if (missing)
		sl_bench_skip(b, "links", missing);
	link_down(b, &l);
}
