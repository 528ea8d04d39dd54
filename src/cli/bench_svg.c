/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <string.h>
#include "bench.h"
#include "bench_svg.h"

#define WIDTH	   420.0
#define TOP	   12.0
#define LINES_LEFT 50.0
#define LINES_W	   276.0
#define LINES_H	   230.0
#define LABEL_GAP  14.0 /* between two labels */
#define LANE_H	   16.0
#define HEAD_H	   23.0
#define LANES_LEFT 92.0
#define LANES_W	   214.0

/* A number and its unit stay on one line. */
static bool unit_follows(const char *start, const char *space)
{
	return space > start && space[-1] >= '0' && space[-1] <= '9' &&
	       (((space[1] | 0x20) >= 'a' && (space[1] | 0x20) <= 'z') || (space[1] & 0x80));
}

void sl_svg_text(FILE *out, const char *s)
{
	const char *start = s;

	for (; *s; s++) {
		switch (*s) {
		case ' ':
			(void)fputs(unit_follows(start, s) ? "&#160;" : " ", out);
			break;
		case '&':
			(void)fputs("&amp;", out);
			break;
		case '<':
			(void)fputs("&lt;", out);
			break;
		case '>':
			(void)fputs("&gt;", out);
			break;
		case '"':
			(void)fputs("&quot;", out);
			break;
		default:
			if ((unsigned char)*s >= ' ')
				(void)fputc(*s, out);
		}
	}
}

void sl_svg_element(FILE *out, const char *tag, const char *attributes, const char *text)
{
	(void)fprintf(out, "<%s%s%s>", tag, *attributes ? " " : "", attributes);
	sl_svg_text(out, text);
	(void)fprintf(out, "</%s>\n", tag);
}

/* --- axes */

struct axis {
	double low, high; /* values */
	double from, to;  /* where they are drawn */
	bool log;
};

static double at(const struct axis *a, double v)
{
	double part;

	if (a->log)
		part = log10(v / a->low) / log10(a->high / a->low);
	else
		part = (v - a->low) / (a->high - a->low);
	return a->from + part * (a->to - a->from);
}

/* Room for the values: to the next of 1, 2, 5 times a power of ten. */
static double down(double v)
{
	double p = pow(10, floor(log10(v) + 1e-9));

	return v >= 5 * p * 0.999 ? 5 * p : v >= 2 * p * 0.999 ? 2 * p : p;
}

static double up(double v)
{
	double p = pow(10, floor(log10(v) - 1e-9));

	return v <= 2 * p * 1.001 ? 2 * p : v <= 5 * p * 1.001 ? 5 * p : 10 * p;
}

/* "1 ms", "100 ns", "10 k": a round number. */
static const char *tick_text(enum sl_svg_unit unit, double v, char s[32])
{
	static const char *const times[] = {"ns", "µs", "ms", "s"};
	int i = 0;

	switch (unit) {
	case SL_SVG_TIME:
		v *= 1e3;
		for (; v >= 999.5 && i < 3; i++)
			v /= 1e3;
		(void)snprintf(s, 32, v == 0 ? "0" : "%.3g %s", v, times[i]);
		break;
	case SL_SVG_RATE:
		(void)sl_bench_tick(v, s);
		break;
	case SL_SVG_SIZE:
		(void)sl_bench_size(v, s);
		break;
	default:
		(void)snprintf(s, 32, v > 0 && v < 0.0009 ? "%.0e" : "%.3g", v);
	}
	return s;
}

struct ticks {
	size_t n;
	double v[24];
};

static void add_tick(struct ticks *t, const struct axis *a, double v)
{
	if (t->n < 24 && v >= a->low * 0.999 && v <= a->high * 1.001)
		t->v[t->n++] = v;
}

static void linear_ticks(const struct axis *a, struct ticks *t)
{
	double step = up((a->high - a->low) / 5), v;

	for (v = ceil(a->low / step) * step; v <= a->high * 1.001; v += step)
		add_tick(t, a, v);
}

/* Powers of ten; all of 1, 2, 5 where there are few; every second or third where many. */
static void log_ticks(const struct axis *a, struct ticks *t)
{
	double decades = log10(a->high / a->low), p;
	int k, every = decades > 9 ? 3 : decades > 6.5 ? 2 : 1;

	for (k = (int)floor(log10(a->low)); k <= (int)ceil(log10(a->high)); k++) {
		p = pow(10, k);
		if ((k % every + every) % every == 0)
			add_tick(t, a, p);
		if (decades <= 2.1) {
			add_tick(t, a, 2 * p);
			add_tick(t, a, 5 * p);
		}
	}
}

static void get_ticks(const struct axis *a, struct ticks *t)
{
	t->n = 0;
	if (a->log)
		log_ticks(a, t);
	else
		linear_ticks(a, t);
}

static void begin(FILE *out, double height, const char *alt)
{
	(void)fprintf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", WIDTH,
		      height);
	sl_svg_text(out, alt);
	(void)fputs("\">\n", out);
}

static void label(FILE *out, double x, double y, const char *class, const char *anchor,
		  const char *text)
{
	(void)fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">", x, y,
		      class, anchor);
	sl_svg_text(out, text);
	(void)fputs("</text>\n", out);
}

static void rule(FILE *out, double x1, double y1, double x2, double y2, const char *class)
{
	(void)fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n",
		      x1, y1, x2, y2, class);
}

/* --- markers: another shape for each variant */

static void marker(FILE *out, const char *variant, double x, double y, const char *title)
{
	(void)fputs("<g class=\"mark\">", out);
	if (!strcmp(variant, "tcp") || !strcmp(variant, "tcp-100"))
		(void)fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"7\" height=\"7\"/>",
			      x - 3.5, y - 3.5);
	else if (!strcmp(variant, "tcp-spin") || !strcmp(variant, "tcp-155"))
		(void)fprintf(out, "<path d=\"M%.1f %.1fl4.5 4.5 -4.5 4.5 -4.5 -4.5z\"/>", x,
			      y - 4.5);
	else if (!strcmp(variant, "unix"))
		(void)fprintf(out, "<path d=\"M%.1f %.1fl4.6 8h-9.2z\"/>", x, y - 4.9);
	else if (!strcmp(variant, "pipe"))
		(void)fprintf(out, "<path d=\"M%.1f %.1fl-4.6 -8h9.2z\"/>", x, y + 4.9);
	else if (!strcmp(variant, "sockmap"))
		(void)fprintf(out, "<path d=\"M%.1f %.1fh3v3h3v3h-3v3h-3v-3h-3v-3h3z\"/>", x - 1.5,
			      y - 4.5);
	else
		(void)fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"/>", x, y,
			      !strcmp(variant, "limit") ? "3" : "4");
	(void)fputs("<title>", out);
	sl_svg_text(out, title);
	(void)fputs("</title></g>\n", out);
}

/* --- lines */

static bool usable(const struct sl_svg_lines *p, double y)
{
	return isfinite(y) && (y > 0 || p->y_floor > 0);
}

static double shown(const struct sl_svg_lines *p, double y)
{
	return y < p->y_floor ? p->y_floor : y;
}

static bool ranges(const struct sl_svg_lines *p, struct axis *x, struct axis *y)
{
	size_t i, k, n = 0;

	x->low = y->low = INFINITY;
	x->high = y->high = 0;
	for (i = 0; i < p->n; i++) {
		for (k = 0; k < p->s[i].n; k++) {
			if (!usable(p, p->s[i].y[k]))
				continue;
			x->low = fmin(x->low, p->s[i].x[k]);
			x->high = fmax(x->high, p->s[i].x[k]);
			y->low = fmin(y->low, shown(p, p->s[i].y[k]));
			y->high = fmax(y->high, shown(p, p->s[i].y[k]));
			n++;
		}
	}
	if (n < 2 || x->high <= x->low)
		return false;
	y->low = down(y->low);
	y->high = up(y->high);
	if (y->high / y->low < 10)
		y->low = down(y->high / 10);
	x->log = !p->x_linear;
	y->log = true;
	x->from = LINES_LEFT + 8;
	x->to = LINES_LEFT + LINES_W - 8;
	y->from = TOP + LINES_H;
	y->to = TOP;
	return true;
}

static void x_tick(FILE *out, double px, const char *text)
{
	rule(out, px, TOP + LINES_H, px, TOP + LINES_H + 4, "axis");
	if (text)
		label(out, px, TOP + LINES_H + 17, "tick", "middle", text);
}

/* Ticks of x stand where there are measurements, as far as there is room for their labels. */
static void x_axis(FILE *out, const struct sl_svg_lines *p, const struct axis *x)
{
	double taken = -100, px, room = p->x_unit == SL_SVG_SIZE ? 44 : 34;
	const struct sl_svg_series *s = &p->s[0];
	struct ticks t;
	char text[32];
	size_t i, k;

	for (i = 1; i < p->n; i++)
		s = p->s[i].n > s->n ? &p->s[i] : s;
	get_ticks(x, &t);
	for (k = 0; k < t.n && p->x_unit == SL_SVG_RATE; k++) /* rates that were reached are odd */
		x_tick(out, at(x, t.v[k]), tick_text(p->x_unit, t.v[k], text));
	for (k = 0; k < s->n && p->x_unit != SL_SVG_RATE; k++) {
		double v = s->x[k];

		if (p->x_unit == SL_SVG_PLAIN && p->x_linear && k && (k + 1) % 8)
			continue; /* 1, 8, 16 ... */
		px = at(x, v);
		if (px < LINES_LEFT || px > LINES_LEFT + LINES_W)
			continue;
		x_tick(out, px, px - taken < room ? NULL : tick_text(p->x_unit, v, text));
		taken = px - taken < room ? taken : px;
	}
	rule(out, LINES_LEFT, TOP + LINES_H, LINES_LEFT + LINES_W, TOP + LINES_H, "axis");
	label(out, LINES_LEFT + LINES_W / 2, TOP + LINES_H + 35, "title", "middle", p->x_title);
}

static void y_axis(FILE *out, const struct sl_svg_lines *p, const struct axis *y)
{
	struct ticks t;
	char text[32];
	size_t i;
	double py;

	get_ticks(y, &t);
	for (i = 0; i < t.n; i++) {
		py = at(y, t.v[i]);
		rule(out, LINES_LEFT, py, LINES_LEFT + LINES_W, py, "grid");
		label(out, LINES_LEFT - 6, py + 4, "tick", "end",
		      tick_text(p->y_unit, t.v[i], text));
	}
}

static void series(FILE *out, const struct sl_svg_lines *p, const struct sl_svg_series *s,
		   const struct axis *x, const struct axis *y)
{
	char xt[32], yt[32], title[160];
	bool pen = false;
	size_t k;

	(void)fprintf(out, "<g class=\"v-%s\"><path class=\"line%s\" d=\"", s->variant,
		      s->dashed ? " dashed" : "");
	for (k = 0; k < s->n; k++) {
		if (!usable(p, s->y[k]))
			continue;
		(void)fprintf(out, "%s%.1f %.1f", pen ? "L" : "M", at(x, s->x[k]),
			      at(y, shown(p, s->y[k])));
		pen = true;
	}
	(void)fputs("\"/>\n", out);
	for (k = 0; k < s->n; k++) {
		if (!usable(p, s->y[k]) || (s->n > 20 && k && (k + 1) % 8))
			continue;
		(void)snprintf(title, sizeof(title), "%s, %s: %s", s->label,
			       tick_text(p->x_unit, s->x[k], xt),
			       tick_text(p->y_unit, s->y[k], yt));
		marker(out, s->variant, at(x, s->x[k]), at(y, shown(p, s->y[k])), title);
	}
	(void)fputs("</g>\n", out);
}

struct end_label {
	const struct sl_svg_series *s;
	double y, x, point;
};

/* At the right end of each line, in order, and not on each other. */
static void end_labels(FILE *out, const struct sl_svg_lines *p, const struct axis *x,
		       const struct axis *y)
{
	struct end_label l[SL_SVG_SERIES], t;
	double lowest = TOP + LINES_H + 4;
	size_t i, k, n = 0;

	for (i = 0; i < p->n; i++) {
		for (k = p->s[i].n; k > 0 && !usable(p, p->s[i].y[k - 1]); k--)
			;
		if (!k || p->s[i].quiet)
			continue;
		t.s = &p->s[i];
		t.point = t.y = at(y, shown(p, t.s->y[k - 1]));
		t.x = at(x, t.s->x[k - 1]);
		for (k = n++; k > 0 && l[k - 1].y > t.y; k--)
			l[k] = l[k - 1];
		l[k] = t;
	}
	for (i = 1; i < n; i++)
		if (l[i].y < l[i - 1].y + LABEL_GAP)
			l[i].y = l[i - 1].y + LABEL_GAP;
	for (i = n; i-- > 0; lowest = l[i].y - LABEL_GAP)
		if (l[i].y > lowest)
			l[i].y = lowest;
	for (i = 0; i < n; i++) {
		double left = LINES_LEFT + LINES_W;

		(void)fprintf(out, "<g class=\"v-%s\">", l[i].s->variant);
		(void)fprintf(out, "<path class=\"leader\" d=\"M%.1f %.1fL%.1f %.1f\"/>",
			      l[i].x + 6, l[i].point, left + 2, l[i].y);
		label(out, left + 5, l[i].y + 4, "name", "start", l[i].s->label);
		(void)fputs("</g>\n", out);
	}
}

bool sl_svg_draw_lines(FILE *out, struct sl_svg_lines *p)
{
	struct axis x, y;
	size_t i;

	if (!ranges(p, &x, &y))
		return false;
	begin(out, TOP + LINES_H + 44, p->alt);
	y_axis(out, p, &y);
	x_axis(out, p, &x);
	for (i = 0; i < p->n; i++)
		series(out, p, &p->s[i], &x, &y);
	end_labels(out, p, &x, &y);
	(void)fputs("</svg>\n", out);
	return true;
}

/* --- lanes */

static double lanes_height(const struct sl_svg_lanes *p)
{
	double h = 0;
	size_t i;

	for (i = 0; i < p->n; i++)
		h += p->lane[i].variant ? LANE_H : HEAD_H;
	return h;
}

static bool lanes_range(const struct sl_svg_lanes *p, struct axis *a)
{
	size_t i;

	a->low = INFINITY;
	a->high = 0;
	for (i = 0; i < p->n; i++) {
		const struct sl_svg_lane *l = &p->lane[i];

		if (!l->variant || !isfinite(l->v) || l->v <= 0)
			continue;
		a->low = fmin(a->low, l->v);
		a->high = fmax(a->high, fmax(l->v, isfinite(l->to) ? l->to : 0));
	}
	if (a->high <= 0)
		return false;
	a->low = p->linear ? 0 : down(a->low * 0.9);
	a->high = p->linear ? a->high : up(a->high);
	if (!p->linear && a->high / a->low < 10)
		a->low = a->high / 10;
	a->log = !p->linear;
	a->from = LANES_LEFT;
	a->to = LANES_LEFT + LANES_W;
	return true;
}

static void lanes_axis(FILE *out, const struct sl_svg_lanes *p, const struct axis *a, double bottom)
{
	double taken = -100, px;
	struct ticks t;
	char text[32];
	size_t i;

	get_ticks(a, &t);
	for (i = 0; i < t.n; i++) {
		px = at(a, t.v[i]);
		rule(out, px, TOP, px, bottom, "grid");
		if (px - taken < 40)
			continue;
		label(out, px, bottom + 14, "tick", "middle", tick_text(p->unit, t.v[i], text));
		taken = px;
	}
}

static void lane(FILE *out, const struct sl_svg_lanes *p, const struct sl_svg_lane *l,
		 const struct axis *a, double y)
{
	double x, end;
	char title[160];

	(void)fprintf(out, "<g class=\"v-%s\">", l->variant);
	label(out, LANES_LEFT - 8, y + 4, "name", "end", l->label);
	if (!isfinite(l->v)) {
		(void)fputs("</g>\n", out);
		return;
	}
	x = at(a, l->v > 0 ? l->v : a->low);
	end = isfinite(l->to) && l->to > l->v ? at(a, l->to) : x;
	(void)snprintf(title, sizeof(title), "%s: %s", l->label, l->text);
	if (p->linear)
		(void)fprintf(out,
			      "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
			      "height=\"%.1f\"/>\n",
			      LANES_LEFT, y - 5, fmax(1, x - LANES_LEFT), 10.0);
	else if (end > x) {
		rule(out, x, y, end, y, "whisker");
		rule(out, end, y - 4, end, y + 4, "whisker");
	}
	if (!p->linear)
		marker(out, l->variant, x, y, title);
	label(out, end + 8, y + 4, "value", "start", l->text);
	(void)fputs("</g>\n", out);
}

bool sl_svg_draw_lanes(FILE *out, const struct sl_svg_lanes *p)
{
	double height = lanes_height(p), y = TOP;
	struct axis a;
	size_t i;

	if (!lanes_range(p, &a))
		return false;
	begin(out, TOP + height + 24, p->alt);
	lanes_axis(out, p, &a, TOP + height + 2);
	for (i = 0; i < p->n; i++) {
		if (!p->lane[i].variant) {
			label(out, 0, y + HEAD_H - 7, "head", "start", p->lane[i].label);
			y += HEAD_H;
			continue;
		}
		lane(out, p, &p->lane[i], &a, y + LANE_H / 2);
		y += LANE_H;
	}
	(void)fputs("</svg>\n", out);
	return true;
}
