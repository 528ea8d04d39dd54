/* SPDX-License-Identifier: BSD-2-Clause */
#include "reason.h"

static const char *const texts[] = {
#define X(name, text) text,
	SL_REASONS(X)
#undef X
};

const char *sl_reason_text(unsigned why)
{
	return why < SL_WHY_COUNT ? texts[why] : "unknown reason";
}
