/* SPDX-License-Identifier: BSD-2-Clause */
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "fault.h"
#include "lock.h"
#include "real.h"
#include "sys.h"

#ifdef __x86_64__

/* The stack is aligned for the call; nothing of it but the return address is below. */
__asm__(".text\n"
	".p2align 5\n"
	".globl	sl_copy\n"
	".hidden sl_copy\n"
	".type	sl_copy, @function\n"
	"sl_copy:\n"
	".cfi_startproc\n"
	"	subq	$8, %rsp\n"
	".cfi_adjust_cfa_offset 8\n"
	"	call	*memcpy@GOTPCREL(%rip)\n"
	".hidden sl_copy_behind\n"
	".globl	sl_copy_behind\n"
	"sl_copy_behind:\n"
	"	xorl	%eax, %eax\n"
	"	addq	$8, %rsp\n"
	".cfi_adjust_cfa_offset -8\n"
	"	ret\n"
	".hidden sl_copy_bad\n"
	".globl	sl_copy_bad\n"
	"sl_copy_bad:\n"
	".cfi_adjust_cfa_offset 8\n"
	"	movl	$-14, %eax\n" /* EFAULT */
	"	cld\n"
	"	addq	$8, %rsp\n"
	".cfi_adjust_cfa_offset -8\n"
	"	ret\n"
	".cfi_endproc\n"
	".size	sl_copy, . - sl_copy\n");

_Static_assert(EFAULT == 14, "as above");

extern const char sl_copy_behind[], sl_copy_bad[];

/* The default is to die of it: of a fault by faulting again, of a signal that was sent by sending it again. */
static void die(int sig, const siginfo_t *si)
{
	struct sigaction sa = {.sa_handler = SIG_DFL};

	(void)sl_real.sigaction(sig, &sa, NULL);
	if (si->si_code <= 0)
		(void)sl_sys(SYS_tgkill, getpid(), sl_tid(), sig);
}

static void on_fault(int sig, siginfo_t *si, void *context)
{
	greg_t *reg = ((ucontext_t *)context)->uc_mcontext.gregs;
	const uintptr_t *top = (const uintptr_t *)reg[REG_RSP];

	if (si->si_code <= 0 || *top != (uintptr_t)sl_copy_behind) {
		die(sig, si);
		return;
	}
	reg[REG_RSP] += (greg_t)sizeof(*top);
	reg[REG_RIP] = (greg_t)(uintptr_t)sl_copy_bad;
}

static void handle(int sig)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK}, old;

	if (sl_real.sigaction(sig, NULL, &old) || (old.sa_flags & SA_SIGINFO) || old.sa_handler != SIG_DFL)
		return;
	sigemptyset(&sa.sa_mask);
	(void)sl_real.sigaction(sig, &sa, NULL);
}

void sl_fault_init(void)
{
	static _Atomic bool done;

	if (atomic_exchange(&done, true))
		return;
	sl_real_init();
	handle(SIGSEGV);
	handle(SIGBUS);
}

#else

void sl_fault_init(void)
{
}

#endif
