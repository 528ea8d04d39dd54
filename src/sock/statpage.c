/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * statpage.c - this process's status page (stat.h), made with the first tracked socket
 *
 * Where no memfd can be had (a sandbox, RLIMIT_FSIZE) the entries are private memory: everything works,
 * `status` does not see the process.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "hidden.h"
#include "internal.h"
#include "sys.h"

#define CONNS_LEN (sizeof(struct sl_stat_hdr_shm) + SL_SOCK_MAX * sizeof(struct sl_stat_conn_shm))
#define YOUNG_AT  ((CONNS_LEN + 4095) / 4096 * 4096)
#define PAGE_LEN  (YOUNG_AT + SL_YOUNG_MAX * sizeof(struct sl_stat_young_shm))

struct sl_stat_hdr_shm *sl_stat_page;
char sl_stat_program[64];
bool sl_stat_private;
static struct sl_lock lock;

void sl_stat_init(void)
{
	strncpy(sl_stat_program, program_invocation_short_name, sizeof(sl_stat_program) - 1);
}

static int make_file(void)
{
	struct rlimit rl;
	int fd;

	if (sl_stat_private)
		return -EPERM;
	if (getrlimit(RLIMIT_FSIZE, &rl) == 0 && rl.rlim_cur < PAGE_LEN)
		return -EFBIG; /* ftruncate would raise SIGXFSZ */
	fd = (int)sl_sys(SYS_memfd_create, SL_STAT_MEMFD, MFD_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	if (sl_sys(SYS_ftruncate, fd, PAGE_LEN, 0) < 0) {
		sl_sys_close(fd);
		return -ENOMEM;
	}
	return sl_hidden_add(SL_HIDDEN_STATUS, fd);
}

static void fill_header(struct sl_stat_hdr_shm *h)
{
	h->magic = SL_STAT_MAGIC;
	h->version = SL_STAT_VERSION;
	h->pid = (uint32_t)getpid();
	h->entry_len = sizeof(struct sl_stat_conn_shm);
	h->entry_max = SL_SOCK_MAX;
	h->young_at = YOUNG_AT;
	h->young_max = SL_YOUNG_MAX;
	memcpy(h->program, sl_stat_program, sizeof(h->program));
}

/* Map a new page, at @at if that is not NULL. */
static struct sl_stat_hdr_shm *make_page(void *at)
{
	int fd = make_file();
	int flags = at ? MAP_FIXED : 0;
	void *p;

	flags |= fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	p = mmap(at, PAGE_LEN, PROT_READ | PROT_WRITE, flags, fd >= 0 ? fd : -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	fill_header(p);
	return p;
}

SL_SHORT bool sl_stat_make(void)
{
	if (sl_likely(sl_stat_page))
		return true;
	sl_lock(&lock);
	if (!sl_stat_page)
		sl_stat_page = make_page(NULL);
	if (sl_stat_page)
		sl_youngs = (struct sl_stat_young_shm *)((char *)sl_stat_page + YOUNG_AT);
	sl_unlock(&lock);
	return sl_stat_page;
}

struct sl_stat_conn_shm *sl_stat_entry(unsigned index)
{
	struct sl_stat_conn_shm *e;

	if (!sl_stat_make())
		return NULL;
	e = (struct sl_stat_conn_shm *)(sl_stat_page + 1) + index;
	memset(e, 0, sizeof(*e));
	e->fd = -1;
	if (sl_stat_page->entry_high <= index)
		sl_stat_page->entry_high = index + 1;
	return e;
}

/*
 * The parent went on while we copied: it may have closed a connection that is ours now, and given its
 * entry to another.
 */
static void own_entries(void)
{
	struct sl_sock *s;
	unsigned i;

	for (i = 0; (s = sl_pool_at(i)); i++) {
		if (!sl_sock_used(s) || !s->stat || s->fd < 0)
			continue;
		s->stat->used = 1;
		s->stat->fd = s->fd;
		s->stat->local.family = s->stat->peer.family = 0;
		sl_stat_addresses(s, s->fd);
	}
}

/*
 * The child's own page takes the place of the parent's, at the same address, so that the sockets' pointers
 * into it stay good.
 */
void sl_stat_fork_child(void)
{
	struct sl_stat_hdr_shm *old = sl_stat_page;
	size_t len;
	void *copy;

	sl_lock_reset(&lock);
	if (!old)
		return;
	len = sizeof(*old) + old->entry_high * sizeof(struct sl_stat_conn_shm);
	copy = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copy != MAP_FAILED)
		memcpy(copy, old, len);
	sl_hidden_close(SL_HIDDEN_STATUS);
	sl_stat_page = make_page(old);
	if (!sl_stat_page)
		(void)sl_sys(SYS_exit_group, 127, 0, 0); /* the mapping is gone: nothing can go on */
	if (copy != MAP_FAILED) {
		sl_stat_page->entry_high = ((struct sl_stat_hdr_shm *)copy)->entry_high;
		memcpy(sl_stat_page + 1, (struct sl_stat_hdr_shm *)copy + 1, len - sizeof(*old));
		munmap(copy, len);
	}
	own_entries();
}

void sl_stat_reason(struct sl_sock *s, enum sl_reason why)
{
	s->stat->reason = why;
}

static void put_address(struct sl_stat_addr_shm *a, const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *in = (const void *)ss;
	const struct sockaddr_in6 *in6 = (const void *)ss;

	if (ss->ss_family == AF_INET) {
		memcpy(a->addr, &in->sin_addr, 4);
		a->port = ntohs(in->sin_port);
		a->family = AF_INET;
	} else if (ss->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		memcpy(a->addr, (const uint8_t *)&in6->sin6_addr + 12, 4);
		a->port = ntohs(in6->sin6_port);
		a->family = AF_INET;
	} else if (ss->ss_family == AF_INET6) {
		memcpy(a->addr, &in6->sin6_addr, 16);
		a->port = ntohs(in6->sin6_port);
		a->family = AF_INET6;
	}
}

void sl_stat_addresses(struct sl_sock *s, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (s->stat->local.family)
		return;
	memset(&ss, 0, sizeof(ss));
	if (sl_sys(SYS_getpeername, fd, &ss, &len) < 0)
		return;
	put_address(&s->stat->peer, &ss);
	len = sizeof(ss);
	if (sl_sys(SYS_getsockname, fd, &ss, &len) == 0)
		put_address(&s->stat->local, &ss);
}
