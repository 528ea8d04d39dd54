/* SPDX-License-Identifier: BSD-2-Clause */
#include <linux/membarrier.h>
#include "fence.h"
#include "sys.h"

bool sl_fence_able;

void sl_fence_init(void)
{
	sl_fence_able = sl_sys(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

bool sl_fence_all(void)
{
	return sl_sys(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}
