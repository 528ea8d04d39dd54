/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel says of CPUs and threads, and how a place skips spins after a long yield. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "spin.h"

static void test_cpus(void **state)
{
	static const struct {
		const char *text;
		unsigned want;
	} cases[] = {
		{"0\n", 1},	{"0-1\n", 2}, {"0-3,8-11\n", 8}, {"0,2,4-5\n", 4}, {"1-0\n", 0},
		{"0-1023", 1024}, {"", 0},	      {"x", 0},		 {"0,", 1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(sl_crowd_cpus(cases[i].text), cases[i].want);
}

static void test_runnable(void **state)
{
	(void)state;
	assert_int_equal(sl_crowd_runnable("0.20 0.18 0.12 2/80 11206\n"), 2);
	assert_int_equal(sl_crowd_runnable("312.20 10.18 0.12 345/80000 11206\n"), 345);
	assert_int_equal(sl_crowd_runnable("0.20 0.18\n"), 0);
	assert_int_equal(sl_crowd_runnable(""), 0);
}

/* However crowded it looks, a place spins again one day, and the waits between two tries are bounded. */
static void test_tried_again(void **state)
{
	struct sl_spin place = {0};
	unsigned i, n, most = 0;

	(void)state;
	for (i = 0; i < 20; i++) {
		sl_spin_crowded(&place);
		assert_in_range(place.skip, SL_SPIN_SKIP_MIN, SL_SPIN_SKIP_MAX);
		for (n = 0; place.skip; n++)
			sl_spin_skip(&place);
		most = n > most ? n : most;
	}
	assert_in_range(most, SL_SPIN_SKIP_MAX, (SL_SPIN_PUT_OFF + 1) * SL_SPIN_SKIP_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_runnable),
		cmocka_unit_test(test_tried_again),
	};

	return cmocka_run_group_tests_name("crowd", tests, NULL, NULL);
}
