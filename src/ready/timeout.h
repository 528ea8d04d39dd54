/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timeout.h - deadlines for waits that go in several steps
 *
 * The clock is read when a wait first asks for the time: many have something at once, or go to sleep at once.
 */
#ifndef SL_TIMEOUT_H
#define SL_TIMEOUT_H

#include "clock.h"

struct sl_deadline {
	bool forever, now;
	const struct timespec *whole;
	uint64_t at_ns; /* CLOCK_MONOTONIC; 0: the clock was not read yet */
};

static inline void sl_deadline_init(struct sl_deadline *d, const struct timespec *timeout)
{
	d->forever = !timeout;
	d->now = timeout && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
	d->whole = timeout;
	d->at_ns = 0;
}

/* Return: it starts now. */
static inline bool sl_deadline_start(struct sl_deadline *d)
{
	if (d->at_ns)
		return false;
	d->at_ns = sl_now_ns() + (uint64_t)d->whole->tv_sec * 1000000000u +
		   (uint64_t)d->whole->tv_nsec;
	return true;
}

/* What is left, into @ts; NULL: for ever. */
static inline const struct timespec *sl_deadline_left(struct sl_deadline *d, struct timespec *ts)
{
	uint64_t now, left;

	if (d->forever)
		return NULL;
	if (d->now || sl_deadline_start(d)) {
		*ts = *d->whole;
		return ts;
	}
	now = sl_now_ns();
	left = now >= d->at_ns ? 0 : d->at_ns - now;
	ts->tv_sec = (time_t)(left / 1000000000u);
	ts->tv_nsec = (long)(left % 1000000000u);
	return ts;
}

static inline bool sl_deadline_over(struct sl_deadline *d)
{
	return d->now || (!d->forever && !sl_deadline_start(d) && sl_now_ns() >= d->at_ns);
}

#endif
