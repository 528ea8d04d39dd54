/* SPDX-License-Identifier: BSD-2-Clause */
/* bench.c - scilan bench: options, progress, and the order of things (bench.h says how it works) */
#include <errno.h>
#include <getopt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"
#include "cli.h"
#include "env.h"
#include "log.h"

static const char help_head[] =
	"usage: scilan bench [PART ...] [OPTIONS]\n"
	"\n"
	"Measures, on this machine and now, what TCP over loopback, Unix sockets, pipes and "
	"scilan\n"
	"do for the same two programs: by turns, in rounds, with the machine's own limits beside.\n"
	"\n"
	"parts (all but programs, unless some are named; 'all' is all):\n";
static const char help_tail[] =
	"\n"
	"  --quick       under a minute, instead of some ten: fewer points, shorter and fewer "
	"runs\n"
	"  --seconds S   length of each run, instead of each part's own\n"
	"  --rounds N    runs of each variant, instead of each part's own (mostly 3)\n"
	"  --json FILE   write everything as JSON, '-' for standard output (then no tables)\n"
	"  --html FILE   write one page with plots, '-' for standard output (then no tables)\n"
	"  --from FILE   measure nothing: tables and page from an earlier --json\n"
	"  --promote, --ring, --spin\n"
	"                as in 'scilan run', for the scilan variants\n"
	"  --no-netns    stay in this network namespace, with its congestion control\n"
	"  --control     run the scilan variants without scilan, to see the machine's noise\n"
	"  --help        print this\n"
	"\n"
	"Nothing is stored: each figure is measured in the run that prints it. Progress goes to\n"
	"standard error. Results mean little while the machine does other work.\n"
	"\n"
	"exit status: 0; 1 something could not be measured; 2 wrong usage; 130 interrupted\n";

static volatile sig_atomic_t stop;
static jmp_buf stopped; /* to measure(): what has been measured is shown and written */

static void print_help(void)
{
	size_t i;

	(void)fputs(help_head, stdout);
	for (i = 0; i < sl_bench_part_count; i++)
		printf("  %-12s  %s\n", sl_bench_part_list[i].name, sl_bench_part_list[i].what);
	(void)fputs(help_tail, stdout);
}

/* --- progress */

static bool on_terminal(void)
{
	return isatty(STDERR_FILENO);
}

void sl_bench_expect(struct sl_bench *b, unsigned runs)
{
	b->done = 0;
	b->all = runs;
}

void sl_bench_quiet(struct sl_bench *b)
{
	(void)b;
	if (on_terminal())
		(void)fputs("\r\033[K", stderr);
}

/* An interrupt takes effect here, between two runs. What still runs beside them ends with us. */
static void check_stop(void)
{
	if (stop)
		longjmp(stopped, 1);
}

void sl_bench_step(struct sl_bench *b, const char *fmt, ...)
{
	double s = (double)(sl_bench_now_ns() - b->start_ns) / 1e9;
	char what[128];
	va_list ap;

	check_stop();
	b->done++;
	if (!on_terminal())
		return;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "\r\033[K%4.0f s  %s %u/%u: %.60s", s, b->part, b->done,
		      b->all > b->done ? b->all : b->done, what);
}

static void say_part(struct sl_bench *b, const struct sl_bench_part *p)
{
	b->part = p->name;
	if (!on_terminal())
		(void)fprintf(stderr, "scilan: bench: %s (%.0f s)\n", p->name,
			      (double)(sl_bench_now_ns() - b->start_ns) / 1e9);
}

/* --- the run */

static void on_signal(int sig)
{
	if (stop)
		_exit(128 + sig); /* twice: at once; what we started ends with us */
	stop = sig;
}

/* Where the tables go; NULL: nowhere, standard output is something else's. */
static FILE *tables(const struct sl_bench *b)
{
	return (b->json && !strcmp(b->json, "-")) || (b->html && !strcmp(b->html, "-")) ? NULL
											: stdout;
}

static void measure_parts(struct sl_bench *b, FILE *out)
{
	const struct sl_bench_part *p;
	size_t i;

	for (i = 0; i < sl_bench_part_count; i++) {
		p = &sl_bench_part_list[i];
		if (!(b->parts & (1u << i)))
			continue;
		say_part(b, p);
		p->run(b);
		check_stop();
		sl_bench_quiet(b);
		sl_bench_medians(b->doc);
		if (out)
			sl_bench_text(b->doc, p->name, out);
	}
}

/* What an interrupted part has come to. */
static void show_rest(struct sl_bench *b, FILE *out)
{
	sl_bench_quiet(b);
	sl_log("bench: interrupted in the part %s; what was measured follows", b->part);
	sl_bench_skip(b, b->part, "interrupted; the parts behind it did not run");
	sl_bench_medians(b->doc);
	if (out)
		sl_bench_text(b->doc, b->part, out);
}

static int measure(struct sl_bench *b)
{
	struct sigaction sa = {.sa_handler = on_signal};
	FILE *out = tables(b);
	int rc;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	b->start_ns = sl_bench_now_ns();
	b->doc = sl_bench_doc_new();
	rc = sl_bench_setup(b);
	if (rc)
		return rc;
	if (out)
		sl_bench_text_head(b->doc, out);
	if (setjmp(stopped) == 0)
		measure_parts(b, out);
	else
		show_rest(b, out);
	json_object_set_new(json_object_get(b->doc, "settings"), "duration_s",
			    json_real((double)(sl_bench_now_ns() - b->start_ns) / 1e9));
	sl_bench_teardown(b);
	sl_bench_targets(b->doc);
	if (out)
		sl_bench_text_targets(b->doc, out);
	return stop ? 128 + stop : b->failures ? 1 : 0;
}

static int show_stored(struct sl_bench *b)
{
	FILE *out = tables(b);
	json_error_t err;
	char why[128];
	size_t i;

	b->doc = strcmp(b->from, "-") != 0 ? json_load_file(b->from, 0, &err)
					   : json_loadf(stdin, 0, &err);
	if (!b->doc) {
		sl_log("bench: %s: %s", b->from, err.text);
		return 1;
	}
	if (sl_bench_doc_check(b->doc, why, sizeof(why))) {
		sl_log("bench: %s: %s", b->from, why);
		return 1;
	}
	sl_bench_medians(b->doc);
	sl_bench_targets(b->doc);
	if (!out)
		return 0;
	sl_bench_text_head(b->doc, out);
	for (i = 0; i < sl_bench_part_count; i++)
		if (b->parts & (1u << i))
			sl_bench_text(b->doc, sl_bench_part_list[i].name, out);
	sl_bench_text_targets(b->doc, out);
	return 0;
}

static int write_file(const char *name, const json_t *doc, bool html)
{
	FILE *f = strcmp(name, "-") != 0 ? fopen(name, "we") : stdout;
	int rc = 0;

	if (!f) {
		sl_log("bench: %s: %s", name, strerror(errno));
		return 1;
	}
	if (html)
		sl_bench_html(doc, f);
	else
		rc = json_dumpf(doc, f, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) ||
		     fputc('\n', f) == EOF;
	rc |= f == stdout ? fflush(f) : fclose(f);
	if (rc)
		sl_log("bench: %s: %s", name, strerror(errno));
	return rc ? 1 : 0;
}

/* A file that cannot be written is better known before than after. */
static int check_file(const char *name)
{
	FILE *f = name && strcmp(name, "-") != 0 ? fopen(name, "ae") : stdout;

	if (!f) {
		sl_log("bench: %s: %s", name, strerror(errno));
		return 1;
	}
	if (f != stdout)
		(void)fclose(f);
	return 0;
}

/* --- options */

static int parse_number(const char *s, double low, double high, double *v)
{
	char *end;

	*v = strtod(s, &end);
	return end == s || *end || !(*v >= low && *v <= high) ? -1 : 0;
}

static int environment(const char *option, const char *value)
{
	struct sl_env env = sl_env;

	if (!strcmp(option, "promote") && sl_env_parse_promote(value, &env))
		return sl_cli_wrong("bench: --promote %s: expected eager, auto, off or a number "
				    "of calls",
				    value);
	if (!strcmp(option, "ring") && sl_env_parse_ring(value, &env))
		return sl_cli_wrong("bench: --ring %s: expected a power of two from 16K to 64M",
				    value);
	if (!strcmp(option, "spin") && sl_env_parse_spin(value, &env))
		return sl_cli_wrong("bench: --spin %s: expected auto or microseconds up to 1000000",
				    value);
	return setenv(option[0] == 'p'	 ? "SCILAN_PROMOTE"
		      : option[0] == 'r' ? "SCILAN_RING"
					 : "SCILAN_SPIN",
		      value, 1)
		       ? 1
		       : 0;
}

static int set_option(struct sl_bench *b, int c, const char *arg)
{
	double v;

	switch (c) {
	case 'q':
		b->quick = true;
		return 0;
	case 's':
		if (parse_number(arg, 0.01, 3600, &b->seconds))
			return sl_cli_wrong("bench: --seconds %s: expected 0.01 to 3600", arg);
		return 0;
	case 'n':
		if (parse_number(arg, 1, 100, &v) || v != (int)v)
			return sl_cli_wrong("bench: --rounds %s: expected 1 to 100", arg);
		b->rounds = (int)v;
		return 0;
	case 'j':
		b->json = arg;
		return 0;
	case 'w':
		b->html = arg;
		return 0;
	case 'f':
		b->from = arg;
		return 0;
	case 'N':
		b->no_netns = true;
		return 0;
	case 'C':
		b->control = true;
		return 0;
	case 'p':
		return environment("promote", arg);
	case 'r':
		return environment("ring", arg);
	default:
		return environment("spin", arg);
	}
}

static int choose_parts(struct sl_bench *b, char **names)
{
	size_t i;

	for (i = 0; !*names && i < sl_bench_part_count; i++)
		if (!sl_bench_part_list[i].asked_only || b->from)
			b->parts |= 1u << i;
	for (; *names; names++) {
		if (!strcmp(*names, "all")) {
			b->parts = ~0u;
			continue;
		}
		for (i = 0; i < sl_bench_part_count; i++)
			if (!strcmp(*names, sl_bench_part_list[i].name))
				break;
		if (i == sl_bench_part_count)
			return sl_cli_wrong("bench: no part '%s'; 'scilan bench --help' lists them",
					    *names);
		b->parts |= 1u << i;
	}
	return 0;
}

static const struct option options[] = {
	{"quick", no_argument, NULL, 'q'},
	{"seconds", required_argument, NULL, 's'},
	{"rounds", required_argument, NULL, 'n'},
	{"json", required_argument, NULL, 'j'},
	{"html", required_argument, NULL, 'w'},
	{"from", required_argument, NULL, 'f'},
	{"promote", required_argument, NULL, 'p'},
	{"ring", required_argument, NULL, 'r'},
	{"spin", required_argument, NULL, 'i'},
	{"no-netns", no_argument, NULL, 'N'},
	{"control", no_argument, NULL, 'C'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static int read_options(struct sl_bench *b, int argc, char **argv)
{
	int c, rc;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 'h') {
			print_help();
			return -1;
		}
		if (c == '?' || c == ':')
			return sl_cli_bad_option("bench", c, argv);
		rc = set_option(b, c, optarg);
		if (rc)
			return rc;
	}
	if (b->json && b->html && !strcmp(b->json, "-") && !strcmp(b->html, "-"))
		return sl_cli_wrong("bench: --json - and --html - at once");
	return choose_parts(b, argv + optind);
}

int sl_cmd_bench(int argc, char **argv)
{
	static struct sl_bench b;
	int rc;

	b = (struct sl_bench){.broker = 0};
	rc = read_options(&b, argc, argv);
	if (rc)
		return rc < 0 ? 0 : rc;
	if (check_file(b.json) || check_file(b.html))
		return 1;
	rc = b.from ? show_stored(&b) : measure(&b);
	if (b.doc && json_object_get(b.doc, "targets")) {
		if (b.json && write_file(b.json, b.doc, false))
			rc = rc ? rc : 1;
		if (b.html && write_file(b.html, b.doc, true))
			rc = rc ? rc : 1;
	}
	json_decref(b.doc);
	return rc;
}
