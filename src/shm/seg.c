/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg.c - make, check, map segments
 *
 * A waiting thread may look at a ring's word without a lock, as a hint. So an address range that once
 * held a segment is never given back to the process: detaching maps anonymous zeroes (EMPTY) over it and
 * keeps the range for the next segment of that size. A late look reads a wrong word, never a fault.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lock.h"
#include "seg.h"
#include "sys.h"
#include "word.h"

#define SPARE_MAX 1024

static struct {
	struct sl_lock lock;
	unsigned n;
	struct {
		void *addr;
		size_t len;
	} range[SPARE_MAX];
} spare;

static int sealed_memfd(const char *name, size_t len)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int rc;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)len) < 0 ||
	    sl_sys_fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		rc = -ENOMEM;
		sl_sys_close(fd);
		return rc;
	}
	return fd;
}

static bool ring_len_ok(uint64_t len)
{
	return len >= SL_RING_LEN_MIN && len <= SL_RING_LEN_MAX && !(len & (len - 1));
}

int sl_seg_create(size_t ring_len)
{
	struct sl_seg_shm *shm;
	unsigned i;
	int fd, rc;

	if (!ring_len_ok(ring_len))
		return -EINVAL;
	fd = sealed_memfd("scilan-segment", SL_SEG_HDR_LEN + 2 * ring_len);
	if (fd < 0)
		return fd;
	shm = mmap(NULL, SL_SEG_HDR_LEN + 2 * ring_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shm == MAP_FAILED) {
		rc = -errno;
		sl_sys_close(fd);
		return rc;
	}
	shm->magic = SL_SEG_MAGIC;
	shm->version = SL_SEG_VERSION;
	shm->ring_len = ring_len;
	for (i = 0; i < 2; i++) {
		struct sl_word_shm *w =
			(void *)((uint8_t *)shm + SL_SEG_HDR_LEN + i * ring_len);

		atomic_store_explicit(&w->word, SL_ARMED, memory_order_relaxed);
	}
	munmap(shm, SL_SEG_HDR_LEN + 2 * ring_len);
	return fd;
}

int sl_side_create(void)
{
	return sealed_memfd("scilan-side", SL_SIDE_LEN);
}

static void *spare_get(size_t len)
{
	void *addr = NULL;
	unsigned i;

	sl_lock(&spare.lock);
	for (i = 0; i < spare.n; i++) {
		if (spare.range[i].len == len) {
			addr = spare.range[i].addr;
			spare.range[i] = spare.range[--spare.n];
			break;
		}
	}
	sl_unlock(&spare.lock);
	return addr;
}

static void spare_put(void *addr, size_t len)
{
	sl_lock(&spare.lock);
	if (spare.n < SPARE_MAX) {
		spare.range[spare.n].addr = addr;
		spare.range[spare.n].len = len;
		spare.n++;
	}
	sl_unlock(&spare.lock);
}

void *sl_map_shared(int fd, size_t len)
{
	void *at = spare_get(len), *p;
	int flags = (at ? MAP_FIXED : 0) | MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0);

	p = mmap(at, len, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (p == MAP_FAILED) {
		if (at)
			spare_put(at, len);
		return NULL;
	}
	/* A core dump need not hold it. */
	(void)madvise(p, len, MADV_DONTDUMP);
	return p;
}

void sl_map_retire(void *addr, size_t len)
{
	void *p = mmap(addr, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

	if (p != MAP_FAILED)
		spare_put(p, len);
}

int sl_seg_attach(struct sl_seg *seg, int fd, unsigned side)
{
	struct sl_seg_shm hdr, *shm;
	struct stat st;
	size_t len;
	long seals = sl_sys_fcntl(fd, F_GET_SEALS, 0);

	if (side > 1 || fstat(fd, &st) < 0)
		return -EPROTO;
	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
		return -EPROTO;
	if (st.st_size < (off_t)SL_SEG_HDR_LEN ||
	    sl_sys6(SYS_pread64, fd, (long)&hdr, sizeof(hdr), 0, 0, 0) != (long)sizeof(hdr))
		return -EPROTO;
	if (hdr.magic != SL_SEG_MAGIC || hdr.version != SL_SEG_VERSION ||
	    !ring_len_ok(hdr.ring_len))
		return -EPROTO;
	len = SL_SEG_HDR_LEN + 2 * (size_t)hdr.ring_len;
	if ((uint64_t)st.st_size != len)
		return -EPROTO;

	shm = sl_map_shared(fd, len);
	if (!shm)
		return -ENOMEM;
	seg->shm = shm;
	seg->side = side;
	seg->ring_len = (size_t)hdr.ring_len;
	seg->map_len = len;
	return 0;
}

void sl_seg_detach(struct sl_seg *seg)
{
	if (!seg->shm)
		return;
	sl_map_retire(seg->shm, seg->map_len);
	seg->shm = NULL;
}

bool sl_seg_claim(struct sl_seg *seg)
{
	uint32_t nobody = SL_NOBODY;

	return atomic_compare_exchange_strong(&seg->shm->side[seg->side].attached, &nobody,
					      SL_CLAIMED);
}

void sl_seg_unclaim(struct sl_seg *seg)
{
	atomic_store(&seg->shm->side[seg->side].attached, SL_NOBODY);
}

bool sl_seg_attached(int fd, unsigned side)
{
	uint32_t attached = SL_NOBODY;
	off_t at = (off_t)(offsetof(struct sl_seg_shm, side) + side * sizeof(struct sl_seg_side_shm) +
			   offsetof(struct sl_seg_side_shm, attached));

	return pread(fd, &attached, sizeof(attached), at) != sizeof(attached) ||
	       attached != SL_NOBODY;
}
