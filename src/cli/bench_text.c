/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_text.c - the document as tables on a terminal of 110 columns */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"

#define COLUMNS_MAX 8
#define XS_MAX	    32
#define LABEL_W	    28
#define COLUMN_W    12

enum kind { TIME, RATE, BYTES_RATE, EACH, SHARE };

struct table {
	const char *part, *title;
	const char *metric;
	enum kind kind;
	const char *variants[COLUMNS_MAX]; /* NULL: the end */
	const char *in;			   /* between variant and x: "two"; "": nothing */
	const char *unit;		   /* of x: "B", "/s", "pairs" ... */
	bool places;			   /* rows are places, not values of x */
	bool ratio;			   /* the last column: scilan's gain over the first one */
};

#define ALL                                                                                        \
	{                                                                                          \
		"tcp", "tcp-spin", "unix", "pipe", "sockmap", "scilan", NULL                       \
	}
#define THREE                                                                                      \
	{                                                                                          \
		"tcp", "unix", "scilan", NULL                                                      \
	}
#define STREAM                                                                                     \
	{                                                                                          \
		"tcp", "unix", "pipe", "sockmap", "scilan", NULL                                   \
	}
#define LINKS                                                                                      \
	{                                                                                          \
		"tcp-100", "tcp-155", NULL                                                         \
	}

static const struct table tables[] = {
	{"latency", "p50", "p50_us", TIME, ALL, "@", "B", false, true},
	{"latency", "p99", "p99_us", TIME, ALL, "@", "B", false, true},
	{"latency", "p99.9", "p999_us", TIME, ALL, "@", "B", false, true},
	{"places", "p50", "p50_us", TIME, ALL, "", "", true, true},
	{"places", "p99", "p99_us", TIME, ALL, "", "", true, true},
	{"places", "CPU time of a message, both", "cpu_us", TIME, ALL, "", "", true, true},
	{"places", "sleeps of a message, both", "sleeps", EACH, ALL, "", "", true, false},
	{"crowded", "p50", "p50_us", TIME, THREE, "", "", true, true},
	{"crowded", "p99", "p99_us", TIME, THREE, "", "", true, true},
	{"crowded", "CPU time of a message, both", "cpu_us", TIME, THREE, "", "", true, true},
	{"stream", "messages/s", "messages_s", RATE, ALL, "@", "B", false, true},
	{"stream", "GB/s", "gb_s", BYTES_RATE, ALL, "@", "B", false, true},
	{"stream", "GB/s, on one core", "gb_s", BYTES_RATE, STREAM, "one", "B", false, true},
	{"stream", "GB/s, unpinned", "gb_s", BYTES_RATE, STREAM, "free", "B", false, true},
	{"load", "answered/s", "rate", RATE, THREE, "", "/s", false, true},
	{"load", "p50, from when it was due", "p50_us", TIME, THREE, "", "/s", false, true},
	{"load", "p99", "p99_us", TIME, THREE, "", "/s", false, true},
	{"load", "CPU time of a message, both", "cpu_us", TIME, THREE, "", "/s", false, true},
	{"load", "sleeps of a message, both", "sleeps", EACH, THREE, "", "/s", false, false},
	{"load", "system calls of a message", "system_calls", EACH, THREE, "", "/s", false, false},
	{"load", "bells of a message", "bells", EACH, {"scilan", NULL}, "", "/s", false, false},
	{"pairs", "round trips/s, all together", "rate", RATE, THREE, "", " pairs", false, true},
	{"threads", "messages/s, 64 B", "messages_s", RATE, THREE, "", " threads", false, true},
	{"idle",
	 "CPU, ms a second",
	 "cpu_ms_per_s",
	 EACH,
	 {"tcp", "scilan", NULL},
	 "",
	 " connections",
	 false,
	 false},
	{"links", "round trip, p50", "p50_us", TIME, LINKS, "latency", "B", false, false},
	{"links", "stream, GB/s", "gb_s", BYTES_RATE, LINKS, "stream", "B", false, false},
};

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

/* Bytes are not columns: µ and – take two or three. */
static void right(FILE *out, const char *s, int width)
{
	const char *p;

	for (p = s; *p; p++)
		width -= (*p & 0xc0) != 0x80;
	while (width-- > 0)
		(void)fputc(' ', out);
	(void)fputs(s, out);
}

static void left(FILE *out, const char *s, int width)
{
	const char *p;

	(void)fputs(s, out);
	for (p = s; *p; p++)
		width -= (*p & 0xc0) != 0x80;
	while (width-- > 0)
		(void)fputc(' ', out);
}

static const char *cell(enum kind kind, double v, char s[24])
{
	if (isnan(v))
		return "–";
	return kind == TIME ? sl_bench_time(v, s) : sl_bench_number(v, s);
}

/* Shorter than a column is wide. */
static const char *column_name(const char *variant)
{
	if (!strcmp(variant, "tcp-spin"))
		return "TCP spin";
	return strcmp(variant, "scilan-eager") != 0 ? sl_bench_short(variant) : "eager";
}

static void head(FILE *out, const struct table *t)
{
	size_t i;

	(void)fputs("  ", out);
	left(out, t->title, LABEL_W);
	for (i = 0; t->variants[i]; i++)
		right(out, column_name(t->variants[i]), i ? COLUMN_W : COLUMN_W - 2);
	if (t->ratio)
		right(out, "gain", 8);
	(void)fputc('\n', out);
}

/* Return: whether there was anything to print. */
static bool row(FILE *out, const json_t *doc, const struct table *t, const char *label,
		const char *rest)
{
	double v[COLUMNS_MAX], gain;
	bool any = false;
	char s[24];
	size_t i, n;

	for (n = 0; t->variants[n]; n++) {
		v[n] = sl_bench_value(doc, t->metric, "%s/%s%s%s", t->part, t->variants[n],
				      *rest ? "/" : "", rest);
		any |= !isnan(v[n]);
	}
	if (!any)
		return false;
	(void)fputs("  ", out);
	left(out, label, LABEL_W);
	for (i = 0; i < n; i++)
		right(out, cell(t->kind, v[i], s), i ? COLUMN_W : COLUMN_W - 2);
	if (t->ratio) {
		gain = t->kind == TIME ? v[0] / v[n - 1] : v[n - 1] / v[0];
		right(out, sl_bench_times(gain, s), 8);
	}
	(void)fputc('\n', out);
	return true;
}

static void print_places(const json_t *doc, const struct table *t, FILE *out)
{
	static const char *const wheres[] = {"two", "one", "free"};
	static const char *const names[] = {"two cores", "one core", "unpinned"};
	static const char *const hows[] = {"awake", "epoll", "asleep"};
	static const char *const how_names[] = {"awake", "awake, in epoll", "1 ms gaps"};
	char label[64], rest[32];
	size_t h, w;

	for (h = 0; h < 3; h++) {
		for (w = 0; w < 3; w++) {
			(void)snprintf(label, sizeof(label), "%s, %s", names[w], how_names[h]);
			(void)snprintf(rest, sizeof(rest), "%s/%s", wheres[w], hows[h]);
			(void)row(out, doc, t, label, rest);
		}
	}
}

static void print_xs(const json_t *doc, const struct table *t, FILE *out)
{
	char prefix[SL_BENCH_ID], rest[48], label[48], s[24];
	const char *in = t->in;
	double xs[XS_MAX];
	size_t i, n, v;

	if (*in == '@') { /* where there are two cores: on two */
		(void)snprintf(prefix, sizeof(prefix), "%s/tcp/two", t->part);
		in = sl_bench_xs(doc, prefix, xs, XS_MAX) ? "two" : "one";
	}
	for (v = 0, n = 0; t->variants[v] && !n; v++) {
		(void)snprintf(prefix, sizeof(prefix), "%s/%s%s%s", t->part, t->variants[v],
			       *in ? "/" : "", in);
		n = sl_bench_xs(doc, prefix, xs, XS_MAX);
	}
	if (n)
		head(out, t);
	if (n && xs[0] == 0) { /* saturated: more than any rate */
		memmove(xs, xs + 1, (n - 1) * sizeof(*xs));
		xs[n - 1] = 0;
	}
	for (i = 0; i < n; i++) {
		if (!strcmp(t->unit, "B"))
			(void)sl_bench_size(xs[i], label);
		else if (xs[i] == 0)
			(void)strcpy(label, "saturated");
		else
			(void)snprintf(label, sizeof(label), "%s%s", sl_bench_tick(xs[i], s),
				       t->unit);
		(void)snprintf(rest, sizeof(rest), "%s%s%.0f", in, *in ? "/" : "", xs[i]);
		(void)row(out, doc, t, label, rest);
	}
}

/* --- parts that are no such table */

static void print_limits(const json_t *doc, FILE *out)
{
	static const char *const bells[] = {"futex", "eventfd", "pipe", "unix", "tcp"};
	static const char *const wheres[] = {"two", "one", "free"};
	char metric[64], s[24];
	size_t i, w;
	double v;

	v = sl_bench_value(doc, "line_rtt_ns", "limits");
	if (!isnan(v))
		(void)fprintf(out, "  a cache line there and back      %7.0f ns\n", v);
	(void)fprintf(out, "  a system call                    %7.0f ns\n",
		      sl_bench_value(doc, "syscall_ns", "limits"));
	(void)fprintf(out, "  memcpy, in cache | from memory   %7.1f | %.1f GB/s\n",
		      sl_bench_value(doc, "memcpy_cache_gb_s", "limits"),
		      sl_bench_value(doc, "memcpy_memory_gb_s", "limits"));
	v = sl_bench_value(doc, "ring_16k_gb_s", "limits");
	if (!isnan(v))
		(void)fprintf(out,
			      "  two overlapped memcpys through a ring of 256 KiB, 16 KiB | 1 MiB\n"
			      "                                   %7.1f | %.1f GB/s\n",
			      v, sl_bench_value(doc, "ring_1m_gb_s", "limits"));
	(void)fputs(
		"  waking and being woken (a round trip)  two cores     one core     unpinned\n",
		out);
	for (i = 0; i < 5; i++) {
		(void)fputs("    ", out);
		left(out, !strcmp(bells[i], "tcp") ? "a byte of TCP" : bells[i], 30);
		for (w = 0; w < 3; w++) {
			(void)snprintf(metric, sizeof(metric), "wake_%s_%s_ns", bells[i],
				       wheres[w]);
			right(out, sl_bench_time(sl_bench_value(doc, metric, "limits") / 1e3, s),
			      13);
		}
		(void)fputc('\n', out);
	}
	v = sl_bench_value(doc, "asleep_eventfd_free_ns", "limits");
	if (isnan(v))
		return;
	(void)fputs("  the same with 1 ms between two, p50 | p99     two cores               "
		    "unpinned\n",
		    out);
	for (i = 0; i < 2; i++) {
		(void)fputs("    ", out);
		left(out, i ? "a byte of TCP" : "eventfd", 30);
		for (w = 0; w < 3; w += 2) {
			(void)snprintf(metric, sizeof(metric), "asleep_%s_%s_ns",
				       i ? "tcp" : "eventfd", wheres[w]);
			right(out, sl_bench_time(sl_bench_value(doc, metric, "limits") / 1e3, s),
			      11);
			(void)snprintf(metric, sizeof(metric), "asleep_%s_%s_p99_ns",
				       i ? "tcp" : "eventfd", wheres[w]);
			(void)fputs(" |", out);
			right(out, sl_bench_time(sl_bench_value(doc, metric, "limits") / 1e3, s),
			      10);
		}
		(void)fputc('\n', out);
	}
}

static void print_first(const json_t *doc, FILE *out)
{
	static const struct table t = {.variants = {"tcp", "unix", "scilan", "scilan-eager", NULL},
				       .title = "message, p50"};
	static const int shown[] = {1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64};
	char id[SL_BENCH_ID], s[24];
	size_t i, v;

	head(out, &t);
	for (i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		(void)snprintf(s, sizeof(s), "%d", shown[i]);
		(void)fputs("  ", out);
		left(out, s, LABEL_W);
		for (v = 0; t.variants[v]; v++) {
			const json_t *f, *m;

			(void)snprintf(id, sizeof(id), "first/%s", t.variants[v]);
			f = sl_bench_figure(doc, id);
			m = json_array_get(
				json_object_get(json_object_get(f, "median"), "each_p50_ns"),
				(size_t)shown[i] - 1);
			right(out, m ? sl_bench_time(json_number_value(m) / 1e3, s) : "–",
			      v ? COLUMN_W : COLUMN_W - 2);
		}
		(void)fputc('\n', out);
	}
}

static void print_calls(const json_t *doc, FILE *out)
{
	static const struct table t = {.part = "calls",
				       .metric = "system_calls",
				       .kind = EACH,
				       .variants = THREE,
				       .title = ""};

	head(out, &t);
	(void)row(out, doc, &t, "ping-pong, 64 B", "pingpong");
	(void)row(out, doc, &t, "stream, 64 B", "stream");
}

static void print_conns(const json_t *doc, FILE *out)
{
	static const struct table t = {.part = "conns",
				       .metric = "rate",
				       .kind = RATE,
				       .variants = THREE,
				       .title = "connections/s",
				       .ratio = true};

	head(out, &t);
	(void)row(out, doc, &t, "unpinned", "free");
	(void)row(out, doc, &t, "one core", "one");
}

static void print_programs(const json_t *doc, FILE *out)
{
	static const char *const ids[] = {
		"redis-c50",  "redis-c1", "redis-p16",	    "redis-k0",	      "nginx-612",
		"nginx-100k", "nginx-ab", "pgbench-select", "pgbench-update", "pgbench-tpcb"};
	static const char *const names[] = {"Redis GET, 50 clients",
					    "Redis GET, 1 client",
					    "Redis GET, pipeline of 16",
					    "Redis GET, no keep-alive",
					    "nginx, 612 B",
					    "nginx, 100 KiB, sendfile",
					    "nginx, 612 B, no keep-alive",
					    "pgbench select-only, 8",
					    "pgbench simple-update, 8",
					    "pgbench tpcb-like, 8"};
	static const struct table t[] = {
		{"programs", "requests/s", "rate", RATE, THREE, "", "", false, true},
		{"programs", "p50", "p50_us", TIME, THREE, "", "", false, true},
		{"programs", "p99", "p99_us", TIME, THREE, "", "", false, true},
	};
	size_t i, k;

	for (k = 0; k < sizeof(t) / sizeof(t[0]); k++) {
		head(out, &t[k]);
		for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
			(void)row(out, doc, &t[k], names[i], ids[i]);
	}
}

static void print_tables(const json_t *doc, const char *part, FILE *out)
{
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (strcmp(tables[i].part, part) != 0)
			continue;
		if (tables[i].places) {
			head(out, &tables[i]);
			print_places(doc, &tables[i], out);
		} else {
			print_xs(doc, &tables[i], out);
		}
	}
}

static const char *skipped(const json_t *doc, const char *part)
{
	const json_t *s;
	size_t i;

	json_array_foreach(json_object_get(doc, "skipped"), i, s)
	{
		if (!strcmp(text_of(s, "part"), part))
			return text_of(s, "why");
	}
	return NULL;
}

static bool measured(const json_t *doc, const char *part)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(doc, "figures"), i, f)
	{
		const char *p = json_string_value(json_object_get(f, "part"));

		if (p && !strcmp(p, part) && json_object_size(json_object_get(f, "median")))
			return true;
	}
	return false;
}

/* Runs of scilan that went over TCP are no runs of scilan. */
static void warn_lanes(const json_t *doc, const char *part, FILE *out)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(doc, "figures"), i, f)
	{
		const json_t *m = json_object_get(json_object_get(f, "median"), "memory_share");
		const char *p = json_string_value(json_object_get(f, "part"));
		const char *why = text_of(json_array_get(json_object_get(f, "runs"), 0), "reason");

		if (m && p && !strcmp(p, part) && json_number_value(m) < 0.9)
			(void)fprintf(out, "  NOTE: %s: only %.0f%% in memory%s%s\n",
				      text_of(f, "id"), json_number_value(m) * 100,
				      *why ? ": " : "", why);
	}
}

static void say_errors(const json_t *doc, const char *part, FILE *out)
{
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(doc, "figures"), i, f)
	{
		const char *p = json_string_value(json_object_get(f, "part"));

		if (p && !strcmp(p, part) && json_object_get(f, "error"))
			(void)fprintf(out, "  NOTE: %s: a run failed: %s\n", text_of(f, "id"),
				      text_of(f, "error"));
	}
}

static const char *bold(FILE *out, bool on)
{
	return !isatty(fileno(out)) ? "" : on ? "\033[1m" : "\033[0m";
}

void sl_bench_text(const json_t *doc, const char *part, FILE *out)
{
	const char *why = skipped(doc, part);
	size_t i;

	for (i = 0; i < sl_bench_part_count; i++)
		if (!strcmp(sl_bench_part_list[i].name, part))
			break;
	if (!why && !measured(doc, part))
		return;
	(void)fprintf(out, "%s%s%s (%s)\n", bold(out, true), sl_bench_part_list[i].title,
		      bold(out, false), part);
	if (why)
		(void)fprintf(out, "  skipped: %s\n", why);
	if (!measured(doc, part))
		(void)why;
	else if (!strcmp(part, "limits"))
		print_limits(doc, out);
	else if (!strcmp(part, "first"))
		print_first(doc, out);
	else if (!strcmp(part, "calls"))
		print_calls(doc, out);
	else if (!strcmp(part, "conns"))
		print_conns(doc, out);
	else if (!strcmp(part, "programs"))
		print_programs(doc, out);
	else
		print_tables(doc, part, out);
	warn_lanes(doc, part, out);
	say_errors(doc, part, out);
	(void)fputc('\n', out);
	(void)fflush(out);
}

void sl_bench_text_head(const json_t *doc, FILE *out)
{
	const json_t *m = json_object_get(doc, "machine"), *s = json_object_get(doc, "settings");
	double load = json_number_value(json_object_get(m, "load"));
	bool control = json_is_true(json_object_get(s, "control"));

	(void)fprintf(out,
		      "%sscilan bench%s: the same programs over TCP, Unix sockets, pipes and "
		      "scilan, by turns; medians\n\n",
		      bold(out, true), bold(out, false));
	(void)fprintf(out, "  machine   %s, %lld CPUs%s, Linux %s, %s\n", text_of(m, "cpu"),
		      (long long)json_integer_value(json_object_get(m, "cpus")),
		      json_is_true(json_object_get(m, "virtual")) ? " (virtual machine)" : "",
		      text_of(m, "kernel"), text_of(m, "system"));
	(void)fprintf(out, "  scilan    %s; promote %s, ring %s, spin %s\n", text_of(s, "version"),
		      text_of(s, "promote"), text_of(s, "ring"), text_of(s, "spin"));
	(void)fprintf(out, "  TCP       congestion control %s, %s\n", text_of(s, "congestion"),
		      text_of(s, "network"));
	if (strcmp(text_of(s, "congestion"), "cubic") != 0)
		(void)fprintf(out, "            NOT cubic: TCP may be slower than what most users "
				   "have\n");
	(void)fprintf(out, "  cores     pinned ends on CPU %s\n", text_of(s, "cpus_pinned"));
	(void)fprintf(out, "  calls     system calls: %s\n", text_of(s, "system_calls"));
	if (load > 0.5)
		(void)fprintf(out,
			      "  NOTE      load %.2f: this machine does other work; figures "
			      "suffer\n",
			      load);
	if (control)
		(void)fprintf(out, "  CONTROL   the column scilan is plain TCP, too: it shows the "
				   "noise\n");
	(void)fputc('\n', out);
	(void)fflush(out);
}

static void target_value(const json_t *t, const char *name, char s[32])
{
	const char *unit = text_of(t, "unit");
	double v = json_number_value(json_object_get(t, name));
	char number[24];

	if (!strcmp(unit, "x"))
		(void)snprintf(s, 32, "%s",
			       !strcmp(name, "value") ? sl_bench_times(v, number) : "");
	else
		(void)snprintf(s, 32, "%s%s", sl_bench_number(v, number), unit);
	if (!*s)
		(void)snprintf(s, 32, "%gx", v);
}

void sl_bench_text_targets(const json_t *doc, FILE *out)
{
	const json_t *list = json_object_get(doc, "targets"), *t;
	size_t i, reached = 0;
	char v[32], limit[32], want[64];

	if (!json_array_size(list))
		return;
	(void)fprintf(out, "%sTargets%s\n", bold(out, true), bold(out, false));
	json_array_foreach(list, i, t)
	{
		bool ok = json_is_true(json_object_get(t, "reached"));

		reached += ok;
		target_value(t, "value", v);
		target_value(t, "limit", limit);
		(void)snprintf(want, sizeof(want), "%s %s", text_of(t, "is"), limit);
		(void)fputs("  ", out);
		left(out, text_of(t, "what"), 68);
		right(out, v, 9);
		(void)fputs("  ", out);
		left(out, want, 18);
		(void)fprintf(out, "%s\n", ok ? "reached" : "NOT REACHED");
	}
	(void)fprintf(
		out, "  %zu of %zu reached, %.0f s\n", reached, json_array_size(list),
		json_number_value(json_object_get(json_object_get(doc, "settings"), "duration_s")));
	(void)fflush(out);
}
