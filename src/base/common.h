/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * common.h - the few things that every layer uses
 *
 * Inside scilan a function returns >= 0 or -errno. errno itself is set in one place only
 * (sl_ret() in preload/), and is left alone on success.
 */
#ifndef SL_COMMON_H
#define SL_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_VERSION "0.1.0"

#define sl_likely(x)   __builtin_expect(!!(x), 1)
#define sl_unlikely(x) __builtin_expect(!!(x), 0)

/* Words of different writers never share a block: two lines, for the adjacent-line prefetcher. */
#define SL_BLOCK 128

/* On the way of short connections. What these cost is cold cache lines and pages: the linker puts them side by side. */
#define SL_SHORT __attribute__((hot))

#define SL_EXPORT __attribute__((visibility("default")))

#define sl_container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline uint64_t sl_min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline size_t sl_min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline void sl_cpu_relax(void)
{
	__builtin_ia32_pause();
}

#endif
