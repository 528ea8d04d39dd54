/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * init.c - the library's beginning and end
 *
 * Linked -z initfirst, the constructor runs before every other one, libc's own included: environ is
 * not set yet. It costs every program under scilan a few microseconds and no descriptor; all else
 * waits for the first connection: one that an exec has left us, or the program's own.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
#include "cache.h"
#include "clock.h"
#include "env.h"
#include "fence.h"
#include "inherit.h"
#include "log.h"
#include "preload.h"
#include "sys.h"

bool sl_live;
pid_t sl_own_pid;

static bool has_go_note(const char *p, size_t len)
{
	const Elf64_Nhdr *n;
	size_t step;

	while (len >= sizeof(*n)) {
		n = (const void *)p;
		if (n->n_namesz == 4 && len >= sizeof(*n) + 4 && !memcmp(n + 1, "Go\0", 4))
			return true;
		step = sizeof(*n) + ((n->n_namesz + 3ul) & ~3ul) + ((n->n_descsz + 3ul) & ~3ul);
		if (step > len)
			return false;
		p += step;
		len -= step;
	}
	return false;
}

/* Go makes its system calls itself, past every symbol. */
static bool is_go(const Elf64_Phdr *ph, size_t n)
{
	uintptr_t base = 0;
	size_t i;

	for (i = 0; i < n; i++)
		if (ph[i].p_type == PT_PHDR)
			base = (uintptr_t)ph - ph[i].p_vaddr;
	for (i = 0; i < n; i++)
		if (ph[i].p_type == PT_NOTE &&
		    has_go_note((const char *)(base + ph[i].p_vaddr), ph[i].p_memsz))
			return true;
	return false;
}

static void refuse_go(void)
{
	const Elf64_Phdr *ph = (const void *)getauxval(AT_PHDR);

	if (!ph || !is_go(ph, getauxval(AT_PHNUM)))
		return;
	sl_refuse_all = SL_WHY_RAW_GO;
	sl_env.promote_calls = SL_PROMOTE_OFF;
	sl_env.promote_bytes = UINT64_MAX;
	if (sl_env.verbose)
		sl_log("stays on TCP: %s", sl_reason_text(SL_WHY_RAW_GO));
}

__attribute__((constructor)) static void preload_init(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	if (!environ)
		environ = envp;
	sl_own_pid = (pid_t)sl_sys(SYS_getpid, 0, 0, 0);
	sl_real_init();
	sl_env_init();
	sl_clock_init();
	sl_fence_init();
	refuse_go();
	sl_cache_init();
	sl_patch_libc();
	sl_signal_init();
	sl_sock_init();
	sl_sock_hooks.unfit = sl_conn_unfit;
	sl_ready_init();
	sl_proc_init();
	sl_sock_hooks.relay = sl_relay_start;
	at_quick_exit(sl_sock_exit);
	sl_inherit_stdio = sl_patched;
	sl_inherit_adopt(environ);
	sl_live = true;
}

/* exit() runs destructors, but ends in a libc-internal _exit. */
__attribute__((destructor)) static void preload_fini(void)
{
	if (sl_live)
		sl_sock_exit();
}
