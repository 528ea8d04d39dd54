/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers of `scilan bench` for people, and the benchmark's histogram. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "../../bench/hist.h"
#include "../../src/cli/bench_fmt.c"

static void test_times(void **state)
{
	static const struct {
		double us;
		const char *want;
	} cases[] = {
		{0.0493, "49.3 ns"}, {0.493, "0.493 µs"}, {0.5, "0.50 µs"},	{1, "1.00 µs"},
		{78.14, "78.1 µs"},  {999.6, "1000 µs"},  {9990, "9990 µs"},	{9999, "10.0 ms"},
		{46000, "46.0 ms"},  {0, "0 ns"},	  {1230000, "1230 ms"},
	};
	char s[24];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(sl_bench_time(cases[i].us, s), cases[i].want);
	assert_string_equal(sl_bench_time(NAN, s), "–");
}

static void test_numbers(void **state)
{
	static const struct {
		double v;
		const char *number, *times, *size, *tick;
	} cases[] = {
		{0, "0", "0x", "0 B", "0"},
		{0.0004, "0.0004", "<.001x", "0.0004 B", "0.0004"},
		{0.0061, "0.0061", "0.006x", "0.0061 B", "0.0061"},
		{0.98, "0.98", "0.98x", "0.98 B", "0.98"},
		{4, "4.00", "4.00x", "4 B", "4"},
		{159.4, "159", "159x", "159.4 B", "159"},
		{1024, "1024", "1024x", "1 KiB", "1.02 k"},
		{65536, "65.5 k", "65536x", "64 KiB", "65.5 k"},
		{1048576, "1.05 M", "1048576x", "1 MiB", "1.05 M"},
	};
	char s[24];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_string_equal(sl_bench_number(cases[i].v, s), cases[i].number);
		assert_string_equal(sl_bench_times(cases[i].v, s), cases[i].times);
		assert_string_equal(sl_bench_size(cases[i].v, s), cases[i].size);
		assert_string_equal(sl_bench_tick(cases[i].v, s), cases[i].tick);
	}
}

static void test_titles(void **state)
{
	(void)state;
	assert_string_equal(sl_bench_title("tcp-spin"), "TCP, both spinning");
	assert_string_equal(sl_bench_short("tcp-spin"), "TCP spinning");
	assert_string_equal(sl_bench_title("something"), "something");
}

/* Every value is known to 1/128, and quantiles are those of all values. */
static void test_hist(void **state)
{
	static struct hist h;
	uint64_t v, seen;

	(void)state;
	for (v = 1; v < 1ULL << 39; v += v / 3 + 1) {
		seen = hist_value(hist_index(v));
		assert_true(seen <= v + v / 128 && seen + v / 128 >= v);
	}
	assert_int_equal(hist_index(UINT64_MAX), HIST_BUCKETS - 1);
	for (v = 1; v <= 100; v++)
		hist_add(&h, v);
	assert_int_equal(hist_quantile(&h, 0.5), 50);
	assert_int_equal(hist_quantile(&h, 0.99), 99);
	assert_int_equal(hist_quantile(&h, 1), 100);
	assert_int_equal(hist_quantile(&h, 0), 1);
	hist_add(&h, 1ULL << 50);
	assert_int_equal(h.max, 1ULL << 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_titles),
		cmocka_unit_test(test_hist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
