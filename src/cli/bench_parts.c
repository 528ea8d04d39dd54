/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_parts.c - the parts of the benchmark: what is run, how often, and under which id it goes
 *
 * Each part goes through its runs in rounds: every variant once for each point, then again. The
 * lists below are short with --quick. bench/method.md says how each figure is taken.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static double secs(const struct sl_bench *b, double normal, double quick)
{
	return b->seconds > 0 ? b->seconds : b->quick ? quick : normal;
}

static int rounds(const struct sl_bench *b, int normal, int quick)
{
	return b->rounds > 0 ? b->rounds : b->quick ? quick : normal;
}

static enum sl_bench_where two(const struct sl_bench *b)
{
	return b->cpus > 1 ? SL_BENCH_TWO : SL_BENCH_ONE;
}

static char *size_text(double v, char s[24])
{
	return strcpy(s, sl_bench_size(v, (char[24]){0}));
}

/* --- the machine's own limits */

static void part_limits(struct sl_bench *b)
{
	struct sl_bench_args a;
	struct sl_bench_end e;
	int r, n = rounds(b, 3, 1);
	json_t *got;

	sl_bench_expect(b, (unsigned)n);
	for (r = 0; r < n; r++) {
		sl_bench_step(b, "cache line, memcpy, wake-ups");
		memset(&a, 0, sizeof(a));
		sl_bench_arg(&a, "%s/cacheline", b->drivers);
		sl_bench_arg(&a, "--cpu");
		sl_bench_arg(&a, "%d", b->cpu[0]);
		sl_bench_arg(&a, "--peer");
		sl_bench_arg(&a, "%d", b->cpus > 1 ? b->cpu[1] : b->cpu[0]);
		sl_bench_arg(&a, "--seconds");
		sl_bench_arg(&a, "%.3f", secs(b, 0.1, 0.05));
		got = NULL;
		if (!sl_bench_spawn(b, &e, NULL, -1, &a)) {
			got = sl_bench_read(b, &e, 120);
			sl_bench_end(&e, got ? 2 : 0);
		}
		if (got)
			json_object_del(got, "bench");
		sl_bench_add(b, got, "limits");
	}
}

/* --- round trips by size */

static void part_latency(struct sl_bench *b)
{
	static const uint64_t all_sizes[] = {1,	   16,	  64,	 256,	 1024,
					     4096, 16384, 65536, 262144, 1048576};
	static const uint64_t few_sizes[] = {1, 64, 1024, 16384, 1048576};
	static const struct sl_bench_variant *const vs[] = {&sl_bench_tcp,	 &sl_bench_spin,
							    &sl_bench_unix,	 &sl_bench_pipe,
							    &sl_bench_sockmap_v, &sl_bench_scilan};
	const uint64_t *sizes = b->quick ? few_sizes : all_sizes;
	size_t n = b->quick ? COUNT(few_sizes) : COUNT(all_sizes), s, v;
	int r, turns = rounds(b, 3, 2);
	char text[24];

	sl_bench_expect(b, (unsigned)(turns * (int)(n * COUNT(vs))));
	for (r = 0; r < turns; r++) {
		for (s = 0; s < n; s++) {
			for (v = 0; v < COUNT(vs); v++) {
				struct sl_bench_run run = {.v = vs[v],
							   .where = two(b),
							   .size = sizes[s],
							   .net = -1,
							   .seconds = secs(b, 0.25, 0.08)};

				if (vs[v] == &sl_bench_spin && run.where == SL_BENCH_ONE)
					continue; /* each would spin while the other should run */
				if (vs[v]->sockmap && !b->sockmap)
					continue;
				sl_bench_step(b, "%s, %s", size_text((double)sizes[s], text),
					      vs[v]->title);
				sl_bench_add(b, sl_bench_pingpong(b, &run), "latency/%s/%s/%llu",
					     vs[v]->name, sl_bench_where_names[run.where],
					     (unsigned long long)sizes[s]);
			}
		}
	}
}

/* --- 64 B round trips in every place, awake and asleep; the same in a crowd */

struct place {
	enum sl_bench_where where;
	const char *how;
	bool not_quick;
};

static const struct place places[] = {
	{SL_BENCH_TWO, "awake", false},	  {SL_BENCH_ONE, "awake", false},
	{SL_BENCH_FREE, "awake", false},  {SL_BENCH_TWO, "epoll", false},
	{SL_BENCH_ONE, "epoll", true},	  {SL_BENCH_FREE, "epoll", true},
	{SL_BENCH_TWO, "asleep", false},  {SL_BENCH_ONE, "asleep", true},
	{SL_BENCH_FREE, "asleep", false},
};

static bool place_wanted(const struct sl_bench *b, const struct place *p)
{
	return !(b->quick && p->not_quick) && (b->cpus > 1 || p->where == SL_BENCH_ONE);
}

static bool variant_fits(const struct sl_bench *b, const struct sl_bench_variant *v,
			 const struct place *p)
{
	if (v->sockmap)
		return b->sockmap;
	if (v == &sl_bench_spin)
		return p->where == SL_BENCH_TWO && !strcmp(p->how, "awake");
	return v->via != SL_BENCH_PIPE || strcmp(p->how, "epoll") != 0;
}

static void run_place(struct sl_bench *b, const struct place *p, const struct sl_bench_variant *v,
		      bool crowded)
{
	bool asleep = !strcmp(p->how, "asleep");
	struct sl_bench_run run = {.v = v,
				   .where = p->where,
				   .size = 64,
				   .net = -1,
				   .crowded = crowded,
				   .wait = strcmp(p->how, "epoll") != 0 ? "blocking" : "epoll",
				   .gap_us = asleep ? 1000 : 0,
				   .seconds = crowded  ? secs(b, asleep ? 1.2 : 0.6, 0.2)
					      : asleep ? secs(b, 1, 0.25)
						       : secs(b, 0.3, 0.1)};

	sl_bench_step(b, "%s, %s, %s", sl_bench_where_titles[p->where], p->how, v->title);
	sl_bench_add(b, sl_bench_pingpong(b, &run), "%s/%s/%s/%s", crowded ? "crowded" : "places",
		     v->name, sl_bench_where_names[p->where], p->how);
}

static void each_place(struct sl_bench *b, const struct sl_bench_variant *const *vs, size_t n,
		       int turns, bool crowded)
{
	unsigned runs = 0;
	size_t i, v;
	int r;

	for (r = -1; r < turns; r++) {
		for (i = 0; i < COUNT(places); i++) {
			if (!place_wanted(b, &places[i]) ||
			    (crowded && b->quick && !strcmp(places[i].how, "epoll")))
				continue;
			for (v = 0; v < n; v++) {
				if (!variant_fits(b, vs[v], &places[i]))
					continue;
				if (r < 0)
					runs += (unsigned)turns;
				else
					run_place(b, &places[i], vs[v], crowded);
			}
		}
		if (r < 0)
			sl_bench_expect(b, runs);
	}
}

static void part_places(struct sl_bench *b)
{
	static const struct sl_bench_variant *const vs[] = {&sl_bench_tcp,	 &sl_bench_spin,
							    &sl_bench_unix,	 &sl_bench_pipe,
							    &sl_bench_sockmap_v, &sl_bench_scilan};

	each_place(b, vs, COUNT(vs), rounds(b, 3, 2), false);
}

/* A process that never stops, on one CPU. */
static pid_t busy_loop(int cpu)
{
	pid_t pid = fork();
	cpu_set_t set;

	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, 0);
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
	for (;;)
		__asm__ volatile("" ::: "memory");
}

#define CROWD_MAX 1024

static void part_crowded(struct sl_bench *b)
{
	static const struct sl_bench_variant *const vs[] = {&sl_bench_tcp, &sl_bench_unix,
							    &sl_bench_scilan};
	pid_t crowd[CROWD_MAX];
	int cpu, n = 0;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (cpu = 0; cpu < CPU_SETSIZE && n + 2 <= CROWD_MAX; cpu++) {
		if (!CPU_ISSET((size_t)cpu, &set))
			continue;
		crowd[n++] = busy_loop(cpu);
		crowd[n++] = busy_loop(cpu);
	}
	each_place(b, vs, COUNT(vs), rounds(b, 3, 1), true);
	while (n-- > 0) {
		if (crowd[n] <= 0)
			continue;
		(void)kill(crowd[n], SIGKILL);
		(void)waitpid(crowd[n], NULL, 0);
	}
}

/* --- the first messages of a connection */

#define FIRST 64

static void part_first(struct sl_bench *b)
{
	static const struct sl_bench_variant *const vs[] = {&sl_bench_tcp, &sl_bench_unix,
							    &sl_bench_scilan, &sl_bench_eager};
	int r, turns = rounds(b, 3, 1);
	size_t v;

	sl_bench_expect(b, (unsigned)turns * COUNT(vs));
	for (r = 0; r < turns; r++) {
		for (v = 0; v < COUNT(vs); v++) {
			struct sl_bench_run run = {.v = vs[v],
						   .where = two(b),
						   .size = 64,
						   .net = -1,
						   .seconds = secs(b, 0.6, 0.2)};

			sl_bench_step(b, "%s", vs[v]->title);
			sl_bench_add(b, sl_bench_conns(b, &run, FIRST), "first/%s", vs[v]->name);
		}
	}
}

/* --- streams */

static void run_stream(struct sl_bench *b, const struct sl_bench_variant *v,
		       enum sl_bench_where where, uint64_t size)
{
	struct sl_bench_run run = {
		.v = v, .where = where, .size = size, .net = -1, .seconds = secs(b, 0.3, 0.09)};
	char text[24];

	if ((v == &sl_bench_spin && where != SL_BENCH_TWO) || (v->sockmap && !b->sockmap))
		return;
	sl_bench_step(b, "%s, %s, %s", size_text((double)size, text), sl_bench_where_titles[where],
		      v->title);
	sl_bench_add(b, sl_bench_stream(b, &run), "stream/%s/%s/%llu", v->name,
		     sl_bench_where_names[where], (unsigned long long)size);
}

/* All sizes on two cores; three of them on one core and unpinned, too. */
static void part_stream(struct sl_bench *b)
{
	static const uint64_t all_sizes[] = {16,    64,	   256,	   1024,    4096,
					     16384, 65536, 262144, 1048576, 4194304};
	static const uint64_t few_sizes[] = {16, 64, 1024, 16384, 1048576, 4194304};
	static const uint64_t other_sizes[] = {64, 16384, 1048576};
	static const struct sl_bench_variant *const vs[] = {&sl_bench_tcp,	 &sl_bench_spin,
							    &sl_bench_unix,	 &sl_bench_pipe,
							    &sl_bench_sockmap_v, &sl_bench_scilan};
	const uint64_t *sizes = b->quick ? few_sizes : all_sizes;
	size_t n = b->quick ? COUNT(few_sizes) : COUNT(all_sizes);
	size_t others = b->quick || b->cpus < 2 ? 0 : COUNT(other_sizes), s, v;
	int r, turns = rounds(b, 3, 2);

	sl_bench_expect(b, (unsigned)(turns * (int)((n + 2 * others) * COUNT(vs))));
	for (r = 0; r < turns; r++) {
		for (s = 0; s < n; s++)
			for (v = 0; v < COUNT(vs); v++)
				run_stream(b, vs[v], two(b), sizes[s]);
		for (s = 0; s < 2 * others; s++)
			for (v = 0; v < COUNT(vs); v++)
				run_stream(b, vs[v], s < others ? SL_BENCH_ONE : SL_BENCH_FREE,
					   other_sizes[s % others]);
	}
}

/* --- answers against offered load; 0: as fast as 256 requests under way allow */

static void run_load(struct sl_bench *b, const struct sl_bench_variant *v, uint64_t rate,
		     bool calls)
{
	struct sl_bench_run run = {.v = v,
				   .where = two(b),
				   .size = 64,
				   .net = -1,
				   .load = true,
				   .rate = rate,
				   .calls = calls,
				   .seconds = secs(b, 0.5, 0.12)};

	if (rate)
		sl_bench_step(b, "%llu/s, %s%s", (unsigned long long)rate, v->title,
			      calls ? ", counting system calls" : "");
	else
		sl_bench_step(b, "saturated, %s%s", v->title,
			      calls ? ", counting system calls" : "");
	sl_bench_add(b, sl_bench_pingpong(b, &run), "load/%s/%llu", v->name,
		     (unsigned long long)rate);
}

static void part_load(struct sl_bench *b)
{
	static const uint64_t all_rates[] = {1000,   3000,   10000,  30000,   100000,
					     200000, 400000, 800000, 1600000, 0};
	static const uint64_t few_rates[] = {1000, 10000, 100000, 400000, 0};
	static const struct sl_bench_variant *const vs[] = {&sl_bench_tcp, &sl_bench_unix,
							    &sl_bench_scilan};
	const uint64_t *rates = b->quick ? few_rates : all_rates;
	size_t n = b->quick ? COUNT(few_rates) : COUNT(all_rates), i, v;
	int r, turns = rounds(b, 3, 1);

	sl_bench_expect(b, (unsigned)((turns + 1) * (int)(n * COUNT(vs))));
	for (r = 0; r <= turns; r++)
		for (i = 0; i < n; i++)
			for (v = 0; v < COUNT(vs); v++)
				run_load(b, vs[v], rates[i], r == turns);
}

/* --- system calls of a message while both ends are busy */

static void part_calls(struct sl_bench *b)
{
	static const struct sl_bench_variant *const vs[] = {&sl_bench_tcp, &sl_bench_unix,
							    &sl_bench_scilan};
	int r, turns = rounds(b, 3, 1);
	size_t v;

	sl_bench_expect(b, (unsigned)turns * 2 * COUNT(vs));
	for (r = 0; r < turns; r++) {
		for (v = 0; v < COUNT(vs); v++) {
			struct sl_bench_run run = {.v = vs[v],
						   .where = two(b),
						   .size = 64,
						   .net = -1,
						   .calls = true,
						   .seconds = secs(b, 0.3, 0.1)};

			sl_bench_step(b, "ping-pong, %s", vs[v]->title);
			sl_bench_add(b, sl_bench_pingpong(b, &run), "calls/%s/pingpong",
				     vs[v]->name);
			sl_bench_step(b, "stream, %s", vs[v]->title);
			sl_bench_add(b, sl_bench_stream(b, &run), "calls/%s/stream", vs[v]->name);
		}
	}
}

/* --- short connections */

static void part_conns(struct sl_bench *b)
{
	static const struct sl_bench_variant *const vs[] = {&sl_bench_tcp, &sl_bench_scilan,
							    &sl_bench_unix};
	static const enum sl_bench_where where[] = {SL_BENCH_FREE, SL_BENCH_ONE};
	int r, turns = rounds(b, 7, 3); /* 2% is a fine line */
	size_t v, w;

	sl_bench_expect(b, (unsigned)turns * COUNT(vs) * COUNT(where));
	for (r = 0; r < turns; r++) {
		for (w = 0; w < COUNT(where); w++) {
			for (v = 0; v < COUNT(vs); v++) {
				struct sl_bench_run run = {.v = vs[v],
							   .where = where[w],
							   .size = 1,
							   .net = -1,
							   .seconds = secs(b, 0.4, 0.1)};

				sl_bench_step(b, "%s, %s", sl_bench_where_titles[where[w]],
					      vs[v]->title);
				sl_bench_add(b, sl_bench_conns(b, &run, 1), "conns/%s/%s",
					     vs[v]->name, sl_bench_where_names[where[w]]);
			}
		}
	}
}

/* --- more processes, more threads */

/* @threads: on one connection; else pairs of processes. */
static void part_counts(struct sl_bench *b, bool threads)
{
	static const int counts[] = {1, 2, 4, 8};
	static const struct sl_bench_variant *const vs[] = {&sl_bench_tcp, &sl_bench_unix,
							    &sl_bench_scilan};
	const char *what = threads ? "threads" : "pairs";
	size_t n = b->quick ? 3 : COUNT(counts), i, v;
	int r, turns = rounds(b, 3, 1);

	sl_bench_expect(b, (unsigned)(turns * (int)(n * COUNT(vs))));
	for (r = 0; r < turns; r++) {
		for (i = 0; i < n; i++) {
			for (v = 0; v < COUNT(vs); v++) {
				struct sl_bench_run run = {.v = vs[v],
							   .where = SL_BENCH_FREE,
							   .size = 64,
							   .net = -1,
							   .threads = threads ? (uint64_t)counts[i] : 0,
							   .seconds = secs(b, 0.4, 0.15)};

				sl_bench_step(b, "%d %s, %s", counts[i], what, vs[v]->title);
				sl_bench_add(b,
					     threads ? sl_bench_stream(b, &run) :
						       sl_bench_pairs(b, &run, counts[i]),
					     "%s/%s/%d", what, vs[v]->name, counts[i]);
			}
		}
	}
}

static void part_pairs(struct sl_bench *b)
{
	part_counts(b, false);
}

static void part_threads(struct sl_bench *b)
{
	part_counts(b, true);
}

/* --- idle connections */

static void part_idle(struct sl_bench *b)
{
	static const struct sl_bench_variant *const vs[] = {&sl_bench_tcp, &sl_bench_scilan};
	int n = b->quick ? 200 : 1000;
	size_t v;

	sl_bench_expect(b, COUNT(vs));
	for (v = 0; v < COUNT(vs); v++) {
		struct sl_bench_run run = {
			.v = vs[v], .where = SL_BENCH_FREE, .net = -1, .seconds = secs(b, 5, 1)};

		sl_bench_step(b, "%d connections, %s", n, vs[v]->title);
		sl_bench_add(b, sl_bench_idle(b, &run, n), "idle/%s/%d", vs[v]->name, n);
	}
}

const struct sl_bench_part sl_bench_part_list[] = {
	{"limits", "The machine's own limits",
	 "cache line there and back, memcpy, the cost of waking with each kernel primitive",
	 part_limits, false},
	{"latency", "Round trip by message size",
	 "ping-pong of 1 B to 1 MiB, both ends awake, on two cores", part_latency, false},
	{"places", "64 B round trip by place",
	 "on one core, on two, unpinned; awake, in epoll, asleep (gaps of 1 ms)", part_places,
	 false},
	{"crowded", "64 B round trip beside two busy loops per core",
	 "the same beside two busy loops per core", part_crowded, false},
	{"first", "The first 64 messages of a connection",
	 "how long each takes: does promotion stall anything?", part_first, false},
	{"stream", "Stream by size of a send", "one-way throughput with sends of 16 B to 4 MiB",
	 part_stream, false},
	{"load", "Answers against offered load",
	 "open loop: latency, CPU time, sleeps, bells and system calls of a message", part_load,
	 false},
	{"calls", "System calls of a message", "while both ends are busy", part_calls, false},
	{"conns", "Short connections", "connect, one byte there and back, close", part_conns,
	 false},
	{"pairs", "Pairs of processes", "round trips a second of 1, 2, 4 ... pairs at once",
	 part_pairs, false},
	{"threads", "Threads on one connection",
	 "messages a second of 1, 2, 4 ... senders and receivers that share one connection",
	 part_threads, false},
	{"idle", "Idle connections", "CPU time of open connections on which nothing happens",
	 part_idle, false},
	{"links", "Over links of 100 and 155 Mbit/s",
	 "TCP over real networks of the paper's time, made with network namespaces and tc",
	 sl_bench_part_links, false},
	{"programs", "Real programs",
	 "Redis, nginx and PostgreSQL with their load generators, where they are installed",
	 sl_bench_part_programs, true},
};

const size_t sl_bench_part_count = COUNT(sl_bench_part_list);
