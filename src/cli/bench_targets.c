/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_targets.c - the project's speed targets, and the findings that stand on top
 *
 * A target compares two metrics of one run by their ratio, or one metric with a number. Those whose
 * figures were not measured are left out of the document.
 */
#include <math.h>
#include <string.h>
#include "bench.h"

struct side {
	const char *metric, *id;
};

/* @over / @under must be at most, or at least, @limit. No @under: @over itself. */
struct target {
	const char *what;
	struct side over, under;
	bool at_most;
	double limit;
	const char *unit; /* of the value: "x" for a ratio */
};

#define TWO "places/scilan/two/awake"
#define ONE "places/scilan/one/awake"
#define X(o, om, u, um)                                                                            \
	{om, o},                                                                                   \
	{                                                                                          \
		um, u                                                                              \
	}

static const struct target targets[] = {
	{"64 B round trip, two cores: against the cache line there and back",
	 X(TWO, "p50_us", "limits", "line_rtt_us"), true, 1.6, "x"},
	{"64 B round trip, two cores: blocking TCP against scilan",
	 X("places/tcp/two/awake", "p50_us", TWO, "p50_us"), false, 40, "x"},
	{"64 B round trip, two cores: TCP with both ends spinning against scilan",
	 X("places/tcp-spin/two/awake", "p50_us", TWO, "p50_us"), false, 6, "x"},
	{"the same, waiting in epoll: against a blocking read",
	 X("places/scilan/two/epoll", "p50_us", TWO, "p50_us"), true, 1.1, "x"},
	{"64 B round trip, one core: against TCP",
	 X(ONE, "p50_us", "places/tcp/one/awake", "p50_us"), true, 0.25, "x"},
	{"64 B round trip, one core: against a Unix socket",
	 X(ONE, "p50_us", "places/unix/one/awake", "p50_us"), true, 1, "x"},
	{"64 B round trip, one core: against a pipe",
	 X(ONE, "p50_us", "places/pipe/one/awake", "p50_us"), true, 1, "x"},
	{"64 B round trip, one core: against an eBPF sockmap",
	 X(ONE, "p50_us", "places/sockmap/one/awake", "p50_us"), true, 1, "x"},
	{"64 B round trip, one core: against bare eventfds",
	 X(ONE, "p50_us", "limits", "wake_eventfd_one_us"), true, 1, "x"},
	{"both asleep (1 ms gaps), unpinned: p50 against TCP",
	 X("places/scilan/free/asleep", "p50_us", "places/tcp/free/asleep", "p50_us"), true, 1,
	 "x"},
	{"both asleep, unpinned: p99 against TCP",
	 X("places/scilan/free/asleep", "p99_us", "places/tcp/free/asleep", "p99_us"), true, 1,
	 "x"},
	{"both asleep, unpinned: p50 against a Unix socket",
	 X("places/scilan/free/asleep", "p50_us", "places/unix/free/asleep", "p50_us"), true, 1,
	 "x"},
	{"both asleep, unpinned: p50 against an eBPF sockmap",
	 X("places/scilan/free/asleep", "p50_us", "places/sockmap/free/asleep", "p50_us"), true, 1,
	 "x"},
	{"both asleep, unpinned: CPU time of a message against TCP",
	 X("places/scilan/free/asleep", "cpu_us", "places/tcp/free/asleep", "cpu_us"), true, 1,
	 "x"},
	{"both asleep, two cores: p50 against TCP",
	 X("places/scilan/two/asleep", "p50_us", "places/tcp/two/asleep", "p50_us"), true, 1, "x"},
	{"both asleep, two cores: p99 against TCP",
	 X("places/scilan/two/asleep", "p99_us", "places/tcp/two/asleep", "p99_us"), true, 1, "x"},
	{"both asleep, two cores: p50 against a Unix socket",
	 X("places/scilan/two/asleep", "p50_us", "places/unix/two/asleep", "p50_us"), true, 1, "x"},
	{"both asleep, two cores: p50 against an eBPF sockmap",
	 X("places/scilan/two/asleep", "p50_us", "places/sockmap/two/asleep", "p50_us"), true, 1,
	 "x"},
	{"both asleep, two cores: CPU time of a message against TCP",
	 X("places/scilan/two/asleep", "cpu_us", "places/tcp/two/asleep", "cpu_us"), true, 1, "x"},
	{"beside two busy loops per core, two cores: p50 against TCP",
	 X("crowded/scilan/two/awake", "p50_us", "crowded/tcp/two/awake", "p50_us"), true, 1, "x"},
	{"beside two busy loops per core, two cores: p99 against TCP",
	 X("crowded/scilan/two/awake", "p99_us", "crowded/tcp/two/awake", "p99_us"), true, 1, "x"},
	{"beside two busy loops per core, one core: p50 against TCP",
	 X("crowded/scilan/one/awake", "p50_us", "crowded/tcp/one/awake", "p50_us"), true, 1, "x"},
	{"beside two busy loops per core, one core: p99 against TCP",
	 X("crowded/scilan/one/awake", "p99_us", "crowded/tcp/one/awake", "p99_us"), true, 1, "x"},
	{"beside two busy loops per core, unpinned: p50 against TCP",
	 X("crowded/scilan/free/awake", "p50_us", "crowded/tcp/free/awake", "p50_us"), true, 1,
	 "x"},
	{"beside two busy loops per core, unpinned: p99 against TCP",
	 X("crowded/scilan/free/awake", "p99_us", "crowded/tcp/free/awake", "p99_us"), true, 1,
	 "x"},
	{"beside two busy loops per core, asleep, unpinned: p50 against TCP",
	 X("crowded/scilan/free/asleep", "p50_us", "crowded/tcp/free/asleep", "p50_us"), true, 1,
	 "x"},
	{"beside two busy loops per core, asleep, unpinned: p99 against TCP",
	 X("crowded/scilan/free/asleep", "p99_us", "crowded/tcp/free/asleep", "p99_us"), true, 1,
	 "x"},
	{"stream of 64 B sends, two cores: messages/s against TCP",
	 X("stream/scilan/two/64", "messages_s", "stream/tcp/two/64", "messages_s"), false, 20,
	 "x"},
	{"stream of 64 B sends, two cores: messages/s",
	 X("stream/scilan/two/64", "messages_s", NULL, NULL), false, 20e6, "/s"},
	{"stream of 16 KiB sends: against TCP",
	 X("stream/scilan/two/16384", "gb_s", "stream/tcp/two/16384", "gb_s"), false, 1.2, "x"},
	{"stream of 16 KiB sends: against two overlapped memcpys",
	 X("stream/scilan/two/16384", "gb_s", "limits", "ring_16k_gb_s"), false, 0.85, "x"},
	{"stream of 1 MiB sends: against TCP",
	 X("stream/scilan/two/1048576", "gb_s", "stream/tcp/two/1048576", "gb_s"), false, 1.2, "x"},
	{"stream of 1 MiB sends: against two overlapped memcpys",
	 X("stream/scilan/two/1048576", "gb_s", "limits", "ring_1m_gb_s"), false, 0.85, "x"},
	{"bells of a message at saturation", X("load/scilan/0", "bells", NULL, NULL), true, 0.01,
	 ""},
	{"system calls of a message while both ends are busy, ping-pong",
	 X("calls/scilan/pingpong", "system_calls", NULL, NULL), true, 0.01, ""},
	{"system calls of a message while both ends are busy, stream",
	 X("calls/scilan/stream", "system_calls", NULL, NULL), true, 0.01, ""},
	{"CPU time of 1,000 idle connections", X("idle/scilan/1000", "cpu_ms_per_s", NULL, NULL),
	 true, 0.05, " ms/s"},
	{"short connections/s, unpinned: against TCP",
	 X("conns/scilan/free", "rate", "conns/tcp/free", "rate"), false, 0.98, "x"},
	{"short connections/s, one core: against TCP",
	 X("conns/scilan/one", "rate", "conns/tcp/one", "rate"), false, 0.98, "x"},
	{"Redis -c 50 GET: requests/s against TCP",
	 X("programs/scilan/redis-c50", "rate", "programs/tcp/redis-c50", "rate"), false, 2, "x"},
	{"Redis -c 50 GET: p50 against TCP",
	 X("programs/scilan/redis-c50", "p50_us", "programs/tcp/redis-c50", "p50_us"), true, 0.5,
	 "x"},
	{"Redis -c 50 GET: requests/s against a Unix socket",
	 X("programs/scilan/redis-c50", "rate", "programs/unix/redis-c50", "rate"), false, 1, "x"},
	{"Redis -c 1 GET: requests/s against TCP",
	 X("programs/scilan/redis-c1", "rate", "programs/tcp/redis-c1", "rate"), false, 3, "x"},
	{"Redis -P 16 GET: requests/s against TCP",
	 X("programs/scilan/redis-p16", "rate", "programs/tcp/redis-p16", "rate"), false, 1.1, "x"},
	{"Redis -k 0 (short connections): requests/s against TCP",
	 X("programs/scilan/redis-k0", "rate", "programs/tcp/redis-k0", "rate"), false, 0.98, "x"},
	{"nginx keep-alive, 612 B: requests/s against TCP",
	 X("programs/scilan/nginx-612", "rate", "programs/tcp/nginx-612", "rate"), false, 1.7, "x"},
	{"nginx keep-alive, 100 KiB by sendfile: requests/s against TCP",
	 X("programs/scilan/nginx-100k", "rate", "programs/tcp/nginx-100k", "rate"), false, 1.2,
	 "x"},
	{"nginx without keep-alive (ab): requests/s against TCP",
	 X("programs/scilan/nginx-ab", "rate", "programs/tcp/nginx-ab", "rate"), false, 0.98, "x"},
	{"pgbench select-only, 8 clients: transactions/s against TCP",
	 X("programs/scilan/pgbench-select", "rate", "programs/tcp/pgbench-select", "rate"), false,
	 1.2, "x"},
	{"pgbench simple-update, 8 clients: transactions/s against TCP",
	 X("programs/scilan/pgbench-update", "rate", "programs/tcp/pgbench-update", "rate"), false,
	 1, "x"},
	{"pgbench tpcb-like, 8 clients: transactions/s against TCP",
	 X("programs/scilan/pgbench-tpcb", "rate", "programs/tcp/pgbench-tpcb", "rate"), false, 1,
	 "x"},
};

static double value(const json_t *doc, const struct side *s)
{
	char metric[48];
	size_t n = strlen(s->metric);

	/* The limits are in ns, everything else that is a time in µs. */
	if (strcmp(s->id, "limits") != 0 || strcmp(s->metric + n - 3, "_us") != 0)
		return sl_bench_value(doc, s->metric, "%s", s->id);
	(void)snprintf(metric, sizeof(metric), "%.*s_ns", (int)n - 3, s->metric);
	return sl_bench_value(doc, metric, "%s", s->id) / 1e3;
}

static void judge(json_t *doc, const struct target *t, json_t *list)
{
	double over = value(doc, &t->over), under = t->under.id ? value(doc, &t->under) : 1;
	double v = over / under;

	if (!isfinite(v))
		return;
	json_array_append_new(list,
			      json_pack("{s:s, s:f, s:s, s:s, s:f, s:b, s:s, s:s}", "what", t->what,
					"value", v, "unit", t->unit, "is",
					t->at_most ? "at most" : "at least", "limit", t->limit,
					"reached", t->at_most ? v <= t->limit : v >= t->limit, "of",
					t->over.id, "against", t->under.id ? t->under.id : ""));
}

/* --- what a person wants to know first */

static void say(json_t *list, const char *title, const char *text, double ratio, const char *unit)
{
	json_array_append_new(list, json_pack("{s:s, s:s, s:f, s:s}", "title", title, "text", text,
					      "ratio", ratio, "unit", unit));
}

static void say_times(json_t *doc, json_t *list, const char *title, const char *id,
		      const char *plain_id, const char *plain_name)
{
	double mine = sl_bench_value(doc, "p50_us", "%s", id);
	double plain = sl_bench_value(doc, "p50_us", "%s", plain_id);
	char a[24], b[24], text[160];

	if (!isfinite(plain / mine))
		return;
	(void)snprintf(text, sizeof(text), "%s instead of %s with %s", sl_bench_time(mine, a),
		       sl_bench_time(plain, b), plain_name);
	say(list, title, text, plain / mine, plain >= mine ? "faster" : "slower");
}

static void say_rates(json_t *doc, json_t *list, const char *title, const char *metric,
		      const char *unit, const char *id, const char *plain_id)
{
	double mine = sl_bench_value(doc, metric, "%s", id);
	double plain = sl_bench_value(doc, metric, "%s", plain_id);
	char a[24], b[24], text[160];

	if (!isfinite(mine / plain))
		return;
	(void)snprintf(text, sizeof(text), "%s%s instead of %s%s with TCP",
		       sl_bench_number(mine, a), unit, sl_bench_number(plain, b), unit);
	say(list, title, text, mine / plain, "TCP's rate");
}

static json_t *headlines(json_t *doc)
{
	json_t *l = json_array();

	if (sl_bench_figure(doc, TWO))
		say_times(doc, l, "64 B round trip, two cores", TWO, "places/tcp/two/awake", "TCP");
	else
		say_times(doc, l, "64 B round trip, two cores", "latency/scilan/two/64",
			  "latency/tcp/two/64", "TCP");
	say_times(doc, l, "64 B round trip, one core", ONE, "places/tcp/one/awake", "TCP");
	say_times(doc, l, "64 B round trip, both asleep, unpinned", "places/scilan/free/asleep",
		  "places/tcp/free/asleep", "TCP");
	say_times(doc, l, "64 B round trip on a crowded machine, unpinned",
		  "crowded/scilan/free/awake", "crowded/tcp/free/awake", "TCP");
	say_rates(doc, l, "Stream of 64 B messages", "messages_s", "/s", "stream/scilan/two/64",
		  "stream/tcp/two/64");
	say_rates(doc, l, "Stream of 1 MiB messages", "gb_s", " GB/s", "stream/scilan/two/1048576",
		  "stream/tcp/two/1048576");
	say_rates(doc, l, "Short connections", "rate", "/s", "conns/scilan/free", "conns/tcp/free");
	say_rates(doc, l, "Redis, 50 clients, GET", "rate", "/s", "programs/scilan/redis-c50",
		  "programs/tcp/redis-c50");
	say_rates(doc, l, "nginx, 612 B file", "rate", "/s", "programs/scilan/nginx-612",
		  "programs/tcp/nginx-612");
	return l;
}

void sl_bench_targets(json_t *doc)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		judge(doc, &targets[i], list);
	json_object_set_new(doc, "headlines", headlines(doc));
	json_object_set_new(doc, "targets", list);
}
