/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_svg.h - plots as inline SVG
 *
 * Two kinds: lines (values against x, one or both axes logarithmic) and lanes (a row for each
 * value, grouped; a dot for the value, a whisker to a second one). Colours are classes "v-VARIANT",
 * which the page gives a value for light and for dark; shapes differ, too, and every line and lane
 * has its name beside it, so that no plot needs colours to be understood.
 *
 * A plot is 420 units wide, which a page shows at 370 to 520 pixels: text stays readable on a
 * telephone.
 */
#ifndef SL_BENCH_SVG_H
#define SL_BENCH_SVG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define SL_SVG_POINTS 72
#define SL_SVG_SERIES 8
#define SL_SVG_LANES  48

enum sl_svg_unit { SL_SVG_TIME, SL_SVG_RATE, SL_SVG_GB, SL_SVG_PLAIN, SL_SVG_SIZE };

struct sl_svg_series {
	const char *variant; /* the class */
	const char *label;
	bool dashed, quiet; /* quiet: no label */
	size_t n;
	double x[SL_SVG_POINTS], y[SL_SVG_POINTS];
};

struct sl_svg_lines {
	const char *alt;
	const char *x_title;
	enum sl_svg_unit x_unit, y_unit;
	bool x_linear;
	double y_floor; /* smaller values are drawn here; 0: none are */
	size_t n;
	struct sl_svg_series s[SL_SVG_SERIES];
};

struct sl_svg_lane {
	const char *variant; /* NULL: a heading of the lanes below */
	char label[64];
	double v, to; /* to: the whisker's end; NAN: none */
	char text[48];
};

struct sl_svg_lanes {
	const char *alt;
	enum sl_svg_unit unit;
	bool linear; /* bars from 0, instead of dots on a logarithmic axis */
	size_t n;
	struct sl_svg_lane lane[SL_SVG_LANES];
};

void sl_svg_text(FILE *out, const char *s); /* escaped */
void sl_svg_element(FILE *out, const char *tag, const char *attributes, const char *text);
/* Nothing is drawn where there are no points. Return: whether something was. */
bool sl_svg_draw_lines(FILE *out, struct sl_svg_lines *p);
bool sl_svg_draw_lanes(FILE *out, const struct sl_svg_lanes *p);

#endif
