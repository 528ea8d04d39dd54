/* SPDX-License-Identifier: BSD-2-Clause */
/* timeout.h - deadlines for waits that go in several steps */
#ifndef SL_TIMEOUT_H
#define SL_TIMEOUT_H

#include "clock.h"

struct sl_deadline {
	bool forever, now;
	uint64_t at_ns; /* CLOCK_MONOTONIC */
};

static inline void sl_deadline_init(struct sl_deadline *d, const struct timespec *timeout)
{
	d->forever = !timeout;
	d->now = timeout && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
	d->at_ns = 0;
	if (timeout && !d->now)
		d->at_ns = sl_now_ns() + (uint64_t)timeout->tv_sec * 1000000000u +
			   (uint64_t)timeout->tv_nsec;
}

/* What is left, into @ts; NULL: for ever. */
static inline const struct timespec *sl_deadline_left(const struct sl_deadline *d,
						      struct timespec *ts)
{
	uint64_t now, left;

	if (d->forever)
		return NULL;
	now = d->now ? 0 : sl_now_ns();
	left = d->now || now >= d->at_ns ? 0 : d->at_ns - now;
	ts->tv_sec = (time_t)(left / 1000000000u);
	ts->tv_nsec = (long)(left % 1000000000u);
	return ts;
}

static inline bool sl_deadline_over(const struct sl_deadline *d)
{
	return d->now || (!d->forever && sl_now_ns() >= d->at_ns);
}

#endif
