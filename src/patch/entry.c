/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>
#include <unistd.h>
#include "entry.h"
#include "insn.h"
#include "sys.h"

#define JUMP	 5  /* jmp rel32 */
#define SLOT	 64 /* a trampoline, and the way to ours from far away */
#define FAR	 48 /* where in the slot that way begins */
#define HEAD_MAX 31
#define PAGE	 4096ul
#define REACH	 0x7ff00000l
#define ENTRIES	 64

static const uint8_t endbr64[4] = {0xf3, 0x0f, 0x1e, 0xfa};

/* libc as the loader has it. */
struct libc {
	uintptr_t base, low, high; /* low, high: its code */
	const char *path;
	const Elf64_Phdr *code;
	const Elf64_Sym *syms;
	const char *strs;
	const uint32_t *gnu_hash;
};

/* One function to be patched. */
struct site {
	uint8_t *at;	     /* where the jump goes */
	uint8_t head[HEAD_MAX]; /* what goes to the trampoline */
	size_t head_len;
	uint8_t *slot;
	struct sl_entry *e;
};

/* --- finding --- */

static int find_libc(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t inside = (uintptr_t)&dl_iterate_phdr, low, high;
	const Elf64_Dyn *d = NULL;
	struct libc *c = arg;
	size_t i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		low = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		high = low + info->dlpi_phdr[i].p_memsz;
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			d = (const void *)low;
		if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) &&
		    inside >= low && inside < high) {
			c->low = low;
			c->high = high;
			c->code = &info->dlpi_phdr[i];
		}
	}
	if (!c->low || !d)
		return 0;
	c->base = info->dlpi_addr;
	c->path = info->dlpi_name;
	for (; d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_SYMTAB)
			c->syms = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_STRTAB)
			c->strs = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_GNU_HASH)
			c->gnu_hash = (const void *)d->d_un.d_ptr;
	}
	return 1;
}

/* dlsym() knows no sizes, and dladdr1() walks through all symbols. */
static const Elf64_Sym *lookup(const struct libc *c, const char *name)
{
	uint32_t buckets = c->gnu_hash[0], first = c->gnu_hash[1], bloom = c->gnu_hash[2], h = 5381, i;
	const uint32_t *bucket = c->gnu_hash + 4 + bloom * 2, *chain = bucket + buckets;
	const Elf64_Sym *sym;
	const char *p;

	for (p = name; *p; p++)
		h = h * 33 + (unsigned char)*p;
	i = bucket[h % buckets];
	if (i < first)
		return NULL;
	for (;; i++) {
		sym = &c->syms[i];
		if ((chain[i - first] | 1) == (h | 1) && !strcmp(c->strs + sym->st_name, name) &&
		    sym->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(sym->st_info) == STT_FUNC)
			return sym;
		if (chain[i - first] & 1)
			return NULL;
	}
}

/* --- looking --- */

/* Copy whole instructions of at least JUMP bytes. Return: NULL or why not. */
static const char *take_head(struct site *s, size_t size)
{
	struct sl_insn in;

	s->head_len = 0;
	while (s->head_len < JUMP) {
		if (!sl_insn_decode(s->at + s->head_len, size - s->head_len, &in) ||
		    s->head_len + in.len > HEAD_MAX)
			return "begins with an unknown instruction";
		if (in.kind != SL_INSN_OTHER && in.kind != SL_INSN_KEEPS &&
		    in.kind != SL_INSN_EAX && in.kind != SL_INSN_SYSCALL)
			return "begins with a jump, or a breakpoint";
		s->head_len += in.len;
	}
	memcpy(s->head, s->at, s->head_len);
	return NULL;
}

/*
 * Does anything in the function look like a jump to the bytes that go? Every byte is taken for the beginning
 * of one: that finds more than there are, and is ten times faster than to decode.
 */
static const char *look_at_body(const struct site *s, const uint8_t *begin, size_t size)
{
	const uint8_t *p, *end = begin + size, *low = s->at + 1, *high = s->at + s->head_len;
	bool calls = false;
	int32_t d;

	for (p = begin; p + 2 <= end; p++) {
		calls |= p[0] == 0x0f && p[1] == 0x05;
		if (((*p & 0xf0) == 0x70 || *p == 0xeb || (*p & 0xfc) == 0xe0) &&
		    p + 2 + (int8_t)p[1] >= low && p + 2 + (int8_t)p[1] < high)
			return "has a jump to its beginning";
		if (end - p < 4)
			continue;
		memcpy(&d, p, sizeof(d));
		if (p + 4 + d >= low && p + 4 + d < high)
			return "has a jump to its beginning";
	}
	return calls ? NULL : "makes no system call";
}

static const char *look(const struct libc *c, struct site *s)
{
	const Elf64_Sym *sym = lookup(c, s->e->name);
	const char *why;
	uint8_t *begin;
	size_t size;

	s->at = NULL;
	if (!sym)
		return NULL;
	begin = (uint8_t *)(c->base + sym->st_value);
	size = sym->st_size;
	if ((uintptr_t)begin < c->low || (uintptr_t)begin + size > c->high)
		return "lies outside of libc's code";
	if (*s->e->real && *s->e->real != (void *)begin)
		return "is interposed by another library";
	s->at = begin;
	if (size > sizeof(endbr64) && !memcmp(begin, endbr64, sizeof(endbr64)))
		s->at += sizeof(endbr64);
	why = take_head(s, size - (size_t)(s->at - begin));
	return why ? why : look_at_body(s, begin, size);
}

/* --- may code be changed here? --- */

static bool write_and_run(uint8_t *page)
{
	volatile uint8_t *p = page;

	if (sl_sys(SYS_mprotect, page, PAGE, PROT_READ | PROT_WRITE))
		return false;
	*p = (uint8_t)~*p;
	return !sl_sys(SYS_mprotect, page, PAGE, PROT_READ | PROT_EXEC);
}

/*
 * SELinux' answer depends on the file, so it is libc's own that is tried. Other rules are for all memory
 * alike: the trampolines, which come first, meet them.
 */
static bool allowed(const struct libc *c)
{
	uint8_t *page;
	bool yes;
	int fd;

	if (sl_sys(SYS_access, "/sys/fs/selinux/enforce", F_OK, 0))
		return true;
	fd = (int)sl_sys6(SYS_openat, AT_FDCWD, (long)c->path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return false;
	page = (void *)sl_sys6(SYS_mmap, 0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd,
			       (long)(c->code->p_offset & ~(PAGE - 1)));
	sl_sys_close(fd);
	if ((uintptr_t)page > -PAGE)
		return false;
	yes = write_and_run(page);
	(void)sl_sys(SYS_munmap, page, PAGE, 0);
	return yes;
}

/* --- writing --- */

static void put32(uint8_t *p, intptr_t v)
{
	int32_t d = (int32_t)v;

	memcpy(p, &d, sizeof(d));
}

static bool near(const void *a, const void *b)
{
	intptr_t d = (intptr_t)a - (intptr_t)b;

	return d > -REACH && d < REACH;
}

static void put_jump(uint8_t *at, const uint8_t *to)
{
	*at = 0xe9;
	put32(at + 1, to - (at + JUMP));
}

/* head, adjusted to where it is now; a jump to what follows it in libc; the far way to ours. */
static bool fill_slot(struct site *s)
{
	uint8_t *to = s->slot;
	void *ours = s->e->ours;
	size_t i, disp;
	struct sl_insn in;
	intptr_t target;
	int32_t d;

	memcpy(to, s->head, s->head_len);
	for (i = 0; i < s->head_len; i += in.len) {
		if (!sl_insn_decode(s->head + i, s->head_len - i, &in))
			return false;
		if (!in.rip)
			continue;
		disp = i + in.disp;
		memcpy(&d, s->head + disp, sizeof(d));
		target = (intptr_t)(s->at + i + in.len) + d;
		if (!near((void *)target, to))
			return false;
		put32(to + disp, target - (intptr_t)(to + i + in.len));
	}
	put_jump(to + s->head_len, s->at + s->head_len);
	memcpy(s->slot + FAR, (uint8_t[]){0xff, 0x25, 0, 0, 0, 0}, 6); /* jmp *0(%rip) */
	memcpy(s->slot + FAR + 6, &ours, sizeof(ours));
	return true;
}

/* A page near libc: the kernel gives the next free one, which is near; else it is asked for. */
static uint8_t *near_pages(const struct libc *c, size_t len)
{
	uintptr_t hint = 0;
	uint8_t *p;
	int tries;

	for (tries = 0; tries < 64; tries++) {
		p = (void *)sl_sys6(SYS_mmap, (long)hint, (long)len, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if ((uintptr_t)p > -PAGE)
			return NULL;
		if (near(p, (void *)c->low) && near(p, (void *)c->high))
			return p;
		(void)sl_sys(SYS_munmap, p, len, 0);
		hint = (c->low & ~0xffffful) - (uintptr_t)(tries + 1) * 0x1000000;
	}
	return NULL;
}

/* Own code only, and no call to libc: its pages cannot be run meanwhile. */
__attribute__((noinline)) static long write_jumps(struct site *s, size_t n, uintptr_t low, uintptr_t high)
{
	const uint8_t *to;
	int32_t d;
	long rc;
	size_t i;

	rc = sl_sys(SYS_mprotect, low, high - low, PROT_READ | PROT_WRITE);
	if (rc)
		return rc;
	for (i = 0; i < n; i++) {
		if (!s[i].at)
			continue;
		to = near(s[i].e->ours, s[i].at) ? s[i].e->ours : s[i].slot + FAR;
		d = (int32_t)(to - (s[i].at + JUMP));
		((volatile uint8_t *)s[i].at)[0] = 0xe9;
		((volatile uint8_t *)s[i].at)[1] = (uint8_t)d;
		((volatile uint8_t *)s[i].at)[2] = (uint8_t)(d >> 8);
		((volatile uint8_t *)s[i].at)[3] = (uint8_t)(d >> 16);
		((volatile uint8_t *)s[i].at)[4] = (uint8_t)(d >> 24);
	}
	rc = sl_sys(SYS_mprotect, low, high - low, PROT_READ | PROT_EXEC);
	if (rc) /* it was allowed a moment ago; without libc there is nothing left to do */
		(void)sl_sys(SYS_exit_group, 127, 0, 0);
	return rc;
}

static const char *patch(const struct libc *c, struct site *s, size_t n)
{
	uintptr_t low = UINTPTR_MAX, high = 0;
	size_t len = (n * SLOT + PAGE - 1) & ~(PAGE - 1), i;
	uint8_t *slots = near_pages(c, len);
	const char *why = NULL;

	if (!slots)
		return "no memory near libc";
	for (i = 0; i < n && !why; i++) {
		if (!s[i].at)
			continue;
		s[i].slot = slots + i * SLOT;
		if (!fill_slot(&s[i]))
			why = "no memory near libc";
		low = (uintptr_t)s[i].at < low ? (uintptr_t)s[i].at : low;
		high = (uintptr_t)s[i].at + JUMP > high ? (uintptr_t)s[i].at + JUMP : high;
	}
	if (!why && sl_sys(SYS_mprotect, slots, len, PROT_READ | PROT_EXEC))
		why = "new code may not be run here";
	if (!why && high && write_jumps(s, n, low & ~(PAGE - 1), (high + PAGE - 1) & ~(PAGE - 1)))
		why = "libc's code may not be changed here";
	if (why) {
		(void)sl_sys(SYS_munmap, slots, len, 0);
		return why;
	}
	for (i = 0; i < n; i++)
		if (s[i].at)
			*s[i].e->real = s[i].slot;
	return NULL;
}

/* Two names of one function: the second has nothing left to patch. */
static struct site *same(struct site *s, size_t n, const uint8_t *at)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (s[i].at == at)
			return &s[i];
	return NULL;
}

const char *sl_entry_patch(struct sl_entry *list, size_t n)
{
	static struct site sites[ENTRIES]; /* used once, before there are threads */
	static char text[96];
	struct libc c = {0};
	const char *why;
	size_t i;

	if (n > ENTRIES || !__libc_single_threaded)
		return "threads run already";
	if (!dl_iterate_phdr(find_libc, &c) || !c.syms || !c.strs || !c.gnu_hash)
		return "libc is not where it is expected";
	for (i = 0; i < n; i++) {
		sites[i].e = &list[i];
		why = look(&c, &sites[i]);
		if (!why && sites[i].at && same(sites, i, sites[i].at))
			why = "is the same code as another";
		if (why) {
			strcpy(text, list[i].name);
			strcat(text, " ");
			return strcat(text, why);
		}
	}
	if (!allowed(&c))
		return "libc's code may not be changed here";
	return patch(&c, sites, n);
}

/* Nothing but a return, and room behind it that is never run: functions are aligned to 16. */
static bool is_empty(const uint8_t *p, size_t room)
{
	struct sl_insn in;
	size_t i;

	if (room < JUMP || *p != 0xc3)
		return false;
	for (i = 1; i < JUMP; i += in.len)
		if (p[i] != 0xcc && p[i] != 0x90 && p[i] != 0x66 && p[i] != 0x0f && p[i] != 0x2e)
			return false;
		else if (!sl_insn_decode(p + i, SL_INSN_MAX, &in))
			return false;
	return true;
}

static void (*watcher)(void);

/* Called before a change, too. */
static void changed(void)
{
	if (_r_debug.r_state == RT_CONSISTENT)
		watcher();
}

const char *sl_entry_watch_loader(void (*hook)(void))
{
	struct sl_entry e = {.name = "r_brk", .ours = (void *)changed};
	struct site s = {.e = &e, .at = (uint8_t *)_r_debug.r_brk};
	uintptr_t begin = (uintptr_t)s.at, low;

	if (!begin || begin % 16)
		return "the loader has no hook for debuggers";
	if (!memcmp(s.at, endbr64, sizeof(endbr64)))
		s.at += sizeof(endbr64);
	if (!is_empty(s.at, begin + 16 - (uintptr_t)s.at))
		return "the loader's hook is in use";
	if (!near(s.at, e.ours))
		return "the loader is too far away";
	watcher = hook;
	low = begin & ~(PAGE - 1);
	return write_jumps(&s, 1, low, low + PAGE) ? "the loader's code may not be changed" : NULL;
}
