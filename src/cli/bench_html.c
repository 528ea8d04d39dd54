/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_html.c - the document as one page: findings, plots, targets, every figure
 *
 * One file, no script, nothing from elsewhere. The markup is well-formed XML, too, which is how
 * the tests look at it. Every sentence about a result is made from the figures.
 */
#include <math.h>
#include <string.h>
#include "bench.h"
#include "bench_svg.h"

static const char style[] =
	":root{color-scheme:light dark;--bg:#fdfdfc;--card:#fff;--ink:#1b1f24;--soft:#5b6470;"
	"--line:#d9dde2;--grid:#eceef1;--good:#00664a;--bad:#a33c00;"
	"--scilan:#0067a8;--tcp:#c44e00;--spin:#8a6200;--unix:#00795a;--pipe:#a03c82;--map:#6b4c36;"
	"--link:#"
	"5b6470}"
	"@media(prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1c2026;--ink:#e8eaed;"
	"--soft:#a3abb6;--line:#3a414b;--grid:#2a3038;--good:#4fd1a5;--bad:#ff9b61;"
	"--scilan:#62b5f0;--tcp:#ff8f4a;--spin:#e3b341;--unix:#3fcf9f;--pipe:#e693c9;--map:#cfa98c;"
	"--link:#a3abb6}}"
	"*{box-sizing:border-box}"
	"body{margin:0 auto;max-width:1180px;padding:28px 16px 60px;background:var(--bg);"
	"color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',"
	"Arial,sans-serif}"
	"h1{font-size:1.7rem;line-height:1.25;margin:0 0 .5rem;max-width:46rem;text-wrap:balance}"
	"h2{font-size:1.3rem;line-height:1.3;margin:3rem 0 .3rem;max-width:52rem;text-wrap:balance}"
	"p{margin:.3rem 0 1rem;max-width:46rem}.soft{color:var(--soft);font-size:.9rem}"
	".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,255px),1fr));"
	"gap:12px;margin:1.4rem 0}"
	".card{background:var(--card);border:1px solid var(--line);border-radius:10px;"
	"padding:12px 14px}"
	".card b{display:block;font-size:1.75rem;line-height:1.2;color:var(--scilan);"
	"font-variant-numeric:tabular-nums}.card b small{font-size:.95rem;font-weight:600}"
	".card.worse b{color:var(--bad)}.card span{display:block;font-weight:600;font-size:.95rem}"
	".card i{font-style:normal;color:var(--soft);font-size:.88rem}"
	".plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr));"
	"gap:20px 28px;align-items:start}"
	"figure{margin:0;min-width:0}figcaption{margin-bottom:4px;line-height:1.35}"
	"figcaption b{display:block}figcaption span{color:var(--soft);font-size:.86rem}"
	"svg{display:block;width:100%;max-width:540px;height:auto;overflow:visible;"
	"font:12px system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif}"
	"svg text{fill:var(--ink)}svg .tick,svg .title{fill:var(--soft);font-size:11px}"
	"svg .head{font-weight:600;font-size:12px}"
	"svg .grid{stroke:var(--grid)}svg .axis{stroke:var(--soft)}"
	"svg .line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}"
	"svg .v-scilan .line{stroke-width:3}svg .dashed{stroke-dasharray:5 4}"
	"svg .leader{fill:none;stroke:var(--c);stroke-width:.8;opacity:.55}"
	"svg .mark{fill:var(--c);stroke:var(--bg);stroke-width:1}"
	"svg .whisker{stroke:var(--c);stroke-width:1.6;opacity:.75}svg .bar{fill:var(--c)}"
	"svg .name{fill:var(--c);font-weight:600;font-size:11.5px}"
	"svg .value{fill:var(--ink);font-size:11.5px;font-variant-numeric:tabular-nums;"
	"paint-order:stroke;stroke:var(--bg);stroke-width:3px;stroke-linejoin:round}"
	".v-scilan{--c:var(--scilan)}.v-scilan-eager{--c:var(--scilan)}.v-tcp{--c:var(--tcp)}"
	".v-tcp-spin{--c:var(--spin)}.v-unix{--c:var(--unix)}.v-pipe{--c:var(--pipe)}.v-sockmap{--"
	"c:var(--map)}"
	".v-tcp-100,.v-tcp-155,.v-limit{--c:var(--link)}"
	"table{border-collapse:collapse;font-size:.9rem;width:100%;"
	"font-variant-numeric:tabular-nums}"
	"th,td{text-align:left;padding:5px 10px 5px 0;border-bottom:1px solid var(--line);"
	"vertical-align:top}td.n,th.n{text-align:right;white-space:nowrap}"
	".yes{color:var(--good);font-weight:600;white-space:nowrap}"
	".no{color:var(--bad);font-weight:600;white-space:nowrap}"
	"@media(max-width:560px){.yes span,.no span{display:none}td,th{padding-right:7px}}"
	".wide{overflow-x:auto}details{margin-top:2.5rem}summary{cursor:pointer;font-weight:600}"
	".note{border-left:4px solid var(--bad);padding:.2rem 0 .2rem .8rem;margin:1rem 0}";

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "?";
}

/* --- tables */

static void targets(const json_t *doc, FILE *out)
{
	const json_t *list = json_object_get(doc, "targets"), *t;
	char number[24], text[96];
	size_t i, reached = 0;

	if (!json_array_size(list))
		return;
	json_array_foreach(list, i, t) reached += json_is_true(json_object_get(t, "reached"));
	(void)snprintf(text, sizeof(text), "%zu of %zu targets are reached in this run", reached,
		       json_array_size(list));
	sl_svg_element(out, "h2", "id=\"targets\"", text);
	sl_svg_element(out, "p", "class=\"soft\"",
		       "Ratios within this run, from medians. What the project has set itself; "
		       "bench/method.md says what bounds those that are not reached.");
	(void)fputs("<div class=\"wide\"><table><thead><tr><th>what</th><th class=\"n\">here</th>"
		    "<th class=\"n\">target</th><th></th></tr></thead><tbody>\n",
		    out);
	json_array_foreach(list, i, t)
	{
		bool ok = json_is_true(json_object_get(t, "reached"));
		const char *unit = text_of(t, "unit");
		double v = json_number_value(json_object_get(t, "value"));
		double limit = json_number_value(json_object_get(t, "limit"));
		bool ratio = !strcmp(unit, "x");

		(void)fputs("<tr>", out);
		sl_svg_element(out, "td", "", text_of(t, "what"));
		(void)snprintf(text, sizeof(text), "%s%s",
			       ratio ? sl_bench_times(v, number) : sl_bench_number(v, number),
			       ratio ? "" : unit);
		sl_svg_element(out, "td", "class=\"n\"", text);
		if (ratio)
			(void)snprintf(number, sizeof(number), "%g", limit);
		(void)snprintf(text, sizeof(text), "%s %s%s",
			       !strcmp(text_of(t, "is"), "at most") ? "≤" : "≥",
			       ratio ? number : sl_bench_number(limit, number), unit);
		sl_svg_element(out, "td", "class=\"n\"", text);
		(void)fputs(ok ? "<td class=\"yes\">✓<span> reached</span></td>"
			       : "<td class=\"no\">✗<span> not reached</span></td>",
			    out);
		(void)fputs("</tr>\n", out);
	}
	(void)fputs("</tbody></table></div>\n", out);
}

static void everything(const json_t *doc, FILE *out)
{
	static const struct {
		const char *metric, *title;
	} columns[] = {{"p50_us", "p50 µs"},	     {"p99_us", "p99 µs"},
		       {"p999_us", "p99.9 µs"},	     {"rate", "rate/s"},
		       {"messages_s", "messages/s"}, {"gb_s", "GB/s"},
		       {"cpu_us", "CPU µs/message"}, {"sleeps", "sleeps/message"},
		       {"bells", "bells/message"},   {"system_calls", "calls/message"},
		       {"memory_share", "in memory"}};
	const json_t *f;
	char s[24];
	size_t i, c;

	(void)fputs("<details><summary>Every figure (medians)</summary><div class=\"wide\"><table>"
		    "<thead><tr><th>figure</th>",
		    out);
	for (c = 0; c < sizeof(columns) / sizeof(columns[0]); c++)
		sl_svg_element(out, "th", "class=\"n\"", columns[c].title);
	(void)fputs("</tr></thead><tbody>\n", out);
	json_array_foreach(json_object_get(doc, "figures"), i, f)
	{
		const char *id = text_of(f, "id");

		if (!strcmp(id, "limits"))
			continue;
		(void)fputs("<tr>", out);
		sl_svg_element(out, "td", "", id);
		for (c = 0; c < sizeof(columns) / sizeof(columns[0]); c++) {
			double v = sl_bench_value(doc, columns[c].metric, "%s", id);

			sl_svg_element(out, "td", "class=\"n\"",
				       isnan(v) ? "" : sl_bench_number(v, s));
		}
		(void)fputs("</tr>\n", out);
	}
	(void)fputs("</tbody></table></div></details>\n", out);
}

static void setting(FILE *out, const char *name, const char *value)
{
	(void)fputs("<tr>", out);
	sl_svg_element(out, "th", "", name);
	sl_svg_element(out, "td", "", value);
	(void)fputs("</tr>\n", out);
}

static void settings(const json_t *doc, FILE *out)
{
	const json_t *m = json_object_get(doc, "machine"), *s = json_object_get(doc, "settings");
	char text[300];

	sl_svg_element(out, "h2", "", "Machine and settings");
	(void)fputs("<div class=\"wide\"><table><tbody>\n", out);
	(void)snprintf(text, sizeof(text), "%s, %lld CPUs%s, %lld MiB", text_of(m, "cpu"),
		       (long long)json_integer_value(json_object_get(m, "cpus")),
		       json_is_true(json_object_get(m, "virtual")) ? " (a virtual machine)" : "",
		       (long long)json_integer_value(json_object_get(m, "memory_mib")));
	setting(out, "machine", text);
	(void)snprintf(text, sizeof(text), "Linux %s, %s, glibc %s", text_of(m, "kernel"),
		       text_of(m, "system"), text_of(m, "libc"));
	setting(out, "system", text);
	(void)snprintf(text, sizeof(text), "%.2f at the start",
		       json_number_value(json_object_get(m, "load")));
	setting(out, "load average", text);
	(void)snprintf(text, sizeof(text), "%s; promote %s, ring %s, spin %s",
		       text_of(s, "version"), text_of(s, "promote"), text_of(s, "ring"),
		       text_of(s, "spin"));
	setting(out, "scilan", text);
	(void)snprintf(text, sizeof(text), "congestion control %s, TCP_NODELAY; %s",
		       text_of(s, "congestion"), text_of(s, "network"));
	setting(out, "TCP", text);
	(void)snprintf(text, sizeof(text), "%s of %lld that may be used", text_of(s, "cpus_pinned"),
		       (long long)json_integer_value(json_object_get(s, "cpus_usable")));
	setting(out, "CPUs of pinned ends", text);
	setting(out, "eBPF sockmap", text_of(s, "sockmap"));
	setting(out, "system calls", text_of(s, "system_calls"));
	(void)snprintf(text, sizeof(text), "%s, %.0f s%s", text_of(s, "date"),
		       json_number_value(json_object_get(s, "duration_s")),
		       json_is_true(json_object_get(s, "quick")) ? ", --quick" : "");
	setting(out, "run", text);
	(void)fputs("</tbody></table></div>\n", out);
}

/* --- the page */

static void notes(const json_t *doc, FILE *out)
{
	const json_t *m = json_object_get(doc, "machine"), *s = json_object_get(doc, "settings"),
		     *k;
	double load_avg = json_number_value(json_object_get(m, "load"));
	char text[300];
	size_t i;

	if (json_is_true(json_object_get(s, "control")))
		sl_svg_element(
			out, "p", "class=\"note\"",
			"Control run: what is called scilan here is plain TCP, too, and shows the "
			"noise of the machine.");
	if (load_avg > 0.5) {
		(void)snprintf(
			text, sizeof(text),
			"The machine was busy with other things (load %.2f): figures and ratios "
			"suffer.",
			load_avg);
		sl_svg_element(out, "p", "class=\"note\"", text);
	}
	if (strcmp(text_of(s, "congestion"), "cubic") != 0) {
		(void)snprintf(
			text, sizeof(text),
			"TCP's congestion control was %s, not cubic: plain TCP may be slower "
			"than what most users have.",
			text_of(s, "congestion"));
		sl_svg_element(out, "p", "class=\"note\"", text);
	}
	json_array_foreach(json_object_get(doc, "figures"), i, k)
	{
		double share = json_number_value(
			json_object_get(json_object_get(k, "median"), "memory_share"));

		if (!json_object_get(json_object_get(k, "median"), "memory_share") || share >= 0.9)
			continue;
		(void)snprintf(text, sizeof(text),
			       "Of %s only %.0f%% went through memory, the rest over TCP.",
			       text_of(k, "id"), share * 100);
		sl_svg_element(out, "p", "class=\"note\"", text);
	}
	json_array_foreach(json_object_get(doc, "skipped"), i, k)
	{
		(void)snprintf(text, sizeof(text), "Skipped: %s (%s).", text_of(k, "part"),
			       text_of(k, "why"));
		sl_svg_element(out, "p", "class=\"note\"", text);
	}
}

static void cards(const json_t *doc, FILE *out)
{
	const json_t *list = json_object_get(doc, "headlines"), *h;
	char s[24];
	size_t i;

	if (!json_array_size(list))
		return;
	(void)fputs("<div class=\"cards\">\n", out);
	json_array_foreach(list, i, h)
	{
		double ratio = json_number_value(json_object_get(h, "ratio"));
		bool worse = ratio < 0.98;
		bool slower = !strcmp(text_of(h, "unit"), "slower");

		(void)fprintf(out, "<div class=\"card%s\"><b>%s <small>", worse ? " worse" : "",
			      sl_bench_times(slower ? 1 / ratio : ratio, s));
		sl_svg_text(out, text_of(h, "unit"));
		(void)fputs("</small></b>", out);
		sl_svg_element(out, "span", "", text_of(h, "title"));
		sl_svg_element(out, "i", "", text_of(h, "text"));
		(void)fputs("</div>\n", out);
	}
	(void)fputs("</div>\n", out);
}

static void title(const json_t *doc, FILE *out)
{
	const json_t *h = json_array_get(json_object_get(doc, "headlines"), 0);
	const json_t *m = json_object_get(doc, "machine"), *s = json_object_get(doc, "settings");
	char text[300], r[24];
	double ratio = json_number_value(json_object_get(h, "ratio"));

	if (h && ratio >= 1 && !strcmp(text_of(h, "unit"), "faster"))
		(void)snprintf(text, sizeof(text), "%s: %s: %s", text_of(h, "title"),
			       text_of(h, "text"), sl_bench_times(ratio, r));
	else
		(void)snprintf(text, sizeof(text), "scilan beside TCP, Unix sockets and pipes");
	sl_svg_element(out, "h1", "", text);
	(void)snprintf(
		text, sizeof(text),
		"The same two programs over TCP on loopback, over Unix sockets, over pipes and "
		"under scilan %s, by turns, on %s with Linux %s, %s.",
		text_of(s, "version"), text_of(m, "cpu"), text_of(m, "kernel"), text_of(s, "date"));
	sl_svg_element(out, "p", "class=\"soft\"", text);
}

void sl_bench_html(const json_t *doc, FILE *out)
{
	(void)fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
		    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
		    "<title>scilan bench</title>\n<style>",
		    out);
	(void)fputs(style, out);
	(void)fputs("</style></head><body>\n", out);
	title(doc, out);
	notes(doc, out);
	cards(doc, out);
	sl_bench_plots(doc, out);
	targets(doc, out);
	settings(doc, out);
	everything(doc, out);
	(void)fputs("</body></html>\n", out);
}
