/* SPDX-License-Identifier: BSD-2-Clause */
#include "clock.h"

uint64_t sl_ticks_per_us = 2000;

void sl_clock_init(void)
{
	uint64_t t0 = sl_now_ns(), c0 = sl_ticks(), t1, c1;

	do {
		t1 = sl_now_ns();
		c1 = sl_ticks();
	} while (t1 - t0 < 20000);
	if (c1 > c0 && (c1 - c0) * 1000 / (t1 - t0) > 0)
		sl_ticks_per_us = (c1 - c0) * 1000 / (t1 - t0);
}
