/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/mman.h>
#include "fdtab.h"

#define CHUNKS (SL_FD_MAX / SL_FD_CHUNK)

static sl_fd_entry none[SL_FD_CHUNK]; /* all zero: chunks that nobody has written to */
static sl_fd_entry first[SL_FD_CHUNK];
sl_fd_entry *sl_fdtab[CHUNKS];
static unsigned used_chunks;

void sl_fdtab_init(void)
{
	unsigned i;

	if (sl_fdtab[0])
		return;
	for (i = 1; i < CHUNKS; i++)
		sl_fdtab[i] = none;
	sl_fdtab[0] = first;
	used_chunks = 1;
}

/* Two threads may both map a chunk: the loser's is given back. */
static sl_fd_entry *chunk(unsigned i)
{
	sl_fd_entry *c = __atomic_load_n(&sl_fdtab[i], __ATOMIC_ACQUIRE), *expected = none;
	void *p;

	if (c != none)
		return c;
	p = mmap(NULL, sizeof(none), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (!__atomic_compare_exchange_n(&sl_fdtab[i], &expected, p, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		munmap(p, sizeof(none));
		return expected;
	}
	while (used_chunks <= i)
		used_chunks = i + 1;
	return p;
}

SL_SHORT uintptr_t sl_fdtab_swap(int fd, uintptr_t entry)
{
	sl_fd_entry *c;

	if ((unsigned)fd >= SL_FD_MAX)
		return UINTPTR_MAX;
	if (!entry && !sl_fdtab_load(fd))
		return 0;
	c = chunk((unsigned)fd / SL_FD_CHUNK);
	if (!c)
		return UINTPTR_MAX;
	return atomic_exchange_explicit(&c[(unsigned)fd % SL_FD_CHUNK], entry,
					memory_order_acq_rel);
}

bool sl_fdtab_replace(int fd, uintptr_t was, uintptr_t entry)
{
	return atomic_compare_exchange_strong(&sl_fdtab[(unsigned)fd / SL_FD_CHUNK]
						       [(unsigned)fd % SL_FD_CHUNK],
					      &was, entry);
}

int sl_fdtab_next(int fd)
{
	unsigned i = fd < 0 ? 0 : (unsigned)fd;

	while (i < used_chunks * SL_FD_CHUNK) {
		if (sl_fdtab[i / SL_FD_CHUNK] == none) {
			i = (i / SL_FD_CHUNK + 1) * SL_FD_CHUNK;
			continue;
		}
		if (sl_fdtab_load((int)i))
			return (int)i;
		i++;
	}
	return -1;
}
