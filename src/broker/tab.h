/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tab.h - an intrusive hash table that grows
 *
 * The caller embeds a node, computes the hash (sl_tab_hash: keyed, since clients choose what is
 * hashed) and compares keys itself while walking:
 *
 *	for (n = sl_tab_first(t, h); n; n = sl_tab_next(n))
 *		if (same(sl_container_of(n, struct thing, node), key)) ...
 */
#ifndef SL_TAB_H
#define SL_TAB_H

#include <stddef.h>
#include <stdint.h>

struct sl_tab_node {
	struct sl_tab_node *next;
	uint64_t hash;
};

struct sl_tab {
	struct sl_tab_node **slots;
	size_t slot_count; /* a power of two */
	size_t node_count;
};

int sl_tab_init(struct sl_tab *t);
void sl_tab_fini(struct sl_tab *t);

/* Never fails: when memory for growing lacks, the chains grow longer instead. */
void sl_tab_add(struct sl_tab *t, struct sl_tab_node *n, uint64_t hash);
void sl_tab_del(struct sl_tab *t, struct sl_tab_node *n);

struct sl_tab_node *sl_tab_first(const struct sl_tab *t, uint64_t hash);
struct sl_tab_node *sl_tab_next(const struct sl_tab_node *n);

/**
 * sl_tab_hash() - hash bytes with the process's random key
 * @len: a multiple of 8
 */
uint64_t sl_tab_hash(const void *key, size_t len);

#endif
