/* SPDX-License-Identifier: BSD-2-Clause */
/* process.c - the objects of this process, each looked at once */
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include "cache.h"
#include "env.h"
#include "log.h"
#include "real.h"
#include "scan.h"

#define KNOWN_MAX  512
#define CACHE_FROM (1u << 20) /* bytes of code: smaller objects are faster looked at than looked up */

/* Changed under the loader's lock, which dl_iterate_phdr() holds. */
static struct {
	unsigned long long adds, subs; /* the loader's counters, when all had been looked at */
	uint64_t known[KNOWN_MAX];     /* objects that are done */
	unsigned n;
	_Atomic uint32_t why; /* enum sl_reason */
} st;

static bool holds(const struct sl_image *im, uintptr_t addr)
{
	size_t i;

	for (i = 0; i < im->n; i++)
		if (im->ph[i].p_type == PT_LOAD && addr - im->base - im->ph[i].p_vaddr < im->ph[i].p_memsz)
			return true;
	return false;
}

/* libc, the loader, the vDSO and we. Another libc, of another namespace, is not among them. */
static bool is_ours(const struct sl_image *im)
{
	unsigned long vdso = getauxval(AT_SYSINFO_EHDR), loader = getauxval(AT_BASE);

	return holds(im, (uintptr_t)&sl_scan_process) || holds(im, (uintptr_t)&dl_iterate_phdr) ||
	       (loader && holds(im, loader)) || (vdso && holds(im, vdso));
}

/* An object, and where it lies: something else may come to lie there after dlclose. */
static uint64_t mark_of(const struct sl_image *im)
{
	uint64_t h = im->base * 0x9e3779b97f4a7c15;
	size_t i;

	for (i = 0; i < im->n; i++)
		h = (h ^ im->ph[i].p_vaddr ^ im->ph[i].p_memsz << 20 ^ im->ph[i].p_type) *
		    0x9e3779b97f4a7c15;
	return h;
}

static bool is_known(uint64_t mark)
{
	unsigned i;

	for (i = 0; i < st.n; i++)
		if (st.known[i] == mark)
			return true;
	if (st.n < KNOWN_MAX)
		st.known[st.n++] = mark;
	return false;
}

static size_t code_bytes(const struct sl_image *im)
{
	size_t i, n = 0;

	for (i = 0; i < im->n; i++)
		if (im->ph[i].p_type == PT_LOAD && (im->ph[i].p_flags & PF_X))
			n += im->ph[i].p_filesz;
	return n;
}

static void look(const struct sl_image *im, struct sl_scan *scan)
{
	memset(scan, 0, sizeof(*scan));
	scan->bytes = code_bytes(im);
	if (scan->bytes < CACHE_FROM) {
		sl_scan_image(im, scan);
	} else if (!sl_cache_find(im, scan)) {
		sl_scan_image(im, scan);
		sl_cache_add(im, scan);
	}
}

static void judge(const struct sl_image *im, const char *name)
{
	struct sl_scan scan;

	look(im, &scan);
	if (scan.why == SL_WHY_NONE || st.why)
		return;
	st.why = scan.why;
	if (sl_env.verbose)
		sl_log("connections stay on TCP: %s (%s, at %#lx, number %d)",
		       sl_reason_text(scan.why), name && *name ? name : "the program",
		       (unsigned long)scan.at, scan.nr);
}

static int one(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct sl_image im = {info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum};
	struct dl_phdr_info *seen = arg;

	(void)size;
	if (info->dlpi_adds == st.adds && info->dlpi_subs == st.subs)
		return 1; /* as they were the last time */
	*seen = *info;
	if (!is_known(mark_of(&im)) && !is_ours(&im))
		judge(&im, info->dlpi_name);
	return 0;
}

enum sl_reason sl_scan_process(void)
{
	struct dl_phdr_info seen = {0};

	if (!st.why && dl_iterate_phdr(one, &seen) == 0) {
		st.adds = seen.dlpi_adds;
		st.subs = seen.dlpi_subs;
	}
	return st.why;
}
