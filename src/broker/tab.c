/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "tab.h"

#define FIRST_COUNT 256

int sl_tab_init(struct sl_tab *t)
{
	t->slots = calloc(FIRST_COUNT, sizeof(struct sl_tab_node *));
	t->slot_count = FIRST_COUNT;
	t->node_count = 0;
	return t->slots ? 0 : -ENOMEM;
}

void sl_tab_fini(struct sl_tab *t)
{
	free(t->slots);
	t->slots = NULL;
}

static struct sl_tab_node **slot_of(const struct sl_tab *t, uint64_t hash)
{
	return &t->slots[hash & (t->slot_count - 1)];
}

static void grow(struct sl_tab *t)
{
	struct sl_tab bigger = {.slot_count = t->slot_count * 2};
	struct sl_tab_node *n, *next, **slot;
	size_t i;

	bigger.slots = calloc(bigger.slot_count, sizeof(struct sl_tab_node *));
	if (!bigger.slots)
		return;
	for (i = 0; i < t->slot_count; i++) {
		for (n = t->slots[i]; n; n = next) {
			next = n->next;
			slot = slot_of(&bigger, n->hash);
			n->next = *slot;
			*slot = n;
		}
	}
	free(t->slots);
	t->slots = bigger.slots;
	t->slot_count = bigger.slot_count;
}

void sl_tab_add(struct sl_tab *t, struct sl_tab_node *n, uint64_t hash)
{
	struct sl_tab_node **slot;

	if (t->node_count >= t->slot_count)
		grow(t);
	slot = slot_of(t, hash);
	n->hash = hash;
	n->next = *slot;
	*slot = n;
	t->node_count++;
}

void sl_tab_del(struct sl_tab *t, struct sl_tab_node *n)
{
	struct sl_tab_node **p;

	for (p = slot_of(t, n->hash); *p; p = &(*p)->next) {
		if (*p == n) {
			*p = n->next;
			t->node_count--;
			return;
		}
	}
}

static struct sl_tab_node *same_hash(struct sl_tab_node *n, uint64_t hash)
{
	while (n && n->hash != hash)
		n = n->next;
	return n;
}

struct sl_tab_node *sl_tab_first(const struct sl_tab *t, uint64_t hash)
{
	return same_hash(*slot_of(t, hash), hash);
}

struct sl_tab_node *sl_tab_next(const struct sl_tab_node *n)
{
	return same_hash(n->next, n->hash);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t sl_tab_hash(const void *key, size_t len)
{
	static uint64_t seed[2];
	const char *p = key;
	uint64_t h, w;
	size_t i;

	if (!seed[0]) {
		if (getrandom(seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
			seed[1] = (uintptr_t)&key; /* no entropy yet: the layout's */
		seed[0] |= 1;
		seed[1] |= 1;
	}
	h = seed[0] ^ len;
	for (i = 0; i < len; i += sizeof(w)) {
		memcpy(&w, p + i, sizeof(w));
		h = mix(h ^ w, seed[1]) + 0x9e3779b97f4a7c15u;
	}
	return mix(h, seed[0]);
}
