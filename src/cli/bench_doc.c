/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_doc.c - the document: everything that a run of the benchmark has found, as JSON
 *
 *	{"scilan_bench": 1, "machine": {...}, "settings": {...},
 *	 "figures": [{"id", "part", "variant", ..., "median": {metric: value}, "runs": [{...}]}],
 *	 "skipped": [{"part", "why"}], "headlines": [...], "targets": [{...}]}
 *
 * scilan-bench(1) documents it for programs. A metric that is an array (the first messages of a
 * connection) has a median for each of its elements.
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

#define RUNS_MAX 128

json_t *sl_bench_doc_new(void)
{
	return json_pack("{s:i, s:{}, s:{}, s:[], s:[]}", "scilan_bench", SL_BENCH_FORMAT,
			 "machine", "settings", "figures", "skipped");
}

const json_t *sl_bench_figure(const json_t *doc, const char *id)
{
	const json_t *figures = json_object_get(doc, "figures"), *f;
	const char *have;
	size_t i;

	json_array_foreach(figures, i, f)
	{
		have = json_string_value(json_object_get(f, "id"));
		if (have && !strcmp(have, id))
			return f;
	}
	return NULL;
}

/* "part/variant/where/how/x" taken apart: the last one is x if it is a number. */
static json_t *new_figure(json_t *doc, const char *id)
{
	static const char *const names[] = {"part", "variant", "where", "how"};
	json_t *f = json_pack("{s:s, s:[]}", "id", id, "runs");
	char copy[SL_BENCH_ID], *save = NULL, *word, *end;
	size_t i = 0;

	(void)snprintf(copy, sizeof(copy), "%s", id);
	for (word = strtok_r(copy, "/", &save); word; word = strtok_r(NULL, "/", &save)) {
		double x = strtod(word, &end);

		if (i > 1 && end != word && !*end)
			json_object_set_new(f, "x", json_real(x));
		else if (i < sizeof(names) / sizeof(names[0]))
			json_object_set_new(f, names[i++], json_string(word));
	}
	json_array_append_new(json_object_get(doc, "figures"), f);
	return f;
}

static json_t *figure(json_t *doc, const char *id)
{
	union {
		const json_t *from;
		json_t *to;
	} f = {sl_bench_figure(doc, id)};

	return f.to ? f.to : new_figure(doc, id);
}

void sl_bench_add(struct sl_bench *b, json_t *run, const char *fmt, ...)
{
	char id[SL_BENCH_ID];
	json_t *f;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(id, sizeof(id), fmt, ap);
	va_end(ap);
	f = figure(b->doc, id);
	if (run) {
		json_array_append_new(json_object_get(f, "runs"), run);
		return;
	}
	b->failures += !strstr(id, "/sockmap/"); /* set up from outside: its failures are told, and not ours */
	json_object_set_new(f, "error", json_string(b->why));
	sl_bench_quiet(b);
	(void)fprintf(stderr, "scilan: bench: %s: %s\n", id, b->why);
}

void sl_bench_skip(struct sl_bench *b, const char *part, const char *why)
{
	json_array_append_new(json_object_get(b->doc, "skipped"),
			      json_pack("{s:s, s:s}", "part", part, "why", why));
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
	if (!n)
		return NAN;
	qsort(v, n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* The median over the runs of one metric, or of one element of it (@at >= 0). */
static double median_of(const json_t *runs, const char *metric, int at)
{
	double v[RUNS_MAX];
	size_t i, n = 0;
	json_t *run;

	json_array_foreach(runs, i, run)
	{
		json_t *m = json_object_get(run, metric);

		if (at >= 0)
			m = json_array_get(m, (size_t)at);
		if (json_is_number(m) && n < RUNS_MAX)
			v[n++] = json_number_value(m);
	}
	return median(v, n);
}

static json_t *medians_of(const json_t *runs)
{
	json_t *all = json_object(), *run, *m, *list;
	const char *metric;
	size_t i, k;

	json_array_foreach(runs, i, run)
	{
		json_object_foreach(run, metric, m)
		{
			if (json_object_get(all, metric))
				continue;
			if (json_is_number(m)) {
				json_object_set_new(all, metric,
						    json_real(median_of(runs, metric, -1)));
			} else if (json_is_array(m)) {
				list = json_array();
				for (k = 0; k < json_array_size(m); k++)
					json_array_append_new(
						list, json_real(median_of(runs, metric, (int)k)));
				json_object_set_new(all, metric, list);
			}
		}
	}
	return all;
}

void sl_bench_medians(json_t *doc)
{
	json_t *f;
	size_t i;

	json_array_foreach(json_object_get(doc, "figures"), i, f)
		json_object_set_new(f, "median", medians_of(json_object_get(f, "runs")));
}

double sl_bench_value(const json_t *doc, const char *metric, const char *fmt, ...)
{
	char id[SL_BENCH_ID];
	const json_t *v;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(id, sizeof(id), fmt, ap);
	va_end(ap);
	v = json_object_get(json_object_get(sl_bench_figure(doc, id), "median"), metric);
	return json_is_number(v) ? json_number_value(v) : NAN;
}

size_t sl_bench_xs(const json_t *doc, const char *prefix, double *x, size_t max)
{
	const json_t *figures = json_object_get(doc, "figures"), *f;
	size_t i, k, n = 0, len = strlen(prefix);
	const char *id;
	double v;

	json_array_foreach(figures, i, f)
	{
		id = json_string_value(json_object_get(f, "id"));
		if (!id || strncmp(id, prefix, len) != 0 || id[len] != '/' ||
		    !json_object_get(f, "x"))
			continue;
		v = json_number_value(json_object_get(f, "x"));
		for (k = 0; k < n && x[k] < v; k++)
			;
		if ((k < n && x[k] <= v) || n == max)
			continue;
		memmove(x + k + 1, x + k, (n - k) * sizeof(*x));
		x[k] = v;
		n++;
	}
	return n;
}

int sl_bench_doc_check(const json_t *doc, char *why, size_t len)
{
	const char *const objects[] = {"machine", "settings"};
	json_int_t format = json_integer_value(json_object_get(doc, "scilan_bench"));
	size_t i;

	if (!json_is_object(doc) || !json_is_array(json_object_get(doc, "figures")) || !format) {
		(void)snprintf(why, len, "it is not what scilan bench --json writes");
		return -1;
	}
	if (format != SL_BENCH_FORMAT) {
		(void)snprintf(why, len, "it is of another version of scilan bench");
		return -1;
	}
	for (i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		if (!json_is_object(json_object_get(doc, objects[i]))) {
			(void)snprintf(why, len, "it has no \"%s\"", objects[i]);
			return -1;
		}
	}
	return 0;
}
