/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include <sys/mman.h>
#include "items.h"
#include "sys.h"

#define CHUNK	 256u
#define MAX_ITEM (1u << 20)
#define MAX_EP	 4096u

static struct sl_lock reg; /* lists by descriptor and by socket, the pools */
static struct sl_item *chunks[MAX_ITEM / CHUNK];
static uint32_t high;
static struct sl_item *free_items; /* by next_fd */
static struct sl_item **by_fd[SL_FD_MAX / SL_FD_CHUNK];
static struct sl_ep *eps[MAX_EP];
static unsigned n_eps;

static void *pages(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

struct sl_item *sl_item_of_tag(uint64_t tag)
{
	uint32_t i = (uint32_t)tag;
	struct sl_item *it;

	if (!sl_tag_is_ours(tag) || i >= high)
		return NULL;
	it = &chunks[i / CHUNK][i % CHUNK];
	return it->used && it->gen == (uint16_t)(tag >> 32) ? it : NULL;
}

struct sl_ep *sl_ep_at(unsigned i)
{
	return i < n_eps ? eps[i] : NULL;
}

struct sl_ep *sl_ep_new(int epfd)
{
	static uint32_t serial;
	struct sl_ep *ep = NULL;
	unsigned i;

	if (sl_lock(&reg))
		return NULL;
	for (i = 0; i < n_eps && !ep; i++)
		if (!eps[i]->used)
			ep = eps[i];
	if (!ep && n_eps < MAX_EP) {
		ep = pages(sizeof(*ep));
		if (ep)
			eps[n_eps++] = ep;
	}
	if (ep) {
		memset(ep, 0, sizeof(*ep));
		ep->epfd = epfd;
		ep->nfds = 1;
		ep->serial = ++serial ? serial : ++serial;
		ep->used = true;
	}
	sl_unlock(&reg);
	return ep;
}

void sl_ep_drop(struct sl_ep *ep)
{
	sl_ep_unbell(ep);
	sl_items_drop_ep(ep);
	ep->used = false;
}

static inline struct sl_item **head(int fd, bool make)
{
	unsigned c = (unsigned)fd / SL_FD_CHUNK;

	if ((unsigned)fd >= SL_FD_MAX)
		return NULL;
	if (!by_fd[c]) {
		if (!make)
			return NULL;
		by_fd[c] = pages(SL_FD_CHUNK * sizeof(struct sl_item *));
		if (!by_fd[c])
			return NULL;
	}
	return &by_fd[c][(unsigned)fd % SL_FD_CHUNK];
}

struct sl_item *sl_item_find(struct sl_ep *ep, int fd)
{
	struct sl_item **h, *it = NULL;

	if (sl_lock(&reg))
		return NULL;
	h = head(fd, false);
	for (it = h ? *h : NULL; it && it->ep != ep; it = it->next_fd)
		;
	sl_unlock(&reg);
	return it;
}

static void unlink_fd(struct sl_item *it)
{
	struct sl_item **p = it->listed ? head(it->fd, false) : &it->ep->strays;

	while (p && *p && *p != it)
		p = &(*p)->next_fd;
	if (p && *p)
		*p = it->next_fd;
	it->listed = false;
}

static struct sl_item *take_free(void)
{
	struct sl_item *it = free_items;

	if (it) {
		free_items = it->next_fd;
		return it;
	}
	if (high >= MAX_ITEM)
		return NULL;
	if (!chunks[high / CHUNK]) {
		chunks[high / CHUNK] = pages(CHUNK * sizeof(*it));
		if (!chunks[high / CHUNK])
			return NULL;
	}
	it = &chunks[high / CHUNK][high % CHUNK];
	it->index = high++;
	return it;
}

struct sl_item *sl_item_new(struct sl_ep *ep, int fd, const struct epoll_event *want)
{
	struct sl_item **h, *it = NULL;
	uint32_t index;
	uint16_t gen;

	if (sl_lock(&reg))
		return NULL;
	h = head(fd, true);
	it = h ? take_free() : NULL;
	if (it) {
		index = it->index;
		gen = it->gen;
		memset(it, 0, sizeof(*it));
		it->index = index;
		it->gen = ++gen;
		it->ep = ep;
		it->fd = fd;
		it->want = *want;
		it->used = true;
		it->listed = true;
		it->next_fd = *h;
		*h = it;
	}
	sl_unlock(&reg);
	return it;
}

void sl_item_unlink(struct sl_item *it)
{
	struct sl_item *head_it, **p;

	if (!it->sock)
		return;
	head_it = atomic_load(&it->sock->items);
	if (head_it == it) {
		atomic_store(&it->sock->items, it->next_sock);
	} else {
		for (p = &head_it->next_sock; *p && *p != it; p = &(*p)->next_sock)
			;
		if (*p)
			*p = it->next_sock;
	}
	it->sock = NULL;
	it->next_sock = NULL;
}

/* The one that was of @gen: another thread may have dropped it by now, and it be another registration. */
static void drop(struct sl_item *it, uint16_t gen)
{
	struct sl_ep *ep = it->ep;
	/* One that was demoted may still be among those that the instance's bell stands for. */
	bool listed = (it->hot || it->belled || atomic_load(&it->promoted)) && sl_lock(&ep->lock) == 0;

	if (sl_lock(&reg) == 0) {
		if (it->used && it->gen == gen) {
			if (listed)
				sl_item_cool(it);
			if (sl_unlikely(atomic_load(&it->promoted)) &&
			    atomic_exchange(&it->promoted, false))
				atomic_fetch_sub(&ep->promoted, 1);
			if (it->sock)
				sl_item_unlink(it);
			it->used = false;
			unlink_fd(it);
			it->next_fd = free_items;
			free_items = it;
		}
		sl_unlock(&reg);
	}
	if (listed)
		sl_unlock(&ep->lock);
}

void sl_item_drop(struct sl_item *it)
{
	drop(it, it->gen);
}

/* Another descriptor stands for the file: its registration lives on, as in Linux. Registry lock held. */
static bool lives_on(const struct sl_item *it)
{
	return atomic_load(&it->promoted) && it->sock && sl_numbers(it->sock) > 0;
}

/* One of @fd that ends with it; those that live on are not of that number any more. */
static SL_SHORT struct sl_item *first(int fd, uint16_t *gen)
{
	struct sl_item **h = head(fd, false), *it;

	if (sl_likely(!h || !*h) || sl_lock(&reg))
		return NULL;
	while ((it = *h) && lives_on(it)) {
		unlink_fd(it);
		it->next_fd = it->ep->strays;
		it->ep->strays = it;
	}
	*gen = it ? it->gen : 0;
	sl_unlock(&reg);
	return it;
}

SL_SHORT void sl_items_drop_fd(int fd)
{
	struct sl_item *it;
	uint16_t gen;

	while ((it = first(fd, &gen)))
		drop(it, gen);
}

void sl_items_heat_strays(struct sl_ep *ep)
{
	struct sl_item *it;

	if (sl_likely(!ep->strays) || sl_lock(&reg))
		return;
	for (it = ep->strays; it; it = it->next_fd)
		sl_item_heat(it);
	sl_unlock(&reg);
}

void sl_items_keep(struct sl_sock *s, int fd, int (*fn)(struct sl_item *, struct sl_sock *))
{
	struct sl_item **h, *it;
	int how = sl_lock(&s->rx_lock); /* neither attached nor detached meanwhile */

	if (sl_lock(&reg) == 0) {
		h = head(fd, false);
		for (it = h ? *h : NULL; it; it = it->next_fd)
			if (!it->dormant)
				(void)fn(it, s);
		sl_unlock(&reg);
	}
	if (!how)
		sl_unlock(&s->rx_lock);
}

void sl_items_each_fd(int fd, void (*fn)(struct sl_item *))
{
	struct sl_item **h, *it;

	if (sl_lock(&reg))
		return;
	h = head(fd, false);
	for (it = h ? *h : NULL; it; it = it->next_fd)
		fn(it);
	sl_unlock(&reg);
}

void sl_items_refuse(struct sl_ep *ep, enum sl_reason why)
{
	uint64_t wait_ns = SL_BYPASS_NS;
	struct sl_item *it;
	struct sl_sock *s;
	uint32_t i;

	for (i = 0; i < high; i++) {
		it = &chunks[i / CHUNK][i % CHUNK];
		s = it->sock;
		if (!it->used || it->ep != ep || !s || !atomic_load(&it->promoted))
			continue;
		if (it->dormant) {
			(void)sl_sys6(SYS_epoll_ctl, ep->epfd, EPOLL_CTL_DEL, it->fd, 0, 0, 0);
			sl_item_drop(it);
		} else {
			sl_sock_bypass_within(s, s->fd, why, &wait_ns);
		}
	}
}

void sl_items_kick(struct sl_ep *ep)
{
	struct sl_item *it;
	uint32_t i;

	for (i = 0; i < high; i++) {
		it = &chunks[i / CHUNK][i % CHUNK];
		if (it->used && it->ep == ep && atomic_load(&it->promoted))
			sl_ep_kick(ep, it);
	}
}

void sl_items_drop_ep(struct sl_ep *ep)
{
	uint32_t i;

	for (i = 0; i < high; i++) {
		struct sl_item *it = &chunks[i / CHUNK][i % CHUNK];

		if (it->used && it->ep == ep)
			sl_item_drop(it);
	}
}

void sl_items_drop_sock(struct sl_sock *s)
{
	struct sl_item *it;
	uint16_t gen;

	while (atomic_load(&s->items) && sl_lock(&reg) == 0) {
		it = atomic_load(&s->items);
		gen = it ? it->gen : 0;
		sl_unlock(&reg);
		if (it)
			drop(it, gen);
	}
}

int sl_item_each(struct sl_sock *s, int (*fn)(struct sl_item *, struct sl_sock *))
{
	struct sl_item **h, *it;
	int fd = -1, rc = 0, left = (int)sl_numbers(s);

	if (sl_lock(&reg))
		return -EDEADLK;
	if (left == 1 && s->fd >= 0)
		fd = s->fd - 1;
	while (left > 0 && rc == 0 && (fd = sl_fdtab_next(fd + 1)) >= 0) {
		if (sl_fdtab_load(fd) != (uintptr_t)s)
			continue;
		left--;
		h = head(fd, false);
		for (it = h ? *h : NULL; it && rc == 0; it = it->next_fd)
			rc = fn(it, s);
	}
	sl_unlock(&reg);
	return rc;
}

void sl_item_link(struct sl_item *it, struct sl_sock *s)
{
	it->sock = s;
	it->next_sock = atomic_load(&s->items);
	atomic_store(&s->items, it);
}

void sl_item_join(struct sl_item *it, struct sl_sock *s)
{
	if (sl_lock(&reg))
		return;
	sl_item_link(it, s);
	sl_unlock(&reg);
}

void sl_item_unlink_all(struct sl_sock *s, void (*fn)(struct sl_item *))
{
	struct sl_item *it, *next;

	if (sl_lock(&reg))
		return;
	for (it = atomic_load(&s->items); it; it = next) {
		next = it->next_sock;
		if (!it->listed)
			continue;
		sl_item_unlink(it);
		fn(it);
	}
	sl_unlock(&reg);
}

/* --- hot list: circular, doubly linked; instance's lock held --- */

static void unbell(struct sl_item *it)
{
	struct sl_ep *ep = it->ep;
	unsigned i = 0;

	it->belled = false;
	while (i < ep->nbelled && ep->belled[i] != it)
		i++;
	if (i == ep->nbelled)
		return;
	ep->nbelled--;
	memmove(ep->belled + i, ep->belled + i + 1, (ep->nbelled - i) * sizeof(it));
}

void sl_item_bell(struct sl_item *it)
{
	struct sl_ep *ep = it->ep;

	sl_item_cool(it);
	it->belled = true;
	ep->belled[ep->nbelled++] = it;
}

void sl_item_heat(struct sl_item *it)
{
	struct sl_ep *ep = it->ep;

	it->idle = 0;
	if (it->hot)
		return;
	if (it->belled)
		unbell(it);
	it->with_bell = false;
	it->hot = true;
	ep->nhot++;
	if (!ep->hot) {
		it->prev_hot = it->next_hot = it;
		ep->hot = it;
		return;
	}
	it->next_hot = ep->hot;
	it->prev_hot = ep->hot->prev_hot;
	it->prev_hot->next_hot = it;
	ep->hot->prev_hot = it;
}

void sl_item_cool(struct sl_item *it)
{
	struct sl_ep *ep = it->ep;

	if (it->belled)
		unbell(it);
	if (!it->hot)
		return;
	it->hot = false;
	ep->nhot--;
	if (it->next_hot == it) {
		ep->hot = NULL;
		return;
	}
	it->prev_hot->next_hot = it->next_hot;
	it->next_hot->prev_hot = it->prev_hot;
	if (ep->hot == it)
		ep->hot = it->next_hot;
}
