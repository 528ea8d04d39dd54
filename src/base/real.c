/* SPDX-License-Identifier: BSD-2-Clause */
#include <dlfcn.h>
#include <stdatomic.h>
#include "common.h"
#include "real.h"

struct sl_real_calls sl_real;

void sl_real_init(void)
{
	static atomic_bool done;

	if (atomic_load_explicit(&done, memory_order_acquire))
		return;
	/* Several threads may do this at once: they all store the same pointers. */
#define X(ret, name, args) *(void **)&sl_real.name = dlsym(RTLD_NEXT, #name);
	SL_CALLS(X)
#undef X
	atomic_store_explicit(&done, true, memory_order_release);
}
