/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache.h"
#include "sys.h"

#define VERSION 2 /* of the scanner's rules, too */
#define FILE_MAX (64u << 10)

struct record {
	uint32_t version, id_len;
	uint8_t id[32];
	uint64_t at;
	uint32_t bytes, calls;
	int32_t nr;
	uint32_t why;
	uint64_t sum; /* of all before */
};

static char dir[256], path[300];

void sl_cache_init(void)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n = 0;

	if (xdg && *xdg == '/')
		n = snprintf(dir, sizeof(dir), "%s/scilan", xdg);
	else if (home && *home == '/')
		n = snprintf(dir, sizeof(dir), "%s/.cache/scilan", home);
	if (n > 0 && (size_t)n < sizeof(dir))
		snprintf(path, sizeof(path), "%s/code", dir);
}

static uint64_t sum_of(const struct record *r)
{
	const uint8_t *p = (const void *)r;
	uint64_t h = 0xcbf29ce484222325;
	size_t i;

	for (i = 0; i < offsetof(struct record, sum); i++)
		h = (h ^ p[i]) * 0x100000001b3;
	return h;
}

/* The record's key. Return: false when the object has no build-id. */
static bool key_of(const struct sl_image *im, struct record *r)
{
	const Elf64_Nhdr *n;
	uintptr_t p, end;
	size_t i;

	memset(r, 0, sizeof(*r));
	r->version = VERSION;
	for (i = 0; i < im->n; i++) {
		if (im->ph[i].p_type != PT_NOTE)
			continue;
		p = im->base + im->ph[i].p_vaddr;
		end = p + im->ph[i].p_memsz;
		while (p + sizeof(*n) <= end) {
			n = (const void *)p;
			p += sizeof(*n) + ((n->n_namesz + 3ul) & ~3ul);
			if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 &&
			    n->n_descsz >= 8 && n->n_descsz <= sizeof(r->id) &&
			    p + n->n_descsz <= end && !memcmp(n + 1, "GNU", 4)) {
				r->id_len = n->n_descsz;
				memcpy(r->id, (const void *)p, n->n_descsz);
				return true;
			}
			p += (n->n_descsz + 3ul) & ~3ul;
		}
	}
	return false;
}

static int open_cache(int flags)
{
	struct stat st;
	long fd;

	if (!path[0])
		return -1;
	fd = sl_sys6(SYS_openat, AT_FDCWD, (long)path,
		     flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600, 0, 0);
	if (fd < 0)
		return -1;
	if (sl_sys(SYS_fstat, fd, &st, 0) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    !(st.st_mode & 022) && st.st_size <= FILE_MAX)
		return (int)fd;
	sl_sys_close((int)fd);
	return -1;
}

bool sl_cache_find(const struct sl_image *im, struct sl_scan *out)
{
	struct record want, r[16];
	bool found = false;
	long n, i;
	int fd;

	if (!key_of(im, &want))
		return false;
	fd = open_cache(O_RDONLY);
	if (fd < 0)
		return false;
	while (!found && (n = sl_sys(SYS_read, fd, r, sizeof(r))) >= (long)sizeof(*r)) {
		for (i = 0; i < n / (long)sizeof(*r) && !found; i++) {
			found = r[i].sum == sum_of(&r[i]) && r[i].version == VERSION &&
				r[i].id_len == want.id_len && !memcmp(r[i].id, want.id, sizeof(want.id)) &&
				r[i].bytes == out->bytes && r[i].why < SL_WHY_COUNT;
			if (found) {
				out->why = r[i].why;
				out->at = r[i].at;
				out->nr = r[i].nr;
				out->calls = r[i].calls;
			}
		}
	}
	sl_sys_close(fd);
	return found;
}

void sl_cache_add(const struct sl_image *im, const struct sl_scan *scan)
{
	struct record r;
	int fd;

	if (!key_of(im, &r) || !path[0])
		return;
	r.at = scan->at;
	r.bytes = (uint32_t)scan->bytes;
	r.calls = scan->calls;
	r.nr = scan->nr;
	r.why = scan->why;
	r.sum = sum_of(&r);
	(void)sl_sys(SYS_mkdir, dir, 0700, 0);
	fd = open_cache(O_WRONLY | O_APPEND | O_CREAT);
	if (fd < 0)
		return;
	(void)sl_sys(SYS_write, fd, &r, sizeof(r));
	sl_sys_close(fd);
}
