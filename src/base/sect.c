/* SPDX-License-Identifier: BSD-2-Clause */
#include <stddef.h>
#include "sect.h"

__thread struct sl_sect sl_sect __attribute__((tls_model("initial-exec")));

static void nothing(bool entered)
{
	(void)entered;
}

void (*sl_sect_slow)(bool entered) = nothing;

void sl_frames_gone(const struct sl_frame *last)
{
	struct sl_frame *f;

	sl_sect.depth = 0;
	while ((f = sl_sect.frames) && f != last) {
		sl_sect.frames = f->up;
		f->gone(f->arg);
	}
}

void sl_frame_cancelled(void *unused)
{
	(void)unused;
	sl_frames_gone(NULL);
}
