/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_plots.c - the plots of the page, a section for what belongs together
 *
 * A section is headed by what it has found, in a sentence made from the figures, and is left out
 * where nothing was measured.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"
#include "bench_svg.h"

/* --- figures */

struct buffer {
	char *text;
	size_t len;
	FILE *f;
};

static void figure_begin(FILE *out, const char *title, const char *caption)
{
	(void)fputs("<figure><figcaption>", out);
	sl_svg_element(out, "b", "", title);
	sl_svg_element(out, "span", "", caption);
	(void)fputs("</figcaption>\n", out);
}

/* Draw first: a figure without points is none, and has no caption. */
static bool draft_begin(struct buffer *b)
{
	*b = (struct buffer){NULL, 0, NULL};
	b->f = open_memstream(&b->text, &b->len);
	return b->f;
}

/* @any: something was drawn. */
static void draft_end(struct buffer *b, FILE *out, const char *title, const char *caption, bool any)
{
	(void)fclose(b->f);
	if (any) {
		figure_begin(out, title, caption);
		(void)fputs(b->text, out);
		(void)fputs("</figure>\n", out);
	}
	free(b->text);
}

static void lines_figure(FILE *out, const char *title, const char *caption, struct sl_svg_lines *p)
{
	struct buffer b;

	if (!draft_begin(&b))
		return;
	p->alt = title;
	draft_end(&b, out, title, caption, sl_svg_draw_lines(b.f, p));
}

static void lanes_figure(FILE *out, const char *title, const char *caption, struct sl_svg_lanes *p)
{
	struct buffer b;

	if (!draft_begin(&b))
		return;
	p->alt = title;
	draft_end(&b, out, title, caption, sl_svg_draw_lanes(b.f, p));
}

/* Points of a variant: all x of "part/variant[/in]", x = 0 left out. */
static struct sl_svg_series *add_series(const json_t *doc, struct sl_svg_lines *p, const char *part,
					const char *variant, const char *in, const char *metric)
{
	struct sl_svg_series *s = &p->s[p->n];
	char prefix[SL_BENCH_ID];
	double xs[SL_SVG_POINTS], y;
	size_t i, n;

	if (p->n == SL_SVG_SERIES)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->variant = variant;
	s->label = sl_bench_short(variant);
	(void)snprintf(prefix, sizeof(prefix), "%s/%s%s%s", part, variant, *in ? "/" : "", in);
	n = sl_bench_xs(doc, prefix, xs, SL_SVG_POINTS);
	for (i = 0; i < n; i++) {
		y = sl_bench_value(doc, metric, "%s/%.0f", prefix, xs[i]);
		if (xs[i] <= 0 || isnan(y))
			continue;
		s->x[s->n] = xs[i];
		s->y[s->n++] = y;
	}
	if (!s->n)
		return NULL;
	p->n++;
	return s;
}

static const char *in_two(const json_t *doc, const char *part)
{
	char prefix[SL_BENCH_ID];
	double x;

	(void)snprintf(prefix, sizeof(prefix), "%s/tcp/two", part);
	return sl_bench_xs(doc, prefix, &x, 1) ? "two" : "one";
}

/* "scilan 0.49 µs, TCP 78 µs" in words: how @mine stands to @other, of times. */
static void compare_times(char *s, size_t len, const char *what, double mine, double other)
{
	char a[24], b[24], r[24];
	double gain = other / mine;

	(void)snprintf(s, len, "%s: %s over scilan, %s over TCP (%s %s)", what,
		       sl_bench_time(mine, a), sl_bench_time(other, b),
		       sl_bench_times(gain >= 1 ? gain : 1 / gain, r),
		       gain >= 1 ? "faster" : "slower");
}

/* --- sections: each writes nothing where nothing was measured */

static void section(FILE *out, const char *finding, const char *text)
{
	sl_svg_element(out, "h2", "", finding);
	sl_svg_element(out, "p", "class=\"soft\"", text);
	(void)fputs("<div class=\"plots\">\n", out);
}

static void section_end(FILE *out)
{
	(void)fputs("</div>\n", out);
}

static void latency(const json_t *doc, FILE *out)
{
	static const char *const vs[] = {"tcp", "tcp-spin", "unix", "pipe", "sockmap", "scilan"};
	static const char *const metrics[] = {"p50_us", "p99_us", "p999_us", "cpu_us"};
	static const char *const titles[] = {"Half of all round trips are faster than this (p50)",
					     "99 of 100 are faster than this (p99)",
					     "999 of 1000 are faster than this (p99.9)",
					     "CPU time of a message, both ends together"};
	const char *in = in_two(doc, "latency");
	double mine = sl_bench_value(doc, "p50_us", "latency/scilan/%s/64", in);
	double tcp = sl_bench_value(doc, "p50_us", "latency/tcp/%s/64", in);
	char finding[200];
	size_t m, v;

	if (isnan(mine))
		return;
	compare_times(finding, sizeof(finding), "A 64 B round trip", mine, tcp);
	section(out, finding,
		"Ping-pong: a message there, a message of the same size back, one at a time, both "
		"ends waiting for it in a blocking read (TCP spinning: in a loop of non-blocking "
		"reads), each pinned to a core.");
	for (m = 0; m < 4; m++) {
		struct sl_svg_lines p = {
			.x_title = "message size", .x_unit = SL_SVG_SIZE, .y_unit = SL_SVG_TIME};

		for (v = 0; v < 6; v++)
			(void)add_series(doc, &p, "latency", vs[v], in, metrics[m]);
		lines_figure(out, titles[m],
			     m < 3 ? "round trip against message size, both axes logarithmic"
				   : "user and system time against message size; spinning is CPU "
				     "time, too",
			     &p);
	}
	section_end(out);
}

/* Lanes of one way to wait: three places, the variants in each. @metric: "p50_us", "cpu_us". */
static void place_lanes(const json_t *doc, FILE *out, const char *part, const char *how,
			const char *metric, const char *title)
{
	bool times = !strcmp(metric, "p50_us");
	static const char *const vs[] = {"scilan", "tcp", "tcp-spin", "unix", "pipe", "sockmap"};
	static const char *const wheres[] = {"two", "one", "free"};
	static const char *const names[] = {"on two cores", "on one core", "unpinned"};
	struct sl_svg_lanes p = {.unit = SL_SVG_TIME};
	struct sl_svg_lane *l;
	char a[24], b[24];
	size_t w, v, head;
	double v50;

	for (w = 0; w < 3; w++) {
		head = p.n;
		p.lane[p.n] = (struct sl_svg_lane){.variant = NULL};
		(void)snprintf(p.lane[p.n++].label, sizeof(p.lane[0].label), "%s", names[w]);
		for (v = 0; v < 6; v++) {
			v50 = sl_bench_value(doc, metric, "%s/%s/%s/%s", part, vs[v], wheres[w],
					     how);
			if (isnan(v50))
				continue;
			l = &p.lane[p.n++];
			*l = (struct sl_svg_lane){.variant = vs[v], .v = v50};
			l->to = !times ? NAN
				       : sl_bench_value(doc, "p99_us", "%s/%s/%s/%s", part, vs[v],
							wheres[w], how);
			(void)snprintf(l->label, sizeof(l->label), "%s", sl_bench_short(vs[v]));
			(void)snprintf(l->text, sizeof(l->text), times ? "%s | %s" : "%s",
				       sl_bench_time(v50, a), sl_bench_time(l->to, b));
		}
		if (p.n == head + 1)
			p.n = head;
	}
	lanes_figure(out, title,
		     times ? "64 B round trip: dot and first number p50, whisker and second number "
			     "p99; logarithmic"
			   : "user and system time of both ends, per message one way; logarithmic",
		     &p);
}

static void places(const json_t *doc, FILE *out)
{
	double mine = sl_bench_value(doc, "p50_us", "places/scilan/one/awake");
	double tcp = sl_bench_value(doc, "p50_us", "places/tcp/one/awake");
	char finding[200];

	if (isnan(mine))
		return;
	compare_times(finding, sizeof(finding), "With both ends on one core", mine, tcp);
	section(out, finding,
		"The same 64 B round trip wherever the two programs may run: awake (the next one "
		"follows at once), waiting in epoll, and asleep (the client pauses 1 ms before "
		"each, so that both ends must be woken).");
	place_lanes(doc, out, "places", "awake", "p50_us", "Awake, in a blocking read");
	place_lanes(doc, out, "places", "epoll", "p50_us", "Awake, waiting in epoll");
	place_lanes(doc, out, "places", "asleep", "p50_us", "Asleep: 1 ms between round trips");
	place_lanes(doc, out, "places", "asleep", "cpu_us", "CPU time of a message, asleep");
	section_end(out);
}

static void crowded(const json_t *doc, FILE *out)
{
	double mine = sl_bench_value(doc, "p50_us", "crowded/scilan/one/awake");
	double tcp = sl_bench_value(doc, "p50_us", "crowded/tcp/one/awake");
	char finding[200];

	if (isnan(mine))
		return;
	compare_times(finding, sizeof(finding), "Beside two busy loops per core, on one core", mine,
		      tcp);
	section(out, finding,
		"The same while two endless loops run on every core: spinning is then time taken "
		"from others, and giving the core away is time given to the loops.");
	place_lanes(doc, out, "crowded", "awake", "p50_us", "Crowded, in a blocking read");
	place_lanes(doc, out, "crowded", "epoll", "p50_us", "Crowded, waiting in epoll");
	place_lanes(doc, out, "crowded", "asleep", "p50_us", "Crowded, asleep between round trips");
	place_lanes(doc, out, "crowded", "asleep", "cpu_us", "CPU time of a message, asleep");
	section_end(out);
}

/* One line for each variant: the 1st, 2nd, ... message. @worst: of TCP and of scilan, in µs. */
static void first_lines(const json_t *doc, const char *metric, struct sl_svg_lines *p,
			double worst[2])
{
	static const char *const vs[] = {"tcp", "unix", "scilan", "scilan-eager"};
	char id[SL_BENCH_ID];
	size_t v, i;

	*p = (struct sl_svg_lines){.x_title = "which message of the connection",
				   .x_unit = SL_SVG_PLAIN,
				   .y_unit = SL_SVG_TIME,
				   .x_linear = true};
	worst[0] = worst[1] = 0;
	for (v = 0; v < 4; v++) {
		const json_t *list, *m;
		struct sl_svg_series *s = &p->s[p->n];

		(void)snprintf(id, sizeof(id), "first/%s", vs[v]);
		list = json_object_get(json_object_get(sl_bench_figure(doc, id), "median"), metric);
		if (!json_array_size(list))
			continue;
		*s = (struct sl_svg_series){
			.variant = vs[v], .label = sl_bench_short(vs[v]), .dashed = v == 3};
		json_array_foreach(list, i, m)
		{
			double us = json_number_value(m) / 1e3;

			if (s->n == SL_SVG_POINTS)
				break;
			s->x[s->n] = (double)i + 1;
			s->y[s->n++] = us;
			if (v == 0 || v == 2)
				worst[v / 2] = fmax(worst[v / 2], us);
		}
		p->n++;
	}
}

static void first(const json_t *doc, FILE *out)
{
	char finding[200], a[24], b[24];
	struct sl_svg_lines p;
	double worst[2];

	first_lines(doc, "each_p50_ns", &p, worst);
	if (!p.n)
		return;
	(void)snprintf(
		finding, sizeof(finding),
		"Of the first 64 messages of a connection the slowest takes %s (p50); over TCP "
		"%s",
		sl_bench_time(worst[1], a), sl_bench_time(worst[0], b));
	section(out, finding,
		"Many connections one after the other; of each the first 64 round trips of 64 B. "
		"scilan starts on TCP and moves the connection to memory while it runs.");
	lines_figure(out, "From TCP to memory within the first messages",
		     "p50 of the 1st, 2nd, … round trip of a connection; time logarithmic", &p);
	first_lines(doc, "each_p99_ns", &p, worst);
	lines_figure(out, "The slowest of 100 connections",
		     "p99 of the 1st, 2nd, … round trip of a connection; time logarithmic", &p);
	section_end(out);
}

static void bar(struct sl_svg_lanes *p, const char *variant, const char *name, double v,
		const char *text)
{
	struct sl_svg_lane *l = &p->lane[p->n];

	if (isnan(v) || p->n == SL_SVG_LANES)
		return;
	*l = (struct sl_svg_lane){.variant = variant, .v = v, .to = NAN};
	(void)snprintf(l->label, sizeof(l->label), "%s", name);
	(void)snprintf(l->text, sizeof(l->text), "%s", text);
	p->n++;
}

static void heading(struct sl_svg_lanes *p, const char *text)
{
	if (p->n < SL_SVG_LANES) {
		p->lane[p->n] = (struct sl_svg_lane){.variant = NULL};
		(void)snprintf(p->lane[p->n++].label, sizeof(p->lane[0].label), "%s", text);
	}
}

static void stream_place(const json_t *doc, FILE *out, const char *where, const char *title)
{
	static const char *const vs[] = {"scilan", "tcp", "unix", "pipe", "sockmap"};
	struct sl_svg_lanes p = {.unit = SL_SVG_GB};
	double xs[SL_SVG_POINTS], v;
	char prefix[SL_BENCH_ID], text[48], s[24];
	size_t i, k, n;

	(void)snprintf(prefix, sizeof(prefix), "stream/scilan/%s", where);
	n = sl_bench_xs(doc, prefix, xs, SL_SVG_POINTS);
	if (n > 4)
		return; /* there is one CPU: the plots above are of it */
	for (i = 0; i < n; i++) {
		(void)snprintf(text, sizeof(text), "sends of %s", sl_bench_size(xs[i], s));
		heading(&p, text);
		for (k = 0; k < 5; k++) {
			v = sl_bench_value(doc, "gb_s", "stream/%s/%s/%.0f", vs[k], where, xs[i]);
			bar(&p, vs[k], sl_bench_short(vs[k]), v, sl_bench_number(v, s));
		}
	}
	lanes_figure(out, title, "GB/s, logarithmic", &p);
}

static void stream(const json_t *doc, FILE *out)
{
	static const char *const vs[] = {"tcp", "tcp-spin", "unix", "pipe", "sockmap", "scilan"};
	struct sl_svg_lines m = {
		.x_title = "bytes of a send", .x_unit = SL_SVG_SIZE, .y_unit = SL_SVG_RATE};
	struct sl_svg_lines g = {
		.x_title = "bytes of a send", .x_unit = SL_SVG_SIZE, .y_unit = SL_SVG_GB};
	const char *in = in_two(doc, "stream");
	double mine = sl_bench_value(doc, "messages_s", "stream/scilan/%s/64", in);
	double tcp = sl_bench_value(doc, "messages_s", "stream/tcp/%s/64", in);
	double big = sl_bench_value(doc, "gb_s", "stream/scilan/%s/1048576", in);
	double big_tcp = sl_bench_value(doc, "gb_s", "stream/tcp/%s/1048576", in);
	double ring = sl_bench_value(doc, "ring_1m_gb_s", "limits");
	char finding[240], caption[160], a[24], b[24], c[24];
	size_t v;

	if (isnan(mine))
		return;
	(void)snprintf(finding, sizeof(finding),
		       "One-way streams: %s messages of 64 B a second (TCP %s), %s GB/s of 1 MiB "
		       "sends (TCP %s)",
		       sl_bench_number(mine, a), sl_bench_number(tcp, b),
		       big >= 0 ? sl_bench_number(big, c) : "–",
		       big_tcp >= 0 ? sl_bench_number(big_tcp, (char[24]){0}) : "–");
	section(out, finding,
		"One end sends as fast as it can, the other reads into 64 KiB or the message size, "
		"each pinned to a core. What has arrived counts.");
	for (v = 0; v < 6; v++) {
		(void)add_series(doc, &m, "stream", vs[v], in, "messages_s");
		(void)add_series(doc, &g, "stream", vs[v], in, "gb_s");
	}
	if (ring > 0) {
		double xs[SL_SVG_POINTS];
		size_t n = g.n ? g.s[0].n : 0;
		struct sl_svg_series *s = &g.s[g.n];

		memcpy(xs, g.s[0].x, sizeof(xs));
		*s = (struct sl_svg_series){
			.variant = "limit", .label = "two memcpys", .dashed = true, .n = 2};
		s->x[0] = 16384;
		s->y[0] = sl_bench_value(doc, "ring_16k_gb_s", "limits");
		s->x[1] = xs[n ? n - 1 : 0];
		s->y[1] = ring;
		if (n && s->x[1] > s->x[0])
			g.n++;
	}
	lines_figure(out, "Messages a second", "messages received against their size, logarithmic",
		     &m);
	(void)snprintf(
		caption, sizeof(caption),
		"the same in GB/s; two memcpys: one thread copies into a ring, another out of "
		"it, nothing else");
	lines_figure(out, "Bytes a second", caption, &g);
	stream_place(doc, out, "one", "On one core");
	stream_place(doc, out, "free", "Unpinned");
	section_end(out);
}

/* A line ends where the variant can do no more: at the rate that it reached. */
static void cut_at_saturation(const json_t *doc, struct sl_svg_series *s, const char *variant)
{
	size_t i;

	for (i = 0; s && i < s->n; i++) {
		double got = sl_bench_value(doc, "rate", "load/%s/%.0f", variant, s->x[i]);

		if (isnan(got) || got >= 0.9 * s->x[i])
			continue;
		if (i && got > s->x[i - 1] * 1.05) {
			s->x[i] = got;
			i++;
		}
		s->n = i;
	}
}

static void load_plot(const json_t *doc, FILE *out, const char *title, const char *caption,
		      const char *metric, const char *tail, enum sl_svg_unit unit, double floor_at)
{
	static const char *const vs[] = {"tcp", "unix", "scilan"};
	struct sl_svg_lines p = {.x_title = "requests a second",
				 .x_unit = SL_SVG_RATE,
				 .y_unit = unit,
				 .y_floor = floor_at};
	struct sl_svg_series *s;
	size_t v;

	for (v = 0; v < 3; v++)
		cut_at_saturation(doc, add_series(doc, &p, "load", vs[v], "", metric), vs[v]);
	for (v = 0; v < 3 && tail; v++) {
		s = add_series(doc, &p, "load", vs[v], "", tail);
		if (!s)
			continue;
		cut_at_saturation(doc, s, vs[v]);
		s->dashed = true;
		s->quiet = true;
	}
	if (!strcmp(metric, "sleeps")) {
		s = add_series(doc, &p, "load", "scilan", "", "bells");
		cut_at_saturation(doc, s, "scilan");
		if (s) {
			s->dashed = true;
			s->label = "scilan bells";
		}
	}
	lines_figure(out, title, caption, &p);
}

static void load(const json_t *doc, FILE *out)
{
	double mine = sl_bench_value(doc, "rate", "load/scilan/0");
	double tcp = sl_bench_value(doc, "rate", "load/tcp/0");
	double bells = sl_bench_value(doc, "bells", "load/scilan/0");
	char finding[240], a[24], b[24], c[24];

	if (isnan(mine))
		return;
	(void)snprintf(
		finding, sizeof(finding),
		"One connection answers at most %s requests a second, %s over TCP; scilan then "
		"rings %s bells a message",
		sl_bench_number(mine, a), sl_bench_number(tcp, b), sl_bench_number(bells, c));
	section(out, finding,
		"Open loop: requests of 64 B come at random times at the given rate, whether or "
		"not "
		"answers have come, and each time counts from when its request was due. Lines end "
		"where no more can be done.");
	load_plot(doc, out, "Time to the answer",
		  "p50 (solid) and p99 (dashed) against requests a second, logarithmic", "p50_us",
		  "p99_us", SL_SVG_TIME, 0);
	load_plot(doc, out, "CPU time of a message",
		  "user and system time of both ends together, per message one way", "cpu_us", NULL,
		  SL_SVG_TIME, 0);
	load_plot(doc, out, "Sleeps of a message",
		  "times that an end went to sleep and had to be woken, per message; dashed: bells "
		  "rung "
		  "by scilan; 0.0001 or less at the bottom",
		  "sleeps", NULL, SL_SVG_PLAIN, 0.0001);
	load_plot(doc, out, "System calls of a message",
		  "of both ends together, per message, counted by the kernel; 0.001 or less at the "
		  "bottom",
		  "system_calls", NULL, SL_SVG_PLAIN, 0.001);
	section_end(out);
}

static void bars(const json_t *doc, struct sl_svg_lanes *p, const char *part, const char *rest,
		 const char *metric)
{
	static const char *const vs[] = {"scilan", "tcp", "unix"};
	char s[24];
	double v;
	size_t i;

	for (i = 0; i < 3; i++) {
		v = sl_bench_value(doc, metric, "%s/%s/%s", part, vs[i], rest);
		bar(p, vs[i], sl_bench_short(vs[i]), v, sl_bench_number(v, s));
	}
}

static void scale(const json_t *doc, FILE *out)
{
	static const char *const vs[] = {"tcp", "unix", "scilan"};
	struct sl_svg_lines pairs = {
		.x_title = "pairs of processes", .x_unit = SL_SVG_PLAIN, .y_unit = SL_SVG_RATE};
	struct sl_svg_lines threads = {
		.x_title = "threads at each end", .x_unit = SL_SVG_PLAIN, .y_unit = SL_SVG_RATE};
	double one = sl_bench_value(doc, "rate", "pairs/scilan/1");
	double tcp = sl_bench_value(doc, "rate", "pairs/tcp/4");
	double four = sl_bench_value(doc, "rate", "pairs/scilan/4");
	char finding[240], a[24], b[24], c[24];
	size_t v;

	for (v = 0; v < 3; v++) {
		(void)add_series(doc, &pairs, "pairs", vs[v], "", "rate");
		(void)add_series(doc, &threads, "threads", vs[v], "", "messages_s");
	}
	if (!pairs.n && !threads.n)
		return;
	if (pairs.n)
		(void)snprintf(
			finding, sizeof(finding),
			"Four pairs of processes make %s round trips a second over scilan, %s "
			"over TCP; one pair alone %s",
			sl_bench_number(four, a), sl_bench_number(tcp, b), sl_bench_number(one, c));
	else
		(void)snprintf(finding, sizeof(finding), "Threads that share one connection");
	section(out, finding,
		"More at once than there are cores, unpinned: pairs of processes with a connection "
		"each, and threads that send and receive on one connection.");
	lines_figure(out, "Connections: round trips a second of all pairs",
		     "64 B ping-pong, all pairs together", &pairs);
	lines_figure(out, "Messages: threads on one connection",
		     "64 B messages a second, N senders and N receivers on one connection",
		     &threads);
	section_end(out);
}

static void idle(const json_t *doc, FILE *out)
{
	static const char *const vs[] = {"scilan", "tcp"};
	struct sl_svg_lanes p = {.unit = SL_SVG_PLAIN, .linear = true};
	char text[64], s[24];
	double n, v;
	size_t i;

	if (!sl_bench_xs(doc, "idle/scilan", &n, 1))
		return;
	(void)snprintf(text, sizeof(text), "%.0f connections", n);
	heading(&p, text);
	for (i = 0; i < 2; i++) {
		v = sl_bench_value(doc, "cpu_ms_per_s", "idle/%s/%.0f", vs[i], n);
		(void)snprintf(text, sizeof(text), "%s ms a second", sl_bench_number(v, s));
		bar(&p, vs[i], sl_bench_short(vs[i]), v, text);
	}
	lanes_figure(out, "CPU time of idle connections",
		     "both ends, asleep in epoll_wait; going to sleep and waking once is in it",
		     &p);
}

static void small(const json_t *doc, FILE *out)
{
	struct sl_svg_lanes conns = {.unit = SL_SVG_RATE, .linear = true};
	struct sl_svg_lanes calls = {.unit = SL_SVG_PLAIN, .linear = true};
	double mine = sl_bench_value(doc, "rate", "conns/scilan/free");
	double tcp = sl_bench_value(doc, "rate", "conns/tcp/free");
	double calls_mine = sl_bench_value(doc, "system_calls", "calls/scilan/stream");
	char finding[240], r[24], s[24];

	if (isnan(mine) && isnan(calls_mine))
		return;
	if (!isnan(mine))
		(void)snprintf(finding, sizeof(finding),
			       "Short connections go at %s the rate of TCP",
			       sl_bench_times(mine / tcp, r));
	else
		(void)snprintf(finding, sizeof(finding), "A message costs %s system calls",
			       sl_bench_number(calls_mine, s));
	section(out, finding,
		"What a connection costs that is too short to be worth memory, and what a message "
		"costs the kernel while both ends are busy.");
	if (!isnan(mine)) {
		heading(&conns, "unpinned");
		bars(doc, &conns, "conns", "free", "rate");
		heading(&conns, "on one core");
		bars(doc, &conns, "conns", "one", "rate");
		lanes_figure(out, "Connections a second",
			     "connect, one byte there and back, close; one after the other",
			     &conns);
	}
	if (!isnan(calls_mine)) {
		heading(&calls, "ping-pong, 64 B");
		bars(doc, &calls, "calls", "pingpong", "system_calls");
		heading(&calls, "stream, 64 B");
		bars(doc, &calls, "calls", "stream", "system_calls");
		lanes_figure(out, "System calls of a message",
			     "both ends together, per message one way", &calls);
	}
	idle(doc, out);
	section_end(out);
}

static void links(const json_t *doc, FILE *out)
{
	static const char *const vs[] = {"tcp-100", "tcp-155"};
	struct sl_svg_lines l = {
		.x_title = "message size", .x_unit = SL_SVG_SIZE, .y_unit = SL_SVG_TIME};
	struct sl_svg_lines g = {
		.x_title = "bytes of a send", .x_unit = SL_SVG_SIZE, .y_unit = SL_SVG_GB};
	double slow = sl_bench_value(doc, "gb_s", "links/tcp-100/stream/1048576");
	double mine = sl_bench_value(doc, "gb_s", "stream/scilan/two/1048576");
	char finding[240], a[24], r[24];
	size_t v;

	for (v = 0; v < 2; v++) {
		(void)add_series(doc, &l, "links", vs[v], "latency", "p50_us");
		(void)add_series(doc, &g, "links", vs[v], "stream", "gb_s");
	}
	if (!l.n)
		return;
	(void)add_series(doc, &l, "latency", "tcp", in_two(doc, "latency"), "p50_us");
	(void)add_series(doc, &l, "latency", "scilan", in_two(doc, "latency"), "p50_us");
	(void)add_series(doc, &g, "stream", "tcp", in_two(doc, "stream"), "gb_s");
	(void)add_series(doc, &g, "stream", "scilan", in_two(doc, "stream"), "gb_s");
	if (isnan(mine / slow))
		(void)snprintf(finding, sizeof(finding), "The networks of 1998");
	else
		(void)snprintf(finding, sizeof(finding),
			       "Against the networks of 1998: shared memory moves %s GB/s, %s a "
			       "100 Mbit/s link",
			       sl_bench_number(mine, a), sl_bench_times(mine / slow, r));
	section(out, finding,
		"The paper compared shared memory with 100baseT and with ATM of 155 Mbit/s. Here "
		"TCP goes over links of these rates, made of two network namespaces, a veth pair "
		"and "
		"a token bucket; they add no delay of their own.");
	lines_figure(out, "Round trip", "p50 against message size, both axes logarithmic", &l);
	lines_figure(out, "Stream", "GB/s against the size of a send, both axes logarithmic", &g);
	section_end(out);
}

static void programs(const json_t *doc, FILE *out)
{
	static const struct {
		const char *id, *name;
	} rows[] = {{"redis-c50", "Redis GET, 50 clients"},
		    {"redis-c1", "Redis GET, 1 client"},
		    {"redis-p16", "Redis GET, pipeline of 16"},
		    {"redis-k0", "Redis, no keep-alive"},
		    {"nginx-612", "nginx, 612 B, keep-alive"},
		    {"nginx-100k", "nginx, 100 KiB, sendfile"},
		    {"nginx-ab", "nginx, no keep-alive (ab)"},
		    {"pgbench-select", "pgbench, select-only, 8 clients"},
		    {"pgbench-update", "pgbench, simple-update, 8 clients"},
		    {"pgbench-tpcb", "pgbench, tpcb-like, 8 clients"}};
	struct sl_svg_lanes rate = {.unit = SL_SVG_RATE}, time = {.unit = SL_SVG_TIME};
	static const char *const vs[] = {"scilan", "tcp", "unix"};
	char s[24], finding[200];
	size_t i, v;
	double x = NAN, y;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (isnan(sl_bench_value(doc, "rate", "programs/scilan/%s", rows[i].id)))
			continue;
		heading(&rate, rows[i].name);
		bars(doc, &rate, "programs", rows[i].id, "rate");
		if (isnan(sl_bench_value(doc, "p50_us", "programs/scilan/%s", rows[i].id)))
			continue;
		heading(&time, rows[i].name);
		for (v = 0; v < 3; v++) {
			y = sl_bench_value(doc, "p50_us", "programs/%s/%s", vs[v], rows[i].id);
			bar(&time, vs[v], sl_bench_short(vs[v]), y, sl_bench_time(y, s));
			if (!isnan(y))
				time.lane[time.n - 1].to = sl_bench_value(
					doc, "p99_us", "programs/%s/%s", vs[v], rows[i].id);
		}
	}
	if (!rate.n)
		return;
	x = sl_bench_value(doc, "rate", "programs/scilan/redis-c50") /
	    sl_bench_value(doc, "rate", "programs/tcp/redis-c50");
	(void)snprintf(finding, sizeof(finding),
		       "Unmodified programs: Redis with 50 clients at %s "
		       "the rate of TCP",
		       sl_bench_times(x, s));
	section(out, isnan(x) ? "Unmodified programs" : finding,
		"The distribution's own binaries, servers and load generators, on this machine's "
		"loopback.");
	lanes_figure(out, "Requests a second", "logarithmic", &rate);
	lanes_figure(out, "Time to the answer", "dot p50, whisker p99; logarithmic", &time);
	section_end(out);
}

static void limits(const json_t *doc, FILE *out)
{
	static const char *const bells[] = {"futex", "eventfd", "pipe", "unix", "tcp"};
	static const char *const names[] = {"futex", "eventfd", "pipe", "Unix socket",
					    "byte of TCP"};
	static const char *const wheres[] = {"two", "one", "free"};
	static const char *const titles[] = {"woken across two cores", "woken on one core",
					     "woken, unpinned"};
	struct sl_svg_lanes wake = {.unit = SL_SVG_TIME},
			    copy = {.unit = SL_SVG_GB, .linear = true};
	double line = sl_bench_value(doc, "line_rtt_ns", "limits") / 1e3, v;
	double mine = sl_bench_value(doc, "p50_us", "places/scilan/two/awake");
	char s[24], r[24], metric[64], finding[200];
	size_t i, w;

	if (!sl_bench_figure(doc, "limits"))
		return;
	if (isnan(mine))
		mine = sl_bench_value(doc, "p50_us", "latency/scilan/two/64");
	if (isnan(mine) || isnan(line))
		(void)snprintf(finding, sizeof(finding), "The machine's own limits");
	else
		(void)snprintf(
			finding, sizeof(finding),
			"The machine allows %s for a cache line there and back: scilan takes "
			"%s of that",
			sl_bench_time(line, s), sl_bench_times(mine / line, r));
	section(out, finding,
		"What nothing that runs here can be faster than, measured in the same run: two "
		"threads "
		"that pass one cache line, threads that wake each other by each kernel object, and "
		"memcpy.");
	heading(&wake, "both awake");
	bar(&wake, "limit", "cache line", line, sl_bench_time(line, s));
	bar(&wake, "scilan", "scilan, 64 B", mine, sl_bench_time(mine, s));
	for (w = 0; w < 3; w++) {
		heading(&wake, titles[w]);
		for (i = 0; i < 5; i++) {
			(void)snprintf(metric, sizeof(metric), "wake_%s_%s_ns", bells[i],
				       wheres[w]);
			v = sl_bench_value(doc, metric, "limits") / 1e3;
			bar(&wake, "limit", names[i], v, sl_bench_time(v, s));
		}
	}
	lanes_figure(out, "There and back",
		     "round trips of bare wake-ups, nothing else in them; "
		     "logarithmic",
		     &wake);
	heading(&copy, "one thread");
	v = sl_bench_value(doc, "memcpy_cache_gb_s", "limits");
	bar(&copy, "limit", "in cache", v, sl_bench_number(v, s));
	v = sl_bench_value(doc, "memcpy_memory_gb_s", "limits");
	bar(&copy, "limit", "from memory", v, sl_bench_number(v, s));
	heading(&copy, "two threads through a ring of 256 KiB, and scilan");
	v = sl_bench_value(doc, "ring_16k_gb_s", "limits");
	bar(&copy, "limit", "16 KiB", v, sl_bench_number(v, s));
	v = sl_bench_value(doc, "gb_s", "stream/scilan/two/16384");
	bar(&copy, "scilan", "scilan 16 KiB", v, sl_bench_number(v, s));
	v = sl_bench_value(doc, "ring_1m_gb_s", "limits");
	bar(&copy, "limit", "1 MiB", v, sl_bench_number(v, s));
	v = sl_bench_value(doc, "gb_s", "stream/scilan/two/1048576");
	bar(&copy, "scilan", "scilan 1 MiB", v, sl_bench_number(v, s));
	lanes_figure(out, "memcpy, GB/s",
		     "into and out of the ring at the same time, as a stream does", &copy);
	section_end(out);
}

void sl_bench_plots(const json_t *doc, FILE *out)
{
	static void (*const parts[])(const json_t *, FILE *) = {
		latency, places, stream,   load,  crowded, first,
		scale,	 small,	 programs, links, limits,
	};
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		parts[i](doc, out);
}
