/* SPDX-License-Identifier: BSD-2-Clause */
/* pool.c - the sockets' memory: reused, never freed (fdtab.h says why) */
#include <string.h>
#include <sys/mman.h>
#include "internal.h"

#define CHUNK 64u

static struct sl_sock *chunks[SL_SOCK_MAX / CHUNK];
static unsigned high;	   /* sockets ever used */
static uint32_t free_list[SL_SOCK_MAX];
static unsigned free_n;
static struct sl_lock lock;

struct sl_sock *sl_pool_at(unsigned index)
{
	if (index >= high || !chunks[index / CHUNK])
		return NULL;
	return &chunks[index / CHUNK][index % CHUNK];
}

unsigned sl_pool_high(void)
{
	return high;
}

static struct sl_sock *fresh(void)
{
	unsigned i = high;
	void *p;

	if (i >= SL_SOCK_MAX)
		return NULL;
	if (!chunks[i / CHUNK]) {
		p = mmap(NULL, CHUNK * sizeof(struct sl_sock), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return NULL;
		chunks[i / CHUNK] = p;
	}
	high = i + 1;
	chunks[i / CHUNK][i % CHUNK].index = i;
	atomic_store(&chunks[i / CHUNK][i % CHUNK].refs, SL_SOCK_FREE);
	return &chunks[i / CHUNK][i % CHUNK];
}

/* A clean socket with one reference, or NULL. */
struct sl_sock *sl_pool_get(void)
{
	struct sl_sock *s;
	uint32_t index;

	if (sl_lock(&lock))
		return NULL;
	if (free_n)
		s = sl_pool_at(free_list[--free_n]);
	else
		s = fresh();
	sl_unlock(&lock);
	if (!s)
		return NULL;

	/*
	 * A late sl_sock_get() may still add and take back a reference: refs is not wiped.
	 */
	atomic_fetch_sub_explicit(&s->refs, SL_SOCK_FREE - 1, memory_order_acq_rel);
	index = s->index;
	memset((char *)s + offsetof(struct sl_sock, rx_lock), 0,
	       sizeof(*s) - offsetof(struct sl_sock, rx_lock));
	s->index = index;
	s->side = &s->own;
	s->side->holders = 1;
	s->fd = -1;
	s->pair_fd[0] = s->pair_fd[1] = -1;
	s->side_fd = -1;
	s->lowat = 1;
	s->stat = sl_stat_entry(index);
	if (!s->stat) {
		atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
		return NULL; /* out of memory: this one is not tracked, its place is lost */
	}
	return s;
}

void sl_sock_free(struct sl_sock *s)
{
	uint32_t none = 0;

	/* A late sl_sock_get() may have been the last, too, or another life have begun since: one of all frees it. */
	if (!atomic_compare_exchange_strong(&s->refs, &none, SL_SOCK_FREE) || !s->stat)
		return;
	if (sl_unlikely(atomic_load(&s->orphan)) && !sl_orphan_end(s))
		return;
	if (s->side != &s->own)
		sl_map_retire(s->side, SL_SIDE_LEN);
	s->side = &s->own;
	sl_side_file_drop(s);
	s->stat->used = 0;
	s->stat = NULL;
	if (sl_lock(&lock))
		return;
	free_list[free_n++] = s->index;
	sl_unlock(&lock);
}
