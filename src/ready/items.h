/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * items.h - epoll instances and what the program registered in them
 *
 * Every registration that goes through us is remembered as an item, for plain descriptors too: a socket may be
 * registered before it is connected. As long as its socket is not promoted the kernel holds the program's
 * own events and data. With promotion the kernel's registration becomes ours (input, output, hang-up,
 * edge-triggered, our tag as data), and back with demotion.
 *
 * Modifying a registration makes the kernel report what holds, once more, also where the program has been told. An
 * edge-triggered one is told of nothing twice: what was reported last is known by sl_sock_edge(), which goes through all
 * changes of lane. So such a registration keeps our tag when its socket is back on TCP (sort_events()). Only the first
 * promotion may be one edge too many, if bytes lie unread: what the kernel has told before nobody knows.
 *
 * A number that is closed while another stands for the same file leaves a registration behind that nobody can change.
 * So it becomes ours before, and stays so on whichever lane its socket is (a stray). Nor can the kernel be made to tell of it,
 * to wake a sleeper (sl_ep_kick()): instead the instance's bell is rung, and who wakes by that looks at all strays.
 * Where there is no bell a sleep is SL_UNCERTAIN_MS long at most.
 *
 * Some event loops delete and add a descriptor with every request. The item of a promoted socket that is deleted
 * goes dormant: nothing is reported for it, and adding it again needs no system call.
 *
 * A tag is SL_TAG_MAGIC, the item's generation and its index. The upper bits make it a non-canonical address and a
 * large negative number, so a program's own data cannot be mistaken for one unless it is random.
 *
 * Locks, in order: the instance's lock (hot list, reports), a socket's locks, the registry lock (lists
 * of items). Items and instances are type-stable.
 */
#ifndef SL_ITEMS_H
#define SL_ITEMS_H

#include <sys/epoll.h>
#include "sock.h"

#define SL_TAG_MAGIC  0xd15cull
#define SL_TAG_BROKER ((SL_TAG_MAGIC << 48) | UINT32_MAX)
#define SL_TAG_BELL   ((SL_TAG_MAGIC << 48) | (UINT32_MAX - 1))
#define SL_ITEM_NONE  UINT32_MAX
#define SL_BELLED_MAX 16

struct sl_ep;

struct sl_item {
	uint32_t index;
	uint16_t gen;
	bool used;
	bool listed; /* in the list of its descriptor */
	_Atomic bool promoted; /* the kernel's registration is ours */
	bool hot;
	bool belled; /* cold, and armed with the instance's bell, which does not say whom it is for */
	bool with_bell; /* hot, and armed so */
	bool disabled; /* EPOLLONESHOT has fired */
	bool pending;  /* report readiness once, whatever the edges say (ADD, MOD) */
	bool dormant;  /* the program has deleted it; the kernel's registration stays for the next ADD */
	bool known;    /* @edge and @full_seq are of the program's last report: the kernel has told nothing past us */
	_Atomic bool modified; /* by us: the kernel will tell once more what it has told */
	uint32_t kernel_edge; /* edges that the kernel reported on the kernel lane; EPOLLIN where we cannot count */
	int fd;
	struct epoll_event want; /* the program's events and data */
	uint64_t edge;	   /* sl_sock_edge() at the last report */
	uint32_t full_seq; /* sl_sock.full_seq at the last report of output */
	uint32_t idle;	   /* looks in vain since it was active */
	struct sl_ep *ep;
	struct sl_sock *sock;	   /* while promoted */
	struct sl_item *next_fd;   /* same descriptor, the instance's strays, or the free list; registry lock */
	struct sl_item *next_sock; /* same socket; registry lock */
	struct sl_item *prev_hot, *next_hot; /* instance's lock */
};

struct sl_ep {
	struct sl_lock lock;
	int epfd;
	bool used;
	bool inherited; /* by fork: our parent uses it too */
	bool nested;	/* the kernel polls it: keep everything armed */
	bool forked;	/* another process may wait on it: no tags but those that it knows */
	bool ours;	/* some registration in the kernel is or was ours: its events are to be sorted */
	uint32_t serial; /* no other instance of this process had it; not 0 */
	_Atomic uint32_t promoted; /* items whose registration is ours */
	_Atomic uint32_t sleepers; /* threads in the kernel's epoll_wait, or on the way; counted under the lock */
	_Atomic int32_t nfds;
	struct sl_item *strays; /* promoted ones whose number is closed; registry lock */
	struct sl_item *hot; /* circular */
	uint32_t nhot;
	int bell1; /* its slot + 1 (bell.h); 0: none yet; -1: none to be had */
	unsigned nbelled;
	struct sl_item *belled[SL_BELLED_MAX]; /* in the order in which they came */
	int broker_fd;	     /* the broker connection that it watches */
	uint32_t broker_gen;
	uint64_t kernel_look; /* ticks */
	uint64_t clock_read;  /* ticks: the last time anybody looked at the clock for it */
	unsigned quick_turns; /* turns to come that need not */
	bool from_kernel; /* the last events came from the kernel: look there first */
	bool kernel_filled; /* and were as many as there was room for: the rings' turn */
	struct sl_spin spin;
	struct sl_sock *last; /* most recently active, for its peer's CPU */
};

static inline uint64_t sl_item_tag(const struct sl_item *it)
{
	return (SL_TAG_MAGIC << 48) | ((uint64_t)it->gen << 32) | it->index;
}

/** sl_item_of_tag() - the item an event of the kernel is for; NULL: the event is the program's own */
struct sl_item *sl_item_of_tag(uint64_t tag);

static inline bool sl_tag_is_ours(uint64_t tag)
{
	return tag >> 48 == SL_TAG_MAGIC;
}

/** sl_ep_of() - the instance behind a descriptor, or NULL */
static inline struct sl_ep *sl_ep_of(int fd)
{
	uintptr_t e = sl_fdtab_load(fd);

	return e & 1 ? (struct sl_ep *)(e & ~(uintptr_t)1) : NULL;
}

struct sl_ep *sl_ep_new(int epfd);
void sl_ep_drop(struct sl_ep *ep);
struct sl_ep *sl_ep_at(unsigned i); /* all there are, used or not; NULL: no more */

/** sl_item_find() - the registration of @fd in @ep, or NULL */
struct sl_item *sl_item_find(struct sl_ep *ep, int fd);
struct sl_item *sl_item_new(struct sl_ep *ep, int fd, const struct epoll_event *want);
/** sl_item_drop() - forget it: off every list. Takes the instance's lock. */
void sl_item_drop(struct sl_item *it);
/** sl_items_drop_fd() / sl_items_drop_ep() - all of a descriptor that is closed, of an instance */
void sl_items_drop_fd(int fd);
void sl_items_drop_ep(struct sl_ep *ep);
/** sl_items_each_fd() - call @fn for each item of a descriptor; registry lock held */
void sl_items_each_fd(int fd, void (*fn)(struct sl_item *));
void sl_items_drop_sock(struct sl_sock *s);
/** sl_items_keep() - call @fn for each item of a number that is about to be closed, while others stand for @s */
void sl_items_keep(struct sl_sock *s, int fd, int (*fn)(struct sl_item *, struct sl_sock *));
/** sl_items_kick() - have the kernel report all promoted ones of an instance anew */
void sl_items_kick(struct sl_ep *ep);

/** sl_item_each() - call @fn for each item whose descriptor stands for @s; registry lock held */
int sl_item_each(struct sl_sock *s, int (*fn)(struct sl_item *, struct sl_sock *));
/** sl_item_link() / _unlink() / _unlink_all() - with its promoted socket; registry lock held */
void sl_item_link(struct sl_item *it, struct sl_sock *s);
void sl_item_join(struct sl_item *it, struct sl_sock *s); /* sl_item_link(), and takes that lock */
void sl_item_unlink(struct sl_item *it);
/* all but those whose number is closed */
void sl_item_unlink_all(struct sl_sock *s, void (*fn)(struct sl_item *));

/** sl_items_heat_strays() - have them looked at; instance's lock held */
void sl_items_heat_strays(struct sl_ep *ep);

/* instance's lock held */
void sl_item_heat(struct sl_item *it);
void sl_item_cool(struct sl_item *it); /* off every list */
/* hot so far: cold, but looked at when the instance's bell is rung. There is room. */
void sl_item_bell(struct sl_item *it);

/* epoll.c: the bell that its sleepers sleep on, too (bell.h); -1: none. Instance's lock held. */
int sl_ep_bell(struct sl_ep *ep);

/* epoll.c: the instance has something to report that the kernel does not know of: wake its sleepers */
void sl_ep_kick(struct sl_ep *ep, struct sl_item *it);
void sl_ep_unbell(struct sl_ep *ep); /* give its bell back */
void sl_ep_unwatch(struct sl_ep *ep); /* the broker's news are for others */
/* for poll() on an instance */
void sl_ep_polled(struct sl_ep *ep);
void sl_items_refuse(struct sl_ep *ep, enum sl_reason why); /* its promoted sockets: back to TCP */

#endif
