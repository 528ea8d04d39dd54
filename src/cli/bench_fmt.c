/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_fmt.c - numbers for people */
#include <math.h>
#include <string.h>
#include "bench.h"

/* Three digits that mean something: 0.493, 78.1, 1230. */
static void digits(double v, char s[24])
{
	int after = 3;
	double p;

	for (p = 1; v * 1.0005 >= p && after > 0; p *= 10) /* 9.9996 is 10.0 */
		after--;
	for (p = 0.1; v > 0 && v < p && after < 4; p /= 10)
		after++;
	(void)snprintf(s, 24, "%.*f", v == 0 ? 0 : after, v);
	if (after > 2 && strchr(s, '.')) { /* 0.4930 → 0.493 */
		while (s[strlen(s) - 1] == '0' && strlen(strchr(s, '.')) > 3)
			s[strlen(s) - 1] = '\0';
	}
}

const char *sl_bench_size(double bytes, char s[24])
{
	if (bytes >= 1048576)
		(void)snprintf(s, 24, "%g MiB", bytes / 1048576);
	else if (bytes >= 1024)
		(void)snprintf(s, 24, "%g KiB", bytes / 1024);
	else
		(void)snprintf(s, 24, "%g B", bytes);
	return s;
}

const char *sl_bench_time(double us, char s[24])
{
	const char *unit = "µs";

	if (isnan(us))
		return strcpy(s, "–");
	if (us >= 9995) {
		us /= 1000;
		unit = "ms";
	} else if (us < 0.0995) {
		us *= 1000;
		unit = "ns";
	}
	digits(us, s);
	(void)strcat(s, " ");
	return strcat(s, unit);
}

const char *sl_bench_times(double ratio, char s[24])
{
	if (isnan(ratio))
		return strcpy(s, "–");
	if (ratio >= 9.95)
		(void)snprintf(s, 24, "%.0fx", ratio);
	else if (ratio >= 0.095)
		(void)snprintf(s, 24, "%.2fx", ratio);
	else if (ratio >= 0.0005)
		(void)snprintf(s, 24, "%.3fx", ratio);
	else
		(void)strcpy(s, ratio > 0 ? "<.001x" : "0x");
	return s;
}

const char *sl_bench_number(double v, char s[24])
{
	const char *unit = "";

	if (isnan(v))
		return strcpy(s, "–");
	if (v >= 999.5e6) {
		v /= 1e9;
		unit = " G";
	} else if (v >= 999500) {
		v /= 1e6;
		unit = " M";
	} else if (v >= 9995) {
		v /= 1e3;
		unit = " k";
	}
	if (v > 0 && v < 0.001)
		(void)snprintf(s, 24, "%.1g", v);
	else
		digits(v, s);
	return strcat(s, unit);
}

const char *sl_bench_tick(double v, char s[24])
{
	static const char *const units[] = {"", " k", " M", " G"};
	int i;

	for (i = 0; v >= 999.5 && i < 3; i++)
		v /= 1e3;
	(void)snprintf(s, 24, "%.3g%s", v, units[i]);
	return s;
}

static const struct {
	const char *name, *title, *brief;
} names[] = {
	{"tcp", "TCP", "TCP"},
	{"tcp-spin", "TCP, both spinning", "TCP spinning"},
	{"unix", "Unix socket", "Unix socket"},
	{"pipe", "pipe", "pipe"},
	{"sockmap", "eBPF sockmap", "sockmap"},
	{"scilan", "scilan", "scilan"},
	{"scilan-eager", "scilan, eager", "scilan eager"},
	{"tcp-100", "TCP, 100 Mbit/s", "100 Mbit/s"},
	{"tcp-155", "TCP, 155 Mbit/s", "155 Mbit/s"},
};

const char *sl_bench_title(const char *variant)
{
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i].name, variant))
			return names[i].title;
	return variant;
}

const char *sl_bench_short(const char *variant)
{
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i].name, variant))
			return names[i].brief;
	return variant;
}
