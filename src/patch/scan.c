/* SPDX-License-Identifier: BSD-2-Clause */
#include <emmintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include "insn.h"
#include "scan.h"

/*
 * How far around a find is decoded where no function is known. Decoding falls into step with the code within a few
 * dozen bytes, wherever it begins.
 */
#define ROOM 4096

#define MAX_NR 1024

/* A function, or the room between two. */
struct span {
	const uint8_t *start, *end;
	bool function;
};

/* clang-format off */
bool sl_scan_harmless(int nr)
{
	switch (nr) {
	/* memory: a socket cannot be mapped */
	case SYS_mmap: case SYS_munmap: case SYS_mprotect: case SYS_mremap: case SYS_madvise:
	case SYS_brk: case SYS_msync: case SYS_mincore: case SYS_mlock: case SYS_munlock:
	case SYS_mlock2: case SYS_mlockall: case SYS_munlockall: case SYS_membarrier:
	case SYS_mbind: case SYS_set_mempolicy: case SYS_get_mempolicy: case SYS_move_pages:
	case SYS_migrate_pages: case SYS_pkey_mprotect: case SYS_pkey_alloc: case SYS_pkey_free:
	/* threads and waiting */
	case SYS_futex: case SYS_gettid: case SYS_set_tid_address: case SYS_set_robust_list:
	case SYS_get_robust_list: case SYS_rseq: case SYS_sched_yield: case SYS_getcpu:
	case SYS_sched_getaffinity: case SYS_sched_setaffinity: case SYS_sched_getparam:
	case SYS_sched_setparam: case SYS_sched_getscheduler: case SYS_sched_setscheduler:
	case SYS_sched_getattr: case SYS_sched_setattr: case SYS_sched_get_priority_max:
	case SYS_sched_get_priority_min: case SYS_sched_rr_get_interval: case SYS_exit:
	case SYS_exit_group: case SYS_restart_syscall: case SYS_arch_prctl: case SYS_prctl:
	/* signals */
	case SYS_rt_sigaction: case SYS_rt_sigprocmask: case SYS_rt_sigreturn: case SYS_rt_sigpending:
	case SYS_rt_sigtimedwait: case SYS_rt_sigqueueinfo: case SYS_rt_tgsigqueueinfo:
	case SYS_rt_sigsuspend: case SYS_sigaltstack: case SYS_kill: case SYS_tkill: case SYS_tgkill:
	case SYS_pause: case SYS_alarm: case SYS_getitimer: case SYS_setitimer:
	/* time */
	case SYS_clock_gettime: case SYS_clock_getres: case SYS_clock_nanosleep: case SYS_nanosleep:
	case SYS_gettimeofday: case SYS_time: case SYS_times: case SYS_timer_create:
	case SYS_timer_settime: case SYS_timer_gettime: case SYS_timer_delete:
	case SYS_timer_getoverrun:
	/* the process and the system */
	case SYS_getpid: case SYS_getppid: case SYS_getuid: case SYS_geteuid: case SYS_getgid:
	case SYS_getegid: case SYS_getresuid: case SYS_getresgid: case SYS_getgroups:
	case SYS_getpgid: case SYS_getpgrp: case SYS_getsid: case SYS_setsid: case SYS_setpgid:
	case SYS_getpriority: case SYS_setpriority: case SYS_getrusage: case SYS_getrlimit:
	case SYS_setrlimit: case SYS_prlimit64: case SYS_uname: case SYS_sysinfo: case SYS_getrandom:
	case SYS_capget: case SYS_capset: case SYS_wait4: case SYS_waitid: case SYS_perf_event_open:
	case SYS_seccomp: case SYS_bpf: case SYS_personality: case SYS_umask:
	/* new descriptors, and names of files */
	case SYS_memfd_create: case SYS_open: case SYS_openat: case SYS_openat2: case SYS_creat:
	case SYS_pipe: case SYS_pipe2: case SYS_eventfd: case SYS_eventfd2: case SYS_timerfd_create:
	case SYS_stat: case SYS_lstat: case SYS_newfstatat: case SYS_statx: case SYS_access:
	case SYS_faccessat: case SYS_readlink: case SYS_readlinkat: case SYS_getcwd: case SYS_chdir:
	case SYS_mkdir: case SYS_rmdir: case SYS_unlink: case SYS_unlinkat: case SYS_rename:
	case SYS_chmod: case SYS_truncate: case SYS_statfs: case SYS_pidfd_open:
	/* of a descriptor, and no byte of a connection moves */
	case SYS_fstat: case SYS_fstatfs: case SYS_lseek: case SYS_getdents: case SYS_getdents64:
	case SYS_ftruncate: case SYS_fsync: case SYS_fdatasync: case SYS_pread64: case SYS_pwrite64:
	case SYS_getsockname: case SYS_getpeername:
		return true;
	default:
		return false;
	}
}
/* clang-format on */

static bool is_hit(const uint8_t *p)
{
	return (p[0] == 0x0f && (p[1] == 0x05 || p[1] == 0x34)) || (p[0] == 0xcd && p[1] == 0x80);
}

/* The next pair of bytes that may be a system call. NULL: none before @end. */
static const uint8_t *next_hit(const uint8_t *p, const uint8_t *end)
{
	const __m128i b0f = _mm_set1_epi8(0x0f), b05 = _mm_set1_epi8(0x05);
	const __m128i b34 = _mm_set1_epi8(0x34), bcd = _mm_set1_epi8((char)0xcd);
	const __m128i b80 = _mm_set1_epi8((char)0x80);
	__m128i a, b, hit;
	int mask;

	for (; end - p > 16; p += 16) {
		a = _mm_loadu_si128((const void *)p);
		b = _mm_loadu_si128((const void *)(p + 1));
		hit = _mm_or_si128(
			_mm_and_si128(_mm_cmpeq_epi8(a, b0f), _mm_or_si128(_mm_cmpeq_epi8(b, b05),
									   _mm_cmpeq_epi8(b, b34))),
			_mm_and_si128(_mm_cmpeq_epi8(a, bcd), _mm_cmpeq_epi8(b, b80)));
		mask = _mm_movemask_epi8(hit);
		if (mask)
			return p + __builtin_ctz((unsigned)mask);
	}
	for (; end - p > 1; p++)
		if (is_hit(p))
			return p;
	return NULL;
}

/* --- where functions begin: the search table of .eh_frame_hdr --- */

struct index {
	const uint8_t *hdr;
	const int32_t *table; /* pairs: begin, description; relative to hdr */
	size_t n;
	uintptr_t low, high; /* what may be read */
};

static void find_index(const struct sl_image *im, struct index *ix)
{
	const Elf64_Phdr *eh = NULL;
	const uint8_t *p;
	uint32_t n;
	size_t i;

	memset(ix, 0, sizeof(*ix));
	for (i = 0; i < im->n; i++)
		if (im->ph[i].p_type == PT_GNU_EH_FRAME)
			eh = &im->ph[i];
	if (!eh)
		return;
	for (i = 0; i < im->n; i++)
		if (im->ph[i].p_type == PT_LOAD && (im->ph[i].p_flags & PF_R) &&
		    eh->p_vaddr >= im->ph[i].p_vaddr &&
		    eh->p_vaddr + eh->p_memsz <= im->ph[i].p_vaddr + im->ph[i].p_filesz) {
			ix->low = im->base + im->ph[i].p_vaddr;
			ix->high = ix->low + im->ph[i].p_filesz;
		}
	if (!ix->high || eh->p_memsz < 12)
		return;
	p = (const void *)(im->base + eh->p_vaddr);
	/* the forms that all linkers write: count as udata4, table as sdata4 relative to it */
	if (p[0] != 1 || p[2] != 0x03 || p[3] != 0x3b)
		return;
	memcpy(&n, p + 8, sizeof(n));
	if (n > (eh->p_memsz - 12) / 8)
		return;
	ix->hdr = p;
	ix->table = (const void *)(p + 12);
	ix->n = n;
}

static const uint8_t *begin_of(const struct index *ix, size_t i)
{
	return ix->hdr + ix->table[2 * i];
}

/* How long it is, if its description has the usual form; else up to the next. */
static const uint8_t *end_of(const struct index *ix, size_t i, const uint8_t *limit)
{
	const uint8_t *begin = begin_of(ix, i), *fde = ix->hdr + ix->table[2 * i + 1];
	const uint8_t *next = i + 1 < ix->n ? begin_of(ix, i + 1) : limit;
	int32_t rel;
	uint32_t len;

	if ((uintptr_t)fde < ix->low || (uintptr_t)fde + 16 > ix->high)
		return next;
	memcpy(&rel, fde + 8, sizeof(rel));
	memcpy(&len, fde + 12, sizeof(len));
	if (fde + 8 + rel != begin || len > (size_t)(next - begin))
		return next;
	return begin + len;
}

/* The function around @p, or the room between functions, within the segment @seg. */
static struct span span_of(const struct index *ix, struct span seg, const uint8_t *p)
{
	size_t lo = 0, hi = ix->n, mid;
	const uint8_t *end;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (begin_of(ix, mid) <= p)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo > 0 && begin_of(ix, lo - 1) >= seg.start) {
		end = end_of(ix, lo - 1, seg.end);
		if (p < end)
			return (struct span){begin_of(ix, lo - 1), end, true};
		seg.start = end;
	}
	if (lo < ix->n && begin_of(ix, lo) < seg.end)
		seg.end = begin_of(ix, lo);
	if (p - seg.start > ROOM)
		seg.start = p - ROOM;
	if (seg.end - p > ROOM)
		seg.end = p + ROOM;
	return seg;
}

/* --- what a find is --- */

/* Does a jump of this function lead to (@after, @to]? Then what @after left in eax is not certain. */
static bool jumped_into(struct span fn, const uint8_t *after, const uint8_t *to)
{
	const uint8_t *p = fn.start, *target;
	struct sl_insn in;
	unsigned len;

	for (; p < fn.end; p += len ? len : 1) {
		len = sl_insn_decode(p, (size_t)(fn.end - p), &in);
		if (!len || (in.kind != SL_INSN_BRANCH && in.kind != SL_INSN_JUMP))
			continue;
		target = p + in.target;
		if (target > after && target <= to)
			return true;
	}
	return false;
}

/* mov of a register or memory to eax or rax, by which wrappers pass on a number that they were given. */
static bool passes_number(const uint8_t *p)
{
	uint8_t rex = 0;

	if ((*p & 0xf0) == 0x40)
		rex = *p++;
	return (p[0] == 0x89 && (p[1] & 0xc7) == 0xc0 && !(rex & 1)) ||
	       (p[0] == 0x8b && !(p[1] & 0x38) && !(rex & 4));
}

/* The register of `mov %reg, %eax`, or -1: another instruction. */
static int from_register(const uint8_t *p)
{
	int high = 0;

	if ((*p & 0xf0) == 0x40)
		high = *p++ & 4 ? 8 : 0;
	return p[0] == 0x89 && (p[1] & 0xc7) == 0xc0 ? high + (p[1] >> 3 & 7) : -1;
}

/*
 * Compilers load the number of a call that stands in a loop into another register, once. If all constants that
 * the function puts into that register are harmless numbers, so is the call.
 */
static int number_in(struct span fn, int reg)
{
	const uint8_t *p = fn.start;
	struct sl_insn in;
	uint32_t imm;
	unsigned len;
	int nr = -1;

	for (; p < fn.end; p += len ? len : 1) {
		len = sl_insn_decode(p, (size_t)(fn.end - p), &in);
		if (len != (reg < 8 ? 5u : 6u) || (reg >= 8 && *p != 0x41) ||
		    p[len - 5] != 0xb8 + (reg & 7))
			continue;
		memcpy(&imm, p + len - 4, sizeof(imm));
		if (imm >= MAX_NR) /* no number, and harmless if it were used as one */
			continue;
		if (!sl_scan_harmless((int)imm))
			return -1;
		nr = (int)imm;
	}
	return nr;
}

/*
 * Return: no instruction, or an instruction with number *@nr (-1 not known).
 *
 * Between functions lie tables of constants, above all in libraries of cryptography. There a find
 * counts only if the instructions before it give eax a number.
 */
static bool is_call(struct span fn, const uint8_t *hit, int *nr)
{
	const uint8_t *p = fn.start, *set = NULL, *passed = NULL;
	struct sl_insn in;
	unsigned len;

	*nr = -1;
	for (; p < hit; p += len ? len : 1) {
		len = sl_insn_decode(p, (size_t)(fn.end - p), &in);
		if (len && in.kind == SL_INSN_EAX) {
			set = p;
			*nr = (int)in.imm;
		} else if (!len || (in.kind != SL_INSN_KEEPS && in.kind != SL_INSN_BRANCH)) {
			set = NULL;
			passed = len && in.kind == SL_INSN_OTHER && passes_number(p) ? p : NULL;
		}
	}
	if (p != hit)
		return false;
	if (!fn.function && !(set && (unsigned)*nr < MAX_NR) && !passed)
		return false;
	if (!set || jumped_into(fn, set, hit))
		*nr = -1;
	if (hit[1] != 0x05) /* sysenter and int 0x80 have numbers of their own */
		*nr = -1;
	else if (*nr < 0 && fn.function && passed && from_register(passed) > 0)
		*nr = number_in(fn, from_register(passed));
	return true;
}

static void count(struct sl_scan *out, const uint8_t *hit, uintptr_t base, int nr)
{
	bool uring = nr == SYS_io_uring_setup || nr == SYS_io_uring_enter ||
		     nr == SYS_io_uring_register;

	out->calls++;
	if (sl_scan_harmless(nr) || out->why == SL_WHY_IO_URING ||
	    (out->why == SL_WHY_RAW_CODE && !uring))
		return;
	out->why = uring ? SL_WHY_IO_URING : SL_WHY_RAW_CODE;
	out->at = (uintptr_t)hit - base;
	out->nr = nr;
}

/* Old layouts have headers and constants in the executable segment: only what lies among functions is code. */
static void only_code(const struct index *ix, struct span *seg)
{
	const uint8_t *first = begin_of(ix, 0), *last = end_of(ix, ix->n - 1, seg->end);

	if (first > seg->start && first < seg->end)
		seg->start = first;
	if (last > seg->start && last < seg->end)
		seg->end = last;
}

static void segment(const struct index *ix, struct span seg, uintptr_t base, struct sl_scan *out)
{
	const uint8_t *p = seg.start;
	int nr;

	while ((p = next_hit(p, seg.end)) != NULL) {
		if (is_call(span_of(ix, seg, p), p, &nr))
			count(out, p, base, nr);
		p++;
	}
}

void sl_scan_image(const struct sl_image *im, struct sl_scan *out)
{
	struct index ix;
	struct span seg;
	size_t i;

	memset(out, 0, sizeof(*out));
	out->nr = -1;
	find_index(im, &ix);
	for (i = 0; i < im->n; i++) {
		if (im->ph[i].p_type != PT_LOAD || !(im->ph[i].p_flags & PF_X) ||
		    !(im->ph[i].p_flags & PF_R))
			continue;
		seg.start = (const void *)(im->base + im->ph[i].p_vaddr);
		seg.end = seg.start + im->ph[i].p_filesz;
		seg.function = false;
		if (ix.n && !im->ph[i].p_offset)
			only_code(&ix, &seg);
		out->bytes += im->ph[i].p_filesz;
		segment(&ix, seg, im->base, out);
	}
}
